"""Courses given one at a time become one batch, and survive JSON."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.course import Event
from features.single import CourseInput, Observed, snapshots
from tests.builders import CATALOGUE, course_inputs


def test_inputs_keep_their_order_and_their_facts() -> None:
    first = CourseInput("teclistamab", "mm", 86_400, 43_200, 2, {"age_years": 70.0, "hiv": 1.0})
    second = CourseInput("car-t", "", 0, observations=(Observed("crp", -60, 8.5), Observed("ldh", 0, 300.0, 225.0)))
    batch = snapshots(CATALOGUE, [first, second])
    assert (batch.courses.therapy, batch.courses.indication) == (("teclistamab", "car-t"), ("mm", ""))
    assert batch.index_seconds.tolist() == [86_400, 0]
    assert batch.dose_seconds.tolist() == [43_200, 0]
    assert batch.dose_number.tolist() == [2, 1]
    known = ~np.isnan(batch.courses.numbers)
    named = [(row, CATALOGUE.course_columns[column]) for row, column in zip(*np.nonzero(known), strict=True)]
    assert named == [(0, "age_years"), (0, "hiv")]
    assert batch.courses.numbers[known].tolist() == [70.0, 1.0]
    assert batch.observations.course.tolist() == [1, 1]
    assert [CATALOGUE.codes[code] for code in batch.observations.code] == ["crp", "ldh"]
    assert batch.observations.seconds.tolist() == [-60, 0]
    assert batch.observations.value.tolist() == [8.5, 300.0]
    np.testing.assert_array_equal(batch.observations.limit, [math.nan, 225.0])


def test_no_inputs_are_an_empty_batch() -> None:
    batch = snapshots(CATALOGUE, [])
    assert len(batch) == 0
    assert len(batch.observations) == 0
    assert batch.courses.numbers.shape == (0, len(CATALOGUE.course_columns))


def test_an_unknown_code_or_course_column_is_refused() -> None:
    with pytest.raises(KeyError, match="no_such_code"):
        snapshots(CATALOGUE, [CourseInput("car-t", "", 0, observations=(Observed("no_such_code", 0, 1.0),))])
    with pytest.raises(KeyError, match="no_such_column"):
        snapshots(CATALOGUE, [CourseInput("car-t", "", 0, numbers={"no_such_column": 1.0})])


def test_an_event_is_found_by_its_name() -> None:
    batch = snapshots(CATALOGUE, [CourseInput("car-t", "", 0, observations=(Observed(Event.CRS_GRADE, 0, 2.0),))])
    assert CATALOGUE.codes[batch.observations.code[0]] == "crs_grade"


@given(st.lists(course_inputs(), max_size=3))
def test_a_course_survives_json_to_the_last_bit(courses: list[CourseInput]) -> None:
    text = json.dumps([one.to_json() for one in courses], allow_nan=False)
    again = [CourseInput.from_json(one) for one in json.loads(text)]
    before, after = snapshots(CATALOGUE, courses), snapshots(CATALOGUE, again)
    assert (after.courses.therapy, after.courses.indication) == (before.courses.therapy, before.courses.indication)
    np.testing.assert_array_equal(after.courses.numbers, before.courses.numbers)
    for name in ("course", "code", "seconds", "value", "limit"):
        np.testing.assert_array_equal(getattr(after.observations, name), getattr(before.observations, name))
    for name in ("index_seconds", "dose_seconds", "dose_number"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
