"""How sure a probability is: Venn-Abers tables for what data moved, the published spread for what only evidence did."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Half the width of a 95 % interval in standard deviations of a normal distribution.
NORMAL_95 = 1.959964


@dataclass(frozen=True, slots=True)
class IntervalTable:
    """A Venn-Abers predictor of one outcome on a grid of log-odds, so that a look-up is exact.

    Entry k is for log-odds that round to start + k x step. low: the isotonic fit with a new course of that score added
    as a non-event; high: as an event. Both rise with k, and low <= high. Scores beyond the grid take its ends, which no
    training course had. Source: Vovk, Petej and Fedorova 2015, "Large-scale probabilistic predictors with and without
    guarantees of validity".
    """

    start: float
    step: float
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        if not (len(self.low) == len(self.high) > 0 and self.step > 0):
            raise ValueError("an interval table has as many low as high ends, at least one, and a step above 0")

    def at(self, log_odds: Array) -> tuple[Array, Array]:
        """(n,) low and high ends; NaN where the log-odds are NaN."""
        known = ~np.isnan(log_odds)
        place = cell(np.where(known, log_odds, self.start), self.start, self.step)
        place = np.clip(place, 0, len(self.low) - 1)
        low, high = (np.where(known, _array(ends)[place], np.nan) for ends in (self.low, self.high))
        return low, high

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "IntervalTable":
        return cls(body["start"], body["step"], tuple(body["low"]), tuple(body["high"]))


@lru_cache(maxsize=64)
def _array(ends: tuple[float, ...]) -> Array:
    return np.array(ends)


def cell(log_odds: Array, start: float, step: float) -> NDArray[np.int64]:
    """(n,) the grid entry that each score rounds to; may lie outside the grid."""
    return np.floor((log_odds - start) / step + 0.5).astype(np.int64)


def around(log_odds: Array, spread: Array) -> tuple[Array, Array]:
    """Ends of a 95 % interval in probability, normal on the log-odds scale with that standard deviation."""
    return _probability(log_odds - NORMAL_95 * spread), _probability(log_odds + NORMAL_95 * spread)


def _probability(log_odds: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * log_odds))
