"""Fitting one outcome: a small booster that starts from the prior, its out-of-fold scores, and its calibration."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import xgboost
from numpy.typing import NDArray

from features.calibration import Calibration, Parts, Shares
from features.outcomes import MILDER
from features.predict import sum_of_leaves
from features.spec import Spec
from training.calibrate import Evidence, calibrate, take
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
    optimistic; `training.cross_validation` repeats all of it inside each fold and is not.
    signal: (N,) what the trees say of every row of the table, each patient's rows by trees that did not see the
    patient; the next worse outcome starts from it.
    """

    booster: bytes | None
    calibration: Calibration
    rounds: int
    rows: NDArray[np.int64]
    log_odds: Array
    signal: Array


@dataclass(frozen=True, slots=True)
class Task:
    """The usable rows of one outcome: what the trees see, what calibration sees, and the label."""

    part: Table
    parts: Parts
    label: Array
    plan: Plan

    @classmethod
    def of(cls, part: Table, plan: Plan, milder: Array | None) -> "Task":
        return cls(part, part.parts(plan.outcome, milder), part.label[:, plan.outcome], plan)

    def take(self, which: NDArray[np.bool_]) -> "Task":
        return Task(self.part.take(which), take(self.parts, which), self.label[which], self.plan)

    def calibrate(self, trees: Array) -> Calibration:
        held = Evidence(self.parts, trees, self.label, self.part.course)
        return calibrate(held, self.plan.settings, self.plan.spread)

    def start(self) -> Calibration:
        """The prior brought to the local level, with what the milder outcome's trees say, without trees of its own."""
        return self.calibrate(np.zeros(len(self.label)))

    def matrix(self, level: Calibration) -> xgboost.DMatrix:
        return xgboost.DMatrix(
            self.part.values,
            label=self.label,
            base_margin=level.combine(self.parts, np.zeros(len(self.label))),
            feature_names=list(self.plan.spec.names),
            nthread=1,
        )


def fit_outcome(table: Table, plan: Plan, milder: Array | None = None) -> Fitted:
    """Fit one outcome on all its usable rows; how many trees, and how far to trust them, come from patient folds.

    milder: (N,) `Fitted.signal` of the next milder outcome, None where there is none or it was not fitted.
    """
    rows = np.flatnonzero(table.usable(plan.outcome))
    task = Task.of(table.take(rows), plan, None if milder is None else milder[rows])
    fold_of = fold_of_rows(task.part.patient, task.label.astype(np.int64), plan.settings.folds, plan.seed)
    rounds, boosters = _out_of_fold(task, fold_of)
    trees = _by_fold(boosters, task.part, fold_of)
    log_odds = np.empty(len(rows))
    for fold in np.unique(fold_of):
        own = fold_of == fold
        log_odds[own] = task.take(~own).calibrate(trees[~own]).combine(take(task.parts, own), trees[own])
    booster = train_booster(task, rounds) if rounds else None
    calibration = task.calibrate(trees)
    signal = calibration.shares(table.parts(plan.outcome, milder), _elsewhere(table, task, fold_of, boosters, booster))
    saved = bytes(booster.save_raw("ubj")) if booster is not None else None
    return Fitted(saved, calibration, rounds, rows, log_odds, signal.signal)


def predict_outcome(fitted: Fitted, table: Table, outcome: int, milder: Array | None = None) -> Shares:
    """What each part adds to the calibrated log-odds of (N,) rows that were not fitted on."""
    trees = np.zeros(len(table))
    if fitted.booster is not None:
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(fitted.booster))
        trees = sum_of_leaves(booster, table.values).astype(float)
    return fitted.calibration.shares(table.parts(outcome, milder), trees)


def milder_signal(fitted: Mapping[int, Fitted], place: int) -> Array | None:
    """What the trees of the next milder outcome say, where it was fitted. fitted: by place in OUTCOMES."""
    milder = MILDER[place]
    return fitted[milder].signal if milder is not None and milder in fitted else None


def _out_of_fold(task: Task, fold_of: NDArray[np.int64]) -> tuple[int, list[xgboost.Booster]]:
    """The number of trees with the least out-of-fold log loss, and each fold's booster of the other folds with it."""
    fitted = in_parallel(
        lambda fold: _judged(task.take(fold_of != fold), task.take(fold_of == fold)),
        np.unique(fold_of),
        task.plan.settings.workers,
    )
    rounds = int(np.argmin(np.sum([losses for _, losses in fitted], axis=0)))
    return rounds, [booster[:rounds] for booster, _ in fitted] if rounds else []


def _by_fold(boosters: list[xgboost.Booster], part: Table, fold_of: NDArray[np.int64]) -> Array:
    """(n,) sum of the leaves, of each row by its own fold's booster; 0 where there are no trees. fold_of: (n,)."""
    trees = np.zeros(len(part))
    for fold, booster in enumerate(boosters):
        trees[fold_of == fold] = sum_of_leaves(booster, part.values[fold_of == fold])
    return trees


def _elsewhere(
    table: Table,
    task: Task,
    fold_of: NDArray[np.int64],
    boosters: list[xgboost.Booster],
    booster: xgboost.Booster | None,
) -> Array:
    """(N,) sum of the leaves for every row: by the patient's fold; by the final booster for patients in no fold."""
    if booster is None:
        return np.zeros(len(table))
    own = np.full(int(table.patient.max()) + 1, -1)
    own[task.part.patient] = fold_of
    trees = _by_fold(boosters, table, own[table.patient])
    unseen = own[table.patient] < 0
    if unseen.any():
        trees[unseen] = sum_of_leaves(booster, table.values[unseen])
    return trees


def _judged(learn: Task, judge: Task) -> tuple[xgboost.Booster, Array]:
    """A booster of the most trees allowed, and its summed log loss on the judged rows after 0, 1, 2, ... trees."""
    level, settings = learn.start(), learn.plan.settings
    record: dict[str, dict[str, list[float]]] = {}
    booster = xgboost.train(
        parameters(learn.plan.spec, settings),
        learn.matrix(level),
        settings.rounds,
        evals=[(judge.matrix(level), "test")],
        evals_result=record,
        verbose_eval=False,
    )
    start = level.combine(judge.parts, np.zeros(len(judge.label)))
    without = float(np.sum(np.logaddexp(0.0, start) - judge.label * start))
    return booster, np.array([without, *(np.array(record["test"]["logloss"]) * len(judge.label))])


def train_booster(task: Task, rounds: int) -> xgboost.Booster:
    """A booster of `rounds` trees that start from the prior, brought to the local level."""
    settings = task.plan.settings
    return xgboost.train(parameters(task.plan.spec, settings), task.matrix(task.start()), rounds, verbose_eval=False)


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
