"""Whether something was measured follows the outcome, or comes after it."""

import numpy as np
from numpy.typing import NDArray

from data.assay_statistics import exact_fraction
from features.outcomes import OUTCOME_KEYS
from training.diagnose_findings import Finding, Severity, finding
from training.diagnose_material import Material, first_hours, last_values
from training.diagnose_null import association
from training.diagnose_policy import limits

Floats = NDArray[np.float64]
WINDOWS = ("before the start", "at or before the start")


def follows(held: Material) -> list[Finding]:
    """Measured or not, before and at the start, against every outcome within site, therapy and indication.

    In the whole cohort and in each site; one finding per column, for the largest difference.
    """
    policy, rows, k = limits(), held.drawn, len(held.names)
    measured = np.column_stack([_measured_before(held), np.isfinite(held.start)]).astype(np.float64)
    parts = [("", np.ones(len(held), dtype=bool)), *held.sites()]
    columns = np.column_stack([np.where(part[:, None], measured, np.nan)[rows] for _, part in parts])
    found = association(columns, held.label[rows], held.stratum[rows], policy["warn_chance"], int(policy["draws"]))
    shape = (len(parts), len(WINDOWS), k, len(OUTCOME_KEYS))
    slope, chance = np.nan_to_num(found.slope).reshape(shape), found.chance.reshape(shape)
    grave = np.where(chance <= policy["warn_chance"], np.abs(slope) + (chance <= policy["refuse_chance"]), -1.0)
    findings = []
    for column in range(k):
        part, window, outcome = np.unravel_index(grave[:, :, column].argmax(), (*shape[:2], shape[3]))
        if grave[part, window, column, outcome] >= 0:
            what = (WINDOWS[window], parts[part][0], OUTCOME_KEYS[outcome])
            place = (part, window, column, outcome)
            findings.append(_follows(held, column, what, float(slope[place]), float(chance[place])))
    return findings


def _follows(held: Material, column: int, what: tuple[str, str, str], difference: float, chance: float) -> Finding:
    """what: the window, the site or "", the outcome."""
    policy, (window, site, outcome) = limits(), what
    large = abs(difference) >= policy["missing_difference"] and chance <= policy["refuse_chance"]
    more, where = "more" if difference > 0 else "less", f" in site {site}" if site else ""
    detail = f"{window} it is measured {abs(difference):.0%} {more} often with {outcome}{where}"
    courses = int(np.isfinite(held.start[:, column]).sum())
    table, name = held.tables[column], held.names[column]
    return finding("missing-follows-label", "refuse" if large else "warn", table, name, courses, detail)


def _measured_before(held: Material) -> NDArray[np.bool_]:
    """(n, k) measured before hour 0; what has no time counts as known."""
    analytes = held.tables.count("observations")
    timed = last_values(held.cells, len(held), analytes, -np.inf, np.nextafter(0.0, -1.0))
    return np.isfinite(np.column_stack([timed, held.start[:, analytes:]]))


def timed_after(held: Material) -> list[Finding]:
    """Columns first measured after CRS has begun, and hardly ever without CRS."""
    policy, findings = limits(), []
    ill = np.isfinite(held.onset)
    spared = held.label[:, 0] == 0
    for column, first in enumerate(_first_measured(held).T):
        seen = np.isfinite(first)
        late = int((seen & ill & (first > held.onset)).sum())
        enough = late >= policy["fewest_courses"] and spared.sum() >= policy["fewest_courses"]
        without = seen[spared].mean() if spared.any() else 1.0
        if enough and late >= policy["after_outcome_share"] * (seen & ill).sum() and 2 * without < seen[ill].mean():
            detail = f"first measured after CRS had begun in {late} courses"
            findings.append(
                finding("timed-after-outcome", "warn", held.tables[column], held.names[column], late, detail)
            )
    return findings


def _first_measured(held: Material) -> Floats:
    """(n, analytes) hours of the first result, NaN where there is none."""
    found = np.full((len(held), held.tables.count("observations")), np.nan)
    cells = held.cells
    found[cells.course[::-1], cells.column[::-1]] = cells.hours[::-1]
    return found


def treated_before(held: Material) -> list[Finding]:
    """Tocilizumab after the start although no CRS is charted at or before it; prophylaxis that is marked stays out."""
    policy, columns = limits(), held.cohort.courses.columns
    given = first_hours(held.cohort, "tocilizumab")
    marked = held.cohort.courses.numbers[:, columns.index("prophylactic_tocilizumab")] == 1
    treated = np.isfinite(given) & (given > 0) & ~marked & (np.isfinite(held.onset) | (held.label[:, 0] == 0))
    early = int((treated & (given < held.onset)).sum())
    low = exact_fraction(early, int(treated.sum()), 1 - 2 * policy["refuse_chance"]).low
    if early < policy["fewest_courses"]:
        return []
    severity: Severity = "refuse" if low > policy["treated_early_share"] else "warn"
    detail = f"in {early} of {int(treated.sum())} courses with tocilizumab"
    return [finding("treated-before-outcome", severity, "events", "tocilizumab", early, detail)]
