"""FHIR in gives the course that POST /predict gives; what is not used is counted; another patient is never scored."""

import copy
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import load
from features.fhir_types import Origin
from features.single import Observed
from serving.decode import predict_request
from serving.fhir_in import MOST_RESOURCES, prefetch_states, read_bundle, read_prefetch
from serving.fhir_types import FhirRead
from serving.intake import take
from serving.refusal import RefusalError
from tests.serving.fhir_builders import (
    ATC,
    CANARY,
    KNOWN,
    LOINC,
    NOW,
    PCS,
    Json,
    bundle,
    chart,
    concept,
    course_bits,
    diagnosis,
    drug,
    held,
    infusion,
    order,
    patient,
    read,
    result,
)

CATALOGUE = load()


def with_chart(*more: Json) -> list[Json]:
    return [*chart(), *more]


def without(name: str) -> list[Json]:
    return [one for one in chart() if one["id"] != name]


# The same course as POST /predict


def test_the_course_is_the_one_that_predict_makes_of_the_same_facts() -> None:
    request: Json = {
        "course": {
            "id": "fhir",
            "therapy": "axicabtagene-ciloleucel",
            "indication": "dlbcl",
            "sex": "M",
            "age_years": 64,
            "comorbidities": {"cardiac_disease": True},
        },
        "hours_since_start": 48.0,
        "observations": [
            {"code": "crp", "value": 96.0, "unit": "mg/L", "hours": 46.0},
            {"code": "ferritin", "value": 1650.0, "unit": "ng/mL", "hours": 46.0, "comparator": ">"},
            {"code": "ldh", "value": 420.0, "unit": "U/L", "hours": 46.0, "upper_limit": 225.0},
            {"code": "temperature", "value": 39.1, "unit": "Cel", "hours": 35 + (15 * 60 + 30.5) / 3600},
            {"code": "systolic_bp", "value": 96.0, "unit": "mm[Hg]", "hours": 46.0},
            {"code": "diastolic_bp", "value": 58.0, "unit": "mm[Hg]", "hours": 46.0},
            {"code": "platelets", "value": 88.0, "unit": "10*3/uL", "hours": -26.0},
        ],
        "events": [
            {"event": "crs_grade", "value": 2, "hours": 26.0},
            {"event": "tocilizumab", "hours": 29.0},
        ],
    }
    expected = take(CATALOGUE, predict_request(json.dumps(request).encode()))
    found = read(*chart())
    assert found.status == "course"
    assert found.intake is not None
    course = found.intake.course
    assert {one.code: one for one in course.observations} == {one.code: one for one in expected.course.observations}
    assert sorted(map(repr, course.observations)) == sorted(map(repr, expected.course.observations))
    assert course.numbers == expected.course.numbers
    assert (course.therapy, course.indication) == (expected.course.therapy, expected.course.indication)
    assert (course.index_seconds, course.dose_seconds, course.dose_number) == (48 * 3600, 0, 1)
    assert found.intake.comparators == expected.comparators
    assert found.intake.notes == expected.notes
    assert found.missing == ()
    assert found.ignored == {}


def test_a_prefetch_map_says_what_a_bundle_says() -> None:
    labs = [one for one in chart() if one["resourceType"] == "Observation"]
    rest = [one for one in chart() if one["resourceType"] not in ("Observation", "Patient")]
    prefetch = {"patient": patient(), "labs": bundle(*labs), "procedures": bundle(*rest), "meds": None}
    found = read_prefetch(KNOWN, prefetch, NOW, "p1", server="http://ehr")
    assert course_bits(found) == course_bits(read(*chart()))
    keys = ("patient", "labs", "meds", "admin", "vitals", "conditions")
    outcome = {"resourceType": "OperationOutcome", "issue": []}
    assert prefetch_states({**prefetch, "vitals": outcome, "conditions": 7}, keys) == {
        "patient": "given",
        "labs": "given",
        "meds": "no-data",
        "vitals": "failed",
        "conditions": "unreadable",
    }


def test_nested_bundles_are_read_and_next_pages_are_told() -> None:
    link = [{"relation": "self", "url": "http://ehr/a"}, {"relation": "next", "url": "http://ehr/b"}]
    inner = bundle(*chart(), link=link)
    outer = {"resourceType": "Bundle", "type": "batch-response", "entry": [{"resource": inner}, {"response": {}}]}
    found = read_bundle(KNOWN, outer, NOW)
    assert course_bits(found) == course_bits(read(*chart()))
    assert found.more_pages == (("bundle", "http://ehr/b"),)
    assert read_prefetch(KNOWN, {"labs": inner}, NOW, "p1").more_pages == (("labs", "http://ehr/b"),)


def test_bundles_a_thousand_deep_are_read() -> None:
    deep: Json = bundle(*chart())
    for _ in range(5_000):
        deep = {"resourceType": "Bundle", "entry": [{"resource": deep}]}
    assert course_bits(read_bundle(KNOWN, deep, NOW)) == course_bits(read(*chart()))


# Which course is asked about


def test_nothing_planned_or_recent_is_not_concerned() -> None:
    for resources in (
        without("q1"),
        [*without("q1"), infusion(at="2025-12-01T10:00:00Z")],
        [*without("q1"), drug("m9", "L01FA01", "2026-02-01T10:00:00Z", system=ATC)],
        [*without("q1"), infusion(status="not-done")],
        [*without("q1"), order("r1", "1986438", "2025-10-01T10:00:00Z")],
    ):
        found = read(*resources)
        assert (found.status, found.intake, found.used) == ("not-concerned", None, {})
        assert found.ignored["not-concerned"] > 0


@pytest.mark.parametrize(("seconds", "status"), [(0, "course"), (1, "not-concerned")])
def test_thirty_days_after_the_latest_dose_nobody_is_concerned_any_more(seconds: int, status: str) -> None:
    end = datetime(2026, 2, 1, 10, tzinfo=UTC) + timedelta(days=30)
    assert read(patient(), infusion(), at=end + timedelta(seconds=seconds)).status == status


def test_an_order_not_yet_followed_is_a_course_at_its_start() -> None:
    found = read(*without("q1"), order("r1", "1986438", "2026-01-20T10:00:00Z"))
    assert (found.status, found.planned, found.start) == ("course", True, NOW)
    assert found.intake is not None
    assert (found.intake.course.therapy, found.intake.course.index_seconds) == ("tisagenlecleucel", 0)
    assert [one.code for one in found.intake.notes] == ["therapy-planned"]
    assert found.used["therapy"] == (Origin("MedicationRequest/r1"),)


def test_an_order_that_was_followed_is_no_plan() -> None:
    ordered = order("r1", "1987398", "2026-01-20T10:00:00Z")
    found = read(*chart(), ordered)
    assert not found.planned
    assert found.ignored == {"ordered-not-given": 1}
    late = datetime(2026, 3, 20, tzinfo=UTC)
    assert read(*chart(), ordered, at=late).status == "not-concerned"


def test_what_must_not_be_given_or_was_withdrawn_is_no_plan() -> None:
    for fields in ({"doNotPerform": True}, {"status": "cancelled"}, {"status": "draft"}, {"status": "stopped"}):
        assert read(*without("q1"), order("r1", "1986438", "2026-01-20T10:00:00Z", **fields)).status == "not-concerned"


def test_a_completed_order_without_an_administration_is_not_clear() -> None:
    found = read(*without("q1"), order("r1", "1986438", "2026-01-20T10:00:00Z", status="completed"))
    assert (found.status, found.missing) == ("not-clear", ("start",))


def test_orders_of_two_products_at_one_time_are_not_clear() -> None:
    two = [order(f"r{code}", code, "2026-01-20T10:00:00Z") for code in ("1986438", "2479136")]
    found = read(*without("q1"), *two)
    assert (found.status, found.missing) == ("not-clear", ("therapy",))


def test_a_draft_that_is_being_signed_is_the_plan_and_no_other_draft_is() -> None:
    request = order("r1", "1201211", "2026-01-20T10:00:00Z", status="draft", authoredOn=None)
    service = held("ServiceRequest", "s1", status="draft", code=concept(PCS, "XW033J7"))
    for one, therapy in ((service, "tisagenlecleucel"), (order("r2", "2637392", "", status="draft"), "epcoritamab")):
        for drafts in (bundle(one), one):
            found = read_prefetch(KNOWN, {"all": bundle(*chart(), one)}, NOW, "p1", drafts=drafts)
            assert (found.planned, found.intake and found.intake.course.therapy) == (True, therapy)
        assert not read_prefetch(KNOWN, {"all": bundle(*chart(), one)}, NOW, "p1").planned
    running = order("r3", "1987398", "", status="draft")
    assert not read_prefetch(KNOWN, {"all": bundle(*chart())}, NOW, "p1", drafts=running).planned
    assert not read_prefetch(KNOWN, {"all": bundle(*chart())}, NOW, "p1", drafts=request).planned


def test_step_up_doses_are_several_administrations_of_one_course() -> None:
    doses = [drug(f"m{day}", "2637392", f"2026-01-{day:02d}T09:00:00Z") for day in (20, 27)]
    twice = drug("m28", "2637392", "2026-01-27T13:00:00Z")
    later = drug("m30", "2637392", "2026-02-03T12:00:00Z")
    found = read(patient(), *doses, twice, later)
    assert found.intake is not None
    course = found.intake.course
    assert (course.therapy, course.dose_number, course.dose_seconds) == ("epcoritamab", 2, 7 * 86_400)
    assert course.index_seconds == 14 * 86_400 + 3_600
    assert course.observations == (Observed("step_dose", 7 * 86_400, 2.0),)
    assert found.ignored == {"after-index-time": 1}
    assert [one.reference[-3:] for one in found.used["therapy"]] == ["m20", "m27", "m28"]


def test_a_standing_order_goes_on_with_a_paused_course() -> None:
    dose = drug("m1", "2637392", "2025-12-20T09:00:00Z")
    assert read(patient(), dose).status == "not-concerned"
    found = read(patient(), dose, order("r1", "2637392", "2026-02-02T09:00:00Z"))
    assert (found.status, found.planned) == ("course", False)


def test_the_latest_course_is_asked_about() -> None:
    bridging = drug("m1", "2637392", "2026-01-12T09:00:00Z")
    found = read(*chart(), bridging)
    assert found.intake is not None
    assert found.intake.course.therapy == "axicabtagene-ciloleucel"
    assert found.ignored["therapy-not-asked-about"] == 1


# What was used, and what was not


def test_what_was_used_is_named_by_input_with_its_version() -> None:
    used = read(*chart()).used
    lab = Origin("Observation/o1", "3", "2026-02-03T09:00:00Z")
    assert used["crp"] == (lab,)
    assert used["systolic_bp"] == used["diastolic_bp"] == (Origin("Observation/o5", "3", "2026-02-03T09:00:00Z"),)
    assert used["age_years"] == used["sex_male"] == (Origin("Patient/p1"),)
    assert used["indication"] == (Origin("Condition/c1"),)
    assert used["tocilizumab"] == (Origin("MedicationAdministration/m1"),)
    assert len(read(*chart()).basis) == len(chart())


def test_units_that_were_converted_are_known_with_their_factor() -> None:
    plain, other = read(*chart()).intake, read(*with_chart(result("x", "1988-5", 1.0, "mg/dL"))).intake
    assert plain is not None
    assert other is not None
    assert (plain.converted, other.converted) == ({}, {"crp": {"mg/dL": (10.0, 0.0)}})


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (result("x", "9999-9", 1.0, "mg/L"), "code-unknown"),
        (result("x", "1988-5", 1.0, "furlong"), "unit-not-accepted"),
        (
            result("x", "1988-5", 1.0, "mg/L", valueQuantity={"value": 1.0, "unit": "mg/L", "code": "mg/dL"}),
            "unit-disagrees",
        ),
        (result("x", "1988-5", 1.0, "mg/L", valueQuantity=None), "value-missing"),
        (result("x", "1988-5", 1.0, "mg/L", effectiveDateTime=None), "time-missing"),
        (result("x", "1988-5", 1.0, "mg/L", at="2026-02-03T10:00:01Z"), "after-index-time"),
        (result("x", "1988-5", 1.0, "mg/L", at="2026-02-03"), "after-index-time"),
        (result("x", "1988-5", 1.0, "mg/L", at="2026-01-02T09:59:59Z"), "too-old"),
        (result("x", "1988-5", 1.0, "mg/L", status="preliminary"), "status-preliminary"),
        (result("x", "1988-5", 1.0, "mg/L", status="entered-in-error"), "status-entered-in-error"),
        (result("x", "1988-5", 1.0, "mg/L", status="cancelled"), "status-cancelled"),
        (result("x", "1988-5", 1.0, "mg/L", focus=[{"reference": "RelatedPerson/1"}]), "focus-not-the-patient"),
        (result("x", "1988-5", 1.0, "mg/L", subject=None), "patient-missing"),
        (result("x", "1988-5", 1.0, "mg/L", subject={"display": "a name"}), "patient-missing"),
        (result("x", "1988-5", 1.0, "mg/L", subject={"reference": "#p"}), "patient-missing"),
        (diagnosis("x", "D89.831", at="2026-01-31T12:00:00Z"), "before-start"),
        (diagnosis("x", "E11.9", at="2026-02-02T12:00:00Z"), "after-start"),
        (diagnosis("x", "C90.0", at="2024-02-02T12:00:00Z"), "earlier-indication"),
        (order("x", "612865", "2026-02-02T12:00:00Z"), "ordered-not-given"),
        (drug("x", "612865", "2026-02-02T12:00:00Z", status="not-done"), "status-not-done"),
        (held("Encounter", "x"), "resource-not-used"),
    ],
)
def test_what_is_not_used_is_counted_by_its_reason_and_changes_nothing(one: Json, reason: str) -> None:
    plain, found = read(*chart()), read(*chart(), one)
    assert found.ignored == {reason: 1}
    assert course_bits(found) == course_bits(plain)
    assert found.used == plain.used


def test_an_upper_limit_beyond_belief_is_left_out_and_said() -> None:
    ranges = [{"high": {"value": 1e-6, "unit": "U/L"}}]
    found = read(patient(), infusion(), result("o3", "2532-0", 420.0, "U/L", referenceRange=ranges))
    assert found.intake is not None
    assert repr(found.intake.course.observations[0].limit) == "nan"
    assert found.ignored == {"upper-limit-implausible": 1}


def test_what_is_missing_is_named() -> None:
    assert read(infusion(), patient="p1").missing == ("patient", "observations")
    assert read(infusion(), patient(), patient="p1").missing == ("observations",)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"deceasedDateTime": "2026-02-02T10:00:00Z"}, 86_400),
        ({"deceasedDateTime": "2026-02-03"}, 38 * 3_600),
        ({"deceasedBoolean": True}, 48 * 3_600),
        ({"deceasedDateTime": "2025-01-01"}, 0),
    ],
)
def test_a_patient_who_died_is_not_answered_as_if_alive(fields: Json, seconds: int) -> None:
    found = read(patient(**fields), infusion())
    assert found.intake is not None
    assert found.intake.course.observations == (Observed("death", seconds, 1.0),)


def test_a_death_after_the_index_time_is_not_known_yet() -> None:
    for fields in ({"deceasedDateTime": "2026-02-04T10:00:00Z"}, {"deceasedBoolean": False}):
        found = read(patient(**fields), infusion())
        assert found.intake is not None
        assert found.intake.course.observations == ()


def test_an_index_time_without_a_zone_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="zone"):
        read_bundle(KNOWN, bundle(*chart()), datetime(2026, 2, 3))


# Another patient


def crp_of(reference: Any) -> Json:
    return result("x", "1988-5", 30.0, "mg/L", subject={"reference": reference, "display": CANARY})


@pytest.mark.parametrize(
    "reference",
    ["Patient/p1", "Patient/p1/_history/4", "http://ehr/Patient/p1", "http://ehr/Patient/p1/_history/2", "p1"],
)
def test_any_form_of_reference_to_the_patient_is_read(reference: str) -> None:
    found = read(*chart(), crp_of(reference))
    assert found.intake is not None
    assert [one.value for one in found.intake.course.observations if one.code == "crp"] == [30.0, 96.0]


STRANGERS = [
    "Patient/p2",
    "Patient/P1",
    "http://ehr/Patient/p2",
    "http://ehr/Patient/p2/_history/1",
    "urn:uuid:p2",
    "Group/p1",
    "Device/p1",
    "http://ehr/Group/p1",
    "p2",
    "Patient/#p1",
    "Patient/p1/x",
]


@pytest.mark.parametrize("reference", STRANGERS)
def test_a_resource_of_anybody_else_refuses_the_whole_request(reference: str) -> None:
    for resources in (with_chart(crp_of(reference)), [crp_of(reference), *chart()]):
        with pytest.raises(RefusalError) as refused:
            read(*resources, patient="p1")
        assert (refused.value.code, refused.value.http_status) == ("other-patient", 422)
        assert CANARY not in str(refused.value)


@pytest.mark.parametrize("where", ["patient", "subject", "beneficiary", "for", "individual"])
def test_another_patient_is_found_in_resources_that_are_not_read_too(where: str) -> None:
    stranger = {"resourceType": "AnythingElse", "id": "x", where: [{"reference": "Patient/p2"}]}
    with pytest.raises(RefusalError) as refused:
        read(*chart(), stranger, patient="p1")
    assert refused.value.code == "other-patient"


def test_another_patient_in_a_prefetch_key_or_a_draft_is_refused_with_its_place() -> None:
    good, bad = bundle(*chart()), bundle(crp_of("Patient/p2"))
    with pytest.raises(RefusalError) as refused:
        read_prefetch(KNOWN, {"labs": good, "vitals": bad}, NOW, "p1")
    assert refused.value.place == "$.prefetch.vitals.entry[0]"
    with pytest.raises(RefusalError) as refused:
        read_prefetch(KNOWN, {"labs": good, CANARY: bad}, NOW, "p1")
    assert refused.value.place == "$.prefetch[...].entry[0]"
    with pytest.raises(RefusalError) as refused:
        read_prefetch(KNOWN, {"labs": good}, NOW, "p1", drafts=bad)
    assert refused.value.place == "$.drafts.entry[0]"


def test_the_same_id_on_another_server_is_another_patient() -> None:
    prefetch = {"labs": bundle(*chart(), crp_of("https://elsewhere/fhir/Patient/p1"))}
    with pytest.raises(RefusalError) as refused:
        read_prefetch(KNOWN, prefetch, NOW, "p1", server="https://ehr/fhir")
    assert refused.value.code == "other-server"
    with pytest.raises(RefusalError):
        read_prefetch(
            KNOWN, {"labs": bundle(crp_of("https://a/Patient/p1"), crp_of("https://b/Patient/p1"))}, NOW, "p1"
        )
    found = read_prefetch(KNOWN, prefetch, NOW, "p1", server="HTTPS://Elsewhere/fhir/")
    assert found.status == "course"


def test_a_patient_resource_at_anothers_address_is_refused() -> None:
    entry = {"fullUrl": "http://ehr/Patient/p2", "resource": patient()}
    with pytest.raises(RefusalError):
        read_bundle(KNOWN, {"resourceType": "Bundle", "entry": [entry]}, NOW, patient="p1")


def test_a_bundle_with_addresses_of_its_own_is_read_by_them() -> None:
    urn = "urn:uuid:8f8a4f0e-0000-4000-8000-000000000001"
    resources = [{**one, "subject": {"reference": urn}} if "subject" in one else one for one in chart()]
    entries = [{"fullUrl": urn if one["id"] == "p1" else f"urn:uuid:{one['id']}", "resource": one} for one in resources]
    named = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    assert course_bits(read_bundle(KNOWN, named, NOW)) == course_bits(read(*chart()))
    assert course_bits(read_bundle(KNOWN, named, NOW, patient=urn)) == course_bits(read(*chart()))
    for entry in entries:
        entry["resource"] = {key: value for key, value in entry["resource"].items() if key != "id"}
    found = read_bundle(KNOWN, named, NOW)
    assert course_bits(found) == course_bits(read(*chart()))
    assert found.used["crp"][0].reference == "urn:uuid:o1"
    entries[4]["resource"]["subject"] = {"reference": "urn:uuid:8f8a4f0e-0000-4000-8000-000000000002"}
    with pytest.raises(RefusalError):
        read_bundle(KNOWN, named, NOW)


def test_a_patient_who_is_not_named_or_not_one_is_refused() -> None:
    other = {**patient(), "id": "p2"}
    for resources, code in ((without("p1"), "patient-not-named"), (with_chart(other), "patients-several")):
        with pytest.raises(RefusalError) as refused:
            read(*resources)
        assert refused.value.code == code
    for name in ("", "Group/1", "Patient?name=x", "   "):
        with pytest.raises(RefusalError):
            read_prefetch(KNOWN, {}, NOW, name)


def test_far_too_many_resources_are_refused() -> None:
    with pytest.raises(RefusalError) as refused:
        read(*[patient()] * (MOST_RESOURCES + 1))
    assert refused.value.http_status == 413


# What changes nothing

PLAIN = course_bits(read(*chart()))


@settings(max_examples=60, deadline=None)
@given(
    st.randoms(use_true_random=False),
    st.lists(st.sampled_from(range(len(chart()))), max_size=5),
    st.dictionaries(st.from_regex(r"_?x[a-z]{1,6}", fullmatch=True), st.none() | st.integers() | st.lists(st.text())),
    st.lists(st.from_regex(r"[A-Z][a-z]{2,8}X", fullmatch=True), max_size=3),
)
def test_order_repeats_unknown_fields_and_resources_change_no_bit(
    shuffle: random.Random, again: list[int], fields: Json, kinds: list[str]
) -> None:
    whole = chart()
    mixed = [*whole, *({**copy.deepcopy(whole[place]), **fields} for place in again)]
    mixed += [{"resourceType": kind, "id": f"x{place}", **fields} for place, kind in enumerate(kinds)]
    shuffle.shuffle(mixed)
    found = read(*mixed)
    assert course_bits(found) == PLAIN
    assert found.used == read(*chart()).used
    wanted = {"repeated": len(again), "resource-not-used": len(kinds)}
    assert found.ignored == {reason: count for reason, count in wanted.items() if count}


def test_of_one_id_the_latest_version_counts() -> None:
    def version(value: float, updated: str, number: str) -> Json:
        return result("o1", "1988-5", value, "mg/L", meta={"lastUpdated": updated, "versionId": number})

    late = version(30.0, "2026-02-03T09:00:00+01:00", "9")
    early = version(20.0, "2026-02-03T08:30:00+01:00", "10")
    newest = version(40.0, "2026-02-03T09:00:00+01:00", "10")
    for resources in ([late, early, newest], [newest, late, early], [early, newest, late]):
        found = read(patient(), infusion(), *resources)
        assert found.intake is not None
        assert [one.value for one in found.intake.course.observations] == [40.0]
        assert found.used["crp"][0].version == "10"


UNITS = [
    (key, unit)
    for key, analyte in CATALOGUE.analytes.items()
    if any(system == "LOINC" for system, _ in analyte.codes)
    for unit in analyte.units
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(UNITS), st.floats(0.05, 0.95))
def test_a_value_in_another_accepted_unit_is_the_same_course(pair: tuple[str, str], part: float) -> None:
    key, unit = pair
    analyte = CATALOGUE.analytes[key]
    code = next(code for system, code in analyte.codes if system == "LOINC")
    value = analyte.plausible_low + part * (analyte.plausible_high - analyte.plausible_low)
    rule = analyte.units[unit]
    plain = read(patient(), infusion(), result("o1", code, value, analyte.unit))
    other = read(patient(), infusion(), result("o1", code, (value - rule.offset) / rule.factor, unit))
    assert plain.status == other.status == "course"
    assert plain.intake is not None
    assert other.intake is not None
    if not plain.intake.course.observations:  # a code that nobody verified
        assert plain.ignored == other.ignored
        return
    (mine,), (theirs,) = plain.intake.course.observations, other.intake.course.observations
    assert (mine.code, mine.seconds) == (theirs.code, theirs.seconds)
    assert theirs.value == pytest.approx(mine.value, rel=1e-12)
    assert plain.used == other.used


# Nothing makes it fail

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.just("9999-12-31T23:59:59-14:00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def paths(item: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every part of a JSON value."""
    keys = item.keys() if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
    return [above, *(path for key in keys for path in paths(item[key], (*above, key)))]


def replaced(item: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    item[path[0]] = replaced(item[path[0]], path[1:], value)
    return item


WHOLE = bundle(*chart(), order("r1", "1987398", "2026-01-20T10:00:00Z"))
PATHS = paths(WHOLE)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PATHS), JSON), min_size=1, max_size=3), st.booleans())
def test_no_json_value_anywhere_makes_it_fail(changes: list[tuple[tuple[Any, ...], Any]], named: bool) -> None:
    whole: Any = copy.deepcopy(WHOLE)
    for path, value in changes:
        try:
            whole = replaced(whole, path, value)
        except (KeyError, IndexError, TypeError):
            continue
    codes = [
        answered(lambda: read_bundle(KNOWN, whole, NOW, patient="p1" if named else "")),
        answered(lambda: read_prefetch(KNOWN, whole, NOW, "p1", drafts=whole)),
        answered(lambda: read_prefetch(KNOWN, {"labs": whole}, NOW, "p1")),
    ]
    refusals = {"other-patient", "other-server", "patient-not-named", "patients-several"}
    assert set(codes) <= refusals | {"course", "not-concerned", "not-clear"}


def answered(ask: Callable[[], FhirRead]) -> str:
    """The status, or the code of the refusal; any other error is the test's."""
    try:
        return ask().status
    except RefusalError as refused:
        return refused.code


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_any_json_at_all_is_answered_or_refused(value: Any) -> None:
    assert read_prefetch(KNOWN, value, NOW, "p1", drafts=value).status == "not-concerned"
    prefetch_states(value, ("labs",))
    with pytest.raises(RefusalError):
        read_bundle(KNOWN, value, NOW)


def test_codings_of_the_sender_never_reach_a_count_or_an_input() -> None:
    strange = [
        result("x1", CANARY, 1.0, "mg/L"),
        result("x2", "1988-5", 1.0, CANARY),
        result("x3", "1988-5", 1.0, "mg/L", status=CANARY),
        {"resourceType": CANARY, "id": "x4"},
        result("x5", "1988-5", 1.0, "mg/L", code={"coding": [{"system": LOINC, "code": "1988-5"}], "text": CANARY}),
    ]
    found = read(*chart(), *strange)
    assert CANARY not in repr((found.used.keys(), found.ignored, found.missing, found.intake and found.intake.notes))
