"""A decoded request into a course that the row-builder reads: codes looked up, units converted, times in seconds.

Everything here depends on the catalogue alone, so that a request is refused before any model sees it.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from features.catalogue import Analyte, Catalogue, TherapyClass, fold_unit
from features.course import COURSE_NUMBERS, DAY, HOUR, LOOKBACK_SECONDS, Event
from features.errors import UnitError
from features.single import CourseInput, Observed
from features.units import convert
from serving import guard
from serving.api import BatchRequest, Course, CourseEvent, Observation, PredictRequest
from serving.guard import Note
from serving.refusal import RefusalError, bad_value

#: Hours from the start beyond which a time is taken for a mistake (ten years).
FURTHEST_HOURS = 87_600.0
GRADINGS = ("ASTCT-2019", "Lee-2014", "Penn", "CTCAE-5")
_HIGHEST_GRADE = {Event.CRS_GRADE: 5, Event.ICANS_GRADE: 5}
_HIGHEST_DOSE = 50
_FLAGS = (
    "high_disease_burden",
    "fludarabine_cyclophosphamide",
    "bridging_therapy",
    "prophylactic_tocilizumab",
    "prophylactic_corticosteroid",
)
_NUMBERS = ("age_years", "ecog", "prior_lines", "marrow_blasts_pct", "dose_fraction")
_SEXES = {"F": 0.0, "M": 1.0}


@dataclass(frozen=True, slots=True)
class Intake:
    """A course that can be looked at. notes: what was decided on the way in and the client should know."""

    course_id: str
    course: CourseInput
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class _Dose:
    seconds: int
    number: int


def take_batch(catalogue: Catalogue, batch: BatchRequest) -> tuple[Intake, ...]:
    """The courses of a batch in their order; Refusal if one cannot be used or one course is named twice."""
    _check_named_once(batch)
    return tuple(take(catalogue, one, f"$.requests[{place}]") for place, one in enumerate(batch.requests))


def take(catalogue: Catalogue, request: PredictRequest, path: str = "$") -> Intake:
    """The course of one request; Refusal 422 with the path of the first value that cannot be used."""
    index = _seconds(request.hours_since_start, f"{path}.hours_since_start")
    therapy, therapy_notes = _therapy(catalogue, request.course, f"{path}.course")
    indication, indication_notes = _indication(catalogue, request.course)
    numbers = _numbers(catalogue, request.course, f"{path}.course")
    observed = tuple(
        _observed(catalogue, one, f"{path}.observations[{place}]") for place, one in enumerate(request.observations)
    )
    events = tuple(_event(one, f"{path}.events[{place}]") for place, one in enumerate(request.events))
    dose, dose_notes = _latest_dose(catalogue, therapy, events, index)
    seen = tuple(one for one in (*observed, *events) if -LOOKBACK_SECONDS <= one.seconds <= index)
    course = CourseInput(therapy, indication, index, dose.seconds, dose.number, numbers, seen)
    notes = (
        *therapy_notes,
        *indication_notes,
        *dose_notes,
        *_time_notes(observed, events, index),
        *_grading_notes(request.events, index),
    )
    return Intake(request.course.id, course, notes)


def _check_named_once(batch: BatchRequest) -> None:
    first: dict[str, int] = {}
    for place, one in enumerate(batch.requests):
        earlier = first.setdefault(one.course.id, place)
        if earlier != place:
            path = f"$.requests[{place}].course.id"
            raise bad_value(
                "duplicate-course", path, f"requests[{earlier}] has the same course id", "send each course once"
            )


def _therapy(catalogue: Catalogue, course: Course, path: str) -> tuple[str, tuple[Note, ...]]:
    """Key of the therapy or class ("" where unknown) and what to say about it."""
    given = _therapy_class(catalogue, course.therapy_class, path)
    found = catalogue.find_therapy(course.therapy)
    if found is None:
        return (given, (guard.THERAPY_NOT_IN_CATALOGUE,)) if given else ("", ())
    if given and given not in catalogue.lineage(found.key):
        problem = "this is not a class of the therapy that was named"
        raise bad_value("value-not-accepted", f"{path}.therapy_class", problem, "leave it out for a known therapy")
    return found.key, (guard.THERAPY_IS_A_CLASS,) if isinstance(found, TherapyClass) else ()


def _therapy_class(catalogue: Catalogue, text: str | None, path: str) -> str:
    found = catalogue.find_therapy(text) if text else None
    if text and not isinstance(found, TherapyClass):
        raise _not_listed(f"{path}.therapy_class", "a therapy class", text, catalogue.classes)
    return found.key if found else ""


def _indication(catalogue: Catalogue, course: Course) -> tuple[str, tuple[Note, ...]]:
    found = catalogue.find_indication(course.indication) if course.indication else None
    return (found.key, ()) if found else ("", (guard.INDICATION_UNKNOWN,))


def _numbers(catalogue: Catalogue, course: Course, path: str) -> dict[str, float]:
    """Known course columns; what was not sent is absent."""
    given = {name: getattr(course, name) for name in (*_NUMBERS, *_FLAGS)}
    numbers = {name: float(value) for name, value in given.items() if value is not None}
    for name, value in numbers.items():
        low, high = COURSE_NUMBERS[name]
        if not low <= value <= high:
            raise bad_value("value-not-plausible", f"{path}.{name}", f"not from {low:g} to {high:g}", "check the value")
    if course.sex is not None:
        numbers["sex_male"] = _sex(course.sex, path)
    return numbers | _comorbidities(catalogue, course, path)


def _sex(text: str, path: str) -> float:
    if text not in _SEXES:
        raise bad_value("value-not-accepted", f"{path}.sex", "not F or M", "send F or M, or leave it out")
    return _SEXES[text]


def _comorbidities(catalogue: Catalogue, course: Course, path: str) -> dict[str, float]:
    for name in course.comorbidities:
        if name not in catalogue.comorbidities:
            raise _not_listed(f"{path}.comorbidities", "a comorbidity", name, catalogue.comorbidities)
    return {name: float(value) for name, value in course.comorbidities.items() if value is not None}


def _observed(catalogue: Catalogue, one: Observation, path: str) -> Observed:
    analyte = catalogue.find_analyte(one.code)
    if analyte is None:
        raise _unknown_code(catalogue, one.code, f"{path}.code")
    if one.comparator not in (None, "<", ">"):
        raise bad_value("value-not-accepted", f"{path}.comparator", "not < or >", "send < or >, or leave it out")
    if fold_unit(one.unit) not in analyte.units:
        accepted = f"for {analyte.key} send one of: {', '.join(analyte.units)}"
        raise bad_value("unit-not-accepted", f"{path}.unit", "this unit is not accepted for the analyte", accepted)
    value = _canonical(analyte, one.value, one.unit, f"{path}.value")
    seconds = _seconds(one.hours, f"{path}.hours")
    if one.upper_limit is None:
        return Observed(analyte.key, seconds, value)
    limit = _canonical(analyte, one.upper_limit, one.unit, f"{path}.upper_limit")
    if limit <= 0:
        raise bad_value("value-not-plausible", f"{path}.upper_limit", "not above 0", "leave it out where unknown")
    return Observed(analyte.key, seconds, value, limit)


def _canonical(analyte: Analyte, value: float, unit: str, path: str) -> float:
    try:
        return convert(analyte, value, unit)
    except UnitError:
        low, high = analyte.plausible_low, analyte.plausible_high
        problem = f"not in the plausible range of {analyte.key}, {low:g} to {high:g} {analyte.unit}"
        raise bad_value("value-not-plausible", path, problem, "check the value and its unit") from None


def _event(one: CourseEvent, path: str) -> Observed:
    if one.event not in tuple(Event):
        raise _not_listed(f"{path}.event", "an event", one.event, tuple(Event))
    if one.grading is not None and one.grading not in GRADINGS:
        raise _not_listed(f"{path}.grading", "a grading system", one.grading, GRADINGS)
    event = Event(one.event)
    return Observed(event.value, _seconds(one.hours, f"{path}.hours"), _event_value(event, one.value, f"{path}.value"))


def _event_value(event: Event, value: float | None, path: str) -> float:
    """The grade, the dose number (0 where it was not sent), or 1 for an event that simply happened."""
    if event in _HIGHEST_GRADE:
        return _whole(value, 0, _HIGHEST_GRADE[event], path)
    if event is Event.STEP_DOSE:
        return 0.0 if value is None else _whole(value, 1, _HIGHEST_DOSE, path)
    return 1.0 if value is None else _whole(value, 1, 1, path)


def _whole(value: float | None, low: int, high: int, path: str) -> float:
    if value is None:
        raise bad_value("value-missing", path, "this event needs a value", f"send a whole number from {low} to {high}")
    if not (low <= value <= high and value == int(value)):
        expected = f"from {low} to {high}" if low < high else f"{low}"
        raise bad_value("value-not-plausible", path, f"not a whole number {expected}", "leave out what did not happen")
    return value


def _latest_dose(
    catalogue: Catalogue, therapy: str, events: Iterable[Observed], index: int
) -> tuple[_Dose, tuple[Note, ...]]:
    """The latest dose at or before the index time. The start is dose 1; later times count on, or state their number."""
    given = [one for one in events if one.code == Event.STEP_DOSE and 0 <= one.seconds <= index]
    if not given:
        return _Dose(0, 1), ()
    if therapy and not guard.is_step_up(catalogue, therapy):
        return _Dose(0, 1), (guard.STEP_DOSE_IGNORED,)
    latest = max(one.seconds for one in given)
    counted = len({0, *(one.seconds for one in given)})
    stated = max(one.value for one in given if one.seconds == latest)
    return _Dose(latest, int(stated) or counted), ()


def _time_notes(observed: tuple[Observed, ...], events: tuple[Observed, ...], index: int) -> tuple[Note, ...]:
    late = [sum(one.seconds > index for one in group) for group in (observed, events)]
    old = sum(one.seconds < -LOOKBACK_SECONDS and one.seconds <= index for one in (*observed, *events))
    notes = (guard.unseen(*late),) if any(late) else ()
    return (*notes, guard.too_old(old, LOOKBACK_SECONDS // DAY)) if old else notes


def _grading_notes(events: Iterable[CourseEvent], index: int) -> tuple[Note, ...]:
    graded = (one for one in events if one.event in _HIGHEST_GRADE and one.hours * HOUR <= index)
    return (guard.GRADING_NOT_ASTCT,) if any(one.grading != "ASTCT-2019" for one in graded) else ()


def _seconds(hours: float, path: str) -> int:
    """Whole seconds, so that "at or before" is exact."""
    if abs(hours) > FURTHEST_HOURS:
        problem = f"not within {FURTHEST_HOURS:g} hours of the start"
        raise bad_value("value-not-plausible", path, problem, "send hours from the infusion or first dose")
    return round(hours * HOUR)


def _unknown_code(catalogue: Catalogue, code: str, path: str) -> RefusalError:
    refused = catalogue.refused.get(("LOINC", code))
    if refused is not None:
        return bad_value("code-not-accepted", path, "this LOINC code must not be pooled with ours", refused)
    return _not_listed(path, "an analyte key or LOINC code", code, catalogue.analytes)


def _not_listed(path: str, kind: str, text: str, known: Iterable[str]) -> RefusalError:
    """Names a near key of ours, never what was sent."""
    near = difflib.get_close_matches(text[:60].lower(), list(known), n=1)
    remedy = f"did you mean `{near[0]}`?" if near else "docs/api.md says where the accepted ones are listed"
    return bad_value("code-unknown", path, f"not {kind} of the catalogue", remedy)
