"""Interval tables hold what happens: fresh courses' observed frequency lies inside, and more courses narrow it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from features.interval import IntervalTable
from tests.training.builders import Array, drawn
from training.venn_abers import FURTHEST, interval_table

RESAMPLES = 30


def scores(n: int, seed: int) -> Array:
    return np.random.default_rng(seed).normal(-1.5, 1.0, n)


def table_of(n: int, seed: int = 1) -> IntervalTable:
    held = scores(n, seed)
    return interval_table(held, drawn(held, seed), np.arange(n), RESAMPLES, seed)


def inside(found: IntervalTable, shift: float = 0.0) -> NDArray[np.bool_]:
    """(20,) whether the frequency of 20,000 fresh courses in equal-count bins lies in the interval, give or take
    its own sampling error."""
    held = np.sort(scores(20_000, 99))
    label = drawn(held + shift, 98)
    low, high = found.at(held)
    held_in = []
    for bin_ in np.array_split(np.arange(20_000), 20):
        frequency = label[bin_].mean()
        error = 1.96 * np.sqrt(frequency * (1 - frequency) / len(bin_))
        held_in.append(low[bin_].mean() - error <= frequency <= high[bin_].mean() + error)
    return np.array(held_in)


@pytest.mark.parametrize("n", [300, 3000])
def test_the_frequency_of_fresh_courses_lies_inside(n: int) -> None:
    assert inside(table_of(n)).sum() >= 19


def test_scores_that_mean_something_else_are_found_outside() -> None:
    assert inside(table_of(3000), shift=1.0).sum() < 10


def test_more_courses_give_a_narrower_interval() -> None:
    held = scores(5000, 7)
    widths = [float(np.subtract(*table_of(n).at(held)[::-1]).mean()) for n in (100, 1000, 10_000)]
    assert widths[0] > 1.5 * widths[1] > 1.5 * 1.5 * widths[2]


def test_rows_of_one_course_weigh_as_one() -> None:
    held = scores(200, 3)
    label, course = drawn(held), np.arange(200)
    once = interval_table(held, label, course, RESAMPLES, 4)
    fourfold = interval_table(np.tile(held, 4), np.tile(label, 4), np.tile(course, 4), RESAMPLES, 4)
    assert fourfold.low == pytest.approx(once.low)
    assert fourfold.high == pytest.approx(once.high)


def test_the_ends_rise_with_the_score_and_never_cross() -> None:
    found = table_of(150)
    assert (np.diff(found.low) >= -1e-12).all()
    assert (np.diff(found.high) >= -1e-12).all()
    assert (np.array(found.low) <= np.array(found.high)).all()


def test_a_score_that_no_course_had_is_barely_bounded() -> None:
    found = table_of(150)
    assert found.low[0] == 0.0
    assert found.high[-1] == 1.0


def test_scores_that_are_as_good_as_certain_do_not_grow_the_table() -> None:
    held = np.array([-1e6, 0.0, 1e6])
    found = interval_table(held, np.array([0.0, 1.0, 1.0]), np.arange(3), 2, 1)
    assert len(found.low) <= 2 * FURTHEST / found.step + 4
