"""What is missing: each input named once, tried through the row-builder, and judged by whether a band could change."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from features.bundle import Bundle
from features.catalogue import Catalogue, load
from features.course import HOUR, Event
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor
from features.single import CourseInput, Observed, snapshots
from serving.inputs import Inputs
from serving.latest import latest
from serving.missing import ABSENT, MOST_TRIED, STALE, Lacks
from tests.serving.builders import EXAMPLE, prior_bundle, trained_bundle
from tests.serving.conftest import Ask, asking
from tests.serving.learned import CAR_T, banded, body, learned_bundle

FERRITIN = Observed("ferritin", 20 * HOUR, 900.0)
COURSE = CourseInput(CAR_T, "lbcl", 24 * HOUR, numbers={"age_years": 61.0}, observations=(FERRITIN,))
FIRST = OUTCOME_KEYS.index("crs_1plus")


def asked(bundle: Bundle, course: CourseInput = COURSE, **course_fields: Any) -> dict[str, Any]:
    return asking(bundle)(body(course, course.index_seconds / HOUR, **course_fields))


def missing(answer: dict[str, Any], what: str) -> dict[str, Any]:
    (found,) = [one for one in answer["missing"] if one["what"] == what]
    return dict(found)


def probabilities(bundle: Bundle, *courses: CourseInput) -> np.ndarray:
    """(courses, outcomes), each asked about alone."""
    catalogue = load()
    predictor = Predictor(bundle, catalogue)
    return np.concatenate([predictor.predict(snapshots(catalogue, [one])).probability for one in courses])


def seeing(course: CourseInput, code: str, value: float) -> CourseInput:
    """The course with that value measured at its index time."""
    return replace(course, observations=(*course.observations, Observed(code, course.index_seconds, value)))


def knowing(course: CourseInput, **numbers: float) -> CourseInput:
    return replace(course, numbers={**course.numbers, **numbers})


def typical(bundle: Bundle, column: str) -> tuple[float, float, float]:
    return bundle.spec.ranges[bundle.spec.names.index(column)].typical


# What is named


@pytest.mark.parametrize(
    "bundle", [prior_bundle(), trained_bundle(), learned_bundle()], ids=["prior", "trained", "learned"]
)
def test_each_absent_input_is_named_once_and_nothing_that_was_sent(bundle: Bundle, tables: Catalogue) -> None:
    answer = asking(bundle)(EXAMPLE)
    names = Counter(one["what"] for one in answer["missing"])
    assert set(names.values()) == {1}
    sent = {"crp", "ferritin", "ldh", "platelets", "creatinine", "temperature", "age_years", "sex_male", "ecog"}
    assert not sent & set(names)
    assert {one.key for one in tables.analytes.values()} - sent <= set(names)
    assert not {event.value for event in Event} & set(names)


def test_an_absent_input_says_what_was_assumed_and_in_which_unit(tables: Catalogue) -> None:
    found = missing(asked(learned_bundle()), "crp")
    assert (found["status"], found["assumed"], found["unit"]) == ("absent", ABSENT, "mg/L")
    assert found["name"] == tables.analytes["crp"].name
    assert "age_hours" not in found


def test_what_is_known_to_be_absent_is_not_missing() -> None:
    told = asked(learned_bundle(), prophylactic_tocilizumab=False, comorbidities={"cardiac_disease": False})
    assert not {"prophylactic_tocilizumab", "cardiac_disease"} & {one["what"] for one in told["missing"]}


def test_a_value_is_stale_once_it_is_older_than_its_limit_to_the_second(tables: Catalogue) -> None:
    limit = tables.analytes["temperature"].stale_hours
    index = 24 * HOUR
    for late, stale in ((0, False), (1, True)):
        seen = Observed("temperature", index - int(limit * HOUR) - late, 38.0)
        told = asked(prior_bundle(), replace(COURSE, observations=(seen,)))
        names = [one for one in told["missing"] if one["what"] == "temperature"]
        assert bool(names) == stale
        if stale:
            assert (names[0]["status"], names[0]["assumed"]) == ("stale", STALE)
            assert names[0]["age_hours"] == pytest.approx(limit + 1 / 3600, abs=1e-6)


# What is tried


def test_a_tried_value_gives_the_prediction_of_the_course_with_that_observation_bit_for_bit() -> None:
    bundle = learned_bundle()
    tried = [seeing(COURSE, "crp", value) for value in typical(bundle, "crp.last")]
    expected = probabilities(bundle, COURSE, *tried)[:, FIRST]
    largest = missing(asked(bundle), "crp")["largest"]
    assert (largest["lowest"], largest["highest"]) == (expected.min(), expected.max())
    assert largest["outcome"] == "crs_1plus"
    assert largest["highest"] - largest["lowest"] > 0.05


def test_a_stale_value_is_tried_anew_at_the_index_time() -> None:
    bundle = learned_bundle()
    old = replace(COURSE, index_seconds=60 * HOUR, observations=(Observed("crp", 0, 190.0), FERRITIN))
    expected = probabilities(bundle, old, *(seeing(old, "crp", value) for value in typical(bundle, "crp.last")))
    found = missing(asked(bundle, old), "crp")
    assert (found["status"], found["age_hours"]) == ("stale", 60.0)
    assert (found["largest"]["lowest"], found["largest"]["highest"]) == (
        expected[:, FIRST].min(),
        expected[:, FIRST].max(),
    )


def test_a_typical_value_over_the_upper_limit_is_tried_on_the_scale_of_the_laboratory(tables: Catalogue) -> None:
    bundle = learned_bundle((("ldh.last", 0.4, 8.0), ("crp.last", 0.0, 200.0)))
    limit = tables.analytes["ldh"].reference_high
    tried = [seeing(COURSE, "ldh", times * limit) for times in typical(bundle, "ldh.last")]
    expected = probabilities(bundle, COURSE, *tried)[:, FIRST]
    largest = missing(asked(bundle), "ldh")["largest"]
    assert (largest["lowest"], largest["highest"]) == (expected.min(), expected.max())


def test_a_flag_is_tried_as_no_and_as_yes() -> None:
    bundle = learned_bundle((("high_disease_burden", 0.0, 1.0), ("age_years", 20.0, 80.0)))
    expected = probabilities(
        bundle, COURSE, knowing(COURSE, high_disease_burden=0.0), knowing(COURSE, high_disease_burden=1.0)
    )[:, FIRST]
    largest = missing(asked(bundle), "high_disease_burden")["largest"]
    assert (largest["lowest"], largest["highest"]) == (expected.min(), expected.max())


def test_what_no_tree_reads_is_named_and_not_tried() -> None:
    found = missing(asked(learned_bundle()), "d_dimer")
    assert found["status"] == "absent"
    assert not {"could_change_band", "largest"} & set(found)


CODES = ("crp", "ferritin", "ldh", "platelets", "creatinine", "il6", "temperature", "ast", "alt", "d_dimer")


def test_no_more_than_the_allowed_number_is_tried_and_those_matter_most(tables: Catalogue) -> None:
    bundle = learned_bundle(tuple((f"{code}.last", 0.0, 10.0) for code in CODES))
    nothing = replace(COURSE, observations=())
    tried = {one["what"] for one in asked(bundle, nothing)["missing"] if "could_change_band" in one}
    importance = Inputs(Predictor(bundle, tables)).importance
    by_importance = sorted(CODES, key=lambda code: -importance[code])
    assert min(importance[code] for code in CODES) > 0
    assert tried == set(by_importance[:MOST_TRIED])
    assert len(tried) == MOST_TRIED < len(CODES)


def test_what_is_lacking_comes_with_its_age_and_the_facts_to_try(tables: Catalogue) -> None:
    predictor = Predictor(learned_bundle(), tables)
    lacks = Lacks(predictor, Inputs(predictor))
    found = {one.group.key: one for one in lacks.of(COURSE, latest(COURSE.observations))}
    assert [change.value for change in found["crp"].changes] == list(typical(learned_bundle(), "crp.last"))
    assert {change.code for change in found["crp"].changes} == {tables.code_position("crp")}
    assert math.isnan(found["crp"].age_hours)
    assert found["il6"].changes == ()
    assert "ferritin" not in found


# Whether a band could change


def span(bundle: Bundle) -> tuple[float, float, float]:
    """The probability now, and the lowest and highest with CRP tried, of CRS of any grade."""
    now = probabilities(bundle, COURSE)[0, FIRST]
    largest = missing(asked(bundle), "crp")["largest"]
    return float(now), largest["lowest"], largest["highest"]


def test_a_band_could_change_where_a_cut_off_lies_within_reach_and_not_beyond() -> None:
    bundle = learned_bundle()
    now, lowest, highest = span(bundle)
    between = (lowest + highest) / 2
    cases = [
        ((between, 0.999999), ["low", "intermediate"]),
        ((0.000001, between), ["intermediate", "high"]),
        ((highest, 0.999999), ["low", "intermediate"]),  # a probability at the cut-off lies above it
        ((math.nextafter(highest, 1.0), 0.999999), ["low"]),
        ((lowest, 0.999999), ["intermediate"]),
        ((math.nextafter(lowest, 1.0), math.nextafter(highest, 0.0)), ["low", "intermediate", "high"]),
    ]
    assert lowest < now < highest
    for cut_offs, bands in cases:
        found = missing(asked(banded(bundle, "crs_1plus", *cut_offs)), "crp")
        assert found["largest"]["bands"] == bands
        assert found["could_change_band"] == (len(bands) > 1)


def test_without_thresholds_no_band_could_change() -> None:
    found = missing(asked(learned_bundle()), "crp")
    assert found["could_change_band"] is False
    assert found["largest"]["bands"] == ["unbanded"]


def test_an_outcome_that_was_reached_is_not_judged() -> None:
    charted = Observed(Event.CRS_GRADE, 10 * HOUR, 1.0)
    reached = replace(COURSE, observations=(FERRITIN, charted))
    bundle = banded(learned_bundle(), "crs_1plus", 0.4, 0.6)
    found = missing(asked(bundle, reached), "crp")
    assert found["could_change_band"] is False
    assert found["largest"]["outcome"] != "crs_1plus"


def test_what_could_change_a_band_comes_first_then_what_moves_a_probability_most_then_what_was_not_tried() -> None:
    bundle = learned_bundle(tuple((f"{code}.last", 0.0, 10.0) for code in CODES))
    now = probabilities(bundle, replace(COURSE, observations=()))[0, FIRST]
    told = asked(banded(bundle, "crs_1plus", now + 0.02, 0.9999), replace(COURSE, observations=()))["missing"]
    rank = [
        (
            one.get("could_change_band") is not True,
            one["largest"]["lowest"] - one["largest"]["highest"] if "largest" in one else 1.0,
        )
        for one in told
    ]
    assert rank == sorted(rank)
    assert {one[0] for one in rank} == {True, False}
    assert "largest" not in told[-1]


# Published rates alone


def test_unknown_prophylaxis_is_tried_where_a_cohort_under_it_is_published(ask_prior: Ask) -> None:
    course = CourseInput("teclistamab", "mm", 0, numbers={"age_years": 61.0})
    found = missing(ask_prior(body(course, 0.0)), "prophylactic_tocilizumab")
    largest = found["largest"]
    expected = probabilities(prior_bundle(), course, knowing(course, prophylactic_tocilizumab=1.0))
    place = OUTCOME_KEYS.index(largest["outcome"])
    assert (largest["lowest"], largest["highest"]) == (expected[1, place], expected[0, place])
    assert largest["outcome"] == "crs_1plus"
    assert largest["highest"] > 3 * largest["lowest"]
    assert found["could_change_band"] is False


@pytest.mark.parametrize(
    ("therapy", "indication", "what"),
    [("teclistamab", "mm", "prophylactic_corticosteroid"), (CAR_T, "lbcl", "prophylactic_tocilizumab")],
)
def test_elsewhere_unknown_prophylaxis_is_named_and_not_tried(
    ask_prior: Ask, therapy: str, indication: str, what: str
) -> None:
    found = missing(ask_prior(body(CourseInput(therapy, indication, 0), 0.0)), what)
    assert found["status"] == "absent"
    assert not {"could_change_band", "largest"} & set(found)


def test_from_published_rates_nothing_else_is_tried(ask_prior: Ask) -> None:
    told = ask_prior(body(CourseInput("teclistamab", "mm", 0), 0.0))["missing"]
    assert [one["what"] for one in told if "could_change_band" in one] == ["prophylactic_tocilizumab"]
    assert told[0]["what"] == "prophylactic_tocilizumab"
