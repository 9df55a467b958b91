"""A column that holds the grade, the onset day or the peak day of its own course."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from features.course import HOUR
from training.diagnose_findings import Finding, finding
from training.diagnose_material import Cells, Material, peak_grades
from training.diagnose_policy import limits

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Days before and after the start that are looked at one by one; earlier and later ones together.
FIRST_DAY, LAST_DAY = -5, 30
#: The day of a column that does not change over time.
NO_DAY = LAST_DAY + 1
SAME = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Values of one column on one day, per course: m cells sorted by group and course.

    value: (m,). first: (r,) where each (group, course) begins in it. course, group: (r,). of: (g,) column of a group.
    """

    value: Floats
    first: Ints
    course: Ints
    group: Ints
    of: Ints


def check(held: Material) -> list[Finding]:
    """Over the whole cohort, and in each site."""
    cells = _all_cells(held)
    parts = [("", np.ones(len(held), dtype=bool)), *held.sites()]
    targets = _targets(held)
    groups = [(site, _groups(cells.take(part[cells.course]))) for site, part in parts]
    tests = sum(len(one.of) for _, one in groups) * len(targets)
    found: dict[tuple[int, str], Finding] = {}
    for site, one in reversed(groups):  # a whole cohort's finding takes the place of its sites'
        for (column, name), courses in _copies(one, targets, tests).items():
            place = f"in site {site}" if site else "in the cohort"
            detail = f"{place}, {courses} courses hold their {name}"
            found[column, site] = finding(
                "label-copied", "refuse", held.tables[column], held.names[column], courses, detail
            )
    whole = {column for column, site in found if not site}
    return [one for (column, site), one in found.items() if not site or column not in whole]


def _all_cells(held: Material) -> Cells:
    """The timed cells, and each course's fixed columns as cells without a day."""
    fixed = [place for place, table in enumerate(held.tables) if table == "courses"]
    course, which = np.nonzero(np.isfinite(held.start[:, fixed]))
    column = np.array(fixed, dtype=np.int64)[which]
    cells = held.cells
    return Cells(
        np.concatenate([cells.course, course]),
        np.concatenate([cells.column, column]),
        np.concatenate([cells.hours, np.full(len(course), 24.0 * NO_DAY)]),
        np.concatenate([cells.value, held.start[course, column]]),
    )


def _targets(held: Material) -> dict[str, Floats]:
    """(n,) peak grade (0 without one), and hours and days of onset and peak (NaN without one), per graded event."""
    found: dict[str, Floats] = {}
    for event in ("crs_grade", "icans_grade"):
        rows = held.cohort.events[held.cohort.events["event"].eq(event)]
        course, value = rows["course"].to_numpy(dtype=np.int64), rows["value"].to_numpy(dtype=np.float64)
        hours = rows["seconds"].to_numpy(dtype=np.float64) / HOUR
        peak = peak_grades(held.cohort, event)
        onset, at_peak = np.full(len(held), np.nan), np.full(len(held), np.nan)
        np.fmin.at(onset, course[value > 0], hours[value > 0])
        top = (value == peak[course]) & (value > 0)
        np.fmin.at(at_peak, course[top], hours[top])
        found[f"peak {event}"] = peak
        for name, when in (("onset", onset), ("peak", at_peak)):
            found[f"{name} day ({event})"] = np.floor(when / 24)
            found[f"{name} hour ({event})"] = when
    return found


def _groups(cells: Cells) -> _Groups:
    day = np.where(cells.hours >= 24 * NO_DAY, NO_DAY, np.clip(np.floor(cells.hours / 24), FIRST_DAY, LAST_DAY))
    key = cells.column * 100 + (day.astype(np.int64) - FIRST_DAY)
    order = np.lexsort((cells.course, key))
    key, course = key[order], cells.course[order]
    new = np.ones(len(key), dtype=bool)
    new[1:] = (key[1:] != key[:-1]) | (course[1:] != course[:-1])
    first = np.flatnonzero(new)
    known, group = np.unique(key[first], return_inverse=True)
    return _Groups(cells.value[order], first, course[first], group, known // 100)


def _copies(groups: _Groups, targets: dict[str, Floats], tests: int) -> dict[tuple[int, str], int]:
    """(column, target) -> courses that hold it, for each column its best target."""
    best: dict[int, tuple[int, str]] = {}
    for name, target in targets.items():
        for group, courses in _agreeing(groups, target, tests):
            column = int(groups.of[group])
            best[column] = max(best.get(column, (0, "")), (courses, name))
    return {(column, name): courses for column, (courses, name) in best.items()}


def _agreeing(groups: _Groups, target: Floats, tests: int) -> list[tuple[int, int]]:
    """Groups, with the courses in them, whose values are the target beyond chance, with the outcome and without."""
    if not len(groups.first):
        return []
    policy = limits()
    own = target[groups.course]
    same = np.abs(groups.value - np.repeat(own, np.diff([*groups.first, len(groups.value)]))) < SAME
    agrees = np.logical_or.reduceat(same, groups.first)
    known, ill = np.isfinite(own), np.isfinite(own) & (own != 0)
    count = [np.bincount(groups.group, one, len(groups.of)) for one in (known, known & agrees, ill, ill & agrees)]
    wanted = (count[3] >= policy["fewest_courses"]) & (count[3] >= policy["copied_share"] * count[2])
    wanted &= count[1] >= policy["copied_share"] * count[0]
    return [
        (int(group), int(count[1][group]))
        for group in np.flatnonzero(wanted)
        if _chance(groups, int(group), target, int(count[1][group])) * tests <= policy["refuse_chance"]
    ]


def _chance(groups: _Groups, group: int, target: Floats, agreeing: int) -> float:
    """Chance of as many agreeing courses if the targets of the group's courses were shuffled (binomial tail)."""
    rows = np.flatnonzero((groups.group == group) & np.isfinite(target[groups.course]))
    ends = np.append(groups.first[1:], len(groups.value))
    values = np.concatenate([groups.value[groups.first[row] : ends[row]] for row in rows])
    each, share = np.unique(target[groups.course[rows]], return_counts=True)
    of_row = np.repeat(np.arange(len(rows)), ends[rows] - groups.first[rows])
    held = [len(np.unique(of_row[np.abs(values - one) < SAME])) / len(rows) for one in each]
    return float(binom.sf(agreeing - 1, len(rows), min(1.0, float(share @ held) / len(rows))))
