"""Why an answer is what it is: the parts add up to its log-odds, and the trees' parts are the exact Shapley values."""

import itertools
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from features.bundle import Bundle
from features.calibration import DOSING, Calibration, Terms
from features.course import HOUR, Event
from features.outcomes import OUTCOME_KEYS
from features.predict import Explanation, Prediction, Predictor, log_odds_of
from features.single import CourseInput, Observed
from tests.builders import (
    CATALOGUE,
    both,
    course_inputs,
    full_spec,
    many_courses,
    outcome_place,
    predict,
    prior_only_bundle,
    small_booster,
    trained_bundle,
    trained_predictor,
)

CAR_T = "axicabtagene-ciloleucel"


def trees_of(early: float, late: float, milder: float, passed: float) -> dict[str, float]:
    return {"early_slope": early, "late_slope": late, "milder_slope": milder, "passed_slope": passed}


def chained_bundle() -> Bundle:
    """Trees and milder grades' trees in every outcome but the last, with terms of all kinds."""
    held = trained_bundle()
    names = held.spec.names
    keys = OUTCOME_KEYS[:-1]
    return replace(
        held,
        boosters={key: small_booster(names, seed) for seed, key in enumerate(keys)},
        calibration={
            key: Calibration(
                Terms(0.1, 0.9, time_slope=-0.2, begun_shift=0.3, **trees_of(0.4, 0.8, 0.7, 0.3)),
                Terms(-0.1, 1.1, time_slope=0.1, begun_shift=0.2, **trees_of(0.9, 0.5, 0.6, 0.2)),
                Terms(0.2, 0.8, time_slope=0.05, begun_shift=-0.4, **trees_of(0.0, 0.6, 1.1, 0.9)),
                {"single": {CAR_T: 0.3}},
            )
            for key in keys
        },
    )


CHAINED = Predictor(chained_bundle(), CATALOGUE)
PREDICTORS = {"prior": Predictor(prior_only_bundle(), CATALOGUE), "trained": trained_predictor(), "chained": CHAINED}


def explained(predictor: Predictor, *courses: CourseInput) -> tuple[Prediction, Explanation]:
    found = predict(predictor, *courses)
    return found, predictor.explain(found, np.arange(len(courses)))


def total(why: Explanation) -> np.ndarray:
    return why.prior + why.level + why.clock + why.columns.sum(axis=2) + why.order


def check_parts_add_up(predictor: Predictor, courses: list[CourseInput], within: float) -> int:
    """Also returns how many answers were checked."""
    found, why = explained(predictor, *courses)
    evaluated = ~np.isnan(found.probability)
    assert np.abs(total(why) - log_odds_of(found.probability))[evaluated].max(initial=0.0) < within
    return int(evaluated.sum())


# The sum


@pytest.mark.parametrize("name", PREDICTORS)
def test_the_parts_add_up_to_the_log_odds_of_each_answer_of_many_courses(name: str) -> None:
    assert check_parts_add_up(PREDICTORS[name], many_courses(400, seed=11), 3e-6) > 1000


@given(st.lists(course_inputs(), min_size=1, max_size=4))
def test_the_parts_add_up_for_any_course(courses: list[CourseInput]) -> None:
    check_parts_add_up(CHAINED, courses, 1e-5)


@given(st.lists(course_inputs(), min_size=1, max_size=3))
def test_the_prior_is_there_wherever_there_is_an_answer(courses: list[CourseInput]) -> None:
    for predictor in PREDICTORS.values():
        found, why = explained(predictor, *courses)
        assert not np.isnan(why.prior[~np.isnan(found.probability)]).any()
    found, why = explained(PREDICTORS["prior"], *courses)
    assert why.prior.tobytes() == found.rows.prior.tobytes()


def test_the_parts_are_those_of_the_courses_that_were_asked_for() -> None:
    courses = many_courses(30, seed=4)
    found = predict(CHAINED, *courses)
    places = np.array([17, 2, 29])
    some = CHAINED.explain(found, places)
    every = CHAINED.explain(found, np.arange(30))
    for name in ("prior", "level", "clock", "columns", "order"):
        np.testing.assert_array_equal(getattr(some, name), getattr(every, name)[places])


# Each part


def test_an_outcome_without_trees_owes_nothing_to_any_column() -> None:
    courses = many_courses(60, seed=5)
    _, why = explained(PREDICTORS["prior"], *courses)
    assert not why.columns.any()
    _, why = explained(PREDICTORS["trained"], *courses)
    with_trees = [key in trained_bundle().boosters for key in OUTCOME_KEYS]
    assert why.columns.any(axis=(0, 2)).tolist() == with_trees


def test_a_worse_grade_without_trees_owes_to_columns_what_the_milder_ones_trees_say() -> None:
    held = trained_bundle()
    second = both(milder_slope=0.5, passed_slope=0.25)
    predictor = Predictor(replace(held, calibration={**held.calibration, "crs_2plus": second}), CATALOGUE)
    grade = (Observed(Event.CRS_GRADE, 2 * HOUR, 1.0),)
    _, why = explained(
        predictor,
        CourseInput(CAR_T, "lbcl", 4 * HOUR),
        CourseInput(CAR_T, "lbcl", 4 * HOUR, observations=grade),
    )
    first, worse = why.columns[:, outcome_place("crs_1plus")], why.columns[:, outcome_place("crs_2plus")]
    np.testing.assert_allclose(worse[0], 0.5 * first[0], rtol=1e-12)
    np.testing.assert_allclose(worse[1], 0.25 * first[1], rtol=1e-12)
    assert first.any()


def test_the_local_level_holds_the_intercept_and_the_average_of_the_trees() -> None:
    held = prior_only_bundle()
    shifted = Calibration(*(Terms(intercept=0.4) for _ in DOSING), therapy_shift={"single": {CAR_T: 0.25}})
    predictor = Predictor(replace(held, calibration={"icans_2plus": shifted}), CATALOGUE)
    _, why = explained(predictor, CourseInput(CAR_T, "lbcl", 0), CourseInput("teclistamab", "mm", 0))
    place = outcome_place("icans_2plus")
    assert why.level[:, place].tolist() == pytest.approx([0.65, 0.4], rel=1e-12)
    assert not np.delete(why.level, place, axis=1).any()
    assert not why.clock.any()


def test_keeping_the_grades_in_order_is_a_part_that_only_takes_away() -> None:
    low, high = both(intercept=-4.0), both(intercept=4.0)
    predictor = Predictor(replace(prior_only_bundle(), calibration={"crs_1plus": low, "crs_3plus": high}), CATALOGUE)
    found, why = explained(predictor, CourseInput(CAR_T, "lbcl", 0))
    first, third = outcome_place("crs_1plus"), outcome_place("crs_3plus")
    assert why.order[0, first] == pytest.approx(0.0, abs=1e-9)
    assert why.order[0, third] == pytest.approx(found.log_odds[0, first] - found.log_odds[0, third], abs=1e-9)
    assert why.order[0, third] < -1
    _, every = explained(CHAINED, *many_courses(200, seed=6))
    assert np.nanmax(every.order) < 1e-9


def test_an_outcome_that_was_reached_has_no_sum() -> None:
    grade = (Observed(Event.CRS_GRADE, HOUR, 2.0),)
    _, why = explained(CHAINED, CourseInput(CAR_T, "lbcl", 4 * HOUR, observations=grade))
    sums = np.isnan(total(why)[0])
    assert sums.tolist() == [key in ("crs_1plus", "crs_2plus") for key in OUTCOME_KEYS]


# Exactness


NAMES = ("hours_since_start", "crp.last", "ferritin.last")


def three_columns() -> tuple[Predictor, list[dict[str, Any]]]:
    """A model of three columns whose trees interact, believed in full, and its trees as they are written."""
    random = np.random.default_rng(1)
    values = np.column_stack([random.uniform(0, 72, 300), random.uniform(0, 200, 300), random.uniform(0, 4000, 300)])
    values[random.random(values.shape) < 0.2] = np.nan
    crp, ferritin = np.nan_to_num(values[:, 1]), np.nan_to_num(values[:, 2])
    label = (random.random(300) < np.where((crp > 90) & (ferritin > 1500), 0.8, np.where(crp > 150, 0.5, 0.1))) * 1.0
    matrix = xgboost.DMatrix(values.astype(np.float32), label=label, feature_names=list(NAMES), nthread=1)
    parameters = {"objective": "binary:logistic", "base_score": 0.5, "max_depth": 3, "eta": 0.5, "nthread": 1}
    booster = xgboost.train(parameters, matrix, 5)
    held = replace(
        prior_only_bundle(),
        spec=full_spec().keep(NAMES),
        boosters={"crs_1plus": bytes(booster.save_raw("ubj"))},
        calibration={"crs_1plus": both(early_slope=1.0, late_slope=1.0)},
    )
    trees = [json.loads(text) for text in booster.get_dump(dump_format="json", with_stats=True)]
    return Predictor(held, CATALOGUE), trees


THREE, TREES = three_columns()


def expected_of(node: dict[str, Any], row: dict[str, float], known: frozenset[str]) -> float:
    """What a tree says where only the known columns are: elsewhere its branches weigh as they did in training."""
    if "leaf" in node:
        return float(node["leaf"])
    below = {child["nodeid"]: child for child in node["children"]}
    if node["split"] in known:
        value = row[node["split"]]
        side = "missing" if math.isnan(value) else "yes" if value < np.float32(node["split_condition"]) else "no"
        return expected_of(below[node[side]], row, known)
    weights = [child["cover"] for child in below.values()]
    says = [expected_of(child, row, known) for child in below.values()]
    return sum(weight * said for weight, said in zip(weights, says, strict=True)) / sum(weights)


def shapley(row: dict[str, float], name: str) -> float:
    """The value of a column by its definition, over all subsets of the others."""
    others = [one for one in NAMES if one != name]
    value = 0.0
    for size in range(len(others) + 1):
        weight = math.factorial(size) * math.factorial(len(NAMES) - size - 1) / math.factorial(len(NAMES))
        for subset in itertools.combinations(others, size):
            known = frozenset(subset)
            gains = (expected_of(tree, row, known | {name}) - expected_of(tree, row, known) for tree in TREES)
            value += weight * sum(gains)
    return value


@given(
    st.integers(0, 72),
    st.floats(0, 200, width=32) | st.just(math.nan),
    st.floats(0, 4000, width=32) | st.just(math.nan),
)
@settings(max_examples=60)
def test_the_parts_of_the_columns_are_the_shapley_values_by_definition(hours: int, crp: float, ferritin: float) -> None:
    values = {"crp": crp, "ferritin": ferritin}
    seen = tuple(Observed(code, 0, value) for code, value in values.items() if not math.isnan(value))
    found, why = explained(THREE, CourseInput(CAR_T, "lbcl", hours * HOUR, observations=seen))
    row = dict(zip(NAMES, map(float, found.rows.values[0]), strict=True))
    place = outcome_place("crs_1plus")
    by_definition = [shapley(row, name) for name in NAMES]
    assert why.columns[0, place].tolist() == pytest.approx(by_definition, abs=2e-6)
    average = sum(expected_of(tree, row, frozenset()) for tree in TREES)
    assert why.level[0, place] == pytest.approx(average, abs=2e-6)


def test_the_trees_that_were_checked_do_interact() -> None:
    row = {"hours_since_start": 10.0, "crp.last": 120.0, "ferritin.last": 3000.0}
    alone = sum(expected_of(tree, row, frozenset({"crp.last"})) - expected_of(tree, row, frozenset()) for tree in TREES)
    assert abs(shapley(row, "crp.last") - alone) > 0.01
