"""Both thresholds of a band keep their promise on the rows they were chosen on."""

import numpy as np
import pytest

from features.policy import Thresholds
from tests.training.builders import Array, drawn
from training.bands import thresholds
from training.config import Settings


def chosen(label: Array, probability: Array, sensitivity: float = 0.9, rate: float = 0.2) -> Thresholds:
    settings = Settings(alert_sensitivity=sensitivity, alert_rate=rate)
    return thresholds(label, probability, np.arange(len(label)), settings)


def sample(n: int, seed: int) -> tuple[Array, Array]:
    score = np.random.default_rng(seed).normal(-1, 1.5, n)
    return drawn(score, seed), 1 / (1 + np.exp(-score))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sensitivity", [0.7, 0.9, 0.95, 1.0])
def test_it_is_the_highest_cut_that_finds_enough_events(seed: int, sensitivity: float) -> None:
    label, probability = sample(400, seed)
    events = np.sort(probability[label == 1])
    cut = chosen(label, probability, sensitivity).intermediate_from
    next_cut = events[np.searchsorted(events, cut) + 1]
    assert np.mean(events >= cut) >= sensitivity
    assert np.mean(events >= next_cut) < sensitivity


@pytest.mark.parametrize("events", [10, 20, 30, 100])
def test_nine_tenths_of_a_round_number_of_events_is_not_lost_to_rounding(events: int) -> None:
    probability = np.linspace(0.01, 0.99, events)
    found = chosen(np.ones(events), probability)
    assert found.sensitivity == pytest.approx(0.9)
    assert found.intermediate_from == probability[events // 10]


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_high_is_as_many_rows_as_the_alert_rate_allows(rate: float) -> None:
    label, probability = sample(1000, 1)
    found = chosen(label, probability, rate=rate)
    assert found.high_from > found.intermediate_from
    assert found.alerts_per_100 == pytest.approx(100 * rate)


def test_where_even_the_lower_cut_leaves_fewer_alerts_both_are_the_lower_cut() -> None:
    probability = np.linspace(0.0, 1.0, 101)
    label = (probability > 0.895).astype(float)
    found = chosen(label, probability)
    assert found.high_from == found.intermediate_from
    assert found.sensitivity >= 0.9


def test_the_stated_figures_are_those_of_the_bands() -> None:
    label, probability = sample(800, 3)
    found = chosen(label, probability)
    band = np.array([found.band(one) for one in probability.tolist()])
    assert found.sensitivity == np.mean(band[label == 1] != "low")
    assert found.alerts_per_100 == 100 * np.mean(band == "high")
    assert found.ppv == np.mean(label[band == "high"])
    assert found.npv == np.mean(label[band == "low"] == 0)


def test_a_course_that_is_alerted_twice_counts_once() -> None:
    label, probability = sample(800, 4)
    course = np.arange(800) // 4
    found = thresholds(label, probability, course, Settings())
    alerted = np.unique(course[probability >= found.high_from])
    assert found.courses_alerted_per_100 == pytest.approx(100 * len(alerted) / 200)
    assert found.courses_alerted_per_100 > found.alerts_per_100
    assert (found.aimed_sensitivity, found.aimed_alert_rate) == (0.9, 0.2)
