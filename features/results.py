"""Whether one charted value of an analyte can be used: its unit, its size, its number."""

from collections.abc import Sequence
from math import isfinite

from features.catalogue import Analyte, fold_unit

#: Why a value is refused; the first that holds.
NO_VALUE, NO_UNIT, UNIT, NEGATIVE, IMPLAUSIBLE = (
    "value-missing",
    "unit-missing",
    "unit-not-accepted",
    "value-negative",
    "value-implausible",
)


def accepted_unit(analyte: Analyte, units: Sequence[str]) -> str:
    """The first of the spellings that the analyte's own list accepts, "" if none does."""
    return next((unit for unit in units if unit and fold_unit(unit) in analyte.units), "")


def refusal(analyte: Analyte, value: float, units: Sequence[str]) -> str:
    """Why the value cannot be used, "" where it can. units: spellings of one unit, best first; "" where not stated."""
    if not isfinite(value):
        return NO_VALUE
    unit = accepted_unit(analyte, units)
    if not unit:
        return UNIT if any(units) else NO_UNIT
    if value < 0 <= analyte.plausible_low:
        return NEGATIVE
    rule = analyte.units[fold_unit(unit)]
    canonical = value * rule.factor + rule.offset
    return "" if analyte.plausible_low <= canonical <= analyte.plausible_high else IMPLAUSIBLE
