"""A code means what a reviewed table or the centre's own list says, and nothing else."""

from pathlib import Path

import pytest

from features.catalogue import load
from features.concepts import REFUSED, UNKNOWN, UNVERIFIED, Concepts, Meaning, code_systems, concepts, read_local
from features.errors import DataError
from features.results import IMPLAUSIBLE, NEGATIVE, NO_UNIT, NO_VALUE, UNIT, accepted_unit, refusal

HEADER = "kind,key,system,code,value,grading,note\n"
ALL = ("analyte", "therapy", "indication", "comorbidity", "event", "course")


@pytest.fixture(scope="module")
def known() -> Concepts:
    return concepts(load())


def with_list(tmp_path: Path, *lines: str) -> Concepts:
    path = tmp_path / "codes.csv"
    path.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    return concepts(load(), path)


@pytest.mark.parametrize(
    ("system", "code", "kind", "key"),
    [
        ("LOINC", "1988-5", "analyte", "crp"),
        ("OMOP", "3020460", "analyte", "crp"),
        ("RxNorm", "1986438", "therapy", "tisagenlecleucel"),
        ("ICD-10-CM", "I50.9", "comorbidity", "cardiac_disease"),
        ("ICD-10-CM", "C83.31", "indication", "dlbcl"),
        ("RxNorm", "612865", "event", "tocilizumab"),
    ],
)
def test_a_verified_code_stands_for_its_row(known: Concepts, system: str, code: str, kind: str, key: str) -> None:
    found = known.of(system, code, ALL)
    assert isinstance(found, Meaning)
    assert (found.kind, found.key) == (kind, key)


@pytest.mark.parametrize("code", ["D89.833", "D89833"])
def test_a_diagnosis_of_crs_carries_its_grade_and_no_grading_system(known: Concepts, code: str) -> None:
    assert known.of("ICD-10-CM", code, ("event",)) == Meaning("event", "crs_grade", 3.0, "")


def test_unknown_refused_and_unverified_are_three_answers(known: Concepts) -> None:
    assert known.of("LOINC", "30522-7", ("analyte",)) == REFUSED
    assert known.of("OMOP", "3015039", ("analyte",)) == UNVERIFIED
    assert known.of("RxNorm", "72435", ("event",)) == UNVERIFIED
    assert known.of("LOINC", "99999-9", ("analyte",)) == UNKNOWN


def test_a_code_counts_only_for_the_kinds_that_are_asked(known: Concepts) -> None:
    assert known.of("LOINC", "1988-5", ("therapy", "event")) == UNKNOWN


def test_no_unverified_code_of_any_table_is_used(known: Concepts) -> None:
    tables = known.catalogue
    pairs = (*tables.analyte_codes, *tables.therapy_codes, *tables.indication_codes, *tables.comorbidity_codes)
    found = {pair: known.of(*pair, ALL) for pair in pairs}
    unsure = {pair for pair, one in found.items() if one == UNVERIFIED}
    assert ("ICD-10-CM", "Z94.84") in unsure
    assert all(isinstance(one, Meaning) or one in (UNVERIFIED, REFUSED) for one in found.values())


def test_a_centres_own_code_comes_first_and_may_admit_an_unverified_one(tmp_path: Path) -> None:
    own = with_list(tmp_path, "analyte,il6,OMOP,3015039,,,ours", "event,crs_grade,local,FS,,ASTCT-2019,flow sheet")
    assert own.of("OMOP", "3015039", ("analyte",)) == Meaning("analyte", "il6")
    assert own.of("local", "FS", ("event",)).grading == "ASTCT-2019"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("lab,crp,local,X,,,", "kind"),
        ("analyte,sodium,local,X,,,", "key"),
        ("event,crs_grade,local,X,,Smith-1999,", "grading"),
        ("event,oxygen,local,X,much,,", "value"),
        ("analyte,crp,,X,,,", "system or code"),
        ("analyte,crp,local,X", "cells"),
    ],
)
def test_a_bad_line_of_the_list_is_one_clear_error(tmp_path: Path, line: str, word: str) -> None:
    with pytest.raises(DataError, match="line 2") as refused:
        with_list(tmp_path, line)
    assert word in str(refused.value)


def test_a_code_twice_or_another_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3"):
        with_list(tmp_path, "analyte,crp,local,X,,,", "analyte,ldh,local,X,,,")
    (tmp_path / "other.csv").write_text("code,key\n", encoding="utf-8")
    with pytest.raises(DataError, match="columns"):
        read_local(tmp_path / "other.csv", load())


def test_each_code_system_of_the_tables_has_its_names() -> None:
    tables = load()
    used = {
        system for one in (tables.analyte_codes, tables.therapy_codes, tables.indication_codes) for system, _ in one
    }
    assert used - {"OMOP"} <= {row.system for row in code_systems()}
    assert all(row.fhir and row.omop for row in code_systems())


@pytest.mark.parametrize(
    ("value", "units", "why"),
    [
        (5.0, ("mg/dL",), ""),
        (5.0, ("nonsense", "mg/dL"), ""),
        (5.0, ("nonsense",), UNIT),
        (5.0, (), NO_UNIT),
        (float("nan"), ("mg/L",), NO_VALUE),
        (-1.0, ("mg/L",), NEGATIVE),
        (71.0, ("mg/dL",), IMPLAUSIBLE),
        (71.0, ("mg/L",), ""),
    ],
)
def test_a_value_is_used_or_refused_by_the_analytes_own_list(value: float, units: tuple[str, ...], why: str) -> None:
    assert refusal(load().analytes["crp"], value, units) == why


def test_the_first_accepted_spelling_is_taken() -> None:
    assert accepted_unit(load().analytes["platelets"], ("K", "K/uL", "10*9/L")) == "K/uL"
