"""The penalised fit is the textbook's, and calibration believes the trees exactly as far as they have earned it."""

from dataclasses import astuple, replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from features.calibration import AS_PUBLISHED, DOSING, Calibration
from features.prior import sigmoid
from tests.training.builders import AXI, Array, drawn, parts
from training.calibrate import Evidence, Normal, Problem, calibrate, take
from training.config import Settings
from training.penalised import penalised_logistic

FREE = np.full(3, np.inf)
WIDTHS = np.array([3.0, 0.5, np.inf])


@pytest.fixture
def design() -> Array:
    return np.column_stack([np.ones(400), np.random.default_rng(1).normal(size=(400, 2))])


@pytest.fixture
def label(design: Array) -> Array:
    return drawn(design @ [-0.4, 1.2, -0.7])


def test_without_penalty_it_is_scikit_learns_logistic_regression(design: Array, label: Array) -> None:
    expected = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=1000).fit(design, label)
    found = penalised_logistic(design, label, np.zeros(3), FREE)
    assert found == pytest.approx(expected.coef_[0], abs=1e-4)


def test_with_a_penalty_it_is_scikit_learns_ridge(design: Array, label: Array) -> None:
    expected = LogisticRegression(C=0.25, fit_intercept=False, tol=1e-10, max_iter=1000).fit(design, label)
    found = penalised_logistic(design, label, np.zeros(3), np.full(3, 0.5))
    assert found == pytest.approx(expected.coef_[0], abs=1e-4)


@pytest.mark.parametrize("spread", [FREE, WIDTHS, np.full(3, 0.1)])
def test_the_gradient_is_zero_at_the_answer(design: Array, label: Array, spread: Array) -> None:
    centre, offset = np.array([0.3, 1.0, 0.0]), np.linspace(-1, 1, 400)
    weight = np.random.default_rng(2).integers(0, 4, 400).astype(float)
    at = penalised_logistic(design, label, centre, spread, offset, weight)
    gradient = design.T @ (weight * (label - sigmoid(design @ at + offset))) - (at - centre) / np.square(spread)
    assert np.abs(gradient).max() < 1e-3


def test_a_weight_counts_a_row_that_often(design: Array, label: Array) -> None:
    weight = np.random.default_rng(3).integers(0, 3, 400)
    repeated = penalised_logistic(np.repeat(design, weight, axis=0), np.repeat(label, weight), np.zeros(3), WIDTHS)
    assert penalised_logistic(design, label, np.zeros(3), WIDTHS, weight=weight.astype(float)) == pytest.approx(
        repeated
    )


def test_a_tiny_spread_stays_at_its_centre_and_an_infinite_one_ignores_it(design: Array, label: Array) -> None:
    centre = np.array([0.5, -2.0, 4.0])
    assert penalised_logistic(design, label, centre, np.full(3, 1e-5)) == pytest.approx(centre, abs=1e-6)
    far = penalised_logistic(design, label, centre, FREE)
    assert far == pytest.approx(penalised_logistic(design, label, np.zeros(3), FREE), abs=1e-5)


def test_data_that_separate_perfectly_still_end_in_numbers() -> None:
    x = np.linspace(-3, 3, 60)
    design = np.column_stack([np.ones(60), x])
    found = penalised_logistic(design, (x > 0).astype(float), np.zeros(2), np.full(2, np.inf))
    assert np.isfinite(found).all()
    assert found[1] > 5


def test_a_constant_column_takes_nothing() -> None:
    design = np.column_stack([np.ones(50), np.zeros(50)])
    found = penalised_logistic(design, np.arange(50) % 2 * 1.0, np.zeros(2), np.full(2, np.inf))
    assert found.tolist() == pytest.approx([0.0, 0.0])


def fitted(trees: Array, label: Array, hours: float = 0.0, prior: Array | None = None) -> Calibration:
    held = Evidence(parts(len(trees), prior, hours), trees, label, np.arange(len(trees)))
    return calibrate(held, Settings(), {AXI: 0.3})


def test_useless_trees_lose_their_weight_and_good_trees_keep_it() -> None:
    truth = np.random.default_rng(4).normal(0, 1.2, 3000)
    label = drawn(truth)
    noise = np.random.default_rng(6).permutation(truth)
    late = 24.0 * 20
    assert fitted(noise, label, late).single.late_slope < 0.1
    assert fitted(truth, label, late).single.late_slope == pytest.approx(1.0, abs=0.12)


def test_trees_earn_their_weight_at_the_infusion_and_have_it_later_until_they_lose_it() -> None:
    trees, label = np.zeros(40), np.arange(40) % 2 * 1.0
    found = fitted(trees, label)
    assert (found.single.early_slope, found.single.late_slope) == pytest.approx((0.0, 1.0))
    truth = np.random.default_rng(4).normal(0, 1.2, 5000)
    few, many = fitted(truth[:60], drawn(truth[:60])), fitted(truth, drawn(truth))
    assert few.single.early_slope < 0.5 < 0.8 < many.single.early_slope


@pytest.mark.parametrize("hours", [0.0, 12.0, 72.0])
def test_trees_that_point_the_wrong_way_are_ignored_never_turned_round(hours: float) -> None:
    truth = np.random.default_rng(8).normal(0, 1.5, 2000)
    found = fitted(-truth, drawn(truth), hours)
    assert found.single.early_slope >= 0
    assert found.single.late_slope >= 0
    assert found.shares(parts(1, hours=hours), np.ones(1)).trees.item() < 0.05


def test_a_prior_that_is_right_is_left_alone_and_one_that_is_too_high_is_shifted() -> None:
    prior = np.random.default_rng(9).normal(0, 1, 4000)
    right, high = fitted(np.zeros(4000), drawn(prior), 0.0, prior), fitted(np.zeros(4000), drawn(prior - 1), 0.0, prior)
    shift = right.combine(parts(1), np.zeros(1)).item(), high.combine(parts(1), np.zeros(1)).item()
    assert right.single.prior_slope == pytest.approx(1.0, abs=0.1)
    assert shift == pytest.approx((0.0, -1.0), abs=0.12)


def test_rows_of_one_course_count_together_as_one_course() -> None:
    prior, own = np.random.default_rng(10).normal(0, 1, 60), np.arange(60)
    label, widths = drawn(prior), {AXI: 0.3}
    once = calibrate(Evidence(parts(60, prior), np.zeros(60), label, own), Settings(), widths)
    four = Evidence(parts(240, np.tile(prior, 4)), np.zeros(240), np.tile(label, 4), np.tile(own, 4))
    fourfold = calibrate(four, Settings(), widths)
    assert astuple(fourfold.single) == pytest.approx(astuple(once.single))
    assert fourfold.therapy_shift["single"] == pytest.approx(once.therapy_shift["single"])


def test_each_kind_of_dosing_learns_from_its_own_rows_alone() -> None:
    prior, own = np.random.default_rng(11).normal(0, 1, 6000), np.arange(6000)
    dosing, wanted = own % 3, np.array([1.0, -1.0, 0.5])
    keys = np.array([AXI, "teclistamab", "teclistamab"])[dosing]
    every = replace(parts(6000, prior), dosing=dosing, therapy=keys)
    held = Evidence(every, np.zeros(6000), drawn(prior + wanted[dosing]), own)
    found = calibrate(held, Settings(), {AXI: 0.3, "teclistamab": 0.3})
    alone = calibrate(held.of(0), Settings(), {AXI: 0.3})
    assert (found.single, found.therapy_shift["single"]) == (alone.single, alone.therapy_shift["single"])
    levels = [
        terms.intercept + sum(found.therapy_shift[name].values())
        for name, terms in zip(DOSING, found.terms, strict=True)
    ]
    assert levels == pytest.approx(wanted, abs=0.15)


def test_dosing_that_no_course_had_stays_as_published() -> None:
    found = fitted(np.ones(50), drawn(np.ones(50)))
    assert found.first_dose == found.later_doses == AS_PUBLISHED
    assert found.single != AS_PUBLISHED


def test_take_keeps_the_named_rows_in_their_order() -> None:
    held = replace(parts(4, np.arange(4.0)), therapy=("a", "b", "c", "d"))
    found = take(held, np.array([2, 0]))
    assert (found.prior.tolist(), list(found.therapy)) == ([2.0, 0.0], ["c", "a"])


def by_quadrature(problem: Problem, prior: Normal) -> float:
    """Log of the likelihood averaged over the prior of one coefficient; without the constant of the normal density."""
    at = prior.centre[0] + prior.spread[0] * np.linspace(-8, 8, 4001)
    score = problem.design[:, 0][:, None] * at
    likelihood = problem.weight * np.sum(problem.label[:, None] * score - np.logaddexp(0.0, score), axis=0)
    density = likelihood - 0.5 * np.square((at - prior.centre[0]) / prior.spread[0]) - np.log(prior.spread[0])
    top = density.max()
    return float(top + np.log(np.exp(density - top).sum() * (at[1] - at[0])) - 0.5 * np.log(2 * np.pi))


@pytest.mark.parametrize("spread", [0.05, 0.5, 3.0])
@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_the_evidence_is_the_likelihood_averaged_over_the_prior(spread: float, weight: float) -> None:
    x = np.random.default_rng(12).normal(size=(300, 1))
    problem = Problem(x, drawn(0.7 * x[:, 0]), weight)
    prior = Normal(np.array([0.2]), np.array([spread]))
    assert problem.evidence(prior) == pytest.approx(by_quadrature(problem, prior), abs=0.02)


def test_a_level_as_published_is_held_and_one_far_from_it_is_let_go() -> None:
    prior = np.random.default_rng(13).normal(0, 1, 150)
    as_published, far = (fitted(np.zeros(150), drawn(prior + shift), 0.0, prior) for shift in (0.0, 2.0))
    assert abs(as_published.single.intercept) < 0.2
    assert far.single.intercept + far.therapy_shift["single"][AXI] == pytest.approx(2.0, abs=0.4)


def test_a_slower_first_day_is_learnt_by_its_own_term() -> None:
    hours = np.tile([0.0, 24.0, 48.0, 72.0], 1500)
    shift = np.where(hours > 0, -1.0, 0.0)
    held = replace(parts(6000), hours=hours)
    found = calibrate(
        Evidence(held, np.zeros(6000), drawn(shift), np.repeat(np.arange(1500), 4)), Settings(), {AXI: 0.3}
    )
    told = [float(found.combine(parts(1, hours=at), np.zeros(1))[0]) for at in (0.0, 24.0, 72.0)]
    assert told == pytest.approx([0.0, -1.0, -1.0], abs=0.2)
