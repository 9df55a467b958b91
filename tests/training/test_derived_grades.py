"""A centre that charted no grade trains on vitals and treatments, with the labels that its grades would have given."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.cohort import layers
from data.labels import label_layers
from data.synthetic import SyntheticCohort
from data.tables import Cohort, cohort_from_frames, write_cohort
from features.catalogue import Catalogue
from features.outcomes import OUTCOME_KEYS
from tests.training.conftest import SMALL
from training import flows
from training.train import train

RAW = ("temperature", "systolic_bp", "oxygen_flow", "fio2")
CRS = [place for place, key in enumerate(OUTCOME_KEYS) if key.startswith("crs")]
#: Grade -> (event, detail) that is charted in its place, beside fever.
CHARTED = {
    2: (("oxygen", "nasal cannula"),),
    3: (("vasopressor", "norepinephrine"),),
    4: (("vasopressor", "norepinephrine"), ("vasopressor", "epinephrine")),
}


def vital(rows: pd.DataFrame, code: str, value: float, unit: str) -> pd.DataFrame:
    return rows[["course_id", "hours"]].assign(code=code, value=value, unit=unit)


def without_grades(made: SyntheticCohort) -> dict[str, pd.DataFrame]:
    """The synthetic tables with each CRS grade replaced by findings that are of that grade by ASTCT."""
    grades = made.events[made.events["event"].eq("crs_grade")]
    ill, calm = grades[grades["value"].ge(1)], made.courses.assign(hours=0.0)
    flow = ill[ill["value"].eq(2)]
    kept = made.observations[~made.observations["code"].isin(RAW)]
    seen = [
        kept,
        vital(calm, "temperature", 36.8, "Cel"),
        vital(calm, "systolic_bp", 120.0, "mm[Hg]"),
        vital(ill, "temperature", 39.0, "Cel"),
        vital(ill, "systolic_bp", 120.0, "mm[Hg]"),
        vital(flow, "oxygen_flow", 2.0, "L/min"),
    ]
    rows = [
        {"course_id": one.course_id, "hours": one.hours, "event": event, "value": 1.0, "detail": detail}
        for one in ill.itertuples()
        for event, detail in CHARTED.get(min(int(one.value), 4), ())
    ]
    others = made.events[~made.events["event"].isin(("crs_grade", "vasopressor", "oxygen"))]
    return {
        "courses": made.courses.assign(age_years=made.courses["age_years"].fillna(60.0).clip(lower=18.0)),
        "observations": pd.concat(seen, ignore_index=True),
        "events": pd.concat([others, pd.DataFrame(rows)], ignore_index=True),
    }


@pytest.fixture(scope="module")
def raw(made_up: SyntheticCohort) -> dict[str, pd.DataFrame]:
    return without_grades(made_up)


@pytest.fixture(scope="module")
def derived(raw: dict[str, pd.DataFrame]) -> Cohort:
    return cohort_from_frames(**raw, derive_grades=True)


def labels(cohort: Cohort) -> tuple[np.ndarray, np.ndarray]:
    """(questions, CRS outcomes) values and reasons over all index times."""
    found = label_layers(cohort, layers(cohort))
    return np.concatenate([one.value[:, CRS] for one in found]), np.concatenate([one.reason[:, CRS] for one in found])


def test_derived_labels_are_those_of_the_charted_grades(derived: Cohort, cohort: Cohort) -> None:
    (value, reason), (true_value, true_reason) = labels(derived), labels(cohort)
    np.testing.assert_array_equal(reason, true_reason)
    np.testing.assert_array_equal(value, true_value)
    assert np.nansum(value, axis=0).min() > 10


def test_a_cohort_without_grades_trains_where_grades_are_derived_and_only_there(
    raw: dict[str, pd.DataFrame], derived: Cohort, tables: Catalogue
) -> None:
    settings = replace(SMALL, fewest_events=20)
    said: dict[str, list[str]] = {"derived": [], "plain": []}
    train(derived, "derived", settings, tables, said["derived"].append)
    train(cohort_from_frames(**raw), "plain", settings, tables, said["plain"].append)
    learnt = {name: {line.split(":")[0] for line in lines if " trees" in line} for name, lines in said.items()}
    assert learnt["derived"] >= {"crs_1plus", "crs_2plus"}
    assert [key for key in learnt["plain"] if key.startswith("crs")] == []


def test_the_check_of_a_cohort_tells_what_was_derived(
    raw: dict[str, pd.DataFrame], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cohort(tmp_path / "raw", raw["courses"], raw["observations"], raw["events"], "csv")
    flows.check(tmp_path / "raw", derive_grades=True)
    said = capsys.readouterr().out
    assert "grade-derived" in said
    assert "crs_1plus" in said
