"""CRS by Lee 2014, Penn, CTCAE 5 and CTCAE 4. Their grades are not those of ASTCT and are never mixed with them.

None of them requires fever, and none waives it. A finding that a scheme asks for and nobody charted leaves the grade
open: "at least n". Sources: features/tables/grading_reasons.csv.
"""

from features.grading_crs import attributed, elsewhere
from features.grading_doses import by_concentration, high_dose, several
from features.grading_result import Grade, Row, Scheme, uncertain, worst
from features.grading_tables import limit
from features.grading_types import CrsFindings, Device, Fluids, Infusion, Organ, OrganToxicity, Part


def lee(found: CrsFindings) -> Grade:
    """The grade by Lee 2014: one low-dose vasopressor is 2, organ toxicity counts."""
    return _graded(Scheme.LEE, found, [_signs(found), _lee_pressure(found), _oxygen(found), _lee_organs(found)])


def penn(found: CrsFindings) -> Grade:
    """The grade by the Penn scale: any oxygen is 3, multiple fluid boluses are 3."""
    care = _flag("care", found.hospital_care, 2, ("penn-hospital", "penn-outpatient", "penn-hospital-unknown"))
    blood = _flag(
        "coagulopathy", found.coagulopathy_treated, 3, ("penn-coagulopathy", "no-coagulopathy", "coagulopathy-unknown")
    )
    rows = [_signs(found), care, blood, _penn_organs(found), _penn_pressure(found), _penn_oxygen(found)]
    return _graded(Scheme.PENN, found, rows)


def ctcae_5(found: CrsFindings) -> Grade:
    """The grade by CTCAE 5; neurological signs have terms of their own there."""
    rows = [_signs(found), _ctcae_pressure(found), _oxygen(found)]
    if found.urgent:
        rows.append(Row("urgency", 4, 4, "ctcae-urgent"))
    return _graded(Scheme.CTCAE_5, found, rows)


def ctcae_4(found: CrsFindings) -> Grade:
    """The grade by CTCAE 4, which goes by what became of the infusion; a pressor or ventilator is 4."""
    rows = [_course_of_infusion(found), _ctcae_4_pressure(found), _ctcae_4_oxygen(found)]
    return _graded(Scheme.CTCAE_4, found, rows)


def _graded(scheme: Scheme, found: CrsFindings, rows: list[Row]) -> Grade:
    attribution = attributed(found)
    if found.died:
        return worst(scheme, [Row("death", 5, 5, "death")], attribution)
    if elsewhere(found, Part.FEVER):
        rows = [Row("fever", 0, 1, "other-cause"), *(uncertain(row) for row in rows if row.high > 0)]
    late = found.days is not None and found.days > limit("late_onset_days")
    return worst(scheme, rows, attribution, ("late-onset",) if late else ())


def _signs(found: CrsFindings) -> Row:
    """Grade 1: fever, or constitutional symptoms."""
    if found.temperature_c is not None and found.temperature_c >= limit("fever_least"):
        return Row("signs", 1, 1, "fever")
    if found.symptoms:
        return Row("signs", 1, 1, "symptoms")
    if found.temperature_c is None:
        return Row("signs", 0, 1, "temperature-unknown")
    return Row("signs", 0, 1, "symptoms-unknown") if found.symptoms is None else Row("signs", 0, 0, "no-fever-sign")


def _flag(name: str, charted: bool | None, grade: int, why: tuple[str, str, str]) -> Row:
    """One sign of one grade. why: the reasons where it is there, absent, not charted."""
    if charted is None:
        return Row(name, 0, grade, why[2])
    return Row(name, grade, grade, why[0]) if charted else Row(name, 0, 0, why[1])


def _pressure_elsewhere(found: CrsFindings) -> Row | None:
    if elsewhere(found, Part.HYPOTENSION):
        return Row("hypotension", 0, 0, "hypotension-elsewhere", ("hypotension-elsewhere",))
    return None


def _cautions(found: CrsFindings) -> tuple[str, ...]:
    """What is policy about the drugs that were given."""
    inotrope = ("inotrope-not-counted",) if found.has_inotrope else ()
    return (*inotrope, "vasopressin-alone") if found.has_vasopressin and not found.counted else inotrope


def _lee_pressure(found: CrsFindings) -> Row:
    return _pressure_elsewhere(found) or Row("hypotension", *_lee_doses(found), _cautions(found))


def _lee_doses(found: CrsFindings) -> tuple[int, int, str]:
    if several(found):
        return 3, 3, "multiple-vasopressors-lee"
    if found.counted:
        high, why = high_dose(found)
        if high:
            return 3, 3, "high-dose-vasopressor"
        if several(found) is None or high is None:
            return 2, 3, "vasopressor-names-unknown" if several(found) is None else why
        return 2, 2, "one-low-dose-vasopressor"
    return _untreated(found, 3, vasopressin=2)


def _untreated(found: CrsFindings, most: int, vasopressin: int) -> tuple[int, int, str]:
    """Hypotension is 2 without a vasopressor, `vasopressin` with that alone, and up to `most` where nobody charted."""
    open_list = found.vasopressors is None
    if found.has_vasopressin:
        return vasopressin, max(vasopressin, most) if open_list else vasopressin, "vasopressin-alone"
    if found.low_pressure is False:
        return 0, 0, "no-hypotension"
    least = 2 if found.low_pressure else 0
    if open_list:
        return least, most, "vasopressors-unknown" if least else "hypotension-unknown"
    return least, 2, "hypotension-fluids" if least else "hypotension-unknown"


def _oxygen(found: CrsFindings) -> Row:
    if elsewhere(found, Part.HYPOXIA):
        return Row("oxygen", 0, 0, "hypoxia-elsewhere", ("hypoxia-elsewhere",))
    if found.oxygen.airway_only:
        return Row("oxygen", 0, 0, "airway-protection", ("airway-protection",))
    return by_concentration(found.oxygen, ventilator=4)


def _lee_organs(found: CrsFindings) -> Row:
    if found.organs is None:
        return Row("organs", 0, 4, "organs-unknown")
    grade = max((_lee_organ(one) for one in found.organs), default=0)
    return Row("organs", grade, grade, f"organ-{grade}") if grade else Row("organs", 0, 0, "no-organ")


def _lee_organ(one: OrganToxicity) -> int:
    most = 3 if one.organ is Organ.LIVER_TESTS else 4
    return min(one.grade, most) if one.grade >= 2 else 0


def _penn_organs(found: CrsFindings) -> Row:
    if found.organs is None:
        return Row("organs", 0, 4, "organs-unknown")
    least, most = (max((one[place] for one in map(_penn_organ, found.organs)), default=0) for place in (0, 1))
    why = "penn-organ-4" if most > least else f"penn-organ-{least}" if least else "penn-no-organ"
    other = any(one.organ is Organ.OTHER and one.grade >= 2 for one in found.organs)
    return Row("organs", least, most, why, ("penn-other-organ",) if other else ())


def _penn_organ(one: OrganToxicity) -> tuple[int, int]:
    """Liver tests 3 and 4 are 2 and 3; creatinine 2 and 3 stay so, and 4 is not named."""
    grade = one.grade - 1 if one.organ is Organ.LIVER_TESTS else one.grade
    return (0, 0) if grade < 2 else (min(grade, 3), grade)


def _penn_pressure(found: CrsFindings) -> Row:
    return _pressure_elsewhere(found) or Row("hypotension", *_penn_doses(found), _cautions(found))


def _penn_doses(found: CrsFindings) -> tuple[int, int, str]:
    if found.counted:
        high, why = high_dose(found)
        if high is None:
            return 3, 4, why
        told = "penn-high-dose-charted" if why == "charted" else "penn-high-dose"
        return (4, 4, told) if high else (3, 3, "penn-low-dose")
    low, high_grade, why = _untreated(found, 4, vasopressin=3)
    if low != 2:
        return low, 3 if why == "hypotension-unknown" and high_grade == 2 else high_grade, why
    if found.fluids is Fluids.MULTIPLE:
        return 3, max(3, high_grade), why if high_grade > 3 else "penn-many-fluids"
    return 1, max(3, high_grade), why if high_grade > 3 else "penn-few-fluids"


def _penn_oxygen(found: CrsFindings) -> Row:
    row = _oxygen(found)
    if row.high == 0 or row.why == "ventilator":
        return row
    if found.oxygen.needed and found.oxygen.device is not None:
        return Row("oxygen", 3, 3, "penn-oxygen", row.cautions)
    least = 3 if found.oxygen.needed else 0
    return Row("oxygen", least, 4, "device-unknown" if least else "oxygen-unknown")


def _ctcae_pressure(found: CrsFindings) -> Row:
    if gone := _pressure_elsewhere(found):
        return gone
    many = several(found)
    if many is None:
        return Row("hypotension", 3, 4, "vasopressor-names-unknown")
    if many:
        return Row("hypotension", 4, 4, "ctcae-many-pressors")
    if found.counted:
        return Row("hypotension", 3, 3, "ctcae-one-pressor", _cautions(found))
    return Row("hypotension", *_untreated(found, 4, vasopressin=3), _cautions(found))


def _course_of_infusion(found: CrsFindings) -> Row:
    known = {
        Infusion.NOT_INTERRUPTED: (1, "ctcae4-not-interrupted"),
        Infusion.INTERRUPTED: (2, "ctcae4-interrupted"),
        Infusion.PROLONGED: (3, "ctcae4-prolonged"),
    }
    if found.infusion is not None:
        grade, why = known[found.infusion]
        return Row("infusion", grade, grade, why)
    signs = _signs(found)
    if signs.high == 0 and found.low_pressure is False and found.oxygen.needed is False:
        return Row("infusion", 0, 0, "ctcae4-no-reaction")
    return Row("infusion", signs.low, 3, "ctcae4-infusion-unknown")


def _ctcae_4_pressure(found: CrsFindings) -> Row:
    if gone := _pressure_elsewhere(found):
        return gone
    if found.counted or found.has_vasopressin:
        return Row("hypotension", 4, 4, "ctcae4-pressor", _cautions(found))
    if found.vasopressors is None and found.low_pressure is not False:
        return Row("hypotension", 0, 4, "vasopressors-unknown")
    return Row("hypotension", 0, 0, "no-hypotension" if found.low_pressure is False else "hypotension-fluids")


def _ctcae_4_oxygen(found: CrsFindings) -> Row:
    """Only a ventilator counts in this version."""
    row = _oxygen(found)
    if row.why in ("ventilator", "hypoxia-elsewhere", "airway-protection") or row.high == 0:
        return row
    if found.oxygen.device in (None, Device.CPAP, Device.BIPAP):
        return Row("oxygen", 0, 4, "device-unknown" if found.oxygen.device is None else "pressure-mask-open")
    return Row("oxygen", 0, 0, "no-oxygen")
