"""Which courses train and which test. A patient is never on both sides of one split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from features.errors import DataError

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fold:
    """Course positions, ascending. left_out: courses on neither side, so that no patient is on both."""

    name: str
    train: Places
    test: Places
    left_out: Places


def patient_folds(
    patients: Sequence[str] | NDArray[np.object_],
    strata: ArrayLike | None = None,
    folds: int = 5,
    repeats: int = 5,
    seed: int = 0,
) -> list[Fold]:
    """`repeats` times `folds` folds by patient, named "repeat1-fold1" and on, in that order.

    strata: (n,) numbers per course, such as a label; NaN is a stratum of its own. A patient belongs to the highest
    stratum of his or her courses, and each stratum is dealt out evenly. Depends on the seed, the patients' names and
    strata only, not on the order of courses. DataError if there are fewer patients than folds.
    """
    names = np.asarray(patients, dtype=object)
    stratum = _patient_strata(names, strata)
    if len(stratum) < folds:
        raise DataError("courses.patient_id", f"{len(stratum)} patients for {folds} folds", "ask for fewer folds")
    found = []
    for repeat in range(repeats):
        side = pd.Series(names).map(_deal(stratum, folds, np.random.default_rng([seed, repeat]))).to_numpy()
        found += [_fold(f"repeat{repeat + 1}-fold{number + 1}", side == number) for number in range(folds)]
    return found


def _patient_strata(names: NDArray[np.object_], strata: ArrayLike | None) -> pd.Series:
    """Patient -> stratum, sorted by patient."""
    values = np.zeros(len(names)) if strata is None else np.nan_to_num(np.asarray(strata, dtype=np.float64), nan=-1.0)
    return pd.Series(values).groupby(names).max().sort_index()


def _deal(stratum: pd.Series, folds: int, random: np.random.Generator) -> pd.Series:
    """Patient -> fold: shuffled within strata, then dealt one by one through all strata."""
    shuffled = stratum.iloc[random.permutation(len(stratum))].sort_values(kind="stable")
    return pd.Series(np.arange(len(shuffled)) % folds, index=shuffled.index)


def _fold(name: str, test: NDArray[np.bool_], left_out: NDArray[np.bool_] | None = None) -> Fold:
    out = np.zeros(len(test), dtype=bool) if left_out is None else left_out
    return Fold(name, np.flatnonzero(~test & ~out), np.flatnonzero(test & ~out), np.flatnonzero(out))


def temporal_split(
    patients: Sequence[str] | NDArray[np.object_], start: ArrayLike, test_share: float = 0.25, cut: float | None = None
) -> Fold:
    """The earlier courses train, the latest `test_share` of those with a known start test.

    start: (n,) seconds since any fixed instant, NaN where not known (left out). cut: those that start then or later
    test, instead of a share. Later courses of a patient who has an earlier one in training are left out too. DataError
    if fewer than two different starts are known.
    """
    names, times = np.asarray(patients, dtype=object), np.asarray(start, dtype=np.float64)
    known = np.isfinite(times)
    if len(np.unique(times[known])) < 2:
        raise DataError("courses.start_time", "fewer than two known start times", "a split by time needs start_time")
    if cut is None:
        cut = float(np.quantile(times[known], 1 - test_share, method="higher"))
    late = known & (times >= cut)
    seen_early = np.isin(names, names[known & ~late])
    return _fold("by-time", late, ~known | (late & seen_early))


def leave_site_out(
    patients: Sequence[str] | NDArray[np.object_], sites: Sequence[str] | NDArray[np.object_]
) -> list[Fold]:
    """One fold per site: its courses test, those of the other sites train.

    A tested patient's courses at other sites are left out. DataError if there are fewer than two sites.
    """
    names, places = np.asarray(patients, dtype=object), np.asarray(sites, dtype=object)
    known = sorted(set(places) - {""})
    if len(known) < 2:
        raise DataError("courses.site", f"{len(known)} named sites", "a split by site needs two or more")
    return [_site_fold(site, names, places) for site in known]


def _site_fold(site: str, names: NDArray[np.object_], places: NDArray[np.object_]) -> Fold:
    test = places == site
    return _fold(f"site {site}", test, ~test & np.isin(names, names[test]))
