"""A column of few values each of which stands for one grade, in whatever order."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from training.diagnose_findings import Finding, finding
from training.diagnose_material import Material, peak_grades
from training.diagnose_policy import limits

Floats = NDArray[np.float64]
#: A column of more different values is no code.
MOST_VALUES = 8


def check(held: Material) -> list[Finding]:
    """Values at the start against the worst grade of each event, in the cohort and in each site."""
    peaks = {event: peak_grades(held.cohort, event) for event in ("crs_grade", "icans_grade")}
    parts = [("", held.single), *((site, part & held.single) for site, part in held.sites())]
    tests = len(peaks) * len(parts) * len(held.names)
    found: dict[int, Finding] = {}
    for event, peak in peaks.items():
        for site, part in parts:
            for column, name in enumerate(held.names):
                courses = _encoded(held.start[part, column], peak[part], tests)
                if courses and column not in found:
                    where = f"in site {site}" if site else "in the cohort"
                    detail = f"{where}, each value of {courses} courses stands for one peak {event}"
                    found[column] = finding("label-copied", "refuse", held.tables[column], name, courses, detail)
    return list(found.values())


def _encoded(values: Floats, peak: Floats, tests: int) -> int:
    """Courses whose grade follows from their value, 0 where that is not nearly all of them or within chance."""
    policy, known = limits(), np.isfinite(values)
    codes, which = np.unique(values[known], return_inverse=True)
    if not 2 <= len(codes) <= MOST_VALUES:
        return 0
    grade = peak[known].astype(np.int64)
    table = np.zeros((len(codes), grade.max() + 1), dtype=np.int64)
    np.add.at(table, (which, grade), 1)
    told = table.argmax(axis=1)[which] == grade
    ill = grade > 0
    right, share = int(told.sum()), policy["copied_share"]
    if ill.sum() < policy["fewest_courses"] or told[ill].mean() < share or told.mean() < share:
        return 0
    # Without a link, the best guess is the commonest grade; each further value may gain a course by being fitted.
    guessed = min(1.0, (table.sum(axis=0).max() + len(codes)) / len(grade))
    return right if binom.sf(right - 1, len(grade), guessed) * tests <= policy["refuse_chance"] else 0
