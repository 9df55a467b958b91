"""A model's log-odds brought to a centre's own courses by a straight line, and nothing else of the model changed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recalibration:
    """log-odds -> slope x log-odds + shift + the therapy's own shift, 0 for a therapy that is not named.

    slope is above 0, so that two courses of one therapy never change places. ValueError for any other.
    """

    shift: float = 0.0
    slope: float = 1.0
    therapy_shift: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.slope > 0 and all(map(math.isfinite, (self.slope, self.shift, *self.therapy_shift.values())))):
            raise ValueError("a recalibration has a slope above 0 and finite shifts")

    def after(self, first: "Recalibration") -> "Recalibration":
        """The one line that does the same as `first` and then this one."""
        keys = sorted({*first.therapy_shift, *self.therapy_shift})
        own = {key: self.slope * first.therapy_shift.get(key, 0.0) + self.therapy_shift.get(key, 0.0) for key in keys}
        return Recalibration(self.slope * first.shift + self.shift, self.slope * first.slope, own)

    def at(self, log_odds: Array) -> Array:
        """The log-odds of a therapy without a shift of its own; infinite ones stay infinite."""
        return self.slope * log_odds + self.shift

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Recalibration":
        return cls(body["shift"], body["slope"], dict(body["therapy_shift"]))


#: Leaves every answer as it is.
UNCHANGED = Recalibration()


class Lines:
    """The recalibrations of several outcomes laid out for arrays once. held: of each outcome, by kind of dosing."""

    def __init__(self, held: Sequence[Mapping[str, Recalibration]], kinds: Sequence[str]) -> None:
        self.any = any(held)
        lines = [[one.get(kind, UNCHANGED) for one in held] for kind in kinds]
        self._slope, self._shift = (
            np.array([[getattr(one, name) for one in row] for row in lines]).reshape(len(kinds), len(held))
            for name in ("slope", "shift")
        )
        self._own = {
            (place, key): np.array([one.therapy_shift.get(key, 0.0) for one in row])
            for place, row in enumerate(lines)
            for key in {key for one in row for key in one.therapy_shift}
        }
        self._none = np.zeros(len(held))

    def added(self, log_odds: Array, dosing: NDArray[np.int64], therapy: Sequence[str] | NDArray[np.str_]) -> Array:
        """(n, outcomes) what recalibration adds to those log-odds; dosing: (n,) place among the kinds."""
        pairs = zip(dosing.tolist(), therapy, strict=True)
        own = np.array([self._own.get(pair, self._none) for pair in pairs]).reshape(log_odds.shape)
        added: Array = (self._slope[dosing] - 1.0) * log_odds + (self._shift[dosing] + own)
        return added
