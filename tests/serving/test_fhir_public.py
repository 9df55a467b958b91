"""Every public FHIR file is read, and the page about FHIR says what came of it."""

import json
from pathlib import Path

from benchmarks.fhir_table import FOLDERS, charts, table
from features.fhir_walk import walk
from tests.real_data import real_file

ROOT = Path(__file__).resolve().parents[2]


def shared() -> Path:
    return real_file("ehr", "fhir-bulk", "Patient.000.ndjson").parents[1]


def test_all_public_files_are_read_and_the_page_holds_their_table() -> None:
    page = (ROOT / "docs" / "fhir.md").read_text(encoding="utf-8").splitlines()
    found = table(shared())
    assert len(found) == 2 + len(FOLDERS)
    assert [line for line in found if line not in page] == []


def test_no_file_of_the_public_folders_is_passed_over() -> None:
    for name in FOLDERS:
        files = sorted((shared() / name).iterdir())
        assert {path.suffix for path in files} <= {".json", ".yml", ".ndjson"}
        lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files if path.suffix == ".ndjson")
        whole = [json.loads(path.read_text(encoding="utf-8")) for path in files if path.suffix == ".json"]
        single = sum(path.suffix == ".yml" for path in files)
        assert lines + single + sum(len(list(walk(one))) for one in whole) == sum(
            len(list(walk(one))) for one in charts(shared() / name)
        )
