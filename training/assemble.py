"""From a cohort to the training table: rows by THE row-builder, labels by the data room, columns that say something."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from data.cohort import Layer, layers
from data.labels import Labels, label_layers, one_sided
from data.tables import Cohort
from features.catalogue import Catalogue
from features.outcomes import OUTCOME_KEYS
from features.prior import Prior
from features.rows import RowBuilder
from features.spec import Spec, full
from training.table import Table, joined

#: A column is kept if at least this share of the rows, and at least this many rows, hold it.
SMALLEST_SHARE, FEWEST_ROWS = 0.01, 10


def assemble(cohort: Cohort, prior: Prior, catalogue: Catalogue, workers: int) -> tuple[Table, Spec, tuple[str, ...]]:
    """The training table of a cohort, the spec of the columns that vary in it, and the outcomes it cannot teach.

    An outcome whose labels are one-sided (a class is empty, or follow-up is too short for most) has no label at all.
    """
    widest = full(catalogue)
    table, one_sided_outcomes = build_table(cohort, widest, prior, catalogue, workers)
    spec = informative(widest, table.values)
    columns = np.flatnonzero(np.isin(widest.names, spec.names))
    slim = replace(table, values=np.ascontiguousarray(table.values[:, columns]))
    return slim, spec.with_ranges(slim.values), one_sided_outcomes


def build_table(
    cohort: Cohort, spec: Spec, prior: Prior, catalogue: Catalogue, workers: int
) -> tuple[Table, tuple[str, ...]]:
    """Every course of the cohort at every index time, by a given spec; and the outcomes whose labels were taken out."""
    builder = RowBuilder(spec, prior, catalogue)
    asked = layers(cohort)
    _, patient = np.unique(np.asarray(cohort.patient_ids), return_inverse=True)
    labelled = label_layers(cohort, asked)
    parts = [_part(layer, labels, builder, patient, workers) for layer, labels in zip(asked, labelled, strict=True)]
    table = joined(parts)
    unsound = one_sided(labelled)
    table.label[:, [OUTCOME_KEYS.index(key) for key in unsound]] = np.nan
    return table, unsound


def informative(spec: Spec, values: NDArray[np.float32]) -> Spec:
    """The columns that are present often enough and are not one constant; missing or present counts as a difference."""
    present = ~np.isnan(values)
    fewest = max(FEWEST_ROWS, SMALLEST_SHARE * len(values))
    kept = []
    for place, name in enumerate(spec.names):
        known = values[present[:, place], place]
        varies = len(known) and (len(known) < len(values) or known.min() < known.max())
        if len(known) >= fewest and varies:
            kept.append(name)
    return spec.keep(kept)


def _part(layer: Layer, labels: Labels, builder: RowBuilder, patient: NDArray[np.int64], workers: int) -> Table:
    rows = builder.build(layer.snapshots, workers)
    return Table(
        values=rows.values,
        prior=rows.prior,
        label=labels.value,
        patient=patient[layer.course],
        course=layer.course.astype(np.int64),
        index_name=layer.name.astype(str),
        hours=rows.hours,
        begun=rows.begun,
        reached=rows.reached,
        treated=labels.treated_before,
        dosing=rows.dosing,
        therapy=np.array(layer.snapshots.courses.therapy),
        indication=np.array(layer.snapshots.courses.indication),
    )
