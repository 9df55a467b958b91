"""A recalibrated version is reported as what it is, and a cohort that may have been seen validates nothing."""

from typing import Any

import pytest

from training.reporting_facts import of_evaluation, of_training
from training.train import Trained
from training.tripod import UNKNOWN, reporting

CELL = {"axis": "everyone", "rows": 300, "events": 40, "figures": {"auroc": {"value": 0.7, "low": 0.6, "high": 0.8}}}
BODY: dict[str, Any] = {
    "title": "Version 2 on there",
    "design": {"key": "external", "text": "judged as it is served"},
    "cohort": {
        "name": "there",
        "courses": 90,
        "sites": 0,
        "started": "2019 to 2021",
        "demographics": {"age": {"below 18": 10}, "sex": {"male": 80}},
    },
    "policy": {"smallest_count": 5},
    "outcomes": [{"key": "crs_2plus", "cells": [CELL]}],
    "attrition": [],
    "drift": [],
    "caution": "",
    "trained_here": False,
}


def recalibrated(about: Any) -> dict[str, Any]:
    """The manifest's facts after a shift on 40 courses of another cohort, graded otherwise."""
    auroc = {"auroc": {"value": 0.61, "low": 0.55, "high": 0.66}}
    one = {
        "method": "in-the-large",
        "data": {"name": "here", "courses": 40, "fingerprint": "fedc", "grading": {"crs_grade": "Lee-2014"}},
        "outcomes": {"crs_2plus": {}, "crs_3plus": {}},
        "metrics": [{"outcome": "crs_2plus", "predictor": "model", "index_time": "all", "metrics": auroc}],
    }
    return {**about, "recalibrations": [one]}


def filled(trained: Trained, about: Any, **changed: Any) -> dict[str, str]:
    """Item -> text of an evaluation."""
    facts = of_evaluation({**BODY, **changed}, trained.bundle.card, about, trained.bundle.spec)
    return texts(facts)


def texts(facts: dict[str, str]) -> dict[str, str]:
    return {item["item"]: item["filled"] for one in reporting(facts).values() for item in one["items"]}


def test_the_report_of_a_recalibrated_version_says_so(trained: Trained) -> None:
    found = filled(trained, recalibrated(trained.bundle.about))
    held = trained.bundle.about["trained_on"]
    assert found["12f"] == ("Recalibrated (in-the-large) on 40 courses of here: crs_2plus, crs_3plus; trees unchanged")
    assert found["5a"].startswith(
        f"Training: synthetic-tiny, 300 courses, SHA-256 {held['fingerprint']}; recalibrated on here, 40 courses, "
        "SHA-256 fedc. Evaluation: there, 90 courses."
    )
    assert found["8a"].endswith("; in recalibration: crs_grade: Lee-2014")
    why = "too few courses with the outcome, or without it"
    assert f"crs_3plus: {why} (its published rate was recalibrated)" in found["3.1"]


def test_figures_of_the_parent_are_called_the_parents(trained: Trained) -> None:
    about = trained.bundle.about
    before, after = filled(trained, about)["7.1"], filled(trained, recalibrated(about))["7.1"]
    assert before.startswith("crs_1plus AUROC")
    assert after == (
        f"Before recalibration, where it was trained: {before}; "
        "After it, on courses of here: crs_2plus AUROC 0.610 (0.550 to 0.660)"
    )
    card = texts(of_training(trained.bundle.card, recalibrated(about), trained.bundle.spec))
    assert card["23a"] == card["7.1"] == after
    assert card["1"].endswith("on synthetic-tiny, recalibrated on here")
    assert card["21"].startswith("In training: crs_1plus: ")


def test_a_version_that_was_not_recalibrated_was_not_updated(trained: Trained) -> None:
    found = filled(trained, trained.bundle.about)
    assert found["12f"] == "None"
    assert "recalibrated" not in found["5a"] + found["3.1"] + found["8a"]


@pytest.mark.parametrize(
    ("changed", "external"),
    [({}, True), ({"caution": "of this name"}, False), ({"caution": "this one", "trained_here": True}, False)],
)
def test_a_cohort_that_may_have_been_seen_is_no_external_validation(
    trained: Trained, changed: dict[str, Any], external: bool
) -> None:
    found = filled(trained, trained.bundle.about, **changed)
    assert [found[item] != UNKNOWN for item in ("6.1", "6.3", "6.4", "7.3")] == [external] * 4
    assert found["6.1"].endswith("a patient in both would go unnoticed") is external
    assert "AUROC 0.700" in found["23a"]
    assert "AUROC 0.700" not in found["7.1"]


def test_dates_and_patients_are_those_of_the_evaluated_courses(trained: Trained) -> None:
    who = "Patients, rounded to multiples of 5, by age: below 18 10; by sex: male 80"
    version = filled(trained, trained.bundle.about)
    recipe = filled(trained, trained.bundle.about, design={"key": "internal", "text": "folds"})
    assert version["5b"] == (
        "Evaluated courses started 2019 to 2021, where a start is stated; "
        "the dates of the training courses are not recorded"
    )
    assert recipe["5b"] == "Evaluated courses started 2019 to 2021, where a start is stated"
    assert (version["20b"], version["6.3"], version["4.3"]) == (who, who, UNKNOWN)
    assert (recipe["20b"], recipe["6.3"], recipe["4.3"]) == (who, UNKNOWN, who)
    undated = filled(trained, trained.bundle.about, cohort={**BODY["cohort"], "started": ""})
    assert undated["5b"] == UNKNOWN


def test_counts_that_are_held_back_are_not_named(trained: Trained) -> None:
    hidden = {**CELL, "rows": None, "events": None}
    assert filled(trained, trained.bundle.about, outcomes=[{"key": "crs_2plus", "cells": [hidden]}])["21"] == UNKNOWN
