"""How the rows that are judged differ from those that trained: what is there, and what lies outside."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.spec import Range, Spec
from training.suppress import rounded

#: Inputs named in a report.
MOST = 15


@dataclass(frozen=True, slots=True)
class Shift:
    """One column. present: share of rows that hold it. outside: share of those below the 1st or above the 99th
    percentile of training, where about 0.02 is expected. here: median of the rows, None where none holds it."""

    column: str
    unit: str
    present_in_training: float
    present: float
    outside: float
    typical_in_training: float
    here: float | None

    @property
    def size(self) -> float:
        return max(abs(self.present - self.present_in_training), self.outside)


def shifts(spec: Spec, values: NDArray[np.float32], smallest: int) -> list[Shift]:
    """The columns that differ most, at most `MOST`; [] where the spec holds no ranges.

    values: (n, columns). Counts behind the shares are rounded to multiples of `smallest`; a median of fewer rows than
    twice that is left out.
    """
    found = [
        _shift(column.name, column.unit, held, values[:, place], smallest)
        for place, (column, held) in enumerate(zip(spec.columns, spec.ranges, strict=False))
        if column.kind in ("course", "stat", "score")
    ]
    return sorted(found, key=lambda one: -one.size)[:MOST]


def _shift(name: str, unit: str, held: Range, values: NDArray[np.float32], smallest: int) -> Shift:
    known = values[~np.isnan(values)].astype(np.float64)
    strange = int(((known < held.low) | (known > held.high)).sum())
    return Shift(
        column=name,
        unit=unit,
        present_in_training=held.present,
        present=_share(len(known), len(values), smallest),
        outside=_share(strange, len(known), smallest),
        typical_in_training=held.typical[1],
        here=float(np.median(known)) if len(known) >= 2 * smallest else None,
    )


def _share(count: int, of: int, smallest: int) -> float:
    return min(rounded(count, smallest) / of, 1.0) if of else 0.0
