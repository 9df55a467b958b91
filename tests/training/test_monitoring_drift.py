"""Drift is told apart from chance at the very sample sizes, over many columns at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from training.monitoring_drift import deals, distances, missing_drift, mix_drift, share_gaps, value_drift
from training.monitoring_inputs import holm

ONE = "0h"


def samples(before: int, now: int, columns: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Columns that go together, a third of each missing; the last `now` courses are recent."""
    random = np.random.default_rng(seed)
    count = before + now
    values = 0.6 * random.normal(size=(count, 1)) + 0.8 * random.normal(size=(count, columns))
    values[random.random(values.shape) < 1 / 3] = np.nan
    return np.exp(values), np.arange(count) >= before


def dealt(recent: NDArray[np.bool_], draws: int = 400, seed: int = 1) -> NDArray[np.bool_]:
    return deals(recent, np.full(len(recent), ONE), draws, seed)


def test_the_distance_is_wassersteins_on_ranks() -> None:
    """Ranks 0, 1/3, 2/3, 1: two and two apart are half the scale away from each other."""
    apart = distances(np.array([1.0, 2.0, 30.0, 400.0]), np.array([[False, False, True, True]]))
    mixed = distances(np.array([1.0, 2.0, 30.0, 400.0]), np.array([[False, True, False, True]]))
    assert apart == pytest.approx([2 / 3])
    assert mixed == pytest.approx([1 / 3])


@given(arrays(np.float64, 9, elements=st.floats(-50, 50)), st.integers(1, 8))
def test_the_distance_sees_ranks_alone_and_not_which_side_is_called_recent(
    values: NDArray[np.float64], now: int
) -> None:
    recent = np.arange(9) < now
    held = np.round(values, 3)
    assert distances(held, recent[None]) == pytest.approx(distances(np.exp(held / 10), recent[None]))
    assert distances(held, recent[None]) == pytest.approx(distances(held, ~recent[None]))


def test_an_unknown_value_is_no_value() -> None:
    values, label = np.array([1.0, np.nan, 2.0, 3.0]), np.array([[False, False, True, True]])
    assert distances(values, label) == pytest.approx(distances(values[[0, 2, 3]], label[:, [0, 2, 3]]))
    assert share_gaps(~np.isnan(values), label) == pytest.approx([0.5])


def test_courses_are_dealt_within_their_time_of_asking_and_the_first_deal_is_the_true_one() -> None:
    recent = np.array([True, False, False, True, True, False])
    stratum = np.array(["0h", "0h", "0h", "24h", "24h", "24h"])
    found = deals(recent, stratum, 50, 3)
    assert np.array_equal(found[0], recent)
    assert (found[:, :3].sum(axis=1) == 1).all()
    assert (found[:, 3:].sum(axis=1) == 2).all()
    assert len(np.unique(found, axis=0)) > 5


def test_without_drift_any_of_forty_columns_is_called_no_more_often_than_stated() -> None:
    found = []
    for seed in range(60):
        values, recent = samples(40, 12, 40, seed)
        found.append(value_drift([str(one) for one in range(40)], values, recent, dealt(recent, 200)).p)
    assert np.mean(np.array(found) <= 0.1) <= 0.1 + 2 * np.sqrt(0.09 / 60)


def test_a_column_that_moved_is_named_among_forty() -> None:
    values, recent = samples(60, 15, 40, 7)
    values[np.ix_(recent, [11])] *= np.exp(3.0)
    found = value_drift([str(one) for one in range(40)], values, recent, dealt(recent))
    assert found.p <= 0.02
    assert (found.moved[0].column, found.moved[0].p <= 0.01) == ("11", True)
    assert found.moved[1].p > 0.05


def test_a_small_move_of_all_columns_is_seen_where_no_single_one_is() -> None:
    values, recent = samples(60, 15, 40, 8)
    values[recent] *= np.exp(0.9)
    found = value_drift([str(one) for one in range(40)], values, recent, dealt(recent))
    assert found.p_mean <= 0.02


def test_a_laboratory_that_stops_measuring_is_drift_of_what_is_known() -> None:
    values, recent = samples(60, 15, 10, 9)
    values[np.ix_(recent, [4])] = np.nan
    names = [str(one) for one in range(10)]
    missing = missing_drift(names, values, recent, dealt(recent))
    assert missing.moved[0].column == "4"
    assert missing.p <= 0.02
    assert missing.moved[0].now == 0.0
    assert "4" not in {one.column for one in value_drift(names, values, recent, dealt(recent)).moved}


def test_a_new_therapy_is_drift_of_the_case_mix() -> None:
    recent = np.arange(60) >= 45
    members = np.column_stack([~recent, recent])
    found = mix_drift(["old", "new"], members, recent, dealt(recent))
    assert found.p <= 0.02
    assert {one.column: (one.before, one.now) for one in found.moved} == {"old": (1.0, 0.0), "new": (0.0, 1.0)}


def test_nothing_that_varies_is_no_drift() -> None:
    recent = np.arange(20) >= 10
    found = value_drift(["a"], np.ones((20, 1)), recent, dealt(recent))
    assert (found.columns, found.p) == (0, 1.0)


def test_a_median_of_few_courses_is_not_told() -> None:
    values, recent = samples(30, 9, 1, 2)
    (moved,) = value_drift(["a"], values, recent, dealt(recent)).moved
    assert moved.before is not None
    assert moved.now is None


def test_holms_correction_multiplies_the_smallest_by_all_and_keeps_their_order() -> None:
    assert holm([0.04, 0.01, 0.5]) == pytest.approx([0.08, 0.03, 0.5])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
