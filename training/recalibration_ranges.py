"""Intervals and bands of a recalibrated outcome: made anew of its own courses, or moved along with its scores."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.interval import IntervalTable
from features.policy import Thresholds
from features.prior import log_odds, sigmoid
from features.recalibration import Recalibration
from training.bands import thresholds
from training.config import Settings
from training.recalibration_fit import Scored
from training.venn_abers import interval_table

Array = NDArray[np.float64]

REMADE = "made anew of the courses of this cohort"
MOVED = "moved with the scores; how the bands did is told of the parent's courses"
NONE = "none: too few courses here, and the parent had none"


@dataclass(frozen=True, slots=True)
class Ranges:
    """How sure an outcome's probabilities are, its bands, and where both come from (REMADE, MOVED or NONE)."""

    interval: IntervalTable | None
    thresholds: Thresholds | None
    how: str


def remade(held: Scored, log_odds: Array, settings: Settings) -> Ranges:
    """From the (n,) new log-odds of the rows, as training makes them."""
    table = interval_table(log_odds, held.label, held.course, settings.interval_resamples, settings.seed)
    return Ranges(table, thresholds(held.label, sigmoid(log_odds), held.course, settings), REMADE)


def carried(interval: IntervalTable | None, bands: Thresholds | None, line: Recalibration) -> Ranges:
    """The parent's, so that the same courses keep their bands and the intervals stay around their probabilities.

    Tables and bands stand for all therapies together, so that a therapy's own shift does not move them.
    """
    if interval is None and bands is None:
        return Ranges(None, None, NONE)
    return Ranges(interval and _moved_table(interval, line), bands and _moved_bands(bands, line), MOVED)


def _moved_table(table: IntervalTable, line: Recalibration) -> IntervalTable:
    low, high = (_moved(np.array(ends), line).tolist() for ends in (table.low, table.high))
    start = line.slope * table.start + line.shift
    return IntervalTable(start, line.slope * table.step, tuple(low), tuple(high))


def _moved_bands(bands: Thresholds, line: Recalibration) -> Thresholds:
    cuts = _moved(np.array([bands.intermediate_from, bands.high_from]), line).tolist()
    return replace(bands, intermediate_from=cuts[0], high_from=cuts[1])


def _moved(probability: Array, line: Recalibration) -> Array:
    """Probabilities by a line on the log-odds scale; 0 and 1 stay."""
    with np.errstate(divide="ignore"):
        return sigmoid(line.at(log_odds(probability)))
