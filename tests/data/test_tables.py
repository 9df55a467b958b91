"""The canonical tables: what is accepted, what is refused and how it is counted."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.clock import seconds_from_hours
from data.report import RejectionReport
from data.tables import TABLES, Cohort, cohort_from_frames, read_cohort, utc_seconds, write_cohort
from features.catalogue import load
from features.course import HOUR, whole_seconds
from features.errors import DataError, UsageError
from features.pooling import pool
from tests.data.frames import AXI, TEC, cohort, courses, events, folder, observations
from tests.real_data import ROOT

PLANTED_VALUE = "48151.62342"
PLANTED_ID = "ZX-PLANTED-ID-99"


def refused(path: Path) -> str:
    """The one line with which the folder is refused."""
    with pytest.raises(DataError) as caught:
        read_cohort(path)
    assert caught.value.exit_code == 3
    line = str(caught.value)
    assert "\n" not in line
    assert PLANTED_VALUE not in line
    assert PLANTED_ID not in line
    return line


def rewrite(path: Path, table: str, **columns: object) -> None:
    file = path / f"{table}.csv"
    pd.read_csv(file).assign(**columns).to_csv(file, index=False)


# --- what is refused as a whole


def test_missing_table_is_named(tmp_path: Path) -> None:
    path = folder(tmp_path)
    (path / "events.csv").unlink()
    assert "no events.csv or events.parquet" in refused(path)


def test_table_in_both_formats_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path)
    pd.read_csv(path / "events.csv").to_parquet(path / "events.parquet")
    assert "both events.csv and events.parquet" in refused(path)


def test_unknown_column_is_named_with_the_nearest_known_one(tmp_path: Path) -> None:
    path = folder(tmp_path)
    rewrite(path, "courses", age_yeers=PLANTED_VALUE)
    assert refused(path) == f"{path}/courses.csv: courses.age_yeers: unknown column; did you mean age_years?"


@pytest.mark.parametrize(
    ("table", "column"),
    [("courses", "therapy"), ("observations", "unit"), ("observations", "hours"), ("events", "event")],
)
def test_missing_required_column_is_named(tmp_path: Path, table: str, column: str) -> None:
    path = folder(tmp_path)
    pd.read_csv(path / f"{table}.csv").drop(columns=column).to_csv(path / f"{table}.csv", index=False)
    assert refused(path).startswith(f"{path}/{table}.csv: {table}.{column}: required column missing")


def test_empty_courses_table_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path)
    pd.read_csv(path / "courses.csv").head(0).to_csv(path / "courses.csv", index=False)
    assert "courses: the table has no rows" in refused(path)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_file_of_no_bytes_is_refused(tmp_path: Path, form: str) -> None:
    path = folder(tmp_path, form)
    (path / f"courses.{form}").write_bytes(b"")
    assert "the file is empty" in refused(path)


def test_duplicate_course_id_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path)
    rewrite(path, "courses", course_id=[PLANTED_ID] * 2 + [f"c{number}" for number in range(2, 10)])
    assert "courses.course_id: 2 rows share a course_id with another (first at data row 1 and 2)" in refused(path)


def test_empty_therapy_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path)
    rewrite(path, "courses", therapy=[AXI] * 9 + [""])
    assert "courses.therapy: the therapy is empty in 1 rows (first at data row 10)" in refused(path)


@pytest.mark.parametrize("table", TABLES)
def test_truncated_parquet_is_one_clear_line(tmp_path: Path, table: str) -> None:
    path = folder(tmp_path, "parquet")
    file = path / f"{table}.parquet"
    file.write_bytes(file.read_bytes()[:-40])
    assert "not a whole Parquet file" in refused(path)


@pytest.mark.parametrize("cell", [[PLANTED_ID], {PLANTED_ID: 1}, [{"a": [PLANTED_ID]}]])
@pytest.mark.parametrize(
    ("table", "column"), [("courses", "patient_id"), ("observations", "unit"), ("events", "value"), ("events", "notes")]
)
def test_parquet_with_lists_or_records_in_a_column_is_one_clear_line(
    tmp_path: Path, table: str, column: str, cell: object
) -> None:
    path = folder(tmp_path, "parquet")
    file = path / f"{table}.parquet"
    frame = pd.read_parquet(file)
    frame.assign(**{column: [cell] * len(frame)}).to_parquet(file)
    line = refused(path)
    assert line.startswith(f"{file}: {table}.{column}: the column holds lists or records, expected one number, text or")
    assert line.endswith("export it as plain values, or leave it out")


def test_csv_with_a_row_of_another_length_is_one_clear_line(tmp_path: Path) -> None:
    path = folder(tmp_path)
    with (path / "observations.csv").open("a") as file:
        file.write(f"c1,2,crp,{PLANTED_VALUE},mg/L,{PLANTED_ID}\n")
    assert "the header has 5 columns and a row has 6" in refused(path)


def test_csv_that_is_not_utf8_is_one_clear_line(tmp_path: Path) -> None:
    path = folder(tmp_path)
    with (path / "courses.csv").open("ab") as file:
        file.write(b"c99,p\xff,x,lbcl,100\n")
    assert "not UTF-8" in refused(path)


def test_csv_with_semicolons_is_told_about_commas(tmp_path: Path) -> None:
    path = folder(tmp_path)
    pd.read_csv(path / "courses.csv").to_csv(path / "courses.csv", index=False, sep=";")
    assert "separate columns by commas" in refused(path)


def test_more_than_a_fifth_of_rejected_rows_refuses_the_cohort_and_a_fifth_does_not(tmp_path: Path) -> None:
    path = folder(tmp_path)
    rewrite(path, "observations", unit=["mg/L"] * 8 + ["furlong"] * 2)
    assert read_cohort(path).report.count("unit-not-accepted") == 2
    rewrite(path, "observations", unit=["mg/L"] * 7 + ["furlong"] * 3)
    assert "3 of 10 rows rejected, more than 20%; most by rule unit-not-accepted" in refused(path)
    assert "in column unit (3 rows: crp 3 of 10, first at data row 8); use a unit" in refused(path)


# --- what is rejected row by row

GOOD = ("a", 1.0, "crp", 10.0, "mg/L")


def rejected_observation(row: tuple[object, ...], **columns: object) -> RejectionReport:
    """The report of a good row and this one; the good one must stay."""
    found = cohort(courses("a"), observations(GOOD, row).assign(**columns))
    assert len(found.observations) == 1
    assert PLANTED_VALUE not in found.report.text()
    assert PLANTED_ID not in found.report.text()
    return found.report


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (("a", 1.0, "crp", PLANTED_VALUE, "furlong"), "unit-not-accepted"),
        (("a", 1.0, "crp", 5.0, None), "unit-not-accepted"),
        (("a", 1.0, "wbc", 5.0, "K"), "unit-not-accepted"),
        (("a", 1.0, "zap", 5.0, "mg/L"), "unknown-code"),
        (("a", 1.0, "crp", PLANTED_VALUE, "mg/L"), "value-implausible"),
        (("a", 1.0, "temperature", 98.6, "Cel"), "value-implausible"),
        (("a", 1.0, "crp", -4.0, "mg/L"), "value-negative"),
        (("a", 1.0, "crp", np.nan, "mg/L"), "value-not-finite"),
        (("a", 1.0, "crp", "NaN", "mg/L"), "value-not-finite"),
        (("a", 1.0, "crp", np.inf, "mg/L"), "value-not-finite"),
        (("a", 1.0, "crp", f"{PLANTED_VALUE} high", "mg/L"), "value-not-a-number"),
        (("a", np.nan, "crp", 5.0, "mg/L"), "hours-missing"),
        (("a", "noon", "crp", 5.0, "mg/L"), "value-not-a-number"),
        ((PLANTED_ID, 1.0, "crp", 5.0, "mg/L"), "orphan-course"),
        ((None, 1.0, "crp", 5.0, "mg/L"), "course-id-missing"),
        (("a", -24 * 30 - 0.01, "crp", 5.0, "mg/L"), "observation-too-old"),
        (("a", 24 * 60 + 0.01, "crp", 5.0, "mg/L"), "observation-too-late"),
    ],
)
def test_bad_observation_leaves_by_its_rule(row: tuple[object, ...], rule: str) -> None:
    report = rejected_observation(row)
    assert [(item.rule, item.rows, item.first) for item in report.findings] == [(rule, 1, 2)]


def test_unknown_comparator_is_rejected() -> None:
    assert rejected_observation(GOOD, comparator=["", "~"]).count("comparator-unknown") == 1


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (("a", 30.0, "crs_grade", 6), "grade-out-of-range"),
        (("a", 30.0, "crs_grade", 1.5), "grade-out-of-range"),
        (("a", 30.0, "icans_grade", -1), "value-negative"),
        (("a", 30.0, "crs_grade", np.nan), "value-not-finite"),
        (("a", 30.0, "party", 1), "event-unknown"),
        (("a", -0.5, "crs_grade", 1), "event-before-start"),
        (("a", -24.0, "icans_grade", 0), "event-before-start"),
        (("a", np.nan, "tocilizumab", 1), "hours-missing"),
        (("b", 30.0, "crs_grade", 1), "orphan-course"),
    ],
)
def test_bad_event_leaves_by_its_rule(row: tuple[object, ...], rule: str) -> None:
    found = cohort(courses("a"), None, events(("a", 48, "crs_grade", 2), row))
    assert [(item.rule, item.rows) for item in found.report.findings] == [(rule, 1)]
    assert found.events[["seconds", "value"]].to_numpy().tolist() == [[48 * HOUR, 2]]


def test_unknown_grading_system_is_rejected() -> None:
    charted = events(("a", 30, "crs_grade", 1), ("a", 54, "crs_grade", 2)).assign(grading=["ASTCT-2019", "MSKCC"])
    found = cohort(courses("a"), None, charted)
    assert found.report.count("grading-unknown", "events") == 1
    assert found.events["grading"].tolist() == ["ASTCT-2019"]


def test_treatment_before_the_start_is_prophylaxis_and_stays() -> None:
    found = cohort(courses("a"), None, events(("a", -2.0, "tocilizumab", 1)))
    assert found.events["seconds"].tolist() == [-2 * HOUR]
    assert not found.report.findings


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("age_years", 130.0, "column-out-of-range"),
        ("sex_male", 0.5, "column-out-of-range"),
        ("cardiac_disease", 2.0, "column-out-of-range"),
        ("age_years", "old", "value-not-a-number"),
        ("follow_up_hours", np.nan, "follow-up-unusable"),
        ("follow_up_hours", -1.0, "follow-up-unusable"),
        ("patient_id", "", "patient-missing"),
        ("start_time", "2026-01-31T08:00", "time-without-offset"),
        ("start_time", "31 January+01:00", "time-not-readable"),
    ],
)
def test_bad_course_leaves_with_its_rows_counted_apart(column: str, value: object, rule: str) -> None:
    table = courses("a", "b").astype(object)
    table[column] = [table[column][0] if column in table and column != "start_time" else None, value]
    found = cohort(table, observations(GOOD, ("b", 1.0, "crp", 1.0, "mg/L")))
    assert found.course_ids.tolist() == ["a"]
    assert [(item.table, item.rule, item.rows) for item in found.report.findings] == [
        ("courses", rule, 1),
        ("observations", "course-rejected", 1),
    ]


def test_rejections_unused_and_kept_add_up_to_the_rows_read() -> None:
    rows = [
        GOOD,
        ("a", 1, "zap", -1, "?"),
        ("z", np.nan, "crp", -1, "?"),
        ("a", 1, "crp", -1, "?"),
        ("a", 9999, *GOOD[2:]),
    ]
    found = cohort(courses("a"), observations(*rows))
    assert (
        sum(item.rows for item in found.report.findings) + len(found.observations)
        == found.report.rows_read["observations"]
    )


# --- what is accepted, and what it becomes


def test_course_without_events_or_observations_is_legal() -> None:
    found = cohort(courses("a"))
    assert len(found) == 1
    assert len(found.observations) == len(found.events) == 0
    assert not found.report.findings


def test_event_is_kept_as_a_row_and_as_an_event() -> None:
    found = cohort(courses("a"), observations(GOOD), events(("a", 30.0, "crs_grade", 2), ("a", None, "icans_grade", 3)))
    catalogue = load()
    codes = [catalogue.codes[code] for code in found.observations.code]
    assert sorted(zip(codes, found.observations.seconds.tolist(), found.observations.value.tolist(), strict=True)) == [
        ("crp", HOUR, 10.0),
        ("crs_grade", 30 * HOUR, 2.0),
    ]
    assert found.events["event"].tolist() == ["crs_grade", "icans_grade"]
    assert np.isnan(found.events["seconds"].iloc[1])


@pytest.mark.parametrize("event", ["tocilizumab", "corticosteroid", "vasopressor", "step_dose", "death", "hlh"])
def test_what_was_charted_as_not_given_enters_no_row(event: str) -> None:
    found = cohort(courses("a"), observations(GOOD), events(("a", 5, event, 0), ("a", 6, event, 1)))
    charted = found.observations.code == load().code_position(event)
    assert found.observations.seconds[charted].tolist() == [6 * HOUR]
    assert found.events["value"].tolist() == [0.0, 1.0]


def test_grade_of_nought_is_an_assessment_and_enters_a_row() -> None:
    found = cohort(courses("a"), None, events(("a", 5, "crs_grade", 0)))
    assert (found.observations.seconds.tolist(), found.observations.value.tolist()) == ([5 * HOUR], [0.0])


def test_comparator_gives_the_limit_and_is_counted() -> None:
    found = cohort(courses("a"), observations(("a", 1, "il6", 400, "pg/mL")).assign(comparator=">"))
    assert found.observations.value.tolist() == [400.0]
    assert found.report.count("value-censored") == 1


def test_upper_limit_is_converted_with_its_value() -> None:
    found = cohort(courses("a"), observations(("a", 1, "crp", 2, "mg/dL")).assign(upper_limit=0.5))
    assert (found.observations.value.tolist(), found.observations.limit.tolist()) == ([20.0], [5.0])


def test_loinc_code_is_the_analyte() -> None:
    system_code = dict(load().analytes["crp"].codes)["LOINC"]
    assert content(cohort(courses("a"), observations(("a", 1.0, system_code, 10.0, "mg/L")))) == content(
        cohort(courses("a"), observations(GOOD))
    )


def test_therapy_brand_and_indication_alias_become_keys() -> None:
    found = cohort(courses("a", therapy="YESCARTA", indication="DLBCL"))
    assert (found.courses.therapy, found.courses.indication) == ((AXI,), ("dlbcl",))


def test_unknown_therapy_is_kept_as_written_and_noted() -> None:
    found = cohort(courses("a", therapy="Wonder-cel", indication=""))
    assert (found.courses.therapy, found.courses.indication) == (("Wonder-cel",), ("",))
    assert found.report.count("therapy-unknown") == 1
    assert found.report.count("indication-missing") == 1
    assert found.report.rejected() == 0


def test_a_misspelt_therapy_is_told_what_may_be_meant() -> None:
    report = cohort(courses("a", "b", therapy=["Axicabtagene cilolucel", "Wonder-cel"])).report
    assert [(item.rule, item.rows, item.first) for item in report.findings] == [("therapy-unknown", 2, 1)]
    assert report.findings[0].remedy.startswith(f"did you mean {AXI}? correct the name")
    assert not cohort(courses("a", therapy="Wonder-cel")).report.findings[0].remedy.startswith("did you mean")


def test_the_analytes_that_lost_rows_are_named_with_how_many_they_had() -> None:
    lost = [("a", 1.0, code, 5.0, "furlong") for code in ("crp", "crp", "il6", "ferritin", "ldh")]
    report = cohort(courses("a"), observations(*([GOOD] * 20), *lost, ("a", 1.0, PLANTED_ID, 5.0, "mg/L"))).report
    told = {item.rule: item.which for item in report.findings}
    assert told == {
        "unknown-code": "",
        "unit-not-accepted": "crp 2 of 22, ferritin 1 of 1, il6 1 of 1, 1 more",
    }
    assert "5 (crp 2 of 22, " in report.text()
    assert PLANTED_ID not in report.text()


def test_schedule_follows_the_class_and_step_doses_where_the_class_is_unknown() -> None:
    table = courses("a", "b", "c", "d", therapy=[AXI, TEC, "unknown-one", "unknown-two"])
    found = cohort(table, None, events(("d", 72, "step_dose", 2)))
    assert found.step_up.tolist() == [False, True, False, True]


def test_step_dose_that_was_not_given_makes_no_step_up_schedule() -> None:
    table = courses("a", "b", therapy=["unknown-one", "unknown-two"])
    assert cohort(table, None, events(("a", 72, "step_dose", 0), ("b", 72, "step_dose", 2))).step_up.tolist() == [0, 1]


def test_schedule_is_that_of_the_root_class_as_the_published_rates_read_it() -> None:
    facts = load()
    nearest = facts.lineage(TEC)[0]
    classes = dict(facts.classes) | {nearest: replace(facts.classes[nearest], schedule="single-infusion")}
    changed = replace(facts, classes=classes)
    found = cohort_from_frames(courses("a", therapy=TEC), observations(), events(), catalogue=changed)
    assert found.step_up.tolist() == [pool(changed)[TEC].step_up] == [True]


def test_sex_becomes_a_flag_and_an_unknown_one_is_noted() -> None:
    found = cohort(courses("a", "b", "c", "d", sex=["F", "m", "other", None]))
    column = found.courses.columns.index("sex_male")
    np.testing.assert_array_equal(found.courses.numbers[:, column], [0.0, 1.0, np.nan, np.nan])
    assert found.report.count("sex-unknown") == 1


def test_missing_number_stays_missing_and_zero_stays_zero() -> None:
    found = cohort(courses("a", "b", ecog=[0.0, np.nan]))
    np.testing.assert_array_equal(found.courses.numbers[:, found.courses.columns.index("ecog")], [0.0, np.nan])


def test_number_like_ids_read_alike_from_text_whole_numbers_and_floats() -> None:
    read = [
        cohort(courses("x").assign(course_id=[name]), observations(GOOD).assign(course_id=[other]))
        for name, other in (("7", 7), (7, 7.0), (7.0, "7"))
    ]
    assert {one.fingerprint for one in read} == {read[0].fingerprint}


# --- time


def timed(start: str, *times: str | None) -> Cohort:
    seen = (
        observations(*(("a", None, "crp", 10.0, "mg/L") for _ in times)).drop(columns="hours").assign(time=list(times))
    )
    return cohort(courses("a", start_time=start), seen)


def test_time_zones_are_honoured() -> None:
    found = timed("2026-03-28T12:00:00+01:00", "2026-03-29T12:00:00+02:00", "2026-03-28T11:00:01Z")
    assert found.observations.seconds.tolist() == [1, 23 * HOUR]
    assert utc_seconds(found).tolist() == [pd.Timestamp("2026-03-28T11:00Z").timestamp()]


def test_part_of_a_second_after_the_index_time_is_never_at_it() -> None:
    assert timed("2026-01-01T00:00Z", "2026-01-01T00:00:00.000001Z").observations.seconds.tolist() == [1]
    assert cohort(courses("a"), observations(("a", 0.0001, *GOOD[2:]))).observations.seconds.tolist() == [1]


@given(st.floats(-720, 1440))
def test_hours_of_a_table_become_seconds_by_the_rule_of_a_request(hours: float) -> None:
    assert seconds_from_hours(np.array([hours])).tolist() == [float(whole_seconds(hours))]


def test_time_without_offset_or_without_start_is_rejected() -> None:
    assert timed("2026-01-01T00:00Z", "2026-01-01T09:00", "yesterday Z", None).report.table()[1:] == [
        ("rejected", "observations", "time", "time-without-offset", "1", "1", REMEDY),
        ("rejected", "observations", "time", "time-not-readable", "1", "2", REMEDY),
        (
            "rejected",
            "observations",
            "hours",
            "hours-missing",
            "1",
            "3",
            "give the hours from start; only a peak grade may leave them empty",
        ),
    ]
    assert timed("", "2026-01-01T09:00Z").report.count("start-time-missing") == 1


REMEDY = "write ISO 8601 with a UTC offset, such as 2026-01-31T08:00+01:00"


@given(st.integers(-29 * 24 * 60, 59 * 24 * 60), st.integers(-12, 14))
@settings(max_examples=40, deadline=None)
def test_time_and_hours_give_the_same_seconds(minutes: int, offset: int) -> None:
    start = pd.Timestamp("2026-02-01T10:30:00Z")
    written = (start + pd.Timedelta(minutes=minutes)).tz_convert(f"{offset:+03d}:00").isoformat()
    by_hours = cohort(courses("a"), observations(("a", minutes / 60, *GOOD[2:])))
    assert timed(start.isoformat(), written).observations.seconds.tolist() == by_hours.observations.seconds.tolist()
    assert by_hours.observations.seconds.tolist() == [minutes * 60]


# --- identity


def content(found: Cohort) -> dict[str, list[object]]:
    """What the fingerprint is taken over, as plain lists."""
    seen = found.observations
    return {
        "ids": found.course_ids.tolist(),
        "numbers": found.courses.numbers.tobytes(),  # type: ignore[dict-item]
        **{name: getattr(seen, name).tolist() for name in ("course", "code", "seconds", "value")},
    }


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(-100, 400).map(float),
        st.sampled_from(["crp", "ferritin", "il6"]),
        st.floats(0, 600).map(lambda value: round(value, 3)),
    ),
    max_size=12,
)


@given(ROWS, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_row_order_changes_nothing(rows: list[tuple[object, ...]], random: object) -> None:
    units = {"crp": "mg/L", "ferritin": "ng/mL", "il6": "pg/mL"}
    table = observations(*((*row, units[str(row[2])]) for row in rows))
    order = list(range(len(rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    one = cohort(courses("a", "b", "c"), table)
    other = cohort(courses("c", "a", "b"), table.iloc[order].reset_index(drop=True))
    assert one.fingerprint == other.fingerprint
    assert content(one) == content(other)


def test_order_of_values_at_the_same_time_changes_nothing() -> None:
    rows = [("a", 1.0, "crp", value, "mg/L") for value in (7.0, 5.0, 9.0)]
    found = {
        cohort(courses("a"), observations(*order)).fingerprint for order in (rows, rows[::-1], rows[1:] + rows[:1])
    }
    assert len(found) == 1


@given(ROWS)
@settings(max_examples=30, deadline=None)
def test_another_accepted_unit_gives_the_same_values(rows: list[tuple[object, ...]]) -> None:
    whole = {"crp": ("mg/L", "mg/dL", 10), "ferritin": ("ng/mL", "ug/L", 1), "il6": ("pg/mL", "ng/mL", 1000)}
    one = cohort(courses("a", "b", "c"), observations(*((*row, whole[str(row[2])][0]) for row in rows)))
    scaled = [(*row[:3], row[3] / whole[str(row[2])][2], whole[str(row[2])][1]) for row in rows]  # type: ignore[operator]
    other = cohort(courses("a", "b", "c"), observations(*scaled))
    np.testing.assert_allclose(other.observations.value, one.observations.value, rtol=1e-12)
    np.testing.assert_array_equal(other.observations.seconds, one.observations.seconds)


def test_csv_and_parquet_give_the_same_fingerprint(tmp_path: Path) -> None:
    found = {read_cohort(folder(tmp_path / form, form)).fingerprint for form in ("csv", "parquet")}
    assert len(found) == 1


def test_parquet_with_a_stored_pandas_index_reads_as_if_it_had_none(tmp_path: Path) -> None:
    path = folder(tmp_path, "parquet")
    before = read_cohort(path).fingerprint
    for table in TABLES:
        file = path / f"{table}.parquet"
        frame = pd.read_parquet(file)
        frame.set_index(frame.index + 5).to_parquet(file, index=True)
    assert read_cohort(path).fingerprint == before


def test_fingerprint_changes_with_any_value() -> None:
    base = cohort(courses("a"), observations(GOOD), events(("a", 30, "crs_grade", 1)))
    others = [
        cohort(courses("a", ecog=1), observations(GOOD), events(("a", 30, "crs_grade", 1))),
        cohort(
            courses("a"),
            observations(("a", 1.0, "crp", np.nextafter(10.0, 11), "mg/L")),
            events(("a", 30, "crs_grade", 1)),
        ),
        cohort(courses("a"), observations(GOOD), events(("a", 31, "crs_grade", 1))),
        cohort(courses("a"), observations(GOOD), events(("a", 30, "crs_grade", 1)).assign(grading="Penn")),
        cohort(courses("a", follow_up_hours=961), observations(GOOD), events(("a", 30, "crs_grade", 1))),
    ]
    assert len({base.fingerprint, *(one.fingerprint for one in others)}) == 6


# --- writing


def test_written_cohort_reads_back(tmp_path: Path) -> None:
    table, seen, charted = courses("b", "a"), observations(GOOD), events(("b", 30, "crs_grade", 2))
    for form in ("csv", "parquet"):
        write_cohort(tmp_path / form, table, seen, charted, form)  # type: ignore[arg-type]
        assert read_cohort(tmp_path / form).fingerprint == cohort_from_frames(table, seen, charted).fingerprint


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    broken = pd.DataFrame({"course_id": [object()]})
    with pytest.raises(Exception, match="object"):
        write_cohort(tmp_path / "new", courses("a"), observations(GOOD), broken, "parquet")
    assert list(tmp_path.iterdir()) == []


def test_existing_folder_is_kept_unless_overwriting_is_asked_for(tmp_path: Path) -> None:
    path = folder(tmp_path)
    before = read_cohort(path).fingerprint
    with pytest.raises(UsageError, match="the folder exists"):
        write_cohort(path, courses("a"), observations(GOOD), events(), "csv")
    assert read_cohort(path).fingerprint == before
    write_cohort(path, courses("a"), observations(GOOD), events(), "parquet", overwrite=True)
    assert read_cohort(path).course_ids.tolist() == ["a"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["cohort"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_file_is_never_taken_for_the_folder_of_a_cohort(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "notes").write_text("kept")
    for target, problem in ((tmp_path / "notes", "a file of that name exists"), (tmp_path / "notes" / "in", "be made")):
        with pytest.raises(UsageError, match=problem):
            write_cohort(target, courses("a"), observations(GOOD), events(), "csv", overwrite=overwrite)
    assert (tmp_path / "notes").read_text() == "kept"


def test_example_rows_of_the_documentation_are_sound(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "cohort-format.md").read_text()
    for table, text in re.findall(r"```csv (\w+)\n(.*?)```", page, re.DOTALL):
        (tmp_path / f"{table}.csv").write_text(text)
    found = read_cohort(tmp_path)
    assert found.report.rejected() == 0
    assert (len(found), len(found.events), found.report.count("value-censored")) == (2, 5, 1)
    assert found.courses.therapy == (AXI, TEC)
