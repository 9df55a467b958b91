"""Bundles whose trees read just the inputs that a test names. The labels are random: they mean nothing."""

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import xgboost

from features import catalogue
from features.bundle import Bundle
from features.interval import IntervalTable
from features.policy import Policy
from features.single import CourseInput
from tests.builders import THRESHOLDS, both, wide_ends
from tests.serving.builders import prior_bundle

CAR_T = "axicabtagene-ciloleucel"
#: A column, and the lowest and highest value that it held in training.
Held = tuple[str, float, float]
INFLAMMATION: tuple[Held, ...] = (("crp.last", 0.0, 200.0), ("ferritin.last", 50.0, 5000.0))


@functools.cache
def learned_bundle(columns: tuple[Held, ...] = INFLAMMATION, outcome: str = "crs_1plus") -> Bundle:
    """One outcome whose risk rises with each of these columns, the first the most; no other column was ever present."""
    held = prior_bundle()
    values, label = _drawn(held.spec.names, columns)
    matrix = xgboost.DMatrix(values, label=label, feature_names=list(held.spec.names), nthread=1)
    settings = {"objective": "binary:logistic", "base_score": 0.5, "max_depth": 3, "eta": 0.3, "nthread": 1}
    return replace(
        held,
        spec=held.spec.with_ranges(values),
        boosters={outcome: bytes(xgboost.train(settings, matrix, 30).save_raw("ubj"))},
        calibration={outcome: both(early_slope=1.0, late_slope=1.0)},
        intervals={outcome: IntervalTable(-6.0, 0.5, *wide_ends())},
        policy=replace(held.policy, therapies=(CAR_T,), indications=("lbcl",)),
        golden={"courses": []},
        about={"name": "t", "trained_on": {"name": "random", "courses": 600, "synthetic": False}},
    )


def _drawn(names: tuple[str, ...], columns: tuple[Held, ...]) -> tuple[Any, Any]:
    random = np.random.default_rng(3)
    values = np.full((600, len(names)), np.nan, dtype=np.float32)
    score = np.zeros(600)
    for rank, (name, low, high) in enumerate(columns):
        share = random.random(600)
        values[:, names.index(name)] = np.where(random.random(600) < 0.1, np.nan, low + share * (high - low))
        score += (share - 0.5) * 4 / (1 + rank / 4)
    return values, (random.random(600) < 1 / (1 + np.exp(-score))).astype(float)


def banded(bundle: Bundle, outcome: str, intermediate_from: float, high_from: float) -> Bundle:
    """The bundle with these thresholds for one outcome and none for the others."""
    return with_policy(
        bundle, thresholds={outcome: replace(THRESHOLDS, intermediate_from=intermediate_from, high_from=high_from)}
    )


def with_policy(bundle: Bundle, **changed: Any) -> Bundle:
    policy: Policy = replace(bundle.policy, **changed)
    return replace(bundle, policy=policy)


def body(course: CourseInput, hours: float, **course_fields: Any) -> dict[str, Any]:
    """A request for that course with its observations in canonical units, asked at `hours`."""
    units = {key: one.unit for key, one in catalogue.load().analytes.items()}
    seen = [
        {"code": one.code, "value": one.value, "unit": units[one.code], "hours": one.seconds / 3600}
        for one in course.observations
        if one.code in units
    ]
    charted = [
        {"event": one.code, "value": one.value, "hours": one.seconds / 3600, "grading": "ASTCT-2019"}
        for one in course.observations
        if one.code not in units
    ]
    named = {"id": "made-up", "therapy": course.therapy, "indication": course.indication, "age_years": 61}
    return {
        "course": {**named, **course_fields},
        "hours_since_start": hours,
        "observations": seen,
        "events": charted,
    }
