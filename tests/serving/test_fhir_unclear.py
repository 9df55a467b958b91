"""A therapy or a grade that is charted and cannot be used is said; silence is for patients who are not concerned."""

from datetime import UTC, datetime, timedelta

import pytest

from features.fhir_types import Moment
from features.fhir_values import NO_END, latest_moment
from features.given import FIRST
from serving.fhir_in import prefetch_states, read_prefetch
from tests.serving.fhir_builders import (
    ATC,
    KNOWN,
    NOW,
    PCS,
    Json,
    bundle,
    concept,
    diagnosis,
    drug,
    held,
    infusion,
    order,
    patient,
    read,
)

TECLISTAMAB = "L01FX24"


def codes(*resources: Json) -> list[str]:
    found = read(*resources)
    assert found.intake is not None
    return [one.code for one in found.intake.notes]


@pytest.mark.parametrize(
    "one",
    [
        infusion(at="2026-02-01T10:00:00"),
        infusion(at="2026-02"),
        infusion(at="2026"),
        infusion(at="the day before yesterday"),
        infusion(performedDateTime=None),
        infusion(performedDateTime=None, performedString="the day before yesterday"),
        infusion(performedDateTime=None, performedPeriod={"end": "2026-02-01T11:00:00"}),
        infusion(status="unknown"),
        infusion(status="preparation"),
        infusion(status="on-hold"),
        infusion(at="2026-02-03T10:04:59Z"),
        infusion(at="2026-02-04"),
        drug("m9", "L01XL03", "2026-02-01T10:00:00", system=ATC),
        drug("m9", "L01XL03", "2026-02-01T10:00:00Z", system=ATC, status="unknown"),
        order("r1", "1986438", "2026-01-20T10:00:00Z", authoredOn=None),
        order("r1", "1986438", "2026-01-20T10:00:00"),
        held("ServiceRequest", "s1", status="active", code=concept(PCS, "XW033J7")),
    ],
    ids=repr,
)
def test_a_therapy_whose_time_or_status_is_not_clear_is_never_answered_as_not_concerned(one: Json) -> None:
    now = NOW if one.get("performedDateTime") != "2026-02-04" else datetime(2026, 2, 3, 12, tzinfo=UTC)
    found = read(patient(), one, at=now)
    assert (found.status, found.intake) == ("not-clear", None)
    assert "time" in found.missing


@pytest.mark.parametrize(
    "one",
    [
        infusion(at="2019"),
        infusion(at="2025-12"),
        infusion(at="2025-12-01T10:00:00"),
        infusion(at="2026-02-03T10:05:01Z"),
        infusion(status="entered-in-error"),
        infusion(status="not-done"),
        infusion(status="unknown", at="2025-12-01T10:00:00Z"),
        infusion(status="unknown", code="0016070"),
        infusion(status="unknown", subject=None),
        drug("m9", "L04AC07", "2026-02-01T10:00:00", system=ATC),
        order("r1", "1986438", "2026-01-20T10:00:00", status="stopped"),
        order("r1", "1986438", "2025-01"),
    ],
    ids=repr,
)
def test_what_is_long_over_or_did_not_happen_disturbs_nobody(one: Json) -> None:
    assert read(patient(), one).status == "not-concerned"


def at(text: str) -> timedelta | None:
    found = latest_moment({"x": text}, ("x",))
    return None if found == NO_END else timedelta(microseconds=found.micros)


def test_the_latest_time_that_a_text_can_mean() -> None:
    assert at("2026-02-01T10:00:00Z") == datetime(2026, 2, 1, 10, tzinfo=UTC) - FIRST
    assert at("2026-02-01T10:00:00") == datetime(2026, 2, 1, 22, tzinfo=UTC) - FIRST
    assert at("2026-11") == datetime(2026, 12, 1, tzinfo=UTC) - FIRST
    assert at("2026-12") == at("2026") == datetime(2027, 1, 1, tzinfo=UTC) - FIRST
    assert [at(text) for text in ("", "soon", "9999", "2026-02-30")] == [None] * 4
    assert latest_moment({"x": "2026-02-01"}, ("x",)) == Moment(
        (datetime(2026, 2, 1, tzinfo=UTC) - FIRST) // timedelta(microseconds=1), True
    )


@pytest.mark.parametrize(
    "one",
    [
        diagnosis("x", "D89.839", at="2026-02-02T12:00:00Z"),
        diagnosis("x", "G92.00", at="2026-02-02"),
        diagnosis("x", "D89.839", at="2026-02-02T12:00:00"),
        diagnosis("x", "D89.832", at="2026-02-02T12:00:00"),
        diagnosis("x", "D89.832", at="2026-02"),
        diagnosis("x", "D89.832", at="2026-02-03"),
        diagnosis("x", "D89.832", at="2026-02-02", verificationStatus={"coding": [{"code": "differential"}]}),
    ],
    ids=repr,
)
def test_a_grade_that_is_charted_and_not_counted_is_a_caution(one: Json) -> None:
    found = read(patient(), infusion(), one)
    assert found.intake is not None
    assert found.intake.course.observations == ()
    assert "grade-not-counted" in [note.code for note in found.intake.notes]


@pytest.mark.parametrize(
    "one",
    [
        diagnosis("x", "D89.832", at="2026-02-02T12:00:00Z"),
        diagnosis("x", "D89.832", at="2026-02-02"),
        diagnosis("x", "D89.839", at="2025-06-01"),
        diagnosis("x", "D89.839", at="2026-02-04T12:00:00Z"),
        diagnosis("x", "D89.832", at="2026-02-04"),
        diagnosis("x", "D89.832", at="2025"),
        diagnosis("x", "D89.839", verificationStatus={"coding": [{"code": "refuted"}]}),
    ],
    ids=repr,
)
def test_a_grade_that_is_counted_or_of_another_time_is_none(one: Json) -> None:
    assert "grade-not-counted" not in codes(patient(), infusion(), one)


def test_a_start_or_dose_without_a_time_of_day_is_a_caution() -> None:
    doses = [drug("a", TECLISTAMAB, "2026-01-30T10:00:00Z", ATC), drug("b", TECLISTAMAB, "2026-02-02", ATC)]
    assert "start-by-day" in codes(patient(), infusion(at="2026-02-01"))
    assert "start-by-day" in codes(patient(), *doses)
    assert "start-by-day" not in codes(patient(), infusion(at="2026-02-01"), infusion("q2", at="2026-02-01T10:00:00Z"))
    assert "start-by-day" not in codes(patient(), doses[0])


@pytest.mark.parametrize(
    "other",
    [
        drug("t", TECLISTAMAB, "2026-01-20T10:00:00Z", ATC),
        drug("t", TECLISTAMAB, "2026-01-20T10:00:00", ATC),
        order("t", TECLISTAMAB, "2026-01-20T10:00:00Z", ATC),
    ],
    ids=repr,
)
def test_another_therapy_beside_the_one_that_is_answered_is_a_caution(other: Json) -> None:
    assert "other-therapy" in codes(patient(), infusion(), other)


def test_its_own_order_its_class_and_what_is_long_over_are_no_other_therapy() -> None:
    own = (order("r1", "1987398", "2026-01-20T10:00:00Z"), infusion("q2", "XW033C7"))
    old = drug("t", TECLISTAMAB, "2025-10-01T10:00:00Z", ATC)
    stopped = order("r2", TECLISTAMAB, "2026-01-20T10:00:00Z", ATC, status="stopped")
    assert "other-therapy" not in codes(patient(), infusion(), *own, old, stopped)


@pytest.mark.parametrize(
    ("severity", "state"), [("error", "failed"), ("fatal", "failed"), ("warning", "given"), ("", "given")]
)
def test_a_bundle_of_nothing_but_an_error_is_a_search_that_failed(severity: str, state: str) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": "processing"}]}
    told = {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": outcome, "search": {"mode": "outcome"}}],
    }
    assert prefetch_states({"labs": told}, ["labs"]) == {"labs": state}
    beside = {**told, "entry": [*told["entry"], {"resource": infusion()}]}
    assert prefetch_states({"labs": beside}, ["labs"]) == {"labs": "given"}
    assert prefetch_states({"labs": {**told, "entry": []}}, ["labs"]) == {"labs": "given"}


def test_the_order_of_a_further_dose_does_not_pass_for_that_dose() -> None:
    given = drug("a", TECLISTAMAB, "2026-01-31T10:00:00Z", ATC)
    draft = bundle(order("r", TECLISTAMAB, "2026-02-03T09:00:00Z", ATC, status="draft"))
    found = read_prefetch(KNOWN, {"all": bundle(patient(), given)}, NOW, "p1", drafts=draft)
    assert found.intake is not None
    assert (found.intake.course.dose_number, found.intake.course.index_seconds) == (1, 72 * 3600)
    assert "next-dose-ordered" in [one.code for one in found.intake.notes]
    assert "next-dose-ordered" not in codes(patient(), given, order("r", TECLISTAMAB, "2026-02-03T09:00:00Z", ATC))
    own = bundle(order("r", "1987398", "2026-02-03T09:00:00Z", status="draft"))
    again = read_prefetch(KNOWN, {"all": bundle(patient(), infusion())}, NOW, "p1", drafts=own)
    assert again.intake is not None
    assert "next-dose-ordered" not in [one.code for one in again.intake.notes]
