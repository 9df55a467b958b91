"""Bands: each edge from both sides, and never "low" for what is not known."""

import json
import math

import numpy as np
import pytest

from features.policy import Policy, Thresholds

HELD = Thresholds(0.2, 0.6, 0.9, 12.0, 0.5, 0.97, 30.0, 0.9, 0.2)
POLICY = Policy("made up for tests", {"crs_1plus": HELD}, ("teclistamab", "car-t"), ("mm",), 18.0, 90.0)


@pytest.mark.parametrize(
    ("probability", "band"),
    [
        (0.0, "low"),
        (float(np.nextafter(0.2, 0)), "low"),
        (0.2, "intermediate"),
        (float(np.nextafter(0.6, 0)), "intermediate"),
        (0.6, "high"),
        (1.0, "high"),
    ],
)
def test_a_threshold_belongs_to_the_band_above_it(probability: float, band: str) -> None:
    assert POLICY.band("crs_1plus", probability) == band


def test_one_threshold_for_both_leaves_no_band_between() -> None:
    both = Thresholds(0.5, 0.5, 0.9, 12.0, 0.5, 0.97, 30.0, 0.9, 0.2)
    assert [both.band(value) for value in (0.49, 0.5)] == ["low", "high"]


def test_what_was_not_evaluated_is_not_low() -> None:
    assert POLICY.band("crs_1plus", math.nan) == "not-evaluated"


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_an_outcome_without_thresholds_has_no_band(probability: float) -> None:
    assert POLICY.band("crs_3plus", probability) == "unbanded"


def test_a_policy_survives_json() -> None:
    assert Policy.from_json(json.loads(json.dumps(POLICY.to_json()))) == POLICY
