"""A design keeps test patients out of training, and judges what it says it judges."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.split import temporal_split
from data.tables import Cohort
from features.catalogue import Catalogue
from features.errors import DataError, UsageError
from tests.training.conftest import SMALL
from training import designs, evaluation_flow
from training.designs import Design, Predicted, Split, folds_of, put_to_test, start_seconds
from training.table import Table


@pytest.fixture
def trained_on(monkeypatch: pytest.MonkeyPatch) -> list[Table]:
    """The tables that models were fitted on, in order."""
    seen: list[Table] = []
    own = designs.fit_all

    def remembered(table: Table, *others: object) -> object:
        seen.append(table)
        return own(table, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(designs, "fit_all", remembered)
    return seen


def predicted(design: Design, cohort: Cohort, tables: Catalogue) -> Predicted:
    settings = replace(SMALL, fewest_events=30)
    found, _ = put_to_test(design, cohort, tables, settings, Split(1), lambda _: None)
    return found


def judged_rows(found: Predicted) -> np.ndarray:
    return np.logical_or.reduce([~np.isnan(one["model"][0]) for one in found.scores.values()])


def test_a_temporal_design_has_no_patient_on_both_sides_and_trains_on_the_past(
    cohort: Cohort, tables: Catalogue, trained_on: list[Table]
) -> None:
    found = predicted(Design.TEMPORAL, cohort, tables)
    rows, (train,) = judged_rows(found), trained_on
    assert rows.any()
    assert not set(found.table.patient[rows]) & set(train.patient)
    start = start_seconds(cohort)
    assert start[train.course].max() < start[found.table.course[rows]].min()
    assert found.courses == ((len(np.unique(train.course)), len(np.unique(found.table.course[rows]))),)


def test_the_ranges_of_a_temporal_design_are_those_of_the_rows_that_trained(
    cohort: Cohort, tables: Catalogue, trained_on: list[Table]
) -> None:
    found = predicted(Design.TEMPORAL, cohort, tables)
    assert found.spec.ranges == found.spec.with_ranges(trained_on[0].values).ranges


@pytest.mark.slow
def test_leaving_a_site_out_never_trains_on_the_site_that_tests(
    cohort: Cohort, tables: Catalogue, trained_on: list[Table]
) -> None:
    found = predicted(Design.LEAVE_SITE_OUT, cohort, tables)
    sites, patients = np.asarray(cohort.sites), np.asarray(cohort.patient_ids)
    names = sorted(set(sites) - {""})
    assert len(trained_on) == len(names) > 2
    for table, site in zip(trained_on, names, strict=True):
        assert site not in set(sites[table.course])
        assert not set(patients[table.course]) & set(patients[sites == site])
    assert set(sites[found.table.course[judged_rows(found)]]) == set(names)


def test_model_and_baselines_of_a_design_are_judged_on_the_same_rows(cohort: Cohort, tables: Catalogue) -> None:
    found = predicted(Design.TEMPORAL, cohort, tables)
    for place, scores in found.scores.items():
        rows = [~np.isnan(one[0]) & found.table.usable(place) for one in scores.values()]
        assert rows[0].any()
        assert all((one == rows[0]).all() for one in rows)


def test_a_cut_by_day_tests_the_courses_of_that_day_and_later(cohort: Cohort) -> None:
    start = start_seconds(cohort)
    cut = float(np.median(start[~np.isnan(start)]))
    (fold,) = folds_of(Design.TEMPORAL, cohort, Split(1, cut=cut))
    assert start[fold.train].max() < cut <= start[fold.test].min()


def test_a_cut_after_the_last_course_is_refused(cohort: Cohort) -> None:
    with pytest.raises(DataError, match="one side of the cut"):
        folds_of(Design.TEMPORAL, cohort, Split(1, cut=1e12))


def test_the_cut_itself_is_in_the_test_courses() -> None:
    fold = temporal_split(["a", "b", "c"], [1.0, 2.0, 3.0], cut=2.0)
    assert (fold.train.tolist(), fold.test.tolist()) == ([0], [1, 2])


@pytest.mark.parametrize(
    ("design", "cross_validate", "expected"),
    [("", False, "external"), ("", True, "internal"), ("internal", True, "internal"), ("temporal", False, "temporal")],
)
def test_the_design_is_the_one_that_was_named(design: str, cross_validate: bool, expected: str) -> None:
    assert evaluation_flow.design_named(design, cross_validate) == expected


@pytest.mark.parametrize(("design", "cross_validate"), [("by-ward", False), ("temporal", True)])
def test_an_unknown_or_contradicted_design_is_refused(design: str, cross_validate: bool) -> None:
    with pytest.raises(UsageError):
        evaluation_flow.design_named(design, cross_validate)


def test_a_day_is_midnight_utc_and_another_form_is_refused() -> None:
    assert evaluation_flow.cut_at("1970-01-02") == 86400
    assert evaluation_flow.cut_at("") is None
    with pytest.raises(UsageError, match="--test-from"):
        evaluation_flow.cut_at("02.01.1970")


def test_the_truth_of_a_synthetic_cohort_is_found_beside_it(cohort_folder: Path, tmp_path: Path) -> None:
    assert evaluation_flow.truth_of(cohort_folder) == cohort_folder / "truth.parquet"
    assert evaluation_flow.truth_of(tmp_path) is None
