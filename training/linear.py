"""The logistic regression that a model has to beat, where rows are many: the same fit and the same answers, sooner.

A fold's search begins at the coefficients of the fold before, with which it shares most of its rows; the answer is the
same, because the penalised fit has one. Medians, flags, scales and coefficients are then folded into one sum over the
columns as they stand, so that rows are asked without being laid out anew.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from training.penalised import penalised_logistic

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Line:
    """log-odds = level + sum of the slopes times what is there + sum of `missing` over the columns that are not.

    slopes, missing: (k,) per column.
    """

    level: float
    slopes: Array
    missing: Array

    def log_odds(self, columns: Array) -> Array:
        """(n,) of rows (n, k), NaN where a value is missing."""
        gone = np.isnan(columns)
        return self.level + np.where(gone, 0.0, columns) @ self.slopes + gone @ self.missing


@dataclass(frozen=True, slots=True)
class _Layout:
    """What a fit sees of k columns: each with its middle where it is missing, flags of those that are missing in some
    row, all standardised, and a 1 for the level. middle, flagged: (k,)."""

    middle: Array
    flagged: Flags
    scaler: StandardScaler

    @classmethod
    def of(cls, columns: Array) -> tuple["_Layout", Array]:
        """The layout that some rows (n, k) give, and these rows laid out so."""
        gone: Flags = np.isnan(columns)
        middle = np.array([_median(own[~out]) for own, out in zip(columns.T, gone.T, strict=True)])
        flagged, scaler = np.asarray(gone.any(axis=0)), StandardScaler(copy=False)
        design = np.hstack([np.where(gone, middle, columns), gone[:, flagged], np.ones((len(columns), 1))])
        scaler.fit_transform(design[:, :-1])
        return cls(middle, flagged, scaler), design

    def folded(self, found: Array) -> Line:
        """The line of coefficients of what is laid out."""
        own = found[:-1] / self.scaler.scale_
        slopes, missing = own[: len(self.middle)], np.zeros(len(self.middle))
        missing[self.flagged] = own[len(self.middle) :]
        return Line(float(found[-1] - own @ self.scaler.mean_), slopes, missing + self.middle * slopes)

    def unfolded(self, line: Line) -> Array:
        """The coefficients that give the line, but for columns that are missing nowhere here."""
        own = np.concatenate([line.slopes, (line.missing - self.middle * line.slopes)[self.flagged]])
        return np.append(own * self.scaler.scale_, line.level + own @ self.scaler.mean_)


def fitted(columns: Array, label: Array, strength: float, near: Line | None = None) -> Line:
    """The line through rows (n, k) and their labels (n,).

    strength: scikit-learn's C, the variance of each coefficient's normal prior. near: a line that is thought to be near
    this one, such as another fold's.
    """
    layout, design = _Layout.of(columns)
    centre, spread = np.zeros(design.shape[1]), np.full(design.shape[1], np.sqrt(strength))
    spread[-1] = np.inf
    start = centre if near is None else layout.unfolded(near)
    return layout.folded(penalised_logistic(design, label, centre, spread, start=start))


def _median(there: Array) -> float:
    """0 where none is there."""
    return float(np.median(there)) if len(there) else 0.0
