"""What a model has to beat: the rate at the same hour, logistic regression, and the published scores."""

import math

import numpy as np
import pytest

from features.predict import log_odds_of
from tests.training.builders import CRS_2, FREE, Array, columns, drawn, table
from training.baselines import base_rate, logistic_regression, published_score

TIMES = np.array(["0h"] * 10 + ["24h"] * 10)


def rate(events: int, rows: int) -> float:
    """Log-odds with half an event of each kind added."""
    return math.log((events + 0.5) / (rows - events + 0.5))


def test_the_base_rate_is_that_of_the_rows_own_index_time() -> None:
    label = np.r_[np.ones(4), np.zeros(6), np.ones(9), np.zeros(1)]
    train = table(label, np.zeros(20), index_name=TIMES)
    test = table(np.zeros(3), np.zeros(3), index_name=np.array(["24h", "0h", "72h"]))
    assert base_rate(train, test, CRS_2) == pytest.approx([rate(9, 10), rate(4, 10), rate(13, 20)])


def test_a_base_rate_without_events_is_still_finite() -> None:
    found = base_rate(table(np.zeros(20), np.zeros(20)), table(np.ones(1), np.zeros(1)), CRS_2)
    assert found == pytest.approx([rate(0, 20)])


def test_the_base_rate_does_not_look_at_the_test_labels() -> None:
    train = table(np.arange(10) % 2 * 1.0, np.zeros(10))
    zeros, ones = (base_rate(train, table(np.full(4, label), np.zeros(4)), CRS_2) for label in (0.0, 1.0))
    assert np.array_equal(zeros, ones)


def test_logistic_regression_finds_a_straight_line() -> None:
    score: Array = np.random.default_rng(1).normal(size=4000)
    train, test = table(drawn(score), score), table(np.zeros(2), np.array([-1.0, 1.0]))
    assert logistic_regression(train, test, CRS_2) == pytest.approx([-1.0, 1.0], abs=0.15)


def test_logistic_regression_reads_that_a_value_is_missing() -> None:
    missing = np.arange(400) % 2 == 0
    values = np.where(missing, np.nan, 1.0)
    label = np.where(missing, np.arange(400) % 5 > 0, np.arange(400) % 5 == 0).astype(float)
    low, high = logistic_regression(table(label, values), table(np.zeros(2), np.array([1.0, np.nan])), CRS_2)
    assert high - low > 2


def test_logistic_regression_takes_a_column_that_is_missing_in_every_training_row() -> None:
    train = table(np.arange(40) % 2 * 1.0, np.full(40, np.nan))
    assert logistic_regression(train, table(np.zeros(1), np.ones(1)), CRS_2) == pytest.approx([0.0], abs=0.1)


def test_a_published_score_is_the_rows_own_column_and_absent_where_the_spec_lacks_it() -> None:
    values = np.array([[60.0, 3.5], [50.0, np.nan]])
    held = table(np.zeros(2), values)
    spec = columns(FREE, "easix_log2")
    found = published_score(held, spec, "easix")
    assert found is not None
    assert found[0] == 3.5
    assert np.isnan(found[1])
    assert published_score(held, spec, "m_easix") is None


def test_log_odds_of_certainty_are_finite() -> None:
    assert np.isfinite(log_odds_of(np.array([0.0, 1.0]))).all()
