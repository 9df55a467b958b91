"""The logistic fit with a normal prior on each coefficient, by Newton's method."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.prior import sigmoid

Array = NDArray[np.float64]

#: Rows whose products are summed at once, so that memory holds no second design.
SUMMED_ROWS, SQUARED_ROWS = 131_072, 16_384
#: Most full steps from near the answer. Each promises a gain of twice the log-likelihood: one that promises less than
#: this share of the gain before it needs no curvature of its own, and one that promises less than the last is the last.
SOON_STEPS, SOON_FAST, SOON_ENOUGH = 30, 0.1, 1e-12
#: Keeps the curvature invertible where a column is constant; too small to move a coefficient.
_RIDGE = 1e-9


def weighed(design: Array, weight: Array) -> Array:
    """(k, k) the design's products with itself, rows (n, k) weighed by (n,); those of many rows a block at a time."""
    if len(design) <= SUMMED_ROWS:
        return np.asarray((design.T * weight) @ design)
    blocks = (slice(at, at + SUMMED_ROWS) for at in range(0, len(design), SUMMED_ROWS))
    total: Array = np.sum([weighed(design[own], weight[own]) for own in blocks], axis=0)
    return total


def squared(design: Array, weight: Array) -> Array:
    """As `weighed`, to many digits, in little more than half the time: the product of one matrix with itself."""
    total: Array = np.zeros((design.shape[1], design.shape[1]))
    for at in range(0, len(design), SQUARED_ROWS):
        root = design[at : at + SQUARED_ROWS] * np.sqrt(weight[at : at + SQUARED_ROWS])[:, None]
        total = total + root.T @ root
    return total


def penalised_logistic(
    design: Array,
    label: Array,
    centre: Array,
    spread: Array,
    offset: Array | float = 0.0,
    weight: Array | float = 1.0,
    start: Array | None = None,
) -> Array:
    """Coefficients (k,) that maximise the log-likelihood minus the sum of ((b - centre) / spread)^2 / 2.

    design (n, k), label (n,) in [0, 1], spread (k,) with infinity for no penalty, offset and weight (n,) or one number.
    start: (k,) a place that is thought to be near the answer, from which it is sooner found; none is needed.
    Newton's method; the problem is concave, so that halving a step always ends the search.
    """
    penalty = np.where(np.isinf(spread), 0.0, 1.0 / np.square(spread))
    problem = _Problem(design, label, centre, penalty, offset, np.broadcast_to(weight, label.shape))
    soon = None if start is None else problem.soon(start)
    return problem.search(centre.astype(float)) if soon is None else soon


@dataclass(frozen=True, slots=True)
class _Here:
    """A place in the search: coefficients (k,), log-odds (n,) and the objective there."""

    at: Array
    score: Array
    value: float


@dataclass(frozen=True, slots=True)
class _Problem:
    design: Array
    label: Array
    centre: Array
    penalty: Array
    offset: Array | float
    weight: Array

    def search(self, at: Array) -> Array:
        """(k,) the answer, from wherever the search begins."""
        here = self.tell(at)
        for _ in range(60):
            moved = self.step(here)
            if moved.value - here.value < 1e-10 * (1 + abs(here.value)):
                return moved.at
            here = moved
        return here.at

    def soon(self, at: Array) -> Array | None:
        """(k,) the answer by full steps from a place near it; none where they do not get there.

        The objective is never asked for, whose logarithms take longer than all else, and the curvature only where the
        one at hand no longer leads there fast.
        """
        inverse: Array = np.zeros((len(at), len(at)))
        gain = 0.0
        for _ in range(SOON_STEPS):
            p = sigmoid(self.design @ at + self.offset)
            gradient = self._gradient(p, at)
            before, gain = gain, float(gradient @ inverse @ gradient)
            if gain >= SOON_FAST * before:
                curvature = squared(self.design, self.weight * p * (1 - p)) + np.diag(self.penalty + _RIDGE)
                inverse = np.asarray(np.linalg.inv(curvature), dtype=np.float64)
                gain = float(gradient @ inverse @ gradient)
            if not np.isfinite(gain):
                return None
            at = at + inverse @ gradient
            if gain < SOON_ENOUGH:
                return at
        return None

    def tell(self, at: Array) -> _Here:
        score = self.design @ at + self.offset
        likelihood = self.weight @ (self.label * score - np.logaddexp(0.0, score))
        return _Here(at, score, float(likelihood - 0.5 * (self.penalty * np.square(at - self.centre)).sum()))

    def step(self, here: _Here) -> _Here:
        """One Newton step, halved until it does not lower the objective."""
        p = sigmoid(here.score)
        step = np.linalg.solve(self._curvature(p), self._gradient(p, here.at))
        for _ in range(30):
            moved = self.tell(here.at + step)
            if moved.value >= here.value:
                return moved
            step = step / 2
        return here

    def _gradient(self, p: Array, at: Array) -> Array:
        return np.asarray(self.design.T @ (self.weight * (self.label - p)) - self.penalty * (at - self.centre))

    def _curvature(self, p: Array) -> Array:
        return weighed(self.design, self.weight * p * (1 - p)) + np.diag(self.penalty + _RIDGE)
