"""The criteria that look at scores: each turns samples and the plan's numbers into checks.

Two manners of proof, stated per criterion. "shown": the bound on the bad side has to lie within the margin, so that too
few courses refuse. "unless worse": refused where the bound on the good side lies beyond the margin, so that chance
alone seldom refuses one of many figures.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.change_plan import Criterion, Numbers
from training.gate_intervals import (
    Bounded,
    Drawn,
    Draws,
    auroc_drawn,
    mean_drawn,
    metrics_drawn,
    relative_loss,
    simultaneous,
)
from training.gate_rows import BASE_RATE, CHAMPION, PUBLISHED, Sample
from training.metrics import calibration_intercept, calibration_slope, ici

EVERY = "mean of the outcomes"
#: Two models that say the same differ by the last bits of a sum; a loss this small is none.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Check:
    """One criterion on one outcome or group.

    value, low, high: what was found between its one-sided bounds, NaN where the criterion has no such figure. limit:
    the plan's number that it is held against, NaN where there is none. met: None where it could not be judged.
    """

    code: Criterion
    met: bool | None
    text: str
    outcome: str = ""
    group: str = ""
    against: str = ""
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    limit: float = math.nan


@dataclass(frozen=True, slots=True)
class Judged:
    """What the criteria look at. judged: the samples that have enough events, each with its draws' weights."""

    samples: Sequence[Sample]
    draws: Draws
    numbers: Numbers

    @property
    def judged(self) -> list[Sample]:
        return [one for one in self.samples if one.patients() >= self.numbers.fewest_events]

    def loss(self, sample: Sample, rival: str) -> Drawn:
        """Relative increase of log loss against a rival, on all rows."""
        rows = np.ones(len(sample.label), dtype=bool)
        score, other = sample.challenger, sample.rivals[rival]
        return relative_loss(self.draws, sample.patient, sample.label, score, other, rows)

    def bounded(self, drawn: Drawn) -> Bounded:
        return self.draws.bounded(drawn.value, drawn.sample)


def all_checks(held: Judged) -> list[Check]:
    """Every check on scores, in the order of a report."""
    return [
        *_losses(held, CHAMPION, Criterion.LOG_LOSS_OVERALL, Criterion.LOG_LOSS),
        *_aurocs(held),
        *_losses(held, PUBLISHED, Criterion.PUBLISHED_OVERALL, Criterion.PUBLISHED),
        *_losses(held, BASE_RATE, Criterion.BASE_RATE_OVERALL, Criterion.BASE_RATE),
        *_against_scores(held),
        *_ceilings(held),
        *_calibration(held),
        *_subgroups(held),
    ]


def _number(held: Judged, code: Criterion) -> float:
    return float(getattr(held.numbers, code.replace("-", "_")))


def _check(code: Criterion, met: bool | None, found: Bounded, limit: float, text: str, **where: str) -> Check:
    return Check(code, met, text, **where, value=found.value, low=found.low, high=found.high, limit=limit)


def shown(code: Criterion, found: Bounded, limit: float, what: str, **where: str) -> Check:
    """Met where the upper bound of a loss does not pass the limit; equal to it is met."""
    met = found.high <= limit + ROUNDING
    said = "is" if found.low > limit else "may be"
    return _check(code, met, found, limit, "within its margin" if met else f"{what} {said} beyond the margin", **where)


def unless_worse(code: Criterion, found: Bounded, limit: float, what: str, **where: str) -> Check:
    """Not met where the lower bound of a loss passes the limit; equal to it is met."""
    met = not found.low > limit + ROUNDING
    return _check(code, met, found, limit, "not shown worse" if met else f"{what} is worse beyond chance", **where)


def _losses(held: Judged, rival: str, overall: Criterion, single: Criterion) -> Iterable[Check]:
    """Log loss against a rival: the mean of the outcomes has to be shown, each outcome too where it is the champion."""
    known = [one for one in held.judged if rival in one.rivals]
    figures = [held.loss(one, rival) for one in known]
    if not figures:
        return
    what = f"log loss against the {rival}"
    yield shown(overall, held.bounded(mean_drawn(figures)), _number(held, overall), what, outcome=EVERY, against=rival)
    judge = shown if rival == CHAMPION else unless_worse
    for one, figure in zip(known, figures, strict=True):
        found, limit = held.bounded(figure), _number(held, single)
        yield judge(single, found, limit, what, outcome=one.outcome, against=rival)


def _lost(one: Sample, rival: np.ndarray, weights: np.ndarray, rows: np.ndarray) -> Drawn:
    """AUROC of a rival minus that of the challenger; above 0 is worse."""
    own = auroc_drawn(one.label[rows], one.challenger[rows], weights[:, rows])
    other = auroc_drawn(one.label[rows], rival[rows], weights[:, rows])
    return Drawn(other.value - own.value, other.sample - own.sample)


def _aurocs(held: Judged) -> Iterable[Check]:
    known = [one for one in held.judged if CHAMPION in one.rivals]
    if not known:
        return
    figures = []
    for one in known:
        weights = held.draws.weights(one.patient, held.numbers.draws)
        figures.append(_lost(one, one.rivals[CHAMPION], weights, np.ones(len(one.label), dtype=bool)))
    what, code = "AUROC against the champion", Criterion.AUROC_OVERALL
    whole = held.bounded(mean_drawn(figures))
    yield shown(code, whole, _number(held, code), what, outcome=EVERY, against=CHAMPION)
    for one, figure in zip(known, figures, strict=True):
        limit = held.numbers.auroc
        yield unless_worse(Criterion.AUROC, held.bounded(figure), limit, what, outcome=one.outcome, against=CHAMPION)


def _against_scores(held: Judged) -> Iterable[Check]:
    """Published scores by rank, on the rows that have their inputs."""
    for one in held.judged:
        weights = held.draws.weights(one.patient, held.numbers.draws)
        for name, score in one.scores.items():
            rows = ~np.isnan(score)
            if one.patients(rows) < held.numbers.fewest_events or not one.fitted:
                continue
            found = held.bounded(_lost(one, score, weights, rows))
            limit, what = held.numbers.auroc_score, f"AUROC against {name}"
            yield unless_worse(Criterion.SCORE, found, limit, what, outcome=one.outcome, against=name)


def _ceilings(held: Judged) -> Iterable[Check]:
    """AUROC at the start and at all times, which no honest model passes."""
    for one in held.judged:
        everywhere = np.ones(len(one.label), dtype=bool)
        parts = (("start", one.start, held.numbers.ceiling_start), ("all", everywhere, held.numbers.ceiling))
        for name, rows, limit in parts:
            if one.patients(rows) < held.numbers.fewest_events:
                continue
            weights = held.draws.weights(one.patient[rows], held.numbers.draws)
            found = held.bounded(auroc_drawn(one.label[rows], one.challenger[rows], weights))
            yield ceiling(found, limit, one.outcome, name)


def ceiling(found: Bounded, limit: float, outcome: str, group: str) -> Check:
    """Met where the AUROC itself does not pass the limit; equal to it is met."""
    met = found.value <= limit
    text = "plausible" if met else "AUROC too good to be true: a leak until shown otherwise"
    return _check(Criterion.CEILING, met, found, limit, text, outcome=outcome, group=group)


def _calibration(held: Judged) -> Iterable[Check]:
    """Slope, intercept and ICI of the outcomes that data moved; a published rate is not held to this centre's level."""
    metrics = {"slope": calibration_slope, "intercept": calibration_intercept, "ici": ici}
    for one in held.judged:
        if not one.fitted:
            continue
        weights = held.draws.weights(one.patient, held.numbers.calibration_draws)
        drawn = metrics_drawn(metrics, one.label, one.challenger, weights)
        found = {name: held.bounded(figure) for name, figure in drawn.items()}
        yield from calibration(found["slope"], found["intercept"], found["ici"], held.numbers, one.outcome)


def calibration(slope: Bounded, intercept: Bounded, index: Bounded, numbers: Numbers, outcome: str) -> list[Check]:
    """Not met where an interval lies wholly outside its bounds; touching a bound is met, an undefined figure too."""
    low, high = slope.high < numbers.slope_low, slope.low > numbers.slope_high
    shifted = intercept.low > numbers.intercept or intercept.high < -numbers.intercept
    apart = index.low > numbers.ici
    extreme = "predictions are too extreme" if low else "predictions are too timid" if high else "within its bounds"
    level = "predictions are at another level" if shifted else "within its bounds"
    curve = "predictions lie off the observed rates" if apart else "within its bound"
    limit = numbers.slope_high if high else numbers.slope_low
    return [
        _check(Criterion.SLOPE, not (low or high), slope, limit, extreme, outcome=outcome),
        _check(Criterion.INTERCEPT, not shifted, intercept, numbers.intercept, level, outcome=outcome),
        _check(Criterion.ICI, not apart, index, numbers.ici, curve, outcome=outcome),
    ]


@dataclass(frozen=True, slots=True)
class _Group:
    outcome: str
    name: str
    figure: Drawn


def _subgroups(held: Judged) -> Iterable[Check]:
    """Log loss in each subgroup of each outcome, with bounds that hold for all of them together."""
    groups = list(_groups(held))
    # As logarithms of the ratio, which are nearly symmetric where the ratio itself is skewed.
    logs = [Drawn(math.log1p(one.figure.value), np.log1p(one.figure.sample)) for one in groups]
    bounds = [_ratio(one) for one in simultaneous(logs, held.numbers.confidence)]
    against = held.samples[0].reference if held.samples else ""
    for one, found in zip(groups, bounds, strict=True):
        yield subgroup(found, held.numbers.group_log_loss, one.outcome, one.name, against)


def _ratio(found: Bounded) -> Bounded:
    """The relative increase whose logarithm of the ratio this is."""
    return Bounded(math.expm1(found.value), math.expm1(found.low), math.expm1(found.high))


def _groups(held: Judged) -> Iterable[_Group]:
    for one, names, rows in _parts(held):
        if one.patients(rows) >= held.numbers.fewest_group_events:
            rival = one.rivals[one.reference]
            figure = relative_loss(held.draws, one.patient, one.label, one.challenger, rival, rows)
            yield _Group(one.outcome, ": ".join(names), figure)


def _parts(held: Judged) -> Iterable[tuple[Sample, tuple[str, str], NDArray[np.bool_]]]:
    """Every subgroup of every outcome, by axis and name, with its rows; what holds all rows is no subgroup."""
    for one in held.judged:
        for axis, names in one.groups.items():
            for name in sorted(set(names.tolist())):
                rows = names == name
                if not rows.all():
                    yield one, (axis, name), rows


def not_compared(held: Judged) -> list[str]:
    """A note per outcome that names the subgroups too small to compare; without their counts, which are small."""
    found: dict[str, dict[str, list[str]]] = {}
    for one, (axis, name), rows in _parts(held):
        if one.patients(rows) < held.numbers.fewest_group_events:
            found.setdefault(one.outcome, {}).setdefault(axis, []).append(name)
    said = {key: "; ".join(f"{axis}: {', '.join(names)}" for axis, names in own.items()) for key, own in found.items()}
    return [f"{key}: subgroups too small to be judged: {text}" for key, text in said.items()]


def subgroup(found: Bounded, limit: float, outcome: str, group: str, against: str) -> Check:
    """Not met where the increase passes the limit and is beyond chance, its lower bound above 0."""
    met = not (found.low > ROUNDING and found.value > limit)
    text = "not shown worse" if met else f"log loss against the {against} is worse in this subgroup beyond chance"
    return _check(Criterion.SUBGROUP, met, found, limit, text, outcome=outcome, group=group, against=against)
