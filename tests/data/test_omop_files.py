"""OMOP tables are read by DuckDB from files: as text, in batches, only what is wanted, and nothing beside them."""

import gzip
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from data.omop_files import BATCH_ROWS, open_omop, reading_database
from features.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
CONCEPTS = "concept_id,concept_name,vocabulary_id,concept_code\n1,a,LOINC,1988-5\n2,b,Elsewhere,x\n3,c,LOINC,2276-4\n"
COLUMNS = ("concept_id", "vocabulary_id", "concept_code")


def cdm(folder: Path, **tables: str) -> Path:
    """A folder with these tables as CSV, and one person."""
    folder.mkdir(exist_ok=True)
    for name, text in ({"person": "person_id\n1\n"} | tables).items():
        (folder / f"{name}.csv").write_bytes(text.encode())
    return folder


def rows(
    place: Path, table: str, columns: tuple[str, ...], only: dict[str, list[str]] | None = None
) -> list[list[str]]:
    batches = list(open_omop(str(place)).read(table, columns, only or {}))
    return pd.concat(batches).to_numpy().tolist() if batches else []


@pytest.mark.parametrize("form", ["csv", "gzip", "parquet", "zip"])
def test_only_the_wanted_rows_leave_the_file(form: str, tmp_path: Path) -> None:
    place = cdm(tmp_path / "cdm", concept=CONCEPTS)
    source = place / "concept.csv"
    if form == "gzip":
        (place / "concept.csv.gz").write_bytes(gzip.compress(source.read_bytes()))
    if form == "parquet":
        pd.read_csv(source).to_parquet(place / "concept.parquet")
    if form in ("gzip", "parquet"):
        source.unlink()
    if form == "zip":
        with zipfile.ZipFile(tmp_path / "cdm.zip", "w") as archive:
            for path in place.iterdir():
                archive.write(path, path.name)
        place = tmp_path / "cdm.zip"
    assert rows(place, "concept", COLUMNS, {"vocabulary_id": ["LOINC"]}) == [
        ["1", "LOINC", "1988-5"],
        ["3", "LOINC", "2276-4"],
    ]
    assert rows(place, "concept", COLUMNS, {"concept_id": ["3", "4"]}) == [["3", "LOINC", "2276-4"]]
    assert rows(place, "concept", COLUMNS, {"concept_id": []}) == []
    assert rows(place, "concept", COLUMNS, {"no_such_column": ["1"]}) == []


def test_a_vocabulary_with_tabulators_and_stray_quotation_marks_is_read(tmp_path: Path) -> None:
    text = CONCEPTS.replace(",", "\t").replace("\ta\t", '\t5" needle\t')
    place = cdm(tmp_path / "cdm", concept=text)
    assert rows(place, "concept", ("concept_id", "concept_name"))[0] == ["1", '5" needle']


def test_cells_come_as_text_without_blanks_and_guess_nothing(tmp_path: Path) -> None:
    text = '\ufeffPerson_ID,value,value,\r\n007, 1.50 ,x,\r\n"a\r\nb",,"say ""hi""\t",\r\n'
    place = cdm(tmp_path / "cdm", measurement=text)
    assert rows(place, "measurement", ("value", "person_id", "unit")) == [["1.50", "007", ""], ["", "a\r\nb", ""]]


def test_parquet_keeps_identifiers_instants_and_numbers(tmp_path: Path) -> None:
    place = cdm(tmp_path / "cdm")
    at = pd.to_datetime(["2026-02-01 10:00:00.123456", "2026-02-01"], format="ISO8601")
    pd.DataFrame(
        {
            "measurement_id": [1.0, np.nan],
            "value_as_number": [0.1 + 0.2, 1e-7],
            "measurement_datetime": at,
            "zoned": at.tz_localize("Europe/Berlin"),
            "measurement_date": at.date,
            "unit": pd.Categorical(["mg/L", None]),
        }
    ).to_parquet(place / "measurement.parquet")
    columns = ("measurement_id", "value_as_number", "measurement_datetime", "zoned", "measurement_date", "unit")
    first, second = rows(place, "measurement", columns)
    assert first[0] == "1"
    assert second[0] == ""
    assert [float(first[1]), float(second[1])] == [0.1 + 0.2, 1e-7]
    assert pd.Timestamp(first[2]) == at[0]
    assert pd.Timestamp(first[3]) == at.tz_localize("Europe/Berlin")[0]
    assert (first[4], first[5], second[5]) == ("2026-02-01", "mg/L", "")


@pytest.mark.parametrize(
    "text",
    ["", "a,b\n1\n", "a,b\n1,2,3\n", 'a,b\n1,"2\n', 'a,b\n1,"x"y\n'],
    ids=["empty", "short row", "long row", "open quote", "text after a quote"],
)
def test_a_table_that_breaks_its_form_is_one_line_without_a_cell(text: str, tmp_path: Path) -> None:
    place = cdm(tmp_path / "cdm", measurement=text)
    with pytest.raises(DataError, match="measurement cannot be read as csv"):
        rows(place, "measurement", ("a",))


def test_a_table_comes_in_batches(tmp_path: Path) -> None:
    total = 2 * BATCH_ROWS + 1
    place = cdm(tmp_path / "cdm", measurement="measurement_id\n" + "\n".join(map(str, range(total))) + "\n")
    batches = list(open_omop(str(place)).read("measurement", ("measurement_id",), {}))
    assert max(map(len, batches)) <= BATCH_ROWS
    assert pd.concat(batches)["measurement_id"].tolist() == list(map(str, range(total)))


def test_names_that_look_like_patterns_are_files(tmp_path: Path) -> None:
    place = cdm(tmp_path / "it's [a] folder*", concept=CONCEPTS)
    assert len(rows(place, "concept", COLUMNS)) == 3


def test_the_database_reads_one_file_and_reaches_nothing_else(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine.csv", tmp_path / "other.csv"
    for path in (mine, other):
        path.write_text("a\n1\n", encoding="utf-8")
    with reading_database(mine) as database:
        assert database.sql(f"select * from read_csv('{mine}')").fetchall() == [(1,)]
        for asked in (
            f"select * from read_csv('{other}')",
            "select * from read_csv('https://127.0.0.1:9/x.csv')",
            f"copy (select 1) to '{tmp_path / 'out.csv'}'",
            f"attach '{tmp_path / 'new.db'}'",
            "install httpfs",
            "load httpfs",
            "set enable_external_access = true",
        ):
            with pytest.raises(duckdb.Error):
                database.execute(asked)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.csv", "other.csv"]


def test_nothing_is_left_behind_in_the_home_the_working_or_the_temporary_folder(tmp_path: Path) -> None:
    place = cdm(tmp_path / "cdm", concept=CONCEPTS)
    with zipfile.ZipFile(tmp_path / "cdm.zip", "w") as archive:
        for path in place.iterdir():
            archive.write(path, path.name)
    (tmp_path / "cdm.zip").rename(place / "cdm.zip")
    folders = {name: tmp_path / name for name in ("home", "work", "scratch")}
    for folder in folders.values():
        folder.mkdir()
    code = (
        "import sys; from data.omop_files import open_omop\n"
        "for place in sys.argv[1:]:\n"
        "    for batch in open_omop(place).read('concept', ('concept_id',), {}): print(len(batch))\n"
        "held = open_omop(sys.argv[2]).read('concept', ('concept_id',), {}); next(held); held.close()\n"
    )
    environment = {**os.environ, "HOME": str(folders["home"]), "TMPDIR": str(folders["scratch"])}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-c", code, str(place), str(place / "cdm.zip")]
    done = subprocess.run(
        words, cwd=folders["work"], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["3", "3"]
    assert [path for folder in folders.values() for path in folder.rglob("*")] == []
