"""The golden courses cover what could silently change, and their record is what a bundle verifies."""

import json
from itertools import product

import numpy as np
import pytest

from features import golden
from features.course import COURSE_NUMBERS, Event
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor, answers
from features.single import CourseInput
from features.units import check_plausible
from tests.builders import CATALOGUE, build, cell, full_spec, trained_bundle, trained_predictor

COURSES = golden.courses(CATALOGUE)
FULL, FEBRILE, BARE, SECOND_DOSE, BY_CLASS, OWN_LIMITS, TREATED, LATER, TWICE = range(9)


def test_golden_courses_are_plausible_and_known_to_the_catalogue() -> None:
    for course in COURSES:
        for seen in course.observations:
            if seen.code in CATALOGUE.analytes:
                check_plausible(CATALOGUE.analytes[seen.code], [seen.value])
        assert CATALOGUE.find_therapy(course.therapy) is not None
        assert course.indication == "" or course.indication in CATALOGUE.indications
        for name, value in course.numbers.items():
            low, high = COURSE_NUMBERS.get(name, (0.0, 1.0))
            assert low <= value <= high


def test_every_analyte_column_is_filled_by_some_golden_course() -> None:
    values = build(*COURSES).values
    untouched = np.asarray(np.isnan(values).all(axis=0))
    named = {name for name, empty in zip(full_spec().names, untouched.tolist(), strict=True) if empty}
    analytes = {
        f"{code}.{stat}" for code, stat in product(CATALOGUE.analytes, ("last", "first", "worst", "change", "age"))
    }
    assert not named & analytes
    assert not named & {"easix_log2", "m_easix_log2", "crs_grade.worst", "icans_grade.worst", "tocilizumab.age"}


def test_each_golden_course_is_what_it_stands_for() -> None:
    rows = build(*COURSES)
    assert COURSES[FULL].index_seconds == 0
    assert [cell(rows, "crs_grade.worst", FEBRILE), cell(rows, "hours_since_start", FEBRILE)] == [1.0, 48.0]
    assert COURSES[BARE] == CourseInput(COURSES[BARE].therapy, "", COURSES[BARE].index_seconds)
    second = [cell(rows, name, SECOND_DOSE) for name in ("step_up", "dose_number", "hours_since_dose")]
    assert second == [1.0, 2.0, 12.0]
    assert COURSES[BY_CLASS].therapy in CATALOGUE.classes
    assert {one.limit for one in COURSES[OWN_LIMITS].observations if one.code == "ldh"} >= {480.0, 225.0}
    assert cell(rows, "tocilizumab.age", TREATED) > 0
    assert rows.reached[TREATED].tolist() == [True, True, False, False, False]


def test_later_values_and_duplicates_change_no_golden_row() -> None:
    values = build(*COURSES).values
    assert any(one.seconds > COURSES[LATER].index_seconds for one in COURSES[LATER].observations)
    assert len(COURSES[TWICE].observations) == 2 * len(COURSES[FEBRILE].observations)
    assert values[LATER].tobytes() == values[TWICE].tobytes() == values[FEBRILE].tobytes()


def test_the_record_is_json_and_gives_the_same_answers_when_read() -> None:
    record = json.loads(json.dumps(golden.record(trained_predictor()), allow_nan=False))
    again = [CourseInput.from_json(one["input"]) for one in record["courses"]]
    assert answers(trained_predictor(), again) == [one["answer"] for one in record["courses"]]
    assert record == json.loads(json.dumps(trained_bundle().golden))


@pytest.mark.parametrize("key", OUTCOME_KEYS)
def test_every_outcome_has_a_golden_probability(key: str) -> None:
    place = OUTCOME_KEYS.index(key)
    recorded = [one["answer"]["probability"][place] for one in trained_bundle().golden["courses"]]
    known = {value for value in recorded if value != "nan"}
    assert len(known) >= 4


def test_the_record_does_not_depend_on_the_predictor_that_was_made_again() -> None:
    assert golden.record(Predictor(trained_bundle(), CATALOGUE)) == trained_bundle().golden


def test_charted_events_are_among_the_golden_observations() -> None:
    charted = {one.code for course in COURSES for one in course.observations}
    assert {Event.CRS_GRADE, Event.ICANS_GRADE, Event.TOCILIZUMAB, Event.CORTICOSTEROID, Event.STEP_DOSE} <= charted
