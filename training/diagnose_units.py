"""Groups of courses whose values differ as two units differ: sites, earlier and later courses, outcome classes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kstwobign

from features.outcomes import OUTCOME_KEYS
from features.units import is_plausible
from training.diagnose_findings import Finding, finding
from training.diagnose_material import Cells, Material
from training.diagnose_policy import limits

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
#: Powers of ten by which decimal units are confused.
TENS = (10.0, 100.0, 1000.0, 1_000_000.0)


@dataclass(frozen=True, slots=True)
class _Change:
    """What makes one group's values like the other's: times factor, plus offset.

    distance: as they stand. plausible: share of both groups' values that are plausible after the change; of two groups
    it tells the one that is wrong.
    """

    distance: float
    plausible: float
    factor: float
    offset: float
    courses: int
    where: str

    @property
    def grave(self) -> tuple[float, float]:
        return round(self.distance, 9), self.plausible


def check(held: Material) -> list[Finding]:
    """One finding per column, for the two groups that lie furthest apart."""
    policy = limits()
    over_time = _medians(held, held.cells.take(held.cells.hours <= policy["unit_hours"]))
    at_start = _medians(held, held.cells.take(held.cells.hours <= 0))
    asked = [
        (column, pair, where, values[:, column])
        for values, groups in ((over_time, list(_by_origin(held))), (at_start, list(_by_outcome(held))))
        for where, *pair in groups
        for column in range(values.shape[1])
        if all(np.isfinite(values[one, column]).sum() >= policy["fewest_per_class"] for one in pair)
    ]
    worst: dict[int, _Change] = {}
    for column, (mine, other), where, value in asked:
        change = _change(held, column, _known(value[mine]), _known(value[other]), where, len(asked))
        if change and (column not in worst or change.grave > worst[column].grave):
            worst[column] = change
    return [_finding(held, column, change) for column, change in worst.items()]


def _finding(held: Material, column: int, change: _Change) -> Finding:
    moved = f"times {change.factor:.4g}" + (f" plus {change.offset:.4g}" if change.offset else "")
    detail = f"values {change.where} would fit the others {moved}"
    return finding("unit-differs", "refuse", held.tables[column], held.names[column], change.courses, detail)


def _by_origin(held: Material) -> Iterator[tuple[str, Mask, Mask]]:
    for site, part in held.sites():
        yield f"in site {site}", part & held.single, ~part & held.single
    starts = held.cohort.start_time
    known = ~np.isnat(starts)
    if known.any():
        late = known & (starts > np.sort(starts[known])[known.sum() // 2])
        yield "of later courses", late & held.single, known & ~late & held.single


def _by_outcome(held: Material) -> Iterator[tuple[str, Mask, Mask]]:
    for place, outcome in enumerate(OUTCOME_KEYS):
        label = held.label[:, place]
        yield f"of courses with {outcome}", (label == 1) & held.single, (label == 0) & held.single


def _medians(held: Material, cells: Cells) -> Floats:
    """(n, analytes) median of each course's results, NaN where there is none."""
    found = np.full((len(held), held.tables.count("observations")), np.nan)
    order = np.lexsort((cells.value, cells.column, cells.course))
    key = cells.course * found.shape[1] + cells.column
    _, first, count = np.unique(key[order], return_index=True, return_counts=True)
    middle = (cells.value[order[first + (count - 1) // 2]] + cells.value[order[first + count // 2]]) / 2
    found[cells.course[order[first]], cells.column[order[first]]] = middle
    return found


def _known(values: Floats) -> Floats:
    return np.sort(values[np.isfinite(values)])


def _change(held: Material, column: int, mine: Floats, other: Floats, where: str, tests: int) -> _Change | None:
    """The change of unit that explains a distance beyond chance, if there is one."""
    policy, distance = limits(), _distance(mine, other)
    root = np.sqrt(len(mine) * len(other) / (len(mine) + len(other)))
    if distance < policy["unit_distance"] or kstwobign.sf(distance * root) * tests > policy["refuse_chance"]:
        return None
    left = [(_distance(mine * a + b, other), a, b) for a, b in _changes(held, column)]
    closest, factor, offset = min(left, default=(1.0, 1.0, 0.0))
    if closest > policy["unit_closer"] * distance:
        return None
    analyte = held.catalogue.analytes[held.names[column]]
    plausible = float(is_plausible(analyte, np.concatenate([mine * factor + offset, other])).mean())
    return _Change(distance, plausible, factor, offset, len(mine), where)


def _distance(one: Floats, other: Floats) -> float:
    """Kolmogorov-Smirnov distance of two sorted samples."""
    both = np.concatenate([one, other])
    steps = np.searchsorted(one, both, "right") / len(one) - np.searchsorted(other, both, "right") / len(other)
    return float(np.abs(steps).max())


def _changes(held: Material, column: int) -> list[tuple[float, float]]:
    """(factor, offset) of every confusion of two units of the analyte, and of powers of ten."""
    rules = [(one.factor, one.offset) for one in held.catalogue.analytes[held.names[column]].units.values()]
    pairs = {(a / c, b - d * a / c) for a, b in rules for c, d in rules}
    pairs |= {(ten, 0.0) for ten in TENS} | {(1 / ten, 0.0) for ten in TENS}
    least = limits()["unit_smallest_factor"]
    return sorted((a, b) for a, b in pairs if abs(b) > 1 or max(a, 1 / a) >= least)
