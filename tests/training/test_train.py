"""The whole of training: one data and seed, one bundle; and an outcome is fitted only where it can be learnt."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import synthetic
from data.synthetic import SyntheticCohort
from data.tables import Cohort, cohort_from_frames
from features import bundle
from features.calibration import PRIOR_ALONE
from features.catalogue import Catalogue
from features.golden import courses as golden_courses
from features.outcomes import OUTCOME_KEYS
from features.pooling import pool
from features.predict import Predictor, verify_golden
from features.prior import Prior
from features.single import CourseInput, snapshots
from features.spec import full
from tests.training.builders import AXI
from tests.training.conftest import SMALL, TINY
from training.assemble import assemble, build_table, informative
from training.config import Settings
from training.reporting_facts import of_training
from training.train import Trained, metrics_json, prior_only, train, why_not

Retrain = Callable[..., Trained]


@pytest.fixture(scope="module")
def few() -> SyntheticCohort:
    return synthetic.generate(120, 3, with_truth=False)


def cohort_of(made: SyntheticCohort, **changed: pd.DataFrame) -> Cohort:
    frames = {"courses": made.courses, "observations": made.observations, "events": made.events, **changed}
    return cohort_from_frames(**frames)


@pytest.fixture(scope="module")
def retrain(few: SyntheticCohort, tables: Catalogue) -> Retrain:
    def again(settings: Settings = SMALL, **changed: pd.DataFrame) -> Trained:
        return train(cohort_of(few, **changed), "few", settings, tables, lambda _: None)

    return again


@pytest.fixture(scope="module")
def first(retrain: Retrain) -> Trained:
    return retrain()


# One data and seed, one bundle


def test_the_same_data_and_seed_give_the_same_digest(retrain: Retrain, first: Trained) -> None:
    assert first.bundle.boosters
    assert retrain().bundle.digest == first.bundle.digest


def test_another_seed_gives_another_digest(retrain: Retrain, first: Trained) -> None:
    other = retrain(replace(SMALL, seed=SMALL.seed + 1)).bundle
    assert other.digest != first.bundle.digest
    assert other.boosters != first.bundle.boosters


def test_one_changed_value_gives_another_digest(retrain: Retrain, few: SyntheticCohort, first: Trained) -> None:
    seen = few.observations.copy()
    place = int(np.flatnonzero((seen["code"] == "temperature") & (seen["unit"] == "Cel"))[0])
    seen.loc[seen.index[place], "value"] = 38.21
    changed = retrain(observations=seen).bundle
    assert changed.digest != first.bundle.digest
    assert changed.about["trained_on"]["fingerprint"] != first.bundle.about["trained_on"]["fingerprint"]


def test_the_order_of_rows_in_the_files_changes_nothing(retrain: Retrain, few: SyntheticCohort, first: Trained) -> None:
    shuffled = {
        name: getattr(few, name).sample(frac=1, random_state=1) for name in ("courses", "observations", "events")
    }
    assert retrain(**shuffled).bundle.digest == first.bundle.digest


def test_two_workers_make_the_same_model_as_one(retrain: Retrain, first: Trained) -> None:
    other = retrain(replace(SMALL, workers=2)).bundle
    assert other.boosters == first.bundle.boosters
    assert other.calibration == first.bundle.calibration
    assert other.golden == first.bundle.golden
    assert other.digest == first.bundle.digest


# What comes out


def test_a_trained_bundle_reads_back_and_gives_its_golden_answers(
    trained: Trained, tables: Catalogue, tmp_path: Path
) -> None:
    digest = bundle.write(trained.bundle, tmp_path / "bundle")
    back = bundle.read(tmp_path / "bundle", digest)
    assert back.digest == digest == trained.bundle.digest
    assert (back.boosters, back.calibration) == (trained.bundle.boosters, trained.bundle.calibration)
    assert verify_golden(Predictor(back, tables)) == len(golden_courses(tables))


def test_the_bundle_says_what_it_was_trained_on(trained: Trained, cohort: Cohort) -> None:
    about = trained.bundle.about
    assert about["trained_on"] == {
        "name": "synthetic-tiny",
        "courses": 300,
        "synthetic": True,
        "fingerprint": cohort.fingerprint,
        "source_fingerprint": cohort.fingerprint,
        "grading": {"crs_grade": "ASTCT-2019", "icans_grade": "ASTCT-2019"},
    }
    assert about["settings"] == TINY.recipe()
    assert "SYNTHETIC" in trained.bundle.card["warning"]
    assert trained.bundle.policy.therapies == tuple(sorted(set(cohort.courses.therapy)))


def test_the_reporting_items_say_which_patients_were_locked_away(trained: Trained) -> None:
    about, card = dict(trained.bundle.about), trained.bundle.card
    assert of_training(card, about, None)["design"].startswith("All courses train;")
    part = {**about["trained_on"], "source_fingerprint": "of the whole"}
    told = of_training(card, {**about, "trained_on": part}, None)["design"]
    assert told.startswith("Courses of 20% of the patients are locked away; all others train;")


def test_no_course_or_patient_is_named_in_a_bundle(trained: Trained, cohort: Cohort, tmp_path: Path) -> None:
    bundle.write(trained.bundle, tmp_path / "bundle")
    body = b"".join(path.read_bytes() for path in (tmp_path / "bundle").iterdir())
    names = {*map(str, cohort.course_ids), *map(str, cohort.patient_ids)}
    assert not [name for name in names if name.encode() in body]


def test_the_spec_keeps_only_columns_that_say_something(trained: Trained, cohort: Cohort, tables: Catalogue) -> None:
    held, spec, _ = assemble(cohort, Prior(pool(tables)), tables, 1)
    assert spec.fingerprint == trained.bundle.spec.fingerprint
    assert held.values.shape == (trained.table_rows, len(spec.columns))
    for place, name in enumerate(spec.names):
        known = held.values[~np.isnan(held.values[:, place]), place]
        assert len(known) >= 0.01 * len(held), name
        assert len(known) < len(held) or np.ptp(known) > 0, name


def test_a_column_is_kept_if_enough_rows_have_it_and_it_is_not_one_constant(tables: Catalogue) -> None:
    spec = full(tables).keep(["age_years", "crp.last", "platelets.last", "dose_number"])
    n = 1000
    values = np.full((n, 4), np.nan, dtype=np.float32)
    at = {name: place for place, name in enumerate(spec.names)}
    values[:, at["age_years"]] = 60.0
    values[:10, at["crp.last"]] = 5.0
    values[:9, at["platelets.last"]] = np.arange(9)
    values[:, at["dose_number"]] = np.arange(n) % 2
    assert set(informative(spec, values).names) == {"crp.last", "dose_number"}


def test_trained_thresholds_are_there_for_what_was_fitted_and_only_that(trained: Trained) -> None:
    fitted = {one.outcome for one in trained.results}
    assert set(trained.bundle.policy.thresholds) == fitted
    for held in trained.bundle.policy.thresholds.values():
        assert held.sensitivity >= TINY.alert_sensitivity
        assert 0 < held.intermediate_from <= held.high_from < 1


def test_metrics_travel_with_the_bundle(trained: Trained) -> None:
    assert metrics_json(trained).count('"outcome"') == len(trained.results) == len(trained.bundle.about["metrics"])


# What cannot be learnt is answered from the published rate


def test_an_outcome_with_too_few_events_is_answered_from_its_published_rate(
    trained: Trained, tables: Catalogue
) -> None:
    assert "too few" in trained.bundle.card["outcomes_not_fitted"]["crs_3plus"]
    assert "crs_3plus" not in trained.bundle.card["courses_with_outcome"]
    assert not trained.bundle.fitted("crs_3plus")
    assert trained.bundle.fitted("crs_2plus")
    assert "crs_3plus" not in trained.bundle.boosters
    assert trained.bundle.calibration["crs_3plus"] == PRIOR_ALONE
    assert trained.bundle.policy.band("crs_3plus", 0.99) == "unbanded"
    course = CourseInput(AXI, "lbcl", 0)
    answer = Predictor(trained.bundle, tables).predict(snapshots(tables, [course])).probability[0]
    rate = pool(tables)[AXI].rates_for("lbcl")[2]
    assert answer[OUTCOME_KEYS.index("crs_3plus")] == pytest.approx(rate, abs=1e-9)


def test_enough_means_enough_of_both_kinds(cohort: Cohort, tables: Catalogue) -> None:
    held, _ = build_table(cohort, full(tables).keep(["age_years"]), Prior(pool(tables)), tables, 1)
    place = OUTCOME_KEYS.index("crs_3plus")
    events = held.events(place)
    assert why_not(held, place, replace(TINY, fewest_events=events), ()) == ""
    assert "too few" in why_not(held, place, replace(TINY, fewest_events=events + 1), ())
    assert "one-sided" in why_not(held, place, replace(TINY, fewest_events=events), (OUTCOME_KEYS[place],))
    without = replace(held, label=np.where(held.label == 0, np.nan, held.label))
    assert "too few" in why_not(without, place, replace(TINY, fewest_events=1), ())


def one_sided_cohorts(few: SyntheticCohort) -> dict[str, dict[str, pd.DataFrame]]:
    icans = few.events["event"].eq("icans_grade")
    return {
        "no event charted": {"events": few.events[~icans]},
        "followed for 12 days of 30": {"courses": few.courses.assign(follow_up_hours=12 * 24.0)},
    }


@pytest.mark.parametrize("why", ["no event charted", "followed for 12 days of 30"])
def test_labels_that_are_one_sided_are_not_learnt_from(
    retrain: Retrain, few: SyntheticCohort, tables: Catalogue, why: str
) -> None:
    settings, changed = replace(SMALL, fewest_events=8), one_sided_cohorts(few)[why]
    held, _, _ = assemble(cohort_of(few, **changed), Prior(pool(tables)), tables, 1)
    for key in ("icans_2plus", "icans_3plus"):
        assert np.isnan(held.label[:, OUTCOME_KEYS.index(key)]).all()
    found = retrain(settings, **changed).bundle
    assert {"icans_2plus", "icans_3plus"} & {*found.boosters, *found.policy.thresholds} == set()
    assert found.calibration["icans_2plus"] == PRIOR_ALONE
    assert "icans_2plus" in retrain(settings).bundle.policy.thresholds


def test_too_few_is_said_aloud(few: SyntheticCohort, tables: Catalogue) -> None:
    said: list[str] = []
    found = train(cohort_of(few), "few", replace(SMALL, fewest_events=10_000), tables, said.append)
    assert found.bundle.boosters == {}
    for key in OUTCOME_KEYS:
        assert any(line.startswith(f"{key}: ") and "the published rate answers" in line for line in said)


# A bundle of published rates alone


def test_a_bundle_without_data_answers_the_published_rates(tables: Catalogue, tmp_path: Path) -> None:
    held = prior_only(tables, "prior-only", Settings())
    digest = bundle.write(held, tmp_path / "bundle")
    predictor = Predictor(bundle.read(tmp_path / "bundle", digest), tables)
    assert verify_golden(predictor) == len(golden_courses(tables))
    found = predictor.predict(snapshots(tables, [CourseInput(AXI, "lbcl", 0), CourseInput("unheard-of", "", 0)]))
    rates = pool(tables)[AXI].rates_for("lbcl")
    assert found.probability[0].tolist() == pytest.approx([rates[place] for place in (0, 1, 2, 4, 5)], abs=1e-9)
    assert all(math.isnan(one) for one in found.probability[1].tolist())


def test_a_bundle_without_data_claims_none(tables: Catalogue) -> None:
    held = prior_only(tables, "prior-only", Settings())
    assert held.about["trained_on"]["courses"] == 0
    assert (dict(held.boosters), held.policy.thresholds, held.policy.therapies) == ({}, {}, ())
    assert held.about["metrics"] == []
    assert prior_only(tables, "prior-only", Settings()).digest == held.digest
