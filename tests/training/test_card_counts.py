"""What a card tells of its training holds no small count, and none that gives one away."""

import re

import numpy as np
import pytest

from features.outcomes import OUTCOME_KEYS
from tests.training.builders import CRS_2, QUICK, table
from training.card_counts import exported, keys_seen, told, uncounted, with_outcome
from training.evaluate import Result
from training.recalibration_facts import card_of
from training.train import Trained, why_not


def test_a_reason_with_counts_leaves_without_both_of_them() -> None:
    """Of two counts that add up to all courses, one would give the other away."""
    label = np.array([1.0] * 3 + [0.0] * 200)
    why = why_not(table(label, np.zeros(203)), CRS_2, QUICK, ())
    assert why == "3 courses with the outcome and 200 without, too few"
    assert uncounted(why) == "too few courses with the outcome, or without it"


def test_a_reason_without_counts_leaves_as_it_is() -> None:
    why = why_not(table(np.zeros(9), np.zeros(9)), CRS_2, QUICK, OUTCOME_KEYS)
    assert uncounted(why) == why
    assert "one-sided" in why


@pytest.mark.parametrize(
    ("having", "others", "expected"),
    [
        (0, 90, 77),
        (1, 90, "fewer than 5"),
        (4, 90, "fewer than 5"),
        (5, 90, 77),
        (90, 5, 77),
        (90, 4, "all but fewer than 5"),
        (90, 1, "all but fewer than 5"),
        (90, 0, 77),
    ],
)
def test_a_count_of_few_patients_or_of_all_but_few_is_told_in_words(
    having: int, others: int, expected: int | str
) -> None:
    assert told(77, having, others) == expected


@pytest.mark.parametrize(("patients", "expected"), [(4, "fewer than 5"), (5, 12)])
def test_courses_with_an_outcome_are_counted_by_their_patients(patients: int, expected: int | str) -> None:
    label, patient = np.array([1.0] * 12 + [0.0] * 30), np.arange(42)
    patient[:12] = np.arange(12) % patients
    assert with_outcome(table(label, np.zeros(42), patient), CRS_2) == expected


def test_keys_are_named_once_and_in_order() -> None:
    assert keys_seen(np.array(["b", "", "a", "b"])) == ["a", "b"]


def test_rows_and_events_of_results_leave_rounded_so_that_no_difference_gives_a_small_count() -> None:
    """All, and all but the treated: 62 - 60 would tell of two treated courses."""
    held = [Result("crs_2plus", time, "model", rows, 31, {}) for time, rows in (("all", 62), ("untreated", 60))]
    assert [(one["rows"], one["events"]) for one in exported(held)] == [(60, 30), (60, 30)]


def test_manifest_of_a_trained_bundle_holds_rounded_counts_only(trained: Trained) -> None:
    metrics = trained.bundle.about["metrics"]
    assert [one["rows"] % 5 + one["events"] % 5 for one in metrics] == [0] * len(metrics)
    assert any(one.rows % 5 for one in trained.results)


def test_neither_card_nor_item_of_a_trained_bundle_counts_what_was_too_few(trained: Trained) -> None:
    card = trained.bundle.card
    (item,) = [one for one in card["reporting"]["source-attribute"]["items"] if one["item"] == "3.1"]
    reason = card["outcomes_not_fitted"]["crs_3plus"]
    assert f"crs_3plus: {reason}" in item["filled"]
    assert not re.search("[0-9]", reason)


def test_the_card_of_a_recalibration_counts_neither_what_was_left_nor_few(trained: Trained) -> None:
    line = {"slope": 1.0, "shift": 0.2, "courses": 62}
    one = {
        "method": "in-the-large",
        "data": {"name": "here", "courses": 62, "fingerprint": "a", "source_fingerprint": "b", "grading": {}},
        "outcomes": {"crs_1plus": {**line, "events": 60}, "crs_2plus": {**line, "events": 30}},
        "left_as_they_were": {"crs_3plus": "2 courses with the outcome and 60 without, too few"},
        "settings": {},
        "metrics": [],
    }
    (shown,) = card_of(trained.bundle, {**trained.bundle.about, "recalibrations": [one]})["recalibrations"]
    assert shown["left_as_they_were"] == {"crs_3plus": "too few courses with the outcome, or without it"}
    assert [shown["outcomes"][key]["events"] for key in ("crs_1plus", "crs_2plus")] == ["all but fewer than 5", 30]
    assert shown["outcomes"]["crs_2plus"]["shift"] == 0.2
    assert not {"settings", "metrics"} & set(shown)
