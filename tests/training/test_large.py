"""What is done otherwise for many rows gives what is done for few."""

import copy
from dataclasses import astuple

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import isotonic_regression

from data.cohort import layers
from data.labels import label_layers
from data.tables import Cohort
from features.calibration import Calibration, Parts, Terms
from features.errors import ClusterError, CrsRiskError, DataError
from features.prior import sigmoid
from tests.training.builders import AXI, CRS_2, drawn, table
from training import baselines, cells, penalised, venn_abers
from training import calibrate as calibration
from training.assemble import questions
from training.calibrate import Evidence, calibrate
from training.config import Settings
from training.evaluate import LARGE, VERY_LARGE, fewer
from training.table import Table, words


def made_up(n: int = 300) -> Table:
    values = np.random.default_rng(4).normal(size=(n, 3))
    return table(drawn(values[:, 0], 4), values)


def test_levels_of_therapies_are_the_same_looked_up_together_and_one_by_one() -> None:
    names = (AXI, "teclistamab", "not seen")
    shifts = {"single": {AXI: 0.5}, "later_doses": {AXI: -1.0, "teclistamab": 2.0}}
    held = Calibration(Terms(intercept=0.25), Terms(), Terms(), shifts)
    therapy, dosing = np.repeat(names, 3), np.tile(np.arange(3), 3)
    none, never = np.zeros(9), np.zeros(9, dtype=bool)
    together = Parts(none, none, never, dosing, therapy, none, never)
    one_by_one = Parts(none, none, never, dosing, tuple(therapy.tolist()), none, never)
    found = held.shares(together, none).level
    assert found.tobytes() == held.shares(one_by_one, none).level.tobytes()
    assert found.tolist() == [0.75, 0.0, -1.0, 0.25, 0.0, 2.0, 0.25, 0.0, 0.0]


def test_a_baseline_of_many_rows_learns_from_evenly_spaced_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    real = baselines.base_rate

    def watched(train: Table, test: Table, outcome: int) -> np.ndarray:
        seen.append((len(train), len(test)))
        return real(train, test, outcome)

    held, fold_of = made_up(), np.arange(300) % 3
    whole = baselines.out_of_fold(held, np.arange(300), fold_of, CRS_2)
    monkeypatch.setattr(baselines, "ENOUGH_ROWS", 200)
    assert baselines.out_of_fold(held, np.arange(300), fold_of, CRS_2)["logistic_regression"].tolist() == (
        whole["logistic_regression"].tolist()
    )
    monkeypatch.setattr(baselines, "ENOUGH_ROWS", 80)
    monkeypatch.setattr(baselines, "ASKED_ROWS", 30)
    monkeypatch.setattr(baselines, "base_rate", watched)
    found = baselines.out_of_fold(held, np.arange(300), fold_of, CRS_2)
    assert seen == [(67, 100)] * 3
    for fold in range(3):
        learn, own = np.flatnonzero(fold_of != fold)[::3], fold_of == fold
        for name, baseline in baselines.FITTED.items():
            expected = baseline(held.take(learn), held.take(own), CRS_2)
            assert found[name][own] == pytest.approx(expected, abs=1e-3), name


def test_rows_that_are_named_are_the_rows_that_are_judged() -> None:
    held, rows = made_up(), np.arange(10, 250)
    fold_of = np.arange(240) % 3
    named = baselines.out_of_fold(held, rows, fold_of, CRS_2)
    alone = baselines.out_of_fold(held.take(rows), np.arange(240), fold_of, CRS_2)
    assert {name: score.tolist() for name, score in named.items()} == {
        name: score.tolist() for name, score in alone.items()
    }


@pytest.mark.parametrize(
    ("rows", "times"), [(1, 1), (LARGE, 1), (LARGE + 1, 4), (VERY_LARGE, 4), (VERY_LARGE + 1, 16), (10**7, 16)]
)
def test_larger_groups_are_resampled_less_often(rows: int, times: int) -> None:
    assert fewer(rows) == times


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1)), min_size=2, max_size=30), st.data())
def test_the_fit_behind_an_interval_is_scikit_learns(entries: list[tuple[int, float]], data: st.DataObject) -> None:
    weight = np.array([count for count, _ in entries], dtype=float)
    events = weight * np.array([share for _, share in entries])
    at, new = data.draw(st.integers(0, len(entries) - 1)), data.draw(st.sampled_from([0.0, 1.0]))
    weights, sums = weight.copy(), events.copy()
    weights[at] += 1.0
    sums[at] += new
    filled = np.flatnonzero(weights)
    fit = isotonic_regression(sums[filled] / weights[filled], sample_weight=weights[filled], y_min=0.0, y_max=1.0)
    assert venn_abers._with(weight, events, at, new) == fit[np.searchsorted(filled, at)]


@pytest.mark.parametrize("error", [DataError("courses", "broken", "mend it"), ClusterError("--cluster", "gone")])
def test_an_error_that_travels_arrives_as_the_same_line(error: CrsRiskError) -> None:
    made, parts = error.__reduce__()
    again = made(*parts)
    assert (type(again), str(again), again.place) == (type(error), str(error), error.place)
    assert str(copy.copy(error)) == str(error)


@pytest.mark.parametrize("rounds", [0, 12])
def test_the_loss_after_each_tree_is_the_one_xgboost_reports(monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
    monkeypatch.setattr(cells, "JUDGED_ROWS", 64)
    random = np.random.default_rng(2)
    values = random.normal(size=(300, 4)).astype(np.float32)
    values[random.random(values.shape) < 0.6] = np.nan
    label, margin = (random.random(300) < 0.4).astype(float), random.normal(-0.5, 0.3, 300)
    held = cells.Matrix(cells.Cells(values, np.arange(300)), label, margin, list("abcd"))
    record: dict[str, dict[str, list[float]]] = {}
    asked = {"objective": "binary:logistic", "base_score": 0.5, "max_depth": 3, "nthread": 1}
    own = held.plain()
    booster = xgboost.train(asked, own, rounds, evals=[(own, "own")], evals_result=record, verbose_eval=False)
    without = -float(np.mean(label * np.log(sigmoid(margin)) + (1 - label) * np.log(sigmoid(-margin))))
    expected = [without, *record.get("own", {}).get("logloss", [])]
    assert held.losses(booster) / 300 == pytest.approx(expected, rel=1e-6)


def test_a_zero_that_was_measured_is_not_missing_in_a_block() -> None:
    values = np.array([[0.0, np.nan, 2.0], [np.nan, np.nan, np.nan], [np.nan, -0.0, 1.0]], dtype=np.float32)
    found = cells.Cells(values, np.array([0, 1, 2])).present(0, 3)
    assert (found.data.tolist(), found.indices.tolist(), found.indptr.tolist()) == (
        [0.0, 2.0, -0.0, 1.0],
        [0, 2, 1, 2],
        [0, 2, 2, 4],
    )


def test_what_a_part_of_the_courses_settles_is_then_fitted_on_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    held = made_up(3000)
    evidence = Evidence(held.parts(CRS_2), held.values[:, 0].astype(float), held.label[:, CRS_2], held.course)
    spread = {AXI: 0.4}
    whole = calibrate(evidence, Settings(), spread)
    monkeypatch.setattr(calibration, "SETTLED_ROWS", 1000)
    part = calibrate(evidence, Settings(), spread)
    settled = calibrate(evidence.settled(), Settings(), spread)
    assert len(set(evidence.settled().course.tolist())) == 1000
    assert part.single.early_slope == pytest.approx(whole.single.early_slope, abs=1e-4)
    assert part.single.intercept == pytest.approx(whole.single.intercept, abs=1e-4)
    assert abs(settled.single.early_slope - whole.single.early_slope) > 1e-3


def test_calibration_of_many_rows_is_that_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    held = made_up(3000)
    course = held.course * 7 + 3
    evidence = Evidence(held.parts(CRS_2), held.values[:, 0].astype(float), held.label[:, CRS_2], course)
    few = calibrate(evidence, Settings(), {AXI: 0.4})
    monkeypatch.setattr(calibration, "NEAR_ROWS", 2999)
    many = calibrate(evidence, Settings(), {AXI: 0.4})
    assert astuple(many.single) == pytest.approx(astuple(few.single), abs=1e-6)
    assert many.therapy_shift["single"] == pytest.approx(few.therapy_shift["single"], abs=1e-6)
    assert many != few


def test_products_of_many_rows_are_summed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    design, weight = random.normal(size=(1000, 4)), random.random(1000)
    whole = penalised.weighed(design, weight)
    monkeypatch.setattr(penalised, "SUMMED_ROWS", 300)
    assert penalised.weighed(design, weight) == pytest.approx(whole, rel=1e-12)
    assert penalised.weighed(design[:300], weight[:300]).tolist() == (
        ((design[:300].T * weight[:300]) @ design[:300]).tolist()
    )


def test_layers_that_are_made_one_at_a_time_are_those_of_the_cohort(cohort: Cohort) -> None:
    together, labels = layers(cohort), label_layers(cohort, layers(cohort))
    asked, labelled = questions(cohort)
    count = 0
    for one, other in zip(asked, together, strict=True):
        assert one.number == other.number == count
        assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("course", "rows", "name"))
        assert one.snapshots.courses.therapy == other.snapshots.courses.therapy
        for name in ("course", "code", "seconds", "value", "limit"):
            found, expected = (getattr(layer.snapshots.observations, name) for layer in (one, other))
            assert found.tobytes() == expected.tobytes(), name
        for name in ("index_seconds", "dose_seconds", "dose_number"):
            assert np.array_equal(getattr(one.snapshots, name), getattr(other.snapshots, name)), name
        assert np.array_equal(labelled[count].value, labels[count].value, equal_nan=True)
        count += 1
    assert count == len(labelled) > 4


def test_texts_that_are_the_same_are_held_once() -> None:
    held = words(["".join(("24", "h")), "".join(("24", "h")), "48h"])
    assert held.tolist() == ["24h", "24h", "48h"]
    assert held[0] is held[1]
    assert (held == "24h").tolist() == [True, True, False]
