"""Which course a patient is on, or is about to begin, from the therapies charted as given and as ordered."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from features.catalogue import Catalogue
from features.course import Event
from features.fhir import ORDERS
from features.fhir_types import Fact
from features.given import DAY_MICROS, HOUR_MICROS, Given, Record, alike, courses_given, is_engaging, line, policy

COURSE, NOT_CONCERNED, NOT_CLEAR = "course", "not-concerned", "not-clear"
#: Orders that still stand; a completed one says that the therapy was given, and not when.
STANDING = ("active", "on-hold", "draft")
#: What was given is not yet to come: so far ahead a clock may be, or a day that is charted by its date in the east.
CLOCK_AHEAD, DAY_AHEAD = HOUR_MICROS // 12, 14 * HOUR_MICROS


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked about. status: COURSE, NOT_CONCERNED, or NOT_CLEAR for want of what `missing` names.

    start: microseconds since 1970. doses: times of the later doses. planned: ordered and not given yet, so that the
    start is the index time. facts: the records and orders that this rests on. by_day: of the start or the latest dose
    the day alone is charted. other: another therapy is ordered too, or was given lately. next_dose: a further dose of
    the running course is being ordered.
    """

    status: str
    therapy: str = ""
    start: int = 0
    doses: tuple[int, ...] = ()
    planned: bool = False
    facts: tuple[Fact, ...] = ()
    missing: tuple[str, ...] = ()
    by_day: bool = False
    other: bool = False
    next_dose: bool = False


def plan(catalogue: Catalogue, facts: Sequence[Fact], now: int, unclear: Sequence[Fact] = ()) -> Plan:
    """The course at that time, of therapies inside the product's question charted up to it.

    A draft order for another therapy than the running one comes first, then the running course, then a standing order.
    unclear: therapies of which it cannot be told when or whether they were given; such a patient is concerned, too.
    """
    ahead = [one for one in facts if one.kind == "therapy" and _is_ahead(one, now)]
    doubtful = [
        one
        for one in (*unclear, *ahead)
        if one.kind == "therapy" and is_engaging(one.key, catalogue) and _may_be_recent(one, now)
    ]
    found = _asked(catalogue, facts, now)
    if found.status == NOT_CONCERNED and doubtful:
        return Plan(NOT_CLEAR, facts=tuple(doubtful), missing=("time",))
    if found.status != COURSE:
        return found
    charted = [one for one in facts if one.kind == "therapy" or is_therapy_order(catalogue, one)]
    lately = [one for one in charted if _counts(catalogue, one, now) and _may_be_recent(one, now)]
    return replace(found, other=any(not alike(one.key, found.therapy, catalogue) for one in (*lately, *doubtful)))


def _is_ahead(fact: Fact, now: int) -> bool:
    """Whether it is charted as given at a time that our clock has not reached yet."""
    return now < fact.at.micros <= now + (DAY_AHEAD if fact.at.by_day else CLOCK_AHEAD)


def _may_be_recent(fact: Fact, now: int) -> bool:
    """Whether it was given, or ordered and still stands, so lately that the patient is concerned."""
    if fact.resource not in ORDERS:
        return _recent(fact.at.micros, now, "recent_days")
    stands = (*STANDING, "completed") if fact.kind == "therapy" else STANDING
    return fact.text in stands and _recent(fact.at.micros, now, "planned_days")


def _asked(catalogue: Catalogue, facts: Sequence[Fact], now: int) -> Plan:
    """The course as it is charted clearly."""
    given = [one for one in facts if one.kind == "therapy" and _counts(catalogue, one, now)]
    orders = [one for one in facts if is_therapy_order(catalogue, one) and _counts(catalogue, one, now)]
    found = courses_given(_records(given), catalogue)
    running = _running(catalogue, found, orders, now)
    draft = [one for one in orders if one.text == "draft" and not _fits(catalogue, running, one)]
    if draft:
        return _planned(catalogue, draft, now)
    if running is not None:
        return Plan(
            COURSE,
            running.therapy,
            running.start,
            running.doses,
            facts=_of(running, given),
            by_day=_is_by_day(running),
            next_dose=any(one.text == "draft" for one in orders) and _is_stepped(catalogue, running.therapy),
        )
    open_orders = [one for one in orders if _is_open(catalogue, one, found, now)]
    standing = [one for one in open_orders if one.text in STANDING]
    if standing:
        return _planned(catalogue, standing, now)
    done = tuple(one for one in open_orders if one.text == "completed" and _recent(one.at.micros, now, "recent_days"))
    return Plan(NOT_CLEAR, facts=done, missing=("start",)) if done else Plan(NOT_CONCERNED)


def is_therapy_order(catalogue: Catalogue, fact: Fact) -> bool:
    """Whether the order is for a therapy, and not for a drug that is charted as an event."""
    return fact.kind == "order" and fact.key not in tuple(Event) and fact.key not in catalogue.analytes


def _counts(catalogue: Catalogue, fact: Fact, now: int) -> bool:
    return fact.at.micros <= now and is_engaging(fact.key, catalogue)


def _records(given: Sequence[Fact]) -> list[Record]:
    return [Record(one.at.micros, one.at.by_day, one.key, place) for place, one in enumerate(given)]


def _of(course: Given, given: Sequence[Fact]) -> tuple[Fact, ...]:
    return tuple(given[one.place] for one in course.records)


def _is_stepped(catalogue: Catalogue, therapy: str) -> bool:
    known = therapy in catalogue.therapies or therapy in catalogue.classes
    return known and catalogue.schedule(therapy) == "step-up"


def _is_by_day(course: Given) -> bool:
    """Whether the start or the latest dose rests on records without a time of day alone."""
    times = (course.start, *course.doses[-1:])
    return any(all(one.by_day for one in course.records if one.at == at) for at in times)


def _recent(at: int, now: int, key: str) -> bool:
    return now - at <= policy(key) * DAY_MICROS


def _running(catalogue: Catalogue, found: Sequence[Given], orders: Sequence[Fact], now: int) -> Given | None:
    """The latest course, if its last dose is recent or a standing order goes on with it."""
    if not found:
        return None
    last = found[-1]
    goes_on = any(
        one.text in STANDING and _fits(catalogue, last, one) and one.at.micros > last.last for one in orders
    ) and _recent(last.last, now, "new_course_after_days")
    return last if goes_on or _recent(last.last, now, "recent_days") else None


def _fits(catalogue: Catalogue, course: Given | None, order: Fact) -> bool:
    return course is not None and alike(order.key, course.therapy, catalogue)


def _is_open(catalogue: Catalogue, order: Fact, found: Sequence[Given], now: int) -> bool:
    """Whether the order is young enough and was not followed by what it orders."""
    followed = any(_fits(catalogue, one, order) and one.last + DAY_MICROS > order.at.micros for one in found)
    return not followed and _recent(order.at.micros, now, "planned_days")


def _planned(catalogue: Catalogue, orders: Sequence[Fact], now: int) -> Plan:
    """The latest order; of several at that time, the one that names the product."""
    latest = max(one.at.micros for one in orders)
    same = [one for one in orders if one.at.micros == latest]
    best = max(same, key=lambda one: (len(line(one.key, catalogue)), one.key))
    if not all(alike(one.key, best.key, catalogue) for one in same):
        return Plan(NOT_CLEAR, facts=tuple(same), missing=("therapy",))
    return Plan(COURSE, best.key, now, planned=True, facts=tuple(same))
