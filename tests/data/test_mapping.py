"""Mapping files: a site's extract becomes the canonical tables, and every repair is counted."""

import re
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.cohort import layers
from data.labels import label_layers
from data.mapping import CanonicalTables, convert_extract, read_mapping
from data.tables import Cohort, cohort_from_frames
from features.catalogue import load
from features.errors import DataError
from tests.real_data import BWH, LBCL, ROOT, real_file

WIDE = """
title = "synthetic wide extract"
source = "synthetic"
layout = "wide"
[course]
patient = "pid"
columns = ["pid"]
starts = "change"
[time]
day = "day"
[[block]]
name = "one"
site = "north"
first_row = 0
last_row = 3
[[block]]
name = "two"
site = "south"
first_row = 3
[block.drop]
il6 = "holds the label"
[constants]
therapy = "axi-cel"
follow_up_hours = 336
[course_columns]
indication = { column = "disease", codes = "disease" }
[codes.disease]
unknown = "reject"
values = { "Diffuse  large" = "dlbcl" }
[[analyte]]
column = "temp"
analyte = "temperature"
unit = "Cel"
units = { two = "[degF]" }
[[analyte]]
column = "il6"
analyte = "il6"
unit = "pg/mL"
"""
EXTRACT = pd.DataFrame(
    {
        "pid": [7, 7, 8, 8, 8, 9],
        "day": [0, 1, 0, 0, 1, 0],
        "disease": ["diffuse large", None, "DIFFUSE LARGE", "diffuse  Large ", None, "diffuse large"],
        "temp": [37.0, 38.0, 39.0, 98.6, 104.0, None],
        "il6": [5.0, 400.0, None, 2.0, 2.0, 2.0],
    }
)


def converted(tmp_path: Path, text: str, extract: pd.DataFrame, form: str = "csv") -> CanonicalTables:
    """The extract written as csv, parquet or xlsx, and converted by this mapping."""
    file, mapping = tmp_path / f"extract.{form}", tmp_path / "mapping.toml"
    {"csv": extract.to_csv, "parquet": extract.to_parquet, "xlsx": extract.to_excel}[form](file, index=False)  # type: ignore[operator]
    mapping.write_text(text)
    return convert_extract(file, read_mapping(mapping))


def rows(table: pd.DataFrame, *columns: str) -> list[tuple[object, ...]]:
    return list(table[list(columns)].itertuples(index=False, name=None))


@pytest.mark.parametrize("form", ["csv", "parquet", "xlsx"])
def test_blocks_have_their_own_site_units_and_dropped_columns(tmp_path: Path, form: str) -> None:
    found = converted(tmp_path, WIDE, EXTRACT, form)
    assert rows(found.courses, "course_id", "patient_id", "site", "therapy", "indication") == [
        ("7-1", "7", "north", "axi-cel", "dlbcl"),
        ("8-1", "8", "north", "axi-cel", "dlbcl"),
        ("8-2", "8", "south", "axi-cel", "dlbcl"),
        ("9-1", "9", "south", "axi-cel", "dlbcl"),
    ]
    assert set(rows(found.observations, "course_id", "hours", "code", "unit")) == {
        ("7-1", 0.0, "temperature", "Cel"),
        ("7-1", 24.0, "temperature", "Cel"),
        ("8-1", 0.0, "temperature", "Cel"),
        ("8-2", 0.0, "temperature", "[degF]"),
        ("8-2", 24.0, "temperature", "[degF]"),
        ("7-1", 0.0, "il6", "pg/mL"),
        ("7-1", 24.0, "il6", "pg/mL"),
    }
    assert found.report.count("dropped in two") == 3
    cohort = cohort_from_frames(found.courses, found.observations, found.events)
    assert cohort.report.rejected() == 0
    temperature = cohort.observations.code == load().code_position("temperature")
    assert cohort.observations.value[temperature].round(6).tolist() == [37.0, 38.0, 39.0, 37.0, 40.0]


@pytest.mark.parametrize(
    ("repair", "rule", "value", "unit", "comparator"),
    [
        ('column = "temp"\naction = "multiply"\nfactor = 0.5', "multiply in one", 19.0, "Cel", ""),
        (
            'column = "temp"\naction = "unit"\nunit = "[degF]"\nabove = 37.5\nbelow = 38.5',
            "unit in one",
            38.0,
            "[degF]",
            "",
        ),
        (
            'column = "il6"\naction = "comparator"\nequals = [400, 401]\ncomparator = ">"\nlimit = 400',
            "comparator in one",
            400.0,
            "pg/mL",
            ">",
        ),
    ],
)
def test_repair_changes_what_it_declares_and_is_counted(
    tmp_path: Path, repair: str, rule: str, value: float, unit: str, comparator: str
) -> None:
    found = converted(tmp_path, f'{WIDE}[[repair]]\nblocks = ["one"]\nreason = "because"\n{repair}\n', EXTRACT)
    finding = next(item for item in found.report.findings if item.rule == rule)
    assert (finding.kind, finding.remedy) == ("repaired", "because")
    assert finding.rows == (3 if rule.startswith("multiply") else 1)
    seen = found.observations[found.observations["hours"].eq(24) & found.observations["course_id"].eq("7-1")]
    code = finding.column if finding.column == "il6" else "temperature"
    row = seen[seen["code"].eq(code)].iloc[0]
    assert (float(row["value"]), row["unit"], row["comparator"]) == (value, unit, comparator)


def test_dropped_values_are_gone_and_bounds_exclude_themselves(tmp_path: Path) -> None:
    text = f'{WIDE}[[repair]]\ncolumn = "temp"\nblocks = ["one"]\naction = "drop"\nabove = 38\nreason = "because"\n'
    found = converted(tmp_path, text, EXTRACT)
    assert found.report.count("drop in one") == 1
    assert sorted(found.observations.loc[found.observations["unit"].eq("Cel"), "value"].astype(float)) == [37.0, 38.0]


def test_comparator_written_into_a_value_is_taken_out_where_declared(tmp_path: Path) -> None:
    extract = EXTRACT.astype({"il6": object}).assign(il6=["<1.5", "> 400", None, None, None, None])
    plain = converted(tmp_path, WIDE, extract)
    assert (
        cohort_from_frames(plain.courses, plain.observations, plain.events, 0.5).report.count("value-not-a-number") == 2
    )
    found = converted(tmp_path, "comparator_in_value = true\n" + WIDE, extract)
    il6 = found.observations[found.observations["code"].eq("il6")]
    assert rows(il6, "comparator", "value") == [("<", "1.5"), (">", "400")]


def test_value_outside_the_code_list_rejects_the_course_or_stops(tmp_path: Path) -> None:
    extract = EXTRACT.assign(disease=["diffuse large", None, "flu", "diffuse large", None, None])
    found = converted(tmp_path, WIDE, extract)
    assert found.courses["course_id"].tolist() == ["7-1", "8-2", "9-1"]
    assert found.courses["indication"].tolist() == ["dlbcl", "dlbcl", ""]
    assert found.report.count("code-not-listed", "courses") == 1
    with pytest.raises(DataError, match=r"extract.disease: 1 values not in the code list"):
        converted(tmp_path, WIDE.replace('"reject"', '"error"'), extract)


def test_column_that_nobody_speaks_of_is_an_error_until_ignored_with_a_reason(tmp_path: Path) -> None:
    extract = EXTRACT.assign(extra=1)
    with pytest.raises(DataError, match=r"extract.extra: column not named in the mapping"):
        converted(tmp_path, WIDE, extract)
    assert len(converted(tmp_path, WIDE + '[ignore]\nextra = "not needed"\n', extract).courses) == 4


def test_column_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"extract.temp: the mapping names a column that is not there; is it temps\?"):
        converted(tmp_path, WIDE, EXTRACT.rename(columns={"temp": "temps"}))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('layout = "wide"', 'layout = "wide"\nlayuot = 1', "unknown field `layuot`"),
        ("first_row = 0", "frist_row = 0", "unknown field `frist_row`"),
        ('starts = "change"', 'starts = "maybe"', "Invalid enum value 'maybe'"),
        ('layout = "wide"', 'layout = "long"', "the table `long` belongs to layout long"),
        ('codes = "disease"', 'codes = "illness"', "code list 'illness' is not declared"),
        ("units = { two", "units = { three", "block 'three' is not declared"),
        ('name = "two"', 'name = "one"', "block 'one' is declared twice"),
        ("follow_up_hours = 336", "", "give either constants.follow_up_hours or follow_up.last_charted"),
        ('day = "day"', "", "`time` needs either `day` or `hours`"),
        ("[course]", "[course", "Expected"),
    ],
)
def test_mistake_in_the_mapping_file_is_one_line_that_names_it(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text(WIDE.replace(old, new))
    with pytest.raises(DataError) as caught:
        read_mapping(file)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(("old", "new"), [("first_row = 3", "first_row = 2"), ("first_row = 3", "first_row = 4")])
def test_blocks_must_cover_every_row_once(tmp_path: Path, old: str, new: str) -> None:
    with pytest.raises(DataError, match=r"shares rows with another block|rows belong to no block"):
        converted(tmp_path, WIDE.replace(old, new), EXTRACT)


def test_extract_that_is_not_xlsx_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "mapping.toml").write_text(WIDE)
    (tmp_path / "extract.xlsx").write_bytes(b"PK\x03\x04 not a workbook")
    with pytest.raises(DataError, match="cannot be read as xlsx"):
        convert_extract(tmp_path / "extract.xlsx", read_mapping(tmp_path / "mapping.toml"))


# --- events

GRADES = """
title = "synthetic grades"
source = "synthetic"
layout = "wide"
[course]
patient = "pid"
columns = ["pid"]
starts = "key"
require = ["peak"]
[time]
day = "day"
[constants]
therapy = "axi-cel"
indication = "lbcl"
[follow_up]
last_charted = ["icans"]
[[peak_grade]]
event = "crs_grade"
grade = "peak"
onset_day = "onset"
peak_day = "top"
grading = "ASTCT-2019"
[[daily_grade]]
event = "icans_grade"
column = "icans"
rounding = "floor"
[[treatment]]
event = "tocilizumab"
column = "toci"
kind = "count"
day = "top"
[[treatment]]
event = "corticosteroid"
column = "steroid"
kind = "daily"
"""


def graded(tmp_path: Path, **columns: list[float | None]) -> tuple[list[tuple[object, ...]], CanonicalTables]:
    """(hours, event, value) of one course with a row per day; columns not given are empty."""
    length = max(len(values) for values in columns.values())
    table = pd.DataFrame({name: [None] * length for name in ("peak", "onset", "top", "icans", "toci", "steroid")})
    table = table.assign(pid="a", day=range(length), **columns).astype({"peak": "float64"})
    found = converted(tmp_path, GRADES, table)
    return [
        tuple(None if pd.isna(cell) else cell for cell in row) for row in rows(found.events, "hours", "event", "value")
    ], found


@pytest.mark.parametrize(
    ("peak", "onset", "top", "expected"),
    [
        (0, None, -1, []),
        (3, 1, 4, [(24.0, 1.0), (96.0, 3.0)]),
        (3, 2, 2, [(48.0, 3.0)]),
        (1, 2, None, [(48.0, 1.0)]),
        (2, 2, None, [(48.0, 1.0), (None, 2.0)]),
        (2, None, 3, [(72.0, 2.0)]),
        (2, None, None, [(None, 2.0)]),
        (2, 4, 3, [(96.0, 1.0), (None, 2.0)]),
    ],
)
def test_peak_grade_becomes_onset_and_peak(
    tmp_path: Path, peak: float, onset: float | None, top: float | None, expected: list[tuple[float | None, float]]
) -> None:
    found, tables = graded(tmp_path, peak=[peak, None], onset=[onset, None], top=[top, None])
    assert found == [(hours, "crs_grade", value) for hours, value in expected]
    assert set(tables.events["grading"]) == ({"ASTCT-2019"} if expected else set())


def test_daily_grade_is_an_event_where_it_changes(tmp_path: Path) -> None:
    found, tables = graded(tmp_path, peak=[0] + [None] * 7, icans=[0, 0, 1, 1, None, 2.5, 2, 0])
    assert found == [(hours, "icans_grade", grade) for hours, grade in [(48.0, 1.0), (120.0, 2.0), (168.0, 0.0)]]
    assert tables.report.count("grade-floor") == 1


def test_follow_up_ends_on_the_last_charted_day(tmp_path: Path) -> None:
    _, tables = graded(tmp_path, peak=[0, None, None, None], icans=[0, 0, 1, None])
    assert tables.courses["follow_up_hours"].tolist() == [48.0]


def test_treatment_counts_stand_on_their_day_and_flags_on_the_rows(tmp_path: Path) -> None:
    found, _ = graded(tmp_path, peak=[2, None], top=[3, None], toci=[2, None], steroid=[0, 1])
    assert found == [(72.0, "crs_grade", 2.0), (72.0, "tocilizumab", 2.0), (24.0, "corticosteroid", 1.0)]


def test_course_without_its_outcome_is_left_out_and_counted(tmp_path: Path) -> None:
    extract = pd.DataFrame({"pid": ["a", "b"], "day": [0, 0], "peak": [1.0, None]})
    extract = extract.assign(**dict.fromkeys(("onset", "top", "icans", "toci", "steroid")))
    found = converted(tmp_path, GRADES, extract)
    assert found.courses["course_id"].tolist() == ["a-1"]
    assert found.report.count("course-without-outcome") == 1
    assert set(found.events["course_id"]) == {"a-1"}


@given(st.lists(st.sampled_from([None, 0.0, 1.0, 2.0, 3.0]), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_daily_grades_can_be_read_back_from_their_events(
    tmp_path_factory: pytest.TempPathFactory, grades: list[float | None]
) -> None:
    found, _ = graded(tmp_path_factory.mktemp("daily"), peak=[0] + [None] * (len(grades) - 1), icans=grades)
    changes = {hours: value for hours, _, value in found}
    now = 0.0
    for day, grade in enumerate(grades):
        now = changes.get(24.0 * day, now)  # type: ignore[assignment]
        assert grade is None or grade == now


LONG = """
title = "synthetic long extract"
source = "synthetic"
layout = "long"
comparator_in_value = true
[course]
patient = "pid"
columns = ["pid"]
starts = "key"
[time]
hours = "h"
[constants]
therapy = "teclistamab"
indication = "mm"
follow_up_hours = 500
[long]
code = "test"
value = "result"
unit = "unit"
codes = "tests"
[codes.tests]
unknown = "reject"
values = { "C-Reactive Protein" = "crp", "CRS grade" = "crs_grade", "dose" = "step_dose" }
"""


def test_long_extract_gives_observations_and_events(tmp_path: Path) -> None:
    extract = pd.DataFrame(
        [
            ("a", -2.0, "c-reactive protein", "<0.4", "mg/dL"),
            ("b", 5.5, "C-reactive  protein", "12", "mg/dL"),
            ("a", 30.0, "CRS grade", "2", None),
            ("a", 72.0, "Dose", "2", None),
            ("a", 73.0, "Sodium", "140", "mmol/L"),
        ],
        columns=["pid", "h", "test", "result", "unit"],
    )
    found = converted(tmp_path, LONG, extract)
    assert rows(found.observations, "course_id", "hours", "code", "value", "unit", "comparator") == [
        ("a-1", -2.0, "crp", "0.4", "mg/dL", "<"),
        ("b-1", 5.5, "crp", "12", "mg/dL", ""),
    ]
    assert rows(found.events, "course_id", "hours", "event") == [("a-1", 30.0, "crs_grade"), ("a-1", 72.0, "step_dose")]
    assert found.report.count("code-not-listed", "extract") == 1
    assert cohort_from_frames(found.courses, found.observations, found.events).report.rejected() == 0


# --- the mapping files that ship


def shipped(name: str, parts: tuple[str, ...], allowed: float = 0.2) -> tuple[CanonicalTables, Cohort]:
    tables = convert_extract(real_file(*parts), read_mapping(ROOT / "mappings" / f"{name}.toml"))
    return tables, cohort_from_frames(tables.courses, tables.observations, tables.events, allowed)


def peaks(cohort: Cohort, event: str) -> list[int]:
    """Courses that reach grade 1, 2 and 3."""
    highest = cohort.events[cohort.events["event"].eq(event)].groupby("course")["value"].max()
    return [int(highest.ge(grade).sum()) for grade in (1, 2, 3)]


def test_bwh_gives_the_published_courses_and_grades() -> None:
    tables, cohort = shipped("bwh-cart", BWH)
    assert (len(cohort), len(set(cohort.patient_ids))) == (206, 205)
    assert peaks(cohort, "crs_grade") == [133, 87, 9]
    assert {site: int((cohort.sites == site).sum()) for site in set(cohort.sites)} == {"bwh-1": 102, "bwh-2": 104}
    assert tables.report.count("course-without-outcome") == 1
    assert cohort.report.rejected("courses") == cohort.report.rejected("observations") == 0


def test_bwh_is_repaired_by_declaration() -> None:
    tables, cohort = shipped("bwh-cart", BWH)
    catalogue, seen = load(), cohort.observations
    second = cohort.sites[seen.course] == "bwh-2"

    def values(code: str, chosen: object) -> "pd.Series[float]":
        return pd.Series(seen.value[(seen.code == catalogue.code_position(code)) & chosen])

    assert [tables.report.count("dropped in block-2") > 0, values("wbc", second).size, values("il6", second).size] == [
        True,
        0,
        0,
    ]
    assert values("procalcitonin", second).size == 0
    assert values("crp", True).max() <= 305
    assert abs(values("temperature", second).median() - values("temperature", ~second).median()) < 0.5
    # 2301 CRP cells in the block, 174 of them before day 0, where nothing is used.
    assert tables.report.count("multiply in block-2") == 2127
    # What one block alone could use is left out of the other, too, and the censored IL-6 values with it.
    assert [values(code, True).size for code in ("procalcitonin", "il6", "wbc")] == [0, 0, 0]
    assert tables.report.count("comparator in all blocks") == cohort.report.count("value-censored") == 0


def test_bwh_as_it_came_is_refused_for_its_temperatures() -> None:
    with pytest.raises(DataError, match="most by rule value-implausible"):
        shipped("bwh-cart-raw", BWH)
    _, cohort = shipped("bwh-cart-raw", BWH, allowed=0.3)
    assert cohort.report.count("value-implausible") > 2688
    assert peaks(cohort, "crs_grade") == [133, 87, 9]


def test_lbcl_gives_the_published_courses_grades_and_products() -> None:
    tables, cohort = shipped("lbcl-daily-grades", LBCL)
    assert (len(cohort), len(set(cohort.patient_ids))) == (80, 80)
    assert peaks(cohort, "crs_grade") == [61, 43, 3]
    products = pd.Series(cohort.courses.therapy).value_counts().to_dict()
    assert products == {
        "axicabtagene-ciloleucel": 46,
        "tisagenlecleucel": 22,
        "lisocabtagene-maraleucel": 8,
        "brexucabtagene-autoleucel": 4,
    }
    assert not cohort.report.findings
    assert not tables.report.findings
    first = label_layers(cohort, layers(cohort))[0]
    assert (first.value[:, 0] == 1).sum() == 57


def test_worked_example_of_the_documentation_works(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "mapping-files.md").read_text()
    blocks = dict(re.findall(r"```(csv extract|toml)\n(.*?)```", page, re.DOTALL))
    found = converted(tmp_path, blocks["toml"], pd.read_csv(StringIO(blocks["csv extract"])))
    cohort = cohort_from_frames(found.courses, found.observations, found.events)
    assert cohort.report.rejected() == 0
    assert cohort.course_ids.tolist() == ["7-1", "8-1"]
    assert rows(cohort.events, "course", "seconds", "event", "value") == [
        (0, 86400.0, "crs_grade", 1.0),
        (0, 3 * 86400.0, "crs_grade", 2.0),
        (1, 86400.0, "icans_grade", 1.0),
    ]
    temperature = cohort.observations.code == load().code_position("temperature")
    assert cohort.observations.value[temperature].round(6).tolist() == [37.0, 38.1, 37.0, 37.5]
