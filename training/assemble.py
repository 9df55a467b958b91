"""From a cohort to the training table: rows by THE row-builder, labels by the data room, columns that say something."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from data.cohort import IndexSet, Layer, index_table, layers
from data.labels import Labels, label_layers, one_sided
from data.tables import Cohort
from features.catalogue import Catalogue
from features.course import Observations
from features.outcomes import OUTCOME_KEYS
from features.prior import Prior
from features.rows import RowBuilder
from features.spec import Spec, full
from training.table import Table, joined, words

#: A column is kept if at least this share of the rows, and at least this many rows, hold it.
SMALLEST_SHARE, FEWEST_ROWS = 0.01, 10


def assemble(cohort: Cohort, prior: Prior, catalogue: Catalogue, workers: int) -> tuple[Table, Spec, tuple[str, ...]]:
    """The training table of a cohort, the spec of the columns that vary in it, and the outcomes it cannot teach.

    An outcome whose labels are one-sided (a class is empty, or follow-up is too short for most) has no label at all.
    """
    widest = full(catalogue)
    asked, labelled = questions(cohort)
    parts, blocks, seen = [], [], Seen.nothing(len(widest.columns))
    builder, patient = RowBuilder(widest, prior, catalogue), numbered(cohort.patient_ids)
    unfit = one_sided(labelled)
    for layer in asked:
        part = rows_of(layer, labelled.pop(0), builder, patient, workers)
        seen = seen + Seen.of(part.values)
        blocks.append(Block.of(part.values))
        parts.append(part.without_values())
        del layer, part  # before the next one is made
    spec = seen.informative(widest)
    values = under_one_another(blocks, np.flatnonzero(np.isin(widest.names, spec.names)))
    table, unsound = without_unsound(replace(joined(parts), values=values), unfit)
    return table, spec.with_ranges(values), unsound


def build_table(
    cohort: Cohort, spec: Spec, prior: Prior, catalogue: Catalogue, workers: int
) -> tuple[Table, tuple[str, ...]]:
    """Every course of the cohort at every index time, by a given spec; and the outcomes whose labels were taken out."""
    builder, patient = RowBuilder(spec, prior, catalogue), numbered(cohort.patient_ids)
    asked, labelled = questions(cohort)
    pairs = zip(asked, labelled, strict=True)
    table = joined([rows_of(layer, labels, builder, patient, workers) for layer, labels in pairs])
    return without_unsound(table, one_sided(labelled))


def questions(cohort: Cohort) -> tuple[Iterator[Layer], list[Labels]]:
    """Every course at every index time, a layer at a time, and the labels of all layers.

    A layer holds a copy of its courses' observations, so that all of them at once would be several cohorts.
    """
    index = index_table(cohort)
    asked = (_layer(cohort, index, number) for number in range(int(index.layer.max(initial=-1)) + 1))
    return asked, label_layers(cohort, layers(replace(cohort, observations=Observations.empty()), index))


def _layer(cohort: Cohort, index: IndexSet, number: int) -> Layer:
    """The layer of that number, as in data.cohort.layers."""
    rows = np.flatnonzero(index.layer == number)
    own = IndexSet(**{name: getattr(index, name)[rows] for name in IndexSet.__slots__})
    (found,) = layers(cohort, replace(own, layer=np.zeros_like(own.layer)))
    return replace(found, number=number, rows=rows)


def numbered(patient_ids: Sequence[str] | NDArray[np.object_]) -> NDArray[np.int64]:
    """(n,) the patient of each course as a whole number, in the order of the names."""
    _, patient = np.unique(np.asarray(patient_ids), return_inverse=True)
    return patient


def without_unsound(table: Table, unsound: tuple[str, ...]) -> tuple[Table, tuple[str, ...]]:
    """The table with the labels of those outcomes taken out."""
    table.label[:, [OUTCOME_KEYS.index(key) for key in unsound]] = np.nan
    return table, unsound


def informative(spec: Spec, values: NDArray[np.float32]) -> Spec:
    """The columns that are present often enough and are not one constant; missing or present counts as a difference."""
    return Seen.of(values).informative(spec)


@dataclass(frozen=True, slots=True)
class Seen:
    """What each column held in so many rows. known: how often it was there; low, high: NaN where never. (columns,)"""

    rows: int
    known: NDArray[np.int64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]

    @classmethod
    def nothing(cls, columns: int) -> "Seen":
        never = np.full(columns, np.nan, dtype=np.float32)
        return cls(0, np.zeros(columns, dtype=np.int64), never, never)

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> "Seen":
        if not len(values):
            return cls.nothing(values.shape[1])
        known = np.count_nonzero(~np.isnan(values), axis=0)
        return cls(len(values), known, np.fmin.reduce(values), np.fmax.reduce(values))

    def __add__(self, other: "Seen") -> "Seen":
        low, high = np.fmin(self.low, other.low), np.fmax(self.high, other.high)
        return Seen(self.rows + other.rows, self.known + other.known, low, high)

    def informative(self, spec: Spec) -> Spec:
        """As the function of that name."""
        often = self.known >= max(FEWEST_ROWS, SMALLEST_SHARE * self.rows)
        varies = (self.known > 0) & ((self.known < self.rows) | (self.low < self.high))
        return spec.keep([name for name, kept in zip(spec.names, often & varies, strict=True) if kept])


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of a table without the columns that none of them holds. columns: places of those that are kept."""

    columns: NDArray[np.int64]
    values: NDArray[np.float32]

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> "Block":
        columns = np.flatnonzero(~np.isnan(np.fmin.reduce(values))) if len(values) else np.zeros(0, dtype=np.int64)
        return cls(columns, values[:, columns])


def under_one_another(blocks: list[Block], columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """(N, len(columns)) those columns of all blocks, which are let go one by one, so that memory holds one copy."""
    found = np.empty((sum(len(block.values) for block in blocks), len(columns)), dtype=np.float32)
    at = 0
    while blocks:
        block = blocks.pop(0)
        part = found[at : at + len(block.values)]
        part[:] = np.nan
        _, into, out = np.intersect1d(columns, block.columns, assume_unique=True, return_indices=True)
        part[:, into] = block.values[:, out]
        at += len(part)
    return found


def rows_of(layer: Layer, labels: Labels, builder: RowBuilder, patient: NDArray[np.int64], workers: int) -> Table:
    """The rows of one layer. patient: of each course of the cohort."""
    rows = builder.build(layer.snapshots, workers)
    return Table(
        values=rows.values,
        prior=rows.prior,
        label=labels.value,
        patient=patient[layer.course],
        course=layer.course.astype(np.int64),
        index_name=words(layer.name),
        hours=rows.hours,
        begun=rows.begun,
        reached=rows.reached,
        treated=labels.treated_before,
        dosing=rows.dosing,
        therapy=words(layer.snapshots.courses.therapy),
        indication=words(layer.snapshots.courses.indication),
    )
