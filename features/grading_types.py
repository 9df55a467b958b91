"""What CRS is graded from: raw findings at one time. Each type refuses a bad value when it is made (FindingError).

None means not charted; an empty list, NONE or False means charted as absent. Nothing is graded from what is not there.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite

from features import catalogue
from features.grading_tables import limit

#: Systems in which a cohort or a request may state a grade.
GRADINGS = ("ASTCT-2019", "Lee-2014", "Penn", "CTCAE-5")


class FindingError(ValueError):
    """A finding that cannot be: `name` is its field, `problem` what was expected, never the value."""

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        self.problem = problem
        super().__init__(f"{name}: {problem}")


class Pressor(StrEnum):
    """Drugs for the blood pressure. UNKNOWN: given, and its name was not charted."""

    NOREPINEPHRINE = "norepinephrine"
    EPINEPHRINE = "epinephrine"
    PHENYLEPHRINE = "phenylephrine"
    DOPAMINE = "dopamine"
    OTHER = "other-vasopressor"
    UNKNOWN = "unknown"
    VASOPRESSIN = "vasopressin"
    INOTROPE = "inotrope"


class DoseUnit(StrEnum):
    PER_MINUTE = "ug/min"
    PER_KILOGRAM = "ug/kg/min"


class Drug(StrEnum):
    """Groups of drugs that may mask fever."""

    ANTIPYRETIC = "antipyretic"
    ANTI_CYTOKINE = "anti-cytokine"
    CORTICOSTEROID = "corticosteroid"


class Given(StrEnum):
    """When such a drug was given, seen from the onset of CRS."""

    BEFORE_ONSET = "before-onset"
    AFTER_ONSET = "after-onset"


class Device(StrEnum):
    """How oxygen is given, from least to most. NONE: room air."""

    NONE = "none"
    NASAL_CANNULA = "nasal_cannula"
    BLOW_BY = "blow_by"
    HFNC = "hfnc"
    FACE_MASK = "face_mask"
    VENTURI = "venturi"
    NON_REBREATHER = "non_rebreather"
    CPAP = "cpap"
    BIPAP = "bipap"
    INTUBATED = "intubated"


class Fluids(StrEnum):
    """Fluid given for the blood pressure."""

    NONE = "none"
    SINGLE = "single"
    MULTIPLE = "multiple"
    GIVEN = "given"


class Organ(StrEnum):
    LIVER_TESTS = "liver-tests"
    CREATININE = "creatinine"
    OTHER = "other"


class Infusion(StrEnum):
    """What became of the infusion, as CTCAE 4 asks."""

    NOT_INTERRUPTED = "not-interrupted"
    INTERRUPTED = "interrupted-prompt-response"
    PROLONGED = "prolonged-or-recurrent"


class Part(StrEnum):
    """Parts of CRS that may be put down to another cause."""

    FEVER = "fever"
    HYPOTENSION = "hypotension"
    HYPOXIA = "hypoxia"


@dataclass(frozen=True, slots=True)
class Vasopressor:
    """One drug; its highest rate and for how many hours it ran at that rate."""

    name: Pressor
    dose: float | None = None
    unit: DoseUnit | None = None
    hours: float | None = None

    def __post_init__(self) -> None:
        check_range("dose", self.dose, 0.0, 10_000.0)
        check_range("hours", self.hours, 0.0, 10_000.0)
        if (self.dose is None) != (self.unit is None):
            raise FindingError("unit", "dose and unit must be given together")


@dataclass(frozen=True, slots=True)
class Masking:
    """A drug that may mask fever, and when it was given."""

    drug: Drug
    given: Given


@dataclass(frozen=True, slots=True)
class OrganToxicity:
    """An organ toxicity by its own CTCAE grade, 0 to 4."""

    organ: Organ
    grade: int

    def __post_init__(self) -> None:
        check_range("grade", self.grade, 0, 4)


@dataclass(frozen=True, slots=True)
class Oxygen:
    """How oxygen is given now, and was before the course.

    given: whether any oxygen is given, where the device is not charted. airway_only: ventilated to protect the airway,
    not for lack of oxygen. baseline_device, baseline_flow_lpm: what the patient had at home.
    """

    device: Device | None = None
    flow_lpm: float | None = None
    fio2_pct: float | None = None
    given: bool | None = None
    airway_only: bool = False
    baseline_device: Device | None = None
    baseline_flow_lpm: float | None = None

    def __post_init__(self) -> None:
        check_plausible("flow_lpm", "oxygen_flow", self.flow_lpm)
        check_plausible("baseline_flow_lpm", "oxygen_flow", self.baseline_flow_lpm)
        check_plausible("fio2_pct", "fio2", self.fio2_pct)
        if self.device is Device.NONE and (self.given or self._measured):
            raise FindingError("device", "no device, and yet oxygen is given")
        if self.given is False and (self.device not in (None, Device.NONE) or self._measured):
            raise FindingError("given", "no oxygen, and yet a device, flow or concentration")
        if self.airway_only and self.device not in (Device.INTUBATED, None):
            raise FindingError("airway_only", "only ventilation protects the airway")

    @property
    def _measured(self) -> bool:
        return (self.flow_lpm or 0) > 0 or (self.fio2_pct or 0) > limit("room_air")

    @property
    def needed(self) -> bool | None:
        """Whether oxygen is given, by whatever tells it; None where nothing does."""
        if self.device is not None:
            return self.device is not Device.NONE
        return True if self.given or self._measured else self.given


@dataclass(frozen=True, slots=True, kw_only=True)
class CrsFindings:
    """All that the CRS schemes ask about one time, or the worst of a day.

    high_dose: charted by the centre as high-dose vasopressor. other_cause: parts put down to another cause, () where
    someone looked and found none. died: of CRS, with no other principal cause. days: since infusion or latest dose.
    """

    temperature_c: float | None = None
    masking: tuple[Masking, ...] | None = None
    hypotension: bool | None = None
    fluids: Fluids | None = None
    vasopressors: tuple[Vasopressor, ...] | None = None
    vasopressin: bool | None = None
    high_dose: bool | None = None
    oxygen: Oxygen = field(default_factory=Oxygen)
    symptoms: bool | None = None
    organs: tuple[OrganToxicity, ...] | None = None
    coagulopathy_treated: bool | None = None
    hospital_care: bool | None = None
    infusion: Infusion | None = None
    urgent: bool = False
    other_cause: tuple[Part, ...] | None = None
    died: bool = False
    days: float | None = None

    def __post_init__(self) -> None:
        check_plausible("temperature_c", "temperature", self.temperature_c)
        check_range("days", self.days, -1000.0, 10_000.0)
        treated = self.counted or self.has_vasopressin or self.fluids not in (None, Fluids.NONE)
        if self.hypotension is False and treated:
            raise FindingError("hypotension", "no hypotension, and yet fluids or a vasopressor for it")

    @property
    def counted(self) -> tuple[Vasopressor, ...]:
        """The vasopressors that schemes count: neither vasopressin nor an inotrope."""
        return tuple(one for one in self.vasopressors or () if one.name not in (Pressor.VASOPRESSIN, Pressor.INOTROPE))

    @property
    def has_vasopressin(self) -> bool:
        return bool(self.vasopressin) or any(one.name is Pressor.VASOPRESSIN for one in self.vasopressors or ())

    @property
    def has_inotrope(self) -> bool:
        return any(one.name is Pressor.INOTROPE for one in self.vasopressors or ())

    @property
    def low_pressure(self) -> bool | None:
        """Hypotension as charted, or as fluids given for it imply; None where nothing tells."""
        if self.hypotension is None and self.fluids not in (None, Fluids.NONE):
            return True
        return self.hypotension


def check_range(name: str, value: float | None, low: float, high: float) -> None:
    """FindingError unless the value is None or lies from low to high, both inclusive."""
    if value is not None and not (isfinite(value) and low <= value <= high):
        raise FindingError(name, f"not from {low:g} to {high:g}")


def check_plausible(name: str, analyte: str, value: float | None) -> None:
    """FindingError unless the value is None or in the analyte's plausible range, in its canonical unit."""
    row = catalogue.load().analytes[analyte]
    check_range(name, value, row.plausible_low, row.plausible_high)
