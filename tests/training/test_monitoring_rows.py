"""Answers joined with outcomes: one row per course and time of asking, and nothing is counted before its time."""

import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from audit.events import Kind
from features import catalogue
from features.outcomes import OUTCOME_KEYS
from tests.training.watched import ENGAGER, START, Years, graded, own, years
from training.monitoring_rows import Joined, first_rows, joined, landmark, rows_of

CRS_2 = OUTCOME_KEYS.index("crs_2plus")


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Years]:
    with years(own(tmp_path)) as found:
        yield found


def together(held: Years, days: float = 400.0) -> Joined:
    rows = rows_of(held.ledger.records(Kind.PREDICTION), catalogue.load())
    until = START + timedelta(days=days)
    return joined(rows, held.ledger.records(Kind.OUTCOME, until=until), until)


@pytest.mark.parametrize(
    ("step_up", "hours", "dose", "expected"),
    [
        (False, 0.0, 1, "0h"),
        (False, 23.9, 1, "0h"),
        (False, 24.0, 1, "24h"),
        (False, 300.0, 1, "72h"),
        (True, 11.9, 2, "dose2+0h"),
        (True, 12.0, 2, "dose2+12h"),
        (True, 100.0, 3, "dose3+24h"),
    ],
)
def test_a_landmark_is_the_latest_index_time_at_or_before_the_question(
    step_up: bool, hours: float, dose: int, expected: str
) -> None:
    assert landmark(step_up, hours, dose) == expected


def test_a_course_counts_once_per_time_of_asking_with_its_first_answer(held: Years) -> None:
    held.at(0).asked("a0", "a")
    held.at(0.1).asked("a0-again", "a", hours_since_start=3.0, hours_since_dose=3.0)
    held.at(1).asked("a24", "a", hours_since_start=24.0, hours_since_dose=24.0)
    held.at(1).asked("b0", "b", status="not_evaluated")
    rows = rows_of(held.ledger.records(Kind.PREDICTION), catalogue.load())
    assert [row.prediction_id for row in first_rows(rows)] == ["a0", "a24"]
    assert together(held).first.tolist() == [True, False]


def test_a_report_for_any_answer_of_a_course_stands_for_all_of_them(held: Years) -> None:
    held.at(0).asked("a0", "a")
    held.at(1).asked("a24", "a", hours_since_start=24.0, hours_since_dose=24.0)
    held.at(1.1).asked("again", "a", hours_since_start=25.0, hours_since_dose=25.0)
    held.at(31).told("again", **graded(2))
    found = together(held)
    assert found.label[:, CRS_2].tolist() == [1.0, 1.0]
    assert found.reported.all()


def test_a_correction_supersedes_what_was_told_before(held: Years) -> None:
    held.at(0).asked("a")
    held.at(31).told("a", **graded(0))
    held.at(40).told("a", **graded(3))
    assert together(held, 35).label[0, CRS_2] == 0.0
    assert together(held).label[0, CRS_2] == 1.0


def test_an_event_that_is_told_at_once_waits_for_the_horizons_end(held: Years) -> None:
    """Else events, which are told at once, would be counted before the courses that had none."""
    held.at(0).asked("a")
    held.at(3).told("a", **{**graded(2), "complete": False, "hours": 72.0})
    early, late = together(held, 13.9), together(held, 14.0)
    assert math.isnan(early.label[0, CRS_2])
    assert late.label[0, CRS_2] == 1.0
    assert late.known_on[0, CRS_2] == (START + timedelta(days=14)).timestamp()


def test_a_course_that_was_followed_to_the_end_counts_when_it_is_told(held: Years) -> None:
    held.at(0).asked("a")
    held.at(5).told("a", **graded(2))
    assert together(held, 6).known_on[0, CRS_2] == (START + timedelta(days=5)).timestamp()


def test_an_engagers_horizon_counts_from_its_latest_dose(held: Years) -> None:
    held.at(0).asked("a", therapy=ENGAGER, hours_since_start=84.0, hours_since_dose=12.0, dose_number=2)
    (row,) = together(held).rows
    assert row.spans[CRS_2].end_hours == 72.0 + 240.0
    assert row.landmark == "dose2+12h"


def test_treated_because_warned_needs_the_alerting_band(held: Years) -> None:
    for name, band in (("a", "high"), ("b", "intermediate")):
        held.at(0).asked(name, bands={"crs_3plus": band})
        held.at(31).told(name, **{**graded(1), "tocilizumab": True, "tocilizumab_hours": 40.0})
    assert together(held).because[:, CRS_2].tolist() == [True, False]


def test_courses_of_one_patient_go_together_where_the_patient_is_known(held: Years) -> None:
    for name, patient in (("a", "x"), ("b", "x"), ("c", "")):
        held.at(0).asked(name, patient=patient)
    assert len(np.unique(together(held).groups())) == 3
    assert len(np.unique(together(held).groups(patients=True))) == 2
