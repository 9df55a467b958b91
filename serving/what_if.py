"""The same course with one more fact: copies of its snapshot, each changed in one place, for the row-builder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from features.course import Courses, Observations, Snapshots


@dataclass(frozen=True, slots=True)
class Change:
    """One fact: an observation with that code position at the index time, or a number in that course column.

    code, column: position in the catalogue's codes or course columns; -1 for the one that it is not.
    """

    code: int
    column: int
    value: float


def with_changes(batch: Snapshots, place: int, changes: Sequence[Change]) -> Snapshots:
    """The course at `place` of a batch once for each change, with it. An observation is stamped at the index time."""
    k = len(changes)
    held = batch.observations
    own = np.flatnonzero(held.course == place)
    copies = np.repeat(np.arange(k, dtype=np.int32), len(own))
    added = [position for position, change in enumerate(changes) if change.code >= 0]
    index = int(batch.index_seconds[place])
    return Snapshots(
        courses=_courses(batch.courses, place, changes),
        observations=Observations(
            course=np.concatenate([copies, np.array(added, dtype=np.int32)]),
            code=_longer(held.code[own], k, [changes[one].code for one in added]),
            seconds=_longer(held.seconds[own], k, [index] * len(added)),
            value=_longer(held.value[own], k, [changes[one].value for one in added]),
            limit=_longer(held.limit[own], k, [np.nan] * len(added)),
        ),
        index_seconds=np.repeat(batch.index_seconds[place], k),
        dose_seconds=np.repeat(batch.dose_seconds[place], k),
        dose_number=np.repeat(batch.dose_number[place], k),
    )


def joined(parts: Sequence[Snapshots]) -> Snapshots:
    """Several batches as one, in their order."""
    starts = np.cumsum([0, *(len(one) for one in parts)]).astype(np.int32)
    held = [
        replace(one.observations, course=one.observations.course + start)
        for one, start in zip(parts, starts.tolist(), strict=False)
    ]
    fields = ("course", "code", "seconds", "value", "limit")
    return Snapshots(
        courses=Courses(
            tuple(key for one in parts for key in one.courses.therapy),
            tuple(key for one in parts for key in one.courses.indication),
            np.concatenate([one.courses.numbers for one in parts]),
            parts[0].courses.columns,
        ),
        observations=Observations(*(np.concatenate([getattr(one, name) for one in held]) for name in fields)),
        index_seconds=np.concatenate([one.index_seconds for one in parts]),
        dose_seconds=np.concatenate([one.dose_seconds for one in parts]),
        dose_number=np.concatenate([one.dose_number for one in parts]),
    )


def _courses(held: Courses, place: int, changes: Sequence[Change]) -> Courses:
    numbers = np.repeat(held.numbers[place : place + 1], len(changes), axis=0)
    for position, change in enumerate(changes):
        if change.column >= 0:
            numbers[position, change.column] = change.value
    k = len(changes)
    return Courses((held.therapy[place],) * k, (held.indication[place],) * k, numbers, held.columns)


def _longer(values: np.ndarray, copies: int, added: Sequence[float]) -> np.ndarray:
    return np.concatenate([np.tile(values, copies), np.array(added, dtype=values.dtype)])
