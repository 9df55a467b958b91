"""Net benefit by its definition, and what an alert costs at a fixed sensitivity."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.predict import log_odds_of
from training.net_benefit import (
    alerts_at_sensitivity,
    cut_at_sensitivity,
    net_benefit,
    ppv_at_sensitivity,
    treat_all,
)

PAIRS = st.lists(st.tuples(st.integers(0, 1), st.floats(-5, 5)), min_size=1, max_size=40)
THRESHOLD = st.floats(0.01, 0.95)


def arrays(pairs: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    label, score = np.array(pairs, dtype=float).T
    return label, score, np.ones(len(label))


@given(PAIRS, THRESHOLD)
def test_acting_on_none_is_worth_nothing(pairs: list[tuple[int, float]], threshold: float) -> None:
    label, score, weight = arrays(pairs)
    assert net_benefit(label, np.full_like(score, -np.inf), weight, threshold) == 0


@given(PAIRS, THRESHOLD)
def test_acting_on_all_is_the_share_of_events_less_the_weighed_rest(
    pairs: list[tuple[int, float]], threshold: float
) -> None:
    label, score, weight = arrays(pairs)
    share = label.mean()
    expected = share - (1 - share) * threshold / (1 - threshold)
    assert treat_all(label, score, weight, threshold) == pytest.approx(expected)


@given(PAIRS, THRESHOLD)
def test_no_score_is_worth_more_than_knowing(pairs: list[tuple[int, float]], threshold: float) -> None:
    label, score, weight = arrays(pairs)
    assert net_benefit(label, score, weight, threshold) <= label.mean() + 1e-12


def test_net_benefit_of_a_worked_example() -> None:
    label, probability = np.array([1.0, 1.0, 0.0, 0.0, 0.0]), np.array([0.9, 0.2, 0.8, 0.1, 0.05])
    # From 0.5 on: one right alert, one wrong one, five rows, odds 1.
    assert net_benefit(label, log_odds_of(probability), np.ones(5), 0.5) == pytest.approx(0.0)
    # From 0.2 on, inclusive: two right, one wrong, odds 1/4.
    assert net_benefit(label, log_odds_of(probability), np.ones(5), 0.2) == pytest.approx((2 - 0.25) / 5)


@given(PAIRS, THRESHOLD, st.floats(0.05, 1.0))
def test_a_row_drawn_twice_counts_as_two_rows(
    pairs: list[tuple[int, float]], threshold: float, sensitivity: float
) -> None:
    label, score, _ = arrays(pairs)
    weight = np.arange(len(label)) % 3.0
    times = weight.astype(int)
    if not times.sum():
        return
    twice, once = (np.repeat(label, times), np.repeat(score, times)), np.ones(times.sum())
    for metric, at in (
        (net_benefit, threshold),
        (ppv_at_sensitivity, sensitivity),
        (alerts_at_sensitivity, sensitivity),
    ):
        assert metric(label, score, weight, at) == pytest.approx(metric(*twice, once, at), nan_ok=True)


@given(PAIRS, st.floats(0.05, 1.0))
def test_the_cut_finds_what_was_asked_and_a_higher_one_does_not(
    pairs: list[tuple[int, float]], sensitivity: float
) -> None:
    label, score, weight = arrays(pairs)
    cut = cut_at_sensitivity(label, score, weight, sensitivity)
    if not label.any():
        assert math.isnan(cut)
        return
    hits = score[label == 1]
    assert (hits >= cut).mean() >= sensitivity - 1e-9
    assert (hits > cut).mean() < sensitivity


def test_ppv_and_alerts_of_a_worked_example() -> None:
    label, score = np.array([1, 1, 0, 1, 0, 0, 0, 0, 0, 0], dtype=float), np.arange(10.0)[::-1]
    # Two of three events lie among the first two rows, all three among the first four.
    assert alerts_at_sensitivity(label, score, np.ones(10), 0.6) == pytest.approx(20)
    assert ppv_at_sensitivity(label, score, np.ones(10), 0.6) == 1
    assert alerts_at_sensitivity(label, score, np.ones(10), 1.0) == pytest.approx(40)
    assert ppv_at_sensitivity(label, score, np.ones(10), 1.0) == pytest.approx(0.75)


def test_an_empty_group_has_no_figure_and_no_error() -> None:
    none = np.zeros(0)
    for metric in (net_benefit, treat_all, ppv_at_sensitivity, alerts_at_sensitivity):
        assert math.isnan(metric(none, none, none, 0.5))
