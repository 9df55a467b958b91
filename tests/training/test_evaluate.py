"""Results stand per outcome, index time and predictor; a group that is too small has counts and no figures."""

import json
import math
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest

from data.synthetic import SyntheticCohort
from data.tables import Cohort
from features import bundle
from features.catalogue import Catalogue
from features.outcomes import OUTCOME_KEYS
from features.pooling import pool
from features.prior import Prior
from tests.training.builders import CRS_2, FREE, QUICK, RISING, columns, drawn, table
from training import cells
from training.assemble import assemble
from training.cross_validation import cross_validate_outcomes
from training.evaluate import (
    COMPARED,
    Recipe,
    Result,
    flat,
    judge,
    judge_bundle,
    to_json,
    true_risk,
)
from training.metrics import METRICS, Estimate, auroc
from training.train import Trained

TIMES = np.array(["0h"] * 60 + ["24h"] * 60)


def judged(label: np.ndarray, score: np.ndarray, name: str = "model") -> dict[str, Result]:
    found = judge(table(label, np.zeros(len(label)), index_name=TIMES), CRS_2, {name: score[None]}, QUICK)
    return {one.index_time: one for one in found}


def test_every_index_time_is_judged_and_all_together() -> None:
    score = np.random.default_rng(1).normal(size=120)
    label = drawn(score)
    found = judged(label, score)
    assert sorted(found) == ["0h", "24h", "all"]
    assert [found[name].rows for name in ("0h", "24h", "all")] == [60, 60, 120]
    assert found["all"].events == found["0h"].events + found["24h"].events == int(label.sum())
    assert found["24h"].metrics["auroc"].value == auroc(label[60:], score[60:], np.ones(60))


@pytest.mark.parametrize(("events", "known"), [(4, False), (5, True), (55, True), (56, False)])
def test_fewer_than_five_events_or_non_events_are_counted_and_not_judged(events: int, known: bool) -> None:
    label = np.tile((np.arange(60) < events).astype(float), 2)
    found = judged(label, np.linspace(-1, 1, 120))["0h"]
    assert (found.rows, found.events) == (60, events)
    assert bool(found.metrics) is known


@pytest.mark.parametrize(("patients", "known"), [(4, False), (5, True)])
@pytest.mark.parametrize("kind", [0.0, 1.0])
def test_rows_of_fewer_than_five_patients_are_not_judged_however_many(patients: int, known: bool, kind: float) -> None:
    label, patient = np.full(60, 1 - kind), np.arange(60)
    label[:20], patient[:20] = kind, np.arange(20) % patients
    held = table(label, np.zeros(60), patient)
    (found,) = [
        one for one in judge(held, CRS_2, {"model": np.linspace(-1, 1, 60)[None]}, QUICK) if one.index_time == "all"
    ]
    assert (found.rows, found.events) == (60, int(label.sum()))
    assert bool(found.metrics) is known


def test_rows_without_a_label_or_a_score_are_left_out() -> None:
    label, score = np.tile([0.0, 1.0], 60), np.linspace(-1, 1, 120)
    label[:10], score[-20:] = np.nan, np.nan
    found = judged(label, score)
    assert [found[name].rows for name in ("0h", "24h", "all")] == [50, 40, 90]


@pytest.mark.parametrize(
    ("predictor", "expected"),
    [("model", set(METRICS)), ("base_rate", set(COMPARED)), ("easix", {"auroc"}), ("m_easix", {"auroc"})],
)
def test_a_score_that_is_no_probability_is_judged_by_rank_alone(predictor: str, expected: set[str]) -> None:
    found = judged(np.tile([0.0, 1.0], 60), np.linspace(-1, 1, 120), predictor)
    assert set(found["all"].metrics) == expected


def test_predictors_that_are_judged_together_get_the_figures_of_each_alone() -> None:
    random = np.random.default_rng(3)
    label, scores = drawn(random.normal(size=120)), random.normal(size=(3, 120))
    scores[2, :9] = np.nan
    held = {name: score[None] for name, score in zip(("model", "base_rate", "easix"), scores, strict=True)}
    asked = table(label, np.zeros(120), np.arange(120) // 2, index_name=TIMES), CRS_2
    together = judge(*asked, held, QUICK)
    alone = [one for name, score in held.items() for one in judge(*asked, {name: score}, QUICK)]
    key = ["0h", "24h", "all"].index
    assert together == sorted(alone, key=lambda one: key(one.index_time))
    assert together[0].metrics["auroc"].low < together[0].metrics["auroc"].high


def test_the_figures_of_a_large_table_are_those_of_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    score = np.random.default_rng(1).normal(size=120)
    label = drawn(score)
    small = judged(label, 1.4 * score)
    monkeypatch.setattr(cells, "LARGE_CELLS", 1)
    large = judged(label, 1.4 * score)
    for name, one in small.items():
        for metric, found in one.metrics.items():
            assert astuple(large[name].metrics[metric]) == pytest.approx(astuple(found), abs=1e-5), metric
    assert large["all"].metrics["ici"] != small["all"].metrics["ici"]


def test_model_and_baselines_are_judged_on_the_same_rows(trained: Trained) -> None:
    by_group: dict[tuple[str, str], set[tuple[int, int]]] = {}
    for one in trained.results:
        if one.predictor in ("model", "base_rate", "logistic_regression", "published_rate"):
            by_group.setdefault((one.outcome, one.index_time), set()).add((one.rows, one.events))
    assert len(by_group) > 8
    assert all(len(counts) == 1 for counts in by_group.values())


def test_cross_validation_repeats_with_other_folds(tables: Catalogue) -> None:
    values = np.random.default_rng(1).normal(size=(150, 2))
    held = table(drawn(2 * values[:, 0]), values)
    once, thrice = (
        cross_validate_outcomes(
            held, Recipe(columns(FREE, RISING), {}, tables, replace(QUICK, repeats=n, bootstrap=0)), [CRS_2]
        )
        for n in (1, 3)
    )
    model = [next(one for one in found if one.predictor == "model") for found in (once, thrice)]
    assert [one.rows for one in model] == [150, 150]
    assert model[0].metrics["log_loss"].value != model[1].metrics["log_loss"].value
    assert model[1].metrics["auroc"].value > 0.7


def test_the_true_risk_is_that_of_the_side_table(
    made_up: SyntheticCohort, cohort: Cohort, cohort_folder: Path, tables: Catalogue
) -> None:
    held, _, _ = assemble(cohort, Prior(pool(tables)), tables, 1)
    found = true_risk(held, cohort, cohort_folder / "truth.parquet")
    truth = made_up.truth.set_index(["outcome", "course_id", "index"])["risk"]
    for place in (0, 7, 500, 1200):
        key = ("crs_2plus", str(cohort.course_ids[held.course[place]]), str(held.index_name[place]))
        log_odds = float(found["crs_2plus"][place])
        assert (key in truth.index) is not math.isnan(log_odds)
        if key in truth.index:
            assert 1 / (1 + math.exp(-log_odds)) == pytest.approx(truth[key], abs=1e-9)


@pytest.fixture(scope="module")
def of_bundle(
    trained: Trained, cohort: Cohort, cohort_folder: Path, tables: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> list[Result]:
    folder = tmp_path_factory.mktemp("judged") / "bundle"
    bundle.write(trained.bundle, folder)
    return judge_bundle(folder, cohort, tables, QUICK, cohort_folder / "truth.parquet")


def test_a_bundle_is_judged_beside_the_true_risk(of_bundle: list[Result]) -> None:
    losses = {
        one.predictor: one.metrics["log_loss"].value
        for one in of_bundle
        if (one.outcome, one.index_time) == ("crs_2plus", "all") and "log_loss" in one.metrics
    }
    assert set(losses) == {"model", "published_rate", "true_risk"}
    # On the rows it was fitted on, the model does better than what was published before it saw them.
    assert losses["model"] < losses["published_rate"]


def test_an_outcome_without_a_booster_is_judged_by_its_published_rate(of_bundle: list[Result]) -> None:
    found = {one.predictor: one for one in of_bundle if (one.outcome, one.index_time) == ("crs_3plus", "all")}
    model, published = found["model"].metrics["log_loss"], found["published_rate"].metrics["log_loss"]
    # As served: a probability above that of the milder grade is held down to it, which moves a few rows a little.
    assert model.value == pytest.approx(published.value, rel=1e-3)


def test_results_are_plain_json_where_undefined_is_null() -> None:
    one = Result("crs_1plus", "0h", "model", 9, 5, {"auroc": Estimate(0.75, math.nan, math.inf)})
    assert to_json([one]) == [
        {
            "outcome": "crs_1plus",
            "index_time": "0h",
            "predictor": "model",
            "rows": 9,
            "events": 5,
            "metrics": {"auroc": {"value": 0.75, "low": None, "high": None}},
        }
    ]
    json.dumps(to_json([one]), allow_nan=False)


def test_metric_names_say_outcome_time_and_predictor_and_undefined_ones_are_left_out() -> None:
    one = Result(
        "crs_1plus", "dose2+12h", "model", 9, 5, {"auroc": Estimate(0.75, 0.5, 1), "ici": Estimate(math.nan, 0, 1)}
    )
    assert flat([one]) == {"crs_1plus.dose2-plus-12h.model.auroc": 0.75}


def test_every_outcome_that_was_fitted_is_judged(trained: Trained) -> None:
    judged_keys = {one.outcome for one in trained.results}
    assert set(trained.bundle.boosters) <= judged_keys <= set(OUTCOME_KEYS)
