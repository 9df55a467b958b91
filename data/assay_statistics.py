"""Statistics of a cytokine release assay: censored means, a sign-flip test, exact fractions, relative positions.

All values are natural logarithms. Donors are the unit: wells of one donor are averaged, and spread is between donors.
"""

from dataclasses import dataclass
from itertools import product
from math import isnan, nan, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr
from scipy.stats import beta, t

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Up to this many donors every pattern of signs is tried; beyond it, as many drawn ones (seeded).
EVERY_PATTERN_UP_TO = 12
PATTERN_SEED = 20261121
STEPS, TOLERANCE, SMALLEST_SD = 2000, 1e-8, 1e-3
#: So much of the spread may be hidden behind the limits before its share is no longer believed.
MOST_HIDDEN = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Mean:
    """Mean over n donors. influence: (n,) what each adds to it, mean 0. bound: taken at a limit, not estimated."""

    value: float
    influence: Array
    bound: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its two-sided interval over donors; NaN where unknown."""

    value: float = nan
    low: float = nan
    high: float = nan


def exact_fraction(count: int, of: int, confidence: float) -> Estimate:
    """count / of with the Clopper-Pearson interval; NaN where `of` is 0."""
    if of == 0:
        return Estimate()
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, of - count + 1))
    high = 1.0 if count == of else float(beta.ppf(1.0 - tail, count + 1, of - count))
    return Estimate(count / of, low, high)


def censored_mean(log: Array, side: Ints, donor: Ints, donors: int, fewest_exact: int) -> Mean:
    """Mean over donors of normal values of which some are only known to lie below (-1) or above (1) a limit.

    log, side, donor: (wells,), donor from 0 to donors - 1, each present. Maximum likelihood (Tobit), all donors
    alike. With fewer than `fewest_exact` donors inside the limits the limits themselves are taken, and said so.
    """
    weight = 1.0 / np.bincount(donor, minlength=donors)[donor] / donors
    hidden, filled, bound = 0.0, log, False
    if side.any():
        bound = len(np.unique(donor[side == 0])) < fewest_exact
        if not bound:
            filled, hidden = _fill(log, side, weight)
    own = np.bincount(donor, weights=filled * weight, minlength=donors).astype(np.float64) * donors
    value = float(own.mean())
    return Mean(value, (own - value) / (1.0 - min(hidden, MOST_HIDDEN)), bound)


def _fill(log: Array, side: Ints, weight: Array) -> tuple[Array, float]:
    """Censored values by their expectation under the fitted normal, and the share of information that is hidden.

    Expectation maximisation; the share is Louis's, for the mean with the spread held.
    """
    mean, sd = float(weight @ log), max(float(np.sqrt(weight @ (log - weight @ log) ** 2)), 0.1)
    filled, extra = _expected(log, side, mean, sd)
    for _ in range(STEPS):
        before = mean, sd
        mean = float(weight @ filled)
        sd = max(sqrt(float(weight @ ((filled - mean) ** 2 + extra))), SMALLEST_SD)
        filled, extra = _expected(log, side, mean, sd)
        if abs(mean - before[0]) + abs(sd - before[1]) < TOLERANCE:
            break
    return filled, float(weight @ extra) / sd**2


def _expected(log: Array, side: Ints, mean: float, sd: float) -> tuple[Array, Array]:
    """Expectation and variance of each value given its limit; the value itself and 0 where it was measured."""
    away = side * (log - mean) / sd
    hazard = np.exp(-0.5 * away**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(-away))
    filled = np.where(side == 0, log, mean + side * sd * hazard)
    extra = np.where(side == 0, 0.0, sd**2 * np.clip(1.0 + away * hazard - hazard**2, 0.0, 1.0))
    return filled, extra


def flip_p_values(differences: Array, groups: Ints) -> Array:
    """One-sided p of each group of columns (0, 1, ...), adjusted for all columns at once; (groups,).

    differences: (donors, columns), agent minus negative; NaN counts as no difference. Under no effect the sign of a
    donor's row is a coin toss; compared is the largest column sum over its root sum of squares (max-T).
    """
    held = np.nan_to_num(differences)
    scale = np.sqrt((held**2).sum(axis=0))
    standard = np.divide(held, scale, out=np.zeros_like(held), where=scale > 0)
    largest = (_signs(len(held)) @ standard).max(axis=1)
    seen = standard.sum(axis=0)
    tops = np.array([seen[groups == group].max() for group in range(groups.max() + 1)])
    # A hair below, so that the pattern that was seen counts itself whatever the rounding.
    p_values: Array = (largest[:, None] >= tops[None, :] - 1e-12).mean(axis=0)
    return p_values


def _signs(donors: int) -> Array:
    """(patterns, donors) of -1 and 1, the pattern that was seen (all 1) among them."""
    if donors <= EVERY_PATTERN_UP_TO:
        return np.array(list(product((1.0, -1.0), repeat=donors)))
    drawn = np.random.default_rng(PATTERN_SEED).choice((-1.0, 1.0), size=(2**EVERY_PATTERN_UP_TO, donors))
    drawn[0] = 1.0
    return drawn


@dataclass(frozen=True, slots=True, eq=False)
class Position:
    """Where the agent lies between negative (0) and positive (1), with what each donor adds to it."""

    value: float
    influence: Array

    def estimate(self, confidence: float) -> Estimate:
        """The position with its t interval over donors."""
        return interval(self.value, self.influence, confidence)


def position(agent: Mean, negative: Mean, positive: Mean) -> Position:
    """(agent - negative) / (positive - negative), a ratio of means over the same donors."""
    span = positive.value - negative.value
    at = (agent.value - negative.value) / span
    rest = (agent.influence - negative.influence) - at * (positive.influence - negative.influence)
    return Position(at, rest / span)


def interval(value: float, influence: Array, confidence: float) -> Estimate:
    """value with its two-sided t interval over donors; no interval with fewer than two."""
    donors = len(influence)
    if donors < 2 or isnan(value):
        return Estimate(value)
    spread = sqrt(float((influence**2).sum()) / (donors - 1) / donors)
    half = float(t.ppf((1.0 + confidence) / 2.0, donors - 1)) * spread
    return Estimate(value, value - half, value + half)
