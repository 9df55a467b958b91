"""The chart's promise: a stated rate of false alarms per year however often one looks, and power beside it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.monitoring_chart import budget, chart, limits, power, steps

Array = NDArray[np.float64]
RATIO, DRAWS = 2.0, 4000


def year(courses: int, seed: int) -> tuple[Array, Array]:
    """Stated probabilities and the moments, in years, at which outcomes became known."""
    random = np.random.default_rng(seed)
    return random.beta(2, 6, courses), np.sort(random.random(courses))


def drawn(probability: Array, odds: float, seed: int) -> Array:
    true = probability * odds / (1 + probability * (odds - 1))
    return (np.random.default_rng(seed).random(len(true)) < true).astype(float)


def test_a_step_is_the_log_likelihood_ratio_of_doubled_against_stated_odds() -> None:
    (found,) = steps(np.array([0.25]), 2.0)
    doubled, halved = 0.4, 1 / 7  # odds 1:3 become 2:3 and 1:6
    assert found[0] == pytest.approx([np.log(0.6 / 0.75), np.log(doubled / 0.25)])
    assert found[1] == pytest.approx([np.log((1 - halved) / 0.75), np.log(halved / 0.25)])


@pytest.mark.parametrize("courses", [60, 240])
def test_a_right_model_alarms_no_more_often_than_stated_at_any_volume_though_each_course_is_looked_at(
    courses: int,
) -> None:
    probability, years = year(courses, 1)
    allowed = limits(steps(probability, RATIO), probability, budget(years, 0.2) / 2, DRAWS, 5)
    alarms = 0
    for seed in range(300):
        held = np.zeros(2)
        for place, event in enumerate(drawn(probability, 1.0, 100 + seed).astype(int).tolist()):
            held = np.maximum(held + steps(probability[place : place + 1], RATIO)[0, :, event], 0)
            if (held > allowed[place]).any():
                alarms += 1
                break
    assert alarms / 300 <= 0.2 + 2 * np.sqrt(0.2 * 0.8 / 300)
    assert alarms / 300 >= 0.08


def test_odds_that_tripled_are_found_and_the_direction_is_told() -> None:
    probability, years = year(240, 2)
    rise, fall = (
        chart(drawn(probability, odds, 9), probability, years, 0.02, RATIO, DRAWS, 5) for odds in (3.0, 1 / 3)
    )
    assert (rise.alarm, fall.alarm) == ("more", "fewer")
    assert 0 < rise.crossed[0] < 120


def test_later_courses_never_change_earlier_limits() -> None:
    probability, years = year(80, 4)
    label = drawn(probability, 1.0, 1)
    short, whole = (chart(label[:n], probability[:n], years[:n], 0.1, RATIO, DRAWS, 5) for n in (50, 80))
    assert np.array_equal(short.limit, whole.limit[:50])
    assert np.array_equal(short.statistic, whole.statistic[:50])


def test_nothing_can_alarm_before_time_has_passed() -> None:
    probability = np.full(30, 0.1)
    found = chart(np.ones(30), probability, np.zeros(30), 0.1, RATIO, DRAWS, 5)
    assert np.isinf(found.limit).all()
    assert found.alarm == ""


def test_the_allowed_share_after_a_year_is_the_rate_per_year() -> None:
    assert budget(np.array([-1.0, 0.0, 1.0, 2.0]), 0.1) == pytest.approx([0.0, 0.0, 0.1, 0.19])


def test_power_is_the_rate_itself_at_stated_odds_and_rises_with_the_odds_and_the_courses() -> None:
    probability, years = year(120, 6)
    found = chart(drawn(probability, 1.0, 1), probability, years, 0.2, RATIO, DRAWS, 5)
    right, doubled, tripled = (power(probability, found, RATIO, odds, DRAWS, 8) for odds in (1.0, 2.0, 3.0))
    assert right == pytest.approx(0.2, abs=0.04)
    assert right < doubled < tripled
    few = chart(np.zeros(12), probability[:12], years[:12], 0.2, RATIO, DRAWS, 5)
    assert power(probability[:12], few, RATIO, 3.0, DRAWS, 8) < tripled


def test_no_course_at_all_is_no_alarm() -> None:
    nothing = np.zeros(0)
    found = chart(nothing, nothing, nothing, 0.1, RATIO, DRAWS, 5)
    assert (found.alarm, found.crossed) == ("", (-1, -1))
    assert power(nothing, found, RATIO, 3.0, 100, 1) == 0.0
