"""The rows of the reviewed tables in features/tables, one frozen type per table.

Every row carries its source and whether that source was checked: yes, partly or no.
A type refuses a bad value when it is made (ValueError); the reader adds the table and the line.
NaN stands for a figure that is not known, "" for a word that is not known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite, isnan
from types import MappingProxyType

from features.course import Event

Codes = tuple[tuple[str, str], ...]

VERIFIED = ("yes", "partly", "no")
KEY_EVENTS = (
    "immune-cell-activation",
    "cytokine-release",
    "endothelial-activation",
    "coagulopathy",
    "organ-dysfunction",
    "systemic-inflammation",
)
CRS_GRADINGS = ("", "ASTCT-2019", "Lee-2014", "Penn", "CTCAE-5", "CTCAE-4", "mixed")
ICANS_GRADINGS = ("", "ASTCT-2019", "CTCAE", "CARTOX", "mixed")
#: Filled from another table after the row is read; not a column of the row's own table.
JOINED = {"joined": True}


def fold_unit(unit: str) -> str:
    """The spelling of a unit that is compared: both micro signs become u, spaces go, case stays."""
    return "".join(unit.replace("\u00b5", "u").replace("\u03bc", "u").split())


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(word or 'empty' for word in allowed)}")


def _ordered(name: str, *values: float) -> None:
    """The known values must not decrease."""
    known = [value for value in values if not isnan(value)]
    if known != sorted(known):
        raise ValueError(f"{name} must not decrease")


@dataclass(frozen=True, slots=True)
class Conversion:
    """canonical value = value * factor + offset."""

    factor: float
    offset: float


@dataclass(frozen=True, slots=True)
class Analyte:
    """A laboratory value, cytokine or vital sign.

    unit: canonical, UCUM. worse: the direction that is worse, high or low.
    plausible_low, plausible_high: inclusive, canonical unit.
    reference_low, reference_high: default range, canonical unit, NaN where unknown.
    stale_hours: older than this is called stale. per_upper_limit: rows use multiples of the laboratory's upper limit.
    log_scale: skewed, so rows may use its logarithm. concept: what a clinician groups it under.
    units: accepted units, folded, with their conversion. codes: (system, code) pairs.
    """

    key: str
    name: str
    kind: str
    unit: str
    worse: str
    plausible_low: float
    plausible_high: float
    reference_low: float
    reference_high: float
    stale_hours: float
    per_upper_limit: bool
    log_scale: bool
    concept: str
    key_event: str
    source: str
    verified: str
    note: str
    units: Mapping[str, Conversion] = field(default_factory=lambda: MappingProxyType({}), metadata=JOINED)
    codes: Codes = field(default=(), metadata=JOINED)

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, ("lab", "cytokine", "vital"))
        _one_of("worse", self.worse, ("high", "low"))
        _one_of("key_event", self.key_event, KEY_EVENTS)
        if not (isfinite(self.plausible_low) and isfinite(self.plausible_high) and self.stale_hours > 0):
            raise ValueError("plausible_low, plausible_high and stale_hours must be given")
        _ordered("the plausible and reference limits", self.plausible_low, self.reference_low, self.reference_high)
        _ordered("the plausible and reference limits", self.reference_high, self.plausible_high)
        if self.plausible_low >= self.plausible_high:
            raise ValueError("plausible_low must lie below plausible_high")


@dataclass(frozen=True, slots=True)
class AnalyteUnit:
    """One accepted spelling of a unit; canonical value = value * factor + offset."""

    analyte: str
    unit: str
    factor: float
    offset: float
    source: str
    verified: str

    def __post_init__(self) -> None:
        if self.unit != fold_unit(self.unit) or not self.unit:
            raise ValueError("unit must be written in its folded spelling (u for micro, no spaces)")
        if not (self.factor > 0 and isfinite(self.factor) and isfinite(self.offset)):
            raise ValueError("factor must be a positive number and offset a number")


@dataclass(frozen=True, slots=True)
class Code:
    """A code that stands for the row `key` of a table; an empty key means refused, and `note` says why."""

    key: str
    system: str
    code: str
    display: str
    source: str
    verified: str
    note: str

    def __post_init__(self) -> None:
        if not (self.system and self.code):
            raise ValueError("system and code must be given")
        if not self.key and not self.note:
            raise ValueError("a refused code needs a note that says why")


@dataclass(frozen=True, slots=True)
class EventCode:
    """A code that stands for a charted event. value: the event's own value, NaN where the code states no grade."""

    event: Event
    value: float
    system: str
    code: str
    display: str
    source: str
    verified: str
    note: str


@dataclass(frozen=True, slots=True)
class Comorbidity:
    """A group of other illnesses; codes are ICD-10-CM category prefixes and single SNOMED or OMOP codes."""

    key: str
    name: str
    source: str
    verified: str
    note: str
    codes: Codes = field(default=(), metadata=JOINED)


@dataclass(frozen=True, slots=True)
class Indication:
    """A cancer that is treated. parent: the wider indication it belongs to, or ""."""

    key: str
    name: str
    group: str
    parent: str
    aliases: tuple[str, ...]
    source: str
    verified: str
    note: str
    codes: Codes = field(default=(), metadata=JOINED)

    def __post_init__(self) -> None:
        _one_of("group", self.group, ("lymphoma", "leukaemia", "myeloma", "solid"))


@dataclass(frozen=True, slots=True)
class TherapyClass:
    """A class of therapies. parent: "" for a root. evaluated: inside the service's intended use."""

    key: str
    parent: str
    name: str
    schedule: str
    evaluated: bool
    aliases: tuple[str, ...]
    source: str
    verified: str
    note: str
    codes: Codes = field(default=(), metadata=JOINED)

    def __post_init__(self) -> None:
        _one_of("schedule", self.schedule, ("single-infusion", "step-up", "other"))


@dataclass(frozen=True, slots=True)
class Therapy:
    """A product. therapy_class: key of its class. approved: where it may be sold, as far as the source says."""

    key: str
    name: str
    brand: str
    therapy_class: str
    target: str
    costimulation: str
    format: str
    approved: str
    aliases: tuple[str, ...]
    source: str
    verified: str
    note: str
    codes: Codes = field(default=(), metadata=JOINED)

    def __post_init__(self) -> None:
        _one_of("approved", self.approved, ("us-eu", "us", "eu", "other", "no"))


@dataclass(frozen=True, slots=True)
class Rate:
    """What one published cohort reported; fractions from 0 to 1, NaN where not reported or not read.

    therapy: a therapy key, or a class key. indication: "" for a mixed cohort. n: patients treated.
    crs_grading_confirmed, icans_grading_confirmed: the source itself names the scale.
    mitigation: "" or what was given to prevent CRS; such a cohort is not pooled with the others.
    superseded: its patients stand in another row too (the note says which). Among the rest, no patient counts
    twice for one outcome as far as the sources tell.
    """

    therapy: str
    indication: str
    trial: str
    n: float
    crs_1plus: float
    crs_2plus: float
    crs_3plus: float
    crs_grading: str
    crs_grading_confirmed: bool
    icans_1plus: float
    icans_2plus: float
    icans_3plus: float
    icans_grading: str
    icans_grading_confirmed: bool
    crs_onset_median_hours: float
    crs_duration_median_hours: float
    population: str
    mitigation: str
    superseded: bool
    source: str
    verified: str
    note: str

    def __post_init__(self) -> None:
        _one_of("crs_grading", self.crs_grading, CRS_GRADINGS)
        _one_of("icans_grading", self.icans_grading, ICANS_GRADINGS)
        _one_of("population", self.population, ("label", "trial", "registry", "real-world"))
        _one_of("mitigation", self.mitigation, ("", "prophylactic-tocilizumab", "prophylactic-corticosteroid"))
        _ordered("0, crs_3plus, crs_2plus, crs_1plus, 1", 0, self.crs_3plus, self.crs_2plus, self.crs_1plus, 1)
        _ordered(
            "0, icans_3plus, icans_2plus, icans_1plus, 1", 0, self.icans_3plus, self.icans_2plus, self.icans_1plus, 1
        )
        if self.n <= 0:
            raise ValueError("n must be a positive number or empty")


@dataclass(frozen=True, slots=True)
class DoseDay:
    """When one dose of a step-up schedule is given. dose: from 1. day: whole days after the first dose, 0 for it."""

    therapy: str
    dose: int
    day: float
    source: str
    verified: str
    note: str

    def __post_init__(self) -> None:
        _ordered("0, day", 0, self.day)
        if self.dose < 1 or (self.dose == 1) != (self.day == 0):
            raise ValueError("dose must count from 1, and dose 1 alone is on day 0")


@dataclass(frozen=True, slots=True)
class Step:
    """CRS after one dose of a step-up schedule. crs_rate: fraction of all treated, NaN where not known."""

    therapy: str
    step: int
    crs_rate: float
    source: str
    verified: str
    note: str

    def __post_init__(self) -> None:
        _ordered("0, crs_rate, 1", 0, self.crs_rate, 1)
