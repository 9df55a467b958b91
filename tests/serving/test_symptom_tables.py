"""The tables of symptoms, look-alikes and pointers keep their rules; a broken one is refused with its place."""

import csv
import re
import shutil
from pathlib import Path

import pytest

from features import catalogue
from features.catalogue import TABLES, Catalogue
from features.errors import CatalogueError
from serving import symptom_tables
from serving.symptom_tables import SymptomTables

HELD = symptom_tables.load()
ROOT = Path(__file__).resolve().parents[2]
CODES = ROOT.parent / "shared" / "clinical" / "codes.csv"
#: Words that tell somebody what to do, and amounts.
ORDERS = re.compile(
    r"\b(give|administer|start|stop|hold|withhold|increase|reduce|taper|repeat|order|prescribe|infuse|inject|use|add|"
    r"treat|consider|switch|escalate)\b",
    re.IGNORECASE,
)
AMOUNTS = re.compile(r"\d\s*(mg|mcg|ug|g|ml|units?)\b|mg/kg|\bq\d+h\b", re.IGNORECASE)


def test_the_symptoms_that_astct_does_not_count_towards_an_icans_grade_say_so() -> None:
    uncounted = {key for key, one in HELD.symptoms.items() if "not counted towards an ICANS grade" in one.note}
    assert uncounted == {"headache", "tremor", "myoclonus", "asterixis"}
    assert not any(HELD.symptoms[key].graded or HELD.symptoms[key].red_flag for key in uncounted)


def test_what_alone_is_a_severe_grade_of_icans_is_severe_and_a_red_flag() -> None:
    for key in ("seizure", "unresponsive", "posturing", "weakness", "drowsiness"):
        one = HELD.symptoms[key]
        assert (one.points_to, one.severity, one.graded, one.red_flag) == ("icans", "severe", True, True)


def test_no_pointer_is_an_order_and_none_names_an_amount() -> None:
    texts = [one.pointer for one in HELD.guidelines]
    assert all(text.startswith("See ") for text in texts)
    assert [text for text in texts if ORDERS.search(text) or AMOUNTS.search(text)] == []


@pytest.mark.parametrize(
    "text", ["Give tocilizumab", "hold the next dose", "dexamethasone 10 mg", "8 mg/kg", "10mg q6h"]
)
def test_a_planted_order_would_be_found(text: str) -> None:
    assert ORDERS.search(text) or AMOUNTS.search(text)


def test_every_grade_of_crs_and_icans_has_pointers_to_treatment_and_support() -> None:
    for event in ("crs", "icans"):
        for grade in symptom_tables.GRADES:
            agents = {
                word for one in HELD.guidelines if one.event == event and grade in one.grades for word in one.agents
            }
            assert {"supportive", "tocilizumab", "corticosteroids"} <= agents
    refractory = {word for one in HELD.guidelines if one.event == "crs" and one.grades == ("4",) for word in one.agents}
    assert {"anakinra", "siltuximab"} <= refractory


def test_the_look_alikes_without_figures_in_the_facts_have_no_rule() -> None:
    without = {key for key, rules in HELD.rules.items() if not rules}
    assert "tumour_lysis" in without
    assert HELD.mimics["tumour_lysis"].unseen == ("potassium", "phosphate", "urate", "calcium")
    assert {"infusion_reaction", "disease_flare", "pulmonary_embolism", "drug_fever"} <= without


def test_a_rule_is_as_little_verified_as_its_least_verified_line() -> None:
    (fever,) = HELD.rules["neutropenic_fever"]
    assert fever.verified == "partly"
    assert {one.verified for one in HELD.rules["sepsis"]} == {"no"}


def test_no_rule_looks_further_back_than_its_analyte_stays_current(tables: Catalogue) -> None:
    for rule in (rule for rules in HELD.rules.values() for rule in rules):
        for one in (one for group in rule.groups for one in group):
            assert one.window_hours <= tables.analytes[one.analyte].stale_hours


def test_every_code_stands_in_the_checked_list_of_codes() -> None:
    if not CODES.is_file():
        pytest.skip(f"SKIPPED: no list of codes at {CODES}")
    with CODES.open(encoding="utf-8", newline="") as file:
        listed = {f"{row['system']} {row['code']}" for row in csv.DictReader(file) if row["verified"] == "yes"}
    rows = (*(one.codes for one in HELD.symptoms.values()), *(one.codes for one in HELD.mimics.values()))
    ours = {code for codes in rows for code in codes}
    assert len(ours) >= 10
    assert ours <= listed


def test_the_page_shows_every_symptom_look_alike_rule_and_guideline_as_the_tables_have_it() -> None:
    page = (ROOT / "docs" / "symptoms-and-look-alikes.md").read_text(encoding="utf-8")
    rows = [
        f"| {one.name} | {one.resembles} | to consider |" for key, one in HELD.mimics.items() if not HELD.rules[key]
    ]
    rows += [f"| {one.text} | {one.verified} |" for rules in HELD.rules.values() for one in rules]
    rows += [f"| {one.guideline} | {one.link} |" for one in HELD.guidelines]
    for one in HELD.symptoms.values():
        graded = "yes" if one.graded else "no"
        rows.append(
            f"| `{one.key}` | {one.points_to} | {one.severity} | {graded} | {one.red_flag_reason} | {one.verified} |"
        )
    assert [row for row in rows if row not in page] == []
    assert page.count("\n| `") == len(HELD.symptoms) + 4  # and the four states of a look-alike


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TABLES, tmp_path / "tables"))


def broken(folder: Path, tables: Catalogue, table: str, old: str, new: str) -> SymptomTables:
    path = folder / table
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return symptom_tables.read_folder(folder, tables)


@pytest.mark.parametrize("table", ["symptoms.csv", "mimics.csv", "mimic_rules.csv", "guidance.csv"])
def test_the_catalogues_digest_covers_the_table(folder: Path, table: str) -> None:
    before = catalogue.read_folder(folder).digest
    path = folder / table
    path.write_bytes(path.read_bytes() + b" ")
    assert catalogue.read_folder(folder).digest != before


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("symptoms.csv", ",crs,mild,yes,yes,", ",flu,mild,yes,yes,", "points_to must be one of crs, icans, both"),
        ("symptoms.csv", ",crs,mild,yes,yes,", ",crs,grave,yes,yes,", "severity must be mild or severe"),
        (
            "symptoms.csv",
            ",crs,mild,yes,yes,",
            ",crs,mild,yes,no,",
            "a red flag, and only a red flag, states its reason",
        ),
        ("symptoms.csv", ",temperature,", ",warmth,", "measured_as names unknown 'warmth'"),
        ("symptoms.csv", "\nchills,", "\nfever,", "the key 'fever' is empty or repeated"),
        ("symptoms.csv", "rigors;shivering", "pyrexia", "the name 'pyrexia' stands for two keys"),
        ("mimics.csv", "Neutropenic fever,crs,", "Neutropenic fever,flu,", "resembles must be one of"),
        ("mimic_rules.csv", ",temperature,>=,", ",warmth,>=,", "analyte names unknown 'warmth'"),
        ("mimic_rules.csv", ",temperature,>=,", ",temperature,=,", "comparison must be one of"),
        ("mimic_rules.csv", ",neutropenic_fever,fever,", ",fever,fever,", "mimic names unknown 'fever'"),
        ("mimic_rules.csv", ",38.0,value,", ",38.0,guess,", "basis must be one of"),
        ("mimic_rules.csv", ",38.0,value,", ",,value,", "limit and window_hours must be above 0"),
        ("guidance.csv", "\ncrs,1,", "\ncrs,5,", "grades must be from 1 to 4"),
        ("guidance.csv", ",tarlatamab,", ",tarla,", "therapy names unknown 'tarla'"),
        ("guidance.csv", "https://doi.org", "doi.org", "link must begin with https://"),
    ],
)
def test_a_broken_table_is_refused_with_its_place(
    folder: Path, tables: Catalogue, table: str, old: str, new: str, message: str
) -> None:
    with pytest.raises(CatalogueError) as caught:
        broken(folder, tables, table, old, new)
    assert table in str(caught.value)
    assert message in str(caught.value)


def test_lines_of_one_group_that_stand_apart_are_refused(folder: Path, tables: Catalogue) -> None:
    with pytest.raises(CatalogueError, match="the lines of one group of iec_hs_criteria do not stand together"):
        broken(folder, tables, "mimic_rules.csv", ",organ,alt,>,5,upper", ",ferritin,alt,>,5,upper")
