"""The events table: grades with their grading system, treatments, doses, death."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.clock import row_seconds
from data.contract import GRADES, check_columns, check_rows, events_schema
from data.course_rows import CourseRows, rows_position
from data.observation_rows import check_period
from data.report import RejectionReport
from data.sieve import Mask, Sieve, numbers, words
from features.catalogue import Catalogue
from features.course import Event
from features.grading_tables import find

MOST_SEVERE = 5


@dataclass(frozen=True, slots=True)
class EventRows:
    """events: course (position), seconds (NaN = peak grade of unknown time), event, grading ("" = unstated), value.

    detail, the last column: which vasopressor, or which oxygen device; "" where not stated, "derived" for a grade that
    was not charted.
    """

    events: pd.DataFrame
    report: RejectionReport


def event_rows(raw: pd.DataFrame, courses: CourseRows, catalogue: Catalogue) -> EventRows:
    """Validate the events table. A treatment before the start is prophylaxis and stays; a grade before it does not."""
    check_columns("events", raw, catalogue)
    sieve = Sieve("events", len(raw))
    course = rows_position(words(raw["course_id"]), courses.position, sieve)
    named = pd.DataFrame({"event": words(raw["event"]).str.lower(), "grading": _optional(raw, "grading")})
    check_rows(events_schema(), named, sieve)
    graded = named["event"].isin(GRADES).to_numpy()
    value = _values(raw, graded, sieve)
    seconds = row_seconds(raw, course, courses.starts, sieve)
    sieve.reject("hours-missing", "hours", np.isnan(seconds) & ~graded)
    sieve.reject("event-before-start", "hours", graded & (seconds < 0))
    check_period(seconds, sieve)
    detail = _optional(raw, "detail")
    sieve.note("detail-unknown", "detail", _not_listed(named["event"], detail))
    events = pd.DataFrame({"course": course, "seconds": seconds, **named, "value": value, "detail": detail})
    return EventRows(events[sieve.kept].reset_index(drop=True), sieve.report())


def took_place(events: pd.DataFrame) -> pd.Series:
    """(rows,) whether each event happened: a grade of any value; anything else unless its value is 0 (not given)."""
    return events["event"].isin(GRADES) | events["value"].gt(0)


def _optional(raw: pd.DataFrame, column: str) -> pd.Series:
    return words(raw[column]) if column in raw.columns else pd.Series([""] * len(raw), dtype="str")


def _not_listed(event: pd.Series, detail: pd.Series) -> Mask:
    """(rows,) whether a vasopressor or a device is named that features/tables/grading_terms.csv does not list."""
    strange = np.zeros(len(event), dtype=bool)
    for name, kind in ((Event.VASOPRESSOR.value, "vasopressor"), (Event.OXYGEN.value, "device")):
        unknown = [text for text in detail[event.eq(name)].unique() if text and find(kind, text) is None]
        strange |= (event.eq(name) & detail.isin(unknown)).to_numpy()
    return strange


def _values(raw: pd.DataFrame, graded: Mask, sieve: Sieve) -> NDArray[np.float64]:
    value, wrong = numbers(raw["value"])
    sieve.reject("value-not-a-number", "value", wrong)
    empty = np.isnan(value)
    sieve.reject("value-not-finite", "value", np.isinf(value) | (empty & graded))
    sieve.note("event-value-empty", "value", empty & ~graded)
    value = np.where(empty & ~graded, 1.0, value)
    sieve.reject("value-negative", "value", value < 0)
    sieve.reject("grade-out-of-range", "value", graded & ((value > MOST_SEVERE) | (value != np.floor(value))))
    return value + 0.0
