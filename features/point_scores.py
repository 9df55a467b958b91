"""Published scores that add points: the cut-points are rows of a reviewed table, for one value and for arrays alike."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from features.score_facts import Cut, ScoreFacts

Array = NDArray[np.float64]

#: Inputs of CAR-HEMATOTOX, in the order of its points.
HEMATOTOX_ITEMS = ("platelets", "anc", "hemoglobin", "crp", "ferritin")
#: A value this near to a cut, as a fraction of it, is on it: a converted unit (92 g/L as g/dL) may miss by a rounding.
ON_THE_CUT = 1e-9


def reached(cut: Cut, value: float) -> bool:
    """Whether the value is beyond the cut, or on it where the cut is inclusive."""
    if abs(value - cut.cut) <= ON_THE_CUT * abs(cut.cut):
        return cut.inclusive
    return value > cut.cut if cut.side == "above" else value < cut.cut


def points(cuts: Sequence[Cut], value: float) -> float:
    """The most points of the cuts that the value reaches, 0 where it reaches none. The value must be known."""
    most = 0.0
    for cut in cuts:
        if cut.points > most and reached(cut, value):
            most = cut.points
    return most


def is_reached(cuts: Sequence[Cut], value: float | None) -> bool | None:
    """Whether the value reaches any of the cuts; None where it is not known."""
    return None if value is None else points(cuts, value) > 0


def points_array(cuts: Sequence[Cut], values: Array) -> Array:
    """(n,) points of (n,) values by the same rule; NaN where the value is missing."""
    total = np.where(np.isnan(values), np.nan, 0.0)
    for cut in cuts:
        beyond = values > cut.cut if cut.side == "above" else values < cut.cut
        on_it = np.abs(values - cut.cut) <= ON_THE_CUT * abs(cut.cut)
        met = np.where(on_it, cut.inclusive, beyond)
        total = np.where(met, np.maximum(total, cut.points), total)
    return total


def car_hematotox(facts: ScoreFacts, values: Mapping[str, Array]) -> Array:
    """(n,) CAR-HEMATOTOX, 0 to 7, NaN where one of its five inputs is missing.

    values: HEMATOTOX_ITEMS -> (n,): platelets and anc 10^9/L, hemoglobin g/dL, crp mg/dL (mg/L / 10), ferritin ng/mL.
    It was made for haematotoxicity, not for CRS. Source: Rejeski 2021, Blood 138:2499.
    """
    parts = [points_array(facts.cuts["car_hematotox", item], values[item]) for item in HEMATOTOX_ITEMS]
    total: Array = np.sum(parts, axis=0)
    return total
