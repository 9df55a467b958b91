"""The findings of one course at one time, as charted within the last hours: what features.grading is given."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.course import HOUR, Event, Observations
from features.grading_tables import find, limit
from features.grading_types import CrsFindings, Device, Drug, Given, Masking, Oxygen, Pressor, Vasopressor

ANALYTES = ("temperature", "oxygen_flow", "fio2", "systolic_bp")
TREATMENTS = {
    Event.TOCILIZUMAB.value: Drug.ANTI_CYTOKINE,
    Event.SILTUXIMAB.value: Drug.ANTI_CYTOKINE,
    Event.ANAKINRA.value: Drug.ANTI_CYTOKINE,
    Event.CORTICOSTEROID.value: Drug.CORTICOSTEROID,
}
#: The rows that the grades are derived from.
WATCHED = (*ANALYTES, Event.VASOPRESSOR.value, Event.OXYGEN.value, *TREATMENTS)
#: A grade of ICANS from which a ventilator may be there for the airway alone.
AIRWAY_ICANS = 3.0
Floats = NDArray[np.float64]
#: What was given together, and within it all that is possible.
Variants = tuple[tuple[CrsFindings, ...], ...]


@dataclass(frozen=True, slots=True)
class Charting:
    """What the cohort charts at all, in any course; a row with value 0 (not given) counts as charting it."""

    oxygen: bool
    vasopressors: bool

    @classmethod
    def of(cls, seen: Observations, events: pd.DataFrame, catalogue: Catalogue) -> "Charting":
        codes = [catalogue.code_position(key) for key in ("oxygen_flow", "fio2")]
        oxygen = bool(np.isin(seen.code, codes).any()) or bool(events["event"].eq(Event.OXYGEN.value).any())
        return cls(oxygen, bool(events["event"].eq(Event.VASOPRESSOR.value).any()))


def long_table(seen: Observations, events: pd.DataFrame, catalogue: Catalogue) -> pd.DataFrame:
    """course, seconds, what, value, detail of all watched rows and ICANS grades, sorted by course and time."""
    names = {catalogue.code_position(key): key for key in ANALYTES}
    kept = np.isin(seen.code, list(names))
    values = pd.DataFrame(
        {
            "course": seen.course[kept].astype(np.int64),
            "seconds": seen.seconds[kept].astype(np.int64),
            "what": pd.Series([names[code] for code in seen.code[kept].tolist()], dtype="str"),
            "value": seen.value[kept],
            "detail": pd.Series([""] * int(kept.sum()), dtype="str"),
        }
    )
    charted = events[events["event"].isin((*WATCHED, Event.ICANS_GRADE.value)) & events["seconds"].notna()]
    given = charted.rename(columns={"event": "what"})[["course", "seconds", "what", "value", "detail"]]
    given = given.astype({"course": "int64", "seconds": "int64"})
    return pd.concat([values, given], ignore_index=True).sort_values(["course", "seconds"], kind="stable")


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """One course's rows. readings: analyte -> (seconds, values), ascending. given: (seconds, event, detail), ascending.

    times: seconds from the start on at which something was charted; the start itself where no temperature ever was.
    """

    place: int
    age: float
    readings: dict[str, tuple[NDArray[np.int64], Floats]]
    given: tuple[tuple[int, str, str], ...]
    icans: float
    times: tuple[int, ...]

    @classmethod
    def of(cls, place: int, rows: pd.DataFrame, age: float) -> "Course":
        seconds, what = rows["seconds"].to_numpy(dtype=np.int64), rows["what"].to_numpy(dtype=object)
        value = rows["value"].to_numpy(dtype=np.float64)
        readings = {key: (seconds[what == key], value[what == key]) for key in ANALYTES}
        charted = zip(seconds.tolist(), what.tolist(), rows["detail"].tolist(), strict=True)
        given = tuple(one for one in charted if one[1] in WATCHED and one[1] not in ANALYTES)
        severe = seconds[(what == Event.ICANS_GRADE.value) & (value >= AIRWAY_ICANS)]
        times = set(seconds[(seconds >= 0) & (what != Event.ICANS_GRADE.value)].tolist())
        if not (readings["temperature"][0] >= 0).any():
            times.add(0)
        return cls(place, age, readings, given, float(severe.min(initial=2**40)), tuple(sorted(times)))

    def recent(self, key: str, seconds: int) -> Floats:
        """The values of an analyte charted from the start on, within the window that ends at `seconds`, inclusive."""
        at, values = self.readings[key]
        return values[(at >= 0) & (at > seconds - _window()) & (at <= seconds)]

    def events(self, event: str, seconds: int) -> tuple[str, ...]:
        """The details of an event charted from the start on, within the window that ends at `seconds`, inclusive."""
        since = seconds - _window()
        return tuple(detail for at, name, detail in self.given if name == event and at >= 0 and since < at <= seconds)

    @property
    def unmeasured(self) -> bool:
        """Whether no temperature was charted from the start on."""
        return not bool((self.readings["temperature"][0] >= 0).any())


def has_sign(variants: Variants) -> bool:
    """Whether anything is charted that may be CRS: fever, low pressure, a vasopressor, oxygen."""
    return any(_sign(one) for given in variants for one in given)


def _sign(one: CrsFindings) -> bool:
    hot = one.temperature_c is not None and one.temperature_c >= limit("fever_least")
    return hot or bool(one.hypotension or one.counted or one.has_vasopressin or one.oxygen.needed)


def _window() -> int:
    return int(limit("derived_window") * HOUR)


def findings(course: Course, charting: Charting, seconds: int, onset: int | None) -> Variants:
    """One inner tuple per oxygen device of the window; within it, all readings that are possible.

    onset: seconds of the first certain grade of 1 or worse, None before it.
    """
    temperature = course.recent("temperature", seconds)
    drugs = course.events(Event.VASOPRESSOR.value, seconds)
    vasopressors = tuple(Vasopressor(_pressor(name)) for name in sorted(set(drugs)))
    base = CrsFindings(
        temperature_c=float(temperature.max()) if len(temperature) else None,
        masking=_masking(course, seconds, onset),
        hypotension=None if vasopressors else _hypotension(course, charting, seconds),
        vasopressors=vasopressors if vasopressors or charting.vasopressors else None,
    )
    ventilated = course.icans <= seconds
    return tuple(_variants(base, oxygen, ventilated) for oxygen in _oxygen(course, charting, seconds))


def _variants(base: CrsFindings, oxygen: Oxygen, severe_icans: bool) -> tuple[CrsFindings, ...]:
    found = replace(base, oxygen=oxygen)
    if oxygen.device is Device.INTUBATED and severe_icans:
        return found, replace(base, oxygen=replace(oxygen, airway_only=True))
    return (found,)


def _pressor(text: str) -> Pressor:
    return Pressor(find("vasopressor", text) or Pressor.UNKNOWN)


def _masking(course: Course, seconds: int, onset: int | None) -> tuple[Masking, ...] | None:
    """Treatments up to now; None where there was none, because antipyretics are not charted."""
    given = [(at, TREATMENTS[name]) for at, name, _ in course.given if name in TREATMENTS and at <= seconds]
    return (
        tuple(
            Masking(drug, Given.AFTER_ONSET if onset is not None and at >= onset else Given.BEFORE_ONSET)
            for at, drug in given
        )
        or None
    )


def _hypotension(course: Course, charting: Charting, seconds: int) -> bool | None:
    """By the lowest systolic pressure of an adult; None where there is no reading, or no known age.

    A sound pressure says nothing where vasopressors are not charted: one may have held it.
    """
    pressures = course.recent("systolic_bp", seconds)
    if not len(pressures) or not course.age >= limit("derived_adult_age"):
        return None
    low = bool(pressures.min() < limit("derived_systolic_below"))
    return low if low or charting.vasopressors else None


def _oxygen(course: Course, charting: Charting, seconds: int) -> tuple[Oxygen, ...]:
    """One for each device of the window, with its highest flow and concentration; at least one."""
    flow, fio2 = (course.recent(key, seconds) for key in ("oxygen_flow", "fio2"))
    devices = [_device(text) for text in course.events(Event.OXYGEN.value, seconds)]
    given = sorted({one for one in devices if one is not Device.NONE}, key=str)
    most_flow = float(flow.max()) if len(flow) and flow.max() > 0 else None
    most_fio2 = float(fio2.max()) if len(fio2) and fio2.max() > limit("room_air") else None
    home = _home(course)
    if given:
        return tuple(Oxygen(device, most_flow, most_fio2, True, False, *home) for device in given)
    if most_flow is not None or most_fio2 is not None:
        return (Oxygen(None, most_flow, most_fio2, True, False, *home),)
    return (Oxygen(given=False if charting.oxygen else None),)


def _device(text: str) -> Device | None:
    found = find("device", text)
    return Device(found) if found else None


def _home(course: Course) -> tuple[Device | None, float | None]:
    """Device and flow from before the start: what the patient had at home; an unnamed device counts as a cannula."""
    named = [_device(detail) for at, name, detail in course.given if name == Event.OXYGEN.value and at < 0]
    devices = [device or Device.NASAL_CANNULA for device in named]
    at, flow = course.readings["oxygen_flow"]
    before = flow[at < 0]
    return (devices[-1] if devices else None), (float(before[-1]) if len(before) and before[-1] > 0 else None)
