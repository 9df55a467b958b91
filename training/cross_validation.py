"""Repeated cross-validation of the whole recipe, with what any model has to beat in the very same folds."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from features.outcomes import MILDER, OUTCOME_KEYS
from training import baselines
from training.cluster import side_by_side
from training.evaluate import Recipe, Result, judge, published
from training.fit import Fitted, all_cells, fit_outcome, milder_signal, predict_outcome
from training.table import Table, fold_of_rows, spread_out

Array = NDArray[np.float64]


def cross_validate_outcomes(table: Table, recipe: Recipe, outcomes: Sequence[int]) -> list[Result]:
    """Repeated patient-grouped cross-validation: the whole recipe, calibration and all, sees the other folds only.

    outcomes: places in OUTCOMES, ascending; a worse grade starts from the milder one where both are named.
    """
    return judge_outcomes(table, recipe, out_of_fold_scores(table, recipe, outcomes))


def judge_outcomes(table: Table, recipe: Recipe, scores: Mapping[int, Mapping[str, Array]]) -> list[Result]:
    """Metrics of every predictor, the published scores beside them. scores: as from `out_of_fold_scores`."""
    beside = published(table, recipe.spec)
    return [
        result for place, one in scores.items() for result in judge(table, place, {**one, **beside}, recipe.settings)
    ]


def out_of_fold_scores(table: Table, recipe: Recipe, outcomes: Sequence[int]) -> dict[int, dict[str, Array]]:
    """Outcome -> predictor -> (repeats, N) log-odds, each row's from models that did not see its patient.

    Each fold of each repeat is a task of its own, and the fits inside it come one after another. On this machine the
    folds of a large table come in turn: each of them copies its rows.
    """
    seeds = [recipe.settings.seed + repeat for repeat in range(recipe.settings.repeats)]
    folds = [dealt(table, outcomes, recipe.settings.folds, seed) for seed in seeds]
    asked = [(repeat, fold) for repeat, fold_of in enumerate(folds) for fold in np.unique(fold_of).tolist()]
    workers = 1 if all_cells(table).large else recipe.settings.workers
    tested = side_by_side(_tested, (table, recipe, outcomes, folds), asked, workers)
    model = np.full((len(seeds), len(table), len(OUTCOME_KEYS)), np.nan)
    for (repeat, fold), found in zip(asked, tested, strict=True):
        model[repeat, folds[repeat] == fold] = found
    return {place: _beside(table, folds, place, model[:, :, place], recipe.settings.workers) for place in outcomes}


def _tested(
    table: Table, recipe: Recipe, outcomes: Sequence[int], folds: Sequence[NDArray[np.int64]], asked: tuple[int, int]
) -> Array:
    """(m, outcomes) log-odds of the rows of one fold of one repeat; NaN where the outcome was not asked for."""
    repeat, fold = asked
    return predict_fold(table, recipe, outcomes, folds[repeat] == fold, recipe.settings.seed + repeat)


def dealt(table: Table, outcomes: Sequence[int], folds: int, seed: int) -> NDArray[np.int64]:
    """(N,) fold of each row: whole patients, dealt evenly by how many of the outcomes came."""
    graver = np.nansum(table.label[:, list(outcomes)], axis=1).astype(np.int64)
    return fold_of_rows(table.patient, graver, folds, seed)


def predict_fold(table: Table, recipe: Recipe, outcomes: Sequence[int], test: NDArray[np.bool_], seed: int) -> Array:
    """(m, outcomes) log-odds of the m rows of one fold, by models of all other rows. test: (N,) the fold's rows."""
    return predict_all(fit_all(table.take(~test), recipe, outcomes, seed), table.take(test))


def fit_all(table: Table, recipe: Recipe, outcomes: Sequence[int], seed: int) -> dict[int, Fitted]:
    """Place in OUTCOMES -> its model; outcomes ascending, so that a worse grade starts from the milder one if named."""
    found: dict[int, Fitted] = {}
    for place in outcomes:
        found[place] = fit_outcome(table, recipe.plan(table, place, seed), milder_signal(found, place))
    return found


def predict_all(fitted: Mapping[int, Fitted], table: Table) -> Array:
    """(n, outcomes) log-odds of rows that were not fitted on; NaN for outcomes without a model."""
    found = np.full((len(table), len(OUTCOME_KEYS)), np.nan)
    told: dict[int | None, Array] = {}
    for place, one in fitted.items():
        shares = predict_outcome(one, table, place, told.get(MILDER[place]))
        found[:, place], told[place] = shares.log_odds, shares.signal
    return found


def _beside(
    table: Table, folds: Sequence[NDArray[np.int64]], place: int, model: Array, workers: int
) -> dict[str, Array]:
    """(repeats, N) the model's scores and those of the baselines in the same folds, NaN but on the rows at risk."""
    rows = np.flatnonzero(table.usable(place))
    fitted = side_by_side(_baselines, (table, rows, place), [fold_of[rows] for fold_of in folds], workers)
    held = {"model": model[:, rows], **{name: np.array([one[name] for one in fitted]) for name in fitted[0]}}
    rate = np.broadcast_to(table.prior[rows, place], (len(folds), len(rows)))
    return {name: spread_out(score, rows, len(table)) for name, score in {**held, "published_rate": rate}.items()}


def _baselines(table: Table, rows: NDArray[np.int64], place: int, fold_of: NDArray[np.int64]) -> Mapping[str, Array]:
    return baselines.out_of_fold(table, rows, fold_of, place)
