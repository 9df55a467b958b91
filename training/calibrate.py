"""How far the prior and the trees are to be believed: a penalised logistic fit on out-of-fold scores."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from features.calibration import AS_PUBLISHED, DOSING, Calibration, Parts, Terms, elapsed, freshness
from features.predict import sigmoid
from training.config import Settings

Array = NDArray[np.float64]


def take(parts: Parts, which: NDArray[np.bool_] | NDArray[np.int64]) -> Parts:
    """The named rows, in that order."""
    return Parts(**{field.name: np.asarray(getattr(parts, field.name))[which] for field in fields(Parts)})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What calibration learns from, besides the prior; all (n,). label: 0 or 1. course: whole numbers."""

    parts: Parts
    trees: Array
    label: Array
    course: NDArray[np.int64]

    def of(self, dosing: int) -> "Evidence":
        """The rows of that kind of DOSING."""
        own = self.parts.dosing == dosing
        return Evidence(take(self.parts, own), self.trees[own], self.label[own], self.course[own])


def calibrate(held: Evidence, settings: Settings, spread: Mapping[str, float]) -> Calibration:
    """How far to believe the prior, the clock and the trees, for one outcome, apart for each kind of DOSING.

    spread: therapy key -> standard deviation of a centre's own level around the published one.
    """
    found = [_terms(held.of(place), settings, spread) for place in range(len(DOSING))]
    shifts = {name: shift for name, (_, shift) in zip(DOSING, found, strict=True) if shift}
    single, first_dose, later_doses = (terms for terms, _ in found)
    return Calibration(single, first_dose, later_doses, shifts)


def _terms(held: Evidence, settings: Settings, spread: Mapping[str, float]) -> tuple[Terms, dict[str, float]]:
    """Terms and therapies' own levels of one kind of dosing; as published where it has no rows.

    Each coefficient has a normal prior: prior, late trees and the milder outcome's trees around 1, the rest around 0,
    so that with few events they stay there and with many the data decide. At the infusion itself trees must earn their
    weight: it is held near 0, unless a weight near 1 explains the labels better by `evidence_needed`. Rows of one
    course share one outcome, so that together they count as one.
    """
    if not len(held.label):
        return AS_PUBLISHED, {}
    parts, trees = held.parts, held.trees
    keys = sorted(set(np.unique(parts.therapy).tolist()) & set(spread))
    fresh = freshness(parts.hours)
    clock = np.where(parts.begun, 0.0, elapsed(parts.hours))
    member = np.asarray(parts.therapy)[:, None] == np.array(keys)
    own = (np.ones_like(trees), parts.prior, clock, parts.begun, trees * fresh, trees * (1 - fresh))
    design = np.column_stack([*own, parts.milder * ~parts.passed, parts.milder * parts.passed, member])
    widths = np.array([*_widths(settings), *(spread[key] for key in keys)])
    weight = len(np.unique(held.course)) / len(trees)
    doubting, believing = (
        penalised_logistic(design, held.label, _centre(early, len(widths)), _held(widths, width), weight=weight)
        for early, width in ((0.0, settings.early_slope_sd), (1.0, settings.late_slope_sd))
    )
    gained = weight * (_log_likelihood(design @ believing, held.label) - _log_likelihood(design @ doubting, held.label))
    found = (believing if gained > settings.evidence_needed else doubting).tolist()
    terms = Terms(*found[:_EARLY], *(max(slope, 0.0) for slope in found[_EARLY:_MEMBERS]))
    return terms, dict(zip(keys, found[_MEMBERS:], strict=True))


#: Places of the design's columns.
_PRIOR, _EARLY, _LATE, _MILDER, _PASSED, _MEMBERS = 1, 4, 5, 6, 7, 8


def _centre(early: float, count: int) -> Array:
    centre = np.zeros(count)
    centre[[_PRIOR, _LATE, _MILDER, _PASSED]] = 1.0
    centre[_EARLY] = early
    return centre


def _held(widths: Array, early: float) -> Array:
    held = widths.copy()
    held[_EARLY] = early
    return held


def _log_likelihood(score: Array, label: Array) -> float:
    return float(np.sum(label * score - np.logaddexp(0.0, score)))


def _widths(settings: Settings) -> list[float]:
    return [
        settings.intercept_sd,
        settings.prior_slope_sd,
        settings.time_slope_sd,
        settings.begun_shift_sd,
        settings.early_slope_sd,
        settings.late_slope_sd,
        settings.milder_slope_sd,
        settings.milder_slope_sd,
    ]


def penalised_logistic(
    design: Array,
    label: Array,
    centre: Array,
    spread: Array,
    offset: Array | float = 0.0,
    weight: Array | float = 1.0,
) -> Array:
    """Coefficients (k,) that maximise the log-likelihood minus the sum of ((b - centre) / spread)^2 / 2.

    design (n, k), label (n,) in [0, 1], spread (k,) with infinity for no penalty, offset and weight (n,) or one number.
    Newton's method; the problem is concave, so that halving a step always ends the search.
    """
    penalty = np.where(np.isinf(spread), 0.0, 1.0 / np.square(spread))
    problem = _Problem(design, label, centre, penalty, offset, np.broadcast_to(weight, label.shape))
    at = centre.astype(float).copy()
    value = problem.value(at)
    for _ in range(60):
        at, moved = problem.step(at, value)
        if moved - value < 1e-10 * (1 + abs(value)):
            return at
        value = moved
    return at


@dataclass(frozen=True, slots=True)
class _Problem:
    design: Array
    label: Array
    centre: Array
    penalty: Array
    offset: Array | float
    weight: Array

    def value(self, at: Array) -> float:
        score = self.design @ at + self.offset
        likelihood = self.weight @ (self.label * score - np.logaddexp(0.0, score))
        return float(likelihood - 0.5 * (self.penalty * np.square(at - self.centre)).sum())

    def step(self, at: Array, value: float) -> tuple[Array, float]:
        """One Newton step, halved until it does not lower the objective."""
        p = sigmoid(self.design @ at + self.offset)
        gradient = self.design.T @ (self.weight * (self.label - p)) - self.penalty * (at - self.centre)
        curvature = (self.design.T * (self.weight * p * (1 - p))) @ self.design
        step = np.linalg.solve(curvature + np.diag(self.penalty + _RIDGE), gradient)
        for _ in range(30):
            moved = self.value(at + step)
            if moved >= value:
                return at + step, moved
            step = step / 2
        return at, value


#: Keeps the curvature invertible where a column is constant; too small to move a coefficient.
_RIDGE = 1e-9
