"""Drift against a cohort: like is compared with like, and training courses' own answers never count as a reference."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audit.prediction import packed
from data.cohort import layers
from data.locked import locked
from data.tables import Cohort
from features import catalogue
from features.predict import Predictor
from tests.serving.builders import prior_bundle
from tests.training.test_monitor import judged, numbers, verdicts
from tests.training.watched import in_store, own, years
from training.monitor import Window, judge
from training.monitoring_checks import ALARM, TOO_FEW
from training.monitoring_inputs import check_drift, of_cohort, vector
from training.monitoring_policy import monitoring_policy

QUICK = replace(monitoring_policy(), permutations=300, chart_draws=500, bootstrap=20)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(prior_bundle(), catalogue.load())


def test_a_cohorts_sample_is_its_rows_at_the_first_index_time(cohort: Cohort, predictor: Predictor) -> None:
    found, layer = of_cohort(cohort, predictor), layers(cohort)[0]
    expected = predictor.predict(layer.snapshots)
    assert np.array_equal(found.values, expected.rows.values.astype(np.float64), equal_nan=True)
    assert np.array_equal(found.answers, expected.probability, equal_nan=True)
    assert set(found.landmark) == {"0h", "dose1+0h"}
    assert len(found) == len(cohort)


def test_answers_about_courses_that_trained_the_version_are_left_out(cohort: Cohort, predictor: Predictor) -> None:
    about = {"trained_on": {"source_fingerprint": cohort.fingerprint}, "settings": {"test_share": 0.2}}
    own_cohort = Predictor(replace(prior_bundle(), about=about), catalogue.load())
    kept = ~np.isnan(of_cohort(cohort, own_cohort).answers).all(axis=1)
    answered = ~np.isnan(of_cohort(cohort, predictor).answers).all(axis=1)
    assert kept.tolist() == (locked(cohort.patient_ids, 0.2) & answered).tolist()
    assert 0 < kept.sum() < len(cohort)


def test_half_of_a_cohort_does_not_drift_from_the_other_half(cohort: Cohort, predictor: Predictor) -> None:
    sample = of_cohort(cohort, predictor)
    half = np.arange(len(sample)) % 2 == 0
    found = check_drift(sample.take(half), sample.take(~half), predictor.bundle.spec, QUICK)
    assert ALARM not in {one.verdict for one in found}


def test_one_therapy_against_all_is_another_case_mix(cohort: Cohort, predictor: Predictor) -> None:
    sample = of_cohort(cohort, predictor)
    one = sample.therapy == sample.therapy[0]
    found = check_drift(sample.take(~one), sample.take(one), predictor.bundle.spec, replace(QUICK, permutations=1500))
    verdict = {check.name: check.verdict for check in found}
    assert verdict["drift: case mix"] == ALARM


def test_courses_asked_at_other_times_are_not_compared(cohort: Cohort, predictor: Predictor) -> None:
    sample = of_cohort(cohort, predictor)
    later = replace(sample, landmark=np.full(len(sample), "48h"))
    found = check_drift(sample, later, predictor.bundle.spec, QUICK)
    assert {one.verdict for one in found} == {TOO_FEW}
    assert found[0].numbers == {"reference": 0, "recent": 0}


def test_the_ledgers_courses_are_compared_with_the_cohort_that_is_named(
    cohort: Cohort, cohort_folder: Path, predictor: Predictor, tmp_path: Path
) -> None:
    home, layer = own(tmp_path), layers(cohort)[0]
    digest, rows = in_store(home, prior_bundle()), predictor.predict(layer.snapshots).rows
    single = [place for place, name in enumerate(layer.name) if name == "0h"][:20]
    with years(home) as held:
        for place in single:
            about = {"therapy": rows.therapy[place], "indication": layer.snapshots.courses.indication[place]}
            held.at(0).asked(f"p{place}", bundle=digest, **about, **packed(rows.values[place]))
        alone = judged(home, held, 10)
        until = Window(None, held.now[0].replace(day=11))
        beside = judge(home, held.ledger, until, cohort_folder, QUICK, catalogue.load())
    assert verdicts(alone)["drift: inputs"] == TOO_FEW
    assert numbers(beside, "drift: inputs")["recent"] == 20
    assert numbers(beside, "drift: inputs")["reference"] > 20
    assert verdicts(beside)["drift: inputs"] != ALARM


@pytest.mark.parametrize(("width", "size", "known"), [(3, 12, True), (3, 24, True), (3, 8, False), (0, 0, False)])
def test_a_recorded_row_is_read_by_its_width_alone(width: int, size: int, known: bool) -> None:
    stored = np.array([1.5, -2.0, np.nan], dtype="<f4" if size == 12 else "<f8").tobytes()[:size]
    found = vector(stored, width)
    assert (found is not None) is known
    if found is not None:
        assert np.array_equal(found, [1.5, -2.0, np.nan], equal_nan=True)
