"""Chance, held down over all columns of a check together: shuffles within strata and exact tails.

One course of a patient is counted, so that rows may be taken as independent.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaln, ndtri

from training.diagnose_material import SEED

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Shuffles that are multiplied at once.
BATCH = 50


@dataclass(frozen=True, slots=True, eq=False)
class Association:
    """k columns against p targets within strata.

    slope: (k, p) change of the column per unit of the target where the column is known, NaN where one does not vary.
    chance: (k, p) chance that any pair is as strong if none is associated (largest |z| over shuffles).
    """

    slope: Floats
    chance: Floats


def association(columns: Floats, targets: Floats, stratum: Ints, enough: float, draws: int) -> Association:
    """Shuffle the targets' rows within strata; a pair's strength is its score statistic in standard deviations.

    columns (n, k), targets (n, p): NaN counts as the stratum's mean. Only where some pair would pass by the normal
    approximation at the chance `enough`, ten times widened, are the shuffles drawn; elsewhere chance is 1.
    """
    varies = np.fmax.reduce(columns, axis=0) > np.fmin.reduce(columns, axis=0)
    slope, chance = np.full((2, columns.shape[1], targets.shape[1]), [[[np.nan]], [[1.0]]])
    slope[varies], chance[varies] = _associated(columns[:, varies], targets, stratum, enough, draws)
    return Association(slope, chance)


def _associated(
    columns: Floats, targets: Floats, stratum: Ints, enough: float, draws: int
) -> tuple[Floats, Floats | float]:
    """Slope and chance of columns that vary."""
    x, y = _centred(columns, stratum), _centred(targets, stratum)
    sd, total = np.sqrt(_variance(x, y, stratum)), np.isfinite(columns).T.astype(np.float64) @ np.square(y)
    safe = np.where(sd > 1e-12, sd, np.inf)
    z = x.T @ y / safe
    slope = np.divide(x.T @ y, total, out=np.full(z.shape, np.nan), where=(total > 0) & (sd > 1e-12))
    reach = -ndtri(min(0.5, 10 * enough / max(2 * z.size, 1) / 2))
    if not z.size or np.abs(z).max() < reach:
        return slope, 1.0
    largest = np.sort(_largest(x, y, safe, stratum, draws))
    beaten = draws - np.searchsorted(largest, np.abs(z) * (1 - 1e-5))
    return slope, (1 + beaten) / (1 + draws)


def _centred(values: Floats, stratum: Ints) -> Floats:
    frame = pd.DataFrame(values)
    centred: Floats = (frame - frame.groupby(stratum).transform("mean")).fillna(0.0).to_numpy(dtype=np.float64)
    return centred


def _variance(x: Floats, y: Floats, stratum: Ints) -> Floats:
    """(k, p) variance of x'y when y's rows are shuffled within strata."""
    size = np.bincount(stratum)
    squares = [pd.DataFrame(np.square(one)).groupby(stratum).sum().to_numpy() for one in (x, y)]
    size = size[size > 0]
    variance: Floats = squares[0].T @ (squares[1] / np.maximum(size - 1, 1)[:, None])
    return variance


def _largest(x: Floats, y: Floats, sd: Floats, stratum: Ints, draws: int) -> Floats:
    """(draws,) largest |z| of each shuffle."""
    random, order = np.random.default_rng(SEED), np.argsort(stratum, kind="stable")
    x, y, stratum = x[order].astype(np.float32), y[order].astype(np.float32), stratum[order]
    found: list[Floats] = []
    for start in range(0, draws, BATCH):
        turns = [np.argsort(stratum + random.random(len(stratum))) for _ in range(min(BATCH, draws - start))]
        again = y[np.stack(turns, axis=1)].reshape(len(y), -1)  # (n, draws * p)
        z = np.abs(x.T @ again).reshape(x.shape[1], len(turns), -1) / sd[:, None, :]
        found.append(z.max(axis=(0, 2), initial=0.0))
    return np.concatenate(found)


def one_class_chance(held: Ints, of_class: Ints, of_all: Ints) -> float:
    """Chance that all holders of a value are of one class if classes are shuffled within strata.

    held, of_class, of_all: (strata,) holders, courses of the class, all courses. 0 where a holder is outside the class.
    """
    if (held > of_class).any():
        return 0.0
    return float(np.exp(np.sum(_log_choose(of_class, held) - _log_choose(of_all, held))))


def _log_choose(n: Ints, k: Ints) -> Floats:
    ways: Floats = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
    return ways


def auroc_above(area: float, events: int, others: int, limit: float, tests: int, chance: float) -> bool:
    """Whether an AUROC lies above the limit beyond chance, one-sided, `tests` such questions asked together.

    The standard error is that of a true area halfway between the limit and what is found, so that a perfect area has
    one too. Source: Hanley and McNeil 1982, Radiology 143:29.
    """
    true = (limit + area) / 2
    first, second = true / (2 - true), 2 * true**2 / (1 + true)
    variance = true * (1 - true) + (events - 1) * (first - true**2) + (others - 1) * (second - true**2)
    return bool(area > limit - ndtri(chance / max(tests, 1)) * np.sqrt(variance / (events * others)))
