"""Prints a made-up patient as an EHR would send it: two days before now CAR-T cells, since then blood tests.

python docs/examples/cds_hooks_call.py            a patient-view call with everything along
python docs/examples/cds_hooks_call.py --bundle   the same resources as a Bundle, to load into a FHIR server of your own
"""

import json
import sys
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime.now(UTC)
PATIENT = {"resourceType": "Patient", "id": "crs-example", "gender": "male", "birthDate": "1961-05-05"}
LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
PCS, ICD = "http://www.cms.gov/Medicare/Coding/ICD10", "http://hl7.org/fhir/sid/icd-10-cm"


def at(hours: float) -> str:
    return (NOW + timedelta(hours=hours)).isoformat(timespec="seconds")


def of_patient(kind: str, name: str, system: str, code: str, **fields: Any) -> dict[str, Any]:
    about = {
        "subject": {"reference": f"Patient/{PATIENT['id']}"},
        "code": {"coding": [{"system": system, "code": code}]},
    }
    return {"resourceType": kind, "id": f"crs-example-{name}", **about, **fields}


def result(name: str, code: str, value: float, unit: str, hours: float) -> dict[str, Any]:
    quantity = {"value": value, "unit": unit, "system": UCUM, "code": unit}
    stated = {"status": "final", "effectiveDateTime": at(hours), "valueQuantity": quantity}
    return of_patient("Observation", name, LOINC, code, **stated)


LABS = [
    result("crp", "1988-5", 96.0, "mg/L", -3),
    result("ferritin", "2276-4", 1650.0, "ng/mL", -3),
    result("platelets", "777-3", 88.0, "10*3/uL", -3),
    result("ldh", "2532-0", 420.0, "U/L", -27),
]
CONDITIONS = [of_patient("Condition", "lymphoma", ICD, "C83.3", onsetDateTime="2025-06-01")]
PROCEDURES = [of_patient("Procedure", "infusion", PCS, "XW033H7", status="completed", performedDateTime=at(-48))]


def searchset(resources: list[dict[str, Any]]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in resources]}


def call() -> dict[str, Any]:
    """What an EHR posts to /cds-services/crs-risk-patient-view."""
    prefetch = {
        "patient": PATIENT,
        "labs": searchset(LABS),
        "conditions": searchset(CONDITIONS),
        "procedures": searchset(PROCEDURES),
    }
    context = {"userId": "Practitioner/example", "patientId": PATIENT["id"]}
    return {"hook": "patient-view", "hookInstance": str(uuid.uuid4()), "context": context, "prefetch": prefetch}


def bundle() -> dict[str, Any]:
    """All resources: a FHIR server takes them as a transaction, POST /fhir/risk-assessment as a question."""
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in (PATIENT, *LABS, *CONDITIONS, *PROCEDURES)
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


if __name__ == "__main__":
    json.dump(bundle() if "--bundle" in sys.argv[1:] else call(), sys.stdout, indent=1)
