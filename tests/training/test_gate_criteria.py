"""Each criterion of the gate on both sides of its edge, on made-up scores. No row describes a person."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.builders import drawn
from training import change_plan
from training.change_plan import Change, Criterion, Numbers
from training.gate import Word, coverage, enough, word_of
from training.gate_criteria import (
    ROUNDING,
    Check,
    Judged,
    all_checks,
    calibration,
    ceiling,
    not_compared,
    shown,
    subgroup,
    unless_worse,
)
from training.gate_intervals import (
    Bounded,
    Drawn,
    Draws,
    auroc_drawn,
    mean_drawn,
    metrics_drawn,
    relative_loss,
    simultaneous,
)
from training.gate_rows import BASE_RATE, CHAMPION, PUBLISHED, Sample, base_rate
from training.metrics import auroc, calibration_slope, log_loss

Array = NDArray[np.float64]
ITEM = change_plan.read().items[Change.RETRAIN]
NUMBERS = replace(ITEM.numbers, draws=200, calibration_draws=60)


def bounded(value: float, reach: float) -> Bounded:
    return Bounded(value, value - reach, value + reach)


# The edges


@pytest.mark.parametrize(("high", "met"), [(0.02, True), (0.02 + 1e-6, False), (-0.1, True), (math.nan, False)])
def test_a_loss_has_to_be_shown_to_lie_within_its_margin(high: float, met: bool) -> None:
    assert shown(Criterion.LOG_LOSS_OVERALL, Bounded(0.0, -0.2, high), 0.02, "loss").met is met


@pytest.mark.parametrize(("low", "word"), [(0.021, "loss is beyond"), (0.01, "loss may be beyond")])
def test_worse_and_not_shown_are_told_apart(low: float, word: str) -> None:
    assert shown(Criterion.LOG_LOSS, Bounded(0.03, low, 0.05), 0.02, "loss").text.startswith(word)


@pytest.mark.parametrize(("low", "met"), [(0.02, True), (0.02 + 1e-6, False), (-1.0, True), (math.nan, True)])
def test_one_of_many_figures_is_refused_only_where_it_is_shown_worse(low: float, met: bool) -> None:
    assert unless_worse(Criterion.AUROC, Bounded(0.1, low, 0.5), 0.02, "AUROC").met is met


def test_the_last_bits_of_a_sum_are_no_loss() -> None:
    assert unless_worse(Criterion.PUBLISHED, bounded(ROUNDING / 2, ROUNDING / 4), 0.0, "loss").met


@pytest.mark.parametrize(("value", "met"), [(0.9, True), (0.9001, False)])
def test_an_auroc_above_the_ceiling_is_a_leak_until_shown_otherwise(value: float, met: bool) -> None:
    check = ceiling(bounded(value, 0.05), 0.9, "crs_2plus", "start")
    assert (check.met, "leak" in check.text) == (met, not met)


INSIDE = {"slope": bounded(1.0, 0.1), "intercept": bounded(0.0, 0.1), "index": bounded(0.02, 0.01)}


@pytest.mark.parametrize(
    ("changed", "code", "met"),
    [
        ({"slope": Bounded(0.6, 0.5, NUMBERS.slope_low)}, Criterion.SLOPE, True),
        ({"slope": Bounded(0.6, 0.5, NUMBERS.slope_low - 0.01)}, Criterion.SLOPE, False),
        ({"slope": Bounded(1.8, NUMBERS.slope_high, 2.0)}, Criterion.SLOPE, True),
        ({"slope": Bounded(1.8, NUMBERS.slope_high + 0.01, 2.0)}, Criterion.SLOPE, False),
        ({"intercept": Bounded(0.6, NUMBERS.intercept, 0.8)}, Criterion.INTERCEPT, True),
        ({"intercept": Bounded(0.6, NUMBERS.intercept + 0.01, 0.8)}, Criterion.INTERCEPT, False),
        ({"intercept": Bounded(-0.6, -0.8, -NUMBERS.intercept - 0.01)}, Criterion.INTERCEPT, False),
        ({"index": Bounded(0.2, NUMBERS.ici, 0.3)}, Criterion.ICI, True),
        ({"index": Bounded(0.2, NUMBERS.ici + 0.01, 0.3)}, Criterion.ICI, False),
    ],
)
def test_calibration_is_refused_where_an_interval_lies_wholly_outside(
    changed: dict[str, Bounded], code: Criterion, met: bool
) -> None:
    found = {one.code: one.met for one in calibration(**{**INSIDE, **changed}, numbers=NUMBERS, outcome="crs_2plus")}
    assert found == {**dict.fromkeys((Criterion.SLOPE, Criterion.INTERCEPT, Criterion.ICI), True), code: met}


def test_a_model_that_says_one_number_has_no_slope_and_is_not_refused_for_it() -> None:
    nowhere = Bounded(math.nan, math.nan, math.nan)
    assert all(one.met for one in calibration(nowhere, INSIDE["intercept"], nowhere, NUMBERS, "crs_2plus"))


@pytest.mark.parametrize(
    ("found", "met"),
    [
        (Bounded(0.06, 0.01, 0.11), False),
        (Bounded(0.06, -0.01, 0.13), True),
        (Bounded(0.05, 0.01, 0.09), True),
    ],
)
def test_a_subgroup_is_refused_where_it_is_worse_beyond_chance_and_beyond_the_margin(found: Bounded, met: bool) -> None:
    assert subgroup(found, 0.05, "crs_2plus", "sex: female", CHAMPION).met is met


# Figures


def sample(challenger: Array, champion: Array, label: Array, **changed: object) -> Sample:
    """Two rows of each patient; a published rate of one half."""
    n = len(label)
    held: dict[str, object] = {
        "outcome": "crs_2plus",
        "label": label,
        "patient": np.arange(n) // 2,
        "challenger": challenger,
        "rivals": {
            CHAMPION: champion,
            PUBLISHED: np.zeros(n),
            BASE_RATE: base_rate(label, np.arange(n) // 2, np.full(n, "0h")),
        },
        "scores": {},
        "start": np.ones(n, dtype=bool),
        "groups": {"sex": np.where(np.arange(n) % 4 < 2, "female", "male")},
        "fitted": True,
        "must_be_judged": True,
    }
    return Sample(**{**held, **changed})  # type: ignore[arg-type]


def judged(one: Sample, numbers: Numbers = NUMBERS) -> Judged:
    return Judged([one], Draws(one.patient, numbers.draws, numbers.confidence, numbers.seed), numbers)


def failing(one: Sample) -> set[Criterion]:
    return {check.code for check in all_checks(judged(one)) if check.met is False}


@pytest.fixture(scope="module")
def risk() -> Array:
    """Log-odds of 600 made-up rows."""
    return np.random.default_rng(3).normal(-1.0, 1.2, 600)


def test_a_model_against_itself_loses_nothing_in_any_draw(risk: Array) -> None:
    one = sample(risk, risk, drawn(risk))
    held = judged(one)
    assert np.abs(held.loss(one, CHAMPION).sample).max() == 0
    assert failing(one) == set()


def test_the_true_risk_passes_against_a_noisy_champion_and_not_the_other_way(risk: Array) -> None:
    noisy = risk + np.random.default_rng(4).normal(0, 1.5, len(risk))
    label = drawn(risk)
    assert failing(sample(risk, noisy, label)) == set()
    assert {Criterion.LOG_LOSS_OVERALL, Criterion.LOG_LOSS, Criterion.AUROC} <= failing(sample(noisy, risk, label))


def test_doubled_log_odds_keep_their_ranks_and_fail_by_slope(risk: Array) -> None:
    found = failing(sample(2.5 * risk, risk, drawn(risk)))
    assert {Criterion.SLOPE, Criterion.LOG_LOSS} <= found
    assert not {Criterion.AUROC, Criterion.AUROC_OVERALL} & found


def test_shifted_log_odds_fail_by_level_not_by_slope(risk: Array) -> None:
    found = failing(sample(risk + 1.0, risk, drawn(risk)))
    assert Criterion.INTERCEPT in found
    assert Criterion.SLOPE not in found


def test_labels_read_off_fail_by_the_ceiling_and_by_nothing_else(risk: Array) -> None:
    label = drawn(risk)
    noise = np.random.default_rng(5).normal(0, 1, len(risk))
    assert failing(sample(6 * (label - 0.5) + noise, risk, label)) <= {Criterion.CEILING, Criterion.SLOPE}
    assert Criterion.CEILING in failing(sample(6 * (label - 0.5) + noise, risk, label))


def test_better_overall_and_worse_in_one_group_fails_by_the_group(risk: Array) -> None:
    noisy = risk + np.random.default_rng(6).normal(0, 1.5, len(risk))
    some = np.arange(len(risk)) % 5 == 0
    groups = {"site": np.where(some, "small", "other")}
    turned = np.where(some, -1.5 - risk, risk)
    one = sample(turned, np.where(some, risk, noisy), drawn(risk), groups=groups)
    found = [check for check in all_checks(judged(one)) if check.code is Criterion.SUBGROUP]
    assert {check.group: check.met for check in found} == {"site: other": True, "site: small": False}


def test_a_published_score_that_ranks_better_refuses_a_fitted_outcome_only(risk: Array) -> None:
    poor = np.random.default_rng(7).normal(-1.0, 0.2, len(risk))
    score = {"easix": np.where(np.arange(len(risk)) % 3 > 0, risk, np.nan)}
    one = sample(poor, poor, drawn(risk), scores=score)
    assert Criterion.SCORE in failing(one)
    assert Criterion.SCORE not in failing(replace(one, fitted=False))


def test_worse_than_the_published_rate_is_refused_and_as_good_is_not(risk: Array) -> None:
    label, away = drawn(np.zeros(len(risk))), np.full(len(risk), 2.0)
    none = {PUBLISHED: np.zeros(len(risk)), BASE_RATE: np.zeros(len(risk))}
    assert {Criterion.PUBLISHED_OVERALL, Criterion.PUBLISHED} <= failing(sample(away, away, label, rivals=none))
    assert not {Criterion.PUBLISHED, Criterion.BASE_RATE} & failing(sample(np.zeros(600), away, label, rivals=none))


def test_a_group_with_too_few_events_is_not_compared_and_named_without_its_count(risk: Array) -> None:
    label = drawn(risk)
    few = np.isin(np.arange(len(risk)) // 2, np.flatnonzero(label[::2])[: NUMBERS.fewest_group_events - 1])
    one = sample(risk, risk, label, groups={"site": np.where(few, "small", "other")})
    named = {check.group for check in all_checks(judged(one)) if check.code is Criterion.SUBGROUP}
    assert named == {"site: other"}
    assert not_compared(judged(one)) == [f"{one.outcome}: subgroups too small to be judged: site: small"]
    assert not_compared(judged(replace(one, groups={"site": np.full(len(risk), "only")}))) == []


# Too few courses


@pytest.mark.parametrize(("courses", "met"), [(100, True), (99, None)])
def test_too_few_test_courses_cannot_judge(courses: int, met: bool | None) -> None:
    assert enough([], courses, ITEM)[0].met is met


@pytest.mark.parametrize(("events", "met"), [(10, True), (9, None)])
def test_an_outcome_that_was_fitted_needs_its_events(events: int, met: bool | None) -> None:
    label = (np.arange(100) < 2 * events).astype(float)
    one = sample(np.zeros(100), np.zeros(100), label)
    assert enough([one], 100, ITEM)[1].met is met
    assert enough([replace(one, must_be_judged=False)], 100, ITEM)[1].met is True


def test_an_outcome_below_the_minimum_gets_no_figures() -> None:
    label = (np.arange(100) < 18).astype(float)
    assert all_checks(judged(sample(np.zeros(100), np.zeros(100), label))) == []


def test_answers_that_only_the_champion_gives_are_refused(risk: Array) -> None:
    one = sample(risk, risk, drawn(risk))
    assert coverage([one]).met is True
    assert coverage([one, replace(one, lost=1)]).met is False


def test_the_words_of_a_verdict() -> None:
    required = frozenset({Criterion.ICI, Criterion.SLOPE})

    def word(*met: bool | None) -> Word:
        codes = (Criterion.ICI, Criterion.SLOPE, Criterion.CEILING)
        return word_of([Check(code, one, "") for code, one in zip(codes, met, strict=True)], required)

    assert word(True, True, False) is Word.PASS
    assert word(True, None, True) is Word.UNJUDGED
    assert word(False, None, True) is Word.REFUSE


# Intervals


def test_the_same_seed_gives_the_same_draws_and_every_draw_has_as_many_patients() -> None:
    patients = np.array([3, 3, 7, 9])
    first, again, other = (Draws(patients, 50, 0.95, seed) for seed in (1, 1, 2))
    assert (first.times == again.times).all()
    assert (first.times != other.times).any()
    assert set(first.times.sum(axis=1)) == {3.0}


def test_a_patients_rows_are_drawn_together() -> None:
    patient = np.array([0, 0, 1, 1, 2])
    weights = Draws(patient, 20, 0.95, 1).weights(patient, 20)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 2] == weights[:, 3]).all()


def test_sums_over_draws_are_the_metric_on_the_drawn_rows(risk: Array) -> None:
    label, patient = drawn(risk), np.arange(len(risk)) // 3
    draws = Draws(patient, 5, 0.95, 1)
    other = risk * 0.5
    found = relative_loss(draws, patient, label, risk, other, np.ones(len(risk), dtype=bool))
    for place, weight in enumerate(draws.weights(patient, 5)):
        assert found.sample[place] == pytest.approx(log_loss(label, risk, weight) / log_loss(label, other, weight) - 1)
        ranked = auroc_drawn(label, risk, weight[None])
        assert ranked.sample[0] == pytest.approx(auroc(label[weight > 0], risk[weight > 0], weight[weight > 0]))
    slope = metrics_drawn({"slope": calibration_slope}, label, risk, draws.weights(patient, 5))["slope"]
    assert slope.value == pytest.approx(calibration_slope(label, risk, np.ones(len(risk))))


def test_ties_count_half() -> None:
    assert auroc_drawn(np.array([1.0, 0.0]), np.zeros(2), np.ones((1, 2))).value == 0.5


def test_the_mean_of_figures_leaves_an_undefined_draw_out() -> None:
    one, two = Drawn(0.2, np.array([0.1, np.nan])), Drawn(0.4, np.array([0.3, 0.5]))
    found = mean_drawn([one, two])
    assert found.value == pytest.approx(0.3)
    assert found.sample == pytest.approx([0.2, 0.5])


def test_bounds_of_many_groups_together_are_wider_than_of_one_and_hold_their_chance() -> None:
    random = np.random.default_rng(8)
    many = [Drawn(0.0, random.normal(0, scale, 4000)) for scale in (1.0, 5.0, 0.2) * 10]
    alone, together = simultaneous(many[:1], 0.95)[0], simultaneous(many, 0.95)
    assert together[0].low < alone.low < 0
    sample = np.array([one.sample for one in many])
    beyond = (sample < np.array([[one.low] for one in together])).any(axis=0)
    assert beyond.mean() == pytest.approx(0.05, abs=0.01)


def test_a_figure_without_spread_is_its_own_bound() -> None:
    assert simultaneous([Drawn(0.1, np.full(9, 0.1))], 0.95) == [Bounded(0.1, 0.1, 0.1)]


def test_the_base_rate_is_that_of_the_other_patients_at_the_same_time() -> None:
    label, patient = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0, 1, 2, 0])
    found = base_rate(label, patient, np.array(["0h", "0h", "0h", "24h"]))
    assert found[:3] == pytest.approx(np.log([1.5 / 1.5, 2.5 / 0.5, 1.5 / 1.5]))
    assert found[3] == pytest.approx(0.0)
