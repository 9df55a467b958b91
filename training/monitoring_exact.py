"""Is the number of events what the stated probabilities promise? Exact, for any number of courses.

If the probabilities are right, the number of events among independent courses has a Poisson binomial distribution: no
approximation is needed, which matters where two events are expected. Source: Hong 2013, Comput Stat Data Anal 59:41.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.prior import log_odds, sigmoid

Array = NDArray[np.float64]

#: Shifts of the log-odds beyond this are told as not bounded.
LARGEST_SHIFT = 8.0
_STEPS = 40


@dataclass(frozen=True, slots=True)
class Large:
    """Calibration in the large of n courses, one row each.

    shift: of the log-odds that makes expected equal observed, with its exact 95 % interval; -inf or inf where it is not
    bounded. p: two-sided, twice the smaller tail. All hold for one look, not for looking again and again.
    """

    courses: int
    observed: int
    expected: float
    shift: float
    low: float
    high: float
    p: float


def distribution(probability: Array) -> Array:
    """(n + 1,) chance of each number of events among independent courses; probability (n,) in [0, 1]."""
    chance = np.zeros(len(probability) + 1)
    chance[0] = 1.0
    for number, one in enumerate(probability.tolist(), start=1):
        chance[1 : number + 1] = chance[1 : number + 1] * (1 - one) + chance[:number] * one
        chance[0] *= 1 - one
    return chance


def tails(probability: Array, observed: int) -> tuple[float, float]:
    """Chances of at most, and of at least, that many events."""
    chance = distribution(probability)
    return min(float(chance[: observed + 1].sum()), 1.0), min(float(chance[observed:].sum()), 1.0)


def in_the_large(label: Array, probability: Array) -> Large:
    """label (n,) in {0, 1}, probability (n,) strictly between 0 and 1; independent courses, at least one."""
    score, observed, count = log_odds(probability), int(label.sum()), len(label)
    below, above = tails(probability, observed)

    def at_least(shift: float) -> float:
        return tails(sigmoid(score + shift), observed)[1] - 0.025

    def at_most(shift: float) -> float:
        return 0.025 - tails(sigmoid(score + shift), observed)[0]

    def excess(shift: float) -> float:
        return float(sigmoid(score + shift).sum()) - observed

    return Large(
        courses=count,
        observed=observed,
        expected=float(probability.sum()),
        shift=_root(excess) if 0 < observed < count else float("-inf" if observed == 0 else "inf"),
        low=_root(at_least) if observed else float("-inf"),
        high=_root(at_most) if observed < count else float("inf"),
        p=min(1.0, 2 * min(below, above)),
    )


def _root(rising: Callable[[float], float]) -> float:
    """Where a rising function of the shift crosses 0, by halving; infinite where it does not within the range."""
    low, high = -LARGEST_SHIFT, LARGEST_SHIFT
    if rising(low) > 0:
        return float("-inf")
    if rising(high) < 0:
        return float("inf")
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
