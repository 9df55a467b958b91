"""The same course told in another way gives the same answer, bit for bit; a worse value never lowers the risk."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
import xgboost
from hypothesis import assume, given
from hypothesis import strategies as st

from data.cohort import layers
from data.request import request_body
from data.tables import Cohort, cohort_from_frames
from features.bundle import Bundle
from features.course import DAY, HOUR, Snapshots
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor, parts_of
from features.single import CourseInput, Observed, snapshots
from features.spec import Spec
from serving.answerer import Answerer
from serving.decode import predict_request
from serving.intake import take
from tests.builders import (
    CATALOGUE,
    CODES,
    both,
    course_inputs,
    full_spec,
    many_courses,
    predict,
    prior_only_bundle,
    row_builder,
)
from tests.data import frames
from tests.serving.builders import example
from tests.serving.learned import banded, learned_bundle
from training.config import Settings
from training.fit import parameters

CAR_T = "axicabtagene-ciloleucel"
READ = (
    ("crp.last", 0.0, 200.0),
    ("ferritin.last", 50.0, 5000.0),
    ("ldh.worst", 0.3, 8.0),
    ("platelets.last", 5.0, 300.0),
    ("temperature.worst", 36.0, 41.0),
    ("il6.last", 0.0, 3000.0),
    ("easix_log2", -2.0, 8.0),
    ("age_years", 20.0, 80.0),
)


@cache
def answerer() -> Answerer:
    """Trees that read the inputs below, with a band, so that every part of an answer says something."""
    return Answerer(Predictor(banded(learned_bundle(READ), "crs_1plus", 0.3, 0.7), CATALOGUE), "7")


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """All of the answer but its id, which is drawn anew each time."""
    intake = take(CATALOGUE, predict_request(json.dumps(body).encode()))
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answerer().answer([intake])[0]))
    del found["prediction_id"]
    return found


# Other words for the same course

#: The units of one analyte, between which these whole numbers convert without rounding: unit, how many make one.
EXACT: dict[str, dict[str, int]] = {
    "crp": {"mg/L": 10, "ug/mL": 10, "mg/dL": 1},
    "ferritin": {"ng/mL": 1, "ug/L": 1, "mcg/L": 1},
    "ldh": {"U/L": 60, "IU/L": 60, "ukat/L": 1},
    "platelets": {"10*3/uL": 1, "10*9/L": 1, "K/uL": 1, "G/L": 1},
    "il6": {"pg/mL": 1000, "ng/L": 1000, "ng/mL": 1},
    "temperature": {"Cel": 1, "degC": 1, "\u00b0C": 1},
}
PLAIN: dict[str, tuple[int, int]] = {
    "crp": (0, 50),
    "ferritin": (10, 9000),
    "ldh": (1, 30),
    "platelets": (1, 400),
    "il6": (0, 9),
    "temperature": (36, 41),
}
Told = tuple[str, int, float]


@st.composite
def tellings(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """One made-up course, and the same one in other units."""
    told: list[Told] = draw(st.lists(_told(), min_size=1, max_size=8))
    hours = draw(st.integers(0, 96))
    return tuple(_body(told, hours, [draw(st.sampled_from([*EXACT[code]])) for code, _, _ in told]) for _ in range(2))  # type: ignore[return-value]


@st.composite
def _told(draw: st.DrawFn) -> Told:
    code = draw(st.sampled_from([*EXACT]))
    # Few times, so that several results of one analyte meet at one.
    return code, draw(st.integers(*PLAIN[code])), float(draw(st.sampled_from([-100, -3, 0, 20, 24, 90])))


def _body(told: list[Told], hours: int, units: list[str]) -> dict[str, Any]:
    seen = [
        {"code": code, "value": value * EXACT[code][unit], "unit": unit, "hours": at}
        for (code, value, at), unit in zip(told, units, strict=True)
    ]
    grades = [{"event": "crs_grade", "value": one, "hours": one, "grading": "ASTCT-2019"} for one in (0, 1)]
    return example(observations=seen, events=grades, hours_since_start=hours)


@given(tellings())
def test_the_same_course_in_other_units_has_the_same_answer(both_: tuple[dict[str, Any], dict[str, Any]]) -> None:
    one, other = both_
    assert answer(one) == answer(other)


def test_other_units_that_do_not_convert_exactly_give_the_same_row_and_risk() -> None:
    seen = [("temperature", 38.6, "Cel", 101.48, "[degF]"), ("crp", 64.1, "mg/L", 6.41, "mg/dL")]
    bodies = [
        example(observations=[{"code": one[0], "value": one[at], "unit": one[at + 1], "hours": 20} for one in seen])
        for at in (1, 3)
    ]
    one, other = map(answer, bodies)
    assert one["risks"] == other["risks"]


@given(tellings(), st.randoms(use_true_random=False))
def test_the_order_of_what_was_sent_does_not_matter(
    both_: tuple[dict[str, Any], dict[str, Any]], random: Random
) -> None:
    body, _ = both_
    mixed = {**body, **{name: random.sample(body[name], len(body[name])) for name in ("observations", "events")}}
    assert answer(mixed) == answer(body)


@given(tellings(), st.integers(1, 3))
def test_what_was_sent_twice_counts_once(both_: tuple[dict[str, Any], dict[str, Any]], times: int) -> None:
    body, _ = both_
    # What is stamped after the index time is counted in a caution, so that it is left out here.
    seen = [one for one in body["observations"] if one["hours"] <= body["hours_since_start"]]
    events = [one for one in body["events"] if one["hours"] <= body["hours_since_start"]]
    once = {**body, "observations": seen, "events": events}
    again = {**body, "observations": seen * (times + 1), "events": [*events, *events[:times]]}
    assert _without_counts(answer(again)) == _without_counts(answer(once))


def _without_counts(found: dict[str, Any]) -> dict[str, Any]:
    """Observations before the look-back are counted in a caution, too."""
    return {**found, "cautions": [one for one in found["cautions"] if one["code"] != "observations-before-lookback"]}


def test_two_values_at_one_time_are_told_alike_in_any_order() -> None:
    seen = [{"code": "crp", "value": value, "unit": "mg/L", "hours": 20} for value in (5, 150)]
    one, other, high = (answer(example(observations=order, events=[])) for order in (seen, seen[::-1], seen[1:]))
    assert one == other
    assert one["risks"] == high["risks"] != answer(example(observations=seen[:1], events=[]))["risks"]


def test_the_same_value_with_two_upper_limits_is_told_alike_in_any_order() -> None:
    seen = [
        {"code": "ldh", "value": 410, "unit": "U/L", "hours": 20, "upper_limit": limit} for limit in (480, 200, None)
    ]
    one, other, third = (answer(example(observations=order)) for order in (seen, seen[::-1], seen[1:] + seen[:1]))
    assert one == other == third


@given(tellings(), st.integers(1, 100))
def test_what_comes_after_the_index_time_changes_nothing_but_the_caution(
    both_: tuple[dict[str, Any], dict[str, Any]], late: int
) -> None:
    body, _ = both_
    seen = [one for one in body["observations"] if one["hours"] <= body["hours_since_start"]]
    hours = body["hours_since_start"] + late / 3600
    later = [{"code": "crp", "value": 400, "unit": "mg/L", "hours": hours}]
    grade = [{"event": "icans_grade", "value": 4, "hours": hours, "grading": "ASTCT-2019"}]
    events = [one for one in body["events"] if one["hours"] <= body["hours_since_start"]]
    without = {**body, "observations": seen, "events": events}
    plain, told = answer(without), answer({**without, "observations": seen + later, "events": events + grade})
    assert {**plain, "cautions": 0} == {**told, "cautions": 0}
    assert [one["code"] for one in told["cautions"] if one not in plain["cautions"]] == ["observations-after-index"]


# Another time zone

START = pd.Timestamp("2024-03-30T22:15:00", tz="UTC")
SEEN = (
    (-6.0, "crp", 12.0, "mg/L"),
    (20.5, "crp", 88.0, "mg/L"),
    (23.0, "temperature", 38.4, "Cel"),
    (40.25, "ldh", 400.0, "U/L"),
)
CHARTED = ((21.0, "crs_grade", 1.0), (44.0, "tocilizumab", 1.0))


def stamped(*zones: str) -> Cohort:
    """One course with all times as stamps in these zones by turns. In Berlin the clocks changed three hours later."""

    def at(hours: float, place: int) -> str:
        return (START + pd.Timedelta(hours=hours)).tz_convert(zones[place % len(zones)]).isoformat()

    courses = frames.courses("c0", start_time=at(0, 0))
    seen = [("c0", at(hours, place), *rest) for place, (hours, *rest) in enumerate(SEEN)]
    charted = [("c0", at(hours, place), *rest) for place, (hours, *rest) in enumerate(CHARTED)]
    return cohort_from_frames(
        courses,
        frames.observations(*seen).rename(columns={"hours": "time"}),
        frames.events(*charted).rename(columns={"hours": "time"}),
    )


def in_hours() -> Cohort:
    return cohort_from_frames(
        frames.courses("c0", start_time=START.isoformat()),
        frames.observations(*(("c0", *row) for row in SEEN)),
        frames.events(*(("c0", *row) for row in CHARTED)),
    )


ZONES = (("UTC",), ("Europe/Berlin",), ("Asia/Kolkata",), ("America/New_York", "Asia/Tokyo", "UTC"))


@pytest.mark.parametrize("zones", ZONES)
def test_the_same_course_in_another_time_zone_has_the_same_rows_and_fingerprint(zones: tuple[str, ...]) -> None:
    plain, moved = in_hours(), stamped(*zones)
    assert moved.fingerprint == plain.fingerprint
    assert len(moved.observations) == len(SEEN) + len(CHARTED)
    for one, other in zip(layers(plain), layers(moved), strict=True):
        left, right = (row_builder().build(layer.snapshots) for layer in (one, other))
        assert left.values.tobytes() == right.values.tobytes()
        assert left.prior.tobytes() == right.prior.tobytes()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata"])
def test_columns_that_carry_their_zone_are_read_as_their_stamps(zone: str) -> None:
    times = [pd.Series([START + pd.Timedelta(hours=row[0]) for row in rows]) for rows in (SEEN, CHARTED)]
    seen, charted = (
        frame.drop(columns="hours").assign(time=one.dt.tz_convert(zone))
        for frame, one in zip(
            (frames.observations(*(("c0", *row) for row in SEEN)), frames.events(*(("c0", *row) for row in CHARTED))),
            times,
            strict=True,
        )
    )
    course = frames.courses("c0", start_time=pd.Series([START]).dt.tz_convert(zone))
    assert cohort_from_frames(course, seen, charted).fingerprint == in_hours().fingerprint


@pytest.mark.parametrize("zones", ZONES)
@pytest.mark.parametrize("hours", [0.0, 24.0, 45.5])
def test_the_same_course_in_another_time_zone_has_the_same_answer(zones: tuple[str, ...], hours: float) -> None:
    one, other = (answer(request_body(cohort, "c0", hours)) for cohort in (in_hours(), stamped(*zones)))
    assert one == other
    assert one["status"] == "evaluated"


# A worse value

MONOTONE = tuple(column for column in full_spec().columns if column.monotone)
#: Analytes with columns whose direction is settled, and the direction that is worse.
WORSE = {
    code: CATALOGUE.analytes[code].worse
    for code in dict.fromkeys(column.source for column in MONOTONE if column.kind == "stat")
}


def settled(spec: Spec) -> Spec:
    """The columns whose direction is settled, and the hours."""
    return spec.keep([column.name for column in spec.columns if column.monotone or column.kind == "time"])


@cache
def constrained(kept: Callable[[Spec], Spec] = settled) -> Predictor:
    """Trees under the constraints that training puts on them, fitted to labels that speak against every one."""
    spec = kept(full_spec())
    random = np.random.default_rng(5)
    values = np.column_stack([random.uniform(*_range_of(column.name), 1500) for column in spec.columns])
    values[random.random(values.shape) < 0.25] = np.nan
    centred = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)
    against = np.nan_to_num(centred) @ np.array([-float(column.monotone) for column in spec.columns])
    noise = random.normal(0, 2, 1500) + 2 * np.nan_to_num(centred[:, 0])
    label = (against + noise > 0).astype(float)
    turned = np.where(random.random(1500) < 0.6, 1 - label, label)  # some of it for the constraints, so that trees grow
    matrix = xgboost.DMatrix(values.astype(np.float32), label=turned, feature_names=list(spec.names), nthread=1)
    settings = {**parameters(spec, Settings()), "max_depth": 4, "eta": 0.3, "min_child_weight": 1.0}
    booster = bytes(xgboost.train(settings, matrix, 40).save_raw("ubj"))
    keys = OUTCOME_KEYS[:2]
    terms = both(early_slope=0.3, late_slope=0.9, milder_slope=0.6, passed_slope=0.2)
    held: Bundle = replace(
        prior_only_bundle(), spec=spec, boosters=dict.fromkeys(keys, booster), calibration=dict.fromkeys(keys, terms)
    )
    return Predictor(held, CATALOGUE)


def _range_of(name: str) -> tuple[float, float]:
    code = name.split(".")[0]
    if code not in CATALOGUE.analytes:
        return {"hours": (0.0, 96.0)}.get(code.split("_")[0], (-1.0, 8.0))
    held = CATALOGUE.analytes[code]
    scale = held.reference_high if held.per_upper_limit else 1.0
    low = max(held.plausible_low, 0.0) / scale
    return low, min(held.plausible_high, 20 * held.reference_high) / scale


PLACES = slice(0, 2)


@st.composite
def worsened(draw: st.DrawFn) -> tuple[CourseInput, CourseInput]:
    """A course with one last value of an analyte whose direction is settled, and the same one with a worse value."""
    course = draw(course_inputs())
    assume(course.therapy in (CAR_T, "teclistamab", "cd19-car-t"))
    code = draw(st.sampled_from([code for code in CODES if code in WORSE]))
    held = CATALOGUE.analytes[code]
    high = min(held.plausible_high, 20 * held.reference_high)
    each = st.floats(held.plausible_low, high, allow_subnormal=False)
    values = sorted(draw(st.tuples(each, each)))
    better, worse = values if WORSE[code] == "high" else values[::-1]
    at, limit = course.index_seconds, draw(st.sampled_from([float("nan"), 200.0]))
    others = tuple(one for one in course.observations if one.code != code or one.seconds < at)
    return tuple(replace(course, observations=(*others, Observed(code, at, value, limit))) for value in (better, worse))  # type: ignore[return-value]


@given(worsened())
def test_a_worse_value_under_a_constraint_never_lowers_the_risk(both_: tuple[CourseInput, CourseInput]) -> None:
    found = predict(constrained(), *both_)
    better, worse = found.trees[:, PLACES]
    assert (worse >= better).all()
    np.testing.assert_array_equal(found.rows.prior[0], found.rows.prior[1])
    assert (found.log_odds[1, PLACES] >= found.log_odds[0, PLACES] - 1e-12).all()


def test_the_constrained_trees_do_read_what_they_are_constrained_on() -> None:
    courses = [
        CourseInput(CAR_T, "lbcl", DAY, observations=(Observed(code, DAY - HOUR, value),))
        for code in WORSE
        for value in np.linspace(*_canonical(code), 12)
    ]
    trees = predict(constrained(), *courses).trees[:, 0].reshape(len(WORSE), 12)
    turned = np.array([1 if worse == "high" else -1 for worse in WORSE.values()])[:, None]
    steps = np.diff(trees, axis=1) * turned
    assert (steps >= 0).all()
    assert (steps.max(axis=1) > 0).sum() >= 5


def _canonical(code: str) -> tuple[float, float]:
    held = CATALOGUE.analytes[code]
    return held.plausible_low, min(held.plausible_high, 20 * held.reference_high)


@given(
    st.integers(0, 300),
    st.sampled_from([column.name for column in MONOTONE]),
    st.floats(-50, 5000, width=32),
    st.floats(-50, 5000, width=32),
)
def test_one_cell_moved_the_worse_way_never_lowers_the_log_odds(seed: int, name: str, one: float, other: float) -> None:
    predictor = constrained()
    spec = predictor.bundle.spec
    place = spec.names.index(name)
    better, worse = sorted((one, other), reverse=spec.columns[place].monotone < 0)
    rows = predictor.builder.build(_snapshots(seed))
    values = np.repeat(rows.values[:1], 2, axis=0)
    values[:, place] = better, worse
    parts = parts_of(rows.take(np.zeros(2, dtype=np.int64)))
    found = predictor.log_odds(values, parts)[:, PLACES]
    assert (found[1] >= found[0] - 1e-12).all()


def _snapshots(seed: int) -> Snapshots:
    (course,) = many_courses(1, seed=seed)
    return snapshots(CATALOGUE, [replace(course, therapy=CAR_T)])


def test_without_the_constraints_the_same_labels_do_lower_it() -> None:
    def free(spec: Spec) -> Spec:
        kept = settled(spec)
        return replace(kept, columns=tuple(replace(column, monotone=0) for column in kept.columns))

    crp = [
        CourseInput(CAR_T, "lbcl", DAY, observations=(Observed("crp", DAY - HOUR, value),))
        for value in np.linspace(0, 100, 40)
    ]
    assert (np.diff(predict(constrained(free), *crp).trees[:, 0]) < 0).any()
