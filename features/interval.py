"""How sure a probability is: Venn-Abers tables for what data moved, the published spread for what only evidence did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.prior import sigmoid

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
        low, high = (np.where(known, np.array(ends)[place], np.nan) for ends in (self.low, self.high))
        return low, high

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "IntervalTable":
        return cls(body["start"], body["step"], tuple(body["low"]), tuple(body["high"]))


class Tables:
    """The tables of several outcomes laid out for arrays once. known: (outcomes,) whether there is a table."""

    def __init__(self, tables: Sequence[IntervalTable | None]) -> None:
        self.known = np.array([one is not None for one in tables], dtype=bool)
        held = [one or _NO_TABLE for one in tables]
        self._start, self._step = np.array([one.start for one in held]), np.array([one.step for one in held])
        self._last = np.array([len(one.low) - 1 for one in held])
        size = int(self._last.max()) + 1
        self._ends = np.array([[_padded(ends, size) for ends in (one.low, one.high)] for one in held])
        self._outcome = np.arange(len(held))

    def at(self, log_odds: Array) -> tuple[Array, Array]:
        """(n, outcomes) low and high ends, as IntervalTable.at gives them; NaN where there is no table."""
        unknown = np.isnan(log_odds) | ~self.known
        place = cell(np.where(unknown, self._start, log_odds), self._start, self._step)
        place = np.minimum(np.maximum(place, 0), self._last)
        low, high = (np.where(unknown, np.nan, self._ends[self._outcome, end, place]) for end in (0, 1))
        return low, high


#: Stands in where an outcome has no table; never looked up.
_NO_TABLE = IntervalTable(0.0, 1.0, (0.0,), (1.0,))


def _padded(ends: tuple[float, ...], size: int) -> list[float]:
    return [*ends, *[np.nan] * (size - len(ends))]


def cell(log_odds: Array, start: float | Array, step: float | Array) -> NDArray[np.int64]:
    """The grid entry that each score rounds to; may lie outside the grid."""
    return np.floor((log_odds - start) / step + 0.5).astype(np.int64)


def around(log_odds: Array, spread: Array) -> tuple[Array, Array]:
    """Ends of a 95 % interval in probability, normal on the log-odds scale with that standard deviation."""
    return sigmoid(log_odds - NORMAL_95 * spread), sigmoid(log_odds + NORMAL_95 * spread)
