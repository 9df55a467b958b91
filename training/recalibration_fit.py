"""The line that brings one outcome's log-odds to a centre's own courses: penalised towards no change at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import data
from features.calibration import DOSING
from features.catalogue_tables import figures
from features.errors import UsageError
from features.recalibration import UNCHANGED, Lines, Recalibration
from training.calibrate import LOCAL_SCALES, Normal, Problem
from training.config import Settings

TABLE = Path(data.__file__).parent / "tables" / "recalibration_policy.csv"

Array = NDArray[np.float64]


@cache
def policy() -> Mapping[str, float]:
    """Key -> value. CatalogueError if the table breaks its own rules."""
    return figures(TABLE)


class Method(StrEnum):
    """In the large: one shift. Slope: a shift and a slope. Per therapy: a shift for each, drawn to the common one."""

    IN_THE_LARGE = "in-the-large"
    SLOPE = "slope"
    PER_THERAPY = "per-therapy"

    @property
    def keeps_order(self) -> bool:
        """Whether no two courses change places, whatever their therapies."""
        return self is not Method.PER_THERAPY


def method_named(text: str) -> Method:
    """UsageError for an unknown method."""
    try:
        return Method(text)
    except ValueError as error:
        raise UsageError("--method", "not a method of recalibration", f"use one of {', '.join(Method)}") from error


@dataclass(frozen=True, slots=True)
class Scored:
    """A version's log-odds of one outcome on n rows whose label is known, all (n,).

    course: whole numbers; the rows of one course share one outcome. dosing: place in DOSING.
    """

    log_odds: Array
    label: Array
    course: NDArray[np.int64]
    dosing: NDArray[np.int64]
    therapy: NDArray[np.str_]

    def take(self, which: NDArray[np.bool_]) -> "Scored":
        """The named rows."""
        return Scored(*(getattr(self, name)[which] for name in Scored.__slots__))


@dataclass(frozen=True, slots=True)
class Asked:
    """How an outcome is recalibrated. spread: therapy key -> how far its own shift may lie from the common one."""

    method: Method
    settings: Settings
    spread: Mapping[str, float]


def fit_line(held: Scored, asked: Asked) -> Recalibration:
    """The line of one outcome; no change where there are no rows.

    Shift and slope have normal priors around no change, of standard deviations `intercept_sd` and `prior_slope_sd`, so
    that with tens of events they move part of the way only. Rows of one course share one outcome, so that together
    they count as one.
    """
    if not len(held.label):
        return UNCHANGED
    weight = len(np.unique(held.course)) / len(held.label)
    fit = {Method.IN_THE_LARGE: _in_the_large, Method.SLOPE: _with_slope, Method.PER_THERAPY: _per_therapy}
    return fit[asked.method](held, asked, weight)


def _in_the_large(held: Scored, asked: Asked, weight: float) -> Recalibration:
    return Recalibration(_shift(held.log_odds, held.label, asked, weight))


def _shift(offset: Array, label: Array, asked: Asked, weight: float) -> float:
    """What has to be added to these log-odds."""
    problem = Problem(np.ones((len(label), 1)), label, weight, offset)
    return float(problem.fit(Normal(np.zeros(1), np.array([asked.settings.intercept_sd])))[0])


def _with_slope(held: Scored, asked: Asked, weight: float) -> Recalibration:
    """The slope turns about the mean score, so that shift and slope are penalised apart from one another."""
    middle = float(held.log_odds.mean())
    apart = held.log_odds - middle
    design = np.column_stack([np.ones_like(apart), apart])
    widths = np.array([asked.settings.intercept_sd, asked.settings.prior_slope_sd])
    shift, steeper = Problem(design, held.label, weight, held.log_odds).fit(Normal(np.zeros(2), widths)).tolist()
    slope = 1.0 + steeper
    if slope < policy()["least_slope"]:
        slope = policy()["least_slope"]
        shift = _shift(middle + slope * apart, held.label, asked, weight)
    return Recalibration(shift + (1.0 - slope) * middle, slope)


def _per_therapy(held: Scored, asked: Asked, weight: float) -> Recalibration:
    """A common shift and each therapy's own beside it; how wide the priors of those are is what is likeliest."""
    keys = sorted(set(held.therapy.tolist()) & set(asked.spread))
    own = np.array([asked.spread[key] for key in keys])
    design = np.column_stack([np.ones(len(held.label)), held.therapy[:, None] == np.array(keys)]).astype(np.float64)
    problem = Problem(design, held.label, weight, held.log_odds)
    widths = [np.array([asked.settings.intercept_sd, *(scale * own)]) for scale in LOCAL_SCALES]
    priors = [Normal(np.zeros(len(one)), one) for one in widths]
    common, *shifts = problem.fit(max(priors, key=problem.evidence)).tolist()
    return Recalibration(common, 1.0, dict(zip(keys, shifts, strict=True)))


def by_dosing(line: Recalibration, held: Scored) -> dict[str, Recalibration]:
    """The line for the kinds of DOSING that the rows have; of any other kind they say nothing."""
    return {DOSING[place]: line for place in np.unique(held.dosing).tolist()}


def moved(held: Scored, lines: Mapping[str, Recalibration]) -> Array:
    """(n,) the log-odds by these lines. lines: by kind of DOSING."""
    log_odds = held.log_odds[:, None]
    return (log_odds + Lines([lines], DOSING).added(log_odds, held.dosing, held.therapy))[:, 0]


def out_of_fold(held: Scored, fold_of: NDArray[np.int64], asked: Asked) -> Array:
    """(n,) the log-odds, each row's by the line of the other folds. fold_of: (n,)."""
    found = np.empty_like(held.log_odds)
    for fold in np.unique(fold_of):
        own, others = held.take(fold_of == fold), held.take(fold_of != fold)
        found[fold_of == fold] = moved(own, by_dosing(fit_line(others, asked), others))
    return found
