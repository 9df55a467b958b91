"""What a reported outcome says of one prediction, by the rules of the training labels."""

import math
from typing import Any

import pytest

from features.outcomes import outcome
from tests.training.watched import report
from training.monitoring_labels import Span, followed, label, treated_before, treated_first

CRS_1, CRS_2, CRS_3 = (outcome(f"crs_{grade}plus") for grade in (1, 2, 3))
AT_0, AT_24 = Span(0.0, 336.0), Span(24.0, 336.0)


def crs(grade: int, **fields: Any) -> Any:
    return report("p", crs_grade=grade, **fields)


def test_a_worst_grade_reaches_every_milder_outcome_and_no_worse_one() -> None:
    told = crs(2, crs_onset_hours=30.0, crs_worst_hours=50.0)
    assert [label(told, one, AT_24) for one in (CRS_1, CRS_2, CRS_3)] == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(("hours", "expected"), [(24.0, math.nan), (24.01, 1.0), (336.0, 1.0), (336.01, 0.0)])
def test_the_index_time_is_excluded_and_the_horizons_end_included(hours: float, expected: float) -> None:
    told = crs(1, crs_onset_hours=hours)
    assert label(told, CRS_1, AT_24) == pytest.approx(expected, nan_ok=True)


def test_a_grade_between_onset_and_worst_is_known_only_where_both_lie_on_one_side_of_the_horizons_end() -> None:
    inside = crs(3, crs_onset_hours=30.0, crs_worst_hours=60.0)
    across = crs(3, crs_onset_hours=330.0, crs_worst_hours=340.0)
    beyond = crs(3, crs_onset_hours=337.0, crs_worst_hours=340.0)
    assert label(inside, CRS_2, AT_24) == 1.0
    assert math.isnan(label(across, CRS_2, AT_24))
    assert label(across, CRS_3, AT_24) == 0.0
    assert label(beyond, CRS_2, AT_24) == 0.0


def test_a_worst_grade_without_its_time_counts_from_before_the_onset_only() -> None:
    assert label(crs(2), CRS_2, AT_0) == 1.0
    assert math.isnan(label(crs(2), CRS_2, AT_24))
    assert label(crs(2, crs_onset_hours=30.0), CRS_2, AT_24) == 1.0
    assert math.isnan(label(crs(2, crs_onset_hours=20.0), CRS_2, AT_24))
    assert label(crs(2, crs_onset_hours=340.0), CRS_2, AT_24) == 0.0


def test_no_event_is_a_label_only_once_the_course_was_followed_to_the_end() -> None:
    assert label(crs(0), CRS_1, AT_0) == 0.0
    assert math.isnan(label(crs(0, complete=False, hours=335.9), CRS_1, AT_0))
    assert label(crs(0, complete=False, hours=336.0), CRS_1, AT_0) == 0.0
    assert followed(crs(0, complete=False, hours=336.0), AT_0)


def test_a_grade_that_nobody_reported_is_no_label() -> None:
    told = report("p", crs_grade=None, crs_grading=None)
    assert math.isnan(label(told, CRS_1, AT_0))
    assert label(told, outcome("icans_2plus"), AT_0) == 0.0


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"tocilizumab": True, "tocilizumab_hours": 40.0}, True),
        ({"corticosteroid": True, "corticosteroid_hours": 40.0}, True),
        ({"tocilizumab": True, "tocilizumab_hours": 20.0}, False),  # before the question
        ({"tocilizumab": True, "tocilizumab_hours": 400.0}, False),  # after the horizon
        ({"tocilizumab": False}, False),
        ({"tocilizumab": True}, True),
        ({}, False),
    ],
)
def test_a_treatment_after_the_question_without_the_outcome_may_have_prevented_it(
    fields: dict[str, Any], expected: bool
) -> None:
    assert treated_first(crs(1, crs_onset_hours=30.0, **fields), CRS_2, AT_24) is expected


def test_a_treatment_counts_as_first_only_where_it_came_before_the_outcome() -> None:
    told = crs(2, crs_onset_hours=30.0, crs_worst_hours=50.0, tocilizumab=True, tocilizumab_hours=45.0)
    assert treated_first(told, CRS_2, AT_24)
    assert not treated_first(told, CRS_1, AT_24)
    assert treated_first(told, CRS_3, AT_24)


def test_treated_before_is_told_by_hours_at_or_before_the_question() -> None:
    told = crs(0, tocilizumab=True, tocilizumab_hours=24.0)
    assert treated_before(told, AT_24)
    assert not treated_before(told, AT_0)
    assert not treated_before(None, AT_24)
