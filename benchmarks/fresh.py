"""SYNTHETIC courses for the benchmarks: training tables of any size and one large table of fresh courses."""

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from data import synthetic
from data.tables import Cohort, read_cohort
from features.catalogue import Catalogue, load
from features.evidence import TherapyEvidence
from features.pooling import pool
from features.prior import Prior
from features.spec import Spec, full
from training.assemble import assemble, build_table
from training.config import Settings
from training.cross_validation import fit_all, predict_all
from training.evaluate import Recipe
from training.table import Table
from training.train import why_not

Array = NDArray[np.float64]


def cohort_of(courses: int, seed: int) -> Cohort:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "cohort")
        synthetic.write(folder, synthetic.generate(courses, seed))
        return read_cohort(folder)


@dataclass(frozen=True, slots=True)
class World:
    """The evidence, and fresh courses by every column that the catalogue allows."""

    catalogue: Catalogue
    evidence: dict[str, TherapyEvidence]
    spec: Spec
    fresh: Table
    settings: Settings

    @classmethod
    def of(cls, courses: int, seed: int, settings: Settings) -> "World":
        catalogue = load()
        evidence, spec = pool(catalogue), full(catalogue)
        fresh, _ = build_table(cohort_of(courses, seed), spec, Prior(evidence), catalogue, settings.workers)
        return cls(catalogue, evidence, spec, fresh, settings)

    def training(self, cohort: Cohort) -> tuple[Table, Recipe, tuple[int, ...]]:
        """The training table of a cohort, its recipe, and the places of the outcomes that it can teach."""
        table, spec, unsound = assemble(cohort, Prior(self.evidence), self.catalogue, self.settings.workers)
        taught = tuple(
            place for place in range(table.label.shape[1]) if not why_not(table, place, self.settings, unsound)
        )
        return table, Recipe(spec, self.evidence, self.catalogue, self.settings), taught

    def seen_by(self, spec: Spec) -> Table:
        """The fresh courses by the columns of a training table."""
        columns = np.flatnonzero(np.isin(self.spec.names, spec.names))
        return replace(self.fresh, values=np.ascontiguousarray(self.fresh.values[:, columns]))


def model(train: Table, test: Table, recipe: Recipe, taught: tuple[int, ...]) -> Array:
    """(n, outcomes) log-odds of the test rows by a model of the train rows; the prior for outcomes not taught."""
    fitted = fit_all(train, recipe, taught, recipe.settings.seed)
    return np.where(np.isin(np.arange(test.prior.shape[1]), taught), predict_all(fitted, test), test.prior)
