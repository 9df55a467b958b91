"""How far the prior and the trees are to be believed: a penalised logistic fit on out-of-fold scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.bundle import Calibration
from features.predict import sigmoid
from training.config import Settings

Array = NDArray[np.float64]


def calibrate(prior: Array, trees: Array, label: Array, settings: Settings) -> Calibration:
    """Intercept and the two slopes of one outcome; all inputs (n,), label 0 or 1.

    Each coefficient has a normal prior: intercept around 0, slopes around 1. With few events they stay there, with many
    the data decide. Trees without signal out of fold thus lose their weight.
    """
    design = np.column_stack([np.ones_like(prior), prior, trees])
    centre = np.array([0.0, 1.0, 1.0])
    spread = np.array([settings.intercept_sd, settings.prior_slope_sd, settings.model_slope_sd])
    intercept, prior_slope, model_slope = penalised_logistic(design, label, centre, spread)
    return Calibration(float(intercept), float(prior_slope), float(max(model_slope, 0.0)))


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
