"""Judging a version where it learnt is called out, also where only the name of the cohort points to it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data import synthetic
from data.tables import Cohort, cohort_from_frames
from features.home import Home
from tests.training.conftest import Registry
from training.overlap import HERE, NAMED, caution, folders_of
from training.train import Trained


@pytest.fixture(scope="module")
def other() -> Cohort:
    made = synthetic.generate(12, 16)
    return cohort_from_frames(made.courses, made.observations, made.events)


def recalibrated(about: Any, name: str) -> dict[str, Any]:
    data = {"name": name, "courses": 40, "fingerprint": "a", "source_fingerprint": "b"}
    return {**about, "recalibrations": [{"data": data}]}


def test_the_very_cohort_is_known_under_any_name(trained: Trained, cohort: Cohort) -> None:
    assert caution(trained.bundle.about, cohort, ["elsewhere"]) == HERE


def test_a_cohort_that_has_grown_is_known_by_its_name(trained: Trained, other: Cohort) -> None:
    about = trained.bundle.about
    assert caution(about, other, ["synthetic-tiny"]) == caution(about, other, ["Synthetic-Tiny"]) == NAMED
    assert caution(about, other, ["elsewhere"]) == ""
    assert caution(recalibrated(about, "elsewhere"), other, ["elsewhere"]) == NAMED


def test_a_version_without_data_has_seen_no_cohort(other: Cohort) -> None:
    held = {"name": "none", "courses": 0, "fingerprint": "", "source_fingerprint": ""}
    assert caution({"trained_on": held}, other, ["none"]) == ""


def test_a_cohort_that_was_trained_on_under_another_name_is_known_by_its_folder(
    registry: Registry, own_home: Callable[[], Home], cohort_folder: Path, other: Cohort
) -> None:
    about = registry.trained.bundle.about
    assert about["trained_on"]["name"] != cohort_folder.name
    folders = folders_of(own_home(), about, registry.run_id, None)
    assert folders == {cohort_folder.name}
    assert caution(about, other, [cohort_folder.name]) == ""
    assert caution(about, other, [cohort_folder.name], folders) == NAMED
