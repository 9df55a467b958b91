"""How far the prior and the trees are to be believed: a penalised logistic fit on out-of-fold scores."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.bundle import Calibration, Parts, elapsed, freshness
from features.predict import sigmoid
from training.config import Settings

Array = NDArray[np.float64]


def take(parts: Parts, which: NDArray[np.bool_] | NDArray[np.int64]) -> Parts:
    """The named rows, in that order."""
    return Parts(parts.prior[which], parts.hours[which], parts.begun[which], np.asarray(parts.therapy)[which])


def calibrate(
    parts: Parts, trees: Array, label: Array, settings: Settings, spread: Mapping[str, float], courses: int
) -> Calibration:
    """How far to believe the prior, the clock and the trees, for one outcome; arrays (n,), label 0 or 1.

    Each coefficient has a normal prior: prior and late trees around 1, the rest around 0, so that with few events they
    stay there and with many the data decide. At the infusion itself trees must earn their weight: it is held near 0,
    unless a weight near 1 explains the labels better by `evidence_needed`. spread: therapy key -> standard deviation of
    a centre's own level around the published one. courses: how many courses the n rows come from; rows of one course
    share one outcome, so that together they count as one.
    """
    keys = sorted(spread)
    fresh = freshness(parts.hours)
    clock = np.where(parts.begun, 0.0, elapsed(parts.hours))
    member = np.asarray(parts.therapy)[:, None] == np.array(keys)
    design = np.column_stack(
        [np.ones_like(trees), parts.prior, clock, parts.begun, trees * fresh, trees * (1 - fresh), member]
    )
    widths = np.array([*_widths(settings), *(spread[key] for key in keys)])
    weight = courses / len(label)
    doubting, believing = (
        penalised_logistic(design, label, _centre(early, len(widths)), _held(widths, width), weight=weight)
        for early, width in ((0.0, settings.early_slope_sd), (1.0, settings.late_slope_sd))
    )
    gained = weight * (_log_likelihood(design @ believing, label) - _log_likelihood(design @ doubting, label))
    found = (believing if gained > settings.evidence_needed else doubting).tolist()
    intercept, prior_slope, time_slope, begun_shift, early, late = found[:6]
    shifts = dict(zip(keys, found[6:], strict=True))
    return Calibration(intercept, prior_slope, time_slope, begun_shift, max(early, 0.0), max(late, 0.0), shifts)


#: Places of the design's columns.
_PRIOR, _EARLY, _LATE = 1, 4, 5


def _centre(early: float, count: int) -> Array:
    centre = np.zeros(count)
    centre[[_PRIOR, _EARLY, _LATE]] = 1.0, early, 1.0
    return centre


def _held(widths: Array, early: float) -> Array:
    held = widths.copy()
    held[_EARLY] = early
    return held


def _log_likelihood(score: Array, label: Array) -> float:
    return float(np.sum(label * score - np.logaddexp(0.0, score)))


def _widths(settings: Settings) -> list[float]:
    return [
        settings.intercept_sd,
        settings.prior_slope_sd,
        settings.time_slope_sd,
        settings.begun_shift_sd,
        settings.early_slope_sd,
        settings.late_slope_sd,
    ]


def penalised_logistic(
    design: Array,
    label: Array,
    centre: Array,
    spread: Array,
    offset: Array | float = 0.0,
    weight: Array | float = 1.0,
) -> Array:
    """Coefficients (k,) that maximise the log-likelihood minus the sum of ((b - centre) / spread)^2 / 2.

    design (n, k), label (n,) in [0, 1], spread (k,) with infinity for no penalty, offset and weight (n,) or one number.
    Newton's method; the problem is concave, so that halving a step always ends the search.
    """
    penalty = np.where(np.isinf(spread), 0.0, 1.0 / np.square(spread))
    problem = _Problem(design, label, centre, penalty, offset, np.broadcast_to(weight, label.shape))
    at = centre.astype(float).copy()
    value = problem.value(at)
    for _ in range(60):
        at, moved = problem.step(at, value)
        if moved - value < 1e-10 * (1 + abs(value)):
            return at
        value = moved
    return at


@dataclass(frozen=True, slots=True)
class _Problem:
    design: Array
    label: Array
    centre: Array
    penalty: Array
    offset: Array | float
    weight: Array

    def value(self, at: Array) -> float:
        score = self.design @ at + self.offset
        likelihood = self.weight @ (self.label * score - np.logaddexp(0.0, score))
        return float(likelihood - 0.5 * (self.penalty * np.square(at - self.centre)).sum())

    def step(self, at: Array, value: float) -> tuple[Array, float]:
        """One Newton step, halved until it does not lower the objective."""
        p = sigmoid(self.design @ at + self.offset)
        gradient = self.design.T @ (self.weight * (self.label - p)) - self.penalty * (at - self.centre)
        curvature = (self.design.T * (self.weight * p * (1 - p))) @ self.design
        step = np.linalg.solve(curvature + np.diag(self.penalty + _RIDGE), gradient)
        for _ in range(30):
            moved = self.value(at + step)
            if moved >= value:
                return at + step, moved
            step = step / 2
        return at, value


#: Keeps the curvature invertible where a column is constant; too small to move a coefficient.
_RIDGE = 1e-9
