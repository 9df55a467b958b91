"""What a report draws of one outcome: ranks, calibration and decisions as curves. Log-odds in, plain numbers out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.prior import sigmoid
from training.metrics import Estimate, interval
from training.net_benefit import net_benefit, treat_all
from training.suppress import Tally, rounded

Array = NDArray[np.float64]
Places = NDArray[np.int64]

#: Where curves are read off: 101 shares from 0 to 1, and the probabilities from which one might act.
SHARES = np.linspace(0.0, 1.0, 101)
THRESHOLDS = np.linspace(0.01, 0.6, 60)
#: Edges of the histogram of predicted probabilities.
EDGES = np.linspace(0.0, 1.0, 21)


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows whose predictions lie together: how many, how many had the outcome, mean predicted and observed share."""

    rows: int
    events: int
    predicted: float
    observed: Estimate


def calibration_curve(
    label: Array, score: Array, patient: Places, drawn: Sequence[Array], bins: int, smallest: int
) -> tuple[Bin, ...]:
    """At most `bins` groups of equal size by predicted probability, rising; together they hold every row.

    Neighbours are joined until no group is small, see training.suppress. drawn: weights (n,) of resampled patients.
    """
    parts = _joined(
        [one for one in np.array_split(np.argsort(score, kind="stable"), bins) if len(one)], patient, label, smallest
    )
    return tuple(_bin(label[one], sigmoid(score[one]), [weight[one] for weight in drawn]) for one in parts)


def _joined(parts: list[Places], patient: Places, label: Array, smallest: int) -> list[Places]:
    """The parts in order, joined with the next while small, the last ones with those before."""
    found: list[Places] = []
    for part in parts:
        small = found and _small(found[-1], patient, label, smallest)
        found = [*found[:-1], np.concatenate([found[-1], part])] if small else [*found, part]
    while len(found) > 1 and _small(found[-1], patient, label, smallest):
        found = [*found[:-2], np.concatenate(found[-2:])]
    return found


def _small(part: Places, patient: Places, label: Array, smallest: int) -> bool:
    return Tally.of(patient[part], label[part]).small(smallest)


def _bin(label: Array, probability: Array, drawn: list[Array]) -> Bin:
    rates = np.array([weight @ label / weight.sum() for weight in drawn if weight.sum() > 0])
    observed = interval(float(label.mean()), rates)
    return Bin(len(label), int(label.sum()), float(probability.mean()), observed)


def roc(label: Array, score: Array) -> Array:
    """(101,) share of the events found at each share of false alerts in `SHARES`, ties counted half."""
    hits, false = _cumulated(label, score)
    return np.asarray(np.interp(SHARES, false / false[-1], hits / hits[-1]), dtype=np.float64)


def precision_recall(label: Array, score: Array) -> Array:
    """(101,) the PPV at which at least each share in `SHARES` of the events is found; at 0, that of the first alert."""
    hits, false = _cumulated(label, score)
    place = np.searchsorted(hits, SHARES * hits[-1] - 1e-9).clip(1)
    found: Array = hits[place] / (hits[place] + false[place])
    return found


def _cumulated(label: Array, score: Array) -> tuple[Array, Array]:
    """Events and non-events at or above each different score, falling, with a 0 in front."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    hits, false = np.cumsum(label[order])[last], np.cumsum(1 - label[order])[last]
    return np.append(0.0, hits), np.append(0.0, false)


def decision_curve(label: Array, score: Array) -> tuple[Array, Array]:
    """Net benefit of the score and of acting on all at each probability in `THRESHOLDS`; acting on none is 0."""
    ones = np.ones_like(label)
    return (
        np.array([net_benefit(label, score, ones, one) for one in THRESHOLDS]),
        np.array([treat_all(label, score, ones, one) for one in THRESHOLDS]),
    )


def histogram(score: Array, base: int) -> list[int]:
    """Rows per bar of predicted probability, rounded to multiples of `base`."""
    return [rounded(int(count), base) for count in np.histogram(sigmoid(score), EDGES)[0]]
