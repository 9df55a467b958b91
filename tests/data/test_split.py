"""Splits: a patient is never on both sides."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.split import Fold, leave_site_out, patient_folds, temporal_split
from features.errors import DataError

PATIENTS = st.lists(st.sampled_from([f"p{number}" for number in range(12)]), min_size=8, max_size=40).filter(
    lambda names: len(set(names)) >= 5
)


def check(fold: Fold, patients: list[str]) -> None:
    """Every course stands in one place, and no patient on both sides."""
    assert sorted([*fold.train, *fold.test, *fold.left_out]) == list(range(len(patients)))
    assert not {patients[place] for place in fold.train} & {patients[place] for place in fold.test}


@given(PATIENTS, st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_patient_is_never_in_two_folds_and_every_course_is_tested_once_a_repeat(patients: list[str], seed: int) -> None:
    folds = patient_folds(patients, folds=5, repeats=2, seed=seed)
    assert [fold.name for fold in folds] == [f"repeat{repeat}-fold{fold}" for repeat in (1, 2) for fold in range(1, 6)]
    for fold in folds:
        check(fold, patients)
        assert len(fold.left_out) == 0
    for repeat in (folds[:5], folds[5:]):
        assert sorted(np.concatenate([fold.test for fold in repeat]).tolist()) == list(range(len(patients)))


@given(PATIENTS, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_folds_do_not_depend_on_the_order_of_courses(patients: list[str], random: object) -> None:
    shuffled = list(patients)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for one, other in zip(patient_folds(patients, seed=3), patient_folds(shuffled, seed=3), strict=True):
        assert {patients[place] for place in one.test} == {shuffled[place] for place in other.test}


def test_strata_are_dealt_out_evenly() -> None:
    patients = [f"p{number}" for number in range(103)]
    label = np.array([1.0] * 23 + [0.0] * 60 + [np.nan] * 20)
    for fold in patient_folds(patients, label, folds=5, repeats=3, seed=1):
        assert len(fold.test) in (20, 21)
        assert np.nansum(label[fold.test]) in (4, 5)
        assert np.isnan(label[fold.test]).sum() == 4


def test_patient_with_several_courses_counts_by_the_highest_stratum() -> None:
    patients = [name for number in range(10) for name in (f"p{number}", f"p{number}")]
    label = [value for number in range(10) for value in (0.0, float(number < 5))]
    for fold in patient_folds(patients, label, folds=5, repeats=1):
        assert Counter(np.array(label)[fold.test].tolist()) == {0.0: 3, 1.0: 1}


def test_same_seed_gives_the_same_folds_and_repeats_differ() -> None:
    patients = [f"p{number}" for number in range(40)]
    one, other = (patient_folds(patients, seed=7) for _ in range(2))
    assert all(np.array_equal(a.test, b.test) for a, b in zip(one, other, strict=True))
    assert len({tuple(fold.test) for fold in one}) == 25
    assert not np.array_equal(one[0].test, patient_folds(patients, seed=8)[0].test)


def test_fewer_patients_than_folds_is_refused() -> None:
    with pytest.raises(DataError, match="2 patients for 5 folds"):
        patient_folds(["a", "a", "b"])


def test_split_by_time_tests_the_latest_and_leaves_out_straddling_patients() -> None:
    patients = ["a", "b", "c", "a", "d", "e"]
    fold = temporal_split(patients, [1.0, 2.0, 3.0, 9.0, 8.0, np.nan], test_share=0.4)
    check(fold, patients)
    assert (fold.train.tolist(), fold.test.tolist(), fold.left_out.tolist()) == ([0, 1, 2], [4], [3, 5])


@given(PATIENTS, st.data())
@settings(max_examples=60, deadline=None)
def test_split_by_time_never_trains_on_what_is_later_than_a_test_course(
    patients: list[str], data: st.DataObject
) -> None:
    start = data.draw(st.lists(st.integers(0, 50).map(float), min_size=len(patients), max_size=len(patients)))
    if len(set(start)) < 2:
        return
    fold = temporal_split(patients, start)
    check(fold, patients)
    times = np.array(start)
    assert max(times[fold.train], default=-1) < min(times[fold.test], default=np.inf)


def test_split_by_time_needs_start_times() -> None:
    with pytest.raises(DataError, match="fewer than two known start times"):
        temporal_split(["a", "b"], [np.nan, 5.0])


@given(PATIENTS, st.data())
@settings(max_examples=40, deadline=None)
def test_left_out_site_is_tested_whole(patients: list[str], data: st.DataObject) -> None:
    sites = data.draw(st.lists(st.sampled_from(["x", "y", "z"]), min_size=len(patients), max_size=len(patients)))
    if len(set(sites)) < 2:
        return
    folds = leave_site_out(patients, sites)
    assert [fold.name for fold in folds] == [f"site {name}" for name in sorted(set(sites))]
    for fold, name in zip(folds, sorted(set(sites)), strict=True):
        check(fold, patients)
        assert fold.test.tolist() == [place for place, site in enumerate(sites) if site == name]


def test_split_by_site_needs_two_sites() -> None:
    with pytest.raises(DataError, match="1 named sites"):
        leave_site_out(["a", "b"], ["x", ""])
