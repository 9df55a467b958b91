"""What `crs tune` compares settings by: the log loss of the whole recipe, fold by fold, on the same rows for all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from features.errors import DataError
from features.outcomes import OUTCOME_KEYS
from training.config import Settings
from training.cross_validation import dealt, predict_fold
from training.evaluate import Recipe
from training.table import Table

#: Outcome -> summed log loss and number of rows, of one fold.
Losses = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Task:
    """What settings are compared on: the same rows and folds for all. recipe: with the given settings.

    outcomes: places in OUTCOMES, ascending. fold_of: (N,) fold of each row of the table, whole patients.
    """

    table: Table
    recipe: Recipe
    outcomes: tuple[int, ...]
    fold_of: NDArray[np.int64]

    @classmethod
    def of(cls, table: Table, recipe: Recipe, outcomes: Sequence[int]) -> "Task":
        """The folds are those of `crs evaluate --design internal`. DataError where no outcome can be taught."""
        if not outcomes:
            raise DataError("events", "no outcome has enough events to compare settings", "bring more courses")
        fold_of = dealt(table, outcomes, recipe.settings.folds, recipe.settings.seed)
        return cls(table, recipe, tuple(outcomes), fold_of)

    @property
    def folds(self) -> int:
        return int(self.fold_of.max()) + 1


def fold_losses(task: Task, settings: Settings, fold: int) -> dict[str, list[float]]:
    """Summed log loss and number of rows per outcome in one fold, by models of the other folds, all of it refitted."""
    test = task.fold_of == fold
    recipe = replace(task.recipe, settings=settings)
    # One thread, so that the same data give the same bits whatever the number of cores.
    with threadpool_limits(limits=1, user_api="blas"):
        score = predict_fold(task.table, recipe, task.outcomes, test, settings.seed)
    part = task.table.take(test)
    return {OUTCOME_KEYS[place]: _loss(part, place, score[:, place]) for place in task.outcomes}


def _loss(part: Table, place: int, score: NDArray[np.float64]) -> list[float]:
    known = part.usable(place)
    label, said = part.label[known, place], score[known]
    return [float(np.sum(np.logaddexp(0.0, said) - label * said)), float(known.sum())]


def mean_loss(folds: Sequence[Losses]) -> float:
    """Mean over the outcomes of the log loss over all rows of these folds; 0 where no row could be judged yet."""
    names = folds[0].keys()
    sums = [[sum(fold[name][part] for fold in folds) for part in (0, 1)] for name in names]
    judged = [total / rows for total, rows in sums if rows]
    return float(np.mean(judged)) if judged else 0.0
