"""ICANS by ASTCT 2019: the most severe row that no other cause explains; ICE, or CAPD for children.

Tremor, myoclonus and headache are no rows. Source: Lee 2019, doi:10.1016/j.bbmt.2018.12.758, as reproduced in
PMC8403007 Table 4; for children MDedge 192202.
"""

from dataclasses import dataclass
from enum import StrEnum

from features.grading_result import Attribution, Grade, Row, Scheme, worst
from features.grading_tables import limit
from features.grading_types import FindingError, check_range


class Consciousness(StrEnum):
    """From awake to not to be roused. SEDATED: sedation hides it."""

    AWAKE = "awake"
    TO_VOICE = "to_voice"
    TO_TACTILE = "to_tactile"
    VIGOROUS = "vigorous_stimuli"
    UNAROUSABLE = "unarousable"
    SEDATED = "sedated"


class Seizure(StrEnum):
    """RESOLVED: rapidly, or seen on EEG and ended by treatment. LASTING: long, or repeated without return."""

    NONE = "none"
    RESOLVED = "resolved"
    LASTING = "lasting"


class Motor(StrEnum):
    """MOVEMENT: tremor, myoclonus, asterixis. DEEP_WEAKNESS: such as hemiparesis or paraparesis."""

    NONE = "none"
    MOVEMENT = "movement"
    DEEP_WEAKNESS = "deep-weakness"


class Oedema(StrEnum):
    """Cerebral oedema and raised pressure. DIFFUSE stands for its signs too."""

    NONE = "none"
    HAEMORRHAGE = "haemorrhage"
    FOCAL = "focal"
    DIFFUSE = "diffuse"


class Sign(StrEnum):
    """Rows that may be put down to another cause."""

    CONSCIOUSNESS = "consciousness"
    SEIZURE = "seizure"
    MOTOR = "motor"
    OEDEMA = "oedema"


@dataclass(frozen=True, slots=True, kw_only=True)
class IcansFindings:
    """All that the ICANS rows ask about one time. None means not charted.

    ice 0 to 10; capd 0 to 32; rass -5 to 4. seizure_minutes: the longest seizure. developmental_delay: CAPD may take
    the place of ICE at any age. other_cause: rows put down to another cause, () where someone looked and found none.
    died: of ICANS, with no other principal cause.
    """

    age_years: float | None = None
    developmental_delay: bool = False
    ice: int | None = None
    capd: int | None = None
    rass: int | None = None
    consciousness: Consciousness | None = None
    seizure: Seizure | None = None
    seizure_minutes: float | None = None
    motor: Motor | None = None
    oedema: Oedema | None = None
    other_cause: tuple[Sign, ...] | None = None
    died: bool = False

    def __post_init__(self) -> None:
        check_range("age_years", self.age_years, 0, 110)
        check_range("ice", self.ice, 0, limit("ice_normal"))
        check_range("capd", self.capd, 0, limit("capd_most"))
        check_range("rass", self.rass, -5, 4)
        check_range("seizure_minutes", self.seizure_minutes, 0, 10_000)
        if self.seizure is Seizure.NONE and self.seizure_minutes:
            raise FindingError("seizure", "no seizure, and yet a duration")


def icans(found: IcansFindings) -> Grade:
    """The grade of the most severe row."""
    attribution = _attributed(found)
    if found.died:
        return worst(Scheme.ICANS, [Row("death", 5, 5, "death")], attribution)
    rows = [_test(found), _consciousness(found), _seizure(found), _motor(found), _oedema(found)]
    return worst(Scheme.ICANS, rows, attribution)


def _attributed(found: IcansFindings) -> Attribution:
    if found.other_cause is None:
        return Attribution.ASSUMED
    return Attribution.CONTESTED if found.other_cause else Attribution.STATED


def _test(found: IcansFindings) -> Row:
    """The score that belongs to the age: CAPD below 12 years or with developmental delay, else ICE."""
    age = found.age_years
    if age is None and not found.developmental_delay:
        by_capd, cautions = found.ice is None and found.capd is not None, ("age-unknown-test",)
        return _capd(found, cautions) if by_capd else _ice(found)
    young = age is not None and age < limit("capd_age_below")
    if young or (found.developmental_delay and found.capd is not None):
        return _capd(found)
    twelve = age is not None and int(age) == int(limit("capd_age_below")) and found.capd is not None
    return _ice(found, ("ice-at-twelve",) if twelve else ())


def _ice(found: IcansFindings, cautions: tuple[str, ...] = ()) -> Row:
    if found.ice is None:
        return Row("ICE", 0, 3, "ice-not-done", cautions)
    if found.ice == 0 and found.consciousness is None and not _elsewhere(found, Sign.CONSCIOUSNESS):
        return Row("ICE", 3, 4, "ice-0-consciousness-unknown", cautions)
    grade = _ice_grade(found.ice)
    return Row("ICE", grade, grade, f"ice-{grade}" if grade else "ice-normal", cautions)


def _ice_grade(ice: int) -> int:
    if ice >= limit("ice_normal"):
        return 0
    if ice >= limit("ice_grade_1_least"):
        return 1
    return 2 if ice >= limit("ice_grade_2_least") else 3


def _capd(found: IcansFindings, cautions: tuple[str, ...] = ()) -> Row:
    if found.rass is not None and found.rass <= limit("rass_void_most"):
        return Row("CAPD", 0, 3, "capd-void", cautions)
    if found.capd is None:
        return Row("CAPD", 0, 3, "capd-not-done", cautions)
    if found.capd >= limit("capd_grade_3_least"):
        return Row("CAPD", 3, 3, "capd-3", cautions)
    return Row("CAPD", 1, 1, "capd-1", cautions) if found.capd else Row("CAPD", 0, 0, "capd-0", cautions)


def _elsewhere(found: IcansFindings, sign: Sign) -> bool:
    return sign in (found.other_cause or ())


def _not_counted(name: str) -> Row:
    return Row(name, 0, 0, "row-elsewhere", ("row-elsewhere",))


_LEVELS: dict[Consciousness, tuple[int, str]] = {
    Consciousness.AWAKE: (0, "awake"),
    Consciousness.TO_VOICE: (2, "to-voice"),
    Consciousness.TO_TACTILE: (3, "to-tactile"),
    Consciousness.VIGOROUS: (4, "unarousable"),
    Consciousness.UNAROUSABLE: (4, "unarousable"),
}


def _consciousness(found: IcansFindings) -> Row:
    """Awake is no sign by itself: the score tells whether there is ICANS."""
    if _elsewhere(found, Sign.CONSCIOUSNESS):
        return _not_counted("consciousness")
    if found.consciousness is None:
        return Row("consciousness", 0, 4, "consciousness-unknown")
    if found.consciousness is Consciousness.SEDATED:
        return Row("consciousness", 0, 4, "sedated", ("sedated",))
    grade, why = _LEVELS[found.consciousness]
    return Row("consciousness", grade, grade, why)


def _seizure(found: IcansFindings) -> Row:
    if _elsewhere(found, Sign.SEIZURE):
        return _not_counted("seizure")
    lasting = found.seizure_minutes is not None and found.seizure_minutes > limit("seizure_prolonged_above")
    if found.seizure is Seizure.LASTING or lasting:
        return Row("seizure", 4, 4, "seizure-lasting")
    if found.seizure is Seizure.RESOLVED:
        return Row("seizure", 3, 3, "seizure-resolved")
    if found.seizure is Seizure.NONE:
        return Row("seizure", 0, 0, "no-seizure")
    return Row("seizure", 3 if found.seizure_minutes else 0, 4, "seizure-unknown")


def _motor(found: IcansFindings) -> Row:
    if _elsewhere(found, Sign.MOTOR):
        return _not_counted("motor")
    if found.motor is None:
        return Row("motor", 0, 4, "motor-unknown")
    if found.motor is Motor.DEEP_WEAKNESS:
        return Row("motor", 4, 4, "deep-weakness")
    return Row("motor", 0, 0, "movement-not-counted" if found.motor is Motor.MOVEMENT else "no-weakness")


def _oedema(found: IcansFindings) -> Row:
    if _elsewhere(found, Sign.OEDEMA):
        return _not_counted("oedema")
    known: dict[Oedema, tuple[int, str]] = {
        Oedema.NONE: (0, "no-oedema"),
        Oedema.HAEMORRHAGE: (0, "haemorrhage-excluded"),
        Oedema.FOCAL: (3, "focal-oedema"),
        Oedema.DIFFUSE: (4, "diffuse-oedema"),
    }
    if found.oedema is None:
        return Row("oedema", 0, 4, "oedema-unknown")
    grade, why = known[found.oedema]
    return Row("oedema", grade, grade, why)
