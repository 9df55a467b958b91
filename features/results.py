"""Whether one charted value of an analyte can be used: its unit, its size, its number."""

from collections.abc import Sequence
from math import isfinite

from features.catalogue import Analyte, Conversion, fold_unit

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
    for unit in units:
        if unit and conversion(analyte, unit):
            return unit
    return ""


def conversion(analyte: Analyte, unit: str) -> Conversion | None:
    """How the unit becomes the canonical one, None if the analyte's own list does not accept it."""
    # Most spellings are the listed ones already.
    return analyte.units.get(unit) or analyte.units.get(fold_unit(unit))


def refusal(analyte: Analyte, value: float, units: Sequence[str]) -> str:
    """Why the value cannot be used, "" where it can. units: spellings of one unit, best first; "" where not stated."""
    return judged(analyte, value, units)[1]


def judged(analyte: Analyte, value: float, units: Sequence[str]) -> tuple[str, str]:
    """The accepted unit, "" if there is none, and the refusal."""
    unit = accepted_unit(analyte, units)
    if not isfinite(value):
        return unit, NO_VALUE
    rule = conversion(analyte, unit) if unit else None
    if rule is None:
        return "", UNIT if any(units) else NO_UNIT
    if value < 0 <= analyte.plausible_low:
        return unit, NEGATIVE
    canonical = value * rule.factor + rule.offset
    return unit, "" if analyte.plausible_low <= canonical <= analyte.plausible_high else IMPLAUSIBLE
