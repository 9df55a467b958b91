"""What is known about treatment courses: columnar, in canonical units, times in whole seconds.

A request is a batch of one. Times are seconds from the course's start (infusion, or first dose of a
T-cell engager); they are whole numbers so that "at or before the index time" is exact.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

HOUR = 3600
DAY = 24 * HOUR

#: Observations older than this before the course's start are baseline history and do not enter a row.
LOOKBACK_SECONDS = 30 * DAY
#: No course is looked at later than this after its start.
LATEST_SECONDS = 60 * DAY


def whole_seconds(hours: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Hours as whole seconds, rounded up: what is stamped within a second is known at its end, never before.

    A fraction below a millisecond is the floating point of the hours, not a time. NaN stays NaN.
    """
    seconds: NDArray[np.float64] = np.ceil(np.round(np.asarray(hours) * HOUR, 3)) + 0.0
    return seconds


class Event(StrEnum):
    """Charted events; they enter a row by the same time rule as an observation."""

    CRS_GRADE = "crs_grade"
    ICANS_GRADE = "icans_grade"
    TOCILIZUMAB = "tocilizumab"
    CORTICOSTEROID = "corticosteroid"
    SILTUXIMAB = "siltuximab"
    ANAKINRA = "anakinra"
    VASOPRESSOR = "vasopressor"
    OXYGEN = "oxygen"
    STEP_DOSE = "step_dose"
    DEATH = "death"
    HLH = "hlh"


#: Columns of a course that do not change over time, besides comorbidities: name -> (low, high), both inclusive.
COURSE_NUMBERS: dict[str, tuple[float, float]] = {
    "age_years": (0.0, 110.0),
    "sex_male": (0.0, 1.0),
    "ecog": (0.0, 5.0),
    "prior_lines": (0.0, 30.0),
    "marrow_blasts_pct": (0.0, 100.0),
    "high_disease_burden": (0.0, 1.0),
    "fludarabine_cyclophosphamide": (0.0, 1.0),
    "bridging_therapy": (0.0, 1.0),
    "prophylactic_tocilizumab": (0.0, 1.0),
    "prophylactic_corticosteroid": (0.0, 1.0),
    "dose_fraction": (0.0, 5.0),
}


@dataclass(frozen=True, slots=True)
class Courses:
    """n courses.

    therapy, indication: (n,) tuples of catalogue keys ("" where unknown).
    numbers: (n, len(columns)) float64; NaN where not known; flags are 0 or 1.
    columns: the names of `numbers`: COURSE_NUMBERS in order, then the catalogue's comorbidities in order.
    """

    therapy: tuple[str, ...]
    indication: tuple[str, ...]
    numbers: NDArray[np.float64]
    columns: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.therapy)


@dataclass(frozen=True, slots=True)
class Observations:
    """m observations and events of those courses, in any order.

    course: (m,) int32, position in Courses.
    code: (m,) int16, position in the catalogue's `codes` (analytes, then events).
    seconds: (m,) int32 from the course's start.
    value: (m,) float64 in the analyte's canonical unit (an event's own value).
    limit: (m,) float64, the laboratory's own upper limit of normal in the canonical unit, NaN where not stated.
    """

    course: NDArray[np.int32]
    code: NDArray[np.int16]
    seconds: NDArray[np.int32]
    value: NDArray[np.float64]
    limit: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.value)

    @classmethod
    def empty(cls) -> "Observations":
        none = np.zeros(0)
        return cls(none.astype(np.int32), none.astype(np.int16), none.astype(np.int32), none, none)


@dataclass(frozen=True, slots=True)
class Snapshots:
    """n courses, each looked at from one index time.

    index_seconds: (n,) int64, when the question is asked; what is stamped later is not seen.
    dose_seconds: (n,) int64, time of the latest infusion or step-up dose at or before the index time (0 for a single
    infusion).
    dose_number: (n,) int64, 1 for the first dose or the only infusion.
    """

    courses: Courses
    observations: Observations
    index_seconds: NDArray[np.int64]
    dose_seconds: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    dose_number: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.courses)
