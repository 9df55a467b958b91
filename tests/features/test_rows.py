"""The row-builder: against a slow and obvious reference, alone and in a batch, at the edges of time."""

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.course import HOUR, LATEST_SECONDS, LOOKBACK_SECONDS, Event
from features.outcomes import OUTCOMES
from features.prior import History, Prior, Timing
from features.rows import RowBuilder, Rows
from features.single import CourseInput, Observed, snapshots
from features.spec import Column
from tests.builders import (
    CATALOGUE,
    NOT_KNOWN,
    build,
    cell,
    course_inputs,
    evidence,
    full_spec,
    many_courses,
    row_builder,
    shuffled,
)

CAR_T = "axicabtagene-ciloleucel"
#: float32 holds about seven digits.
ROUNDING = 3e-7


def same(left: Rows, right: Rows) -> bool:
    """Bit for bit, NaN included."""
    return all(bits(getattr(left, one.name)) == bits(getattr(right, one.name)) for one in fields(Rows))


def bits(held: object) -> object:
    return (held.shape, held.tobytes()) if isinstance(held, np.ndarray) else held


def part(rows: Rows, which: slice) -> Rows:
    return Rows(**{one.name: getattr(rows, one.name)[which] for one in fields(Rows)})


def seen_at(course: CourseInput, code: str) -> list[Observed]:
    """The observations of one code that count: by time, then value, then limit with none stated first."""
    held = [one for one in course.observations if one.code == code]
    held = [one for one in held if -LOOKBACK_SECONDS <= one.seconds <= course.index_seconds]
    return sorted(held, key=lambda one: (one.seconds, one.value, -1.0 if math.isnan(one.limit) else one.limit))


def in_row_unit(one: Observed) -> float:
    """The value, or its multiple of the laboratory's own upper limit (else the default one) where assays differ."""
    analyte = CATALOGUE.analytes.get(one.code)
    if analyte is None or not analyte.per_upper_limit:
        return one.value
    return one.value / (analyte.reference_high if math.isnan(one.limit) else one.limit)


def expected_stat(course: CourseInput, code: str, stat: str) -> float:
    """One summary as its docstring words it."""
    seen = seen_at(course, code)
    if not seen:
        return math.nan
    values = [in_row_unit(one) for one in seen]
    analyte = CATALOGUE.analytes.get(code)
    if stat == "last":
        return values[-1]
    if stat == "first":
        return values[0]
    if stat == "baseline":
        before = [value for value, one in zip(values, seen, strict=True) if one.seconds <= course.dose_seconds]
        return before[-1] if before else math.nan
    if stat == "worst":
        return min(values) if analyte is not None and analyte.worse == "low" else max(values)
    if stat == "age":
        return (course.index_seconds - seen[-1].seconds) / HOUR
    if stat == "since_first":
        return (course.index_seconds - seen[0].seconds) / HOUR
    assert stat == "change"
    if analyte is not None and analyte.log_scale:
        return math.log(max(values[-1], 1e-3)) - math.log(max(values[0], 1e-3))
    return values[-1] - values[0]


def expected_score(course: CourseInput, name: str) -> float:
    latest = {code: seen_at(course, code) for code in ("ldh", "creatinine", "crp", "platelets")}
    values = (seen[-1].value if seen else math.nan for seen in latest.values())
    ldh, creatinine, crp, platelets = (value if math.isnan(value) else max(value, 1e-3) for value in values)
    return math.log2(ldh * (creatinine if name == "easix_log2" else crp / 10) / platelets)


def expected_member(key: str, column: Column) -> float:
    """1 where the key is the column's or belongs to it, NaN where it is unknown."""
    if column.kind == "therapy":
        known = key in CATALOGUE.therapies or key in CATALOGUE.classes
        wider = {key, *CATALOGUE.lineage(key)} if known else set()
    else:
        known = key in CATALOGUE.indications
        wider = {*CATALOGUE.indication_lineage(key), CATALOGUE.indications[key].group} if known else set()
    return float(column.source in wider) if known else math.nan


def expected_cell(course: CourseInput, column: Column) -> float:
    if column.kind == "stat":
        return expected_stat(course, column.source, column.stat)
    if column.kind == "course":
        return course.numbers.get(column.source, math.nan)
    if column.kind == "score":
        return expected_score(course, column.name)
    if column.kind in ("therapy", "indication"):
        return expected_member(course.therapy if column.kind == "therapy" else course.indication, column)
    hours = {
        "hours_since_start": course.index_seconds / HOUR,
        "hours_since_dose": (course.index_seconds - course.dose_seconds) / HOUR,
        "dose_number": float(course.dose_number),
    }
    return hours[column.name]


def check_against_reference(rows: Rows, courses: Sequence[CourseInput]) -> None:
    """Every column but those of the prior's own evidence, which test_prior.py covers."""
    for place, column in enumerate(full_spec().columns):
        if column.kind != "evidence":
            expected = [expected_cell(course, column) for course in courses]
            np.testing.assert_allclose(rows.values[:, place], expected, ROUNDING, 1e-6, err_msg=column.name)


@given(st.lists(course_inputs(), min_size=1, max_size=4))
def test_rows_are_what_the_slow_reference_says(courses: list[CourseInput]) -> None:
    check_against_reference(build(*courses), courses)


def test_rows_of_a_random_batch_are_what_the_slow_reference_says() -> None:
    courses = many_courses(150, seed=11)
    check_against_reference(build(*courses), courses)


@given(st.lists(course_inputs(), min_size=1, max_size=3))
def test_begun_and_reached_say_what_was_charted_by_then(courses: list[CourseInput]) -> None:
    rows = build(*courses)
    for place, course in enumerate(courses):
        grades = {event: [one.value for one in seen_at(course, event)] for event in Event}
        assert rows.begun[place].tolist() == [any(value > 0 for value in grades[one.event]) for one in OUTCOMES]
        reached = [any(value >= one.grade for value in grades[one.event]) for one in OUTCOMES]
        assert rows.reached[place].tolist() == reached


# Parity


@pytest.fixture(scope="module")
def thousands() -> list[CourseInput]:
    """More courses than one block holds."""
    return many_courses(8192 + 700)


def test_a_course_alone_and_in_a_batch_of_thousands_gives_the_same_row(thousands: list[CourseInput]) -> None:
    batch = row_builder().build(snapshots(CATALOGUE, thousands), workers=2)
    assert np.isnan(batch.values).any()
    chosen = [*range(0, len(thousands), 23), 8190, 8191, 8192, 8193, len(thousands) - 1]
    for place in chosen:
        assert same(build(thousands[place]), part(batch, slice(place, place + 1)))


def test_blocks_threads_and_the_order_of_observations_do_not_matter(thousands: list[CourseInput]) -> None:
    batch = snapshots(CATALOGUE, thousands)
    rows = row_builder().build(batch, workers=2)
    assert same(rows, row_builder().build(batch, workers=1))
    assert same(rows, row_builder().build(shuffled(batch), workers=2))


@given(st.lists(course_inputs(), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_the_order_of_observations_does_not_matter(courses: list[CourseInput], random: Random) -> None:
    mixed = [
        replace(one, observations=tuple(random.sample(one.observations, len(one.observations)))) for one in courses
    ]
    assert same(build(*courses), build(*mixed))


@given(course_inputs())
def test_a_duplicate_observation_does_not_matter(course: CourseInput) -> None:
    twice = replace(course, observations=course.observations + course.observations[::-1])
    assert same(build(course), build(twice))


@given(st.lists(course_inputs(), min_size=2, max_size=4))
def test_rows_follow_the_order_of_the_courses(courses: list[CourseInput]) -> None:
    assert same(build(*courses), part(build(*courses[::-1]), slice(None, None, -1)))


# Time


@given(course_inputs(), st.sampled_from(["crp", "ldh", Event.CRS_GRADE]), st.integers(1, 7 * 86_400))
def test_an_observation_after_the_index_time_never_reaches_the_row(course: CourseInput, code: str, late: int) -> None:
    later = Observed(code, course.index_seconds + late, 400.0 if code != Event.CRS_GRADE else 4.0, 99.0)
    assert same(build(course), build(replace(course, observations=(later, *course.observations))))


def test_one_second_decides() -> None:
    index = 36 * HOUR
    course = CourseInput(CAR_T, "lbcl", index)
    at = replace(course, observations=(Observed("crp", index, 88.0), Observed(Event.CRS_GRADE, index, 2.0)))
    after = replace(course, observations=(Observed("crp", index + 1, 88.0), Observed(Event.CRS_GRADE, index + 1, 2.0)))
    rows = build(at, after, course)
    assert cell(rows, "crp.last", 0) == 88.0
    assert cell(rows, "crp.age", 0) == 0.0
    assert rows.reached[0].tolist() == [True, True, False, False, False]
    assert rows.values[1].tobytes() == rows.values[2].tobytes()
    assert rows.prior[1].tobytes() == rows.prior[2].tobytes()
    assert not rows.reached[1].any()


def test_what_is_older_than_the_look_back_does_not_count() -> None:
    at, before = (Observed("crp", -LOOKBACK_SECONDS - late, 30.0) for late in (0, 1))
    rows = build(CourseInput(CAR_T, "", 0, observations=(at,)), CourseInput(CAR_T, "", 0, observations=(before,)))
    assert cell(rows, "crp.age", 0) == LOOKBACK_SECONDS / HOUR
    assert math.isnan(cell(rows, "crp.age", 1))


def test_the_latest_second_of_one_course_does_not_run_into_the_next_code() -> None:
    seen = tuple(Observed(code, LATEST_SECONDS, value) for code, value in (("crp", 10.0), ("ferritin", 20.0)))
    rows = build(*[CourseInput(CAR_T, "", LATEST_SECONDS, observations=seen)] * 2)
    for place in range(2):
        assert cell(rows, "crp.last", place) == 10.0
        assert cell(rows, "ferritin.last", place) == 20.0
        assert cell(rows, "ferritin.age", place) == 0.0


def test_of_several_at_one_time_the_larger_counts_as_the_later() -> None:
    seen = (Observed("crp", HOUR, 90.0), Observed("crp", HOUR, 30.0), Observed("crp", 0, 50.0))
    rows = build(CourseInput(CAR_T, "", 2 * HOUR, observations=seen))
    assert [cell(rows, f"crp.{stat}") for stat in ("first", "last", "age")] == [50.0, 90.0, 1.0]


# Scales and directions


def test_each_value_is_taken_over_its_own_upper_limit() -> None:
    seen = (Observed("ldh", 0, 400.0, 250.0), Observed("ldh", HOUR, 500.0, 500.0), Observed("ldh", 2 * HOUR, 300.0))
    rows = build(CourseInput(CAR_T, "", 2 * HOUR, observations=seen))
    default = CATALOGUE.analytes["ldh"].reference_high
    assert cell(rows, "ldh.first") == pytest.approx(1.6, rel=ROUNDING)
    assert cell(rows, "ldh.worst") == pytest.approx(1.6, rel=ROUNDING)
    assert cell(rows, "ldh.last") == pytest.approx(300 / default, rel=ROUNDING)
    assert cell(rows, "ldh.change") == pytest.approx(math.log(300 / default / 1.6), rel=1e-6)


def test_the_same_value_and_time_with_two_limits_does_not_depend_on_the_order() -> None:
    seen = (Observed("ldh", 0, 400.0, 480.0), Observed("ldh", 0, 400.0, 225.0), Observed("ldh", 0, 400.0))
    forward = build(CourseInput(CAR_T, "", 0, observations=seen))
    assert same(forward, build(CourseInput(CAR_T, "", 0, observations=seen[::-1])))
    assert cell(forward, "ldh.last") == pytest.approx(400 / 480, rel=ROUNDING)


def test_a_limit_changes_nothing_for_assays_that_agree() -> None:
    with_limit, without = (Observed("crp", 0, 50.0, limit) for limit in (5.0, math.nan))
    alone = [CourseInput(CAR_T, "", 0, observations=(one,)) for one in (with_limit, without)]
    assert same(build(alone[0]), build(alone[1]))


def test_worst_is_the_lowest_where_low_is_worse() -> None:
    codes = ("platelets", "spo2", "crp")
    seen = tuple(
        Observed(code, hour * HOUR, value) for code in codes for hour, value in ((0, 95.0), (1, 60.0), (2, 80.0))
    )
    rows = build(CourseInput(CAR_T, "", 3 * HOUR, observations=seen))
    assert [cell(rows, f"{code}.worst") for code in codes] == [60.0, 60.0, 95.0]


def test_missing_stays_missing() -> None:
    rows = build(CourseInput(CAR_T, "lbcl", 0))
    empty = [place for place, one in enumerate(full_spec().columns) if one.kind in ("stat", "course", "score")]
    assert np.isnan(rows.values[0, empty]).all()
    assert len(empty) > 200


def test_zero_is_a_value() -> None:
    rows = build(CourseInput(CAR_T, "", 0, numbers={"hiv": 0.0}, observations=(Observed("crp", 0, 0.0),)))
    assert [cell(rows, name) for name in ("hiv", "crp.last", "crp.change")] == [0.0, 0.0, 0.0]


def test_the_worst_grade_counts_from_when_it_was_first_charted() -> None:
    charted = [(10, 1), (20, 2), (26, 1), (30, 2), (40, 1)]
    seen = tuple(Observed(Event.CRS_GRADE, hour * HOUR, float(grade)) for hour, grade in charted)
    rows = build(CourseInput(CAR_T, "lbcl", 48 * HOUR, observations=seen))
    held = Prior(evidence())
    place = held.rows((CAR_T,), ("lbcl",))
    fractions = held.fractions(place, Timing(np.array([48.0]), np.array([1])))
    history = History(np.array([[2.0, 0.0]]), np.array([[28.0, math.nan]]))
    assert rows.prior.tobytes() == held.margins(place, fractions, history).tobytes()


# Shapes


def test_an_unknown_therapy_has_no_prior_and_no_therapy_columns() -> None:
    rows = build(CourseInput(NOT_KNOWN, "lbcl", 0))
    assert np.isnan(rows.prior).all()
    assert math.isnan(cell(rows, "step_up"))
    assert math.isnan(cell(rows, "crs_onset_fraction"))
    assert math.isnan(cell(rows, "therapy=car-t"))
    assert cell(rows, "indication=lymphoma") == 1.0


def test_no_courses_give_no_rows() -> None:
    rows = build()
    assert rows.values.shape == (0, len(full_spec().columns))
    assert len(rows) == 0


@pytest.mark.parametrize(
    "names",
    [
        ("crp.last", "age_years", "m_easix_log2", "therapy=car-t", "hours_since_dose"),
        ("crp.last",),
        ("easix_log2",),
        ("age_years",),
        ("crs_onset_fraction", "indication=lbcl"),
    ],
)
def test_a_part_of_the_columns_holds_what_they_hold_among_all(names: tuple[str, ...]) -> None:
    courses = many_courses(40, seed=5)
    kept = full_spec().keep(names)
    rows = RowBuilder(kept, Prior(evidence()), CATALOGUE).build(snapshots(CATALOGUE, courses))
    places = [full_spec().names.index(name) for name in kept.names]
    assert rows.values.tobytes() == np.ascontiguousarray(build(*courses).values[:, places]).tobytes()


def test_a_new_dose_starts_the_wait_for_a_worse_grade_anew() -> None:
    held = [Observed(Event.CRS_GRADE, 24 * HOUR, 1.0)]
    late = CourseInput("teclistamab", "mm", 72 * HOUR, 0, 1, {}, tuple(held))
    dosed = CourseInput("teclistamab", "mm", 72 * HOUR, 72 * HOUR, 2, {}, tuple(held))
    place = [one.key for one in OUTCOMES].index("crs_2plus")
    without, with_dose = (build(one).prior[0, place] for one in (late, dosed))
    assert with_dose > without


def test_no_accepted_value_makes_a_cell_infinite() -> None:
    seen = (
        *(Observed(code, 0, 1e-310) for code in ("platelets", "crp")),
        *(Observed(code, 0, CATALOGUE.analytes[code].plausible_high) for code in ("ldh", "creatinine")),
        Observed("ast", 0, 20_000.0, 1e-300),
    )
    rows = build(CourseInput(CAR_T, "lbcl", 0, observations=seen))
    assert not np.isinf(rows.values).any()
    assert cell(rows, "ast.last") == pytest.approx(2e7)


def test_a_score_of_the_row_rises_as_platelets_fall_to_none() -> None:
    def easix_at(platelets: float) -> float:
        seen = (Observed("ldh", 0, 400.0), Observed("creatinine", 0, 1.0), Observed("platelets", 0, platelets))
        return cell(build(CourseInput(CAR_T, "lbcl", 0, observations=seen)), "easix_log2")

    assert easix_at(0.0) > easix_at(1.0) > easix_at(50.0)
