"""Curves hold every row, agree with the figures beside them, and join what is small."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from tests.training.builders import drawn
from training.curves import SHARES, THRESHOLDS, calibration_curve, decision_curve, histogram, precision_recall, roc
from training.metrics import auroc, resamples
from training.net_benefit import treat_all

SCORE = np.random.default_rng(3).normal(-1, 1, 400)
LABEL = drawn(SCORE)
PATIENT = np.arange(400)


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 8), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_the_groups_of_a_calibration_curve_hold_every_row_and_event(
    n: int, bins: int, smallest: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    score, label = random.normal(size=n), (random.random(n) < 0.3).astype(float)
    found = calibration_curve(label, score, np.arange(n), [], bins, smallest)
    assert sum(one.rows for one in found) == n
    assert sum(one.events for one in found) == label.sum()
    assert [one.predicted for one in found] == sorted(one.predicted for one in found)
    if len(found) > 1:
        assert all(count == 0 or count >= smallest for one in found for count in (one.events, one.rows - one.events))


def test_observed_shares_come_with_an_interval_around_them() -> None:
    found = calibration_curve(LABEL, SCORE, PATIENT, resamples(PATIENT, 50, 1), 10, 5)
    assert len(found) > 4
    assert all(one.observed.low <= one.observed.value <= one.observed.high for one in found)
    assert all(one.observed.value == one.events / one.rows for one in found)


def test_the_roc_curve_is_the_one_of_scikit_learn_and_its_area_the_auroc() -> None:
    found = roc(LABEL, SCORE)
    false, hits, _ = roc_curve(LABEL, SCORE, drop_intermediate=False)
    assert found == pytest.approx(np.interp(SHARES, false, hits), abs=1e-12)
    assert np.trapezoid(found, SHARES) == pytest.approx(auroc(LABEL, SCORE, np.ones(400)), abs=0.01)


def test_finding_all_events_costs_at_least_as_many_alerts_as_there_are_events() -> None:
    found = precision_recall(LABEL, SCORE)
    assert found[-1] == pytest.approx(LABEL[SCORE[LABEL == 1].min() <= SCORE].mean())
    assert (found >= 0).all()
    assert (found <= 1).all()


def test_the_decision_curve_of_all_is_the_formula() -> None:
    model, everyone = decision_curve(LABEL, SCORE)
    assert len(model) == len(everyone) == len(THRESHOLDS)
    assert everyone[9] == treat_all(LABEL, SCORE, np.ones(400), THRESHOLDS[9])
    assert everyone[9] == pytest.approx(LABEL.mean() - (1 - LABEL.mean()) / 9)


def test_the_histogram_is_rounded() -> None:
    assert sum(histogram(SCORE, 1)) == 400
    assert all(count % 5 == 0 for count in histogram(SCORE, 5))
