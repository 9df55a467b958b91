"""A course with one more fact is built as if that fact had been sent, and several batches as if they were one."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.course import Snapshots
from features.rows import Rows
from features.single import CourseInput, Observed, snapshots
from serving.what_if import Change, joined, with_changes
from tests.builders import CATALOGUE, CODES, course_inputs, row_builder


@st.composite
def facts(draw: st.DrawFn) -> tuple[Change, str, float]:
    """A change, and the code or course column that it is about."""
    if draw(st.booleans()):
        analyte = CATALOGUE.analytes[draw(st.sampled_from(CODES))]
        value = draw(st.floats(analyte.plausible_low, analyte.plausible_high, allow_subnormal=False))
        return Change(CATALOGUE.code_position(analyte.key), -1, value), analyte.key, value
    column = draw(st.integers(0, len(CATALOGUE.course_columns) - 1))
    value = float(draw(st.integers(0, 1)))
    return Change(-1, column, value), CATALOGUE.course_columns[column], value


def sent_with(course: CourseInput, key: str, value: float) -> CourseInput:
    """The course as it would be sent with that fact; an observation at its index time."""
    if key in CATALOGUE.course_columns:
        return replace(course, numbers={**course.numbers, key: value})
    return replace(course, observations=(*course.observations, Observed(key, course.index_seconds, value)))


def built(batch: Snapshots) -> Rows:
    return row_builder().build(batch)


def same(left: Rows, right: Rows) -> bool:
    arrays = ("values", "prior", "hours", "dosing", "evidence", "begun", "reached")
    alike = all(getattr(left, name).tobytes() == getattr(right, name).tobytes() for name in arrays)
    return alike and left.therapy == right.therapy


courses_ = st.lists(course_inputs(), min_size=1, max_size=4)


@given(courses_, st.data())
def test_a_course_with_one_more_fact_is_that_course_sent_with_it(
    courses: list[CourseInput], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(courses) - 1))
    drawn = data.draw(st.lists(facts(), min_size=1, max_size=4))
    tried = with_changes(snapshots(CATALOGUE, courses), place, [change for change, _, _ in drawn])
    sent = [sent_with(courses[place], key, value) for _, key, value in drawn]
    assert same(built(tried), built(snapshots(CATALOGUE, sent)))


@given(courses_, facts())
def test_the_course_itself_and_its_neighbours_are_left_as_they_were(
    courses: list[CourseInput], fact: tuple[Change, str, float]
) -> None:
    batch = snapshots(CATALOGUE, courses)
    before = built(batch)
    with_changes(batch, 0, [fact[0]])
    assert same(built(batch), before)


@given(st.lists(courses_, min_size=1, max_size=3))
def test_several_batches_joined_are_one_batch_of_all_courses(parts: list[list[CourseInput]]) -> None:
    together = joined([snapshots(CATALOGUE, one) for one in parts])
    assert same(built(together), built(snapshots(CATALOGUE, [course for one in parts for course in one])))


def test_no_change_makes_no_copy() -> None:
    batch = snapshots(CATALOGUE, [CourseInput("teclistamab", "mm", 0, observations=(Observed("crp", 0, 5.0),))])
    assert len(with_changes(batch, 0, [])) == 0
    assert len(joined([batch, with_changes(batch, 0, [])])) == 1
    assert np.array_equal(joined([batch]).observations.value, batch.observations.value)
