"""Courses given one at a time (a request, a golden course) as the columnar snapshots that the row-builder reads."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from features.catalogue import Catalogue
from features.course import Courses, Observations, Snapshots


@dataclass(frozen=True, slots=True)
class Observed:
    """An observation or event: catalogue code, seconds from the start, value, own upper limit (canonical units)."""

    code: str
    seconds: int
    value: float
    limit: float = math.nan


@dataclass(frozen=True, slots=True)
class CourseInput:
    """One course at one index time. numbers: course columns that are known; what is absent stays missing."""

    therapy: str
    indication: str
    index_seconds: int
    dose_seconds: int = 0
    dose_number: int = 1
    numbers: Mapping[str, float] = field(default_factory=dict)
    observations: tuple[Observed, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "therapy": self.therapy,
            "indication": self.indication,
            "index_seconds": self.index_seconds,
            "dose_seconds": self.dose_seconds,
            "dose_number": self.dose_number,
            "numbers": dict(self.numbers),
            "observations": [
                [one.code, one.seconds, one.value, None if math.isnan(one.limit) else one.limit]
                for one in self.observations
            ],
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "CourseInput":
        observations = tuple(
            Observed(code, seconds, value, math.nan if limit is None else limit)
            for code, seconds, value, limit in body["observations"]
        )
        return cls(**{**body, "observations": observations})


def snapshots(catalogue: Catalogue, inputs: Sequence[CourseInput]) -> Snapshots:
    """n inputs as one batch, in their order; KeyError for a code or a course column the catalogue does not have."""
    columns = catalogue.course_columns
    positions = {name: position for position, name in enumerate(columns)}
    numbers = np.full((len(inputs), len(columns)), np.nan)
    for place, one in enumerate(inputs):
        for name, value in one.numbers.items():
            numbers[place, positions[name]] = value
    flat = [
        (place, catalogue.code_position(seen.code), seen.seconds, seen.value, seen.limit)
        for place, one in enumerate(inputs)
        for seen in one.observations
    ]
    therapy, indication = tuple(one.therapy for one in inputs), tuple(one.indication for one in inputs)
    return Snapshots(
        courses=Courses(therapy, indication, numbers, columns),
        observations=_columns(flat),
        index_seconds=np.array([one.index_seconds for one in inputs], dtype=np.int64),
        dose_seconds=np.array([one.dose_seconds for one in inputs], dtype=np.int64),
        dose_number=np.array([one.dose_number for one in inputs], dtype=np.int64),
    )


def _columns(flat: list[tuple[int, int, int, float, float]]) -> Observations:
    if not flat:
        return Observations.empty()
    course, code, seconds, value, limit = zip(*flat, strict=True)
    return Observations(
        np.array(course, dtype=np.int32),
        np.array(code, dtype=np.int16),
        np.array(seconds, dtype=np.int32),
        np.array(value, dtype=np.float64),
        np.array(limit, dtype=np.float64),
    )
