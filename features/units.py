"""Values come into an analyte's canonical unit by that analyte's own list of units, or not at all.

No general unit library: K/uL is a count of cells here and never kelvin.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.catalogue import Analyte, Conversion, fold_unit
from features.errors import UnitError


def convert(analyte: Analyte, value: float, unit: str) -> float:
    """The value in the canonical unit. UnitError if the unit is not accepted or the result is not plausible."""
    rule = _conversion(analyte, unit)
    converted = float(value) * rule.factor + rule.offset
    check_plausible(analyte, converted)
    return converted


def convert_array(analyte: Analyte, values: ArrayLike, unit: str) -> NDArray[np.float64]:
    """(n,) values of one unit in the canonical unit, float64; UnitError if any one is refused."""
    rule = _conversion(analyte, unit)
    converted = np.asarray(values, np.float64) * rule.factor + rule.offset
    check_plausible(analyte, converted)
    return converted


def is_plausible(analyte: Analyte, values: ArrayLike) -> NDArray[np.bool_]:
    """(n,) whether each value lies in the plausible range, limits included; False for NaN and infinities."""
    array = np.asarray(values, np.float64)
    return (array >= analyte.plausible_low) & (array <= analyte.plausible_high)


def check_plausible(analyte: Analyte, values: ArrayLike) -> None:
    """UnitError if a value in the canonical unit is NaN, infinite or outside the plausible range.

    The message names the analyte, its range and how many values were refused, never a value.
    """
    plausible = is_plausible(analyte, values)
    refused = plausible.size - int(np.count_nonzero(plausible))
    if refused:
        low, high = analyte.plausible_low, analyte.plausible_high
        problem = f"{refused} of {plausible.size} values not in the plausible range {low:g} to {high:g} {analyte.unit}"
        raise UnitError(analyte.key, problem, "check the unit that was sent")


def _conversion(analyte: Analyte, unit: str) -> Conversion:
    rule = analyte.units.get(fold_unit(unit))
    if rule is None:
        raise UnitError(analyte.key, "this unit is not accepted", f"send one of: {', '.join(analyte.units)}")
    return rule
