"""Training on more rows than memory holds: rows are built a part of the cohort at a time and laid down in a file.

The file holds the same rows, in the same order and of the same bits, as the table of the whole cohort. In memory stay
what is known of each row besides its columns (labels, prior, times, therapy: about 350 bytes), and the courses' own
facts; observations do not.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.labels import Labels, one_sided
from data.parts import summed
from data.tables import Cohort
from features.catalogue import Catalogue
from features.course import Courses, Observations
from features.errors import DataError
from features.prior import Prior
from features.rows import RowBuilder
from features.spec import Spec, full
from training.assemble import Seen, numbered, questions, rows_of, without_unsound
from training.cells import BLOCK_ROWS, forget
from training.table import Table, joined

#: Rows from which the ranges of columns are read, at most, evenly spaced; of fewer, all are.
RANGE_ROWS = 200_000
CELL = np.dtype(np.float32)


@dataclass(slots=True)
class _Layer:
    """The rows of one number of index time: their columns in a file, the rest in memory."""

    path: Path
    parts: list[Table] = field(default_factory=list)

    def add(self, part: Table) -> None:
        with self.path.open("ab") as file:
            np.ascontiguousarray(part.values).tofile(file)
        self.parts.append(part.without_values())

    @property
    def rows(self) -> int:
        return sum(map(len, self.parts))


@dataclass(slots=True)
class _Gathered:
    """What is kept of the parts read so far."""

    folder: Path
    widest: Spec
    seen: Seen
    layers: list[_Layer] = field(default_factory=list)
    first: list[Labels] = field(default_factory=list)
    cohorts: list[Cohort] = field(default_factory=list)
    courses: int = 0

    def add(self, cohort: Cohort, builder: RowBuilder, workers: int) -> None:
        asked, labelled = questions(cohort)
        self.first.append(labelled[0])
        own = np.arange(self.courses, self.courses + len(cohort))
        for layer, labels in zip(asked, labelled, strict=True):
            part = rows_of(layer, labels, builder, own, workers)
            self.seen = self.seen + Seen.of(part.values)
            while len(self.layers) <= layer.number:
                self.layers.append(_Layer(self.folder / f"layer-{len(self.layers)}.f32"))
            self.layers[layer.number].add(replace(part, course=part.course + self.courses))
        self.cohorts.append(_light(cohort))
        self.courses += len(cohort)


def stream(
    parts: Iterable[Cohort], prior: Prior, catalogue: Catalogue, workers: int, folder: Path
) -> tuple[Cohort, tuple[Table, Spec, tuple[str, ...]]]:
    """The table of a cohort that comes in parts, its columns in a file of that folder; as training.assemble.assemble.

    The cohort comes without observations, and its fingerprint is one of its parts' fingerprints. parts: in the order of
    course_id, as from data.parts.cohort_parts.
    """
    widest = full(catalogue)
    builder = RowBuilder(widest, prior, catalogue)
    gathered = _Gathered(folder, widest, Seen.nothing(len(widest.columns)))
    for part in parts:
        gathered.add(part, builder, workers)
    if not gathered.courses:
        raise DataError("courses", "no course is left to learn from", "bring more courses")
    return _whole(gathered.cohorts), _table(gathered)


def _table(gathered: _Gathered) -> tuple[Table, Spec, tuple[str, ...]]:
    spec = gathered.seen.informative(gathered.widest)
    columns = np.flatnonzero(np.isin(gathered.widest.names, spec.names))
    values = _values(gathered, columns)
    patient = numbered(np.concatenate([np.asarray(one.patient_ids, dtype=object) for one in gathered.cohorts]))
    rest = joined([part for layer in gathered.layers for part in layer.parts])
    table, unsound = without_unsound(
        replace(rest, values=values, patient=patient[rest.course]), one_sided([_joined_labels(gathered.first)])
    )
    sample = np.asarray(values[:: -(-len(values) // RANGE_ROWS)])
    forget(values)
    return table, spec.with_ranges(sample), unsound


def _values(gathered: _Gathered, columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """A memory map of (N, len(columns)) cells, layer after layer; the layers' own files are removed."""
    wide, path = len(gathered.widest.columns), gathered.folder / "cells.f32"
    with path.open("wb") as out:
        for layer in gathered.layers:
            for start in range(0, layer.rows, BLOCK_ROWS):
                count = min(BLOCK_ROWS, layer.rows - start) * wide
                block = np.fromfile(layer.path, CELL, count, offset=start * wide * CELL.itemsize)
                np.ascontiguousarray(block.reshape(-1, wide)[:, columns]).tofile(out)
            layer.path.unlink()
    rows = sum(layer.rows for layer in gathered.layers)
    return np.memmap(path, CELL, "r", shape=(rows, len(columns)))


def _joined_labels(labels: list[Labels]) -> Labels:
    held = {name: np.concatenate([getattr(one, name) for one in labels]) for name in Labels.__slots__}
    return Labels(**held)


def _light(cohort: Cohort) -> Cohort:
    """The cohort without observations, and of its events only which were graded by which system."""
    events = cohort.events.drop_duplicates(["event", "grading"])
    return replace(cohort, observations=Observations.empty(), events=events)


def _whole(cohorts: list[Cohort]) -> Cohort:
    """The courses of all parts. The fingerprint of one part is that of the whole."""
    prints = [one.fingerprint for one in cohorts]
    arrays = ("start_time", "follow_up_seconds", "step_up", "course_ids", "patient_ids", "sites")
    joint: dict[str, Any] = {
        name: np.concatenate([np.asarray(getattr(one, name)) for one in cohorts]) for name in arrays
    }
    return replace(
        cohorts[0],
        courses=Courses(
            tuple(text for one in cohorts for text in one.courses.therapy),
            tuple(text for one in cohorts for text in one.courses.indication),
            np.concatenate([one.courses.numbers for one in cohorts]),
            cohorts[0].courses.columns,
        ),
        events=pd.concat([one.events for one in cohorts], ignore_index=True).drop_duplicates(["event", "grading"]),
        report=summed([one.report for one in cohorts]),
        fingerprint=prints[0] if len(prints) == 1 else sha256("\n".join(prints).encode()).hexdigest(),
        **joint,
    )
