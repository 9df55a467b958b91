"""The reviewed tables keep their rules, and one that breaks them is refused with its place."""

import shutil
import subprocess
import sys
from collections import Counter
from math import isnan
from pathlib import Path

import pytest

from features.catalogue import TABLES, Rate, load, read_folder
from features.course import COURSE_NUMBERS, Event
from features.errors import CatalogueError

CATALOGUE = load()
ANALYTE_KEYS = [
    "crp",
    "ferritin",
    "ldh",
    "platelets",
    "creatinine",
    "ast",
    "alt",
    "bilirubin",
    "fibrinogen",
    "d_dimer",
    "il6",
    "ifn_gamma",
    "il10",
    "il8",
    "procalcitonin",
    "inr",
    "aptt",
    "hemoglobin",
    "wbc",
    "anc",
    "alc",
    "albumin",
    "triglycerides",
    "lactate",
    "mcp1",
    "il1ra",
    "sgp130",
    "sil2r",
    "temperature",
    "heart_rate",
    "respiratory_rate",
    "spo2",
    "systolic_bp",
    "diastolic_bp",
    "fio2",
    "oxygen_flow",
]
COMORBIDITY_KEYS = [
    "autoimmune_disease",
    "neurological_disorder",
    "genetic_immune_condition",
    "cardiac_disease",
    "pulmonary_disease",
    "renal_disease",
    "hepatic_disease",
    "active_infection",
    "prior_hct",
    "prior_car_t",
    "hiv",
    "diabetes",
]


def rate(therapy: str, trial: str) -> Rate:
    return next(row for row in CATALOGUE.rates if row.therapy == therapy and row.trial.startswith(trial))


# What others rely on


def test_codes_are_the_analytes_then_the_events() -> None:
    assert list(CATALOGUE.codes) == ANALYTE_KEYS + [event.value for event in Event]
    assert [CATALOGUE.code_position(name) for name in CATALOGUE.codes] == list(range(len(CATALOGUE.codes)))


def test_course_columns_are_the_course_numbers_then_the_comorbidities() -> None:
    assert list(CATALOGUE.course_columns) == [*COURSE_NUMBERS, *COMORBIDITY_KEYS]


def test_a_bare_loinc_code_or_our_key_finds_an_analyte() -> None:
    found = [CATALOGUE.find_analyte(text) for text in ("1988-5", "2276-4", "crp", "8310-5")]
    assert [row.key for row in found if row] == ["crp", "ferritin", "crp", "temperature"]
    assert CATALOGUE.find_analyte("no such test") is None


@pytest.mark.parametrize("code", ["30522-7", "71426-1", "48066-5", "48058-2", "14805-6"])
def test_a_code_that_must_not_be_pooled_finds_nothing_and_says_why(code: str) -> None:
    assert CATALOGUE.find_analyte(code) is None
    assert CATALOGUE.refused["LOINC", code].startswith("refused: ")


def test_the_invalid_fio2_code_is_absent_and_the_valid_one_present() -> None:
    assert CATALOGUE.find_analyte("3150-6") is None
    assert CATALOGUE.analyte_by_code("LOINC", "3150-0") is CATALOGUE.analytes["fio2"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Yescarta", "axicabtagene-ciloleucel"),
        ("AXI CEL", "axicabtagene-ciloleucel"),
        ("axicabtagene ciloleucel", "axicabtagene-ciloleucel"),
        ("teclistamab-cqyv", "teclistamab"),
        ("Tepkinly", "epcoritamab"),
        ("Lunsumio VELO", "mosunetuzumab-sc"),
        ("mosunetuzumab", "cd20-engager"),
        ("bcma-engager", "bcma-engager"),
    ],
)
def test_a_therapy_is_found_by_key_name_brand_or_alias(text: str, key: str) -> None:
    found = CATALOGUE.find_therapy(text)
    assert found is not None
    assert found.key == key


def test_an_unknown_therapy_or_indication_is_not_guessed() -> None:
    assert CATALOGUE.find_therapy("") is None
    assert CATALOGUE.find_therapy("axi") is None
    assert CATALOGUE.find_indication("lung cancer") is None


def test_lineage_runs_from_the_class_to_its_root() -> None:
    assert CATALOGUE.lineage("axicabtagene-ciloleucel") == ("cd19-cd28-car-t", "cd19-car-t", "car-t")
    assert CATALOGUE.lineage("cd20-engager") == ("cd20-engager", "t-cell-engager")
    assert CATALOGUE.lineage("") == ()
    with pytest.raises(KeyError):
        CATALOGUE.lineage("no-such-class")


def test_only_car_t_tcr_t_and_engagers_are_inside_the_intended_use() -> None:
    evaluated = {CATALOGUE.lineage(key)[-1] for key, row in CATALOGUE.classes.items() if row.evaluated}
    assert evaluated == {"car-t", "tcr-t", "t-cell-engager"}
    assert all(row.evaluated == (CATALOGUE.lineage(key)[-1] in evaluated) for key, row in CATALOGUE.classes.items())


def test_an_indication_leads_to_the_wider_one() -> None:
    found = CATALOGUE.find_indication("DLBCL")
    assert found is not None
    assert CATALOGUE.indication_lineage(found.key) == ("dlbcl", "lbcl", "b-nhl")


@pytest.mark.parametrize(
    ("code", "key"),
    [("M32.10", "autoimmune_disease"), ("U07.1", "active_infection"), ("E11", "diabetes"), ("Z92850", "prior_car_t")],
)
def test_a_diagnosis_below_a_listed_category_is_that_comorbidity(code: str, key: str) -> None:
    found = CATALOGUE.comorbidity_by_code("ICD-10-CM", code)
    assert found is not None
    assert found.key == key


def test_a_category_never_matches_a_shorter_or_a_neighbouring_code() -> None:
    assert CATALOGUE.comorbidity_by_code("ICD-10-CM", "Z92.858") is None
    assert CATALOGUE.comorbidity_by_code("ICD-10-CM", "M0") is None
    assert CATALOGUE.indication_by_code("ICD-10-CM", "C34.1") is None


def test_a_procedure_code_finds_the_product_or_only_the_class() -> None:
    assert CATALOGUE.therapy_by_code("HCPCS", "Q2041") is CATALOGUE.therapies["axicabtagene-ciloleucel"]
    assert CATALOGUE.therapy_by_code("CPT", "38228") is CATALOGUE.classes["car-t"]
    assert CATALOGUE.therapy_by_code("CPT", "38225") is None


def test_diagnosis_codes_carry_their_grade() -> None:
    grades = {row.code: (row.event, row.value) for row in CATALOGUE.event_codes if row.system == "ICD-10-CM"}
    assert [grades[f"D89.83{grade}"] for grade in range(1, 6)] == [(Event.CRS_GRADE, g) for g in range(1, 6)]
    assert [grades[f"G92.0{grade}"] for grade in range(1, 6)] == [(Event.ICANS_GRADE, g) for g in range(1, 6)]
    assert isnan(grades["D89.839"][1])
    assert isnan(grades["G92.00"][1])


def test_tocilizumab_for_covid_is_not_a_crs_treatment() -> None:
    assert "Q0249" not in {row.code for row in CATALOGUE.event_codes}


# What the tables say


def test_comorbidities_are_the_agreed_ones_and_each_has_a_code() -> None:
    assert list(CATALOGUE.comorbidities) == COMORBIDITY_KEYS
    assert all(row.codes for row in CATALOGUE.comorbidities.values())


@pytest.mark.parametrize(
    ("therapy", "trial", "n", "crs", "icans"),
    [
        ("axicabtagene-ciloleucel", "ZUMA-1 (US label", 108, (0.94, None, 0.13), (0.87, None, 0.31)),
        ("idecabtagene-vicleucel", "KarMMa (US label 2021)", 127, (0.85, 0.39, 0.09), (None, None, 0.04)),
        ("lisocabtagene-maraleucel", "TRANSCEND CLL 004 (safety", 117, (0.85, 0.48, 0.09), (0.45, 0.34, 0.19)),
        ("teclistamab", "MajesTEC-1", 165, (0.721, 0.218, 0.006), (None, None, None)),
        ("mosunetuzumab-iv", "GO29781 (label)", None, (0.39, None, 0.025), (None, None, None)),
        ("tarlatamab", "US label pooled safety population (current)", 473, (0.57, 0.18, 0.019), (None, None, None)),
    ],
)
def test_published_rates_are_carried_as_fractions(
    therapy: str,
    trial: str,
    n: int | None,
    crs: tuple[float | None, ...],
    icans: tuple[float | None, ...],
) -> None:
    row = rate(therapy, trial)
    figures = (row.n, row.crs_1plus, row.crs_2plus, row.crs_3plus, row.icans_1plus, row.icans_2plus, row.icans_3plus)
    assert tuple(None if isnan(figure) else figure for figure in figures) == (n, *crs, *icans)


def test_days_became_hours_and_hours_stayed_hours() -> None:
    assert rate("ciltacabtagene-autoleucel", "CARTITUDE-1").crs_onset_median_hours == 168
    assert rate("talquetamab", "US label pool").crs_onset_median_hours == 27


def test_superseded_rows_say_why_and_leave_one_row_per_trial() -> None:
    superseded = [row for row in CATALOGUE.rates if row.superseded]
    assert superseded
    assert all("Superseded: " in row.note for row in superseded)
    live = Counter(row.trial.split()[0] for row in CATALOGUE.rates if not row.superseded)
    for trial in (
        "ZUMA-1",
        "ZUMA-7",
        "ZUMA-5",
        "ELIANA",
        "JULIET",
        "ZUMA-2",
        "FELIX",
        "KarMMa",
        "CARTITUDE-4",
        "NP30179",
    ):
        assert live[trial] == 1, trial
    tarlatamab = [row for row in CATALOGUE.rates if row.therapy == "tarlatamab" and not row.superseded]
    assert [row.n for row in tarlatamab] == [473, 25]


def test_no_outcome_of_a_mitigated_cohort_is_unmarked() -> None:
    marked = [row for row in CATALOGUE.rates if row.mitigation]
    assert {row.therapy for row in marked} == {"t-cell-engager"}
    assert [row.crs_1plus for row in marked if row.n == 119] == [0.101]


def test_tarlatamab_steps_are_of_all_treated() -> None:
    steps = [row.crs_rate for row in CATALOGUE.steps if row.therapy == "tarlatamab"]
    assert steps == pytest.approx([0.73 * 268 / 473, 0.60 * 268 / 473, 0.15 * 268 / 473], abs=1e-6)


def test_rates_from_memory_are_never_called_checked() -> None:
    from_memory = [row for row in CATALOGUE.rates if "from memory, not checked" in row.source]
    assert from_memory
    assert {row.verified for row in from_memory} == {"no"}


# What a broken table does


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TABLES, tmp_path / "tables"))


def edit(folder: Path, table: str, old: str, new: str) -> None:
    path = folder / table
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("analytes.csv", "stale_hours", "staleness", "unknown: staleness; missing: stale_hours"),
        ("analytes.csv", "\nferritin,", "\ncrp,", "the key 'crp' is empty or repeated"),
        ("analytes.csv", ",no,high-sensitivity", ",maybe,high-sensitivity", "line 2: verified is not one of"),
        ("analytes.csv", ",high,0,700,", ",high,700,0,", "line 2: "),
        ("analytes.csv", ",high,0,700,", ",up,0,700,", "line 2: worse must be one of high, low"),
        ("analytes.csv", ",high,0,700,", ",high,0,many,", "line 2, plausible_high"),
        ("analyte_units.csv", "crp,mg/L,1,0,", "crp,mg/L,2,0,", "crp does not accept its canonical unit unchanged"),
        ("analyte_units.csv", "crp,mg/dL,", "cpr,mg/dL,", "analyte names unknown 'cpr'"),
        ("analyte_units.csv", "crp,mg/dL,", "crp,mg/L,", "crp, mg/L stands twice"),
        ("analyte_codes.csv", "ferritin,LOINC,2276-4", "ferritin,LOINC,1988-5", "LOINC, 1988-5 stands twice"),
        ("comorbidities.csv", "choice of this product", "", "the source is empty"),
        ("therapy_classes.csv", "cd19-car-t,car-t,", "cd19-car-t,cd19-cd28-car-t,", "lead in a circle"),
        ("therapy_rates.csv", "axicabtagene-ciloleucel,lbcl", "axi,lbcl", "therapy names unknown 'axi'"),
        ("therapy_rates.csv", ",108,0.94,", ",108,0.05,", "must not decrease"),
        ("therapy_rates.csv", ",108,0.94,", ",108,94,", "must not decrease"),
        ("therapies.csv", ",Kymriah,", ",Yescarta,", "the name 'yescarta' stands for two keys"),
        ("event_codes.csv", "crs_grade,1,", "crs,1,", "line 2, event"),
    ],
)
def test_a_broken_table_is_refused_with_its_place(folder: Path, table: str, old: str, new: str, message: str) -> None:
    edit(folder, table, old, new)
    with pytest.raises(CatalogueError) as caught:
        read_folder(folder)
    assert table in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_table_is_named(folder: Path) -> None:
    (folder / "therapy_steps.csv").unlink()
    with pytest.raises(CatalogueError, match=r"therapy_steps\.csv: the table cannot be read"):
        read_folder(folder)


def test_the_digest_follows_the_bytes_of_any_table(folder: Path) -> None:
    assert read_folder(folder).digest == CATALOGUE.digest
    edit(folder, "therapy_steps.csv", "0.29", "0.30")
    assert read_folder(folder).digest != CATALOGUE.digest


def test_the_catalogue_needs_neither_pandas_nor_a_second_reading() -> None:
    code = "import sys; from features.catalogue import load; assert load() is load(); print('pandas' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=TABLES.parents[1]
    )
    assert done.stdout.strip() == "False"
