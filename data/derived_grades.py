"""CRS grades by ASTCT 2019 derived from charted vitals and treatments, for a cohort that charted no CRS grade.

At each time at which a finding was charted, from the start on, the findings of the last 24 hours (a policy, see
features/tables/grading_rules.csv) are graded by features.grading. What is assumed, and what is not:
- no other cause explains fever, pressure or oxygen: an extract does not say so;
- where no sign at all is charted (fever, low pressure, vasopressor, oxygen) there is no CRS, even where a pressure was
  not measured; where there is a sign, what was not charted beside it leaves the grade open;
- nobody charted antipyretics, so without fever, and without a treatment of CRS since its onset, a low pressure or
  oxygen leaves open whether there was CRS at all; since its onset such a treatment waives fever;
- a cohort that charts no vasopressor, or no oxygen, in any course does not chart it: then it is unknown, not absent. A
  row with value 0 says that it is charted;
- hypotension without a vasopressor is read from systolic pressure in adults alone, else it is unknown;
- a device that is not named leaves the grade open from 2 to 4; a ventilator may protect the airway where ICANS of
  grade 3 or worse was charted;
- readings that stop are no finding: follow-up says for how long the outcome was looked for. A course without any
  temperature is open from its start.

A time at which the grade is known only as "at least n" gives no grade above n, and the labels above n are unknown.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.derived_findings import Charting, Course, Variants, findings, has_sign, long_table
from data.event_rows import took_place
from data.report import NOTED, REMEDIES, Finding, RejectionReport
from features.catalogue import Catalogue
from features.course import Courses, Event, Observations
from features.grading_crs import astct
from features.grading_result import Scheme
from features.grading_types import CrsFindings

#: Marks a derived grade in the column `detail`.
DERIVED = "derived"
OPEN_COLUMNS = ["course", "seconds", "event", "least", "most"]


@dataclass(frozen=True, slots=True, eq=False)
class Derived:
    """events: the charted ones and the derived grades. open_grades: times from which a grade is only at least `least`.

    open_grades: course (position), seconds, event, least, most, both inclusive; one row per change.
    """

    events: pd.DataFrame
    open_grades: pd.DataFrame
    report: RejectionReport


def no_open_grades() -> pd.DataFrame:
    """What a cohort has whose grades were charted."""
    return pd.DataFrame({name: pd.Series(dtype="str" if name == "event" else "float64") for name in OPEN_COLUMNS})


def derive(courses: Courses, seen: Observations, events: pd.DataFrame, catalogue: Catalogue) -> Derived:
    """The events with derived CRS grades; unchanged, and noted, where the cohort charted any CRS grade."""
    charted = int(events["event"].eq(Event.CRS_GRADE.value).sum())
    if charted:
        return Derived(events, no_open_grades(), _report(("grades-charted", "events", "event", charted)))
    charting = Charting.of(seen, events, catalogue)
    table = long_table(seen, events[took_place(events)], catalogue)
    ages = courses.numbers[:, courses.columns.index("age_years")]
    spans = [_spans(one, charting) for one in _courses(table, ages)]
    grades, open_grades = _frames(spans, events)
    report = _report(
        ("grade-derived", "events", "value", len(grades)),
        ("grade-derived-open", "courses", "course_id", int(open_grades["course"].nunique())),
        ("temperature-missing", "courses", "course_id", len(courses) - _with(table, "temperature")),
        ("vasopressors-never-charted", "courses", "course_id", 0 if charting.vasopressors else len(courses)),
        ("oxygen-never-charted", "courses", "course_id", 0 if charting.oxygen else len(courses)),
    )
    return Derived(pd.concat([events, grades], ignore_index=True) if len(grades) else events, open_grades, report)


def _report(*counted: tuple[str, str, str, int]) -> RejectionReport:
    return RejectionReport(
        tuple(
            Finding(NOTED, rule, table, column, rows, REMEDIES[rule]) for rule, table, column, rows in counted if rows
        )
    )


def _with(table: pd.DataFrame, what: str) -> int:
    """Courses with such a row from the start on."""
    return int(table.loc[table["what"].eq(what) & table["seconds"].ge(0), "course"].nunique())


def _courses(table: pd.DataFrame, ages: NDArray[np.float64]) -> list[Course]:
    """Every course, those without a row included."""
    groups = {cast(int, course): rows for course, rows in table.groupby("course")}
    empty = table.iloc[:0]
    return [Course.of(place, groups.get(place, empty), float(age)) for place, age in enumerate(ages)]


@dataclass(frozen=True, slots=True)
class _Span:
    """From `seconds` on the grade lies from low to high, both inclusive."""

    course: int
    seconds: int
    low: int
    high: int


def _spans(course: Course, charting: Charting) -> list[_Span]:
    """The changes of the grade of one course, in time; it starts at 0."""
    onset: int | None = None
    spans: list[_Span] = []
    last = (0, 0)
    for seconds in course.times:
        found = findings(course, charting, seconds, onset)
        low, high = _graded(found) if has_sign(found) or course.unmeasured else (0, 0)
        if onset is None and low >= 1:
            onset = seconds
            # What was given at this very time was given after the onset.
            low, high = _graded(findings(course, charting, seconds, onset))
        if (low, high) != last:
            spans.append(_Span(course.place, seconds, low, high))
            last = (low, high)
    return spans


def _graded(variants: Variants) -> tuple[int, int]:
    """The span over what was given together (the worst counts) and over what is open (all are possible)."""
    together = [[_astct(one) for one in given] for given in variants]
    lows = [min(low for low, _ in given) for given in together]
    highs = [max(high for _, high in given) for given in together]
    return max(lows), max(highs)


@lru_cache(maxsize=100_000)
def _astct(found: CrsFindings) -> tuple[int, int]:
    grade = astct(found)
    return grade.low, grade.high


def _frames(spans: list[list[_Span]], events: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The derived grades as events, and where the grade is open. An open grade of at least 0 is no event."""
    changes = [one for course in spans for one in course]
    grades = pd.DataFrame(
        [(one.course, float(one.seconds), float(one.low)) for one in _certain(spans)],
        columns=["course", "seconds", "value"],
    ).assign(event=Event.CRS_GRADE.value, grading=Scheme.ASTCT.value, detail=DERIVED)
    rows = [(one.course, float(one.seconds), one.low, one.high) for one in changes if one.high > one.low]
    open_grades = pd.DataFrame(rows, columns=["course", "seconds", "least", "most"]).assign(event=Event.CRS_GRADE.value)
    return grades[list(events.columns)], open_grades[OPEN_COLUMNS] if rows else no_open_grades()


def _certain(spans: list[list[_Span]]) -> list[_Span]:
    """The changes of what is certain: a grade of 1 or worse, or that it is over; a span from 0 on says neither."""
    found = []
    for course in spans:
        last = 0
        for one in course:
            if one.low != last and (one.low > 0 or one.high == 0):
                found.append(one)
                last = one.low
    return found
