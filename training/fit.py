"""Fitting one outcome: a small booster that starts from the prior, its out-of-fold scores, and its calibration."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import xgboost
from numpy.typing import NDArray

from features.bundle import Calibration
from features.predict import sum_of_leaves
from features.spec import Spec
from training.calibrate import calibrate
from training.config import Settings
from training.table import Table, patient_folds

Array = NDArray[np.float64]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Fitted:
    """One outcome's model.

    booster: UBJSON bytes, or none where the trees add nothing. rows: (n,) positions in the table of the usable rows.
    log_odds: (n,) out-of-fold, with a calibration that did not see the row's fold.
    """

    booster: bytes | None
    calibration: Calibration
    rounds: int
    rows: NDArray[np.int64]
    log_odds: Array


def fit_outcome(table: Table, outcome: int, spec: Spec, settings: Settings, seed: int) -> Fitted:
    """Fit one outcome on all its usable rows; how many trees and how far to trust them comes from patient-grouped folds."""
    rows = np.flatnonzero(table.usable(outcome))
    part = table.take(rows)
    label, prior = part.label[:, outcome], part.prior[:, outcome]
    fold_of = patient_folds(part.patient, label.astype(np.int64), settings.folds, seed)
    rounds, trees = _out_of_fold(part, outcome, spec, settings, fold_of)
    log_odds = cross_calibrated(prior, trees, label, fold_of, settings)
    calibration = calibrate(prior, trees, label, settings)
    booster = train_booster(part.values, prior, label, spec, settings, rounds) if rounds else None
    saved = bytes(booster.save_raw("ubj")) if booster is not None else None
    return Fitted(saved, calibration, rounds, rows, log_odds)


def predict_outcome(fitted: Fitted, values: NDArray[np.float32], prior: Array) -> Array:
    """(n,) calibrated log-odds of rows that were not fitted on."""
    trees = np.zeros(len(values))
    if fitted.booster is not None:
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(fitted.booster))
        trees = sum_of_leaves(booster, values).astype(float)
    return combine(fitted.calibration, prior, trees)


def combine(calibration: Calibration, prior: Array, trees: Array) -> Array:
    """(n,) log-odds of the answer."""
    return calibration.intercept + calibration.prior_slope * prior + calibration.model_slope * trees


def cross_calibrated(prior: Array, trees: Array, label: Array, fold_of: NDArray[np.int64], settings: Settings) -> Array:
    """(n,) log-odds, each row calibrated on the other folds only."""
    log_odds = np.empty_like(prior)
    for fold in np.unique(fold_of):
        own, others = fold_of == fold, fold_of != fold
        calibration = calibrate(prior[others], trees[others], label[others], settings)
        log_odds[own] = combine(calibration, prior[own], trees[own])
    return log_odds


def _out_of_fold(
    part: Table, outcome: int, spec: Spec, settings: Settings, fold_of: NDArray[np.int64]
) -> tuple[int, Array]:
    """The number of trees with the least out-of-fold log loss, and the trees' out-of-fold sums, (n,), at that number."""
    label, prior = part.label[:, outcome], part.prior[:, outcome]

    def one(fold: int) -> tuple[xgboost.Booster, Array]:
        train, test = fold_of != fold, fold_of == fold
        judge = matrix(part.values[test], spec, label[test], prior[test])
        learn = matrix(part.values[train], spec, label[train], prior[train])
        record: dict[str, dict[str, list[float]]] = {}
        booster = xgboost.train(
            parameters(spec, settings), learn, settings.rounds, evals=[(judge, "test")], evals_result=record, verbose_eval=False
        )
        return booster, np.array(record["test"]["logloss"]) * test.sum()

    folds = np.unique(fold_of)
    fitted = in_parallel(one, folds, settings.workers)
    losses = np.sum([loss for _, loss in fitted], axis=0)
    unfitted = np.sum(np.logaddexp(0.0, prior) - label * prior)
    rounds = int(np.argmin(losses)) + 1 if losses.min() < unfitted else 0
    trees = np.zeros(len(label))
    for fold, (booster, _) in zip(folds, fitted, strict=True):
        if rounds:
            trees[fold_of == fold] = sum_of_leaves(booster[:rounds], part.values[fold_of == fold])
    return rounds, trees


def train_booster(
    values: NDArray[np.float32], prior: Array, label: Array, spec: Spec, settings: Settings, rounds: int
) -> xgboost.Booster:
    """A booster of `rounds` trees that start from the prior's log-odds."""
    return xgboost.train(parameters(spec, settings), matrix(values, spec, label, prior), rounds, verbose_eval=False)


def matrix(values: NDArray[np.float32], spec: Spec, label: Array, prior: Array) -> xgboost.DMatrix:
    """XGBoost's matrix of rows, (n, columns), with the prior as its base margin."""
    return xgboost.DMatrix(values, label=label, base_margin=prior, feature_names=list(spec.names), nthread=1)


def parameters(spec: Spec, settings: Settings) -> dict[str, object]:
    """XGBoost's parameters; base_score is one half so that nothing but the prior and the trees makes the log-odds."""
    return {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "base_score": 0.5,
        "eta": settings.learning_rate,
        "max_depth": settings.max_depth,
        "min_child_weight": settings.min_child_weight,
        "lambda": settings.l2_penalty,
        "colsample_bytree": settings.columns_per_tree,
        "monotone_constraints": tuple(column.monotone for column in spec.columns),
        "seed": settings.seed,
        "nthread": 1,
    }


def in_parallel(work: Callable[[T], R], items: Iterable[T], workers: int) -> list[R]:
    """Results in order; XGBoost lets go of the interpreter while it fits, so threads are enough."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, items))
