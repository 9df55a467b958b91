"""What any model has to beat, in the same folds: the base rate, logistic regression, and the published scores."""

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from features.predict import log_odds_of
from features.prior import sigmoid
from features.spec import Spec
from training import linear
from training.cells import Cells
from training.table import Table

Array = NDArray[np.float64]

#: Rows from which a baseline is fitted, at most.
ENOUGH_ROWS = 50_000
#: Of more rows than that so many are asked at once.
ASKED_ROWS = 16_384
#: Variance of the normal prior of each of the regression's coefficients, of columns that are standardised.
STRENGTH = 0.05
#: Published scores that are compared by rank where their inputs exist: name -> column of the row.
SCORES = {"easix": "easix_log2", "m_easix": "m_easix_log2"}


def out_of_fold(table: Table, rows: NDArray[np.int64], fold_of: NDArray[np.int64], outcome: int) -> dict[str, Array]:
    """(n,) log-odds of the two fitted baselines on those rows, each from the other folds. rows, fold_of: (n,).

    Of more than `ENOUGH_ROWS` every so many-th teaches: hundreds of coefficients are settled long before that.
    """
    held = {name: np.empty(len(rows)) for name in FITTED}
    line: linear.Line | None = None
    for fold in np.unique(fold_of):
        others, own = rows[fold_of != fold], np.flatnonzero(fold_of == fold)
        train = table.take(others[:: -(-len(others) // ENOUGH_ROWS)])
        if len(others) > ENOUGH_ROWS:
            line = linear.fitted(_plain(train), train.label[:, outcome], STRENGTH, line)
            held["logistic_regression"][own] = _asked(table, rows[own], line)
            held["base_rate"][own] = base_rate(train, table.without_values().take(rows[own]), outcome)
        else:
            for name, baseline in FITTED.items():
                held[name][own] = baseline(train, table.take(rows[own]), outcome)
    return held


def _asked(table: Table, rows: NDArray[np.int64], line: linear.Line) -> Array:
    """(n,) log-odds of those rows of a table, some at a time."""
    found = []
    for at in range(0, len(rows), ASKED_ROWS):
        own = rows[at : at + ASKED_ROWS]
        block = Cells(table.values, own).block(0, len(own)).astype(np.float64)
        found.append(line.log_odds(np.column_stack([block, table.prior[own]])))
    return log_odds_of(sigmoid(np.concatenate(found)))


def base_rate(train: Table, test: Table, outcome: int) -> Array:
    """(N,) log-odds of the training folds' event rate at the row's own index time."""
    result = np.empty(len(test))
    for name in sorted(set(test.index_name.tolist())):
        label = train.label[train.index_name == name, outcome]
        result[test.index_name == name] = _rate(label if len(label) else train.label[:, outcome])
    return result


def _rate(label: Array) -> float:
    """Log-odds of the event rate, half an event of each kind added so that it is finite."""
    events = float(label.sum()) + 0.5
    return float(np.log(events / (len(label) + 1 - events)))


def logistic_regression(train: Table, test: Table, outcome: int) -> Array:
    """(N,) log-odds of an L2-penalised logistic regression on all columns, medians and flags for what is missing."""
    model = _pipeline()
    model.fit(_plain(train), train.label[:, outcome])
    step = ENOUGH_ROWS if len(test) <= ENOUGH_ROWS else ASKED_ROWS
    blocks = (np.arange(at, min(at + step, len(test))) for at in range(0, len(test), step))
    found = [model.predict_proba(_plain(test.take(rows)))[:, 1] for rows in blocks]
    return log_odds_of(np.concatenate(found))


def _pipeline() -> Pipeline:
    # What it is given is a copy already, and a large one.
    return make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True, copy=False),
        StandardScaler(copy=False),
        LogisticRegression(C=STRENGTH, solver="newton-cholesky", max_iter=100),
    )


#: Baselines that are fitted: name -> how its log-odds of test rows come from train rows.
FITTED = {"base_rate": base_rate, "logistic_regression": logistic_regression}


def _plain(table: Table) -> Array:
    return np.column_stack([table.values.astype(np.float64), table.prior])


def published_score(table: Table, spec: Spec, name: str) -> Array | None:
    """(N,) a published score on its log2 scale, NaN where an input is missing; None where the spec lacks it."""
    column = SCORES[name]
    return table.values[:, spec.names.index(column)].astype(np.float64) if column in spec.names else None
