"""Symptoms are accepted by name, shown with what they point to, and never seen before their time."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue import Catalogue
from features.course import HOUR, LOOKBACK_SECONDS
from serving import api, symptom_tables
from serving.decode import predict_request
from serving.intake import Intake, take
from serving.refusal import RefusalError
from serving.symptoms import Stated, notes, seen, shown
from tests.serving.builders import EXAMPLE, example

#: What patients and clinicians report, in the words of the clinic.
REPORTED = (
    *("fever", "chills", "aches", "fatigue", "nausea", "vomiting", "diarrhoea", "rash", "headache"),
    *("fast heartbeat", "low blood pressure", "swelling", "trouble breathing", "confusion", "agitation", "tremor"),
    *("seizure", "trouble speaking", "handwriting_change", "double vision", "weakness", "trouble walking"),
)
KEYS = tuple(symptom_tables.load().symptoms)


def taken(tables: Catalogue, *symptoms: dict[str, Any], hours: float = 24.0) -> Intake:
    body = example(hours_since_start=hours, observations=[], events=[], symptoms=list(symptoms))
    return take(tables, predict_request(json.dumps(body).encode()))


def codes(intake: Intake) -> list[str]:
    return [note.code for note in intake.notes if "symptom" in note.code]


@pytest.mark.parametrize("reported", REPORTED)
def test_every_reported_symptom_is_accepted_and_says_what_it_points_to(tables: Catalogue, reported: str) -> None:
    (row,) = shown(taken(tables, {"symptom": reported, "hours": 12}).symptoms)
    assert row.hours == 12.0
    assert row.points_to in ("crs", "icans", "both")
    assert row.severity in ("mild", "severe")


@pytest.mark.parametrize(
    ("word", "key"),
    [("Shortness of breath", "trouble_breathing"), ("diarrhea", "diarrhoea"), ("Tachycardia", "fast_heartbeat")],
)
def test_a_name_of_the_clinic_stands_for_the_key(tables: Catalogue, word: str, key: str) -> None:
    assert [one.key for one in taken(tables, {"symptom": word}).symptoms] == [key]


def test_an_unknown_symptom_is_refused_with_what_is_accepted_and_without_what_was_sent(tables: Catalogue) -> None:
    with pytest.raises(RefusalError) as caught:
        taken(tables, {"symptom": "fever"}, {"symptom": "CANARY"})
    assert (caught.value.http_status, caught.value.code) == (422, "code-unknown")
    assert caught.value.place == "$.symptoms[1].symptom"
    assert caught.value.remedy == f"send one of: {', '.join(KEYS)}"
    assert "CANARY" not in caught.value.body.decode()


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"symptom": "fever", "since": 1}, "unknown-field"),
        ({"hours": 1}, "missing-field"),
        ({"symptom": 3}, "wrong-type"),
    ],
)
def test_a_symptom_of_the_wrong_form_is_refused(tables: Catalogue, row: dict[str, Any], code: str) -> None:
    with pytest.raises(RefusalError) as caught:
        taken(tables, row)
    assert (caught.value.http_status, caught.value.code) == (400, code)


def test_the_limit_on_symptoms_holds_on_both_sides_of_its_edge(tables: Catalogue) -> None:
    one = {"symptom": "rash"}
    assert len(taken(tables, *[one] * api.MOST_SYMPTOMS).symptoms) == 1
    with pytest.raises(RefusalError) as caught:
        taken(tables, *[one] * (api.MOST_SYMPTOMS + 1))
    assert (caught.value.code, caught.value.place) == ("length-not-accepted", "$.symptoms")


def test_a_symptom_without_hours_is_present_at_the_index_time(tables: Catalogue) -> None:
    assert taken(tables, {"symptom": "rash"}, hours=30).symptoms == (Stated("rash", 30 * HOUR),)


def test_a_symptom_at_the_index_time_is_seen_and_a_second_later_is_not(tables: Catalogue) -> None:
    assert [one.key for one in taken(tables, {"symptom": "seizure", "hours": 24}).symptoms] == ["seizure"]
    later = taken(tables, {"symptom": "seizure", "hours": 24 + 1 / 3600})
    assert later.symptoms == ()
    assert codes(later) == ["symptoms-after-index", "symptoms-not-weighed"]


def test_a_symptom_older_than_the_look_back_is_not_used_and_counted(tables: Catalogue) -> None:
    oldest = -LOOKBACK_SECONDS / HOUR
    assert taken(tables, {"symptom": "rash", "hours": oldest}).symptoms != ()
    old = taken(tables, {"symptom": "rash", "hours": oldest - 1})
    assert old.symptoms == ()
    assert codes(old) == ["symptoms-before-lookback", "symptoms-not-weighed"]


def test_what_is_both_later_than_the_index_time_and_old_is_counted_once() -> None:
    index = -LOOKBACK_SECONDS - 10 * HOUR
    assert [note.code for note in notes([Stated("rash", index + 1)], index)] == [
        "symptoms-after-index",
        "symptoms-not-weighed",
    ]


def test_what_is_stated_as_absent_is_neither_shown_nor_a_red_flag(tables: Catalogue) -> None:
    intake = taken(tables, {"symptom": "seizure", "present": False})
    assert intake.symptoms == ()
    assert codes(intake) == ["symptoms-not-weighed"]


def test_what_happened_is_not_taken_back_by_a_later_absence(tables: Catalogue) -> None:
    rows = ({"symptom": "seizure", "hours": 10}, {"symptom": "seizure", "hours": 20, "present": False})
    assert taken(tables, *rows).symptoms == (Stated("seizure", 10 * HOUR),)


def test_a_red_flag_gives_a_caution_that_names_it_and_a_mild_symptom_gives_none(tables: Catalogue) -> None:
    with_flag = taken(tables, {"symptom": "seizure"}, {"symptom": "tremor"})
    (note,) = [one for one in with_flag.notes if one.code == "red-flag-symptom"]
    assert "seizure" in note.text
    assert "tremor" not in note.text
    assert codes(taken(tables, {"symptom": "tremor"})) == ["symptoms-not-weighed"]


def test_a_request_without_symptoms_says_nothing_about_them(tables: Catalogue) -> None:
    intake = take(tables, predict_request(json.dumps(EXAMPLE).encode()))
    assert intake.symptoms == ()
    assert codes(intake) == []


def test_symptoms_never_reach_the_course_that_the_model_reads(tables: Catalogue) -> None:
    assert taken(tables, {"symptom": "seizure"}).course == taken(tables).course


STATED = st.lists(
    st.builds(Stated, st.sampled_from(KEYS), st.integers(-2 * LOOKBACK_SECONDS, 100 * HOUR), st.booleans()), max_size=12
)


@given(STATED, st.integers(0, 100 * HOUR))
def test_each_symptom_is_shown_once_in_table_order_with_its_latest_presence(stated: list[Stated], index: int) -> None:
    found = seen(stated, index)
    places = [KEYS.index(one.key) for one in found]
    assert places == sorted(set(places))
    for one in found:
        assert one.present
        assert one.seconds <= index
        assert one.seconds == max(
            other.seconds
            for other in stated
            if other in (one, Stated(one.key, other.seconds)) and other.seconds <= index
        )


@given(STATED, st.integers(0, 100 * HOUR))
def test_the_order_of_a_request_and_what_comes_later_change_nothing(stated: list[Stated], index: int) -> None:
    known = [one for one in stated if one.seconds <= index]
    assert seen(stated[::-1], index) == seen(stated, index) == seen(known, index)
    assert notes(stated[::-1], index) == notes(stated, index)
