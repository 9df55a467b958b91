"""From facts about one patient to the course that POST /predict would make of the same: by the rules of training.

What is dated to the day counts as known at the day's end; a diagnosis that is not there is not known, and never "no".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan

from features.catalogue import Catalogue
from features.course import COURSE_NUMBERS, LATEST_SECONDS, LOOKBACK_SECONDS, Event
from features.fhir_types import UNDATED, Fact, PersonFact
from features.given import DAY_MICROS, age_at
from features.results import conversion
from features.single import CourseInput, Observed
from serving import notes
from serving.converted import Converted, converted
from serving.doses import Charted, latest_dose
from serving.fhir_therapy import Plan
from serving.fhir_types import Notebook
from serving.intake import HIGHEST_DOSE, HIGHEST_GRADE, LEAST_LIMIT, Intake
from serving.notes import Note

SECOND = 1_000_000
PLANNED = Note(
    "therapy-planned",
    "The therapy is ordered and no administration is charted: the answer is for an infusion or first dose at the index "
    "time.",
)


@dataclass(frozen=True, slots=True)
class Frame:
    """The course's start and index time, both in microseconds since 1970, and the index in whole seconds after it."""

    start: int
    now: int

    @property
    def index(self) -> int:
        return (self.now - self.start) // SECOND

    def seconds(self, fact: Fact) -> int:
        """When it was known, in whole seconds from the start, rounded up."""
        return -((self.start - self.known(fact)) // SECOND)

    @staticmethod
    def known(fact: Fact) -> int:
        return fact.at.micros + DAY_MICROS if fact.at.by_day else fact.at.micros

    def refusal(self, seconds: int) -> str:
        """Why something of that time is not seen, "" where it is."""
        if seconds > self.index:
            return "after-index-time"
        if seconds < -LOOKBACK_SECONDS:
            return "too-old"
        return "after-follow-up" if seconds > LATEST_SECONDS else ""


def intake(
    catalogue: Catalogue,
    plan: Plan,
    person: PersonFact | None,
    facts: Sequence[Fact],
    now: int,
    course_id: str,
    notebook: Notebook,
    unclear: Sequence[Fact] = (),
) -> Intake:
    """The course; in the notebook, what each fact was used for or why it was not. unclear: grades that are no facts."""
    frame = Frame(plan.start, now)
    notebook.use("therapy", *(one.origin for one in plan.facts))
    therapy, therapy_notes = _therapy(catalogue, plan)
    numbers = _numbers(catalogue, facts, frame, notebook)
    numbers |= _of_person(person, frame, notebook, stated=numbers)
    indication, indication_notes = _indication(catalogue, facts, frame, notebook)
    seen, comparators, units = _results(catalogue, facts, frame, notebook)
    charted, grading_notes = _events(facts, frame, notebook)
    charted += [*_doses(plan, frame, charted), *_death(person, frame, charted, notebook)]
    dose, dose_notes = latest_dose(catalogue, therapy, charted, frame.index)
    events = [one.event for one in charted if one.event.seconds <= frame.index]
    course = CourseInput(
        therapy,
        indication,
        frame.index,
        dose.seconds,
        dose.number,
        {name: numbers[name] for name in sorted(numbers)},
        _ordered([*seen, *events]),
    )
    told = (*therapy_notes, *indication_notes, *dose_notes, *grading_notes, *_not_counted(facts, unclear, frame))
    return Intake(course_id, course, told, comparators=dict(sorted(comparators.items())), converted=units)


def _ordered(seen: Iterable[Observed]) -> tuple[Observed, ...]:
    """Each once, in an order of their own: NaN limits are told apart as text."""
    distinct = {(one.code, one.seconds, one.value, str(one.limit)): one for one in seen}
    return tuple(distinct[place] for place in sorted(distinct))


def _therapy(catalogue: Catalogue, plan: Plan) -> tuple[str, tuple[Note, ...]]:
    stated = (
        (PLANNED, plan.planned),
        (notes.NEXT_DOSE_ORDERED, plan.next_dose),
        (notes.START_BY_DAY, plan.by_day),
        (notes.OTHER_THERAPY, plan.other),
    )
    told = tuple(note for note, holds in stated if holds)
    if plan.therapy in catalogue.classes:
        return plan.therapy, (notes.THERAPY_IS_A_CLASS, *told)
    return (plan.therapy if plan.therapy in catalogue.therapies else ""), told


def _of_person(
    person: PersonFact | None, frame: Frame, notebook: Notebook, stated: Mapping[str, float]
) -> dict[str, float]:
    """Age at the start, and sex, where the course does not state them itself."""
    if person is None:
        return {}
    found = {"age_years": age_at(person.birth, frame.start)}
    low, high = COURSE_NUMBERS["age_years"]
    if not isnan(found["age_years"]) and not low <= found["age_years"] <= high:
        notebook.ignore("value-implausible")
        found = {}
    if person.sex:
        found["sex_male"] = float(person.sex == "M")
    known = {name: value for name, value in found.items() if name not in stated and not isnan(value)}
    for name in known:
        notebook.use(name, person.origin)
    return known


def _numbers(catalogue: Catalogue, facts: Sequence[Fact], frame: Frame, notebook: Notebook) -> dict[str, float]:
    """Comorbidities and numbers of the course as known at its start; what states a number itself comes first, of that
    the latest."""
    early: dict[str, list[Fact]] = {}
    for one in facts:
        if one.kind in ("comorbidity", "course"):
            late = "after-start" if frame.known(one) > frame.start else ""
            if reason := _not_a_number(catalogue, one) or late:
                notebook.ignore(reason)
            else:
                early.setdefault(one.key, []).append(one)
    return {name: _number(held, frame, notebook) for name, held in early.items()}


def _number(held: Sequence[Fact], frame: Frame, notebook: Notebook) -> float:
    stated = [one for one in held if one.kind == "course"]
    best = max(stated, key=lambda one: (frame.known(one), one.value, one.origin)) if stated else held[0]
    used = [one for one in held if one.kind == best.kind and (best.kind == "comorbidity" or one is best)]
    notebook.use(best.key, *(one.origin for one in used))
    notebook.ignore("earlier-value", len(held) - len(used))
    return _flag_or_value(best)


def _flag_or_value(one: Fact) -> float:
    return 1.0 if one.kind == "comorbidity" else one.value


def _not_a_number(catalogue: Catalogue, one: Fact) -> str:
    """Why the fact gives no number of a course, "" where it does."""
    if one.key not in catalogue.course_columns:
        return "not-an-input"
    value, (low, high) = _flag_or_value(one), COURSE_NUMBERS.get(one.key, (0.0, 1.0))
    return "" if low <= value <= high else "value-missing" if isnan(value) else "value-implausible"


def _indication(
    catalogue: Catalogue, facts: Sequence[Fact], frame: Frame, notebook: Notebook
) -> tuple[str, tuple[Note, ...]]:
    """The latest one known at the start."""
    known = [one for one in facts if one.kind == "indication"]
    early = [one for one in known if frame.known(one) <= frame.start]
    notebook.ignore("after-start", len(known) - len(early))
    if not early:
        return "", (notes.INDICATION_UNKNOWN,)
    best = max(early, key=lambda one: (frame.known(one), one.key))
    same = [one for one in early if one.key == best.key]
    notebook.use("indication", *(one.origin for one in same))
    notebook.ignore("earlier-indication", len(early) - len(same))
    return (best.key, ()) if best.key in catalogue.indications else ("", (notes.INDICATION_UNKNOWN,))


def _results(
    catalogue: Catalogue, facts: Sequence[Fact], frame: Frame, notebook: Notebook
) -> tuple[list[Observed], dict[tuple[str, int, float], str], Converted]:
    """Laboratory values and vital signs in canonical units, those that are an analyser's limit, and the other units."""
    found: list[Observed] = []
    comparators: dict[tuple[str, int, float], str] = {}
    units: set[tuple[str, str]] = set()
    for one in facts:
        if one.kind != "analyte":
            continue
        seconds = frame.seconds(one)
        if reason := frame.refusal(seconds):
            notebook.ignore(reason)
            continue
        rule = conversion(catalogue.analytes[one.key], one.unit)
        assert rule is not None  # the reader hands on accepted units alone
        value = one.value * rule.factor + rule.offset
        limit = one.limit * rule.factor + rule.offset
        found.append(Observed(one.key, seconds, value, _limit(catalogue, one.key, limit, notebook)))
        units.add((one.key, one.unit))
        notebook.use(one.key, one.origin)
        if one.comparator:
            place = (one.key, seconds, value)
            comparators[place] = max(one.comparator, comparators.get(place, ""))
    return found, comparators, converted(catalogue, units)


def _limit(catalogue: Catalogue, key: str, limit: float, notebook: Notebook) -> float:
    """The laboratory's upper limit as far as a request may state it; NaN where it says none that can be."""
    if isnan(limit):
        return nan
    analyte = catalogue.analytes[key]
    if limit >= LEAST_LIMIT and analyte.plausible_low <= limit <= analyte.plausible_high:
        return limit
    notebook.ignore("upper-limit-implausible")
    return nan


def _events(facts: Sequence[Fact], frame: Frame, notebook: Notebook) -> tuple[list[Charted], tuple[Note, ...]]:
    """Charted events that are seen; of all but a grade the value 0 says that it was not given."""
    found: list[Charted] = []
    unsure = False
    for one in facts:
        if one.kind != "event":
            continue
        name, grade = str(one.key), one.key in HIGHEST_GRADE
        value = 1.0 if isnan(one.value) else one.value
        seconds = frame.seconds(one)
        reason = frame.refusal(seconds) or ("before-start" if grade and seconds < 0 else "") or _no_event(one, value)
        if reason:
            notebook.ignore(reason)
            continue
        found.append(Charted(Observed(name, seconds, value), value))
        notebook.use(name, one.origin)
        unsure |= grade and one.grading != "ASTCT-2019"
    return found, (notes.GRADING_NOT_ASTCT,) if unsure else ()


def _not_counted(facts: Iterable[Fact], unclear: Iterable[Fact], frame: Frame) -> tuple[Note, ...]:
    """The caution where a grade of this course stands in the chart and not in the answer."""
    known = (one for one in facts if one.kind == "event" and one.at.micros <= frame.now < frame.known(one))
    doubtful = (one for one in unclear if one.text == UNDATED or one.at.micros <= frame.now)
    left_out = (one for one in (*known, *doubtful) if one.key in HIGHEST_GRADE and frame.known(one) >= frame.start)
    return (notes.GRADE_NOT_COUNTED,) if any(left_out) else ()


def _no_event(one: Fact, value: float) -> str:
    highest = {**HIGHEST_GRADE, Event.STEP_DOSE: HIGHEST_DOSE}.get(Event(one.key), 1)
    if not (0 <= value <= highest and value == int(value)):
        return "value-implausible"
    return "not-given" if value == 0 and one.key not in HIGHEST_GRADE else ""


def _doses(plan: Plan, frame: Frame, charted: Sequence[Charted]) -> list[Charted]:
    """Later doses of a step-up schedule, unless they were charted as such."""
    if any(one.event.code == Event.STEP_DOSE for one in charted):
        return []
    times = (-((frame.start - at) // SECOND) for at in plan.doses)
    return [
        Charted(Observed(Event.STEP_DOSE.value, seconds, float(number)), float(number))
        for number, seconds in enumerate(times, 2)
    ]


def _death(person: PersonFact | None, frame: Frame, charted: Sequence[Charted], notebook: Notebook) -> list[Charted]:
    """Death as the Patient states it; at the index time where it is known without a time, or with an odd one."""
    if person is None or not person.dead or any(one.event.code == Event.DEATH for one in charted):
        return []
    if person.death is not None and person.death.micros > frame.now:
        notebook.ignore("after-index-time")
        return []
    at = frame.now if person.death is None else person.death.micros
    seconds = min(max(-((frame.start - at) // SECOND), 0), frame.index)
    notebook.use(Event.DEATH.value, person.origin)
    return [Charted(Observed(Event.DEATH.value, seconds, 1.0), 1.0)]
