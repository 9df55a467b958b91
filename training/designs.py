"""How a model is put to the test: in folds, on later courses, at sites it has not seen, or on another cohort."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from data.split import Fold, leave_site_out, temporal_split
from data.tables import Cohort
from features.catalogue import Catalogue
from features.errors import DataError
from features.outcomes import OUTCOME_KEYS
from features.pooling import pool
from features.prior import Prior
from features.spec import Spec
from training import baselines
from training.assemble import assemble
from training.config import Settings
from training.cross_validation import fit_all, out_of_fold_scores, predict_all
from training.evaluate import Recipe
from training.table import Table
from training.train import why_not

Array = NDArray[np.float64]
#: Outcome (place in OUTCOMES) -> predictor -> (repeats, N) log-odds, NaN where a row was not predicted.
Scores = dict[int, dict[str, Array]]
Progress = Callable[[str], None]


class Design(StrEnum):
    """internal: repeated folds by patient. temporal: later courses. external: a registered version elsewhere."""

    INTERNAL = "internal"
    TEMPORAL = "temporal"
    LEAVE_SITE_OUT = "leave-site-out"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class Split:
    """By what the designs that fit a model themselves take their test courses.

    repeats: of the internal design. test_share, cut: of the temporal one, see data.split.temporal_split.
    """

    repeats: int
    test_share: float = 0.25
    cut: float | None = None


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a design predicted. table: N rows. spec: of its columns; its ranges are those of the rows that trained,
    where one model was fitted, else there are none. courses: (train, test) of each fit, but in the internal design."""

    design: Design
    table: Table
    spec: Spec
    scores: Scores
    courses: tuple[tuple[int, int], ...] = ()


def recipe_for(
    cohort: Cohort, catalogue: Catalogue, settings: Settings, progress: Progress
) -> tuple[Table, Recipe, list[int]]:
    """The training table of a cohort, how models are made of it, and the outcomes that it can teach."""
    evidence = pool(catalogue)
    table, spec, unsound = assemble(cohort, Prior(evidence), catalogue, settings.workers)
    left_out = {place: why_not(table, place, settings, unsound) for place in range(len(OUTCOME_KEYS))}
    for place, reason in left_out.items():
        if reason:
            progress(f"{OUTCOME_KEYS[place]}: {reason}; not judged")
    return table, Recipe(spec, evidence, catalogue, settings), [place for place in left_out if not left_out[place]]


def put_to_test(
    design: Design, cohort: Cohort, catalogue: Catalogue, settings: Settings, split: Split, progress: Progress
) -> tuple[Predicted, Recipe]:
    """Fit and predict by a design that makes its models of the cohort itself: all but the external one."""
    settings = replace(settings, repeats=split.repeats if design is Design.INTERNAL else 1)
    table, recipe, outcomes = recipe_for(cohort, catalogue, settings, progress)
    if design is Design.INTERNAL:
        return Predicted(design, table, recipe.spec, out_of_fold_scores(table, recipe, outcomes)), recipe
    folds = folds_of(design, cohort, split)
    scores = fold_scores(table, recipe, outcomes, folds, progress)
    spec = recipe.spec
    if len(folds) == 1:
        spec = spec.with_ranges(table.values[np.isin(table.course, folds[0].train)])
    return Predicted(design, table, spec, scores, tuple((len(one.train), len(one.test)) for one in folds)), recipe


def folds_of(design: Design, cohort: Cohort, split: Split) -> list[Fold]:
    """The courses that train and test. DataError where the cohort's times or sites do not allow it."""
    if design is Design.LEAVE_SITE_OUT:
        return leave_site_out(cohort.patient_ids, cohort.sites)
    fold = temporal_split(cohort.patient_ids, start_seconds(cohort), split.test_share, split.cut)
    if not len(fold.train) or not len(fold.test):
        raise DataError("courses.start_time", "no course lies on one side of the cut", "choose another day or share")
    return [fold]


def start_seconds(cohort: Cohort) -> Array:
    """(n,) seconds since 1970, UTC, at which each course starts; NaN where not stated."""
    start = cohort.start_time.astype("datetime64[s]")
    return np.where(np.isnat(start), np.nan, start.astype(np.int64).astype(np.float64))


def fold_scores(
    table: Table, recipe: Recipe, outcomes: Sequence[int], folds: Sequence[Fold], progress: Progress
) -> Scores:
    """(1, N) log-odds of each predictor, fitted on the training courses of a fold, for the test courses of that fold.

    An outcome that has too few courses with, or without, it in a fold's training courses is not predicted there.
    """
    names = ("model", *baselines.FITTED, "published_rate")
    scores: Scores = {place: {name: np.full((1, len(table)), np.nan) for name in names} for place in outcomes}
    for fold in folds:
        train, rows = table.take(np.isin(table.course, fold.train)), np.isin(table.course, fold.test)
        able = [place for place in outcomes if not why_not(train, place, recipe.settings, ())]
        progress(f"{fold.name}: {len(able)} of {len(outcomes)} outcomes")
        model = predict_all(fit_all(train, recipe, able, recipe.settings.seed), table.take(rows))
        for place in able:
            scores[place]["model"][0, rows] = model[:, place]
            _fill_baselines(scores[place], table, train, place, rows)
    return {place: one for place, one in scores.items() if not np.isnan(one["model"]).all()}


def _fill_baselines(
    scores: Mapping[str, Array], table: Table, train: Table, place: int, rows: NDArray[np.bool_]
) -> None:
    known = rows & table.usable(place)
    if not known.any():
        return
    learn, test = train.take(train.usable(place)), table.take(known)
    for name, baseline in baselines.FITTED.items():
        scores[name][0, known] = baseline(learn, test, place)
    scores["published_rate"][0, known] = table.prior[known, place]
