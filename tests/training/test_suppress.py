"""What is held back cannot be worked out from what is shown."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.suppress import Tally, hidden, rounded

SMALLEST = 5
SIZES = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=7)


def tallies(sizes: list[tuple[int, int]]) -> list[Tally]:
    """Groups without a patient in common: (with the outcome, without it)."""
    found, start = [], 0
    for having, lacking in sizes:
        found.append(
            Tally(frozenset(range(start, start + having)), frozenset(range(start + having, start + having + lacking)))
        )
        start += having + lacking
    return found


@given(SIZES)
@settings(max_examples=300)
def test_no_small_count_is_shown(sizes: list[tuple[int, int]]) -> None:
    groups = tallies(sizes)
    assert all(out for one, out in zip(groups, hidden(groups, SMALLEST), strict=True) if one.small(SMALLEST))


@given(SIZES)
@settings(max_examples=300)
def test_what_is_hidden_cannot_be_worked_out_by_subtraction(sizes: list[tuple[int, int]]) -> None:
    """Total less shown leaves a sum over two groups or more, which is none or no small count in any column."""
    groups = tallies(sizes)
    held = hidden(groups, SMALLEST)
    total = np.array(sizes).sum(axis=0)
    shown = np.array([size for size, out in zip(sizes, held, strict=True) if not out]).reshape(-1, 2).sum(axis=0)
    left = total - shown
    if not any(held) or all(held):
        return
    assert sum(out and one.counts[0] > 0 for one, out in zip(groups, held, strict=True)) >= 2
    assert all(count == 0 or count >= SMALLEST for count in (*left, left.sum()))


@given(SIZES)
@settings(max_examples=200)
def test_every_hidden_small_count_has_more_than_one_explanation(sizes: list[tuple[int, int]]) -> None:
    """With a patient more or less there, and less or more in another hidden group, all that is shown is the same."""
    held = hidden(tallies(sizes), SMALLEST)
    if all(held):
        return
    for column in (0, 1):
        count = {place: sizes[place][column] for place, out in enumerate(held) if out}
        for place in [place for place, one in count.items() if 0 < one < SMALLEST]:
            other = max((one for one in count if one != place), key=lambda one: count[one])
            move = 1 if count[other] else -1
            moved = {**count, place: count[place] + move, other: count[other] - move}
            assert min(moved.values()) >= 0
            assert sum(moved.values()) == sum(count.values())
            assert moved[place] != count[place]


def test_one_small_site_takes_the_next_smallest_with_it() -> None:
    assert hidden(tallies([(2, 30), (40, 40), (9, 9), (50, 50)]), SMALLEST) == [True, False, True, False]


def test_two_small_sites_that_are_small_together_take_a_third_with_them() -> None:
    assert hidden(tallies([(1, 9), (1, 9), (20, 20), (30, 30)]), SMALLEST) == [True, True, True, False]


@pytest.mark.parametrize(("count", "out"), [(0, False), (1, True), (4, True), (5, False)])
def test_none_is_shown_and_one_to_four_are_not(count: int, out: bool) -> None:
    assert hidden(tallies([(count, 20), (20, 20), (20, 20)]), SMALLEST)[0] is out


def test_patients_count_and_not_their_rows() -> None:
    patient, label = np.repeat([1, 2, 3], 4), np.ones(12)
    assert Tally.of(patient, label).counts == (3, 3, 0)
    assert Tally.of(patient, label).small(SMALLEST)


def test_a_patient_on_both_sides_is_counted_once_among_patients() -> None:
    assert Tally.of(np.array([7, 7]), np.array([1.0, 0.0])).counts == (1, 1, 1)


@given(st.integers(0, 10_000), st.integers(1, 20))
def test_a_rounded_count_is_the_nearest_multiple(count: int, base: int) -> None:
    found = rounded(count, base)
    assert found % base == 0
    assert 2 * abs(found - count) <= base
