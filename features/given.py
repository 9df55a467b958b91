"""Which treatment courses follow from the records of therapies given: the same for a cohort and for one patient."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from math import nan

from features import catalogue as facts
from features.catalogue import Catalogue
from features.catalogue_tables import figures

HOUR_MICROS = 3_600_000_000
DAY_MICROS = 24 * HOUR_MICROS
FIRST = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def policy(key: str) -> float:
    """A figure of features/tables/given/policy.csv; KeyError if there is none."""
    return figures(facts.TABLES / "given" / "policy.csv")[key]


@dataclass(frozen=True, slots=True, order=True)
class Record:
    """A therapy charted as given. at: microseconds since 1970 in UTC, of a day its beginning. place: the caller's."""

    at: int
    by_day: bool
    therapy: str
    place: int = 0


@dataclass(frozen=True, slots=True)
class Given:
    """One course. start: microseconds since 1970. doses: times of the later doses. records: all that it rests on."""

    start: int
    therapy: str
    doses: tuple[int, ...]
    records: tuple[Record, ...]

    @property
    def last(self) -> int:
        """When the latest record of it was."""
        return self.records[-1].at


@dataclass(slots=True)
class _Open:
    therapy: str
    records: list[Record] = field(default_factory=list)


def is_engaging(key: str, catalogue: Catalogue) -> bool:
    """Whether the therapy's root class is inside the product's question; a therapy of a centre's own list is."""
    if key not in catalogue.therapies and key not in catalogue.classes:
        return True
    return catalogue.classes[catalogue.lineage(key)[-1]].evaluated


def courses_given(records: Iterable[Record], catalogue: Catalogue) -> list[Given]:
    """The courses of one person in the order of their starts; the order of the records does not matter.

    A record that names only a class belongs to the product of that class given at the time. Records within twelve
    hours are one dose; a longer pause than the policy's starts a course of its own.
    """
    opened: list[_Open] = []
    for one in sorted(records):
        home = next((held for held in reversed(opened) if _belongs(held, one, catalogue)), None)
        if home is None:
            opened.append(home := _Open(one.therapy))
        home.therapy = max((home.therapy, one.therapy), key=lambda key: len(line(key, catalogue)))
        home.records.append(one)
    return sorted((_closed(one, catalogue) for one in opened), key=lambda one: (one.start, one.therapy))


def line(key: str, catalogue: Catalogue) -> tuple[str, ...]:
    """The therapy and its classes up to the root; one that the catalogue does not know alone."""
    known = key in catalogue.therapies or key in catalogue.classes
    return catalogue.ancestry(key) if known else (key,)


def alike(one: str, other: str, catalogue: Catalogue) -> bool:
    """Whether one is the other or a class of it."""
    return one in line(other, catalogue) or other in line(one, catalogue)


def _belongs(course: _Open, one: Record, catalogue: Catalogue) -> bool:
    near = one.at - course.records[-1].at <= policy("new_course_after_days") * DAY_MICROS
    return near and alike(one.therapy, course.therapy, catalogue)


def _closed(course: _Open, catalogue: Catalogue) -> Given:
    """Where the first day holds a record with a time, that time is the start."""
    first_day = course.records[0].at // DAY_MICROS
    exact = [one.at for one in course.records if not one.by_day and one.at // DAY_MICROS == first_day]
    start = min(exact) if exact else course.records[0].at
    known = course.therapy in catalogue.therapies or course.therapy in catalogue.classes
    stepped = known and catalogue.schedule(course.therapy) == "step-up"
    doses = _doses(start, [one.at for one in course.records]) if stepped else ()
    return Given(start, course.therapy, doses, tuple(course.records))


def _doses(start: int, times: list[int]) -> tuple[int, ...]:
    apart, found = policy("same_dose_within_hours") * HOUR_MICROS, [start]
    for at in times:
        if at - found[-1] > apart:
            found.append(at)
    return tuple(found[1:])


def age_at(birth: str, start: int) -> float:
    """Completed years at the start; where only the year is known, the difference of the years; NaN if unknown."""
    try:
        parts = [int(part) for part in birth.split("T")[0].split("-")] if birth else []
    except ValueError:
        return nan
    if not parts:
        return nan
    day = FIRST + timedelta(microseconds=start)
    before = (day.month, day.day)[: len(parts) - 1] < tuple(parts[1:])
    return float(day.year - parts[0] - before)
