"""Fitting one outcome: a small booster that starts from the prior, its out-of-fold scores, and its calibration."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import xgboost
from numpy.typing import NDArray

from features.bundle import Calibration
from features.predict import sum_of_leaves
from features.spec import Spec
from training.calibrate import calibrate, take
from training.config import Settings
from training.table import Table, fold_of_rows

Array = NDArray[np.float64]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Plan:
    """How one outcome is fitted.

    outcome: position in OUTCOMES. spread: therapy key -> standard deviation of a centre's level around the published.
    """

    outcome: int
    spec: Spec
    spread: Mapping[str, float]
    settings: Settings
    seed: int


@dataclass(frozen=True, slots=True)
class Fitted:
    """One outcome's model.

    booster: UBJSON bytes, or none where the trees add nothing. rows: (n,) positions in the table of the usable rows.
    log_odds: (n,) out-of-fold, with a calibration that did not see the row's fold. The number of trees was picked on
    these very folds, and the other folds' trees have seen this one, so that figures made of them are slightly
    optimistic; `cross_validate_outcome` repeats all of it inside each fold and is not.
    """

    booster: bytes | None
    calibration: Calibration
    rounds: int
    rows: NDArray[np.int64]
    log_odds: Array


def fit_outcome(table: Table, plan: Plan) -> Fitted:
    """Fit one outcome on all its usable rows; how many trees, and how far to trust them, come from patient folds."""
    rows = np.flatnonzero(table.usable(plan.outcome))
    part = table.take(rows)
    label = part.label[:, plan.outcome]
    fold_of = fold_of_rows(part.patient, label.astype(np.int64), plan.settings.folds, plan.seed)
    rounds, trees = _out_of_fold(part, plan, fold_of)
    log_odds = np.empty(len(part))
    for fold in np.unique(fold_of):
        own, others = fold_of == fold, fold_of != fold
        held = _calibrate(part.take(others), trees[others], plan)
        log_odds[own] = held.combine(take(part.parts(plan.outcome), own), trees[own])
    booster = train_booster(part, plan, rounds) if rounds else None
    saved = bytes(booster.save_raw("ubj")) if booster is not None else None
    return Fitted(saved, _calibrate(part, trees, plan), rounds, rows, log_odds)


def predict_outcome(fitted: Fitted, table: Table, outcome: int) -> Array:
    """(N,) calibrated log-odds of rows that were not fitted on."""
    trees = np.zeros(len(table))
    if fitted.booster is not None:
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(fitted.booster))
        trees = sum_of_leaves(booster, table.values).astype(float)
    return fitted.calibration.combine(table.parts(outcome), trees)


def _calibrate(part: Table, trees: Array, plan: Plan) -> Calibration:
    parts, label = part.parts(plan.outcome), part.label[:, plan.outcome]
    return calibrate(parts, trees, label, plan.settings, plan.spread, part.courses)


def _start(part: Table, plan: Plan) -> Calibration:
    """The prior brought to the local level, without trees."""
    return _calibrate(part, np.zeros(len(part)), plan)


def _out_of_fold(part: Table, plan: Plan, fold_of: NDArray[np.int64]) -> tuple[int, Array]:
    """The number of trees with the least out-of-fold log loss, and the trees' out-of-fold sums (n,) at that number."""
    folds = np.unique(fold_of)
    fitted = in_parallel(
        lambda fold: _judged(part.take(fold_of != fold), part.take(fold_of == fold), plan), folds, plan.settings.workers
    )
    losses = np.sum([losses for _, losses in fitted], axis=0)
    rounds = int(np.argmin(losses))
    trees = np.zeros(len(part))
    for fold, (booster, _) in zip(folds, fitted, strict=True):
        if rounds:
            trees[fold_of == fold] = sum_of_leaves(booster[:rounds], part.values[fold_of == fold])
    return rounds, trees


def _judged(train: Table, test: Table, plan: Plan) -> tuple[xgboost.Booster, Array]:
    """A booster of the most trees allowed, and its summed log loss on the test rows after 0, 1, 2, ... trees."""
    level = _start(train, plan)
    judge, learn = _matrix(test, plan, level), _matrix(train, plan, level)
    record: dict[str, dict[str, list[float]]] = {}
    booster = xgboost.train(
        parameters(plan.spec, plan.settings),
        learn,
        plan.settings.rounds,
        evals=[(judge, "test")],
        evals_result=record,
        verbose_eval=False,
    )
    start, label = level.combine(test.parts(plan.outcome), np.zeros(len(test))), test.label[:, plan.outcome]
    without = float(np.sum(np.logaddexp(0.0, start) - label * start))
    return booster, np.array([without, *(np.array(record["test"]["logloss"]) * len(test))])


def train_booster(part: Table, plan: Plan, rounds: int) -> xgboost.Booster:
    """A booster of `rounds` trees that start from the prior, brought to the local level."""
    learn = _matrix(part, plan, _start(part, plan))
    return xgboost.train(parameters(plan.spec, plan.settings), learn, rounds, verbose_eval=False)


def _matrix(part: Table, plan: Plan, level: Calibration) -> xgboost.DMatrix:
    return xgboost.DMatrix(
        part.values,
        label=part.label[:, plan.outcome],
        base_margin=level.combine(part.parts(plan.outcome), np.zeros(len(part))),
        feature_names=list(plan.spec.names),
        nthread=1,
    )


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
