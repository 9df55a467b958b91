"""What came of it: the five outcomes of each course as asked at each index time.

A course is at risk at index time t if the outcome was not reached at or before t and follow-up goes on after t.
Then the label is 1 if the outcome is reached in (t, end], 0 if it is not and follow-up reaches the end, and unknown
otherwise. `end` is the horizon counted from the infusion, or from the latest dose of a step-up schedule, both ends as
in features.outcomes. Death ends follow-up: who dies before the end without the outcome has an unknown label, because
what the outcome would have been is not known. An outcome charted after the end of follow-up counts as not seen.

A peak grade without a time, where no timed grade is as high: at the course's start the label is the peak itself (it is
taken to lie within the horizon). Later the course is still labelled by its peak before the first timed grade of 1 or
worse (the onset); from the onset on, or without one, its label is unknown for every outcome of that event, positive and
negative alike, so that leaving out does not follow the label. An onset after the horizon's end, or after the end of
follow-up, puts the peak there too: it is then not reached within the horizon.

A derived grade that is known only as "at least n" (data.derived_grades) leaves the outcomes above n unknown where they
may have been reached at or before the index time, or were not surely reached but may have been within the horizon.

A course whose follow-up ends before the horizon's end has a label only if it is positive. Where many are so (a horizon
longer than the source's follow-up), the labelled courses are not a fair sample: the attrition table shows it, and
`one_sided` names the outcomes. So it is with open grades, which leave out those without the outcome alone.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.cohort import Layer
from data.contract import GRADES
from data.tables import Cohort
from features.course import Event
from features.outcomes import OUTCOMES, Outcome

Floats = NDArray[np.float64]
NEVER = np.inf


class Reason(IntEnum):
    """Why a course has or has no label."""

    LABELLED = 0
    ALREADY_HAPPENED = 1
    NOT_UNDER_FOLLOW_UP = 2
    TIME_UNKNOWN = 3
    FOLLOW_UP_SHORT = 4
    DIED = 5
    GRADE_OPEN = 6


AT_RISK = (Reason.LABELLED, Reason.TIME_UNKNOWN, Reason.FOLLOW_UP_SHORT, Reason.DIED, Reason.GRADE_OPEN)
#: Largest share of those at risk whose derived grade may be open before an outcome is not learnt; a policy.
LARGEST_OPEN_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Labels:
    """n courses of one layer, five outcomes in the order of OUTCOMES.

    value: (n, 5) float64, 1 or 0, NaN where not at risk or unknown. reason: (n, 5) int8 of Reason.
    treated_before: (n,) tocilizumab or a corticosteroid from the start to the index time, both inclusive; what was
    given before the start is prophylaxis and does not count.
    grading: (n, 5) text: the system of the course's grades, "" where not stated, "mixed" where there are several.
    """

    value: Floats
    reason: NDArray[np.int8]
    treated_before: NDArray[np.bool_]
    grading: NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class _Grades:
    """One graded event as charted: (n, 6) first seconds at each grade or worse; (n,) the peak without a time, or 0.

    possible: (n, 6) first seconds at which a derived grade was open and may have been that grade or worse.
    """

    first: Floats
    possible: Floats
    untimed: Floats
    grading: NDArray[np.object_]


def label_layers(cohort: Cohort, layers: list[Layer]) -> list[Labels]:
    """The labels of every layer."""
    charted = {name: _grades(cohort, name) for name in GRADES}
    death = _first(cohort, cohort.events["event"].eq(Event.DEATH.value) & cohort.events["value"].gt(0))
    treated = _first(cohort, _treatment(cohort.events))
    return [_label(cohort, layer, charted, death, treated) for layer in layers]


def mixed_grading(cohort: Cohort) -> dict[str, tuple[str, ...]]:
    """Graded events whose courses were graded by more than one stated system -> those systems."""
    graded = cohort.events[cohort.events["event"].isin(GRADES) & cohort.events["grading"].ne("")]
    systems = {str(name): tuple(sorted(set(rows))) for name, rows in graded.groupby("event")["grading"]}
    return {name: found for name, found in systems.items() if len(found) > 1}


def one_sided(labels: list[Labels], largest_share: float = 0.5) -> tuple[str, ...]:
    """Outcomes that cannot be learnt from these labels: at the first index time one class is empty, or more than
    `largest_share` of those at risk are unlabelled because follow-up was too short, or more than LARGEST_OPEN_SHARE
    because their derived grade is open."""
    first = labels[0]
    short = (first.reason == Reason.FOLLOW_UP_SHORT).sum(axis=0)
    at_risk = np.isin(first.reason, [int(reason) for reason in AT_RISK]).sum(axis=0)
    positive, negative = (first.value == 1).sum(axis=0), (first.value == 0).sum(axis=0)
    unclear = (first.reason == Reason.GRADE_OPEN).sum(axis=0) > LARGEST_OPEN_SHARE * at_risk
    unfair = (positive == 0) | (negative == 0) | (short > largest_share * at_risk) | unclear
    return tuple(outcome.key for outcome, bad in zip(OUTCOMES, unfair, strict=True) if bad)


def _treatment(events: pd.DataFrame) -> pd.Series:
    named = events["event"].isin((Event.TOCILIZUMAB.value, Event.CORTICOSTEROID.value))
    return named & events["value"].gt(0) & events["seconds"].ge(0)


def _first(cohort: Cohort, chosen: pd.Series) -> Floats:
    """(n,) seconds of the first chosen event, infinity where there is none."""
    first = np.full(len(cohort), NEVER)
    rows = cohort.events[chosen & cohort.events["seconds"].notna()]
    np.minimum.at(first, rows["course"].to_numpy(), rows["seconds"].to_numpy())
    return first


def _grades(cohort: Cohort, event: str) -> _Grades:
    events = cohort.events
    named = events["event"].eq(event)
    first = np.column_stack([_first(cohort, named & events["value"].ge(grade)) for grade in range(6)])
    untimed = np.zeros(len(cohort))
    peaks = events[named & events["seconds"].isna()]
    np.maximum.at(untimed, peaks["course"].to_numpy(), peaks["value"].to_numpy())
    timed = (np.isfinite(first) * np.arange(6)).max(axis=1)
    return _Grades(first, _possible(cohort, event), np.where(untimed > timed, untimed, 0.0), _grading(cohort, named))


def _possible(cohort: Cohort, event: str) -> Floats:
    rows = cohort.open_grades[cohort.open_grades["event"].eq(event)]
    first = np.full((len(cohort), 6), NEVER)
    for grade in range(6):
        mine = rows[rows["least"].lt(grade) & rows["most"].ge(grade)]
        np.minimum.at(first[:, grade], mine["course"].to_numpy(dtype=np.int64), mine["seconds"].to_numpy())
    return first


def _grading(cohort: Cohort, named: pd.Series) -> NDArray[np.object_]:
    systems = cohort.events[named & cohort.events["grading"].ne("")].drop_duplicates(["course", "grading"])
    found = np.full(len(cohort), "", dtype=object)
    found[systems["course"].to_numpy()] = systems["grading"].to_numpy(dtype=object)
    found[systems.loc[systems["course"].duplicated(), "course"].to_numpy()] = "mixed"
    return found


def _label(cohort: Cohort, layer: Layer, charted: dict[str, _Grades], death: Floats, treated: Floats) -> Labels:
    columns = [_outcome(cohort, layer, outcome, charted[outcome.event.value], death) for outcome in OUTCOMES]
    start = layer.snapshots.index_seconds
    return Labels(
        value=np.column_stack([value for value, _ in columns]),
        reason=np.column_stack([reason for _, reason in columns]),
        treated_before=treated[layer.course] <= start,
        grading=np.column_stack([charted[outcome.event.value].grading[layer.course] for outcome in OUTCOMES]),
    )


def _outcome(
    cohort: Cohort, layer: Layer, outcome: Outcome, grades: _Grades, death: Floats
) -> tuple[Floats, NDArray[np.int8]]:
    course, now = layer.course, layer.snapshots.index_seconds
    horizon = np.where(cohort.step_up[course], outcome.horizon_seconds(True), outcome.horizon_seconds(False))
    end = layer.snapshots.dose_seconds + horizon
    reached, onset, peak = grades.first[course, outcome.grade], grades.first[course, 1], grades.untimed[course]
    died, last = death[course], np.minimum(cohort.follow_up_seconds[course], death[course])
    by_peak = (peak > 0) & np.isinf(reached)
    # A peak is not before its onset, so an onset that comes too late to count rules the peak out as well.
    in_time = np.isinf(onset) | (onset <= np.minimum(end, last))
    positive = np.where(by_peak, (peak >= outcome.grade) & in_time, (reached <= end) & (reached <= last))
    possible = grades.possible[course, outcome.grade]
    maybe = (possible <= now) | (~positive & (possible <= np.minimum(end, last)))
    reason = np.select(
        [
            reached <= now,
            last <= now,
            by_peak & (now > 0) & ((onset <= now) | np.isinf(onset)),
            maybe,
            positive,
            (last < end) & (died <= last),
            last < end,
        ],
        [
            Reason.ALREADY_HAPPENED,
            Reason.NOT_UNDER_FOLLOW_UP,
            Reason.TIME_UNKNOWN,
            Reason.GRADE_OPEN,
            Reason.LABELLED,
            Reason.DIED,
            Reason.FOLLOW_UP_SHORT,
        ],
        Reason.LABELLED,
    ).astype(np.int8)
    return np.where(reason == Reason.LABELLED, positive.astype(np.float64), np.nan), reason
