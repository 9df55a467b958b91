"""How the parts of an answer add up on the log-odds scale, for one outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.recalibration import Lines, Recalibration

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]

#: Where a course stands at its index time: after its only infusion, its first step-up dose, or a later one.
DOSING = ("single", "first_dose", "later_doses")


@dataclass(frozen=True, slots=True)
class Parts:
    """What is known of n rows besides the trees: (n,) of one outcome, or (n, outcomes) where "each" is said.

    prior: each, log-odds. hours: since the infusion or the latest dose. begun: each, whether any grade of the event was
    charted. dosing: place in DOSING. therapy: catalogue keys. milder: each, what the trees of the next milder outcome
    say, in log-odds, 0 where there is none. passed: each, whether that milder outcome was reached.
    """

    prior: Array
    hours: Array
    begun: Flags
    dosing: Places
    therapy: NDArray[np.str_] | tuple[str, ...]
    milder: Array
    passed: Flags


@dataclass(frozen=True, slots=True)
class Terms:
    """The coefficients of one kind of DOSING.

    log-odds = intercept + prior_slope x prior + weight(hours) x sum of the trees + what the milder outcome's trees say
    x milder_slope until the milder outcome is reached, x passed_slope from then on, + time_slope x elapsed(hours)
    + day_slope x first_day(hours) while the event has not begun, + begun_shift once any grade is there. The trees'
    weight moves from early_slope at the infusion or dose to late_slope, by half its way in 17 hours.
    """

    intercept: float = 0.0
    prior_slope: float = 1.0
    time_slope: float = 0.0
    day_slope: float = 0.0
    begun_shift: float = 0.0
    early_slope: float = 0.0
    late_slope: float = 0.0
    milder_slope: float = 0.0
    passed_slope: float = 0.0


#: The published rate as it stands, without any trees.
AS_PUBLISHED = Terms()


@dataclass(frozen=True, slots=True)
class Shares:
    """What each part adds to the log-odds of n rows; their sum is the log-odds. All (n,), or all (n, outcomes).

    level: how far the training data's own level lies from the published one. clock: what the time since the infusion or
    dose, or a milder grade, adds to what the prior says of it. trees: the weighted sum of the booster's leaves. milder:
    what the trees of the milder outcomes add. recalibration: what a centre's own courses, looked at after the training,
    add to all of it.
    """

    prior: Array
    level: Array
    clock: Array
    trees: Array
    milder: Array
    recalibration: Array

    @property
    def log_odds(self) -> Array:
        return self.as_trained + self.recalibration

    @property
    def as_trained(self) -> Array:
        """The log-odds before any recalibration."""
        return self.prior + self.level + self.clock + self.signal

    @property
    def signal(self) -> Array:
        """What the trees say of this outcome, from which the next worse one starts."""
        return self.trees + self.milder


@dataclass(frozen=True, slots=True)
class Calibration:
    """Terms of each kind of DOSING, and each therapy's own level beside the others' (log-odds).

    What no training course had keeps `AS_PUBLISHED`. therapy_shift: by kind of DOSING, then by catalogue key.
    recalibration: by kind of DOSING, of those that the courses had on which a version was recalibrated; of all
    recalibrations so far together. What the next worse outcome hears of this one's trees is not recalibrated.
    """

    single: Terms = AS_PUBLISHED
    first_dose: Terms = AS_PUBLISHED
    later_doses: Terms = AS_PUBLISHED
    therapy_shift: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    recalibration: Mapping[str, Recalibration] = field(default_factory=dict)

    @property
    def terms(self) -> tuple[Terms, ...]:
        """In the order of DOSING."""
        return self.single, self.first_dose, self.later_doses

    @property
    def moved(self) -> tuple[bool, ...]:
        """For each kind of DOSING, whether courses moved the answer from the published rate."""
        pairs = zip(DOSING, self.terms, strict=True)
        return tuple(terms != AS_PUBLISHED or kind in self.recalibration for kind, terms in pairs)

    def combine(self, parts: Parts, trees: Array) -> Array:
        """(n,) log-odds of the answer."""
        return self.shares(parts, trees).log_odds

    def shares(self, parts: Parts, trees: Array) -> Shares:
        """The parts that add up to the log-odds of the answer; trees: (n,) sum of the leaves."""
        wide = {name: getattr(parts, name)[:, None] for name in ("prior", "begun", "milder", "passed")}
        found = Stack((self,), (None,)).shares(replace(parts, **wide), trees[:, None])
        return Shares(*(getattr(found, one.name)[:, 0] for one in fields(Shares)))

    def to_json(self) -> dict[str, Any]:
        """All of it; without a word of recalibration where there was none."""
        body = asdict(self)
        return body if self.recalibration else {key: value for key, value in body.items() if key != "recalibration"}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Calibration":
        """The calibration as `to_json` wrote it; TypeError or KeyError where a part but recalibration is missing."""
        single, first_dose, later_doses = (_terms(body[name]) for name in DOSING)
        shifts = {name: dict(shift) for name, shift in body["therapy_shift"].items()}
        recalibrated = {kind: Recalibration.from_json(one) for kind, one in body.get("recalibration", {}).items()}
        return cls(single, first_dose, later_doses, shifts, recalibrated)


def _terms(body: Mapping[str, float]) -> Terms:
    """Every term has to be there, for one that is left out is not 0; TypeError for one that is not known."""
    return Terms(**{**{one.name: body[one.name] for one in fields(Terms)}, **body})


class Stack:
    """The calibrations of several outcomes, laid out for arrays once.

    milder: for each outcome the place of the milder one whose trees it starts from; None takes `Parts.milder`.
    """

    def __init__(self, calibrations: Sequence[Calibration], milder: Sequence[int | None]) -> None:
        self.milder = tuple(milder)
        self._terms = np.array([[astuple(terms) for terms in one.terms] for one in calibrations])
        self._shifts = {
            (place, key): np.array([one.therapy_shift.get(name, {}).get(key, 0.0) for one in calibrations])
            for place, name in enumerate(DOSING)
            for key in {key for one in calibrations for key in one.therapy_shift.get(name, {})}
        }
        self._no_shift = np.zeros(len(calibrations))
        self._lines = Lines([one.recalibration for one in calibrations], DOSING)

    def shares(self, parts: Parts, trees: Array) -> Shares:
        """What each part adds to n rows and these outcomes; trees: (n, outcomes) sum of the leaves."""
        intercept, prior, time, day, begun, *_ = self._of_rows(parts)
        waiting = time * elapsed(parts.hours)[:, None] + day * first_day(parts.hours)[:, None]
        weight, said = self.weights(parts)
        weighed = weight * trees
        trained = Shares(
            prior=prior * parts.prior,
            level=intercept + self._shift(parts),
            clock=np.where(parts.begun, begun, waiting),
            trees=weighed,
            milder=self._chained(weighed, said, parts.milder),
            recalibration=np.zeros_like(weighed),
        )
        if not self._lines.any:
            return trained
        return replace(trained, recalibration=self._lines.added(trained.as_trained, parts.dosing, parts.therapy))

    def weights(self, parts: Parts) -> tuple[Array, Array]:
        """(n, outcomes) how far the trees are believed, and how far the milder outcome's trees speak for this one."""
        *_, early, late, milder, passed = self._of_rows(parts)
        return late + (early - late) * freshness(parts.hours)[:, None], np.where(parts.passed, passed, milder)

    def _of_rows(self, parts: Parts) -> Array:
        """(terms, n, outcomes) the terms of each row's kind of dosing, in the order of Terms."""
        return self._terms[:, parts.dosing].T

    def _shift(self, parts: Parts) -> Array:
        """(n, outcomes) each row's therapy's own level."""
        if isinstance(parts.therapy, np.ndarray):
            return self._shift_of_many(parts.dosing, parts.therapy)
        pairs = zip(parts.dosing.tolist(), parts.therapy, strict=True)
        return np.array([self._shifts.get(pair, self._no_shift) for pair in pairs]).reshape(-1, len(self.milder))

    def _shift_of_many(self, dosing: Places, therapy: NDArray[np.str_]) -> Array:
        """The same, a therapy at a time."""
        found = np.zeros((len(dosing), len(self.milder)))
        for key in {key for _, key in self._shifts}:
            rows = np.flatnonzero(therapy == key)
            for place in range(len(DOSING)):
                found[rows[dosing[rows] == place]] = self._shifts.get((place, key), self._no_shift)
        return found

    def _chained(self, own: Array, said: Array, given: Array) -> Array:
        """(n, outcomes) what the milder outcomes' trees add; own: what each outcome's own trees add."""
        found = np.empty_like(own)
        for place, below in enumerate(self.milder):
            signal = given[:, place] if below is None else own[:, below] + found[:, below]
            found[:, place] = said[:, place] * signal
        return found


def dosing(step_up: bool, dose_number: int) -> int:
    """Place in DOSING of a course whose latest dose has that number, from 1."""
    return (2 if dose_number > 1 else 1) if step_up else 0


def elapsed(hours: Array) -> Array:
    """(n,) the clock as calibration sees it: ln(1 + half days since the infusion or the latest dose)."""
    return np.log1p(np.maximum(hours, 0.0) / 12.0)


def first_day(hours: Array) -> Array:
    """(n,) how much of the first day since the infusion or the latest dose has passed: 0 to 1."""
    return np.clip(hours / 24.0, 0.0, 1.0)


def freshness(hours: Array) -> Array:
    """(n,) 1 at the infusion or dose, falling by a factor e each day."""
    return np.exp(-np.maximum(hours, 0.0) / 24.0)


PRIOR_ALONE = Calibration()
