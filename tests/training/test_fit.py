"""A fit depends on its data and seed alone, and no prediction ever saw its own fold."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray

from data.tables import Cohort
from features.catalogue import Catalogue
from features.outcomes import OUTCOME_KEYS
from features.pooling import pool
from features.predict import sum_of_leaves
from features.prior import Prior
from tests.training.builders import CRS_2, FALLING, FREE, QUICK, RISING, Array, columns, drawn, plan, table
from training import cross_validation, fit
from training.assemble import assemble
from training.calibrate import Evidence
from training.cross_validation import cross_validate_outcomes
from training.evaluate import Recipe, Result
from training.fit import Plan, Task, fit_outcome, predict_outcome, train_booster
from training.metrics import auroc, log_loss
from training.table import Table
from training.train import Trained

#: Trees that remember rows one by one.
MEMORY = replace(QUICK, rounds=60, max_depth=6, min_child_weight=0.0, l2_penalty=0.0, early_slope_sd=3.0)
#: No leaf is ever worth a split.
TREELESS = replace(QUICK, rounds=3, min_child_weight=1e9)


def signal(n: int = 400, seed: int = 1) -> Table:
    """Labels that come with the first of two columns."""
    values = np.random.default_rng(seed).normal(size=(n, 2))
    return table(drawn(1.5 * values[:, 0], seed), values)


def rank(label: Array, score: Array) -> float:
    return auroc(label, score, np.ones(len(label)))


@pytest.fixture
def fixed_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folds by the patient's number, which labels cannot move."""

    def by_number(patient: NDArray[np.int64], *_: Any) -> NDArray[np.int64]:
        return patient % 3

    for module in (fit, cross_validation):
        monkeypatch.setattr(module, "fold_of_rows", by_number)


# Determinism


def test_one_worker_and_two_give_the_same_bytes() -> None:
    one, two, again = (fit_outcome(signal(), plan([FREE, RISING], replace(QUICK, workers=n))) for n in (1, 2, 2))
    assert one.booster is not None
    assert one.booster == two.booster == again.booster
    assert one.calibration == two.calibration
    assert np.array_equal(one.log_odds, two.log_odds)


def test_another_seed_gives_another_model() -> None:
    settings = replace(QUICK, columns_per_tree=0.5)
    first, other = (fit_outcome(signal(), plan([FREE, RISING], replace(settings, seed=seed))) for seed in (1, 2))
    assert first.booster != other.booster


def test_rows_without_a_label_change_nothing() -> None:
    held = signal()
    label = np.concatenate([held.label[:, 0], np.full(50, np.nan)])
    longer = table(label, np.vstack([held.values, np.full((50, 2), 9.0)]))
    assert fit_outcome(longer, plan([FREE, RISING])).booster == fit_outcome(held, plan([FREE, RISING])).booster
    assert fit_outcome(longer, plan([FREE, RISING])).rows.tolist() == list(range(400))


# What it learns


def test_a_real_signal_is_found_and_new_rows_are_ranked_by_it() -> None:
    fitted = fit_outcome(signal(1500), plan([FREE, RISING]))
    new = signal(1500, seed=2)
    assert fitted.rounds > 0
    best = rank(new.label[:, 0], new.values[:, 0].astype(float))
    assert rank(new.label[:, 0], predict_outcome(fitted, new, CRS_2).log_odds) > best - 0.03


def test_noise_mostly_gets_no_weight_and_never_costs_more_than_a_trifle() -> None:
    label, spreads = np.arange(600) % 3 % 2 * 1.0, []
    rate = np.full(600, np.log(0.5))
    for seed in range(6):
        values = np.random.default_rng(seed).normal(size=(600, 2))
        fitted = fit_outcome(table(label, values), plan([FREE, RISING]))
        spreads.append(np.ptp(predict_outcome(fitted, table(label, values), CRS_2).log_odds))
        assert log_loss(label, fitted.log_odds, np.ones(600)) < log_loss(label, rate, np.ones(600)) + 0.002
    assert np.median(spreads) < 0.05


def test_where_no_tree_can_split_the_level_answers() -> None:
    held = signal()
    fitted = fit_outcome(held, plan([FREE, RISING], TREELESS))
    assert np.ptp(predict_outcome(fitted, held, CRS_2).log_odds) == 0.0


def test_a_direction_that_is_settled_biology_is_never_learnt_the_other_way_round() -> None:
    values = np.random.default_rng(1).normal(size=(800, 3))
    spec = columns(FREE, RISING, FALLING)
    wrong_way = -1.5 * values[:, spec.names.index(RISING)] + 1.5 * values[:, spec.names.index(FALLING)]
    learnt = train_booster(Task.of(table(drawn(wrong_way), values), plan(spec.names), None), 12)
    right_way = train_booster(Task.of(table(drawn(-wrong_way), values), plan(spec.names), None), 12)
    assert np.ptp(sweep(right_way, values, spec.names.index(RISING))) > 0.5
    for name, sign in ((RISING, 1), (FALLING, -1)):
        for booster in (learnt, right_way):
            assert (sign * np.diff(sweep(booster, values, spec.names.index(name)), axis=0) >= 0).all()


def sweep(booster: xgboost.Booster, values: NDArray[Any], place: int, steps: int = 25) -> NDArray[np.float32]:
    """(steps, n) what the trees add to each row as one column goes from its lowest to its highest value."""
    known = values[~np.isnan(values[:, place]), place]
    found = []
    for value in np.linspace(known.min(), known.max(), steps):
        changed = values.astype(np.float32)
        changed[:, place] = value
        found.append(sum_of_leaves(booster, changed))
    return np.array(found)


@pytest.mark.parametrize("key", ["crs_1plus", "crs_2plus"])
def test_monotone_columns_hold_in_the_trained_booster(
    trained: Trained, cohort: Cohort, tables: Catalogue, key: str
) -> None:
    body = assemble(cohort, Prior(pool(tables)), tables, 1)[0].values[:200]
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(trained.bundle.boosters[key]))
    spec = trained.bundle.spec
    used = set(booster.get_score())
    settled = [place for place, column in enumerate(spec.columns) if column.monotone and column.name in used]
    assert settled
    for place in settled:
        moves = spec.columns[place].monotone * np.diff(sweep(booster, body, place), axis=0)
        # Leaves are added in float32, so that equal sums may differ in the last place.
        assert moves.min() >= -1e-6, spec.names[place]


# Nothing sees its own fold


def memorable(own_patients: bool) -> Table:
    """Four rows a course with one label and one unique number each: nothing to learn, everything to remember."""
    random = np.random.default_rng(3)
    course = np.repeat(np.arange(90), 4)
    patient = np.arange(360) if own_patients else course
    label = random.permutation(np.arange(90) % 2)[course].astype(float)
    return table(label, random.normal(size=90)[course], patient, course=course)


def test_a_column_made_for_memorising_does_not_raise_the_out_of_fold_auroc() -> None:
    held = memorable(own_patients=False)
    booster = train_booster(Task.of(held, plan([FREE], MEMORY), None), 60)
    assert rank(held.label[:, 0], sum_of_leaves(booster, held.values).astype(float)) > 0.95
    assert rank(held.label[:, 0], fit_outcome(held, plan([FREE], MEMORY)).log_odds) < 0.6


def test_it_would_if_rows_of_one_patient_were_in_several_folds() -> None:
    held = memorable(own_patients=True)
    assert rank(held.label[:, 0], fit_outcome(held, plan([FREE], MEMORY)).log_odds) > 0.9


def flipped(held: Table, rows: NDArray[np.bool_]) -> Table:
    return replace(held, label=np.where(rows[:, None], 1 - held.label, held.label))


@pytest.mark.usefixtures("fixed_folds")
def test_without_trees_a_row_is_calibrated_without_the_labels_of_its_fold() -> None:
    held = signal()
    own = held.patient % 3 == 0
    before = fit_outcome(held, plan([FREE, RISING], TREELESS)).log_odds
    after = fit_outcome(flipped(held, own), plan([FREE, RISING], TREELESS)).log_odds
    assert np.array_equal(before[own], after[own])
    assert (before[~own] != after[~own]).all()


@pytest.mark.usefixtures("fixed_folds")
def test_the_trees_of_a_row_are_grown_without_the_labels_of_its_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given their number: that, and the calibration of the others' trees, is chosen over all folds."""
    seen: list[Array] = []
    real = fit.calibrate

    def watched(held: Evidence, *rest: Any) -> Any:
        seen.append(held.trees)
        return real(held, *rest)

    monkeypatch.setattr(fit, "calibrate", watched)
    held, settings = signal(), replace(QUICK, rounds=1)
    own = held.patient % 3 == 0
    trees = []
    for one in (held, flipped(held, own & (np.arange(400) < 60))):
        fitted = fit_outcome(one, plan([FREE, RISING], settings))
        assert fitted.rounds == 1
        trees.append(seen[-1])
    assert np.array_equal(trees[0][own], trees[1][own])
    assert not np.array_equal(trees[0][~own], trees[1][~own])


@pytest.mark.usefixtures("fixed_folds")
def test_cross_validation_never_shows_a_test_label_to_any_predictor(
    monkeypatch: pytest.MonkeyPatch, tables: Catalogue
) -> None:
    """Number of trees, calibration and baselines included: the outer folds are clean."""
    seen: list[dict[str, Array]] = []

    def kept(_table: Table, _outcome: int, scores: dict[str, Array], _settings: Any) -> list[Result]:
        seen.append(scores)
        return []

    monkeypatch.setattr(cross_validation, "judge", kept)
    held = signal(240)
    own = held.patient % 3 == 1
    recipe = Recipe(columns(FREE, RISING), {}, tables, QUICK)
    for one in (held, flipped(held, own)):
        cross_validate_outcomes(one, recipe, [CRS_2])
    for name in ("model", "logistic_regression", "base_rate"):
        before, after = seen[0][name][0], seen[1][name][0]
        assert np.array_equal(before[own], after[own]), name
        assert not np.array_equal(before[~own], after[~own]), name


# What the settings say is what the trees are grown by


def test_a_booster_starts_from_the_prior_and_adds_nothing_of_its_own(trained: Trained) -> None:
    for body in trained.bundle.boosters.values():
        booster = xgboost.Booster()
        booster.load_model(bytearray(body))
        config = booster.save_config()
        assert '"base_score":"[5E-1]"' in config.replace(" ", "") or '"base_score":"5E-1"' in config.replace(" ", "")


def test_the_parameters_are_the_settings() -> None:
    spec = columns(FREE, RISING, FALLING)
    found = fit.parameters(spec, QUICK)
    assert dict(zip(spec.names, found["monotone_constraints"], strict=True)) == {FREE: 0, RISING: 1, FALLING: -1}  # type: ignore[call-overload]
    assert (found["lambda"], found["eta"], found["seed"]) == (QUICK.l2_penalty, QUICK.learning_rate, QUICK.seed)


def test_the_trees_are_as_many_as_cross_validation_chose() -> None:
    one: Plan = plan([FREE, RISING])
    fitted = fit_outcome(signal(), one)
    booster = xgboost.Booster()
    assert fitted.booster is not None
    booster.load_model(bytearray(fitted.booster))
    assert booster.num_boosted_rounds() == fitted.rounds <= QUICK.rounds
    assert OUTCOME_KEYS[one.outcome] == "crs_2plus"
