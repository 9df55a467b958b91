"""`crs grade`: a table or a request in, a table or JSON out, and one line for what is wrong."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import crs as command
from features.errors import CrsRiskError, DataError, UsageError
from serving.grade_file import HEADER, grade_file
from tests.real_data import ROOT
from tests.serving.test_grade import CANARY, SHOCK

CASES = ROOT / "tests" / "features" / "grading_cases.csv"


def run(path: Path, *schemes: str, as_json: bool = False, out: Path | None = None) -> tuple[list[str], list[str]]:
    """Lines that were printed, and lines of caution."""
    said: list[str] = []
    warned: list[str] = []
    grade_file(path, schemes, as_json, out, said.append, warned.append)
    return "\n".join(said).splitlines(), warned


def table(path: Path, **cells: str) -> Path:
    """A table of one row."""
    row = {"id": "c1", "scheme": "ASTCT-2019", **cells}
    with path.open("w", newline="") as file:
        lines = csv.DictWriter(file, list(row))
        lines.writeheader()
        lines.writerow(row)
    return path


def test_a_table_is_graded_by_the_scheme_of_each_row() -> None:
    lines, warned = run(CASES)
    assert len(lines) == 1 + 135
    assert lines[1].split()[:3] == ["A01", "ASTCT-2019", "1"]
    assert next(line for line in lines if line.startswith("A38")).split()[2:5] == ["ungradable,", ">=", "2"]
    assert warned == []


def test_asked_schemes_replace_those_of_the_rows_that_hold_their_findings() -> None:
    lines, _ = run(CASES, "Penn", "ASTCT-ICANS")
    schemes = {line.split()[1] for line in lines[1:]}
    assert schemes == {"Penn", "ASTCT-2019-ICANS"}
    assert len(lines) == 1 + 135


def test_a_written_table_holds_every_column(tmp_path: Path) -> None:
    run(CASES, out=tmp_path / "grades.csv")
    rows = list(csv.DictReader((tmp_path / "grades.csv").read_text().splitlines()))
    found = {row["id"]: row for row in rows}
    assert tuple(rows[0]) == HEADER
    assert (found["A38"]["at_least"], found["A38"]["at_most"]) == ("2", "4")
    assert (found["A26"]["grade"], found["A26"]["fever"]) == ("3", "waived")
    assert [path.name for path in tmp_path.iterdir()] == ["grades.csv"]


def test_the_json_of_a_request_is_graded_as_the_service_does(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps({"id": "x", "crs": SHOCK}))
    (told,) = json.loads("\n".join(run(tmp_path / "one.json", as_json=True)[0]))
    assert (told["id"], told["grades"][0]["grade"]) == ("x", 3)


def test_a_row_without_a_scheme_is_graded_by_all_that_fit(tmp_path: Path) -> None:
    lines, _ = run(table(tmp_path / "t.csv", scheme="", ice_score="8", consciousness="awake"))
    assert [line.split()[1:3] for line in lines[1:]] == [["ASTCT-2019-ICANS", "1"]]


def test_a_low_pressure_without_a_word_of_its_treatment_is_open(tmp_path: Path) -> None:
    lines, _ = run(table(tmp_path / "t.csv", temperature_c="39", oxygen_device="none", organ_notes="hypotension=yes"))
    assert lines[1].split()[2:5] == ["ungradable,", ">=", "2"]


def test_notes_that_are_not_understood_are_counted_and_not_repeated(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", temperature_c="39", oxygen_device="none", organ_notes=f"{CANARY}; colour={CANARY}")
    lines, warned = run(path)
    assert warned[0].startswith("CAUTION: 2 notes are not understood")
    assert CANARY not in "".join(lines + warned)


BAD: list[tuple[dict[str, str], str, type[CrsRiskError]]] = [
    ({"scheme": CANARY}, "t.csv line 2, scheme: not a scheme", DataError),
    ({"temperature_c": CANARY}, "t.csv line 2, temperature_c: the cell cannot be read", DataError),
    ({"temperature_c": "102.2"}, "t.csv line 2.crs.temperature_c: not from 30 to 43.5", CrsRiskError),
    ({"vasopressors": f"{CANARY}=4"}, "t.csv line 2, vasopressors", DataError),
    ({"vasopressors": CANARY.split("-")[0]}, "t.csv line 2.crs.vasopressors[0].name", CrsRiskError),
    ({"vasopressin": CANARY}, "t.csv line 2, vasopressin", DataError),
    ({"antipyretic_or_anticytokine": CANARY}, "t.csv line 2, antipyretic_or_anticytokine", DataError),
    ({"oxygen_device": CANARY}, "t.csv line 2.crs.oxygen.device", CrsRiskError),
    ({"organ_notes": f"hypotension={CANARY}"}, "t.csv line 2, organ_notes", DataError),
    ({"colour": CANARY}, "t.csv: a column is not known", DataError),
    ({"scheme": "ASTCT-ICANS", "ice_score": "8.5"}, "t.csv line 2, ice_score", DataError),
    ({"scheme": "ASTCT-ICANS", "seizure": CANARY}, "t.csv line 2, seizure", DataError),
    ({"scheme": "ASTCT-ICANS", "edema": CANARY}, "t.csv line 2, edema", DataError),
]


@pytest.mark.parametrize(("cells", "named", "kind"), BAD)
def test_a_bad_cell_is_named_by_its_line_and_column(
    tmp_path: Path, cells: dict[str, str], named: str, kind: type[CrsRiskError]
) -> None:
    with pytest.raises(kind) as caught:
        run(table(tmp_path / "t.csv", **cells))
    assert str(caught.value).startswith(named)
    assert caught.value.exit_code == 3
    assert CANARY not in str(caught.value)


def test_a_file_that_is_no_table_and_no_request_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("id,scheme\n")
    (tmp_path / "broken.csv").write_bytes(b"id\n\xff\xfe\n")
    (tmp_path / "short.csv").write_text("id,scheme\na,ASTCT-2019,1\n")
    for name in ("empty.csv", "broken.csv", "short.csv", "none.csv"):
        with pytest.raises(DataError, match=name):
            run(tmp_path / name)
    (tmp_path / "cases.txt").write_text("")
    with pytest.raises(UsageError, match=r"\.csv or \.json"):
        run(tmp_path / "cases.txt")


def test_a_scheme_without_findings_in_any_case_is_a_usage_error(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", temperature_c="39", oxygen_device="none")
    with pytest.raises(UsageError, match="no case holds the findings"):
        run(path, "ASTCT-2019-ICANS")
    with pytest.raises(UsageError, match="--scheme: not a scheme"):
        run(path, "ASTCT-2018")


def test_the_command_prints_the_table_and_ends_with_nought() -> None:
    arguments: list[Any] = ["grade", str(CASES)]
    done = CliRunner().invoke(command.app, arguments, catch_exceptions=False)
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 136)
