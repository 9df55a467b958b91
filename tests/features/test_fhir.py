"""FHIR resources become facts or a counted reason; order, repeats and unknown things around them change nothing."""

import copy
import json
import math
import random
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import load
from features.concepts import Concepts, concepts
from features.fhir import Reading, read_resources
from features.fhir_types import MAPPED, Fact, Moment, Origin
from features.fhir_values import moment
from tests.real_data import real_file

LOINC, UCUM, RXNORM = "http://loinc.org", "http://unitsofmeasure.org", "http://www.nlm.nih.gov/research/umls/rxnorm"
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
KNOWN = concepts(load())
Json = dict[str, Any]


def concept(*codings: tuple[str, str]) -> Json:
    return {"coding": [{"system": system, "code": code} for system, code in codings], "text": "of no account"}


def crp(value: float = 12.0, **changed: Any) -> Json:
    """An Observation of CRP in mg/L."""
    quantity = {"value": value, "unit": "milligram per litre", "system": UCUM, "code": "mg/L"}
    held: Json = {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "code": concept((LOINC, "1988-5")),
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": "2026-01-31T08:00:00+01:00",
        "valueQuantity": quantity,
    }
    return {name: item for name, item in {**held, **changed}.items() if item is not None}


def drug(kind: str = "MedicationAdministration", code: str = "612865", **changed: Any) -> Json:
    held: Json = {
        "resourceType": kind,
        "id": "m1",
        "status": "completed",
        "medicationCodeableConcept": concept((RXNORM, code)),
        "subject": {"reference": "Patient/p1"},
    }
    time = {"authoredOn" if kind == "MedicationRequest" else "effectiveDateTime": "2026-02-01T09:30:00Z"}
    return {name: item for name, item in {**held, **time, **changed}.items() if item is not None}


def condition(code: str, **changed: Any) -> Json:
    held: Json = {
        "resourceType": "Condition",
        "id": f"c-{code}",
        "code": concept((ICD, code)),
        "subject": {"reference": "Patient/p1"},
        "onsetDateTime": "2026-01-01",
    }
    return {**held, **changed}


def read(*resources: Any, known: Concepts = KNOWN) -> Reading:
    return read_resources(resources, known)


def only(reading: Reading) -> Fact:
    (fact,) = reading.facts
    return fact


def reasons(reading: Reading) -> dict[str, int]:
    found: Counter[str] = Counter()
    for (_, outcome, _, _), count in reading.tally.items():
        found[outcome] += count
    return dict(found)


def test_a_laboratory_value_keeps_unit_time_comparator_and_upper_limit() -> None:
    quantity = {"value": 3.5, "comparator": "<", "unit": "mg/dL"}
    ranges = [{"high": {"value": 0.5, "unit": "mg/dL"}}]
    fact = only(read(crp(valueQuantity=quantity, referenceRange=ranges)))
    assert (fact.key, fact.value, fact.unit, fact.comparator, fact.limit) == ("crp", 3.5, "mg/dL", "<", 0.5)
    assert fact.at == Moment(int(datetime(2026, 1, 31, 7, tzinfo=UTC).timestamp()) * 1_000_000)


def test_the_ucum_code_counts_before_the_text() -> None:
    both = {"value": 1.0, "system": UCUM, "code": "mg/L", "unit": "ug/mL"}
    assert only(read(crp(valueQuantity=both))).unit == "mg/L"
    odd = {"value": 1.0, "system": UCUM, "code": "mg/L", "unit": "as the laboratory writes it"}
    assert only(read(crp(valueQuantity=odd))).unit == "mg/L"
    foreign = {"value": 1.0, "system": "http://other", "code": "mg/dL", "unit": "mg/L"}
    assert only(read(crp(valueQuantity=foreign))).unit == "mg/L"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"valueQuantity": {"value": 1.0, "unit": "furlong"}}, "unit-not-accepted"),
        ({"valueQuantity": {"value": 1.0}}, "unit-missing"),
        ({"valueQuantity": {"value": 1.0, "system": UCUM, "code": "mg/dL", "unit": "mg/L"}}, "unit-disagrees"),
        ({"valueQuantity": {"value": -1.0, "unit": "mg/L"}}, "value-negative"),
        ({"valueQuantity": {"value": 7000.0, "unit": "mg/L"}}, "value-implausible"),
        ({"valueQuantity": {"value": "12", "unit": "mg/L"}}, "value-missing"),
        ({"valueQuantity": {"value": True, "unit": "mg/L"}}, "value-missing"),
        ({"valueQuantity": {"value": 10**400, "unit": "mg/L"}}, "value-missing"),
        ({"valueQuantity": {"value": 1.0, "comparator": "ad", "unit": "mg/L"}}, "comparator-unknown"),
        ({"valueQuantity": None, "valueString": "high"}, "value-not-a-quantity"),
        ({"valueQuantity": None, "dataAbsentReason": concept(("x", "unknown"))}, "value-absent-with-reason"),
        ({"valueQuantity": None}, "value-missing"),
        ({"effectiveDateTime": None}, "time-missing"),
        ({"effectiveDateTime": "2026-01"}, "time-not-to-the-day"),
        ({"effectiveDateTime": "2026-01-31T08:00:00"}, "time-without-offset"),
        ({"effectiveDateTime": "yesterday"}, "time-not-readable"),
        ({"status": "entered-in-error"}, "status-entered-in-error"),
        ({"status": "preliminary"}, "status-preliminary"),
        ({"focus": [{"reference": "RelatedPerson/fetus"}]}, "focus-not-the-patient"),
        ({"effectiveDateTime": "0001-01-01T00:00:00+14:00"}, "time-not-readable"),
        ({"subject": None}, "patient-missing"),
        ({"subject": {"reference": "Group/p1"}}, "patient-missing"),
        ({"subject": {"reference": "#p1"}}, "patient-missing"),
        ({"subject": {"reference": "Patient?identifier=p1"}}, "patient-missing"),
        ({"code": concept((LOINC, "30522-7"), (LOINC, "1988-5"))}, "code-refused"),
        ({"code": concept((LOINC, "1988-5"), (LOINC, "2276-4"))}, "codings-disagree"),
        ({"code": concept(("urn:lab", "77"))}, "code-unknown"),
        ({"code": None}, "code-missing"),
        ({"code": {"text": "CRP"}}, "code-missing"),
    ],
)
def test_what_cannot_be_used_is_counted_by_its_reason(changed: Json, reason: str) -> None:
    found = read(crp(**changed))
    assert found.facts == ()
    assert reasons(found) == {reason: 1}


def test_a_local_coding_beside_a_known_one_does_no_harm() -> None:
    assert only(read(crp(code=concept(("urn:lab", "77"), (LOINC, "1988-5"))))).key == "crp"


def test_components_are_read_each_and_the_panel_itself_is_no_value() -> None:
    parts = [
        {"code": concept((LOINC, code)), "valueQuantity": {"value": value, "unit": "mmHg"}}
        for code, value in (("8480-6", 118.0), ("8462-4", 71.0))
    ]
    found = read(crp(code=concept((LOINC, "85354-9")), valueQuantity=None, component=parts))
    assert {(fact.key, fact.value) for fact in found.facts} == {("systolic_bp", 118.0), ("diastolic_bp", 71.0)}
    assert reasons(found) == {MAPPED: 2}


@pytest.mark.parametrize(
    "ranges",
    [
        [{"high": {"value": 5, "unit": "mg/dL"}}],
        [{"high": {"value": 5}}, {"high": {"value": 9}}],
        [{"high": {"value": 5}, "appliesTo": [concept(("x", "pregnant"))]}],
        [{"high": {"value": 5}, "type": concept(("x", "therapeutic"))}],
    ],
)
def test_an_upper_limit_of_another_unit_or_of_other_people_is_none(ranges: list[Json]) -> None:
    assert math.isnan(only(read(crp(referenceRange=ranges))).limit)


def test_an_order_is_no_administration() -> None:
    ordered, given_ = read(drug("MedicationRequest", status="active")), read(drug())
    assert (only(ordered).kind, reasons(ordered)) == ("order", {"ordered-not-given": 1})
    assert (only(given_).kind, only(given_).key, only(given_).value) == ("event", "tocilizumab", 1.0)


def test_what_was_not_given_states_nothing() -> None:
    assert reasons(read(drug(status="not-done"))) == {"status-not-done": 1}
    forbidden = drug("MedicationRequest", status="active", doNotPerform=True)
    assert reasons(read(forbidden)) == {"status-do-not-perform": 1}


def test_an_order_says_whether_it_still_stands() -> None:
    assert only(read(drug("MedicationRequest", status="active"))).text == "active"
    assert only(read(drug("MedicationRequest", status="a word of its own"))).text == ""
    assert reasons(read(drug("MedicationRequest", status="draft"))) == {"status-draft": 1}


def test_a_fact_names_the_resource_it_comes_from() -> None:
    meta = {"versionId": "7", "lastUpdated": "2026-02-01T00:00:00Z"}
    assert only(read(crp(meta=meta))).origin == Origin("Observation/o1", "7", "2026-02-01T00:00:00Z")
    assert only(read(crp(id=None))).origin == Origin()


def test_of_two_versions_the_later_one_counts_whatever_the_zone_it_is_written_in() -> None:
    early = crp(1.0, meta={"lastUpdated": "2026-02-01T09:30:00+02:00"})
    late = crp(2.0, meta={"lastUpdated": "2026-02-01T08:00:00Z"})
    for order in ([early, late], [late, early]):
        assert only(read(*order)).value == 2.0


def test_one_name_of_a_patient_and_of_a_medication_is_two_things() -> None:
    medication = {"resourceType": "Medication", "id": "d1", "code": concept((RXNORM, "612865"))}
    patient = {"resourceType": "Patient", "id": "p9"}
    entries = [
        {"fullUrl": "urn:uuid:aaaa", "resource": patient},
        {"fullUrl": "urn:uuid:bbbb", "resource": medication},
        {"resource": drug(medicationCodeableConcept=None, medicationReference={"reference": "urn:uuid:bbbb"})},
        {"resource": crp(subject={"reference": "Patient/bbbb"})},
    ]
    found = read({"resourceType": "Bundle", "entry": entries})
    assert {(fact.key, fact.person) for fact in found.facts} == {("tocilizumab", "p1"), ("crp", "bbbb")}


def test_a_drug_is_found_wherever_its_medication_stands() -> None:
    medication = {"resourceType": "Medication", "id": "d1", "code": concept((RXNORM, "612865"))}
    elsewhere = drug(medicationCodeableConcept=None, medicationReference={"reference": "Medication/d1"})
    inside = drug(
        medicationCodeableConcept=None, medicationReference={"reference": "#d1"}, contained=[medication], id="m2"
    )
    for order in ([elsewhere, medication], [medication, elsewhere], [inside]):
        assert only(read(*order)).key == "tocilizumab"


def test_a_class_and_its_product_are_the_product() -> None:
    codes = concept(("http://www.ama-assn.org/go/cpt", "38228"), (RXNORM, "1986438"))
    assert only(read(drug(medicationCodeableConcept=codes))).key == "tisagenlecleucel"


def test_conditions_are_events_indications_and_comorbidities() -> None:
    found = read(condition("D89.832"), condition("C83.3"), condition("I50.1"), condition("D89.839"))
    assert {(fact.kind, fact.key) for fact in found.facts} == {
        ("event", "crs_grade"),
        ("indication", "dlbcl"),
        ("comorbidity", "cardiac_disease"),
    }
    assert found.tally[("Condition", "grade-not-stated", "crs_grade", "")] == 1
    assert reasons(read(condition("I50.1", verificationStatus=concept(("x", "refuted"))))) == {"status-refuted": 1}


def test_a_bundle_resolves_its_own_addresses() -> None:
    patient = {"resourceType": "Patient", "id": "p9", "gender": "female", "birthDate": "1960-02-29"}
    entries = [
        {"fullUrl": "urn:uuid:aaaa", "resource": patient},
        {"fullUrl": "urn:uuid:bbbb", "resource": crp(subject={"reference": "urn:uuid:aaaa"})},
    ]
    found = read({"resourceType": "Bundle", "entry": entries})
    assert only(found).person == "p9"
    assert (found.people[0].sex, found.people[0].birth) == ("F", "1960-02-29")


def test_free_text_never_leaves_the_source() -> None:
    note = {"note": [{"text": "Mr Canary of 3 Main Street"}]}
    assert "Canary" not in repr(read(crp(**note), condition("I50.1", **note), drug(**note)))


RESOURCES: list[Json] = [
    {"resourceType": "Patient", "id": "p1", "gender": "male", "birthDate": "1961-05-05"},
    crp(),
    crp(13.0, id="o2"),
    crp(id="o3", valueQuantity={"value": 1, "unit": "furlong"}),
    drug(),
    drug("MedicationRequest", id="m3"),
    drug("Procedure", id="q1", code=concept(("http://www.cms.gov/Medicare/Coding/ICD10", "XW033C7"))),
    condition("D89.832"),
    {"resourceType": "Encounter", "id": "e1"},
]


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 3))
def test_order_and_repeats_change_nothing(shuffle: random.Random, copies: int) -> None:
    plain = read(*RESOURCES)
    mixed = [*RESOURCES, *copy.deepcopy(RESOURCES[:copies])]
    shuffle.shuffle(mixed)
    found = read(*mixed)
    assert repr((found.people, found.facts)) == repr((plain.people, plain.facts))
    assert reasons(found).get("repeated", 0) == copies
    assert sum(found.tally.values()) == sum(plain.tally.values()) + copies


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(range(len(RESOURCES))), max_size=4),
    st.dictionaries(st.from_regex(r"_?x[a-z]{1,6}", fullmatch=True), st.none() | st.integers() | st.lists(st.text())),
    st.from_regex(r"[A-Z][a-z]{2,8}X", fullmatch=True),
)
def test_unknown_fields_and_resources_change_nothing(where: list[int], fields: Json, kind: str) -> None:
    plain = read(*RESOURCES)
    dressed = [{**fields, **one} if place in where else one for place, one in enumerate(RESOURCES)]
    found = read(*dressed, {"resourceType": kind, **fields})
    assert repr(found.facts) == repr(plain.facts)
    assert found.tally[(kind, "resource-not-used", "", "")] == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(range(len(RESOURCES))), st.data())
def test_no_shape_of_any_field_makes_it_fail(place: int, data: st.DataObject) -> None:
    held = dict(RESOURCES[place])
    name = data.draw(st.sampled_from([*held, "component", "referenceRange", "valueQuantity", "contained"]))
    found = read({**held, name: data.draw(JSON)})
    assert sum(found.tally.values()) >= 1


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2199, 1, 1), timezones=st.just(UTC)))
def test_an_instant_is_read_to_the_microsecond(stamp: datetime) -> None:
    found = moment(stamp.isoformat())
    assert isinstance(found, Moment)
    assert found.micros == (stamp - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution)
    assert not found.by_day


# Real and synthetic resources of the shared data


def entries(resource: Json) -> int:
    """How many things a resource states, counted apart from the reader."""
    if resource.get("resourceType") == "Bundle":
        return sum(entries(entry["resource"]) for entry in resource["entry"])
    parts = resource.get("component", [])
    own = any(name.startswith("value") for name in resource) or not parts
    return (len(parts) + own) if resource.get("resourceType") == "Observation" else 1


@pytest.mark.parametrize(
    ("folder", "first", "mapped"),
    [
        ("fhir-synthea", "Chiquita_Little_7cdaae04-4ce7-4a6d-b6a3-5cddba9bc888.json", 102),
        ("fhir-mimic", "high_risk_bundle.json", 3),
        ("cell-therapy-registry", "Observation-AlbuminObservation.json", 3),
    ],
)
def test_all_public_json_is_read_and_every_entry_counted(folder: str, first: str, mapped: int) -> None:
    files = sorted(real_file("ehr", folder, first).parent.glob("*.json"))
    held = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    found = read(*held)
    assert sum(found.tally.values()) == sum(map(entries, held))
    assert reasons(found)[MAPPED] == mapped


def test_the_us_core_examples_are_read() -> None:
    folder = real_file("ehr", "fhir-uscore", "observation-serum-creatinine.yml").parent
    held = [dates_as_text(yaml.safe_load(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.yml"))]
    found = read(*held)
    assert {(fact.key, fact.unit) for fact in found.facts if fact.kind == "analyte"} >= {("creatinine", "mg/dL")}
    assert sum(found.tally.values()) == sum(map(entries, held))


def dates_as_text(item: Any) -> Any:
    """YAML reads dates as dates; FHIR's JSON holds text."""
    if isinstance(item, dict):
        return {name: dates_as_text(one) for name, one in item.items()}
    if isinstance(item, list):
        return [dates_as_text(one) for one in item]
    return item.isoformat() if isinstance(item, date) else item


def test_a_centres_list_opens_a_local_code_system(tmp_path: Path) -> None:
    path = real_file("ehr", "fhir-mimic", "high_risk_bundle.json")
    system = "http://mimic.mit.edu/fhir/mimic/CodeSystem/mimic-chartevents-d-items"
    own = tmp_path / "codes.csv"
    own.write_text(
        f"kind,key,system,code,value,grading,note\nanalyte,heart_rate,{system},220045,,,\n", encoding="utf-8"
    )
    found = read(json.loads(path.read_text(encoding="utf-8")), known=concepts(load(), own))
    rates = [fact for fact in found.facts if fact.key == "heart_rate"]
    assert len(rates) == 1
    assert rates[0].unit in ("bpm", "/min")
