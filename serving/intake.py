"""A decoded request into a course that the row-builder reads: codes looked up, units converted, times in seconds.

Everything here depends on the catalogue alone, so that a request is refused before any model sees it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from features.catalogue import Analyte, Catalogue, fold_unit
from features.course import DAY, LOOKBACK_SECONDS, Event, whole_seconds
from features.errors import UnitError
from features.grading_types import GRADINGS
from features.single import CourseInput, Observed
from features.units import convert
from serving import notes, symptoms
from serving.api import BatchRequest, CourseEvent, Observation, PredictRequest, Symptom
from serving.converted import Converted, converted
from serving.course_facts import indication_of, not_listed, numbers_of, therapy_of
from serving.doses import Charted, latest_dose
from serving.findings import NOTHING_KNOWN, Known, known
from serving.look_alikes import Comparators
from serving.notes import Note
from serving.refusal import RefusalError, bad_value
from serving.score_inputs import AtLimit
from serving.symptoms import Stated

#: Hours from the start beyond which a time is taken for a mistake (ten years).
FURTHEST_HOURS = 87_600.0
HIGHEST_GRADE = {Event.CRS_GRADE: 5, Event.ICANS_GRADE: 5}
HIGHEST_DOSE = 50
#: No laboratory's upper limit of normal lies below this, in the canonical unit of any analyte.
LEAST_LIMIT = 1e-3


@dataclass(frozen=True, slots=True)
class Intake:
    """A course that can be looked at. notes: what was decided on the way in and the client should know.

    findings: what only the published scores read. symptoms: what was present up to the index time, each once.
    comparators: (code, seconds, value) of what the analyser gave as its limit -> < or >; the row takes the limit as the
    value, and a score is not computed from it. previous_seconds: when the client last asked, None where it did not say.
    converted: the units that were not canonical.
    """

    course_id: str
    course: CourseInput
    notes: tuple[Note, ...]
    findings: Known = NOTHING_KNOWN
    symptoms: tuple[Stated, ...] = ()
    comparators: Comparators = field(default_factory=dict)
    previous_seconds: int | None = None
    converted: Converted = field(default_factory=dict)

    @property
    def at_limit(self) -> AtLimit:
        """(code, seconds, value) of what the analyser gave as its limit."""
        return frozenset(self.comparators)


def take_batch(catalogue: Catalogue, batch: BatchRequest) -> tuple[Intake, ...]:
    """The courses of a batch in their order; Refusal if one cannot be used or one course is named twice."""
    _check_named_once(batch)
    return tuple(take(catalogue, one, f"$.requests[{place}]") for place, one in enumerate(batch.requests))


def take(catalogue: Catalogue, request: PredictRequest, path: str = "$") -> Intake:
    """The course of one request; Refusal 422 with the path of the first value that cannot be used."""
    index = _seconds(request.hours_since_start, f"{path}.hours_since_start")
    therapy, therapy_notes = therapy_of(catalogue, request.course, f"{path}.course")
    indication, indication_notes = indication_of(catalogue, request.course)
    numbers = numbers_of(catalogue, request.course, f"{path}.course")
    observed = tuple(
        _observed(catalogue, one, f"{path}.observations[{place}]") for place, one in enumerate(request.observations)
    )
    charted = _charted(request.events, path)
    events = tuple(one.event for one in charted)
    dose, dose_notes = latest_dose(catalogue, therapy, charted, index)
    stated = tuple(_stated(one, index, f"{path}.symptoms[{place}]") for place, one in enumerate(request.symptoms))
    seen = tuple(one for one in (*observed, *events) if -LOOKBACK_SECONDS <= one.seconds <= index)
    course = CourseInput(therapy, indication, index, dose.seconds, dose.number, numbers, seen)
    told = (
        *therapy_notes,
        *indication_notes,
        *dose_notes,
        *_time_notes(observed, events, index),
        *_grading_notes(request.events, index),
        *symptoms.notes(stated, index),
    )
    found = known(request.findings, f"{path}.findings")
    shown, comparators = symptoms.seen(stated, index), _comparators(request.observations, observed)
    previous = _previous(request.previous_hours, index, f"{path}.previous_hours")
    units = converted(
        catalogue, ((seen.code, one.unit) for seen, one in zip(observed, request.observations, strict=True))
    )
    return Intake(request.course.id, course, told, found, shown, comparators, previous, units)


def _check_named_once(batch: BatchRequest) -> None:
    first: dict[str, int] = {}
    for place, one in enumerate(batch.requests):
        earlier = first.setdefault(one.course.id, place)
        if earlier != place:
            path = f"$.requests[{place}].course.id"
            raise bad_value(
                "duplicate-course", path, f"requests[{earlier}] has the same course id", "send each course once"
            )


def _observed(catalogue: Catalogue, one: Observation, path: str) -> Observed:
    analyte = catalogue.find_analyte(one.code)
    if analyte is None:
        raise _unknown_code(catalogue, one.code, f"{path}.code")
    if one.comparator not in (None, "<", ">"):
        raise bad_value("value-not-accepted", f"{path}.comparator", "not < or >", "send < or >, or leave it out")
    value = _canonical(analyte, one.value, one.unit, path, "value")
    seconds = _seconds(one.hours, f"{path}.hours")
    if one.upper_limit is None:
        return Observed(analyte.key, seconds, value)
    limit = _canonical(analyte, one.upper_limit, one.unit, path, "upper_limit")
    if limit < LEAST_LIMIT:
        problem = f"not at least {LEAST_LIMIT:g} {analyte.unit}"
        raise bad_value("value-not-plausible", f"{path}.upper_limit", problem, "leave it out where unknown")
    return Observed(analyte.key, seconds, value, limit)


def _previous(hours: float | None, index: int, path: str) -> int | None:
    """When the client last asked; it has to lie between the start and the index time."""
    if hours is None:
        return None
    seconds = _seconds(hours, path)
    if not 0 <= seconds < index:
        raise bad_value("value-not-plausible", path, "not between the start and the index time", "leave it out")
    return seconds


def _comparators(sent: Iterable[Observation], observed: Iterable[Observed]) -> Comparators:
    pairs = zip(sent, observed, strict=True)
    return {(seen.code, seen.seconds, seen.value): one.comparator for one, seen in pairs if one.comparator}


def _canonical(analyte: Analyte, value: float, unit: str, path: str, field: str) -> float:
    try:
        return convert(analyte, value, unit)
    except UnitError:
        raise _not_convertible(analyte, unit, path, field) from None


def _not_convertible(analyte: Analyte, unit: str, path: str, field: str) -> RefusalError:
    if fold_unit(unit) not in analyte.units:
        accepted = f"for {analyte.key} send one of: {', '.join(analyte.units)}"
        return bad_value("unit-not-accepted", f"{path}.unit", "this unit is not accepted for the analyte", accepted)
    low, high = analyte.plausible_low, analyte.plausible_high
    problem = f"not in the plausible range of {analyte.key}, {low:g} to {high:g} {analyte.unit}"
    return bad_value("value-not-plausible", f"{path}.{field}", problem, "check the value and its unit")


def _stated(one: Symptom, index: int, path: str) -> Stated:
    key = symptoms.key_of(one.symptom, f"{path}.symptom")
    return Stated(key, index if one.hours is None else _seconds(one.hours, f"{path}.hours"), one.present)


def _charted(events: Iterable[CourseEvent], path: str) -> tuple[Charted, ...]:
    """The events that happened: of all but a grade, the value 0 says "not given", as in training."""
    read = (Charted(_event(one, f"{path}.events[{place}]"), one.value) for place, one in enumerate(events))
    return tuple(one for one in read if one.event.value > 0 or one.event.code in HIGHEST_GRADE)


def _event(one: CourseEvent, path: str) -> Observed:
    if one.event not in tuple(Event):
        raise not_listed(f"{path}.event", "an event", one.event, tuple(Event))
    if one.grading is not None and one.grading not in GRADINGS:
        raise not_listed(f"{path}.grading", "a grading system", one.grading, GRADINGS)
    event = Event(one.event)
    seconds = _seconds(one.hours, f"{path}.hours")
    if event in HIGHEST_GRADE and seconds < 0:
        problem = "a grade before the start is not of this course"
        raise bad_value("value-not-accepted", f"{path}.hours", problem, "leave out grades from before the start")
    return Observed(event.value, seconds, _event_value(event, one.value, f"{path}.value"))


def _event_value(event: Event, value: float | None, path: str) -> float:
    """The grade, the stated dose number, or 1 for an event that simply happened; 0 for one that did not."""
    if event in HIGHEST_GRADE:
        return _whole(value, 0, HIGHEST_GRADE[event], path)
    highest = HIGHEST_DOSE if event is Event.STEP_DOSE else 1
    return 1.0 if value is None else _whole(value, 0, highest, path)


def _whole(value: float | None, low: int, high: int, path: str) -> float:
    if value is None:
        raise bad_value("value-missing", path, "this event needs a value", f"send a whole number from {low} to {high}")
    if not (low <= value <= high and value == int(value)):
        problem = f"not a whole number from {low} to {high}"
        raise bad_value("value-not-plausible", path, problem, "leave out what did not happen")
    return value


def _time_notes(observed: tuple[Observed, ...], events: tuple[Observed, ...], index: int) -> tuple[Note, ...]:
    late = [sum(one.seconds > index for one in group) for group in (observed, events)]
    old = sum(one.seconds < -LOOKBACK_SECONDS and one.seconds <= index for one in (*observed, *events))
    unseen = (notes.unseen(*late),) if any(late) else ()
    return (*unseen, notes.too_old(old, LOOKBACK_SECONDS // DAY)) if old else unseen


def _grading_notes(events: Iterable[CourseEvent], index: int) -> tuple[Note, ...]:
    graded = (one for one in events if one.event in HIGHEST_GRADE and whole_seconds(one.hours) <= index)
    return (notes.GRADING_NOT_ASTCT,) if any(one.grading != "ASTCT-2019" for one in graded) else ()


def _seconds(hours: float, path: str) -> int:
    """Whole seconds by the rule that training uses, so that "at or before" is exact and the same."""
    if abs(hours) > FURTHEST_HOURS:
        problem = f"not within {FURTHEST_HOURS:g} hours of the start"
        raise bad_value("value-not-plausible", path, problem, "send hours from the infusion or first dose")
    return int(whole_seconds(hours))


def _unknown_code(catalogue: Catalogue, code: str, path: str) -> RefusalError:
    refused = catalogue.refused.get(("LOINC", code))
    if refused is not None:
        return bad_value("code-not-accepted", path, "this LOINC code must not be pooled with ours", refused)
    return not_listed(path, "an analyte key or LOINC code", code, catalogue.analytes)
