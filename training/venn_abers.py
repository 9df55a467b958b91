"""Venn-Abers tables from out-of-fold scores: what a bundle stores to say how sure a probability is.

One Venn-Abers predictor says how far a single new course could move the calibration, which shrinks with the number of
courses much faster than the calibration's own error. The tables therefore hold the hull of the predictors of bootstrap
resamples of the courses, without the outermost 2.5 % at either end.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from features.interval import IntervalTable, cell

Array = NDArray[np.float64]

#: Scores that round to one multiple of this count as one score, which keeps the guarantee and bounds the table.
STEP = 0.05
#: Log-odds beyond these are as good as certain; they bound the table.
FURTHEST = 14.0
#: Share of the resamples that is left out at either end.
TAIL = 0.025


def interval_table(
    log_odds: Array, label: Array, course: NDArray[np.int64], resamples: int, seed: int
) -> IntervalTable:
    """The table of one outcome from (n,) out-of-fold log-odds, labels 0 or 1, and the courses they come from.

    Rows of one course share one outcome, so that together they weigh as one; the new course weighs one.
    """
    held = np.clip(log_odds, -FURTHEST, FURTHEST)
    start = STEP * float(np.floor(held.min() / STEP) - 1)
    place = cell(held, start, STEP)
    names, own = np.unique(course, return_inverse=True)
    random, even = np.random.default_rng(seed), np.full(len(names), 1 / len(names))
    per_row = len(names) / len(own)
    counts = [random.multinomial(len(names), even).astype(np.float64) for _ in range(resamples)]
    ends = np.array([_venn_abers(place, label, count[own] * per_row) for count in counts])
    low, high = np.quantile(ends[:, 0], TAIL, axis=0), np.quantile(ends[:, 1], 1 - TAIL, axis=0)
    return IntervalTable(start, STEP, tuple(low.tolist()), tuple(high.tolist()))


def _venn_abers(place: NDArray[np.int64], label: Array, weight: Array) -> Array:
    """(2, grid) ends of one Venn-Abers predictor: the new course a non-event, then an event. weight: (n,) of each row.

    The grid has one entry to spare at either end, so that a score beyond all others is none of theirs.
    """
    size = int(place.max()) + 2
    weights, events = (
        np.bincount(place, weights=one, minlength=size).astype(np.float64) for one in (weight, weight * label)
    )
    return np.array([[_with(weights, events, at, new) for at in range(size)] for new in (0.0, 1.0)])


def _with(weight: Array, events: Array, at: int, new: float) -> float:
    """The isotonic fit at one grid entry once a course with that score and label `new` is added."""
    weights, sums = weight.copy(), events.copy()
    weights[at] += 1.0
    sums[at] += new
    filled = np.flatnonzero(weights)
    # Asked of scipy itself: scikit-learn's wrapper gives the same and spends most of the time on checks.
    fit = isotonic_regression(sums[filled] / weights[filled], weights=weights[filled]).x
    return float(np.clip(fit[np.searchsorted(filled, at)], 0.0, 1.0))
