"""What an answer holds, when it is withheld, and what it warns of."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from features import catalogue
from features.calibration import PRIOR_ALONE
from features.catalogue import Catalogue
from features.course import Event
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor
from features.scores import easix
from serving.answerer import Answerer
from serving.notes import TRAINED_HOURS_AFTER_DOSE, TRAINED_HOURS_AFTER_INFUSION
from serving.page import index
from serving.published import nearest
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


def codes(notes: list[dict[str, Any]]) -> list[str]:
    return [note["code"] for note in notes]


def risks(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["outcome"]: one for one in answer["risks"]}


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    """The answer without what differs from call to call."""
    return {key: value for key, value in body.items() if key not in ("prediction_id", *names)}


def leaves(part: Any) -> Iterator[Any]:
    if isinstance(part, dict):
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from leaves(one)
    else:
        yield part


def test_an_answer_has_the_documented_shape(ask_trained: Ask) -> None:
    answer = ask_trained(EXAMPLE)
    assert list(answer) == [
        *("prediction_id", "status", "question", "model", "not_evaluated"),
        *("risks", "reasons", "changes", "missing", "cautions", "scores"),
        *("hazards", "symptoms", "look_alikes", "guidance"),
    ]
    assert answer["status"] == "evaluated"
    assert [one["outcome"] for one in answer["risks"]] == list(OUTCOME_KEYS)
    assert answer["question"] == {
        "course": "example-1",
        "hours_since_start": 24.0,
        "hours_since_dose": 24.0,
        "dose_number": 1,
        "horizon_days": {key: 14 if key.startswith("crs") else 30 for key in OUTCOME_KEYS},
        "grading": "CRS: ASTCT-2019; ICANS: published rates, several systems",
        "therapy": "axicabtagene-ciloleucel",
        "indication": "dlbcl",
    }
    assert answer["model"] == {
        "name": "t",
        "version": "7",
        "bundle": trained_bundle().digest,
        "trained_on": {"name": "random", "courses": 200, "synthetic": True},
        "intended_use": "Adults, for tests only.",
    }


@pytest.mark.parametrize("therapy", ["axi-cel", "teclistamab", "unheard-of", "rituximab"])
def test_no_field_of_an_answer_is_ever_null(ask_prior: Ask, therapy: str) -> None:
    assert None not in list(leaves(ask_prior(with_course(therapy=therapy, indication=None))))


def test_two_calls_get_two_ids_and_one_answer(ask_trained: Ask) -> None:
    one, two = ask_trained(EXAMPLE), ask_trained(EXAMPLE)
    assert one["prediction_id"] != two["prediction_id"]
    assert without(one) == without(two)


def test_probabilities_are_those_of_the_predictor_in_full(ask_trained: Ask, tables: Catalogue) -> None:
    from features.single import snapshots
    from serving.decode import predict_request
    from serving.intake import take
    from tests.serving.builders import ROOT

    course = take(tables, predict_request((ROOT / "serving/example_request.json").read_bytes())).course
    expected = Predictor(trained_bundle(), tables).predict(snapshots(tables, [course])).probability[0]
    for place, one in enumerate(ask_trained(EXAMPLE)["risks"]):
        assert one.get("probability", math.nan) == pytest.approx(expected[place], rel=0, abs=0, nan_ok=True)


def test_each_risk_says_whether_data_or_published_rates_stand_behind_it(ask_trained: Ask) -> None:
    for key, one in risks(ask_trained(example(events=[]))).items():
        assert one["basis"] == ("model" if key in TRAINED else "published-rate")


def test_only_an_outcome_with_thresholds_has_a_band(ask_trained: Ask) -> None:
    for key, one in risks(ask_trained(example(events=[]))).items():
        assert (one["band"] != "unbanded") == (key in TRAINED)


def test_a_grade_that_was_reached_has_no_probability(ask_prior: Ask) -> None:
    event = {"event": "crs_grade", "value": 2, "hours": 20, "grading": "ASTCT-2019"}
    found = risks(ask_prior(example(events=[event])))
    assert [found[key]["status"] for key in OUTCOME_KEYS[:3]] == ["reached", "reached", "evaluated"]
    assert "probability" not in found["crs_2plus"]
    assert "band" not in found["crs_2plus"]
    assert 0 < found["crs_3plus"]["probability"] < 1


def test_what_comes_after_the_index_time_changes_nothing_but_a_caution(ask_trained: Ask) -> None:
    later = [{"code": "crp", "value": 500, "unit": "mg/L", "hours": 25}]
    grade = [{"event": "crs_grade", "value": 4, "hours": 30, "grading": "ASTCT-2019"}]
    body = example(observations=EXAMPLE["observations"] + later, events=EXAMPLE["events"] + grade)
    plain, told = ask_trained(EXAMPLE), ask_trained(body)
    assert without(plain, "cautions") == without(told, "cautions")
    assert [note for note in told["cautions"] if note not in plain["cautions"]] == [
        {
            "code": "observations-after-index",
            "text": "1 observations and 1 events are stamped after the index time and were not used.",
        }
    ]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (with_course(therapy="newcabtagene autoleucel"), "therapy-unknown"),
        (with_course(therapy="lifileucel"), "no-published-evidence"),
        (with_course(therapy="rituximab"), "therapy-class-not-evaluated"),
        (with_course(therapy="new", therapy_class="til"), "therapy-class-not-evaluated"),
        (example(events=[{"event": "death", "hours": 24}]), "course-ended"),
        (example(events=[{"event": "death", "hours": 3, "value": 1}]), "course-ended"),
        (example(events=[{"event": "crs_grade", "value": 5, "hours": 24}]), "course-ended"),
        (example(hours_since_start=-0.001), "index-before-start"),
        (example(hours_since_start=30 * 24), "index-after-horizon"),
        (example(hours_since_start=61 * 24), "index-after-horizon"),
        (with_course(age_years=17.9), "age-not-evaluated"),
        (with_course(age_years=100.1), "age-not-evaluated"),
    ],
)
def test_what_is_not_evaluated_has_a_reason_and_no_risk(ask_prior: Ask, body: dict[str, Any], reason: str) -> None:
    answer = ask_prior(body)
    assert answer["status"] == "not_evaluated"
    assert reason in codes(answer["not_evaluated"])
    assert answer["risks"] == []


def test_a_death_after_the_index_time_or_none_ends_nothing(ask_prior: Ask) -> None:
    for death in ({"hours": 24.001}, {"hours": 3, "value": 0}):
        assert ask_prior(example(events=[{"event": "death", **death}]))["status"] == "evaluated"


@pytest.mark.parametrize("age", [18, 100])
def test_the_ages_of_the_intended_use_are_inclusive(ask_prior: Ask, age: int) -> None:
    assert ask_prior(with_course(age_years=age))["status"] == "evaluated"


def test_each_horizon_ends_on_its_own(ask_prior: Ask) -> None:
    before = risks(ask_prior(example(hours_since_start=14 * 24 - 0.01, events=[])))
    after = risks(ask_prior(example(hours_since_start=14 * 24, events=[])))
    assert {one["status"] for one in before.values()} == {"evaluated"}
    assert [after[key]["status"] for key in OUTCOME_KEYS] == ["horizon-over"] * 3 + ["evaluated"] * 2
    assert "probability" not in after["crs_1plus"]
    assert after["icans_2plus"]["horizon_ends_hours"] == 720.0


def test_the_horizon_of_a_step_up_therapy_counts_from_its_latest_dose(ask_prior: Ask) -> None:
    body = {**with_course(therapy="teclistamab", indication="mm"), "hours_since_start": 60, "observations": []}
    found = risks(ask_prior({**body, "events": [{"event": "step_dose", "hours": 48}]}))
    assert found["crs_1plus"]["horizon_ends_hours"] == 48 + 10 * 24


def test_an_unknown_therapy_is_answered_from_its_class_with_a_caution(ask_prior: Ask) -> None:
    of_class = with_course(therapy="newcabtagene", therapy_class="cd19-cd28-car-t")
    named = with_course(therapy="cd19-cd28-car-t")
    answer = ask_prior(of_class)
    assert answer["status"] == "evaluated"
    assert "therapy-not-in-catalogue" in codes(answer["cautions"])
    assert [one.get("probability") for one in answer["risks"]] == [
        one.get("probability") for one in ask_prior(named)["risks"]
    ]
    assert "therapy-is-a-class" in codes(ask_prior(named)["cautions"])


def test_a_therapy_that_was_not_trained_on_is_said(ask_trained: Ask) -> None:
    assert "therapy-not-in-training-data" not in codes(ask_trained(EXAMPLE)["cautions"])
    assert "therapy-not-in-training-data" in codes(ask_trained(with_course(therapy="tisa-cel"))["cautions"])


def test_synthetic_and_absent_training_data_are_said(ask_prior: Ask, ask_trained: Ask) -> None:
    assert "synthetic-training-data" in codes(ask_trained(EXAMPLE)["cautions"])
    assert "published-rates-only" in codes(ask_prior(EXAMPLE)["cautions"])


@pytest.mark.parametrize("event", ["tocilizumab", "corticosteroid", "siltuximab", "anakinra"])
def test_treatment_before_the_index_time_is_said(ask_prior: Ask, event: str) -> None:
    assert "treated-before-index" in codes(ask_prior(example(events=[{"event": event, "hours": 23}]))["cautions"])
    assert "treated-before-index" not in codes(ask_prior(example(events=[{"event": event, "hours": 25}]))["cautions"])


def test_treatment_before_the_start_is_prophylaxis(ask_prior: Ask) -> None:
    given = {hours: ask_prior(example(events=[{"event": "tocilizumab", "hours": hours}])) for hours in (-0.5, 0)}
    assert "treated-before-index" not in codes(given[-0.5]["cautions"])
    assert "treated-before-index" in codes(given[0]["cautions"])


def test_an_unknown_age_is_said_only_where_the_intended_use_limits_ages(ask_prior: Ask) -> None:
    held = prior_bundle()
    all_ages = asking(replace(held, policy=replace(held.policy, age_low=0.0, age_high=110.0)))
    unknown = with_course(age_years=None)
    assert "age-unknown" in codes(ask_prior(unknown)["cautions"])
    assert "age-unknown" not in codes(all_ages(unknown)["cautions"])
    assert [all_ages(with_course(age_years=age))["status"] for age in (0, 110)] == ["evaluated"] * 2


def test_a_bundle_without_trees_whose_calibration_was_fitted_is_a_model() -> None:
    answerer = Answerer(Predictor(fitted_without_trees(), catalogue.load()), "7")
    answer = asking(fitted_without_trees())(example(events=[]))
    assert {key: one["basis"] for key, one in risks(answer).items()} == {
        key: "model" if key in TRAINED else "published-rate" for key in OUTCOME_KEYS
    }
    assert answer["model"]["trained_on"] == {"name": "random", "courses": 200, "synthetic": True}
    assert "published-rates-only" not in codes(answer["cautions"])
    assert "therapy-not-in-training-data" in codes(
        asking(fitted_without_trees())(with_course(therapy="tisa-cel"))["cautions"]
    )
    assert [one["basis"] for one in answerer.facts["outcomes"]].count("model") == len(TRAINED)
    page = index(answerer).decode()
    assert page.count("trained on data") == len(TRAINED)
    assert "random, 200 courses" in page


def test_a_booster_less_bundle_with_untouched_calibration_is_published_rates_alone() -> None:
    held = replace(prior_bundle(), calibration=dict.fromkeys(OUTCOME_KEYS, PRIOR_ALONE))
    answer = asking(held)(example(events=[]))
    assert {one["basis"] for one in answer["risks"]} == {"published-rate"}
    assert answer["model"]["trained_on"]["name"] == "published rates alone"
    assert "published-rates-only" in codes(answer["cautions"])


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({"crs_grade": "ASTCT-2019", "icans_grade": "ASTCT-2019"}, "ASTCT-2019"),
        ({"crs_grade": "Lee-2014", "icans_grade": "CTCAE-5"}, "CRS: Lee-2014; ICANS: CTCAE-5"),
        ({"crs_grade": "mixed: ASTCT-2019, Penn", "icans_grade": "not stated"}, None),
        ({"crs_grade": "ASTCT-2019"}, "CRS: ASTCT-2019; ICANS: not stated"),
        ({}, "not stated"),
        (None, "not stated"),
    ],
)
def test_the_grading_is_that_of_the_labels(stated: dict[str, str] | None, told: str | None) -> None:
    held = fitted_without_trees("crs_2plus", "icans_3plus")
    about = {**held.about, "trained_on": {**held.about["trained_on"], "grading": stated}}
    found = asking(replace(held, about=about))(EXAMPLE)["question"]["grading"]
    assert found == (told or "CRS: mixed: ASTCT-2019, Penn; ICANS: not stated")


def test_without_training_data_the_grading_is_that_of_published_rates(ask_prior: Ask) -> None:
    assert ask_prior(EXAMPLE)["question"]["grading"] == "published rates, several systems"


@pytest.mark.parametrize(
    ("therapy", "doses", "latest"),
    [
        ("axi-cel", [], TRAINED_HOURS_AFTER_INFUSION),
        ("teclistamab", [], TRAINED_HOURS_AFTER_DOSE),
        ("teclistamab", [{"event": "step_dose", "hours": 48}], 48 + TRAINED_HOURS_AFTER_DOSE),
    ],
)
def test_an_index_time_later_than_training_asked_is_said(
    ask_trained: Ask, therapy: str, doses: list[dict[str, Any]], latest: float
) -> None:
    body = {**with_course(therapy=therapy), "events": doses}
    told = {
        hours: "index-time-outside-training" in codes(ask_trained({**body, "hours_since_start": hours})["cautions"])
        for hours in (latest, latest + 0.001)
    }
    assert told == {latest: False, latest + 0.001: True}


def test_the_hours_of_training_are_those_of_the_data_room() -> None:
    from data.cohort import DOSE_HOURS, INFUSION_HOURS

    assert max(INFUSION_HOURS) == TRAINED_HOURS_AFTER_INFUSION
    assert max(DOSE_HOURS) == TRAINED_HOURS_AFTER_DOSE


def test_published_rates_know_no_training_time(ask_prior: Ask) -> None:
    assert "index-time-outside-training" not in codes(ask_prior(example(hours_since_start=100))["cautions"])


def test_missing_names_each_input_of_the_spec_that_was_not_sent(ask_prior: Ask) -> None:
    sent = {"crp", "ferritin", "ldh", "platelets", "creatinine", "temperature"}
    used = {column.source for column in prior_bundle().spec.columns if column.kind in ("stat", "course")}
    known = sent | {"sex_male"} | set(EXAMPLE["course"]) | set(EXAMPLE["course"].get("comorbidities", {}))
    expected = used - known - {event.value for event in Event}
    assert {one["what"] for one in ask_prior(EXAMPLE)["missing"]} == expected
    assert len(expected) > 20


def test_scores_state_their_inputs_or_what_they_lack(ask_prior: Ask) -> None:
    found = {one["name"]: one for one in ask_prior(EXAMPLE)["scores"]}
    value = easix(np.array([410.0]), np.array([80 / 88.42]), np.array([74.0]))[0]
    assert found["easix"]["value"] == pytest.approx(value, rel=1e-3)
    assert found["m_easix"]["value"] == pytest.approx(410 * 6.4 / 74, rel=1e-5)
    assert [one["what"] for one in found["easix"]["inputs"]] == ["ldh", "creatinine", "platelets"]
    assert {one["hours"] for one in found["m_easix"]["inputs"]} == {20.0}
    without_ldh = [one for one in EXAMPLE["observations"] if one["code"] != "ldh"]
    (lacking, *_) = ask_prior(example(observations=without_ldh))["scores"]
    assert (lacking["status"], lacking["missing"]) == ("not-computed", [{"what": "ldh", "why": "missing"}])
    assert "value" not in lacking


def test_zero_platelets_give_no_score(ask_prior: Ask) -> None:
    none = [{**one, "value": 0} if one["code"] == "platelets" else one for one in EXAMPLE["observations"]]
    found = {one["name"]: one for one in ask_prior(example(observations=none))["scores"]}
    assert [found[name]["status"] for name in ("easix", "s_easix", "m_easix")] == ["not-computed"] * 3


def test_the_published_rate_is_the_largest_checked_one_of_the_nearest_indication(tables: Catalogue) -> None:
    found = nearest(tables, "axicabtagene-ciloleucel", "dlbcl", "crs_3plus")
    assert found is not None
    beside = [
        rate
        for rate in tables.rates
        if rate.therapy == "axicabtagene-ciloleucel"
        and rate.indication == found.indication
        and rate.verified == found.verified
        and not (rate.superseded or rate.mitigation or math.isnan(rate.crs_3plus))
    ]
    assert found.n == max(rate.n for rate in beside)
    assert found.source
    assert found.indication == "lbcl"


def test_nothing_published_is_left_out_not_guessed(tables: Catalogue) -> None:
    assert nearest(tables, "", "dlbcl", "crs_3plus") is None
    assert nearest(tables, "lifileucel", "melanoma", "crs_3plus") is None


def test_a_batch_answers_each_course_as_if_it_were_alone(tables: Catalogue, ask_trained: Ask) -> None:
    import json

    from serving.decode import batch_request
    from serving.intake import take_batch

    bodies = [EXAMPLE, with_course(id="b", therapy="unheard-of"), with_course(id="c", therapy="teclistamab")]
    batch = take_batch(tables, batch_request(json.dumps({"requests": bodies}).encode()))
    answers = Answerer(Predictor(trained_bundle(), tables), "7").answer(batch)
    assert [one.question.course for one in answers] == ["example-1", "b", "c"]
    assert [one.status for one in answers] == ["evaluated", "not_evaluated", "evaluated"]
    for one, body in zip(answers, bodies, strict=True):
        alone = [risk.get("probability") for risk in ask_trained(body)["risks"]]
        assert [risk.probability or None for risk in one.risks] == alone
