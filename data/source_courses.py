"""Which treatment courses a source holds: each T-cell-engaging therapy given, with its later doses."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from data.source_report import COURSES
from features.catalogue import Catalogue
from features.fhir_types import Tally
from features.given import Given, Record, courses_given, is_engaging


@dataclass(frozen=True, slots=True)
class Course:
    """One course. start: microseconds since 1970 in UTC. doses: times of the later doses. end: start of the next."""

    person: str
    number: int
    therapy: str
    start: int
    doses: tuple[int, ...] = ()
    end: int | None = None


def find_courses(entries: pd.DataFrame, catalogue: Catalogue, tally: Tally) -> list[Course]:
    """The courses of all people, by person and time; in the tally, what became of each record of a therapy.

    A therapy outside the product's question (an antibody, a transplant) starts no course. A record that names only a
    class belongs to the product of that class given at the time.
    """
    given = entries[entries["kind"].eq("therapy")]
    wanted = {key: is_engaging(key, catalogue) for key in given["key"].unique()}
    found: list[Course] = []
    for person, mine in given.groupby("person", sort=True):
        rows = [Record(int(at), bool(day), str(key)) for at, day, key in zip(*_columns(mine), strict=True)]
        rows = [one for one in rows if wanted[one.therapy]]
        tally[(COURSES, "therapy-outside-the-question", "", "")] += len(mine) - len(rows)
        found += _of_person(str(person), courses_given(rows, catalogue), tally) if rows else []
    return found


def _columns(mine: pd.DataFrame) -> Iterator[list[object]]:
    return (mine[name].tolist() for name in ("at", "by_day", "key"))


def _of_person(person: str, found: list[Given], tally: Tally) -> list[Course]:
    ends = [*(one.start for one in found[1:]), None]
    for one in found:
        _count(one, tally)
    return [
        Course(person, number, one.therapy, one.start, one.doses, end)
        for number, (one, end) in enumerate(zip(found, ends, strict=True), 1)
    ]


def _count(one: Given, tally: Tally) -> None:
    tally[(COURSES, "course", one.therapy, "")] += 1
    tally[(COURSES, "later-dose", one.therapy, "")] += len(one.doses)
    tally[(COURSES, "same-dose-or-infusion", one.therapy, "")] += len(one.records) - 1 - len(one.doses)
