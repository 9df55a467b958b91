"""What Lee 2014, Penn and CTCAE ask beyond ASTCT: the dose of vasopressors, and oxygen by its concentration."""

from features.grading_result import Row
from features.grading_tables import limit
from features.grading_types import CrsFindings, Device, DoseUnit, Oxygen, Pressor, Vasopressor

#: The key and unit of the dose from which a drug counts as high. Sums of several drugs have no checked rule.
_HIGH: dict[Pressor, tuple[str, DoseUnit]] = {
    Pressor.NOREPINEPHRINE: ("high_dose_norepinephrine", DoseUnit.PER_MINUTE),
    Pressor.EPINEPHRINE: ("high_dose_epinephrine", DoseUnit.PER_MINUTE),
    Pressor.PHENYLEPHRINE: ("high_dose_phenylephrine", DoseUnit.PER_MINUTE),
    Pressor.DOPAMINE: ("high_dose_dopamine", DoseUnit.PER_KILOGRAM),
}
_POSITIVE_PRESSURE = (Device.CPAP, Device.BIPAP)


def high_dose(found: CrsFindings) -> tuple[bool | None, str]:
    """Whether a vasopressor was given at a high dose, None where the chart does not tell, and the reason for that.

    The limits are from memory: see features/tables/grading_rules.csv.
    """
    if found.high_dose is not None:
        return found.high_dose, "charted"
    told = [_high(one, found.has_vasopressin) for one in found.counted]
    if any(told):
        return True, "high-dose-vasopressor"
    if None in told:
        return None, "dose-unknown"
    several = len(told) > 1 or (
        found.has_vasopressin and any(one.name is not Pressor.NOREPINEPHRINE for one in found.counted)
    )
    return (None, "equivalents-unknown") if several else (False, "")


def _high(one: Vasopressor, with_vasopressin: bool) -> bool | None:
    known = _HIGH.get(one.name)
    if known is None or one.dose is None or one.unit is not known[1]:
        return None
    beside = with_vasopressin and one.name is Pressor.NOREPINEPHRINE
    if one.dose < limit("high_dose_with_vasopressin" if beside else known[0]):
        return False
    return None if one.hours is None else one.hours >= limit("high_dose_hours")


def several(found: CrsFindings) -> bool | None:
    """Whether two or more vasopressors besides vasopressin were given; None where a name is not known."""
    names = {one.name for one in found.counted}
    if len(names - {Pressor.UNKNOWN}) > 1:
        return True
    return None if Pressor.UNKNOWN in names else False


def by_concentration(oxygen: Oxygen, ventilator: int) -> Row:
    """Oxygen below 40 % is 2, from 40 % on 3, a ventilator `ventilator`; CPAP and BiPAP may be either."""
    if oxygen.needed is False:
        return Row("oxygen", 0, 0, "no-oxygen")
    if oxygen.device is Device.INTUBATED:
        return Row("oxygen", ventilator, ventilator, "ventilator")
    low, high, why = _concentration(oxygen)
    if oxygen.device in _POSITIVE_PRESSURE:
        return Row("oxygen", low, ventilator, "pressure-mask-open")
    # A concentration without a device is graded as it is: the scales ask for no device short of a ventilator.
    return Row("oxygen", low, high, why)


def _concentration(oxygen: Oxygen) -> tuple[int, int, str]:
    if oxygen.fio2_pct is not None and oxygen.needed:
        high = oxygen.fio2_pct >= limit("fio2_high_least")
        return (3, 3, "oxygen-from-40") if high else (2, 2, "oxygen-below-40")
    if oxygen.needed:
        return 2, 3 if oxygen.device else 4, "concentration-unknown"
    return 0, 4, "oxygen-unknown"
