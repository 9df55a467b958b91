"""OMOP and FHIR sources give the canonical cohort; what was exported reads back bit for bit; every row is counted."""

import csv
import gzip
import json
import random
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import crs
from data import synthetic
from data.cohort import layers
from data.export import CODES_FILE
from data.omop_files import open_omop
from data.source_cohort import Tables, canonical
from data.source_frames import Source
from data.source_report import COURSES, SourceReport
from data.sources import REPORT_FILE, cohort_of, export, read_source, run_export, run_import, source_report
from data.tables import Cohort, cohort_from_frames, read_cohort
from features.catalogue import load
from features.errors import DataError, UsageError
from features.given import age_at, is_engaging, policy
from features.pooling import pool
from features.prior import Prior
from features.rows import RowBuilder
from features.spec import full
from tests.data.frames import AXI, TEC, courses, events, observations
from tests.postgres import postgresql
from tests.real_data import real_file

CATALOGUE = load()
#: Stands for a patient's value; none of our own figures contains it.
CANARY = "31415.92653"


@pytest.fixture(scope="module")
def made() -> Cohort:
    drawn = synthetic.generate(60, seed=11, with_truth=False)
    return cohort_from_frames(drawn.courses, drawn.observations, drawn.events)


@pytest.fixture(scope="module")
def exported(made: Cohort, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The synthetic cohort in both forms; tests must not change the folders."""
    folders = {kind: tmp_path_factory.mktemp("exports") / kind for kind in ("omop", "fhir")}
    for kind, folder in folders.items():
        export(kind, made, folder, CATALOGUE)
    return folders


def imported(kind: str, place: Path | str, codes: Path | None = None, exact: bool = True) -> tuple[Source, Tables]:
    source = read_source(kind, str(place), CATALOGUE, codes, exact)
    return source, canonical(source, CATALOGUE)


def again(kind: str, folder: Path) -> Cohort:
    found = cohort_of(imported(kind, folder, folder / CODES_FILE)[1], CATALOGUE)
    assert found is not None
    return found


def report_of(kind: str, place: Path | str, codes: Path | None = None) -> SourceReport:
    source, tables = imported(kind, place, codes, exact=False)
    return source_report(kind, source, tables, cohort_of(tables, CATALOGUE))


# Round trip


@pytest.mark.parametrize("kind", ["omop", "fhir"])
def test_an_exported_cohort_reads_back_bit_for_bit(kind: str, made: Cohort, exported: dict[str, Path]) -> None:
    found = again(kind, exported[kind])
    assert found.fingerprint == made.fingerprint
    assert found.courses.numbers.tobytes() == made.courses.numbers.tobytes()
    assert found.observations.value.tobytes() == made.observations.value.tobytes()
    assert found.observations.limit.tobytes() == made.observations.limit.tobytes()
    pd.testing.assert_frame_equal(found.events, made.events)


@pytest.mark.parametrize("kind", ["omop", "fhir"])
def test_the_row_builder_sees_the_same_matrix(kind: str, made: Cohort, exported: dict[str, Path]) -> None:
    builder = RowBuilder(full(CATALOGUE), Prior(pool(CATALOGUE)), CATALOGUE)
    for mine, theirs in zip(layers(made), layers(again(kind, exported[kind])), strict=True):
        built, rebuilt = builder.build(mine.snapshots), builder.build(theirs.snapshots)
        assert built.values.tobytes() == rebuilt.values.tobytes()
        assert built.prior.tobytes() == rebuilt.prior.tobytes()


@pytest.mark.parametrize("kind", ["omop", "fhir"])
def test_an_export_is_mapped_whole(kind: str, exported: dict[str, Path]) -> None:
    report = report_of(kind, exported[kind], exported[kind] / CODES_FILE)
    assert report.rows == {table: report.mapped(table) for table in report.rows}
    assert report.courses_found == report.courses_kept == 60


@st.composite
def cohorts(draw: st.DrawFn) -> Cohort:
    """A few courses with odd figures, at odd times, some of a class or with nothing known."""
    number = draw(st.integers(1, 3))
    ids = [f"c{place}" for place in range(number)]
    start = draw(
        st.datetimes(min_value=pd.Timestamp("1990-01-01").to_pydatetime()).map(lambda one: one.replace(microsecond=0))
    )
    finite = st.floats(0, 690, allow_nan=False)
    hour = st.integers(-700 * 3600, 1400 * 3600).map(lambda seconds: seconds / 3600)
    table = courses(*ids).assign(
        therapy=draw(st.lists(st.sampled_from([AXI, TEC, "car-t", "our-new-cells"]), min_size=number, max_size=number)),
        indication=draw(
            st.lists(st.sampled_from(["", "dlbcl", "lbcl", "elsewhere"]), min_size=number, max_size=number)
        ),
        start_time=min(start, pd.Timestamp("2090-01-01").to_pydatetime()).isoformat() + "+00:00",
        age_years=draw(st.none() | st.sampled_from([0.0, 61.0, 61.5])),
        sex=draw(st.sampled_from(["", "F", "M"])),
        cardiac_disease=draw(st.none() | st.sampled_from([0.0, 1.0])),
        prior_hct=draw(st.none() | st.sampled_from([0.0, 1.0])),
        dose_fraction=draw(st.none() | st.floats(0, 5)),
        follow_up_hours=draw(st.floats(0, 5000)),
    )
    seen = observations(*((name, draw(hour), "crp", draw(finite), "mg/L") for name in ids for _ in range(2)))
    kinds = st.sampled_from([("crs_grade", 3), ("tocilizumab", 1), ("tocilizumab", 2), ("oxygen", 0), ("step_dose", 2)])
    after = st.integers(0, 1400 * 3600).map(lambda seconds: seconds / 3600)
    charted = events(*((name, draw(after), *draw(kinds)) for name in ids))
    return cohort_from_frames(table, seen, charted, 1.0)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cohorts(), st.sampled_from(["omop", "fhir"]))
def test_any_cohort_with_start_times_reads_back(cohort: Cohort, kind: str) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        export(kind, cohort, folder / "out", CATALOGUE)
        assert again(kind, folder / "out").fingerprint == cohort.fingerprint
    finally:
        shutil.rmtree(folder)


def test_a_cohort_without_start_times_cannot_be_exported(tmp_path: Path) -> None:
    cohort = cohort_from_frames(courses("a", "b"), observations(), events())
    with pytest.raises(DataError, match="2 of 2 courses have no start_time"):
        export("omop", cohort, tmp_path / "out", CATALOGUE)
    assert list(tmp_path.iterdir()) == []


# The forms of an OMOP source


def test_zip_parquet_and_gzip_say_what_csv_says(exported: dict[str, Path], made: Cohort, tmp_path: Path) -> None:
    codes = exported["omop"] / CODES_FILE
    tables = sorted(exported["omop"].glob("[A-Z]*.csv"))
    (tmp_path / "parquet").mkdir()
    with zipfile.ZipFile(tmp_path / "cdm.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/._PERSON.csv", "no table")
        for path in tables:
            archive.write(path, f"cdm/{path.name}")
    for path in tables:
        typed = pd.read_csv(path)
        typed.columns = typed.columns.str.upper()
        typed.to_parquet(tmp_path / "parquet" / f"{path.stem.lower()}.parquet")
    (tmp_path / "packed").mkdir()
    for path in tables:
        (tmp_path / "packed" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    for place in ("cdm.zip", "parquet", "packed"):
        found = cohort_of(imported("omop", tmp_path / place, codes)[1], CATALOGUE)
        assert found is not None
        assert found.fingerprint == made.fingerprint, place


@pytest.fixture
def postgres() -> Iterator[str]:
    with postgresql() as server:
        yield server


def column_type(name: str) -> str:
    if name.startswith("value_as_number") or name == "range_high":
        return "double precision"
    if name.endswith("_datetime"):
        return "timestamp"
    if name.endswith("_date"):
        return "date"
    return "bigint" if name.endswith(("_id", "_of_birth")) else "text"


def test_a_real_postgresql_server_says_what_csv_says(postgres: str, exported: dict[str, Path], made: Cohort) -> None:
    import psycopg2

    server = psycopg2.connect(postgres)
    with server, server.cursor() as cursor:
        for path in sorted(exported["omop"].glob("[A-Z]*.csv")):
            header = path.read_text(encoding="utf-8").splitlines()[0].split(",")
            types = ", ".join(f"{name} {column_type(name)}" for name in header)
            cursor.execute(f"create table {path.stem.lower()} ({types})")
            with path.open(encoding="utf-8") as file:
                cursor.copy_expert(f"copy {path.stem.lower()} from stdin with (format csv, header)", file)
    server.close()
    found = cohort_of(imported("omop", postgres, exported["omop"] / CODES_FILE)[1], CATALOGUE)
    assert found is not None
    assert found.fingerprint == made.fingerprint


def test_only_the_wanted_concepts_leave_a_postgresql_server(postgres: str) -> None:
    import psycopg2

    server = psycopg2.connect(postgres)
    with server, server.cursor() as cursor:
        cursor.execute("create table person (person_id bigint)")
        cursor.execute("create table concept (concept_id bigint, vocabulary_id text)")
        cursor.execute("insert into concept values (1, 'LOINC'), (2, 'Elsewhere'), (3, null)")
    server.close()
    tables = open_omop(postgres)
    (batch,) = tables.read("concept", ("concept_id", "vocabulary_id"), {"vocabulary_id": ("LOINC", "it's none")})
    assert batch.to_numpy().tolist() == [["1", "LOINC"]]
    assert list(tables.read("concept", ("concept_id",), {"concept_id": ()})) == []
    assert list(tables.read("concept", ("concept_id",), {"no_such_column": ("1",)})) == []


def test_a_server_that_cannot_be_reached_is_one_line_without_the_url() -> None:
    url = "postgresql://reader:secret-word@127.0.0.1:9/cdm?connect_timeout=2"
    with pytest.raises(DataError, match="cannot be reached") as refused:
        imported("omop", url)
    assert "secret-word" not in str(refused.value)


# Order and repeats


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_the_order_of_rows_and_repeated_rows_change_nothing(made: Cohort, exported: dict[str, Path], seed: int) -> None:
    shuffle, folder = random.Random(seed), Path(tempfile.mkdtemp())
    try:
        for path in [*exported["omop"].glob("*.csv"), *exported["fhir"].glob("*.ndjson")]:
            head, *lines = path.read_text(encoding="utf-8").splitlines()
            lines = lines if path.suffix == ".csv" else [head, *lines]
            mixed = lines if path.name == CODES_FILE else [*lines, *lines[:5]]
            if path.stem == "OBSERVATION_PERIOD":
                mixed = lines
            shuffle.shuffle(mixed)
            place = folder / ("omop" if path.suffix == ".csv" else "fhir")
            place.mkdir(exist_ok=True)
            text = [head, *mixed] if path.suffix == ".csv" else mixed
            (place / path.name).write_text("\n".join(text) + "\n", encoding="utf-8")
        shutil.copy(exported["fhir"] / CODES_FILE, folder / "fhir")
        for kind, repeats in (("omop", 25), ("fhir", 20)):
            source, tables = imported(kind, folder / kind, folder / kind / CODES_FILE)
            found = cohort_of(tables, CATALOGUE)
            assert found is not None
            assert found.fingerprint == made.fingerprint
            report = source_report(kind, source, tables, found)
            assert sum(report.count(table, "repeated") for table in report.rows) == repeats
    finally:
        shutil.rmtree(folder)


def test_unknown_tables_and_columns_change_nothing(made: Cohort, exported: dict[str, Path], tmp_path: Path) -> None:
    for path in exported["omop"].glob("[A-Z]*.csv"):
        held = pd.read_csv(path, dtype=str, keep_default_na=False).assign(unheard_of="x", provider_id="7")
        held[sorted(held.columns)].to_csv(tmp_path / path.name, index=False)
    (tmp_path / "NOTE.csv").write_text("note_id,note_text\n1,anything\n", encoding="utf-8")
    found = cohort_of(imported("omop", tmp_path, exported["omop"] / CODES_FILE)[1], CATALOGUE)
    assert found is not None
    assert found.fingerprint == made.fingerprint


# What becomes a course


def write_cdm(folder: Path, **tables: list[dict[str, object]]) -> Path:
    """A CDM with these rows; the person 1 is there unless stated."""
    folder.mkdir(parents=True, exist_ok=True)
    person = [{"person_id": 1, "year_of_birth": 1960, "gender_source_value": "F"}]
    for table, rows in ({"person": person} | tables).items():
        pd.DataFrame(rows).to_csv(folder / f"{table}.csv", index=False)
    return folder


def drug(at: str, concept: int | str = 792737, person: int = 1, **more: object) -> dict[str, object]:
    """An exposure to tisagenlecleucel by default."""
    held = {"person_id": person, "drug_concept_id": concept, "drug_exposure_start_datetime": at}
    return {**held, "drug_exposure_start_date": at[:10], **more}


def crp(at: str, value: object = 5.0, **more: object) -> dict[str, object]:
    held = {"person_id": 1, "measurement_concept_id": 3020460, "measurement_datetime": at, "value_as_number": value}
    return {**held, "measurement_date": at[:10], "unit_source_value": "mg/L", **more}


def test_a_therapy_given_starts_a_course_with_what_was_known_by_then(tmp_path: Path) -> None:
    conditions = [
        {"person_id": 1, "condition_concept_id": 0, "condition_source_value": code, "condition_start_date": day}
        for code, day in (("I50.9", "2026-01-01"), ("E11.9", "2026-03-01"), ("C83.3", "2025-06-01"))
    ]
    place = write_cdm(
        tmp_path / "cdm",
        drug_exposure=[drug("2026-02-01 10:00:00")],
        measurement=[crp("2026-02-01 08:00:00"), crp("2026-02-03 10:00:00", 80), crp("2025-02-03 10:00:00", 1)],
        condition_occurrence=conditions,
        observation_period=[
            {"person_id": 1, "observation_period_start_date": "2020-01-01", "observation_period_end_date": "2026-03-03"}
        ],
    )
    tables = imported("omop", place, exact=False)[1]
    row = tables.courses.iloc[0]
    assert (row["therapy"], row["indication"], row["sex"], row["age_years"]) == ("tisagenlecleucel", "dlbcl", "F", 66.0)
    assert row["cardiac_disease"] == 1
    assert np.isnan(row["diabetes"])
    assert np.isnan(row["hiv"])
    assert row["follow_up_hours"] == 29 * 24 + 14
    assert tables.observations["hours"].tolist() == [-2.0, 48.0]
    assert tables.tally[(COURSES, "in-a-course", "analyte", "")] == 2
    assert tables.tally[(COURSES, "in-no-course", "analyte", "")] == 1


def test_a_drug_and_its_procedure_are_one_course_and_the_product_wins(tmp_path: Path) -> None:
    procedure = {"person_id": 1, "procedure_concept_id": 0, "procedure_source_value": "XW033C7"}
    place = write_cdm(
        tmp_path / "cdm",
        drug_exposure=[drug("2026-02-01 10:00:00")],
        procedure_occurrence=[{**procedure, "procedure_date": "2026-02-01"}],
    )
    tables = imported("omop", place, exact=False)[1]
    assert tables.courses["therapy"].tolist() == ["tisagenlecleucel"]
    assert tables.courses["start_time"].tolist() == ["2026-02-01T10:00:00+00:00"]


def test_later_doses_of_a_step_up_schedule_are_doses_and_a_long_pause_starts_anew(tmp_path: Path) -> None:
    days = ("2026-01-01", "2026-01-04", "2026-01-08", "2026-06-01")
    place = write_cdm(tmp_path / "cdm", drug_exposure=[drug(f"{day} 09:00:00", 1201211) for day in days])
    tables = imported("omop", place, exact=False)[1]
    assert tables.courses["course_id"].tolist() == ["1-1", "1-2"]
    doses = tables.events[tables.events["event"] == "step_dose"]
    assert doses[["course_id", "hours", "value"]].to_numpy().tolist() == [["1-1", 72.0, 2.0], ["1-1", 168.0, 3.0]]
    assert policy("new_course_after_days") == 90


def test_an_antibody_outside_the_question_starts_no_course(tmp_path: Path) -> None:
    assert not is_engaging("rituximab", CATALOGUE)
    place = write_cdm(tmp_path / "cdm", drug_exposure=[drug("2026-02-01 10:00:00", 1314273)])
    source, tables = imported("omop", place)
    assert tables.courses.empty
    assert tables.tally[(COURSES, "therapy-outside-the-question", "", "")] == 1
    assert cohort_of(tables, CATALOGUE) is None
    assert len(source.people) == 1


def test_what_is_dated_to_the_day_is_known_at_its_end(tmp_path: Path) -> None:
    rows = {"drug_exposure": [drug("2026-02-01 00:00:00")], "measurement": [crp("2026-02-01 00:00:00")]}
    place = write_cdm(tmp_path / "cdm", **rows)
    by_day, exact = imported("omop", place, exact=False)[1], imported("omop", place, exact=True)[1]
    assert (by_day.observations["hours"].tolist(), exact.observations["hours"].tolist()) == ([24.0], [0.0])


def test_a_grade_before_the_start_is_in_no_course(tmp_path: Path) -> None:
    conditions = [
        {"person_id": 1, "condition_concept_id": 0, "condition_source_value": "D89.832", "condition_start_date": day}
        for day in ("2026-01-20", "2026-02-02")
    ]
    place = write_cdm(tmp_path / "cdm", drug_exposure=[drug("2026-02-01 10:00:00")], condition_occurrence=conditions)
    tables = imported("omop", place)[1]
    assert tables.events[["event", "hours", "value", "grading"]].to_numpy().tolist() == [["crs_grade", 38.0, 2.0, ""]]
    assert tables.tally[(COURSES, "in-no-course", "event", "")] == 1


def test_death_ends_follow_up_and_is_an_event(tmp_path: Path) -> None:
    place = write_cdm(
        tmp_path / "cdm",
        drug_exposure=[drug("2026-02-01 10:00:00")],
        death=[{"person_id": 1, "death_date": "2026-02-05", "death_datetime": "2026-02-05 11:00:00"}],
        visit_occurrence=[
            {"person_id": 1, "visit_end_date": "2026-03-01", "visit_end_datetime": "2026-03-01 10:00:00"}
        ],
    )
    tables = imported("omop", place)[1]
    assert tables.courses["follow_up_hours"].tolist() == [97.0]
    assert tables.events[["event", "hours"]].to_numpy().tolist() == [["death", 97.0]]


def test_the_next_course_ends_the_one_before(tmp_path: Path) -> None:
    place = write_cdm(
        tmp_path / "cdm",
        drug_exposure=[drug("2026-02-01 10:00:00"), drug("2026-02-21 10:00:00", 1201211)],
        measurement=[crp("2026-02-20 10:00:00"), crp("2026-02-23 10:00:00")],
    )
    tables = imported("omop", place)[1]
    assert tables.courses["follow_up_hours"].tolist() == [480.0, 48.0]
    seen = tables.observations.sort_values(["course_id", "hours"])
    assert seen[["course_id", "hours"]].to_numpy().tolist() == [["1-1", 456.0], ["1-2", -24.0], ["1-2", 48.0]]


def test_a_product_rolls_up_to_its_ingredient_where_the_source_says_so(tmp_path: Path) -> None:
    above = [{"ancestor_concept_id": 792737, "descendant_concept_id": 5}]
    place = write_cdm(tmp_path / "cdm", drug_exposure=[drug("2026-02-01 10:00:00", 5)], concept_ancestor=above)
    assert imported("omop", place)[1].courses["therapy"].tolist() == ["tisagenlecleucel"]


def test_codes_behind_concepts_units_and_limits_beyond_the_assay_are_read(tmp_path: Path) -> None:
    concept = [
        {"concept_id": 77, "vocabulary_id": "LOINC", "concept_code": "1988-5"},
        {"concept_id": 88, "vocabulary_id": "UCUM", "concept_code": "mg/dL"},
    ]
    more = {"measurement_concept_id": 77, "unit_concept_id": 88, "unit_source_value": "nonsense"}
    place = write_cdm(
        tmp_path / "cdm",
        concept=concept,
        drug_exposure=[drug("2026-02-01 10:00:00")],
        measurement=[crp("2026-02-01 09:00:00", "", value_source_value="<0.4", range_high=0.5, **more)],
    )
    (row,) = imported("omop", place)[1].observations.to_dict("records")
    assert (row["value"], row["comparator"], row["unit"], row["upper_limit"]) == (0.4, "<", "mg/dL", 0.5)


def test_plain_digits_are_no_code_without_their_system(tmp_path: Path) -> None:
    place = write_cdm(tmp_path / "cdm", drug_exposure=[drug("2026-02-01 10:00:00", 0, drug_source_value="1986438")])
    assert report_of("omop", place).refused("drug_exposure") == {"code-unknown": 1}


def test_each_refused_measurement_has_its_reason(tmp_path: Path) -> None:
    rows = [
        crp("2026-02-01 09:00:00", unit_source_value="furlong"),
        crp("2026-02-01 09:00:00", unit_source_value=""),
        crp("2026-02-01 09:00:00", -4),
        crp("2026-02-01 09:00:00", 9000),
        crp("2026-02-01 09:00:00", ""),
        crp("not a time"),
        crp("2026-02-01 09:00:00", measurement_concept_id=3010156),
        crp("2026-02-01 09:00:00", measurement_concept_id=3015039),
        crp("2026-02-01 09:00:00", measurement_concept_id=1),
        crp("2026-02-01 09:00:00"),
    ]
    report = report_of("omop", write_cdm(tmp_path / "cdm", measurement=rows))
    assert report.refused("measurement") == {
        "code-not-verified": 1,
        "code-refused": 1,
        "code-unknown": 1,
        "time-missing": 1,
        "unit-missing": 1,
        "unit-not-accepted": 1,
        "value-implausible": 1,
        "value-missing": 1,
        "value-negative": 1,
    }
    assert report.mapped("measurement") == 1
    # A rare spelling that is not accepted may be free text, and is not shown.
    assert "furlong" not in report.text() + json.dumps(report.to_json())


@pytest.mark.parametrize(
    ("birth", "age"), [("1960-02-01", 66.0), ("1960-02-02", 65.0), ("1960-02", 66.0), ("1960", 66.0), ("", np.nan)]
)
def test_age_is_in_completed_years(birth: str, age: float) -> None:
    start = int(pd.Timestamp("2026-02-01T10:00Z").value // 1000)
    np.testing.assert_equal(age_at(birth, start), age)


# Files that are not whole


def test_a_truncated_zip_table_or_gzip_is_one_clear_line(exported: dict[str, Path], tmp_path: Path) -> None:
    whole = tmp_path / "cdm.zip"
    with zipfile.ZipFile(whole, "w") as archive:
        for path in exported["omop"].glob("[A-Z]*.csv"):
            archive.write(path, path.name)
    (tmp_path / "short.zip").write_bytes(whole.read_bytes()[:-500])
    with pytest.raises(DataError, match="not a whole zip file"):
        imported("omop", tmp_path / "short.zip")
    cut = bytearray(whole.read_bytes())
    cut[2000:2100] = b"x" * 100
    (tmp_path / "damaged.zip").write_bytes(bytes(cut))
    with pytest.raises(DataError, match="cannot be read as csv"):
        imported("omop", tmp_path / "damaged.zip")
    place = write_cdm(tmp_path / "cdm")
    (place / "measurement.csv").write_text(f"measurement_id,person_id,value_as_number\n1,2,{CANARY}\n3,{CANARY}")
    with pytest.raises(DataError, match="measurement cannot be read") as refused:
        imported("omop", place)
    assert CANARY not in str(refused.value)
    (tmp_path / "bulk").mkdir()
    packed = gzip.compress((exported["fhir"] / "Observation.ndjson").read_bytes())
    (tmp_path / "bulk" / "Observation.ndjson.gz").write_bytes(packed[:-200])
    with pytest.raises(DataError, match="not a whole gzip file"):
        imported("fhir", tmp_path / "bulk")


def test_a_malformed_line_is_counted_and_the_others_are_read(tmp_path: Path) -> None:
    lines = [
        json.dumps({"resourceType": "Patient", "id": "a"}),
        '{"resourceType": "Obs',
        "[1]",
        "",
        '{"id": "x"}',
        "\x00",
    ]
    (tmp_path / "x.ndjson").write_text("\n".join(lines), encoding="utf-8")
    report = report_of("fhir", tmp_path)
    assert report.rows == {"Patient": 1, "line": 4}
    assert report.refused("line") == {"not-a-resource": 4}


@pytest.mark.parametrize("kind", ["omop", "fhir"])
def test_a_place_without_a_source_is_one_line(kind: str, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError):
            imported(kind, place)


# The public data


def rows_of(place: Path) -> dict[str, int]:
    """Data rows per CSV table, counted apart from the reader."""
    found = {}
    if place.suffix == ".zip":
        with zipfile.ZipFile(place) as archive:
            members = [name for name in archive.namelist() if "__MACOSX" not in name]
            texts = {name: archive.read(name).decode().splitlines() for name in members}
    else:
        texts = {path.name: path.read_text(encoding="utf-8").splitlines() for path in place.glob("*.csv")}
    for name, lines in texts.items():
        found[Path(name).stem.lower()] = sum(1 for _ in csv.reader(lines)) - 1
    return found


@pytest.mark.parametrize(
    ("parts", "labs"),
    [(("omop-synthea27nj", "Synthea27Nj_5.4.zip"), 3380), (("omop-mini", "person.csv"), 0)],
)
def test_public_omop_holds_no_course_and_every_row_is_counted(parts: tuple[str, str], labs: int) -> None:
    file = real_file("ehr", *parts)
    place = file if file.suffix == ".zip" else file.parent
    report, there = report_of("omop", place), rows_of(place)
    assert report.courses_found == 0
    assert report.mapped("measurement") == labs
    for table, rows in report.rows.items():
        assert rows == there[table] == report.mapped(table) + sum(report.refused(table).values())
    assert {"person", "measurement", "drug_exposure", "condition_occurrence"} <= set(report.rows)
    by_unit = sum(n for table, _, _, outcome, n in report.by_unit() if (table, outcome) == ("measurement", "mapped"))
    assert by_unit == labs


def test_public_fhir_bulk_holds_no_course_and_every_line_is_counted() -> None:
    folder = real_file("ehr", "fhir-bulk", "Patient.000.ndjson").parent
    report = report_of("fhir", folder)
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in folder.glob("*.ndjson"))
    assert report.courses_found == 0
    assert sum(report.rows.values()) == lines
    assert report.people == report.mapped("Patient") == 13


# The commands


def test_import_writes_a_cohort_that_is_whole_and_its_report(
    exported: dict[str, Path], made: Cohort, tmp_path: Path
) -> None:
    words = ["cohort", "import", "fhir", str(exported["fhir"]), str(tmp_path / "out")]
    done = CliRunner().invoke(crs.app, [*words, "--concepts", str(exported["fhir"] / CODES_FILE)])
    assert done.exit_code == 0, done.output
    assert read_cohort(tmp_path / "out").fingerprint == made.fingerprint
    held = json.loads((tmp_path / "out" / REPORT_FILE).read_text(encoding="utf-8"))
    assert held["courses"]["found"] == held["courses"]["kept"] == 60
    assert all(one["entries"] == one["mapped"] + sum(one["refused"].values()) for one in held["read"].values())


def test_export_then_import_by_the_commands(tmp_path: Path) -> None:
    drawn = synthetic.generate(20, seed=4, with_truth=False)
    synthetic.write(tmp_path / "mine", drawn)
    run_export("omop", tmp_path / "mine", tmp_path / "cdm")
    report = run_import(
        "omop", str(tmp_path / "cdm"), tmp_path / "again", tmp_path / "cdm" / CODES_FILE, "csv", exact_times=True
    )
    assert report.courses_kept == 20
    assert read_cohort(tmp_path / "again").fingerprint == read_cohort(tmp_path / "mine").fingerprint


def test_a_source_without_courses_leaves_a_report_and_no_cohort(tmp_path: Path) -> None:
    place = write_cdm(tmp_path / "cdm", measurement=[crp("2026-02-01 09:00:00")])
    report = run_import("omop", str(place), tmp_path / "out")
    assert "no cohort was written" in report.sentence()
    assert [path.name for path in (tmp_path / "out").iterdir()] == [REPORT_FILE]


def test_a_wrong_kind_or_a_folder_that_is_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="omop or fhir"):
        run_import("i2b2", str(tmp_path), tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="the folder exists"):
        run_export("fhir", tmp_path, tmp_path / "full")
