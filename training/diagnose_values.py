"""A value that gives the outcome away: filled in per class, or ranking it too well before treatment."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.course import HOUR
from features.outcomes import OUTCOME_KEYS, OUTCOMES
from training.diagnose_findings import Finding, Severity, finding
from training.diagnose_material import Material, last_values, peak_grades
from training.diagnose_null import auroc_above, one_class_chance
from training.diagnose_policy import limits
from training.metrics import auroc

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
#: A column of fewer different values is a flag or a grade; its constants say nothing of filling.
FEWEST_VALUES = 10
#: Index times from the start at which a fill is looked for.
LAYERS = 4


@dataclass(frozen=True, slots=True)
class _Fill:
    """A constant in one class only."""

    column: int
    courses: int
    chance: float
    outcome: int
    layer: int


def fills(held: Material) -> list[Finding]:
    """Exact values that occur with one class of an outcome only, among the courses at risk at an index time.

    The classes are those of the label, and those of the worst grade at any time: who fills gaps knows no horizon.
    """
    tests, found = 0, list[_Fill]()
    for layer, values, label, rows in _windows(held):
        _, stratum = np.unique(held.stratum[rows], return_inverse=True)
        for column in range(values.shape[1]):
            for place in range(label.shape[1]):
                asked, pure = _constants(values[:, column], label[:, place], stratum)
                tests += asked
                found += [_Fill(column, count, chance, place, layer) for count, chance in pure]
    worst: dict[int, _Fill] = {}
    for one in sorted(found, key=lambda one: -one.chance):
        worst[one.column] = one
    return [_filled(held, one) for one in worst.values() if one.chance * tests <= limits()["refuse_chance"]]


def _filled(held: Material, one: _Fill) -> Finding:
    detail = f"one value in {one.courses} courses of one class of {OUTCOME_KEYS[one.outcome % len(OUTCOME_KEYS)]}"
    detail += f" at index time {one.layer + 1}"
    return finding("fill-per-class", "refuse", held.tables[one.column], held.names[one.column], one.courses, detail)


def _windows(held: Material) -> Iterator[tuple[int, Floats, Floats, NDArray[np.int64]]]:
    """Of each of the first index times: number, values since the one before, classes (rows, 10), cohort positions."""
    ever = np.column_stack([peak_grades(held.cohort, one.event.value) >= one.grade for one in OUTCOMES])
    earlier = np.full(len(held), -np.inf)
    analytes = held.tables.count("observations")
    for layer, labels in list(zip(held.layers, held.labels, strict=True))[:LAYERS]:
        kept = held.single[layer.course]
        rows = layer.course[kept].astype(np.int64)
        until = np.full(len(held), -np.inf)
        until[layer.course] = layer.snapshots.index_seconds / HOUR
        values = held.start if layer.number == 0 else _since(held, earlier, until, analytes)
        label = labels.value[kept]
        yield layer.number, values[rows], np.column_stack([label, np.where(np.isnan(label), np.nan, ever[rows])]), rows
        earlier = until


def _since(held: Material, earlier: Floats, until: Floats, analytes: int) -> Floats:
    cells = held.cells
    seen = cells.take((cells.hours > earlier[cells.course]) & (cells.hours <= until[cells.course]))
    return last_values(seen, len(held), analytes, -np.inf, np.inf)


def _constants(values: Floats, label: Floats, stratum: NDArray[np.int64]) -> tuple[int, list[tuple[int, float]]]:
    """How many values are held often enough; of each that one class alone holds, its courses and the chance of it."""
    fewest, labelled = limits()["fewest_courses"], np.isfinite(values) & np.isfinite(label)
    found, place = np.unique(values[labelled], return_inverse=True)
    if len(found) < FEWEST_VALUES:
        return 0, []
    outcome, inside = label[labelled] == 1, stratum[labelled]
    count, ill = np.bincount(place), np.bincount(place, outcome)
    often = count >= fewest
    pure = np.flatnonzero(often & ((ill == 0) | (ill == count)))
    return int(often.sum()), [
        (int(count[one]), _purity(place == one, outcome == (ill[one] > 0), inside)) for one in pure
    ]


def _purity(holds: Mask, of_class: Mask, stratum: NDArray[np.int64]) -> float:
    size = stratum.max() + 1
    held, classed = (np.bincount(stratum[one], minlength=size) for one in (holds, of_class))
    return one_class_chance(held, classed, np.bincount(stratum))


def too_good(held: Material) -> list[Finding]:
    """Single values at the start whose AUROC lies above the limit, in the cohort or in a site."""
    asked = [
        (place, column, site, *counted)
        for site, part in (("", np.ones(len(held), dtype=bool)), *held.sites())
        for place in range(len(OUTCOME_KEYS))
        for column in range(len(held.names))
        if (counted := _area(held, part & held.single, place, column))
    ]
    best: dict[int, tuple[bool, float, Finding]] = {}
    for place, column, site, area, events, others in asked:
        severity = _severity(area, events, others, len(asked))
        grave = (severity == "refuse", area)
        if severity and (column not in best or grave > best[column][:2]):
            best[column] = *grave, _too_good(held, column, severity, place, site, area, events + others)
    return [one for *_, one in best.values()]


def _area(held: Material, part: Mask, place: int, column: int) -> tuple[float, int, int] | None:
    """AUROC (whichever way round), courses with and without the outcome; None where there are too few."""
    label, value = held.label[:, place], held.start[:, column]
    known = part & np.isfinite(label) & np.isfinite(value)
    events = int((label[known] == 1).sum())
    others = int(known.sum()) - events
    if min(events, others) < limits()["fewest_per_class"]:
        return None
    area = auroc(label[known], value[known], np.ones(events + others))
    return max(area, 1 - area), events, others


def _severity(area: float, events: int, others: int, tests: int) -> Severity | None:
    policy = limits()
    if auroc_above(area, events, others, policy["auroc_refused"], tests, policy["refuse_chance"]):
        return "refuse"
    warned = auroc_above(area, events, others, policy["auroc_warned"], tests, policy["warn_chance"])
    return "warn" if warned else None


def _too_good(
    held: Material, column: int, severity: Severity, place: int, site: str, area: float, courses: int
) -> Finding:
    where = f" in site {site}" if site else ""
    detail = f"AUROC {area:.2f} for {OUTCOME_KEYS[place]}{where}, from its last value at the start alone"
    return finding("feature-too-good", severity, held.tables[column], held.names[column], courses, detail)
