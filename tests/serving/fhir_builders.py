"""Made-up FHIR resources of one patient: CAR-T cells given, results, diagnoses. They belong to nobody."""

from datetime import UTC, datetime
from typing import Any

from features.catalogue import load
from features.concepts import concepts
from serving.fhir_in import read_bundle
from serving.fhir_types import FhirRead

Json = dict[str, Any]
LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
RXNORM, ICD = "http://www.nlm.nih.gov/research/umls/rxnorm", "http://hl7.org/fhir/sid/icd-10-cm"
PCS = "http://www.cms.gov/Medicare/Coding/ICD10"
ATC = "http://www.whocc.no/atc"
KNOWN = concepts(load())
#: Two days after the infusion of the CAR-T cells below.
NOW = datetime(2026, 2, 3, 10, tzinfo=UTC)
#: Stands for a patient's value; none of our own figures contains it.
CANARY = "31415.92653"


def concept(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}], "text": "of no account"}


def held(kind: str, name: str, **fields: Any) -> Json:
    """A resource of the patient p1; a field that is None is left out."""
    about: Json = {"resourceType": kind, "id": name, "subject": {"reference": "Patient/p1"}}
    return {key: value for key, value in {**about, **fields}.items() if value is not None}


def patient(**fields: Any) -> Json:
    return held("Patient", "p1", subject=None, **{"gender": "male", "birthDate": "1961-05-05", **fields})


def result(name: str, loinc: str, value: float, unit: str, at: str = "2026-02-03T08:00:00Z", **fields: Any) -> Json:
    """An Observation with a number."""
    measured = {"value": value, "unit": unit, "system": UCUM, "code": unit}
    meta = {"versionId": "3", "lastUpdated": "2026-02-03T09:00:00Z"}
    own = {"status": "final", "code": concept(LOINC, loinc), "effectiveDateTime": at, "valueQuantity": measured}
    return held("Observation", name, **{"meta": meta, **own, **fields})


def infusion(name: str = "q1", code: str = "XW033H7", at: str = "2026-02-01T10:00:00Z", **fields: Any) -> Json:
    """A Procedure: axicabtagene ciloleucel by default."""
    own = {"status": "completed", "code": concept(PCS, code), "performedDateTime": at}
    return held("Procedure", name, **{**own, **fields})


def drug(name: str, code: str, at: str, system: str = RXNORM, **fields: Any) -> Json:
    """A MedicationAdministration."""
    own = {"status": "completed", "medicationCodeableConcept": concept(system, code), "effectiveDateTime": at}
    return held("MedicationAdministration", name, **{**own, **fields})


def order(name: str, code: str, at: str, system: str = RXNORM, **fields: Any) -> Json:
    """A MedicationRequest."""
    own = {"status": "active", "intent": "order", "medicationCodeableConcept": concept(system, code), "authoredOn": at}
    return held("MedicationRequest", name, **{**own, **fields})


def diagnosis(name: str, code: str, at: str = "2025-06-01", **fields: Any) -> Json:
    return held("Condition", name, **{"code": concept(ICD, code), "onsetDateTime": at, **fields})


def chart() -> list[Json]:
    """A patient two days after axicabtagene ciloleucel for DLBCL, with fever, a grade and tocilizumab."""
    pressure = [
        {"code": concept(LOINC, code), "valueQuantity": {"value": value, "unit": "mm[Hg]", "code": "mm[Hg]"}}
        for code, value in (("8480-6", 96.0), ("8462-4", 58.0))
    ]
    return [
        patient(),
        infusion(),
        diagnosis("c1", "C83.3"),
        diagnosis("c2", "I50.1"),
        result("o1", "1988-5", 96.0, "mg/L"),
        result("o2", "2276-4", 1650.0, "ng/mL", valueQuantity={"value": 1650.0, "unit": "ng/mL", "comparator": ">"}),
        result("o3", "2532-0", 420.0, "U/L", referenceRange=[{"high": {"value": 225.0, "unit": "U/L"}}]),
        result("o4", "8310-5", 39.1, "Cel", at="2026-02-02T22:15:30.5+01:00"),
        result("o5", "85354-9", 0.0, "", valueQuantity=None, component=pressure),
        result("o6", "777-3", 88.0, "10*3/uL", at="2026-01-31T08:00:00Z"),
        diagnosis("c3", "D89.832", at="2026-02-02T12:00:00Z"),
        drug("m1", "612865", "2026-02-02T15:00:00Z"),
    ]


def bundle(*resources: Json, kind: str = "searchset", **fields: Any) -> Json:
    entries = [
        {"fullUrl": f"http://ehr/{one.get('resourceType')}/{one.get('id')}", "resource": one} for one in resources
    ]
    return {"resourceType": "Bundle", "type": kind, "entry": entries, **fields}


def read(*resources: Json, at: datetime = NOW, **asked: str) -> FhirRead:
    return read_bundle(KNOWN, bundle(*resources), at, **asked)


def course_bits(found: FhirRead) -> str:
    """All that a course is, to the last bit; "" where there is none."""
    if found.intake is None:
        return ""
    one = found.intake
    return repr((one.course.to_json(), one.comparators, one.notes, found.start, found.planned))
