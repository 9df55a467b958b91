"""What the service reads of public FHIR files: what was used, and what was left out and why, as a table for the docs.

None of those patients had CAR-T cells or an engager, so the service is concerned with none of them. To show what it
would use, each is read a second time as if CAR-T cells had been given at the time of the last record.

    .venv/bin/python benchmarks/fhir_table.py                  # the table on the screen
    .venv/bin/python benchmarks/fhir_table.py --data FOLDER    # of another folder of folders
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import yaml

from features.catalogue import load
from features.concepts import Concepts, concepts
from features.fhir import read_resources
from features.fhir_values import patient
from features.fhir_walk import walk
from features.given import FIRST
from serving.fhir_in import read_bundle
from serving.refusal import RefusalError

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "ehr"
FOLDERS = ("fhir-synthea", "fhir-mimic", "fhir-uscore", "fhir-bulk", "cell-therapy-registry")
Json = dict[str, Any]
#: When a chart is read of which nothing with a time was understood.
ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Line:
    """One folder's counts. verdicts: what the service said of the charts as they are."""

    folder: str
    resources: int = 0
    charts: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)

    def text(self) -> str:
        cells = (self.folder, self.resources, self.charts, _counts(self.verdicts), sum(self.used.values()))
        return "| " + " | ".join(map(str, (*cells, _counts(self.ignored)))) + " |"


def _counts(held: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(held.items())) or "none"


def charts(folder: Path) -> Iterator[Json]:
    """Every document of the folder; of NDJSON the lines of each patient as one Bundle."""
    lines: dict[str, list[Json]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            yield json.loads(text)
        elif path.suffix == ".yml":
            yield dates_as_text(yaml.safe_load(text))
        elif path.suffix == ".ndjson":
            for one in map(json.loads, text.splitlines()):
                lines[patient(one.get("subject")) or one["id"]].append(one)
    for held in lines.values():
        yield {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in held]}


def dates_as_text(item: Any) -> Any:
    """YAML reads dates as dates; FHIR's JSON holds text."""
    if isinstance(item, dict):
        return {name: dates_as_text(one) for name, one in item.items()}
    if isinstance(item, list):
        return [dates_as_text(one) for one in item]
    return item.isoformat() if isinstance(item, date) else item


def tabulate(folder: Path, known: Concepts) -> Line:
    line = Line(folder.name)
    for chart in charts(folder):
        line.charts += 1
        line.resources += sum(1 for _ in walk(chart))
        _add(line, chart, known)
    return line


def _add(line: Line, chart: Json, known: Concepts) -> None:
    who, at = _who(chart), _last(chart, known)
    try:
        line.verdicts[read_bundle(known, chart, at, patient=who).status] += 1
        given = {**_INFUSION, "subject": {"reference": who}, "performedDateTime": at.isoformat()}
        found = read_bundle(known, _with(chart, given), at, patient=who)
    except RefusalError as refused:
        line.verdicts[refused.code] += 1
        return
    used = {name: len(origins) for name, origins in found.used.items() if name != "therapy"}
    line.used.update(used)
    line.ignored.update(found.ignored)


_INFUSION: Json = {
    "resourceType": "Procedure",
    "id": "made-up",
    "status": "completed",
    "code": {"coding": [{"system": "http://www.cms.gov/Medicare/Coding/ICD10", "code": "XW033H7"}]},
}


def _with(chart: Json, given: Json) -> Json:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": chart}, {"resource": given}]}


def _who(chart: Json) -> str:
    """The reference of the patient that the chart is of: its own Patient, else the first subject."""
    entries = list(walk(chart))
    people = [one for one in entries if one.kind == "Patient"]
    if people:
        return f"Patient/{people[0].resource['id']}"
    return next((one.resource["subject"]["reference"] for one in entries if "subject" in one.resource), "Patient/none")


def _last(chart: Json, known: Concepts) -> datetime:
    """The day after the last thing that was understood, so that what is dated to the day is known by then."""
    times = [one.at.micros for one in read_resources([chart], known).facts]
    return FIRST + timedelta(microseconds=max(times), days=1) if times else ANY_DAY


HEAD = (
    "| folder | resources | charts | the service says | things used | not used, and why |",
    "|---|---|---|---|---|---|",
)


def table(data: Path) -> list[str]:
    """The lines of the table; folders that are not there are left out and named on stderr."""
    known, found = concepts(load()), [data / name for name in FOLDERS]
    for folder in found:
        if not folder.is_dir():
            print(f"SKIPPED: no folder {folder}", file=sys.stderr)
    return [*HEAD, *(tabulate(folder, known).text() for folder in found if folder.is_dir())]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=SHARED)
    print("\n".join(table(parser.parse_args().data)))
