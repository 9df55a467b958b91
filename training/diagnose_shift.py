"""Values at the start that differ between sites, or between earlier and later courses; no classifier is fitted."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from training.diagnose_findings import Finding, finding
from training.diagnose_material import Material
from training.diagnose_null import association
from training.diagnose_policy import limits

Floats = NDArray[np.float64]


def by_site(held: Material) -> list[Finding]:
    """Each site against the others, within therapy and indication."""
    sites = [part for _, part in held.sites() if part.sum() >= limits()["fewest_per_class"]]
    if len(sites) < 2:
        return []
    return _shifted(held, np.column_stack(sites).astype(np.float64), "site-shift", "between a site and the others")


def by_time(held: Material) -> list[Finding]:
    """The later half of the courses with a known start against the earlier half."""
    starts = held.cohort.start_time
    known = ~np.isnat(starts)
    if known.sum() < 2 * limits()["fewest_per_class"]:
        return []
    late = np.where(known, (starts > np.sort(starts[known])[known.sum() // 2]).astype(np.float64), np.nan)
    return _shifted(held, late[:, None], "time-shift", "between later and earlier courses")


def _shifted(held: Material, groups: Floats, code: str, where: str) -> list[Finding]:
    policy, rows = limits(), held.drawn
    scores = np.column_stack([_normal_scores(column) for column in held.start[rows].T])
    stratum = _without_site(held)[rows]
    found = association(scores, groups[rows], stratum, policy["warn_chance"], int(policy["draws"]))
    findings = []
    for column, name in enumerate(held.names):
        large = np.where(found.chance[column] <= policy["warn_chance"], np.abs(found.slope[column]), 0.0)
        if np.nanmax(large, initial=0.0) >= policy["shift_warned"]:
            detail = f"standardised difference {np.nanmax(large):.1f} {where}"
            courses = int(np.isfinite(held.start[:, column]).sum())
            findings.append(finding(code, "warn", held.tables[column], name, courses, detail))
    return findings


def _normal_scores(column: Floats) -> Floats:
    """Ranks as normal deviates, NaN where missing; all NaN where few are known."""
    known = np.isfinite(column)
    scores = np.full(len(column), np.nan)
    if known.sum() >= 2 * limits()["fewest_per_class"]:
        scores[known] = ndtri((rankdata(column[known]) - 0.5) / known.sum())
    return scores


def _without_site(held: Material) -> NDArray[np.int64]:
    """(n,) courses of one therapy and indication."""
    both = [
        f"{one}\0{two}" for one, two in zip(held.cohort.courses.therapy, held.cohort.courses.indication, strict=True)
    ]
    return np.unique(both, return_inverse=True)[1]
