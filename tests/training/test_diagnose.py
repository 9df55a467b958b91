"""Each data check finds its fault where it is planted, and refuses nothing where it is not."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import synthetic
from data.mapping import convert_extract, read_mapping
from data.synthetic import SyntheticCohort
from data.tables import Frames, cohort_from_frames
from features.catalogue import load
from features.outcomes import OUTCOME_KEYS
from tests.real_data import BWH, ROOT, real_file
from tests.training.faults import CANARY, Planted
from training.diagnose import diagnose, to_json
from training.diagnose_findings import CODES


@pytest.fixture
def sound(made_up: SyntheticCohort) -> Planted:
    return Planted.of(made_up)


@pytest.mark.parametrize("seed", range(10))
def test_a_sound_cohort_is_not_refused(seed: int) -> None:
    planted = Planted.of(synthetic.generate(300, seed, with_truth=False))
    assert planted.codes("refuse") == set()


def test_coarse_values_and_days_are_no_fault(sound: Planted) -> None:
    size = 10 ** np.floor(np.log10(sound.observations["value"].abs().clip(lower=1e-6)))
    sound.observations["value"] = (sound.observations["value"] / size).round() * size
    sound.observations["hours"] = np.floor(sound.observations["hours"] / 24) * 24
    sound.events["hours"] = np.ceil(sound.events["hours"] / 24) * 24
    assert sound.codes("refuse") == set()


def test_a_cohort_without_sites_and_dates_is_checked(sound: Planted) -> None:
    bare = Planted(sound.courses.drop(columns=["site", "start_time"]), sound.observations, sound.events)
    assert bare.codes("refuse") == set()


def test_the_grade_in_a_cell_is_found(sound: Planted) -> None:
    planted = sound.measured("procalcitonin", 0.0, sound.peak, "ng/mL")
    assert ("label-copied", "procalcitonin") in planted.codes("refuse")


def test_the_onset_day_in_a_cell_of_one_site_is_found_there(sound: Planted) -> None:
    ill = np.floor(sound.onset[np.isfinite(sound.onset)] / 24)
    named = sound.courses.loc[sound.courses["site"].eq("synthetic-site-a"), "course_id"]
    planted = sound.measured("il6", 200.0, ill[ill.index.isin(named)], "pg/mL")
    found = [one for one in planted.found() if one.code == "label-copied"]
    assert [(one.column, one.severity) for one in found] == [("il6", "refuse")]
    assert found[0].rows == int(ill.index.isin(named).sum())


def test_the_grade_in_a_fixed_column_is_found(sound: Planted) -> None:
    sound.courses["ecog"] = sound.peak.to_numpy()
    assert ("label-copied", "ecog") in sound.codes("refuse")


def test_a_code_in_arbitrary_order_for_the_grade_is_found(sound: Planted) -> None:
    code = {0: 3.0, 1: 1.0, 2: 4.0, 3: 0.0, 4: 2.0, 5: 5.0}
    sound.courses["ecog"] = sound.peak.map(code).to_numpy()
    assert ("label-copied", "ecog") in sound.codes("refuse")
    sound.courses["ecog"] = np.random.default_rng(2).permutation(sound.courses["ecog"])
    assert sound.codes("refuse") == set()


def test_an_analyte_whose_every_value_was_rejected_is_told(sound: Planted) -> None:
    assert "analyte-lost" not in {one.code for one in sound.found()}
    rows = sound.rows("il6")
    sound.observations.loc[rows, "unit"] = "furlong"
    found = [one for one in sound.found() if one.code == "analyte-lost"]
    assert [(one.severity, one.table, one.column, one.rows) for one in found] == [
        ("warn", "observations", "il6", int(rows.sum()))
    ]
    assert found[0].why.startswith(f"none of {rows.sum()} rows could be used: every value of the analyte was rejected")
    sound.observations.loc[rows.idxmax(), "unit"] = "pg/mL"
    assert "analyte-lost" not in {one.code for one in sound.found()}


def test_gaps_filled_per_class_are_found(sound: Planted) -> None:
    ill = sound.observations["course_id"].map(sound.peak.ge(2))
    early = sound.rows("crp") & sound.observations["hours"].le(0) & ill
    sound.observations.loc[early & (np.arange(len(early)) % 2 == 0), "value"] = 12.345
    assert ("fill-per-class", "crp") in sound.codes("refuse")


def test_the_same_fill_in_both_classes_is_no_fill_per_class(sound: Planted) -> None:
    early = sound.rows("crp") & sound.observations["hours"].le(0)
    sound.observations.loc[early & (np.arange(len(early)) % 2 == 0), "value"] = 12.345
    assert sound.codes("refuse") == set()


def test_a_value_that_ranks_the_outcome_before_treatment_is_found(sound: Planted) -> None:
    noise = np.random.default_rng(1).normal(0, 0.4, len(sound.peak))
    planted = sound.measured("ferritin", -1.0, np.exp(6 + sound.peak.ge(2) + noise), "ng/mL")
    assert ("feature-too-good", "ferritin") in planted.codes("refuse")


def test_missingness_that_follows_the_outcome_is_found(sound: Planted) -> None:
    well = sound.observations["course_id"].map(sound.peak.lt(2))
    early = sound.rows("crp") & sound.observations["hours"].le(0)
    lost = well & sound.observations["course_id"].map(lambda name: int(name[-1]) % 5 < 4)
    planted = Planted(sound.courses, sound.observations[~(early & lost)], sound.events)
    assert ("missing-follows-label", "crp") in planted.codes("refuse")


def test_missingness_at_random_is_no_fault(sound: Planted) -> None:
    early = sound.rows("crp") & sound.observations["hours"].le(0)
    lost = sound.observations["course_id"].map(lambda name: int(name[-1]) % 5 < 3)
    planted = Planted(sound.courses, sound.observations[~(early & lost)], sound.events)
    assert {code for code, _ in planted.codes("refuse") | planted.codes("warn")}.isdisjoint({"missing-follows-label"})


def test_a_column_measured_only_after_the_outcome_is_found(sound: Planted) -> None:
    before = sound.observations["hours"].le(sound.observations["course_id"].map(sound.onset))
    planted = Planted(sound.courses, sound.observations[~(sound.rows("ldh") & before)], sound.events)
    assert ("timed-after-outcome", "ldh") in planted.codes("warn")
    assert ("timed-after-outcome", "ldh") not in sound.codes("warn")


def test_treatment_before_any_grade_is_found(sound: Planted) -> None:
    drug = sound.events["event"].eq("tocilizumab")
    first = sound.events["course_id"].map(sound.onset)
    sound.events.loc[drug, "hours"] = np.maximum(first[drug] - 2.0, 0.5)
    assert ("treated-before-outcome", "tocilizumab") in sound.codes("refuse")


@pytest.mark.parametrize(("code", "factor", "offset"), [("crp", 10.0, 0.0), ("temperature", 1.8, 32.0)])
def test_another_unit_at_one_site_is_found_there(sound: Planted, code: str, factor: float, offset: float) -> None:
    moved = sound.rows(code) & sound.at_site("synthetic-site-b")
    sound.observations.loc[moved, "value"] = sound.observations.loc[moved, "value"] * factor + offset
    found = [one for one in sound.found() if one.code == "unit-differs"]
    assert [(one.column, one.severity) for one in found] == [(code, "refuse")]
    assert "in site synthetic-site-b" in found[0].why


def test_another_unit_from_some_day_on_is_found(sound: Planted) -> None:
    starts = pd.to_datetime(sound.courses["start_time"], utc=True)
    late = sound.courses.loc[starts > starts.median(), "course_id"]
    moved = sound.rows("crp") & sound.observations["course_id"].isin(late)
    sound.observations.loc[moved, "value"] *= 10
    assert [one.column for one in sound.found() if one.code == "unit-differs"] == ["crp"]


def test_another_unit_per_outcome_is_found(sound: Planted) -> None:
    moved = sound.rows("crp") & sound.observations["course_id"].map(sound.peak.ge(2))
    sound.observations.loc[moved, "value"] *= 100
    assert ("unit-differs", "crp") in sound.codes("refuse")


def test_a_stated_unit_is_no_fault(sound: Planted) -> None:
    moved = sound.rows("crp") & sound.at_site("synthetic-site-a") & sound.observations["unit"].eq("mg/L")
    assert moved.sum() > 100
    sound.observations.loc[moved, "value"] /= 10
    sound.observations.loc[moved, "unit"] = "mg/dL"
    assert sound.codes("refuse") == set()


def test_ids_that_differ_in_capitals_or_blanks_are_one_patient(sound: Planted) -> None:
    ids = sound.courses["patient_id"].tolist()
    ids[:3] = ["Patient  7", "patient 7", "PATIENT7"]
    found = [one for one in Planted(sound.courses.assign(patient_id=ids), sound.observations, sound.events).found()
             if one.code == "same-patient"]  # fmt: skip
    assert [(one.severity, one.rows) for one in found] == [("refuse", 3)]


def test_a_course_under_two_names_is_found(sound: Planted) -> None:
    name = sound.observations["course_id"].value_counts().index[0]
    again = {"course_id": "again", "patient_id": "another"}
    copies = [table[table["course_id"].eq(name)] for table in (sound.courses, sound.observations, sound.events)]
    courses = pd.concat([sound.courses, copies[0].assign(**again)], ignore_index=True)
    seen, events = (
        pd.concat([table, copy.assign(course_id="again")], ignore_index=True)
        for table, copy in ((sound.observations, copies[1]), (sound.events, copies[2]))
    )
    found = [one for one in Planted(courses, seen, events).found() if one.code == "same-course"]
    assert [(one.severity, one.rows) for one in found] == [("refuse", 2)]


def test_one_patient_at_two_sites_is_named_and_not_refused(sound: Planted) -> None:
    per_patient = sound.courses.groupby("patient_id")["site"].nunique()
    found = {one.code: one for one in sound.found()}
    assert found["patient-at-two-sites"].severity == "warn"
    assert found["patient-at-two-sites"].why.startswith(f"patients at two sites or more: {(per_patient > 1).sum()}:")


@pytest.mark.parametrize(("share", "severity"), [(0.5, "refuse"), (0.05, "warn")])
def test_mixed_grading_is_refused_by_its_share(sound: Planted, share: float, severity: str) -> None:
    few = set(sound.courses["course_id"].iloc[: int(share * len(sound.courses))])
    other = sound.events["event"].eq("crs_grade") & sound.events["course_id"].isin(few)
    sound.events.loc[other, "grading"] = "Lee-2014"
    assert [one.severity for one in sound.found() if one.code == "mixed-grading"] == [severity]
    assert ("mixed-grading", "crs_grade") in sound.codes(severity)


def test_a_shifted_site_and_a_shifted_period_are_warned_of(sound: Planted) -> None:
    crp = sound.rows("crp")
    sound.observations.loc[crp & sound.at_site("synthetic-site-a"), "value"] *= 4
    late = sound.courses["course_id"][pd.to_datetime(sound.courses["start_time"], utc=True).rank(pct=True).gt(0.5)]
    albumin = sound.rows("ferritin") & sound.observations["course_id"].isin(late)
    sound.observations.loc[albumin, "value"] *= 4
    assert {("site-shift", "crp"), ("time-shift", "ferritin")} <= sound.codes("warn")
    assert sound.codes("refuse") == set()


def test_too_few_events_and_small_subgroups_are_said(sound: Planted) -> None:
    assert {column for code, column in sound.codes("warn") if code == "too-few-events"} == set(OUTCOME_KEYS)
    sizes = sound.courses["therapy"].value_counts()
    said = {one.column: one for one in sound.found() if one.code == "small-subgroup"}
    assert said["therapy"].rows == int(sizes[sizes < 20].sum())
    assert said["therapy"].why.startswith(f"{int((sizes < 20).sum())} of {len(sizes)} ")


def test_no_finding_holds_a_patients_value_or_name(sound: Planted) -> None:
    ill = sound.observations["course_id"].map(sound.peak.ge(2))
    ferritin = sound.rows("ferritin") & sound.observations["hours"].le(0) & ill
    sound.observations.loc[ferritin, "value"] = CANARY
    ids = sound.courses["patient_id"].tolist()
    ids[:2] = [f"P{CANARY}", f"p{CANARY}"]
    planted = Planted(sound.courses.assign(patient_id=ids), sound.observations, sound.events)
    found = planted.found()
    assert {"fill-per-class", "same-patient"} <= {one.code for one in found}
    document = json.dumps(to_json(found))
    assert "31415" not in document
    assert "synthetic-0" not in document
    assert "synthetic-patient" not in document


def test_findings_stand_from_the_gravest_down_and_are_the_same_each_time(sound: Planted) -> None:
    planted = sound.measured("procalcitonin", 0.0, sound.peak, "ng/mL")
    found = planted.found()
    ranks = [("refuse", "warn", "note").index(one.severity) for one in found]
    assert ranks == sorted(ranks)
    assert found == planted.found()
    assert {one.code for one in found} <= set(CODES)


# The hospital extract as it came


def extract(mapping: str) -> set[tuple[str, str, str]]:
    """(severity, code, column) of what is found in the real extract as that mapping reads it."""
    tables = convert_extract(real_file(*BWH), read_mapping(Path(ROOT / "mappings" / mapping)))
    frames = Frames(tables.courses, tables.observations, tables.events)
    cohort = cohort_from_frames(frames.courses, frames.observations, frames.events, allowed_rejected=1.0)
    return {(one.severity, one.code, one.column) for one in diagnose(cohort, frames, load())}


FAULTS = {
    "ten times too large and Fahrenheit": {
        ("refuse", "unit-differs", "crp"),
        ("refuse", "unit-differs", "temperature"),
    },
    "grade, onset day and peak day in cells": {
        ("refuse", "label-copied", "procalcitonin"),
        ("refuse", "label-copied", "il6"),
        ("refuse", "label-copied", "wbc"),
        ("refuse", "feature-too-good", "wbc"),
    },
    "measured by outcome": {("refuse", "missing-follows-label", "wbc"), ("refuse", "missing-follows-label", "il6")},
    "one patient in both blocks": {
        ("warn", "patient-at-two-sites", "patient_id"),
        ("note", "patient-repeats", "patient_id"),
    },
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_extract_without_its_repairs_is_refused_for_each_fault(fault: str) -> None:
    assert FAULTS[fault] <= extract("bwh-cart-raw.toml")


def test_the_repaired_extract_is_not_refused() -> None:
    assert [one for one in extract("bwh-cart.toml") if one[0] == "refuse"] == []
