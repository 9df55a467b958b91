"""The likelihood of a synthetic course's results, by onset and worst grade of CRS and by hidden inflammation.

Given those, each lab is a Gaussian process with memory of one step, so its innovations are independent and the log
likelihood is a quadratic in the hidden inflammation whose coefficients are sums over results.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.synthetic_draw import Drugs, Samples, drug_relief, drug_rise
from data.synthetic_laws import NODE_WEIGHTS, NODES, ramp
from data.synthetic_model import GRADES, Array, Model

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Charted:
    """What the tables hold of n courses besides results. flags: (n, flags) 0, 1, NaN where not recorded."""

    arm: Ints
    flags: Array
    crs: Array
    icans: Array
    drugs: Drugs


@dataclass(frozen=True, slots=True)
class Residuals:
    """One entry per result: its innovation is a - b z - height(G) (rise - kept * rise before) / spread."""

    course: Ints
    lab: Ints
    hours: Array
    a: Array
    b: Array
    kept: Array
    spread: Array
    relief: Array


def residuals_of(model: Model, charted: Charted, samples: Samples) -> Residuals:
    """Innovations of all results; samples in order of course, lab and hours."""
    lab, course, hours = samples.lab, samples.course, samples.hours
    scale = np.array([one.logarithmic for one in model.labs])[lab]
    level = np.where(scale, np.log(np.where(scale, samples.value, 1.0)), samples.value)
    level -= np.array([one.centre for one in model.labs])[lab]
    level -= drug_rise(model, lab, hours, charted.drugs.tocilizumab[course])
    follows = np.zeros(len(lab), dtype=bool)
    follows[1:] = (course[1:] == course[:-1]) & (lab[1:] == lab[:-1])
    gap = np.where(follows, hours - np.roll(hours, 1), np.inf)
    kept = np.exp(-gap / model.lab_array("memory_hours")[lab])
    spread = model.lab_array("sd")[lab] * np.sqrt(1 - kept**2)
    relief = drug_relief(model, lab, hours, charted.drugs.tocilizumab[course], charted.drugs.corticosteroid[course])
    a = (level - kept * np.roll(level, 1)) / spread
    b = model.lab_array("loading")[lab] * (1 - kept) / spread
    return Residuals(course, lab, hours, a, b, kept, spread, relief)


def take(residuals: Residuals, which: slice | NDArray[np.bool_]) -> Residuals:
    """Some of the results."""
    return Residuals(*(getattr(residuals, name)[which] for name in Residuals.__slots__))


def likelihood(model: Model, charted: Charted, some: Ints, residuals: Residuals, onsets: Array, now: Array) -> Array:
    """(n, nodes, t + 1, GRADES) weight of z times the likelihood of the results at or before `now`, by onset and grade.

    Up to one factor per course. onsets: (n, t); the last place of t + 1 is a course without a rise.
    """
    where = np.full(some.max() + 1, -1)
    where[some] = np.arange(len(some))
    row = where[np.minimum(residuals.course, some.max())]
    row[residuals.course > some.max()] = -1
    held = (row >= 0) & (residuals.hours <= now[row])
    seen, row = take(residuals, held), row[held]
    bb, ab = _sums(row, len(some), seen.b**2), _sums(row, len(some), seen.a * seen.b)
    shape = (len(some), onsets.shape[1] + 1, GRADES)
    slope, level = np.zeros(shape), np.zeros(shape)
    height = model.rise_by_grade[seen.lab]
    for place in range(onsets.shape[1]):
        rise = _rise(model, charted, some, seen, row, onsets[:, place])
        for grade in range(1, GRADES):
            step = height[:, grade] * rise
            slope[:, place, grade] = _sums(row, len(some), step * seen.b)
            level[:, place, grade] = _sums(row, len(some), step * seen.a - step**2 / 2)
    slope = ab[:, None, None] - slope
    power = (
        level[:, None]
        + NODES[:, None, None] * slope[:, None]
        - 0.5 * (NODES**2)[:, None, None] * bb[:, None, None, None]
    )
    power -= power.max(axis=(1, 2, 3), keepdims=True)
    return np.exp(power) * NODE_WEIGHTS[:, None, None]


def _rise(model: Model, charted: Charted, some: Ints, seen: Residuals, row: Ints, onset: Array) -> Array:
    """Innovation of the rise of height 1 in every result, if CRS begins at `onset` (n,)."""
    lead, top = model.lab_array("lead_hours")[seen.lab], model.lab_array("rise_hours")[seen.lab]
    rise = ramp(seen.hours - onset[row], lead, top, model.decay_hours[charted.arm[some]][row]) * seen.relief
    before = np.where(seen.kept > 0, np.roll(rise, 1), 0.0)
    return (rise - seen.kept * before) / seen.spread


def _sums(row: Ints, n: int, what: Array) -> Array:
    return np.bincount(row, weights=what, minlength=n).astype(np.float64)
