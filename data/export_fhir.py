"""A cohort as a FHIR R4 Bulk export in NDJSON, with the list of the codes that are not standard."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from data.export import Coder, Person, Statement, coder, is_plain_drug, people, statements
from data.tables import Cohort
from features.catalogue import Catalogue
from features.concepts import code_systems

#: The system of the export's own codes.
LOCAL = "urn:crs-risk:local"
UCUM = "http://unitsofmeasure.org"
GENDER = {"M": "male", "F": "female"}
#: Kind -> (resource type, code systems in the order of preference, kinds that the type's codes may mean).
PLACES = {
    "analyte": ("Observation", ("LOINC",), ("analyte", "event", "course")),
    "therapy": ("MedicationAdministration", ("RxNorm", "ATC", "HCPCS"), ("therapy", "event")),
    "drug": ("MedicationAdministration", ("RxNorm", "ATC", "HCPCS"), ("therapy", "event")),
    "indication": ("Condition", ("ICD-10-CM", "SNOMED"), ("event", "indication", "comorbidity")),
    "comorbidity": ("Condition", ("ICD-10-CM", "SNOMED"), ("event", "indication", "comorbidity")),
    "event": ("Observation", (), ()),
    "course": ("Observation", (), ()),
}
TYPES = ("Patient", "Condition", "MedicationAdministration", "Observation")


def write_fhir(folder: Path, cohort: Cohort, catalogue: Catalogue) -> None:
    """One NDJSON file per resource type in that folder, one Patient per course, instants in UTC."""
    held, codes = people(cohort, whole_seconds=False), coder(catalogue, LOCAL)
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / f"{name}.ndjson").open("w", encoding="utf-8")) for name in TYPES}
        for one in _resources(cohort, held, codes, catalogue):
            files[one["resourceType"]].write(json.dumps(one, allow_nan=False) + "\n")
    codes.write(folder)


def _resources(cohort: Cohort, held: list[Person], codes: Coder, catalogue: Catalogue) -> Iterator[dict[str, Any]]:
    yield from map(_patient, held)
    for number, one in enumerate(statements(cohort, held, catalogue), 1):
        kind, systems, kinds = PLACES["drug" if is_plain_drug(one) else one.kind]
        found = codes.reviewed(one, systems, kinds)
        uri, code = (_uri(found[0]), found[1]) if found else (LOCAL, codes.of_its_own(one))
        about = {
            "resourceType": kind,
            "id": f"{kind[0].lower()}-{number}",
            "subject": {"reference": f"Patient/{_name(one.person)}"},
        }
        yield about | _stated(kind, one, {"coding": [{"system": uri, "code": code}]})


def _uri(system: str) -> str:
    return next(row.fhir[0] for row in code_systems() if row.system == system)


def _name(person: int) -> str:
    return f"p-{person + 1}"


def _patient(one: Person) -> dict[str, Any]:
    known = {"gender": GENDER.get(one.sex), "birthDate": one.birth}
    return {"resourceType": "Patient", "id": _name(one.number)} | {name: text for name, text in known.items() if text}


def _stated(kind: str, one: Statement, concept: dict[str, Any]) -> dict[str, Any]:
    at = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=one.at)).isoformat()
    if kind == "Condition":
        return {"code": concept, "onsetDateTime": at}
    if kind == "MedicationAdministration":
        return {"status": "completed", "medicationCodeableConcept": concept, "effectiveDateTime": at}
    return {"status": "final", "code": concept, "effectiveDateTime": at} | _value(one)


def _value(one: Statement) -> dict[str, Any]:
    if np.isnan(one.value):
        return {"valueString": one.text}
    measured = {"system": UCUM, "unit": one.unit, "code": one.unit} if one.unit else {}
    value: dict[str, Any] = {"valueQuantity": {"value": one.value, **measured}}
    if not np.isnan(one.limit):
        value["referenceRange"] = [{"high": {"value": one.limit, **measured}}]
    return value | ({"note": [{"text": one.text}]} if one.text else {})
