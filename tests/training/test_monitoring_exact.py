"""Observed against expected, exact: no approximation where two events are expected."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from features.prior import log_odds, sigmoid
from training.monitoring_exact import LARGEST_SHIFT, distribution, in_the_large, tails

chances = st.lists(st.floats(0.001, 0.999), min_size=1, max_size=12)


@given(chances)
def test_the_chances_of_all_counts_add_up_to_one_and_to_the_expected_count(chance: list[float]) -> None:
    found = distribution(np.array(chance))
    assert found.sum() == pytest.approx(1.0)
    assert found @ np.arange(len(found)) == pytest.approx(sum(chance))


def test_equal_chances_give_the_binomial_distribution() -> None:
    binomial = [math.comb(7, k) * 0.3**k * 0.7 ** (7 - k) for k in range(8)]
    assert distribution(np.full(7, 0.3)) == pytest.approx(binomial)


def test_the_interval_is_clopper_and_pearsons_where_all_chances_are_equal() -> None:
    """3 of 10: the exact 95 % interval of the rate is 0.0667 to 0.6525."""
    found = in_the_large(np.array([1.0] * 3 + [0.0] * 7), np.full(10, 0.4))
    ends = sigmoid(log_odds(np.array([0.4])) + np.array([found.low, found.shift, found.high]))
    assert ends == pytest.approx([0.0667, 0.3, 0.6525], abs=2e-4)


def test_no_events_leave_the_lower_end_open_and_all_events_the_upper_one() -> None:
    none, every = (in_the_large(np.full(4, one), np.full(4, 0.5)) for one in (0.0, 1.0))
    assert (none.shift, none.low) == (-math.inf, -math.inf)
    assert (every.shift, every.high) == (math.inf, math.inf)
    assert none.high == pytest.approx(-every.low)


@given(chances)
@example([0.999] * 4)
def test_the_shift_makes_the_expected_count_the_observed_one(chance: list[float]) -> None:
    probability = np.array([*chance, 0.5, 0.5])
    label = np.zeros(len(probability))
    label[0] = 1.0
    found = in_the_large(label, probability)
    score = log_odds(probability)
    if math.isinf(found.shift):  # told as not bounded, since even the largest shift leaves more than one event expected
        assert found.shift < 0
        assert sigmoid(score - LARGEST_SHIFT).sum() > 1.0
    else:
        assert sigmoid(score + found.shift).sum() == pytest.approx(1.0, abs=1e-6)
    assert found.low <= found.shift <= found.high


def test_the_interval_of_a_right_model_holds_zero_as_often_as_promised() -> None:
    random = np.random.default_rng(3)
    probability = random.beta(1, 5, 20)
    held = [in_the_large((random.random(20) < probability).astype(float), probability) for _ in range(400)]
    assert np.mean([one.low <= 0 <= one.high for one in held]) >= 0.95
    assert np.mean([one.p < 0.05 for one in held]) <= 0.05


def test_tails_share_the_observed_count() -> None:
    below, above = tails(np.array([0.5, 0.5]), 1)
    assert (below, above) == pytest.approx((0.75, 0.75))
