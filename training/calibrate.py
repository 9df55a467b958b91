"""How far the prior and the trees are to be believed: a penalised logistic fit on out-of-fold scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from features.calibration import AS_PUBLISHED, DOSING, Calibration, Parts, Terms, elapsed, first_day, freshness
from features.prior import sigmoid
from training.config import Settings
from training.penalised import penalised_logistic, weighed

Array = NDArray[np.float64]


def take(parts: Parts, which: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Parts:
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
        return self.take(self.parts.dosing == dosing)

    def take(self, which: NDArray[np.bool_]) -> "Evidence":
        """The named rows."""
        return Evidence(take(self.parts, which), self.trees[which], self.label[which], self.course[which])

    def settled(self) -> "Evidence":
        """All rows, or of more than `SETTLED_ROWS` those of every so many-th course."""
        step = -(-len(self.label) // SETTLED_ROWS)
        return self if step == 1 else self.take((np.cumsum(_seen(self.course)) - 1)[self.course] % step == 0)


#: Rows from which it is settled how wide the priors are and whether early trees are believed, at most.
SETTLED_ROWS = 100_000
#: Of more rows each search begins where the one before it ended; of fewer each begins at the centre of its prior.
NEAR_ROWS = 50_000
#: By how much the widths of level and clock are multiplied: from nearly as published to nearly free.
LOCAL_SCALES = (0.1, 0.3, 1.0, 3.0)


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
    so that with few events they stay there and with many the data decide. How wide the priors of level and clock are is
    what the data are likeliest under. At the infusion itself trees must earn their weight: it is held near 0, unless
    the data are likelier by `evidence_needed` with one near 1. Rows of one course share one outcome, so that together
    they count as one.
    """
    if not len(held.label):
        return AS_PUBLISHED, {}
    keys = sorted(set(np.asarray(held.parts.therapy).tolist()) & set(spread))
    few = held.settled()
    best = _likeliest(_problem(few, keys), settings, np.array([spread[key] for key in keys]))
    found = (best.at if few is held else _problem(held, keys).fit(best.prior, best.at)).tolist()
    terms = Terms(*found[:_EARLY], *(max(slope, 0.0) for slope in found[_EARLY:_MEMBERS]))
    return terms, dict(zip(keys, found[_MEMBERS:], strict=True))


def _likeliest(problem: "Problem", settings: Settings, own: Array) -> "Tried":
    """The priors that the data are likeliest under. own: (therapies,) widths of their own levels."""
    tried: list[Tried] = []
    for scale in LOCAL_SCALES:
        tried.append(problem.tried(_prior(settings, own, scale, believed=False), problem.near(tried)))
    best = max(range(len(tried)), key=lambda one: tried[one].evidence)
    doubting, prior = tried[best], _prior(settings, own, LOCAL_SCALES[best], believed=True)
    believing = problem.tried(prior, problem.near([doubting]))
    return believing if believing.evidence - doubting.evidence > settings.evidence_needed else doubting


def _problem(held: Evidence, keys: list[str]) -> "Problem":
    return Problem(_design(held, keys), held.label, np.count_nonzero(_seen(held.course)) / len(held.label))


def _seen(course: NDArray[np.int64]) -> NDArray[np.bool_]:
    """For each whole number up to the largest, whether a course has it."""
    return np.bincount(course) > 0


#: Places of the design's columns: the local ones come first, then the trees', then the therapies'.
_PRIOR, _EARLY, _LATE, _MILDER, _PASSED, _MEMBERS = 1, 5, 6, 7, 8, 9


def _design(held: Evidence, keys: list[str]) -> Array:
    """(n, columns) what each coefficient is multiplied by, in the order of Terms, then one column per therapy."""
    parts, trees = held.parts, held.trees
    waiting, fresh = ~parts.begun, freshness(parts.hours)
    clock = (elapsed(parts.hours) * waiting, first_day(parts.hours) * waiting, parts.begun)
    told = (trees * fresh, trees * (1 - fresh), parts.milder * ~parts.passed, parts.milder * parts.passed)
    member = [np.asarray(parts.therapy) == key for key in keys]
    return np.column_stack([np.ones_like(trees), parts.prior, *clock, *told, *member]).astype(np.float64, copy=False)


@dataclass(frozen=True, slots=True)
class Normal:
    """Independent normal priors of the coefficients; both (k,)."""

    centre: Array
    spread: Array


def _prior(settings: Settings, own: Array, scale: float, believed: bool) -> Normal:
    """Priors at one width of level and clock; own: (therapies,) widths of their own levels."""
    local = np.array(
        [
            settings.intercept_sd,
            settings.prior_slope_sd,
            settings.time_slope_sd,
            settings.day_slope_sd,
            settings.begun_shift_sd,
        ]
    )
    early = settings.late_slope_sd if believed else settings.early_slope_sd
    trees = [early, settings.late_slope_sd, settings.milder_slope_sd, settings.milder_slope_sd]
    spread = np.concatenate([scale * local, trees, scale * own])
    centre = np.zeros(len(spread))
    centre[[_PRIOR, _LATE, _MILDER, _PASSED]] = 1.0
    centre[_EARLY] = float(believed)
    return Normal(centre, spread)


@dataclass(frozen=True, slots=True)
class Tried:
    """What one prior came to. at: (k,) coefficients."""

    prior: Normal
    at: Array
    evidence: float


@dataclass(frozen=True, slots=True)
class Problem:
    """A penalised logistic fit: design (n, k), label (n,), the weight of each row, and what is added to its score."""

    design: Array
    label: Array
    weight: float
    offset: Array | float = 0.0

    def fit(self, prior: Normal, start: Array | None = None) -> Array:
        """(k,) the coefficients."""
        return penalised_logistic(self.design, self.label, prior.centre, prior.spread, self.offset, self.weight, start)

    def evidence(self, prior: Normal) -> float:
        """Log of the probability of the labels under the prior, up to a constant, by Laplace's approximation."""
        return self.tried(prior).evidence

    def tried(self, prior: Normal, start: Array | None = None) -> "Tried":
        """The coefficients under a prior, and its `evidence`."""
        at = self.fit(prior, start)
        return Tried(prior, at, self._evidence(prior, at))

    def near(self, tried: Sequence["Tried"]) -> Array | None:
        """Where the next search begins: of many rows at the coefficients of the last prior that was tried."""
        return tried[-1].at if tried and len(self.label) > NEAR_ROWS else None

    def _evidence(self, prior: Normal, at: Array) -> float:
        score = self.design @ at + self.offset
        p = sigmoid(score)
        curvature = weighed(self.design, self.weight * p * (1 - p)) + np.diag(1.0 / np.square(prior.spread))
        fitted = self.weight * float(np.sum(self.label * score - np.logaddexp(0.0, score)))
        drawn = 0.5 * float(np.sum(np.square((at - prior.centre) / prior.spread)))
        return fitted - drawn - float(np.log(prior.spread).sum()) - 0.5 * float(np.linalg.slogdet(curvature)[1])
