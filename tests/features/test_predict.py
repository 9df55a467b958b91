"""Answers: from the prior alone, from boosters, coherent, and refused where the bundle does not fit."""

import math
from dataclasses import replace

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from features.bundle import Bundle
from features.calibration import PRIOR_ALONE, Calibration, Parts, Terms
from features.course import HOUR, Event
from features.errors import BundleError
from features.outcomes import OUTCOME_KEYS
from features.predict import FAMILIES, Predictor, answers, coherent, sum_of_leaves, verify_golden
from features.prior import History, Prior, Timing, sigmoid
from features.single import CourseInput, Observed, snapshots
from tests.builders import (
    CATALOGUE,
    NOT_KNOWN,
    both,
    course_inputs,
    evidence,
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


def with_calibration(base: Bundle, **each: Calibration) -> Predictor:
    return Predictor(replace(base, calibration={**base.calibration, **each}), CATALOGUE)


@pytest.fixture(scope="module")
def prior_only() -> Predictor:
    return Predictor(prior_only_bundle(), CATALOGUE)


# The prior alone


def test_without_boosters_the_answer_is_the_published_prior(prior_only: Predictor) -> None:
    found = predict(prior_only, CourseInput(CAR_T, "lbcl", 24 * HOUR), CourseInput("teclistamab", "mm", 0))
    held = Prior(evidence())
    rows = held.rows((CAR_T, "teclistamab"), ("lbcl", "mm"))
    timing, nothing = (
        Timing(np.array([24.0, 0.0]), np.array([1, 1])),
        History(np.zeros((2, 2)), np.full((2, 2), np.nan)),
    )
    probabilities = held.probabilities(rows, held.fractions(rows, timing), nothing, held.within(rows, timing))
    np.testing.assert_allclose(found.probability, probabilities, rtol=1e-12)
    assert found.log_odds.tobytes() == found.rows.prior.tobytes()
    assert not found.trees.any()


@pytest.mark.parametrize("bundle", [prior_only_bundle(), trained_bundle()], ids=["prior", "trained"])
def test_an_unknown_therapy_has_no_answer_and_never_a_low_one(bundle: Bundle) -> None:
    charted = (Observed(Event.CRS_GRADE, 0, 1.0),)
    found = predict(Predictor(bundle, CATALOGUE), CourseInput(NOT_KNOWN, "lbcl", 0, observations=charted))
    assert np.isnan(found.probability).all()


# Boosters and calibration


def test_an_answer_adds_prior_and_trees_as_the_calibration_says() -> None:
    found = predict(trained_predictor(), *many_courses(50))
    known = ~np.isnan(found.rows.prior[:, 0])
    for key in ("crs_1plus", "crs_3plus", "icans_2plus"):
        place = outcome_place(key)
        expected = 0.125 + found.rows.prior[:, place] + 0.75 * found.trees[:, place]
        np.testing.assert_allclose(found.log_odds[known, place], expected[known], rtol=1e-12, atol=1e-12)
        assert np.ptp(found.trees[:, place]) > 0.01
    place = outcome_place("crs_2plus")
    np.testing.assert_array_equal(found.log_odds[:, place], found.rows.prior[:, place])


def test_the_sum_of_leaves_is_that_of_the_leaves_written_in_the_model() -> None:
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(small_booster(("a", "b"), 3)))
    values = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    values[::3, 0] = np.nan
    matrix = xgboost.DMatrix(values, feature_names=["a", "b"], nthread=1)
    reached = booster.predict(matrix, pred_leaf=True).astype(int)
    table = [tree.splitlines() for tree in booster.get_dump()]
    leaf = [
        {int(line.split(":")[0]): float(line.split("leaf=")[1]) for line in tree if "leaf=" in line} for tree in table
    ]
    expected = [sum(leaf[tree][node] for tree, node in enumerate(row)) for row in reached]
    np.testing.assert_allclose(sum_of_leaves(booster, values), expected, rtol=1e-5, atol=1e-6)


def test_trees_without_weight_leave_the_prior() -> None:
    keys = trained_bundle().boosters
    predictor = with_calibration(trained_bundle(), **dict.fromkeys(keys, PRIOR_ALONE))
    found = predict(predictor, *many_courses(20))
    np.testing.assert_array_equal(found.log_odds, found.rows.prior)


def parts(prior: float, hours: float, begun: bool, therapy: str) -> Parts:
    return Parts(
        np.array([prior]),
        np.array([hours]),
        np.array([begun]),
        np.array([0]),
        (therapy,),
        np.zeros(1),
        np.array([False]),
    )


CALIBRATION = Calibration(
    single=Terms(0.5, 0.8, -0.3, 0.0, 1.5, 0.9, 0.1), therapy_shift={"single": {"teclistamab": 0.25}}
)


@pytest.mark.parametrize(
    ("hours", "weight"), [(0.0, 0.9), (24 * math.log(2), 0.5), (24.0, 0.1 + 0.8 / math.e), (1e6, 0.1)]
)
def test_the_trees_weight_moves_from_the_early_to_the_late_slope(hours: float, weight: float) -> None:
    with_trees, without = (
        CALIBRATION.combine(parts(-1.0, hours, True, CAR_T), np.array([trees])) for trees in (2.0, 0.0)
    )
    assert (with_trees - without)[0] == pytest.approx(2.0 * weight, rel=1e-9)


def test_the_clock_runs_until_the_event_has_begun() -> None:
    waiting, begun = (CALIBRATION.combine(parts(-1.0, 48.0, one, CAR_T), np.zeros(1))[0] for one in (False, True))
    assert waiting == pytest.approx(0.5 + 0.8 * -1.0 - 0.3 * math.log(1 + 48 / 12), rel=1e-12)
    assert begun == pytest.approx(0.5 + 0.8 * -1.0 + 1.5, rel=1e-12)


def test_a_therapy_with_a_local_shift_has_it_and_others_do_not() -> None:
    shifted, other = (CALIBRATION.combine(parts(0.0, 0.0, True, one), np.zeros(1))[0] for one in ("teclistamab", CAR_T))
    assert shifted - other == pytest.approx(0.25, rel=1e-12)


def test_columns_out_of_order_in_a_booster_are_refused() -> None:
    names = full_spec().names
    swapped = (names[1], names[0], *names[2:])
    for wrong in (swapped, names[:-1], (*names, "one_more")):
        bundle = replace(prior_only_bundle(), boosters={"crs_1plus": small_booster(wrong)})
        with pytest.raises(
            BundleError, match=r"model-crs_1plus\.ubj: its columns are not those of spec\.json"
        ) as caught:
            Predictor(bundle, CATALOGUE)
        assert "\n" not in str(caught.value)


def test_a_column_of_an_unknown_analyte_is_refused() -> None:
    spec = full_spec()
    place = spec.names.index("crp.last")
    strange = replace(spec.columns[place], name="no_such.last", source="no_such")
    columns = (*spec.columns[:place], strange, *spec.columns[place + 1 :])
    with pytest.raises(BundleError, match=r"spec\.json: a column names an analyte"):
        Predictor(replace(prior_only_bundle(), spec=replace(spec, columns=columns)), CATALOGUE)


# Coherence


def in_order(values: list[float]) -> bool:
    known = [value for value in values if not math.isnan(value)]
    return known == sorted(known, reverse=True)


@given(st.lists(course_inputs(), min_size=1, max_size=3))
def test_a_worse_grade_is_never_likelier_than_a_milder_one(courses: list[CourseInput]) -> None:
    probability = predict(trained_predictor(), *courses).probability
    for row in probability.tolist():
        assert all(in_order([row[place] for place in family]) for family in FAMILIES)
    known = probability[~np.isnan(probability)]
    assert ((known >= 0) & (known <= 1)).all()


def test_where_boosters_disagree_the_milder_grade_stands() -> None:
    low, high = both(intercept=-9.0), both(intercept=9.0)
    predictor = with_calibration(prior_only_bundle(), crs_1plus=low, crs_3plus=high, icans_3plus=high)
    found = predict(predictor, CourseInput(CAR_T, "lbcl", 0))
    raw = sigmoid(found.log_odds)[0]
    first, second, third = (outcome_place(f"crs_{grade}plus") for grade in (1, 2, 3))
    assert raw[third] > raw[second] > raw[first]
    assert found.probability[0, [first, second, third]].tolist() == [raw[first]] * 3
    two, three = outcome_place("icans_2plus"), outcome_place("icans_3plus")
    assert found.probability[0, [two, three]].tolist() == [raw[two]] * 2


@given(st.lists(st.lists(st.floats(0, 1), min_size=5, max_size=5), min_size=1, max_size=4))
def test_what_is_coherent_already_is_left_alone(rows: list[list[float]]) -> None:
    once = coherent(np.array(rows))
    np.testing.assert_array_equal(coherent(once), once)
    assert (once <= np.array(rows)).all()


@given(st.floats(-800, 800))
def test_the_sigmoid_is_the_logistic_function_without_overflow(value: float) -> None:
    expected = 1 / (1 + math.exp(-value)) if value > -700 else 0.0
    assert sigmoid(np.array([value]))[0] == pytest.approx(expected, rel=1e-9, abs=1e-16)


# Outcomes that have happened


def test_a_grade_that_was_reached_is_not_predicted_and_never_caps_a_worse_one() -> None:
    # So unlikely by calibration that it would hold the worse grades down, if it counted.
    unlikely = both(intercept=-12.0)
    predictor = with_calibration(prior_only_bundle(), crs_1plus=unlikely, crs_2plus=unlikely)
    charted = (Observed(Event.CRS_GRADE, 40 * HOUR, 2.0),)
    found = predict(predictor, CourseInput(CAR_T, "lbcl", 48 * HOUR, observations=charted))
    first, second, third = (outcome_place(f"crs_{grade}plus") for grade in (1, 2, 3))
    assert np.isnan(found.probability[0, [first, second]]).all()
    assert found.probability[0, third] == sigmoid(found.log_odds)[0, third] > 0.01
    assert not np.isnan(found.probability[0, [outcome_place("icans_2plus"), outcome_place("icans_3plus")]]).any()


def test_a_milder_grade_still_to_come_holds_the_worse_one() -> None:
    unlikely = both(intercept=-12.0)
    predictor = with_calibration(prior_only_bundle(), crs_2plus=unlikely)
    charted = (Observed(Event.CRS_GRADE, 40 * HOUR, 1.0),)
    found = predict(predictor, CourseInput(CAR_T, "lbcl", 48 * HOUR, observations=charted))
    second, third = outcome_place("crs_2plus"), outcome_place("crs_3plus")
    assert found.probability[0, third] == found.probability[0, second] < 1e-3


# Parity


def test_a_course_is_answered_alone_as_in_a_batch_to_the_last_bit() -> None:
    courses = many_courses(8192 + 300, seed=2)
    batch = trained_predictor().predict(snapshots(CATALOGUE, courses), workers=2)
    for place in [*range(0, len(courses), 97), 8191, 8192, len(courses) - 1]:
        alone = predict(trained_predictor(), courses[place])
        for name in ("trees", "log_odds", "probability"):
            assert getattr(alone, name).tobytes() == getattr(batch, name)[place].tobytes()


# Golden courses


def test_the_golden_courses_of_a_bundle_are_verified() -> None:
    assert verify_golden(trained_predictor()) == len(trained_bundle().golden["courses"]) >= 8


@pytest.mark.parametrize("name", ["intercept", "prior_slope", "early_slope", "late_slope"])
def test_one_calibration_number_changed_by_a_little_is_refused(name: str) -> None:
    held = trained_bundle().calibration["crs_1plus"]
    nudged = replace(held, single=replace(held.single, **{name: getattr(held.single, name) * (1 + 1e-6)}))
    with pytest.raises(
        BundleError, match=r"golden\.json: golden course \d+ no longer gives its recorded answer"
    ) as caught:
        verify_golden(with_calibration(trained_bundle(), crs_1plus=nudged))
    assert "\n" not in str(caught.value)


def test_the_last_bits_of_a_logarithm_are_another_processor_and_not_another_model() -> None:
    held = trained_bundle().calibration["crs_1plus"]
    nudged = replace(held, single=replace(held.single, intercept=held.single.intercept * (1 + 1e-12)))
    assert verify_golden(with_calibration(trained_bundle(), crs_1plus=nudged)) >= 8


def test_another_rule_of_the_row_is_refused() -> None:
    spec = trained_bundle().spec
    rules = {**spec.rules, "ldh": replace(spec.rules["ldh"], upper_limit=251.0)}
    with pytest.raises(BundleError, match="no longer gives its recorded answer"):
        verify_golden(Predictor(replace(trained_bundle(), spec=replace(spec, rules=rules)), CATALOGUE))


def test_recorded_answers_hold_every_bit() -> None:
    (course,) = many_courses(1)
    (answer,) = answers(trained_predictor(), [course])
    found = predict(trained_predictor(), course)
    assert bytes.fromhex(answer["row"]) == found.rows.values[0].tobytes()
    again = np.array([float.fromhex(value) for value in answer["probability"]])
    np.testing.assert_array_equal(again, found.probability[0])
    assert len(answer["log_odds"]) == len(OUTCOME_KEYS)
