"""Codes, units and times of a request become what the row-builder reads, or are refused by name."""

import json
from typing import Any

import pandas as pd
import pytest

from features.catalogue import Catalogue
from features.course import whole_seconds
from serving.decode import batch_request, predict_request
from serving.intake import FURTHEST_HOURS, Intake, take, take_batch
from serving.refusal import RefusalError
from tests.serving.builders import EXAMPLE, example, with_course


def taken(tables: Catalogue, body: dict[str, Any]) -> Intake:
    return take(tables, predict_request(json.dumps(body).encode()))


def observation(**changes: Any) -> dict[str, Any]:
    return example(observations=[{"code": "crp", "value": 12.5, "unit": "mg/L", "hours": 1, **changes}])


def event(**changes: Any) -> dict[str, Any]:
    return example(events=[{"event": "crs_grade", "value": 1, "hours": 1, "grading": "ASTCT-2019", **changes}])


def codes(intake: Intake) -> list[str]:
    return [note.code for note in intake.notes]


def test_units_become_canonical_and_loinc_codes_become_keys(tables: Catalogue) -> None:
    seen = {(one.code, one.seconds): one for one in taken(tables, EXAMPLE).course.observations}
    assert seen["crp", 20 * 3600].value == pytest.approx(64.0)
    assert seen["ferritin", 20 * 3600].value == 820.0
    assert seen["creatinine", 20 * 3600].value == pytest.approx(80 / 88.42, rel=1e-3)
    assert seen["ldh", 20 * 3600].limit == 250.0


def test_an_upper_limit_is_converted_by_the_unit_of_its_value(tables: Catalogue) -> None:
    seen = taken(tables, observation(code="ldh", value=7.0, unit="ukat/L", upper_limit=4.0)).course.observations[0]
    assert seen.value / seen.limit == pytest.approx(7.0 / 4.0)
    assert seen.value == pytest.approx(420.0, rel=0.01)


def test_known_absent_is_zero_and_unknown_stays_absent(tables: Catalogue) -> None:
    body = with_course(comorbidities={"hiv": False, "diabetes": True, "renal_disease": None}, ecog=None)
    numbers = taken(tables, body).course.numbers
    assert (numbers["hiv"], numbers["diabetes"]) == (0.0, 1.0)
    assert not {"renal_disease", "ecog", "cardiac_disease"} & set(numbers)


def test_sex_becomes_the_column_of_the_row(tables: Catalogue) -> None:
    assert taken(tables, with_course(sex="M")).course.numbers["sex_male"] == 1.0
    assert taken(tables, with_course(sex="F")).course.numbers["sex_male"] == 0.0
    assert "sex_male" not in taken(tables, with_course(sex=None)).course.numbers


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        (observation(code="crpp"), "code-unknown", "$.observations[0].code"),
        (observation(code="30522-7"), "code-not-accepted", "$.observations[0].code"),
        (observation(unit="stone"), "unit-not-accepted", "$.observations[0].unit"),
        (observation(unit="mg/l "), "unit-not-accepted", "$.observations[0].unit"),
        (observation(value=701), "value-not-plausible", "$.observations[0].value"),
        (observation(value=-0.1), "value-not-plausible", "$.observations[0].value"),
        (observation(value=70.1, unit="mg/dL"), "value-not-plausible", "$.observations[0].value"),
        (observation(upper_limit=0), "value-not-plausible", "$.observations[0].upper_limit"),
        (observation(upper_limit=-5), "value-not-plausible", "$.observations[0].upper_limit"),
        (
            observation(code="ast", unit="U/L", upper_limit=1e-300),
            "value-not-plausible",
            "$.observations[0].upper_limit",
        ),
        (observation(comparator="<="), "value-not-accepted", "$.observations[0].comparator"),
        (observation(hours=FURTHEST_HOURS + 1), "value-not-plausible", "$.observations[0].hours"),
        (example(hours_since_start=1e300), "value-not-plausible", "$.hours_since_start"),
        (event(event="fever"), "code-unknown", "$.events[0].event"),
        (event(grading="WHO"), "code-unknown", "$.events[0].grading"),
        (event(value=None), "value-missing", "$.events[0].value"),
        (event(value=1.5), "value-not-plausible", "$.events[0].value"),
        (event(value=6), "value-not-plausible", "$.events[0].value"),
        (event(value=-1), "value-not-plausible", "$.events[0].value"),
        (event(event="tocilizumab", value=2), "value-not-plausible", "$.events[0].value"),
        (event(event="step_dose", value=51), "value-not-plausible", "$.events[0].value"),
        (event(hours=-1), "value-not-accepted", "$.events[0].hours"),
        (event(event="icans_grade", value=0, hours=-0.01), "value-not-accepted", "$.events[0].hours"),
        (with_course(age_years=111), "value-not-plausible", "$.course.age_years"),
        (with_course(age_years=-1), "value-not-plausible", "$.course.age_years"),
        (with_course(ecog=6), "value-not-plausible", "$.course.ecog"),
        (with_course(sex="female"), "value-not-accepted", "$.course.sex"),
        (with_course(comorbidities={"cardiac": True}), "code-unknown", "$.course.comorbidities"),
        (with_course(therapy_class="cd19"), "code-unknown", "$.course.therapy_class"),
        (with_course(therapy_class="tisagenlecleucel"), "code-unknown", "$.course.therapy_class"),
        (with_course(therapy_class="bcma-car-t"), "value-not-accepted", "$.course.therapy_class"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_path(
    tables: Catalogue, body: dict[str, Any], code: str, path: str
) -> None:
    with pytest.raises(RefusalError) as caught:
        taken(tables, body)
    assert (caught.value.http_status, caught.value.code, caught.value.place) == (422, code, path)


@pytest.mark.parametrize(
    "body",
    [
        observation(code="CANARY"),
        observation(unit="CANARY"),
        observation(value=31415.9265),
        event(event="CANARY"),
        event(grading="CANARY"),
        event(value=31415.9265),
        with_course(sex="CANARY"),
        with_course(age_years=31415.9265),
        with_course(therapy_class="CANARY"),
        with_course(comorbidities={"CANARY": True}),
        example(hours_since_start=31415.9265e9),
    ],
)
def test_no_refusal_repeats_the_value(tables: Catalogue, body: dict[str, Any]) -> None:
    with pytest.raises(RefusalError) as caught:
        taken(tables, body)
    said = str(caught.value) + caught.value.body.decode()
    assert "CANARY" not in said
    assert "31415" not in said


def test_a_refused_unit_is_answered_with_the_accepted_ones(tables: Catalogue) -> None:
    with pytest.raises(RefusalError) as caught:
        taken(tables, observation(unit="stone"))
    assert caught.value.remedy.startswith("for crp send one of: mg/L, mg/dL")


def test_plausible_limits_are_accepted_themselves(tables: Catalogue) -> None:
    assert taken(tables, observation(value=700)).course.observations[0].value == 700.0
    assert taken(tables, observation(value=0)).course.observations[0].value == 0.0


def test_what_is_stamped_after_the_index_time_is_not_seen_and_counted(tables: Catalogue) -> None:
    later = {"code": "crp", "value": 300, "unit": "mg/L", "hours": 24.0003}
    event = {"event": "crs_grade", "value": 4, "hours": 25, "grading": "ASTCT-2019"}
    body = example(observations=[*EXAMPLE["observations"], later], events=[*EXAMPLE["events"], event])
    with_later = taken(tables, body)
    assert with_later.course == taken(tables, EXAMPLE).course
    (note,) = with_later.notes
    assert note.code == "observations-after-index"
    assert note.text.startswith("1 observations and 1 events")


def test_what_is_stamped_at_the_index_time_is_seen(tables: Catalogue) -> None:
    at_index = taken(
        tables, example(observations=[{"code": "crp", "value": 9, "unit": "mg/L", "hours": 24}], events=[])
    )
    assert [one.seconds for one in at_index.course.observations] == [86_400]
    assert codes(at_index) == []


def test_what_is_older_than_the_look_back_is_not_used_and_counted(tables: Catalogue) -> None:
    body = example(observations=[{"code": "crp", "value": 9, "unit": "mg/L", "hours": -721}], events=[])
    assert taken(tables, body).course.observations == ()
    assert codes(taken(tables, body)) == ["observations-before-lookback"]
    body["observations"][0]["hours"] = -720
    assert len(taken(tables, body).course.observations) == 1
    assert codes(taken(tables, body)) == []


def doses(index: float, *events: dict[str, Any], therapy: str = "teclistamab") -> dict[str, Any]:
    body = with_course(therapy=therapy, indication="mm")
    steps = [{"event": "step_dose", **one} for one in events]
    return {**body, "hours_since_start": index, "observations": [], "events": steps}


@pytest.mark.parametrize(
    ("body", "seconds", "number"),
    [
        (doses(50), 0, 1),
        (doses(50, {"hours": 0}), 0, 1),
        (doses(50, {"hours": 48}), 48 * 3600, 2),
        (doses(50, {"hours": 0}, {"hours": 48}), 48 * 3600, 2),
        (doses(48, {"hours": 0}, {"hours": 48}), 48 * 3600, 2),
        (doses(47, {"hours": 0}, {"hours": 48}), 0, 1),
        (doses(100, {"hours": 96, "value": 3}), 96 * 3600, 2),
        (doses(100, {"hours": 0, "value": 2}, {"hours": 96, "value": 2}, {"hours": 96}), 96 * 3600, 2),
        (doses(100, {"hours": -24}, {"hours": 96}), 96 * 3600, 2),
        (doses(100, {"hours": 48}, {"hours": 96, "value": 0}), 48 * 3600, 2),
        (doses(100, {"hours": 48, "value": 2}, {"hours": 96}, {"hours": 120}), 96 * 3600, 3),
    ],
)
def test_the_latest_dose_at_or_before_the_index_time_counts(
    tables: Catalogue, body: dict[str, Any], seconds: int, number: int
) -> None:
    course = taken(tables, body).course
    assert (course.dose_seconds, course.dose_number) == (seconds, number)


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([{"hours": 48, "value": 2}], []),
        ([{"hours": 0, "value": 1}, {"hours": 48}, {"hours": 96, "value": 3}], []),
        ([{"hours": 96, "value": 3}], ["dose-number-differs"]),
        ([{"hours": 0, "value": 2}, {"hours": 48, "value": 2}], ["dose-number-differs"]),
        ([{"hours": 48, "value": 2}, {"hours": 48, "value": 3}], ["dose-number-differs"]),
        ([{"hours": 101, "value": 9}], ["observations-after-index"]),
    ],
)
def test_a_stated_dose_number_that_differs_from_the_count_is_said(
    tables: Catalogue, events: list[dict[str, Any]], said: list[str]
) -> None:
    assert codes(taken(tables, doses(100, *events))) == said


def test_doses_are_numbered_as_in_training(tables: Catalogue) -> None:
    from data.cohort import index_table
    from data.tables import cohort_from_frames

    charted: list[dict[str, Any]] = [
        {"hours": 30, "value": 5},
        {"hours": 30, "value": 1},
        {"hours": 72.0001, "value": 2},
    ]
    course = {"course_id": "a", "patient_id": "a", "therapy": "teclistamab", "indication": "mm"}
    observation = {"course_id": "a", "hours": 1.0, "code": "crp", "value": 5.0, "unit": "mg/L"}
    events = pd.DataFrame([{"course_id": "a", "event": "step_dose", **one} for one in charted])
    cohort = cohort_from_frames(
        pd.DataFrame([{**course, "follow_up_hours": 900.0}]), pd.DataFrame([observation]), events
    )
    asked = index_table(cohort)
    assert sorted(set(asked.dose_number.tolist())) == [1, 2, 3]
    for place, index in enumerate(asked.index_seconds.tolist()):
        found = taken(tables, doses(index / 3600, *charted)).course
        expected = (index, asked.dose_seconds[place], asked.dose_number[place])
        assert (found.index_seconds, found.dose_seconds, found.dose_number) == expected


@pytest.mark.parametrize("name", ["tocilizumab", "corticosteroid", "oxygen", "step_dose", "death", "hlh"])
def test_an_event_of_value_0_was_not_given_and_is_ignored(tables: Catalogue, name: str) -> None:
    not_given = taken(tables, example(events=[{"event": name, "value": 0, "hours": 1}]))
    assert not_given == taken(tables, example(events=[]))
    assert not_given != taken(tables, example(events=[{"event": name, "value": 1, "hours": 1}]))


def test_a_grade_of_0_is_a_value(tables: Catalogue) -> None:
    (seen,) = (one for one in taken(tables, event(value=0)).course.observations if one.code == "crs_grade")
    assert seen.value == 0.0


def test_a_grade_at_the_start_is_accepted(tables: Catalogue) -> None:
    assert [one.seconds for one in taken(tables, event(hours=0)).course.observations if one.code == "crs_grade"] == [0]


@pytest.mark.parametrize(
    ("hours", "seconds"),
    [(0.0001, 1), (1 / 3, 1200), (1.99999, 7200), (23.99986, 86_400), (-3.00001, -10_800), (24.0, 86_400)],
)
def test_hours_become_the_seconds_of_training(tables: Catalogue, hours: float, seconds: int) -> None:
    body = {**observation(hours=hours), "events": []}
    assert [one.seconds for one in taken(tables, body).course.observations] == [seconds]
    assert int(whole_seconds(hours)) == seconds


def test_what_is_stamped_within_a_second_after_the_index_time_is_not_seen(tables: Catalogue) -> None:
    intake = taken(tables, observation(hours=24 + 0.4 / 3600))
    assert [one for one in intake.course.observations if one.code == "crp"] == []
    assert codes(intake) == ["observations-after-index"]
    graded = taken(tables, event(hours=24 + 0.4 / 3600, grading="Lee-2014"))
    assert codes(graded) == ["observations-after-index"]


def test_a_step_dose_of_a_single_infusion_is_ignored_and_said(tables: Catalogue) -> None:
    intake = taken(tables, doses(50, {"hours": 48}, therapy="axi-cel"))
    assert (intake.course.dose_seconds, intake.course.dose_number) == (0, 1)
    assert codes(intake) == ["step-dose-ignored"]


def test_a_grade_of_another_or_unstated_system_is_said(tables: Catalogue) -> None:
    assert codes(taken(tables, event(grading="Lee-2014"))) == ["grading-not-astct"]
    assert codes(taken(tables, event(grading=None))) == ["grading-not-astct"]
    assert codes(taken(tables, event())) == []


def test_therapies_are_found_by_any_of_their_names(tables: Catalogue) -> None:
    for name in ("axicabtagene-ciloleucel", "Axicabtagene Ciloleucel", "YESCARTA", "axi-cel"):
        assert taken(tables, with_course(therapy=name)).course.therapy == "axicabtagene-ciloleucel"


def test_an_unknown_therapy_takes_its_class_and_says_so(tables: Catalogue) -> None:
    intake = taken(tables, with_course(therapy="newcabtagene autoleucel", therapy_class="cd19-41bb-car-t"))
    assert intake.course.therapy == "cd19-41bb-car-t"
    assert codes(intake) == ["therapy-not-in-catalogue"]


def test_nothing_is_guessed_from_the_name_of_an_unknown_therapy(tables: Catalogue) -> None:
    assert taken(tables, with_course(therapy="newcabtagene autoleucel")).course.therapy == ""


def test_an_unknown_indication_is_said(tables: Catalogue) -> None:
    intake = taken(tables, with_course(indication="something else"))
    assert intake.course.indication == ""
    assert codes(intake) == ["indication-unknown"]


def test_a_course_named_twice_in_a_batch_is_refused(tables: Catalogue) -> None:
    batch = batch_request(json.dumps({"requests": [EXAMPLE, with_course(id="b"), EXAMPLE]}).encode())
    with pytest.raises(RefusalError) as caught:
        take_batch(tables, batch)
    assert (caught.value.http_status, caught.value.code) == (422, "duplicate-course")
    assert caught.value.place == "$.requests[2].course.id"
    assert "example-1" not in caught.value.body.decode()


def test_a_bad_value_in_a_batch_is_named_with_its_request(tables: Catalogue) -> None:
    bad = {**observation(value=-1), "course": {"id": "b", "therapy": "axi-cel"}}
    with pytest.raises(RefusalError) as caught:
        take_batch(tables, batch_request(json.dumps({"requests": [EXAMPLE, bad]}).encode()))
    assert caught.value.place == "$.requests[1].observations[0].value"
