"""Evidence from assays: what the table refuses, what is said beside an answer, and that no rate is invented."""

import csv
import shutil
from dataclasses import replace
from math import isnan, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.assay_evidence import EVIDENCE_TABLE, AssayEvidence, as_csv, cells, read_evidence
from features.assay_prior import HAZARD_NOT_RISK, assay_cohort, hazard_of
from features.catalogue import TABLES, Catalogue, load, read_folder
from features.errors import CatalogueError
from tests.builders import ASSAY_ROW as ROW

CATALOGUE = load()


def catalogue(folder: Path, *rows: AssayEvidence, rates: dict[str, tuple[str, str, str]] | None = None) -> Catalogue:
    """The shipped tables with these rows, and with made-up clinical rates (n, any grade, grade 3) of references."""
    tables = Path(shutil.copytree(TABLES, folder / "tables"))
    lines = [list(cells(row).values()) for row in rows]
    (tables / EVIDENCE_TABLE).write_text(as_csv([list(cells(ROW)), *lines]), encoding="utf-8")
    path = tables / "reference_agents.csv"
    header, *agents = csv.reader(path.read_text(encoding="utf-8").splitlines())
    for line in agents:
        if rates and line[0] in rates:
            line[5:8] = rates[line[0]]
            line[9] = "yes"
    path.write_text(as_csv([header, *agents]), encoding="utf-8")
    return read_folder(tables)


MADE_UP = {"natalizumab": ("100", "0.01", "0"), "alemtuzumab": ("100", "0.5", "0.1")}


# The table


def test_the_shipped_table_of_evidence_has_no_rows_because_no_assay_is_held() -> None:
    assert CATALOGUE.assays == ()
    assert hazard_of(CATALOGUE, "tgn1412") == ()


def test_a_row_reads_back_as_it_was_written(tmp_path: Path) -> None:
    rows = (ROW, replace(ROW, format="whole-blood-soluble", position=nan, position_low=nan, position_high=nan))
    held = catalogue(tmp_path, *rows)
    assert held.assays[0] == ROW
    assert isnan(held.assays[1].position)
    assert held.digest != CATALOGUE.digest


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("hazard_class", "safe", "hazard_class must be one of negative, weak"),
        ("position_low", 0.7, "position_low, position, position_high must not decrease"),
        ("responder_high", 1.2, "responders, 1 must not decrease"),
        ("key_events", ("fever",), "key_events names unknown fever"),
        ("assay_sha256", "abc", "assay_sha256 must be 64"),
        ("reviewed_by", "", "reviewed_by and limits must be given"),
        ("limits", (), "reviewed_by and limits must be given"),
        ("reviewed_on", "yesterday", "Invalid isoformat"),
        ("formats_concordant", "perhaps", "formats_concordant must be one of"),
    ],
)
def test_a_row_that_breaks_a_rule_is_refused(column: str, value: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(ROW, **{column: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((replace(ROW, therapy="nothing"),), "therapy names unknown 'nothing'"),
        ((replace(ROW, format="petri"),), "format names unknown 'petri'"),
        ((ROW, ROW), "stands twice"),
    ],
)
def test_a_table_that_breaks_a_rule_is_refused(tmp_path: Path, rows: tuple[AssayEvidence, ...], said: str) -> None:
    with pytest.raises(CatalogueError, match=said):
        catalogue(tmp_path, *rows)


def test_evidence_can_be_read_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(as_csv([list(cells(ROW)), list(cells(ROW).values())]), encoding="utf-8")
    assert read_evidence(path, CATALOGUE.assay_facts, CATALOGUE.therapies) == (ROW,)


def test_every_listed_control_is_asked_only_for_cytokines_that_are_known() -> None:
    facts = CATALOGUE.assay_facts
    for one in facts.references:
        assert set(one.fires_in) <= set(facts.cytokines)
        assert one.role == "positive" or one.fires_in == ()
    campath = facts.reference("alemtuzumab", "pbmc-coated-air-dried")
    assert campath is not None
    assert campath.fires_in == ("tnf",)


def test_no_clinical_rate_of_a_reference_is_given_as_verified() -> None:
    known = [one for one in CATALOGUE.assay_facts.references if not isnan(one.crs_1plus)]
    assert {one.agent for one in known} == {"tgn1412"}
    assert {(one.n, one.crs_1plus, one.verified) for one in known} == {(6.0, 1.0, "no")}
    assert all(isnan(one.crs_3plus) for one in known)


@pytest.mark.parametrize(
    ("key", "donors"),
    [
        ("whole-blood-soluble", 9),
        ("pbmc-coated-air-dried", 8),
        ("pbmc-high-density-soluble", 8),
        ("endothelial-co-culture", 10),
    ],
)
def test_each_format_has_its_minimum_of_donors(key: str, donors: int) -> None:
    assert CATALOGUE.assay_facts.formats[key].minimum_donors == donors


# What is said beside an answer


def test_hazard_is_told_per_format_with_its_limits(tmp_path: Path) -> None:
    blood = replace(ROW, format="whole-blood-soluble", hazard_class="negative")
    coated, other = hazard_of(catalogue(tmp_path, ROW, blood), "tgn1412")
    assert (coated.hazard_class, other.hazard_class) == ("moderate", "negative")
    assert (coated.donors, coated.limits, coated.reviewed_by) == (10, ROW.limits, "A. Reviewer")
    assert other.format_name == "Whole blood with the agent in solution"
    assert HAZARD_NOT_RISK.startswith("Hazard, not risk: ")


# The pseudo-cohort


def test_an_assay_between_references_without_a_clinical_rate_adds_no_number(tmp_path: Path) -> None:
    for place, positive in enumerate(("tgn1412", "alemtuzumab")):
        held = catalogue(tmp_path / str(place), replace(ROW, reference_positive=positive))
        assert assay_cohort(held, "tgn1412", 0) is None


def test_a_therapy_without_an_assay_has_no_cohort() -> None:
    assert assay_cohort(CATALOGUE, "teclistamab", 0) is None


@pytest.mark.parametrize(
    ("position", "first", "third"),
    [(0.0, 1.5 / 101, 0.5 / 101), (-0.3, 1.5 / 101, 0.5 / 101), (1.0, 0.5, 10.5 / 101), (1.4, 0.5, 10.5 / 101)],
)
def test_at_a_reference_the_rate_is_that_references_own(
    tmp_path: Path, position: float, first: float, third: float
) -> None:
    row = replace(ROW, position=position, position_low=position, position_high=position)
    cohort = assay_cohort(catalogue(tmp_path, row, rates=MADE_UP), "tgn1412", 0)
    assert cohort is not None
    assert (cohort.crs_1plus, cohort.crs_3plus) == pytest.approx((first, third))
    assert cohort.patients == CATALOGUE.assay_facts.numbers["prior_patients"]


def test_half_way_is_half_way_on_the_log_odds_scale(tmp_path: Path) -> None:
    cohort = assay_cohort(catalogue(tmp_path, ROW, rates=MADE_UP), "tgn1412", 0)
    assert cohort is not None
    # Odds 1.5 : 99.5 and 1 : 1, geometric mean.
    odds = (1.5 / 99.5) ** 0.5
    assert cohort.crs_1plus == pytest.approx(odds / (1 + odds))


def test_a_rate_that_one_reference_lacks_stays_unknown(tmp_path: Path) -> None:
    rates = {**MADE_UP, "natalizumab": ("100", "0.01", "")}
    cohort = assay_cohort(catalogue(tmp_path, ROW, rates=rates), "tgn1412", 0)
    assert cohort is not None
    assert isnan(cohort.crs_3plus)
    assert not isnan(cohort.crs_1plus)


@pytest.mark.parametrize(
    ("treated", "patients"), [(0, 10.0), (10, 8.0), (25, 5.0), (49, 0.2), (50, None), (5000, None)]
)
def test_the_weight_fades_as_patients_are_treated(tmp_path: Path, treated: float, patients: float | None) -> None:
    cohort = assay_cohort(catalogue(tmp_path, ROW, rates=MADE_UP), "tgn1412", treated)
    assert (cohort.patients if cohort else None) == (patients if patients is None else pytest.approx(patients))


@pytest.mark.parametrize("hazard_class", ["negative", "not-conclusive"])
def test_an_assay_that_saw_no_rise_lowers_nothing(tmp_path: Path, hazard_class: str) -> None:
    row = replace(ROW, hazard_class=hazard_class, position=0.0, position_low=0.0, position_high=0.0)
    assert assay_cohort(catalogue(tmp_path, row, rates=MADE_UP), "tgn1412", 0) is None


def test_of_several_assays_the_highest_rate_counts_and_none_is_averaged(tmp_path: Path) -> None:
    wet = replace(ROW, format="pbmc-coated-wet", position=0.9, position_high=1.0)
    both = assay_cohort(catalogue(tmp_path / "both", ROW, wet, rates=MADE_UP), "tgn1412", 0)
    assert both == assay_cohort(catalogue(tmp_path / "one", wet, rates=MADE_UP), "tgn1412", 0)


def test_a_rate_from_memory_counts_for_half(tmp_path: Path) -> None:
    rates = {"natalizumab": MADE_UP["natalizumab"]}
    cohort = assay_cohort(catalogue(tmp_path, replace(ROW, reference_positive="tgn1412"), rates=rates), "tgn1412", 0)
    assert cohort is not None
    assert cohort.patients == 5.0
    assert cohort.crs_1plus < 6.5 / 7
    assert isnan(cohort.crs_3plus)


@given(st.one_of(st.just(nan), st.floats(max_value=0, exclude_max=True)))
def test_an_impossible_number_of_patients_is_refused(patients: float) -> None:
    with pytest.raises(ValueError, match="clinical_patients"):
        assay_cohort(CATALOGUE, "tgn1412", patients)
