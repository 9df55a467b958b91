"""Repeated cross-validation of the whole recipe, with what any model has to beat in the very same folds."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from features.outcomes import MILDER, OUTCOME_KEYS
from training import baselines
from training.evaluate import Recipe, Result, judge, published
from training.fit import Fitted, fit_outcome, milder_signal, predict_outcome
from training.table import Table, fold_of_rows

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
    """Outcome -> predictor -> (repeats, N) log-odds, each row's from models that did not see its patient."""
    settings = recipe.settings
    repeats = [_one_repeat(table, recipe, outcomes, settings.seed + repeat) for repeat in range(settings.repeats)]
    return {
        place: {name: np.array([one[place][name] for one in repeats]) for name in repeats[0][place]}
        for place in outcomes
    }


def _one_repeat(table: Table, recipe: Recipe, outcomes: Sequence[int], seed: int) -> dict[int, dict[str, Array]]:
    """Outcome -> predictor -> (N,) log-odds, each row's from the other folds; NaN where the outcome is not at risk."""
    graver = np.nansum(table.label[:, list(outcomes)], axis=1).astype(np.int64)
    fold_of = fold_of_rows(table.patient, graver, recipe.settings.folds, seed)
    model = np.full((len(table), len(OUTCOME_KEYS)), np.nan)
    for fold in np.unique(fold_of):
        train, test = table.take(fold_of != fold), table.take(fold_of == fold)
        model[fold_of == fold] = predict_all(fit_all(train, recipe, outcomes, seed), test)
    return {place: _beside(table, fold_of, place, model[:, place]) for place in outcomes}


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


def _beside(table: Table, fold_of: NDArray[np.int64], place: int, model: Array) -> dict[str, Array]:
    """The model's scores and those of the baselines in the same folds, on the rows at risk."""
    rows = np.flatnonzero(table.usable(place))
    fitted = baselines.out_of_fold(table.take(rows), fold_of[rows], place)
    held = {"model": model[rows], **fitted, "published_rate": table.prior[rows, place]}
    return {name: _spread_out(score, rows, len(table)) for name, score in held.items()}


def _spread_out(score: Array, rows: NDArray[np.int64], n: int) -> Array:
    """(n,) the scores at their rows, NaN elsewhere."""
    found = np.full(n, np.nan)
    found[rows] = score
    return found
