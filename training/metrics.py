"""Discrimination, calibration and error of predicted probabilities, with patient-level bootstrap intervals.

Every metric takes label (n,) in {0, 1}, log-odds (n,) and weight (n,) >= 0, where a weight counts how often a row was
drawn. Ranks are taken on the log-odds, so that rounding makes no ties. NaN where a metric is not defined.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from features.prior import sigmoid
from training.penalised import penalised_logistic

Array = NDArray[np.float64]
Metric = Callable[[Array, Array, Array], float]
#: Resamples of whole patients, as `resamples` gives them.
Draw = Callable[[NDArray[np.int64], int, int], list[Array]]

#: Probabilities closer than this to 0 or 1 are moved here before a logarithm is taken.
EDGE = 1e-12
#: Groups of more rows are cut into so many parts for their intervals, and not resampled. Of more than `PART_ROWS` rows
#: there are as many more parts as keep those that are looked at to about that number of rows.
MANY_ROWS, PARTS, PART_ROWS = 50_000, 20, 50_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval from resampled patients; NaN where undefined."""

    value: float
    low: float
    high: float


def auroc(label: Array, score: Array, weight: Array) -> float:
    """Chance that an event is ranked above a non-event, ties counted half.

    Written out because an interval draws it thousands of times, and scikit-learn's checks cost ten times the sum.
    """
    if not _both(label, weight):
        return float("nan")
    order = np.argsort(score)
    _, ties = np.unique(score[order], return_index=True)
    events = np.add.reduceat((weight * label)[order], ties)
    others = np.add.reduceat((weight * (1 - label))[order], ties)
    below = np.cumsum(others) - others
    return float(events @ (below + others / 2) / (events.sum() * others.sum()))


def auprc(label: Array, score: Array, weight: Array) -> float:
    """Average precision: the PPV at each event, from the highest score down, averaged; ties stand together.

    Written out for the same reason as `auroc`.
    """
    if not _both(label, weight):
        return float("nan")
    order = np.argsort(-score)
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits, alerts = np.cumsum((weight * label)[order])[last], np.cumsum(weight[order])[last]
    precision = np.divide(hits, alerts, out=np.zeros_like(hits), where=alerts > 0)
    return float(np.diff(hits, prepend=0.0) @ precision / hits[-1])


def log_loss(label: Array, score: Array, weight: Array) -> float:
    """Mean negative log-likelihood, natural logarithm."""
    return _mean(np.logaddexp(0.0, score) - label * score, weight)


def brier(label: Array, score: Array, weight: Array) -> float:
    """Mean squared error of the probability."""
    return _mean(np.square(sigmoid(score) - label), weight)


def calibration_slope(label: Array, score: Array, weight: Array, near: bool = False) -> float:
    """Slope of a logistic regression of the label on the log-odds; 1 is right, below 1 is too extreme.

    near: the search begins at what a calibrated model has, which is sooner there, and else at 0.
    """
    if not _both(label, weight) or np.ptp(score) < 1e-9:
        return float("nan")
    design = np.column_stack([np.ones_like(score), score])
    return float(_weighted_logistic(design, label, weight, near=_CALIBRATED[:2] if near else None)[1])


def calibration_intercept(label: Array, score: Array, weight: Array, near: bool = False) -> float:
    """Calibration in the large: the shift of the log-odds that makes mean predicted equal observed; 0 is right."""
    if not _both(label, weight):
        return float("nan")
    start = _CALIBRATED[:1] if near else None
    return float(_weighted_logistic(np.ones((len(label), 1)), label, weight, offset=score, near=start)[0])


def ici(label: Array, score: Array, weight: Array, near: bool = False) -> float:
    """Integrated calibration index: mean distance between the prediction and a smooth calibration curve.

    The curve is a logistic regression on a restricted cubic spline (4 knots) of the log-odds in place of loess.
    Source: Austin and Steyerberg 2019, Stat Med 38:4051 (index); Harrell, Regression Modeling Strategies (spline).
    """
    if not _both(label, weight) or np.ptp(score) < 1e-9:
        return float("nan")
    basis = _spline(score)
    smooth = sigmoid(basis @ _weighted_logistic(basis, label, weight, near=_CALIBRATED if near else None))
    return _mean(np.abs(smooth - sigmoid(score)), weight)


METRICS: Mapping[str, Metric] = {
    "auroc": auroc,
    "auprc": auprc,
    "log_loss": log_loss,
    "brier": brier,
    "calibration_slope": calibration_slope,
    "calibration_intercept": calibration_intercept,
    "ici": ici,
}
#: The same to many digits in less time: those that take a search begin it near its end.
NEAR: Mapping[str, Metric] = {
    **METRICS,
    "calibration_slope": partial(calibration_slope, near=True),
    "calibration_intercept": partial(calibration_intercept, near=True),
    "ici": partial(ici, near=True),
}


def estimate(
    label: Array,
    scores: Array,
    patient: NDArray[np.int64],
    draws: int,
    seed: int,
    names: Iterable[str] = METRICS,
    known: Mapping[str, Metric] = METRICS,
    draw: Draw | None = None,
) -> dict[str, Estimate]:
    """Each named metric with its 95 % percentile interval over `draws` resamples of whole patients.

    label (n,); scores (repeats, n) log-odds, over whose rows a metric is averaged; patient (n,) says whose row it is.
    A resample in which a metric is undefined is left out.
    """
    return estimate_by({name: known[name] for name in names}, label, scores, patient, draws, seed, draw)


def estimate_by(
    metrics: Mapping[str, Metric],
    label: Array,
    scores: Array,
    patient: NDArray[np.int64],
    draws: int,
    seed: int,
    draw: Draw | None = None,
) -> dict[str, Estimate]:
    """As `estimate`, of metrics that are given. draw: who draws the resamples, if not `resamples`.

    Of more than `MANY_ROWS` the interval is not that of resamples, which would take longer than the fit: it comes from
    how much `PARTS` equal parts of the patients differ, the t interval of the mean of all parts around the value of
    all rows.
    """
    found = _averaged(metrics, label, scores)
    if draws and len(label) > MANY_ROWS:
        every = PARTS * -(-len(label) // PART_ROWS)
        part = np.random.default_rng(seed).permutation(int(patient.max()) + 1)[patient] % every
        each = [_averaged(metrics, label[part == one], scores[:, part == one]) for one in range(PARTS)]
        return {name: _around(value, np.array([one[name] for one in each]), every) for name, value in found.items()}
    drawn = (draw or resamples)(patient, draws, seed)
    sample = [_averaged(metrics, label, scores, weight) for weight in drawn]
    return {name: interval(value, np.array([one[name] for one in sample])) for name, value in found.items()}


def _averaged(
    metrics: Mapping[str, Metric], label: Array, scores: Array, weight: Array | None = None
) -> dict[str, float]:
    """Each metric on the rows that were drawn, the mean of the repeats'. weight: None for each row once."""
    weight = np.ones(len(label)) if weight is None else weight
    drawn = weight > 0
    kept, times = label[drawn], weight[drawn]
    held = [score[drawn] for score in scores]
    return {name: float(np.mean([metric(kept, one, times) for one in held])) for name, metric in metrics.items()}


def resamples(patient: NDArray[np.int64], draws: int, seed: int) -> list[Array]:
    """`draws` weights (n,): how often each row's patient was drawn, with replacement, as many patients as there are."""
    random = np.random.default_rng(seed)
    _, place = np.unique(patient, return_inverse=True)
    count = int(place.max()) + 1 if len(place) else 0
    return [random.multinomial(count, np.full(count, 1 / count))[place].astype(float) for _ in range(draws) if count]


def drawn_once() -> Draw:
    """`resamples`, which draws for the same patients in the same rows once, as long as no others come between."""
    held: dict[tuple[bytes, int, int], list[Array]] = {}

    def draw(patient: NDArray[np.int64], draws: int, seed: int) -> list[Array]:
        key = patient.tobytes(), draws, seed
        if key not in held:
            held.clear()
            held[key] = resamples(patient, draws, seed)
        return held[key]

    return draw


def interval(value: float, sample: Array) -> Estimate:
    """A value with the 2.5th and 97.5th percentile of its sample, NaN values of which are left out."""
    known = sample[~np.isnan(sample)]
    if not len(known):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def _around(value: float, parts: Array, every: int) -> Estimate:
    """A value with the 95 % t interval that the same metric of some of `every` equal parts gives.

    NaN values are left out, and the same share of the parts that were not looked at counts as such.
    """
    known = parts[~np.isnan(parts)]
    if len(known) < 2:
        return Estimate(value, float("nan"), float("nan"))
    told = every * len(known) / len(parts)
    half = float(stats.t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(told))
    return Estimate(value, value - half, value + half)


def _both(label: Array, weight: Array) -> bool:
    """Whether both events and non-events are there."""
    return bool((weight[label > 0] > 0).any() and (weight[label == 0] > 0).any())


def _mean(values: Array, weight: Array) -> float:
    return float(np.average(values, weights=weight)) if weight.sum() > 0 else float("nan")


#: Intercept, slope and bends of a logistic regression of the label on a calibrated model's log-odds.
_CALIBRATED = np.array([0.0, 1.0, 0.0, 0.0])


def _weighted_logistic(
    design: Array, label: Array, weight: Array, offset: Array | float = 0.0, near: Array | None = None
) -> Array:
    """Unpenalised logistic coefficients, rows counted `weight` times. near: where the search begins, if not at 0."""
    free = np.full(design.shape[1], np.inf)
    return penalised_logistic(design, label, np.zeros(design.shape[1]), free, offset, weight, near)


def _spline(score: Array) -> Array:
    """(n, 4) intercept, log-odds and the two restricted cubic terms of four knots at Harrell's quantiles."""
    knots = np.quantile(score, [0.05, 0.35, 0.65, 0.95])
    last, before = knots[-1], knots[-2]
    width = max(last - knots[0], 1e-9) ** 2
    columns = [np.ones_like(score), score]
    beyond = _cube(score - before), _cube(score - last)
    for knot in knots[:2]:
        tail = (last - knot) * beyond[0] - (before - knot) * beyond[1]
        columns.append((_cube(score - knot) - tail / max(last - before, 1e-9)) / width)
    return np.column_stack(columns)


def _cube(values: Array) -> Array:
    """The third power of what is above 0, else 0; powers take long, so that only those are taken."""
    found, above = np.zeros_like(values), values > 0
    found[above] = values[above] ** 3
    return found
