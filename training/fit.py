"""Fitting one outcome: a small booster that starts from the prior, its out-of-fold scores, and its calibration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from features.calibration import Calibration, Parts, Shares
from features.outcomes import MILDER
from features.spec import Spec
from training.bins import binned
from training.calibrate import Evidence, calibrate, take
from training.cells import BLOCK_ROWS, Cells, Matrix, log_loss
from training.cluster import side_by_side
from training.config import Settings
from training.table import Table, fold_of_rows

Array = NDArray[np.float64]


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
    """The usable rows of one outcome, n of them: what the trees see, what calibration sees, and the label.

    cells: which rows of the table the trees see; its values are not copied. course, patient: (n,).
    """

    cells: Cells
    parts: Parts
    label: Array
    course: NDArray[np.int64]
    patient: NDArray[np.int64]
    plan: Plan

    @classmethod
    def of(cls, table: Table, plan: Plan, milder: Array | None) -> "Task":
        """milder: (N,) what the trees of the milder outcome say."""
        rows = np.flatnonzero(table.usable(plan.outcome))
        parts, label = take(table.parts(plan.outcome, milder), rows), table.label[rows, plan.outcome]
        return cls(Cells(table.values, rows), parts, label, table.course[rows], table.patient[rows], plan)

    def __len__(self) -> int:
        return len(self.label)

    def take(self, which: NDArray[np.bool_]) -> "Task":
        course, patient = self.course[which], self.patient[which]
        return Task(self.cells.take(which), take(self.parts, which), self.label[which], course, patient, self.plan)

    def calibrate(self, trees: Array) -> Calibration:
        return calibrate(Evidence(self.parts, trees, self.label, self.course), self.plan.settings, self.plan.spread)

    def evidence(self, trees: Array, which: NDArray[np.bool_]) -> Evidence:
        """What calibration learns from the named rows; trees: (n,)."""
        return Evidence(self.parts, trees, self.label, self.course).take(which)

    def start(self) -> Calibration:
        """The prior brought to the local level, with what the milder outcome's trees say, without trees of its own.

        Of a large table some of the courses settle it: trees only start from there.
        """
        held = Evidence(self.parts, np.zeros(len(self)), self.label, self.course)
        return calibrate(held.settled() if self.cells.large else held, self.plan.settings, self.plan.spread)

    def matrix(self, level: Calibration) -> Matrix:
        """Where the trees start."""
        return Matrix(self.cells, self.label, self.margin(level), list(self.plan.spec.names))

    def margin(self, level: Calibration) -> Array:
        """(n,) log-odds without trees."""
        return in_blocks(level, self.parts, np.zeros(len(self)), "log_odds")


def fit_outcome(table: Table, plan: Plan, milder: Array | None = None) -> Fitted:
    """Fit one outcome on all its usable rows; how many trees, and how far to trust them, come from patient folds.

    milder: (N,) `Fitted.signal` of the next milder outcome, None where there is none or it was not fitted.
    """
    task = Task.of(table, plan, milder)
    fold_of = fold_of_rows(task.patient, task.label.astype(np.int64), plan.settings.folds, plan.seed)
    rounds, boosters = _out_of_fold(table, task, milder, fold_of)
    booster = train_booster(task, rounds) if rounds else None
    everywhere = _everywhere(table, task, fold_of, boosters, booster)
    trees = everywhere[task.cells.rows]
    log_odds = np.empty(len(task))
    for fold in np.unique(fold_of):
        own = fold_of == fold
        found = calibrate(task.evidence(trees, ~own), plan.settings, plan.spread)
        log_odds[own] = in_blocks(found, take(task.parts, own), trees[own], "log_odds")
    calibration = task.calibrate(trees)
    signal = in_blocks(calibration, table.parts(plan.outcome, milder), everywhere, "signal")
    saved = bytes(booster.save_raw("ubj")) if booster is not None else None
    return Fitted(saved, calibration, rounds, task.cells.rows, log_odds, signal)


def predict_outcome(fitted: Fitted, table: Table, outcome: int, milder: Array | None = None) -> Shares:
    """What each part adds to the calibrated log-odds of (N,) rows that were not fitted on."""
    trees = np.zeros(len(table))
    if fitted.booster is not None:
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(fitted.booster))
        trees = all_cells(table).leaves(booster).astype(float)
    return fitted.calibration.shares(table.parts(outcome, milder), trees)


def milder_signal(fitted: Mapping[int, Fitted], place: int) -> Array | None:
    """What the trees of the next milder outcome say, where it was fitted. fitted: by place in OUTCOMES."""
    milder = MILDER[place]
    return fitted[milder].signal if milder is not None and milder in fitted else None


def all_cells(table: Table) -> Cells:
    """Every row of a table."""
    return Cells(table.values, np.arange(len(table)))


def _out_of_fold(
    table: Table, task: Task, milder: Array | None, fold_of: NDArray[np.int64]
) -> tuple[int, list[xgboost.Booster]]:
    """The number of trees with the least out-of-fold log loss, and each fold's booster of the other folds with it.

    On this machine the folds of a large table come in turn, with the one set of its bins.
    """
    plan = task.plan
    shared, workers = (table, plan, milder, fold_of), 1 if task.cells.large else plan.settings.workers
    fitted = side_by_side(_judged, shared, np.unique(fold_of).tolist(), workers)
    rounds = int(np.argmin(np.sum([losses for _, losses in fitted], axis=0)))
    return rounds, [booster[:rounds] for booster, _ in fitted] if rounds else []


def _by_fold(boosters: list[xgboost.Booster], cells: Cells, fold_of: NDArray[np.int64]) -> Array:
    """(n,) sum of the leaves, of each row by its own fold's booster; 0 where there are no trees. fold_of: (n,)."""
    trees = np.zeros(len(cells))
    for fold, booster in enumerate(boosters):
        trees[fold_of == fold] = cells.take(fold_of == fold).leaves(booster)
    return trees


def _everywhere(
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
    own[task.patient] = fold_of
    every = all_cells(table)
    trees = _by_fold(boosters, every, own[table.patient])
    unseen = own[table.patient] < 0
    if unseen.any():
        trees[unseen] = every.take(unseen).leaves(booster)
    return trees


def in_blocks(calibration: Calibration, parts: Parts, trees: Array, name: str) -> Array:
    """(n,) what `Calibration.shares` calls by that name, some rows at a time, so that memory holds little beside it."""
    starts = range(0, len(trees), BLOCK_ROWS)
    blocks = (slice(at, at + BLOCK_ROWS) for at in starts)
    found = [getattr(calibration.shares(take(parts, own), trees[own]), name) for own in blocks]
    return np.concatenate(found) if found else np.zeros(0)


def _judged(
    table: Table, plan: Plan, milder: Array | None, fold_of: NDArray[np.int64], fold: int
) -> tuple[xgboost.Booster, Array]:
    """A booster of the other folds with the most trees allowed, and its log loss on this one after 0, 1, 2, ... trees.

    The losses are sums over the rows. fold_of: (n,) of the usable rows.
    """
    task = Task.of(table, plan, milder)
    learn, judge = task.take(fold_of != fold), task.take(fold_of == fold)
    level = learn.start()
    grown, tested = learn.matrix(level), judge.matrix(level)
    if learn.cells.large:
        booster = _grow(grown, plan, plan.settings.rounds)
        return booster, tested.losses(booster)
    record: dict[str, dict[str, list[float]]] = {}
    booster = _grow(grown, plan, plan.settings.rounds, evals=[(tested.plain(), "test")], evals_result=record)
    without = log_loss(tested.label, tested.margin)
    return booster, np.array([without, *(np.array(record["test"]["logloss"]) * len(judge))])


def _grow(made: Matrix, plan: Plan, rounds: int, **more: Any) -> xgboost.Booster:
    """A booster of `rounds` trees."""
    with binned(made, rounds) as matrix:
        return xgboost.train(parameters(plan.spec, plan.settings), matrix, rounds, verbose_eval=False, **more)


def train_booster(task: Task, rounds: int) -> xgboost.Booster:
    """A booster of `rounds` trees that start from the prior, brought to the local level."""
    return _grow(task.matrix(task.start()), task.plan, rounds)


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
