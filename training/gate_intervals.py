"""Paired bootstrap over patients: the same draws for every model, outcome and subgroup, so that differences are paired.

W: (draws, n) how often each row's patient was drawn. All log-odds and labels are (n,).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.metrics import Metric

Array = NDArray[np.float64]
#: Numbers of a piece of the draws that are ranked together.
PIECE = 100_000


@dataclass(frozen=True, slots=True)
class Bounded:
    """A value with its one-sided lower and upper bound; NaN where undefined."""

    value: float
    low: float
    high: float


class Draws:
    """Resamples of whole patients, as many as there are; the same seed gives the same draws.

    patients: the whole numbers of all patients of the test set.
    """

    def __init__(self, patients: NDArray[np.int64], draws: int, confidence: float, seed: int) -> None:
        self.patients = np.unique(patients)
        self.confidence = confidence
        count = len(self.patients)
        random = np.random.default_rng(seed)
        self.times = random.multinomial(count, np.full(count, 1 / count), draws).astype(np.float64)

    def sums(self, patient: NDArray[np.int64], values: Array) -> Array:
        """(draws,) sum of the values (n,) of the rows that were drawn."""
        found: Array = self.times @ self._by_patient(patient, values)
        return found

    def _by_patient(self, patient: NDArray[np.int64], values: Array) -> Array:
        return np.bincount(np.searchsorted(self.patients, patient), values, len(self.patients)).astype(np.float64)

    def weights(self, patient: NDArray[np.int64], most: int) -> Array:
        """(draws, n) the first `most` draws."""
        found: Array = self.times[:most, np.searchsorted(self.patients, patient)]
        return found

    def bounded(self, value: float, sample: Array) -> Bounded:
        """The value between the one-sided percentile bounds of its sample; undefined draws are left out."""
        known = sample[np.isfinite(sample)]
        if not len(known):
            return Bounded(value, float("nan"), float("nan"))
        low, high = np.quantile(known, [1 - self.confidence, self.confidence])
        return Bounded(value, float(low), float(high))


def losses(label: Array, score: Array) -> Array:
    """(n,) negative log-likelihood of each row."""
    found: Array = np.logaddexp(0.0, score) - label * score
    return found


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure of the test set, and of each draw (draws,)."""

    value: float
    sample: Array


def relative_loss(
    draws: Draws, patient: NDArray[np.int64], label: Array, score: Array, rival: Array, rows: NDArray[np.bool_]
) -> Drawn:
    """By how much the log loss exceeds the rival's, as a share of the rival's, on some rows; above 0 is worse."""
    own, other = losses(label, score) * rows, losses(label, rival) * rows
    total = draws.sums(patient, other)
    sample = np.divide(draws.sums(patient, own), total, out=np.full(len(total), np.nan), where=total > 0)
    return Drawn(float(own.sum() / other.sum() - 1), sample - 1)


def auroc_drawn(label: Array, score: Array, weights: Array) -> Drawn:
    """AUROC, ties counted half, of the rows and of each row of weights (draws, n); NaN where one class is empty."""
    return Drawn(float(_aurocs(label, score, np.ones((1, len(label))))[0]), _aurocs(label, score, weights))


def _aurocs(label: Array, score: Array, weights: Array) -> Array:
    """(draws,) AUROC of each row of weights; in pieces that stay in the processor's cache."""
    order = np.argsort(score, kind="stable")
    _, ties = np.unique(score[order], return_index=True)
    pieces = np.array_split(weights, max(1, weights.size // PIECE))
    return np.concatenate([_ranked(label[order], one[:, order], ties) for one in pieces])


def _ranked(label: Array, weights: Array, ties: NDArray[np.int64]) -> Array:
    """(draws,) AUROC of columns in rising order of the score; ties: where each new score begins."""
    events = weights * label
    others = weights - events
    if len(ties) < len(label):
        events, others = (np.add.reduceat(one, ties, axis=1) for one in (events, others))
    ranked = np.einsum("ij,ij->i", events, np.cumsum(others, axis=1) - others / 2)
    pairs = events.sum(axis=1) * others.sum(axis=1)
    found: Array = np.divide(ranked, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return found


def metrics_drawn(metrics: Mapping[str, Metric], label: Array, score: Array, weights: Array) -> dict[str, Drawn]:
    """Each metric of the rows and of each row of weights."""
    whole = np.ones(len(label))
    found = {name: Drawn(metric(label, score, whole), np.empty(len(weights))) for name, metric in metrics.items()}
    for number, weight in enumerate(weights):
        drawn = weight > 0
        for name, metric in metrics.items():
            found[name].sample[number] = metric(label[drawn], score[drawn], weight[drawn])
    return found


def mean_drawn(figures: Sequence[Drawn]) -> Drawn:
    """The mean of figures, draw by draw; an undefined figure is left out of a draw's mean."""
    sample = np.array([one.sample for one in figures])
    known = np.isfinite(sample)
    total = np.where(known, sample, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    mean = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return Drawn(float(np.mean([one.value for one in figures])), mean)


def simultaneous(figures: Sequence[Drawn], confidence: float) -> list[Bounded]:
    """Lower bounds that hold for all the figures together, with that chance, by the largest deviation over all of them;
    the upper ends lie as far on the other side.

    Deviations are those below the figure, as percentiles are: losses of small groups are skewed to the other side. Each
    is taken in units of the figure's own standard error, so that small groups do not set the width of large ones. A
    figure without spread is its own bound.
    """
    widths = np.array([np.nanstd(one.sample) if np.isfinite(one.sample).any() else np.nan for one in figures])
    moved = [place for place, width in enumerate(widths) if width > 0]
    if not moved:
        return [Bounded(one.value, one.value, one.value) for one in figures]
    apart = np.array([(figures[place].value - figures[place].sample) / widths[place] for place in moved])
    factor = float(np.quantile(np.nan_to_num(apart).max(axis=0), confidence))
    reach = np.where(widths > 0, widths, 0.0) * factor
    return [
        Bounded(one.value, one.value - float(width), one.value + float(width))
        for one, width in zip(figures, reach, strict=True)
    ]
