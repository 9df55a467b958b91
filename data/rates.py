"""What a cohort itself shows of CRS and ICANS, per therapy: peak grades and onset, from its charted events."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.tables import Cohort
from features.course import HOUR, Event

ALL = "all"


@dataclass(frozen=True, slots=True)
class ObservedRate:
    """courses: how many had the therapy. reached: grade (1, 2, 3) -> courses whose peak grade was that or worse.

    onset_hours: median of the first charted grade of 1 or worse, NaN where none has a time.
    """

    therapy: str
    event: str
    courses: int
    reached: dict[int, int]
    onset_hours: float


def observed_rates(cohort: Cohort) -> list[ObservedRate]:
    """Per therapy and over all, for CRS and for ICANS. Every course counts, whatever its follow-up."""
    therapy = np.array(cohort.courses.therapy, dtype=object)
    groups = [*sorted(set(therapy.tolist())), ALL]
    return [
        _observed(cohort, name, event, (therapy == name) | (name == ALL))
        for event in (Event.CRS_GRADE, Event.ICANS_GRADE)
        for name in groups
    ]


def _observed(cohort: Cohort, name: str, event: Event, group: NDArray[np.bool_]) -> ObservedRate:
    charted = cohort.events[cohort.events["event"].eq(event.value) & group[cohort.events["course"].to_numpy()]]
    peak = charted.groupby("course")["value"].max()
    first = charted[charted["value"].ge(1)].groupby("course")["seconds"].min() / HOUR
    reached = {grade: int(peak.ge(grade).sum()) for grade in (1, 2, 3)}
    return ObservedRate(name, event.value, int(group.sum()), reached, float(first.median()))
