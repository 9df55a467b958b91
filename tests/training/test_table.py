"""The training table: whole patients in folds, and counts by course."""

import numpy as np
import pytest

from features.errors import DataError
from tests.training.builders import CRS_2, table
from training.table import fold_of_rows, joined


def test_no_patient_is_in_two_folds_and_every_row_is_in_one() -> None:
    patient = np.random.default_rng(1).integers(0, 60, 400)
    fold_of = fold_of_rows(patient, np.zeros(400, dtype=np.int64), 5, 3)
    assert all(len(set(fold_of[patient == name])) == 1 for name in set(patient.tolist()))
    assert set(fold_of.tolist()) == {0, 1, 2, 3, 4}


def test_each_stratum_is_dealt_out_evenly() -> None:
    label = (np.arange(100) < 20).astype(np.int64)
    fold_of = fold_of_rows(np.arange(100), label, 5, 3)
    assert [int(label[fold_of == fold].sum()) for fold in range(5)] == [4] * 5


def test_folds_follow_the_seed_alone() -> None:
    patient, strata = np.arange(50), np.zeros(50, dtype=np.int64)
    first, again, other = (fold_of_rows(patient, strata, 5, seed).tolist() for seed in (1, 1, 2))
    assert again == first
    assert other != first


def test_fewer_patients_than_folds_is_an_error() -> None:
    with pytest.raises(DataError, match="4 patients for 5 folds"):
        fold_of_rows(np.array([1, 2, 3, 4, 4]), np.zeros(5, dtype=np.int64), 5, 1)


def test_a_row_is_usable_with_a_known_label_and_a_published_prior() -> None:
    prior = np.zeros((4, 5))
    prior[1] = np.nan
    held = table(np.array([1.0, 1.0, np.nan, 0.0]), np.zeros(4), prior=prior)
    assert held.usable(CRS_2).tolist() == [True, False, False, True]


def test_events_are_counted_by_course_not_by_row() -> None:
    held = table(np.array([1.0, 1.0, 0.0, 1.0, np.nan]), np.zeros(5), course=np.array([7, 7, 7, 8, 9]))
    assert held.events(CRS_2) == 2
    assert held.courses == 3


def test_take_and_joined_undo_each_other() -> None:
    held = table(np.array([1.0, 0.0, 1.0]), np.arange(6), hours=np.array([3.0, 1.0, 2.0]))
    parts = [held.take(np.array([0])), held.take(np.array([False, True, True]))]
    pieces = joined(parts)
    assert parts == []
    for name in held.__slots__:
        assert np.array_equal(getattr(pieces, name), getattr(held, name)), name
    assert held.take(np.array([2, 0])).hours.tolist() == [2.0, 3.0]
