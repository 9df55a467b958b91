"""Which treatment courses a source holds: each T-cell-engaging therapy given, with its later doses."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pandas as pd

from data.source_frames import DAY_MICROS, policy
from data.source_report import COURSES
from features.catalogue import Catalogue
from features.fhir_types import Tally

HOUR_MICROS = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Course:
    """One course. start: microseconds since 1970 in UTC. doses: times of the later doses. end: start of the next."""

    person: str
    number: int
    therapy: str
    start: int
    doses: tuple[int, ...] = ()
    end: int | None = None


@dataclass(slots=True)
class _Open:
    therapy: str
    times: list[int] = field(default_factory=list)
    by_day: list[bool] = field(default_factory=list)


def find_courses(entries: pd.DataFrame, catalogue: Catalogue, tally: Tally) -> list[Course]:
    """The courses of all people, by person and time; in the tally, what became of each record of a therapy.

    A therapy outside the product's question (an antibody, a transplant) starts no course. A record that names only a
    class belongs to the product of that class given at the time.
    """
    given = entries[entries["kind"].eq("therapy")]
    wanted = {key: is_engaging(key, catalogue) for key in given["key"].unique()}
    found: list[Course] = []
    for person, mine in given.groupby("person", sort=True):
        rows = [(int(at), bool(day), str(key)) for at, day, key in zip(*_columns(mine), strict=True) if wanted[key]]
        tally[(COURSES, "therapy-outside-the-question", "", "")] += len(mine) - len(rows)
        found += _of_person(str(person), sorted(rows), catalogue, tally) if rows else []
    return found


def _columns(mine: pd.DataFrame) -> Iterator[list[object]]:
    return (mine[name].tolist() for name in ("at", "by_day", "key"))


def is_engaging(key: str, catalogue: Catalogue) -> bool:
    """Whether the therapy's root class is inside the product's question; a therapy of a centre's own list is."""
    if key not in catalogue.therapies and key not in catalogue.classes:
        return True
    return catalogue.classes[catalogue.lineage(key)[-1]].evaluated


def _of_person(person: str, rows: list[tuple[int, bool, str]], catalogue: Catalogue, tally: Tally) -> list[Course]:
    opened: list[_Open] = []
    for at, by_day, key in rows:
        home = next((one for one in reversed(opened) if _belongs(one, at, key, catalogue)), None)
        if home is None:
            opened.append(home := _Open(key))
        home.therapy = max((home.therapy, key), key=lambda one: len(_line(one, catalogue)))
        home.times.append(at)
        home.by_day.append(by_day)
    found = sorted((_closed(one, catalogue, tally) for one in opened), key=lambda one: (one[0], one[1]))
    ends = [*(start for start, *_ in found[1:]), None]
    return [
        Course(person, number, therapy, start, doses, end)
        for number, ((start, therapy, doses), end) in enumerate(zip(found, ends, strict=True), 1)
    ]


def _line(key: str, catalogue: Catalogue) -> tuple[str, ...]:
    known = key in catalogue.therapies or key in catalogue.classes
    return catalogue.ancestry(key) if known else (key,)


def _belongs(course: _Open, at: int, key: str, catalogue: Catalogue) -> bool:
    near = at - course.times[-1] <= policy("new_course_after_days") * DAY_MICROS
    return near and (key in _line(course.therapy, catalogue) or course.therapy in _line(key, catalogue))


def _closed(course: _Open, catalogue: Catalogue, tally: Tally) -> tuple[int, str, tuple[int, ...]]:
    """Start, therapy and later doses. Where the first day holds a record with a time, that time is the start."""
    first_day = course.times[0] // DAY_MICROS
    exact = [
        at for at, day in zip(course.times, course.by_day, strict=True) if not day and at // DAY_MICROS == first_day
    ]
    start = min(exact) if exact else course.times[0]
    known = course.therapy in catalogue.therapies or course.therapy in catalogue.classes
    doses = _doses(start, sorted(course.times))
    stepped = known and catalogue.schedule(course.therapy) == "step-up"
    later = doses if stepped else ()
    tally[(COURSES, "course", course.therapy, "")] += 1
    tally[(COURSES, "later-dose", course.therapy, "")] += len(later)
    tally[(COURSES, "same-dose-or-infusion", course.therapy, "")] += len(course.times) - 1 - len(later)
    return start, course.therapy, later


def _doses(start: int, times: list[int]) -> tuple[int, ...]:
    apart, found = policy("same_dose_within_hours") * HOUR_MICROS, [start]
    for at in times:
        if at - found[-1] > apart:
            found.append(at)
    return tuple(found[1:])
