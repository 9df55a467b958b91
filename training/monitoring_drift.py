"""Do recent courses differ from the reference in their inputs? Exact at any size: labels are dealt anew by permutation.

Two samples, one row per course. Per column the 1-Wasserstein distance between the two, on the ranks of all known values
(so that one wild value counts as one), and the difference between the shares that are known. Under no drift it is
chance which course is recent: the null is the same distances with the label "recent" dealt anew within each stratum
(the time of asking), at the very sample sizes. Many columns are asked at once, so a column's p-value is the share of
deals in which the largest distance of any column, in its own null's standard deviations, is as large as this one
(Westfall and Young 1993): the chance of any false alarm over all columns is what is stated, also where columns go
together. A second figure, the mean over the columns, sees a small drift of very many.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Fewer known values than this in either sample, and a column's distance is not looked at.
FEWEST_KNOWN = 5


@dataclass(frozen=True, slots=True)
class Moved:
    """One column. distance: in ranks from 0 to 1 (values), or a difference of shares (missing). p: over all columns."""

    column: str
    distance: float
    p: float
    before: float | None
    now: float | None


@dataclass(frozen=True, slots=True)
class Drift:
    """reference, recent: courses. p: the smaller of the largest column's and the mean's, doubled; 1 with no column."""

    reference: int
    recent: int
    columns: int
    p: float
    p_largest: float
    p_mean: float
    moved: tuple[Moved, ...]


def deals(recent: Mask, stratum: NDArray[np.str_], draws: int, seed: int) -> Mask:
    """(draws + 1, n) which courses count as recent: as it was, then dealt anew within each stratum."""
    random = np.random.default_rng(seed)
    dealt = np.repeat(recent[None, :], draws + 1, axis=0)
    for name in np.unique(stratum):
        rows = np.flatnonzero(stratum == name)
        order = np.argsort(random.random((draws, len(rows))), axis=1)
        dealt[1:, rows] = recent[rows][order]
    return dealt


def distances(values: Array, dealt: Mask) -> Array:
    """(deals,) 1-Wasserstein distance on ranks between the recent and the other known values; values (n,), NaN unknown.

    NaN where either side of a deal has no known value.
    """
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    rank = _ranks(values[order])
    recent = dealt[:, order]
    before, now = np.cumsum(~recent, axis=1, dtype=np.float64), np.cumsum(recent, axis=1, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = np.abs(now / now[:, -1:] - before / before[:, -1:])
    found: Array = gap[:, :-1] @ np.diff(rank)
    return found


def _ranks(rising: Array) -> Array:
    """Mean rank of each of n rising values, ties alike, from 0 to 1."""
    _, start, count = np.unique(rising, return_index=True, return_counts=True)
    middle: Array = np.repeat(start + (count - 1) / 2, count) / max(len(rising) - 1, 1)
    return middle


def share_gaps(present: Mask, dealt: Mask) -> Array:
    """(deals,) difference between the shares of the recent and the other courses that hold a value; present (n,)."""
    now = (dealt & present).sum(axis=1) / dealt.sum(axis=1)
    before = (~dealt & present).sum(axis=1) / (~dealt).sum(axis=1)
    found: Array = np.abs(now - before)
    return found


def value_drift(names: Sequence[str], values: Array, recent: Mask, dealt: Mask) -> Drift:
    """Drift of known values; values (n, columns), NaN where unknown."""
    known = ~np.isnan(values)
    kept = [
        place
        for place in range(values.shape[1])
        if min((known[:, place] & recent).sum(), (known[:, place] & ~recent).sum()) >= FEWEST_KNOWN
        and np.ptp(values[known[:, place], place]) > 0
    ]
    found = [distances(values[:, place], dealt) for place in kept]
    typical = [(_median(values[~recent, place]), _median(values[recent, place])) for place in kept]
    return _drift([names[place] for place in kept], found, typical, recent)


def missing_drift(names: Sequence[str], values: Array, recent: Mask, dealt: Mask) -> Drift:
    """Drift of what is known at all; values (n, columns), NaN where unknown."""
    known = ~np.isnan(values)
    kept = [place for place in range(values.shape[1]) if 0 < known[:, place].sum() < len(values)]
    found = [share_gaps(known[:, place], dealt) for place in kept]
    shares = [(float(known[~recent, place].mean()), float(known[recent, place].mean())) for place in kept]
    return _drift([names[place] for place in kept], found, shares, recent)


def mix_drift(names: Sequence[str], members: Mask, recent: Mask, dealt: Mask) -> Drift:
    """Drift of case mix: of the share of courses that belong to each group; members (n, groups)."""
    kept = [place for place in range(members.shape[1]) if 0 < members[:, place].sum() < len(members)]
    found = [share_gaps(members[:, place], dealt) for place in kept]
    shares = [(float(members[~recent, place].mean()), float(members[recent, place].mean())) for place in kept]
    return _drift([names[place] for place in kept], found, shares, recent)


def _drift(
    names: Sequence[str], found: Sequence[Array], typical: Sequence[tuple[float | None, float | None]], recent: Mask
) -> Drift:
    """found: per column (deals,) distances, that of the samples as they are first."""
    here, before = int(recent.sum()), int((~recent).sum())
    if not names:
        return Drift(before, here, 0, 1.0, 1.0, 1.0, ())
    raw = np.stack(found, axis=1)
    scaled = standardised(raw)
    largest, mean = scaled.max(axis=1), scaled.mean(axis=1)
    p_largest, p_mean = _p(largest, largest[0]), _p(mean, mean[0])
    moved = [
        Moved(name, float(raw[0, place]), _p(largest, scaled[0, place]), *typical[place])
        for place, name in enumerate(names)
    ]
    moved.sort(key=lambda one: (one.p, -one.distance))
    return Drift(before, here, len(names), min(1.0, 2 * min(p_largest, p_mean)), p_largest, p_mean, tuple(moved))


def standardised(raw: Array) -> Array:
    """(deals, columns) in standard deviations of each column's own null; a deal without a distance counts as 0."""
    with np.errstate(invalid="ignore"):
        centre, spread = np.nanmean(raw, axis=0), np.nanstd(raw, axis=0)
    found: Array = np.nan_to_num((raw - centre) / np.where(spread > 0, spread, 1.0))
    return found


def _p(null: Array, value: float) -> float:
    """Share of all deals, the true one among them, that reach the value."""
    return float((null >= value - 1e-12).mean())


def _median(values: Array) -> float | None:
    """None of so few that it would be nearly a patient's own value."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) >= 2 * FEWEST_KNOWN else None
