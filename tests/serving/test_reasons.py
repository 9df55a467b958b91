"""Reasons: the published rate first, what was observed beside each effect, and effects that add up to the answer."""

import math
from dataclasses import replace
from typing import Any

import pytest

from features.catalogue import Catalogue
from features.recalibration import Recalibration
from features.single import CourseInput, Observed
from serving.latest import latest
from serving.reasons import MOST_NAMED
from tests.builders import both
from tests.serving.builders import EXAMPLE, example, trained_bundle, with_course
from tests.serving.conftest import Ask, asking
from tests.serving.learned import CAR_T, learned_bundle

BODIES: dict[str, dict[str, Any]] = {
    "example": EXAMPLE,
    "no grade yet": example(events=[]),
    "nothing measured": example(events=[], observations=[]),
    "at the start": example(events=[], hours_since_start=0),
    "late": example(hours_since_start=300),
    "step-up": {**with_course(therapy="teclistamab", indication="mm"), "events": [{"event": "step_dose", "hours": 20}]},
    "a class": with_course(therapy="cd19-car-t"),
}


@pytest.fixture(scope="module")
def ask_learned() -> Ask:
    """Answers with trees for CRS of any grade that read CRP and ferritin alone."""
    return asking(learned_bundle())


def of(answer: dict[str, Any], outcome: str) -> list[dict[str, Any]]:
    return [one for one in answer["reasons"] if one["outcome"] == outcome]


def named(answer: dict[str, Any], outcome: str, what: str) -> dict[str, Any]:
    (found,) = [one for one in of(answer, outcome) if one["what"] == what]
    return dict(found)


def evaluated(answer: dict[str, Any]) -> dict[str, float]:
    return {one["outcome"]: one["probability"] for one in answer["risks"] if one["status"] == "evaluated"}


def asking_about(*seen: dict[str, Any], **changes: Any) -> dict[str, Any]:
    course = {"id": "made-up", "therapy": "axi-cel", "indication": "lbcl", "age_years": 61}
    return {"course": course, "hours_since_start": 24, "observations": list(seen), "events": [], **changes}


CRP = {"code": "crp", "value": 6.4, "unit": "mg/dL", "hours": 20.5}
FERRITIN = {"code": "ferritin", "value": 4000, "unit": "ng/mL", "hours": -3}


# The sum


@pytest.mark.parametrize("name", BODIES)
def test_effects_add_up_to_the_log_odds_of_each_probability(
    ask_prior: Ask, ask_trained: Ask, ask_learned: Ask, name: str
) -> None:
    for ask in (ask_prior, ask_trained, ask_learned):
        answer = ask(BODIES[name])
        for outcome, probability in evaluated(answer).items():
            log_odds = math.log(probability) - math.log1p(-probability)
            assert sum(one["effect"] for one in of(answer, outcome)) == pytest.approx(log_odds, abs=1e-5)


@pytest.mark.parametrize("name", BODIES)
def test_the_published_rate_is_the_first_reason_of_each_evaluated_outcome_and_no_other_has_any(
    ask_trained: Ask, name: str
) -> None:
    answer = ask_trained(BODIES[name])
    assert {one["outcome"] for one in answer["reasons"]} == set(evaluated(answer))
    for outcome in evaluated(answer):
        assert [one["kind"] for one in of(answer, outcome)].index("published-rate") == 0
        assert [one["kind"] for one in of(answer, outcome)].count("published-rate") == 1


def test_the_published_rate_is_the_whole_answer_where_no_data_moved_it(ask_prior: Ask) -> None:
    answer = ask_prior(example(events=[]))
    for outcome, probability in evaluated(answer).items():
        (only,) = of(answer, outcome)
        assert only["effect"] == pytest.approx(math.log(probability / (1 - probability)), abs=1e-9)


@pytest.mark.parametrize(
    ("grade", "without"),
    [(1, {"crs_1plus"}), (2, {"crs_1plus", "crs_2plus"}), (4, {"crs_1plus", "crs_2plus", "crs_3plus"})],
)
def test_an_outcome_that_was_reached_has_no_reason(ask_trained: Ask, grade: int, without: set[str]) -> None:
    charted = [{"event": "crs_grade", "value": grade, "hours": 20, "grading": "ASTCT-2019"}]
    answer = ask_trained(example(events=charted))
    named_ = {one["outcome"] for one in answer["reasons"]}
    assert not named_ & without
    assert named_ == set(evaluated(answer))


def test_what_is_not_evaluated_has_no_reason(ask_trained: Ask) -> None:
    assert ask_trained(with_course(therapy="unheard-of"))["reasons"] == []
    assert {one["outcome"] for one in ask_trained(example(hours_since_start=15 * 24, events=[]))["reasons"]} == {
        "icans_2plus",
        "icans_3plus",
    }


@pytest.mark.parametrize("smallest", [0, 5e-324, 1e-310, 1e-44])
def test_the_smallest_values_that_are_accepted_are_answered_and_explained(ask_learned: Ask, smallest: float) -> None:
    units = {"crp": "mg/L", "platelets": "10*3/uL", "ferritin": "ng/mL", "ast": "U/L"}
    seen = [{"code": code, "value": smallest, "unit": unit, "hours": 20} for code, unit in units.items()]
    others = [
        {**FERRITIN, "code": "ldh", "unit": "U/L"},
        {**FERRITIN, "code": "creatinine", "value": 9, "unit": "mg/dL"},
    ]
    answer = ask_learned(asking_about(*seen, *others))
    assert len(evaluated(answer)) == 5
    for outcome, probability in evaluated(answer).items():
        log_odds = math.log(probability) - math.log1p(-probability)
        assert sum(one["effect"] for one in of(answer, outcome)) == pytest.approx(log_odds, abs=1e-5)


# What stands beside an effect


def test_an_input_is_told_with_its_value_unit_and_hour(ask_learned: Ask) -> None:
    found = named(ask_learned(asking_about(CRP, FERRITIN)), "crs_1plus", "crp")
    assert (found["kind"], found["observed"], found["unit"], found["measured_hours"]) == ("input", 64.0, "mg/L", 20.5)
    assert named(ask_learned(asking_about(CRP, FERRITIN)), "crs_1plus", "ferritin")["measured_hours"] == -3.0


def test_of_several_values_the_latest_is_told(ask_learned: Ask) -> None:
    earlier, same_time = {**CRP, "hours": 3, "value": 15}, {**CRP, "value": 6.0}
    for order in ((CRP, earlier, same_time), (same_time, earlier, CRP)):
        found = named(ask_learned(asking_about(*order)), "crs_1plus", "crp")
        assert (found["observed"], found["measured_hours"]) == (64.0, 20.5)


def test_an_input_that_was_not_sent_is_told_without_a_value(ask_learned: Ask) -> None:
    found = named(ask_learned(asking_about(FERRITIN)), "crs_1plus", "crp")
    assert abs(found["effect"]) > 1e-6
    assert not {"observed", "measured_hours", "reference"} & set(found)


def test_the_reference_is_the_requests_own_limit_where_given_and_the_default_otherwise(
    ask_learned: Ask, tables: Catalogue
) -> None:
    default = named(ask_learned(asking_about(CRP, FERRITIN)), "crs_1plus", "ferritin")["reference"]
    held = tables.analytes["ferritin"]
    assert default == {"stated_by": "default", "low": held.reference_low, "high": held.reference_high}
    own = named(ask_learned(asking_about(CRP, {**FERRITIN, "upper_limit": 322})), "crs_1plus", "ferritin")["reference"]
    assert own == {"stated_by": "request", "low": held.reference_low, "high": 322.0}


def test_the_requests_own_limit_is_told_in_the_canonical_unit(ask_learned: Ask) -> None:
    found = named(ask_learned(asking_about({**CRP, "upper_limit": 0.8}, FERRITIN)), "crs_1plus", "crp")
    # The catalogue states no lower limit of CRP.
    assert found["reference"] == {"stated_by": "request", "high": 8.0}


def test_each_analyte_is_tied_to_its_key_event_and_concept(ask_learned: Ask, tables: Catalogue) -> None:
    answer = ask_learned(asking_about(CRP, FERRITIN))
    for what in ("crp", "ferritin"):
        found, held = named(answer, "crs_1plus", what), tables.analytes[what]
        assert (found["key_event"], found["concept"], found["name"]) == (held.key_event, held.concept, held.name)
        assert found["key_event"]


def test_a_fact_of_the_course_is_told_with_its_number() -> None:
    ask = asking(learned_bundle((("age_years", 20.0, 90.0), ("high_disease_burden", 0.0, 1.0))))
    answer = ask(asking_about())
    age = named(answer, "crs_1plus", "age_years")
    assert (age["observed"], age["unit"], age["name"]) == (61.0, "a", "age")
    assert not {"measured_hours", "reference", "key_event"} & set(age)
    assert "observed" not in named(answer, "crs_1plus", "high_disease_burden")


def test_all_summaries_of_one_analyte_are_one_reason() -> None:
    columns = (("crp.last", 0.0, 200.0), ("crp.first", 0.0, 200.0), ("crp.worst", 0.0, 200.0))
    answer = asking(learned_bundle(columns))(asking_about(CRP))
    assert [one["what"] for one in of(answer, "crs_1plus") if one["kind"] == "input"] == ["crp"]


def test_the_strongest_inputs_are_named_and_the_rest_are_one_reason() -> None:
    codes = ("crp", "ferritin", "ldh", "platelets", "creatinine", "il6", "temperature", "ast", "alt", "d_dimer")
    ask = asking(learned_bundle(tuple((f"{code}.last", 0.0, 10.0) for code in codes)))
    found = of(ask(asking_about(CRP, FERRITIN)), "crs_1plus")
    inputs = [one for one in found if one["kind"] == "input"]
    assert len(inputs) == MOST_NAMED
    effects = [abs(one["effect"]) for one in inputs]
    assert effects == sorted(effects, reverse=True)
    (rest,) = [one for one in found if one["kind"] == "other-inputs"]
    assert rest["what"] == "other-inputs"


def test_the_local_level_and_the_clock_are_named_where_data_moved_them() -> None:
    held = replace(trained_bundle(), calibration={"crs_2plus": both(intercept=-0.3, time_slope=0.2)}, boosters={})
    found = {one["kind"]: one["effect"] for one in of(asking(held)(example(events=[])), "crs_2plus")}
    assert found["local-level"] == pytest.approx(-0.3, rel=1e-12)
    assert found["time"] == pytest.approx(0.2 * math.log(1 + 24 / 12), rel=1e-12)


def test_a_recalibration_is_a_reason_of_its_own_and_leaves_the_others() -> None:
    before = replace(trained_bundle(), calibration={"crs_2plus": both(intercept=-0.3)}, boosters={})
    line = Recalibration(0.4, 0.5, {CAR_T: 0.1})
    moved = {"crs_2plus": replace(both(intercept=-0.3), recalibration={"single": line})}
    told, retold = (
        {one["kind"]: one["effect"] for one in of(asking(held)(example(events=[])), "crs_2plus")}
        for held in (before, replace(before, calibration=moved))
    )
    log_odds = told["published-rate"] + told["local-level"]
    assert retold["recalibration"] == pytest.approx(-0.5 * log_odds + 0.5, rel=1e-9)
    assert {kind: retold[kind] for kind in ("published-rate", "local-level")} == {
        kind: told[kind] for kind in ("published-rate", "local-level")
    }
    assert "recalibration" not in told


def test_what_keeping_grades_in_order_took_away_is_named() -> None:
    held = replace(trained_bundle(), calibration={"crs_2plus": both(intercept=9.0)}, boosters={})
    answer = asking(held)(example(events=[]))
    assert evaluated(answer)["crs_2plus"] == evaluated(answer)["crs_1plus"]
    assert {one["kind"]: one["effect"] for one in of(answer, "crs_2plus")}["grade-order"] < -1


# The latest of each input


def test_the_latest_is_that_of_the_row_in_any_order() -> None:
    seen = (Observed("ldh", 60, 300.0), Observed("ldh", 60, 300.0, 200.0), Observed("ldh", 60, 300.0, 480.0))
    for order in (seen, seen[::-1], (seen[1], seen[2], seen[0])):
        assert latest(order)["ldh"] is seen[2]
    assert latest(CourseInput(CAR_T, "lbcl", 0).observations) == {}
