"""Each caution on both sides of its edge; and where nothing is known, the answer says so and is never "low"."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from features.bundle import Bundle
from features.catalogue import Catalogue
from features.outcomes import OUTCOME_KEYS
from features.policy import Thresholds
from features.spec import Range
from tests.builders import THRESHOLDS
from tests.serving.builders import (
    EXAMPLE,
    TRAINED,
    example,
    fitted_without_trees,
    prior_bundle,
    trained_bundle,
    with_course,
)
from tests.serving.conftest import Ask, asking
from tests.serving.learned import learned_bundle, with_policy


def codes(notes: Iterable[dict[str, str]]) -> set[str]:
    return {note["code"] for note in notes}


def text_of(answer: dict[str, Any], code: str) -> str:
    (found,) = [note["text"] for note in answer["cautions"] if note["code"] == code]
    return str(found)


def grade(event: str, value: int, hours: float) -> dict[str, Any]:
    return {"event": event, "value": value, "hours": hours, "grading": "ASTCT-2019"}


# What is there already


@pytest.mark.parametrize(("event", "code"), [("crs_grade", "crs-present"), ("icans_grade", "icans-present")])
@pytest.mark.parametrize(
    ("charted", "present"),
    [
        ([], False),
        ([(0, 20)], False),
        ([(1, 20)], True),
        ([(3, 24)], True),
        ([(1, 24.01)], False),  # after the index time
        ([(2, 10), (0, 20)], False),  # it has passed
        ([(0, 10), (1, 20)], True),
        ([(0, 20), (1, 20)], True),  # of two at one time the worse counts
    ],
)
def test_a_grade_that_is_there_is_said_and_one_that_has_passed_is_not(
    ask_prior: Ask, event: str, code: str, charted: list[tuple[int, float]], present: bool
) -> None:
    events = [grade(event, value, hours) for value, hours in charted]
    told = codes(ask_prior(example(events=events))["cautions"])
    assert (code in told) == present
    other = {"crs-present", "icans-present"} - {code}
    assert not other & told


# Too old


@pytest.mark.parametrize("code", ["temperature", "crp", "ldh", "ferritin"])
def test_a_value_is_too_old_once_past_its_limit_and_is_named_without_its_value(
    ask_prior: Ask, tables: Catalogue, code: str
) -> None:
    held = tables.analytes[code]
    seen = {"code": code, "value": 39.77, "unit": held.unit, "hours": 24 - held.stale_hours}
    fresh, old = (
        ask_prior(example(observations=[{**seen, "hours": seen["hours"] - late}], events=[])) for late in (0, 0.001)
    )
    assert "input-stale" not in codes(fresh["cautions"])
    assert held.name in text_of(old, "input-stale")
    assert "39.77" not in text_of(old, "input-stale")


def test_a_later_value_takes_the_age_away_and_an_unsent_one_has_none(ask_prior: Ask) -> None:
    old, new = ({"code": "crp", "value": 8, "unit": "mg/L", "hours": hours} for hours in (-60, 20))
    assert "input-stale" in codes(ask_prior(example(observations=[old]))["cautions"])
    assert "input-stale" not in codes(ask_prior(example(observations=[old, new]))["cautions"])
    assert "input-stale" not in codes(ask_prior(example(observations=[]))["cautions"])


def test_all_that_is_too_old_stands_in_one_caution(ask_prior: Ask) -> None:
    old = [{"code": code, "value": 60, "unit": unit, "hours": -200} for code, unit in (("crp", "mg/L"), ("ldh", "U/L"))]
    text = text_of(ask_prior(example(observations=old)), "input-stale")
    assert text.endswith("C-reactive protein, Lactate dehydrogenase.")


# Outside what was trained on


def ranged(**held: tuple[float, float]) -> Bundle:
    """A bundle whose training rows held these columns between these ends, 1st to 99th percentile."""
    spec = trained_bundle().spec
    ranges = [
        Range(*held[_key(name)], 1.0, (0.0, 0.0, 0.0)) if _key(name) in held else Range(0.0, 0.0, 0.0, (0.0, 0.0, 0.0))
        for name in spec.names
    ]
    return replace(trained_bundle(), spec=replace(spec, ranges=tuple(ranges)))


def _key(column: str) -> str:
    return column.replace(".", "_")


OUTSIDE = "input-outside-training-range"


@pytest.mark.parametrize(("value", "beyond"), [(9.99, True), (10.0, False), (64.0, False), (80.0, False), (80.1, True)])
def test_an_input_beyond_the_middle_of_the_training_data_is_named_without_its_value(
    tables: Catalogue, value: float, beyond: bool
) -> None:
    ask = asking(ranged(crp_last=(10.0, 80.0)))
    answer = ask(example(observations=[{"code": "crp", "value": value, "unit": "mg/L", "hours": 20}]))
    assert (OUTSIDE in codes(answer["cautions"])) == beyond
    if beyond:
        assert text_of(answer, OUTSIDE).endswith(f"{tables.analytes['crp'].name}.")
        assert str(value) not in text_of(answer, OUTSIDE)


def test_the_latest_value_counts_and_an_unsent_one_is_outside_nothing() -> None:
    ask = asking(ranged(crp_last=(10.0, 80.0)))
    high, inside = ({"code": "crp", "value": one, "unit": "mg/L", "hours": at} for one, at in ((300, 3), (50, 20)))
    assert OUTSIDE not in codes(ask(example(observations=[high, inside]))["cautions"])
    assert OUTSIDE not in codes(ask(example(observations=[]))["cautions"])


@pytest.mark.parametrize(("limit", "beyond"), [(None, False), (500, False), (200, True)])
def test_a_value_is_compared_over_its_own_upper_limit(limit: float | None, beyond: bool) -> None:
    # 410 U/L is 1.64 times the default limit of 250.
    ask = asking(ranged(ldh_last=(0.5, 2.0)))
    seen = {"code": "ldh", "value": 410, "unit": "U/L", "hours": 20, "upper_limit": limit}
    assert (OUTSIDE in codes(ask(example(observations=[seen]))["cautions"])) == beyond


@pytest.mark.parametrize(("age", "beyond"), [(39, True), (40, False), (75, False), (76, True)])
def test_a_number_of_the_course_is_compared_too(age: int, beyond: bool) -> None:
    answer = asking(ranged(age_years=(40.0, 75.0)))(with_course(age_years=age))
    assert (OUTSIDE in codes(answer["cautions"])) == beyond
    if beyond:
        assert ": age" in text_of(answer, OUTSIDE)


def test_the_very_value_that_training_held_is_inside_whatever_its_last_bits() -> None:
    # Rows hold 32 bits: what training kept of 12.3 and 0.7 is not what a request sends.
    ends = {"marrow_blasts_pct": 12.3, "dose_fraction": 0.7, "crp_last": 64.1}
    ask = asking(ranged(**{name: (float(np.float32(one)), float(np.float32(one))) for name, one in ends.items()}))
    seen = [{"code": "crp", "value": 64.1, "unit": "mg/L", "hours": 20}]
    answer = ask({**with_course(marrow_blasts_pct=12.3, dose_fraction=0.7), "observations": seen})
    assert OUTSIDE not in codes(answer["cautions"])
    assert OUTSIDE in codes(ask(with_course(dose_fraction=0.701))["cautions"])


def test_all_inputs_beyond_stand_in_one_caution_by_name() -> None:
    ask = asking(ranged(crp_last=(0.0, 1.0), ferritin_last=(0.0, 1.0), age_years=(0.0, 1.0)))
    text = text_of(ask(EXAMPLE), OUTSIDE)
    assert "C-reactive protein, Ferritin, age" in text
    assert not {"64", "820", "61"} & set(text.replace(",", "").replace(".", "").split())


def test_without_training_rows_nothing_is_outside(ask_prior: Ask) -> None:
    assert OUTSIDE not in codes(ask_prior(EXAMPLE)["cautions"])


# Indications and prophylaxis


@pytest.mark.parametrize(
    ("seen", "indication", "told"),
    [(("dlbcl",), "dlbcl", False), (("lbcl",), "fl", True), ((), "dlbcl", True), (("lbcl",), None, False)],
)
def test_an_indication_that_training_did_not_hold_is_said(
    seen: tuple[str, ...], indication: str | None, told: bool
) -> None:
    ask = asking(with_policy(trained_bundle(), indications=seen))
    found = codes(ask(with_course(indication=indication))["cautions"])
    assert ("indication-not-in-training-data" in found) == told
    assert ("indication-unknown" in found) == (indication is None)


def test_without_training_data_no_indication_is_outside_it(ask_prior: Ask) -> None:
    assert "indication-not-in-training-data" not in codes(ask_prior(EXAMPLE)["cautions"])


@pytest.mark.parametrize(
    ("therapy", "indication", "given", "told"),
    [
        ("teclistamab", "mm", {"prophylactic_tocilizumab": True}, False),
        ("bcma-engager", "mm", {"prophylactic_tocilizumab": True}, False),
        ("teclistamab", "mm", {"prophylactic_corticosteroid": True}, True),
        ("teclistamab", "mm", {"prophylactic_tocilizumab": True, "prophylactic_corticosteroid": True}, True),
        ("teclistamab", "mm", {"prophylactic_tocilizumab": False}, False),
        ("teclistamab", "mm", {}, False),
        ("teclistamab", None, {"prophylactic_tocilizumab": True}, True),
        ("epcoritamab", "dlbcl", {"prophylactic_tocilizumab": True}, True),
        ("axi-cel", "dlbcl", {"prophylactic_tocilizumab": True}, True),
        ("cilta-cel", "mm", {"prophylactic_tocilizumab": True}, True),
    ],
)
def test_prophylaxis_that_no_published_cohort_had_is_said(
    ask_prior: Ask, therapy: str, indication: str | None, given: dict[str, bool], told: bool
) -> None:
    def about(**flags: bool) -> dict[str, Any]:
        return ask_prior({**with_course(therapy=therapy, indication=indication, **flags), "events": []})

    assert ("prophylaxis-not-adjusted" in codes(about(**given)["cautions"])) == told
    usual, under = ({one["outcome"]: one["probability"] for one in about(**flags)["risks"]} for flags in ({}, given))
    adjusted = under["crs_1plus"] < usual["crs_1plus"]
    assert adjusted == (
        therapy in ("teclistamab", "bcma-engager")
        and indication == "mm"
        and given.get("prophylactic_tocilizumab", False)
    )
    assert under["icans_2plus"] == usual["icans_2plus"]


# Never "low" by default


def test_a_probability_without_thresholds_is_unbanded_however_small(ask_prior: Ask, ask_trained: Ask) -> None:
    smallest = []
    for ask in (ask_prior, ask_trained):
        for body in (example(events=[]), example(events=[], hours_since_start=13 * 24)):
            unbanded = [one for one in ask(body)["risks"] if one["outcome"] not in TRAINED]
            assert {one["band"] for one in unbanded} == {"unbanded"}
            smallest.append(min(one["probability"] for one in unbanded))
    assert min(smallest) < 0.01


@pytest.mark.parametrize(
    ("body", "states"),
    [
        (example(events=[grade("crs_grade", 4, 20)]), {"reached", "evaluated"}),
        (example(events=[], hours_since_start=15 * 24), {"horizon-over", "evaluated"}),
        (with_course(therapy="unheard-of"), set()),
        (with_course(therapy="rituximab"), set()),
        (with_course(age_years=5), set()),
    ],
)
def test_what_has_no_probability_has_no_band_at_all(body: dict[str, Any], states: set[str]) -> None:
    # By these thresholds every probability is low.
    always_low = with_policy(
        prior_bundle(),
        thresholds={key: replace(THRESHOLDS, intermediate_from=0.9999, high_from=0.99999) for key in OUTCOME_KEYS},
    )
    answer = asking(always_low)(body)
    assert {one["status"] for one in answer["risks"]} == states
    for one in answer["risks"]:
        if one["status"] == "evaluated":
            assert one["band"] == "low"
        else:
            assert not {"band", "probability", "interval", "basis"} & set(one)


def test_a_course_without_any_input_is_answered_from_its_therapy_and_says_what_it_lacks() -> None:
    bundle = learned_bundle()
    answer = asking(bundle)({"course": {"id": "a", "therapy": "axi-cel"}, "hours_since_start": 0})
    assert answer["status"] == "evaluated"
    assert {one["band"] for one in answer["risks"]} == {"unbanded"}
    assert {one["status"] for one in answer["missing"]} == {"absent"}
    assert {"age-unknown", "indication-unknown"} <= codes(answer["cautions"])


def test_not_a_number_has_no_band() -> None:
    held = Thresholds(0.2, 0.6, 0.9, 20.0, 0.4, 0.95, 30.0, 0.9, 0.2)
    assert held.band(math.nan) == "not-evaluated"
    assert [held.band(one) for one in (0.0, math.nextafter(0.2, 0), 0.2, math.nextafter(0.6, 0), 0.6, 1.0)] == [
        *("low", "low", "intermediate", "intermediate", "high", "high")
    ]
    policy = with_policy(prior_bundle(), thresholds={"crs_1plus": held}).policy
    assert policy.band("crs_1plus", math.nan) == "not-evaluated"
    assert policy.band("crs_2plus", 0.0) == "unbanded"
    assert policy.bands("crs_1plus", 0.1, 0.7) == ("low", "intermediate", "high")
    assert policy.bands("crs_2plus", 0.1, 0.7) == ("unbanded",)


# How sure


@pytest.mark.parametrize(
    ("bundle", "therapy", "method"),
    [
        (prior_bundle(), "axi-cel", "published-rates"),
        (trained_bundle(), "axi-cel", "venn-abers"),
        (trained_bundle(), "tisa-cel", "both"),
        (fitted_without_trees(), "axi-cel", "published-rates"),  # moved by data, without a table of its own
    ],
)
def test_the_method_of_an_interval_is_the_one_by_which_it_was_made(bundle: Bundle, therapy: str, method: str) -> None:
    answer = asking(bundle)({**with_course(therapy=therapy), "events": []})
    (found,) = [one for one in answer["risks"] if one["outcome"] == "crs_2plus"]
    assert found["interval"]["method"] == method
    others = [one["interval"]["method"] for one in answer["risks"] if one["outcome"] not in TRAINED]
    assert set(others) == {"published-rates"}
    assert found["interval"]["low"] <= found["probability"] <= found["interval"]["high"]
