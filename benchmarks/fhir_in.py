"""What reading FHIR costs: a Bundle of 50 Observations into a course, as a ratio to decoding its JSON, in one run.

.venv/bin/python benchmarks/fhir_in.py
.venv/bin/python benchmarks/fhir_in.py --observations 500 --profile
"""

import argparse
import cProfile
import gc
import json
import pstats
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec

from features.catalogue import load
from features.concepts import concepts
from features.fhir import read_resources
from serving.fhir_in import read_bundle

LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
#: LOINC code, unit and an ordinary value.
RESULTS = (
    ("1988-5", "mg/L", 96.0),
    ("2276-4", "ng/mL", 1650.0),
    ("2532-0", "U/L", 420.0),
    ("777-3", "10*3/uL", 88.0),
    ("8310-5", "Cel", 38.2),
    ("8867-4", "/min", 101.0),
)
NOW = datetime(2026, 2, 3, 10, tzinfo=UTC)
ROUNDS = 25
Json = dict[str, Any]


def observation(number: int) -> Json:
    """As a server sends it, about 800 bytes."""
    code, unit, value = RESULTS[number % len(RESULTS)]
    category = "http://terminology.hl7.org/CodeSystem/observation-category"
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "meta": {"versionId": "1", "lastUpdated": "2026-02-02T08:00:00Z"},
        "status": "final",
        "category": [{"coding": [{"system": category, "code": "laboratory", "display": "Laboratory"}]}],
        "code": {"coding": [{"system": LOINC, "code": code, "display": "a name"}], "text": "a name"},
        "subject": {"reference": "Patient/p1"},
        "encounter": {"reference": "Encounter/e1"},
        "effectiveDateTime": f"2026-02-02T{number % 24:02d}:10:00+01:00",
        "issued": "2026-02-02T08:00:00Z",
        "valueQuantity": {"value": value + number % 3, "unit": unit, "system": UCUM, "code": unit},
        "referenceRange": [{"high": {"value": value, "unit": unit}}],
    }


def bundle(observations: int) -> Json:
    about = {"subject": {"reference": "Patient/p1"}}
    infusion = {"coding": [{"system": "http://www.cms.gov/Medicare/Coding/ICD10", "code": "XW033H7"}]}
    cancer = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "C83.3"}]}
    resources: list[Json] = [
        {"resourceType": "Patient", "id": "p1", "gender": "male", "birthDate": "1961-05-05"},
        {"resourceType": "Procedure", "id": "q1", "status": "completed", "code": infusion, **about}
        | {"performedDateTime": "2026-02-01T10:00:00Z"},
        {"resourceType": "Condition", "id": "c1", "code": cancer, "onsetDateTime": "2025-06-01", **about},
        *map(observation, range(observations)),
    ]
    entries = [{"fullUrl": f"http://ehr/{one['resourceType']}/{one['id']}", "resource": one} for one in resources]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries}


def milliseconds(work: Callable[[], object], times: int = 20) -> float:
    """The best of `times` calls: what else runs on the machine only ever adds."""
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return min(taken) * 1e3


def main(observations: int, profile: bool) -> None:
    known, text = concepts(load()), json.dumps(bundle(observations)).encode()
    document = json.loads(text)

    def whole() -> object:
        return read_bundle(known, document, NOW)

    ways: dict[str, Callable[[], object]] = {
        "msgspec": lambda: msgspec.json.decode(text),
        "json": lambda: json.loads(text),
        "facts": lambda: read_resources([document], known),
        "course": whole,
    }
    found = read_bundle(known, document, NOW)
    assert found.intake is not None
    gc.freeze()
    taken = {name: statistics.median(milliseconds(work) for _ in range(ROUNDS)) for name, work in ways.items()}
    print(f"{observations} Observations, {len(text) / 1e3:.0f} kB, {len(found.intake.course.observations)} used")
    for name, cost in taken.items():
        print(
            f"{name:8} {cost:.3f} ms, {cost / taken['json']:.2f} x json.loads, {cost / taken['msgspec']:.2f} x msgspec"
        )
    print(f"one Observation into a course {taken['course'] / observations * 1e3:.1f} us")
    if profile:
        with cProfile.Profile() as profiler:
            for _ in range(300):
                whole()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--observations", type=int, default=50)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    main(given.observations, given.profile)
