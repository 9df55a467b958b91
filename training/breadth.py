"""A model judged in every group: per outcome, index time and subgroup, with counts that may leave the house."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from features.outcomes import OUTCOME_KEYS
from features.prior import sigmoid
from training.cluster import side_by_side
from training.config import Settings
from training.curves import Bin, calibration_curve
from training.evaluate import ALL_TIMES, FEWEST, fewer, of_rarer_kind
from training.evaluation_policy import EvaluationPolicy
from training.metrics import METRICS, Estimate, Metric, estimate_by, resamples
from training.net_benefit import alerts_at_sensitivity, net_benefit, ppv_at_sensitivity, treat_all
from training.subgroups import INDEX_TIME, Words
from training.suppress import Tally, hidden
from training.table import Table

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

EVERYONE = "everyone"
TOO_FEW, HELD_BACK = "too few events", "suppressed"
#: Figures from which no count can be worked out; they are given for groups whose counts are held back, too, and for
#: groups at one index time, for which no counts are given at all.
WITHOUT_COUNTS = ("auroc", "calibration_slope", "calibration_intercept", "ici")


@dataclass(frozen=True, slots=True)
class Cell:
    """The model on one outcome in one group: of all rows ("everyone"), of an axis, or of an axis at one index time.

    rows, events, patients: None where they are held back, and at one index time of an axis. note: "", `TOO_FEW` or
    `HELD_BACK`. figures: name -> value with interval. bins: the calibration curve.
    """

    outcome: str
    axis: str
    group: str
    index_time: str
    rows: int | None
    events: int | None
    patients: int | None
    note: str
    figures: Mapping[str, Estimate]
    bins: tuple[Bin, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows of one outcome that were predicted: label, patient (n,); scores (repeats, n) log-odds of the model."""

    outcome: str
    label: Array
    scores: Array
    patient: NDArray[np.int64]
    axes: Mapping[str, Words]

    @classmethod
    def of(cls, table: Table, place: int, scores: Array, axes: Mapping[str, Words]) -> "Sample":
        """scores: (repeats, N) over all rows of the table, NaN where a row was not predicted."""
        rows = table.usable(place) & ~np.isnan(scores).any(axis=0)
        held = {axis: groups[rows] for axis, groups in axes.items()}
        return cls(OUTCOME_KEYS[place], table.label[rows, place], scores[:, rows], table.patient[rows], held)

    def __len__(self) -> int:
        return len(self.label)

    def tally(self, group: Flags) -> Tally:
        return Tally.of(self.patient[group], self.label[group])


@dataclass(frozen=True, slots=True)
class Asked:
    """One cell that is to be judged."""

    axis: str
    group: str
    index_time: str
    rows: Flags
    held_back: bool

    @property
    def crossed(self) -> bool:
        """Whether it is a group of an axis at one index time."""
        return self.axis != EVERYONE and self.index_time != ALL_TIMES


def judge_groups(sample: Sample, settings: Settings, policy: EvaluationPolicy) -> list[Cell]:
    """Everyone, then the groups of each axis, then those of each axis but the index times at each index time."""
    asked = [*_asked(sample, policy.smallest_count)]
    return side_by_side(_judge, (sample, settings, policy), asked, settings.workers)


def _asked(sample: Sample, smallest: int) -> Iterator[Asked]:
    every = np.ones(len(sample), dtype=bool)
    yield Asked(EVERYONE, EVERYONE, ALL_TIMES, every, sample.tally(every).small(smallest))
    for axis, groups in sample.axes.items():
        names = sorted(set(groups.tolist()))
        rows = [groups == name for name in names]
        held = hidden([sample.tally(one) for one in rows], smallest)
        for name, one, out in zip(names, rows, held, strict=True):
            yield Asked(axis, name, ALL_TIMES, one, out)
            if axis != INDEX_TIME:
                yield from _at_each_time(sample, axis, name, one)


def _at_each_time(sample: Sample, axis: str, group: str, rows: Flags) -> Iterator[Asked]:
    times = sample.axes[INDEX_TIME]
    for time in sorted(set(times[rows].tolist())):
        yield Asked(axis, group, time, rows & (times == time), held_back=True)


def _judge(sample: Sample, settings: Settings, policy: EvaluationPolicy, asked: Asked) -> Cell:
    label, scores, patient = sample.label[asked.rows], sample.scores[:, asked.rows], sample.patient[asked.rows]
    blank = _counted(sample, asked)
    if of_rarer_kind(label, patient) < FEWEST:
        return blank
    draws = math.ceil(settings.bootstrap / _fewer(asked, len(label)))
    chosen = {name: METRICS[name] for name in WITHOUT_COUNTS} if asked.held_back else measures(policy)
    figures = estimate_by(chosen, label, scores, patient, draws, settings.seed)
    if asked.held_back:
        return replace(blank, note="" if asked.crossed else HELD_BACK, figures=figures)
    drawn = resamples(patient, draws, settings.seed)
    bins = calibration_curve(label, scores[0], patient, drawn, policy.bins, policy.smallest_count)
    return replace(blank, note="", figures=figures, bins=bins)


def _fewer(asked: Asked, rows: int) -> int:
    """By how much fewer resamples a group gets than everyone: there are many groups, and crossed ones most of all."""
    if asked.crossed:
        return 10
    return max(4 if asked.axis != EVERYONE else 1, fewer(rows))


def _counted(sample: Sample, asked: Asked) -> Cell:
    """The cell with its counts, where they may be shown, and no figures."""
    rows, events = int(asked.rows.sum()), int(sample.label[asked.rows].sum())
    patients = len(set(sample.patient[asked.rows].tolist()))
    shown = (None, None, None) if asked.held_back else (rows, events, patients)
    return Cell(sample.outcome, asked.axis, asked.group, asked.index_time, shown[0], shown[1], shown[2], TOO_FEW, {})


def measures(policy: EvaluationPolicy) -> dict[str, Metric]:
    """Every figure of a cell by name; net benefit per threshold, PPV and alerts per sensitivity."""
    found: dict[str, Metric] = {**METRICS, "observed": observed, "predicted": predicted}
    for threshold in policy.thresholds:
        found[f"net_benefit_at_{threshold:g}"] = partial(net_benefit, threshold=threshold)
        found[f"treat_all_at_{threshold:g}"] = partial(treat_all, threshold=threshold)
    for share in policy.sensitivities:
        found[f"ppv_at_sensitivity_{share:g}"] = partial(ppv_at_sensitivity, sensitivity=share)
        found[f"alerts_per_100_at_sensitivity_{share:g}"] = partial(alerts_at_sensitivity, sensitivity=share)
    return found


def observed(label: Array, score: Array, weight: Array) -> float:  # noqa: ARG001 - a metric takes all three
    """Share of rows with the outcome."""
    return float(weight @ label / weight.sum()) if weight.sum() > 0 else float("nan")


def predicted(label: Array, score: Array, weight: Array) -> float:  # noqa: ARG001 - a metric takes all three
    """Mean predicted probability."""
    return float(weight @ sigmoid(score) / weight.sum()) if weight.sum() > 0 else float("nan")
