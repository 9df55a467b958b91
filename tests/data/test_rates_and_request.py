"""What a cohort shows by itself, and one of its courses as a question."""

import numpy as np
import pandas as pd
import pytest

from data.rates import observed_rates
from data.request import request_body
from data.tables import Cohort, cohort_from_frames
from features.errors import UsageError


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    courses = pd.DataFrame(
        {
            "course_id": ["a", "b", "c"],
            "patient_id": ["p", "q", "r"],
            "therapy": ["axi-cel", "axi-cel", "teclistamab"],
            "indication": ["dlbcl", "dlbcl", "mm"],
            "follow_up_hours": [1000, 1000, 1000],
            "sex": ["F", "M", None],
            "age_years": [61, 70, np.nan],
            "high_disease_burden": [1, 0, np.nan],
            "cardiac_disease": [0, 1, np.nan],
        }
    )
    observations = pd.DataFrame(
        [
            ("a", -4, "crp", 1.8, "mg/dL", np.nan),
            ("a", 30, "ldh", 400, "U/L", 250.0),
            ("b", 2, "crp", 5, "mg/L", np.nan),
        ],
        columns=["course_id", "hours", "code", "value", "unit", "upper_limit"],
    )
    events = pd.DataFrame(
        [
            ("a", 24, "crs_grade", 1, "ASTCT-2019"),
            ("a", 48, "crs_grade", 3, "Lee-2014"),
            ("b", 20, "tocilizumab", 0, ""),
            ("b", 60, "crs_grade", 0, ""),
            ("b", 70, "corticosteroid", 1, ""),
            ("b", 72, "crs_grade", 1, ""),
            ("c", 30, "step_dose", 2, ""),
        ],
        columns=["course_id", "hours", "event", "value", "grading"],
    )
    return cohort_from_frames(courses, observations, events)


def test_peak_grades_and_onset_are_counted_per_therapy(cohort: Cohort) -> None:
    found = {(one.therapy, one.event): one for one in observed_rates(cohort)}
    axi = found["axicabtagene-ciloleucel", "crs_grade"]
    assert (axi.courses, axi.reached, axi.onset_hours) == (2, {1: 2, 2: 1, 3: 1}, 48.0)
    assert found["all", "crs_grade"].reached == {1: 2, 2: 1, 3: 1}
    assert found["teclistamab", "crs_grade"].reached == {1: 0, 2: 0, 3: 0}
    assert np.isnan(found["teclistamab", "crs_grade"].onset_hours)


def test_a_course_becomes_a_question_without_what_came_later(cohort: Cohort) -> None:
    body = request_body(cohort, "a", 24)
    assert body == {
        "course": {
            "id": "asked",
            "therapy": "axicabtagene-ciloleucel",
            "indication": "dlbcl",
            "sex": "F",
            "age_years": 61.0,
            "high_disease_burden": True,
            "comorbidities": {"cardiac_disease": False},
        },
        "hours_since_start": 24,
        "observations": [{"code": "crp", "value": 18.0, "unit": "mg/L", "hours": -4.0}],
        "events": [{"event": "crs_grade", "value": 1.0, "hours": 24.0, "grading": "ASTCT-2019"}],
    }


def test_an_own_upper_limit_goes_with_the_question(cohort: Cohort) -> None:
    observed = request_body(cohort, "a", 30)["observations"]
    assert {"code": "ldh", "value": 400.0, "unit": "U/L", "hours": 30.0, "upper_limit": 250.0} in observed


def test_each_grade_goes_with_the_system_it_was_graded_by(cohort: Cohort) -> None:
    graded = [(one["value"], one["grading"]) for one in request_body(cohort, "a", 48)["events"]]
    assert graded == [(1.0, "ASTCT-2019"), (3.0, "Lee-2014")]


def test_what_was_charted_as_not_given_is_not_sent(cohort: Cohort) -> None:
    assert request_body(cohort, "b", 72)["events"] == [
        {"event": "crs_grade", "value": 0.0, "hours": 60.0},
        {"event": "corticosteroid", "value": 1.0, "hours": 70.0},
        {"event": "crs_grade", "value": 1.0, "hours": 72.0},
    ]


@pytest.mark.parametrize("hours", [np.nan, np.inf, -np.inf, -720.01, 1440.01])
def test_hours_at_which_no_course_is_looked_at_are_refused(cohort: Cohort, hours: float) -> None:
    with pytest.raises(UsageError, match="--hours: no course is looked at then; give hours from -720 to 1440"):
        request_body(cohort, "a", hours)


@pytest.mark.parametrize(("hours", "seen"), [(-720, 0), (-4, 1), (1440, 2)])
def test_hours_at_either_end_are_answered(cohort: Cohort, hours: float, seen: int) -> None:
    assert len(request_body(cohort, "a", hours)["observations"]) == seen


def test_a_course_that_is_not_there_is_refused(cohort: Cohort) -> None:
    with pytest.raises(UsageError, match="COURSE_ID"):
        request_body(cohort, "nobody", 24)
