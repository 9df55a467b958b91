"""What the FHIR reader hands on: plain facts that do not change, and what was ignored, counted by reason.

Tuples with names where a chart holds thousands: they are made in a third of the time of a frozen dataclass.
"""

from collections import Counter
from dataclasses import dataclass
from math import nan
from typing import NamedTuple

#: (resource type, MAPPED or a reason, key or "", unit or "") -> how many.
Tally = Counter[tuple[str, str, str, str]]
MAPPED = "mapped"
UNDATED = "undated"


class Moment(NamedTuple):
    """micros: microseconds since 1970 in UTC. by_day: only the date was stated, and micros is where it begins."""

    micros: int
    by_day: bool = False


class Origin(NamedTuple):
    """The resource that states something. reference: as "Observation/o1", "" where it has no id.

    version, updated: as its meta says, "" where it does not.
    """

    reference: str = ""
    version: str = ""
    updated: str = ""


NOWHERE = Origin()


@dataclass(frozen=True, slots=True)
class PersonFact:
    """sex: F, M or "". birth: ISO date, perhaps only its year or month; "" unknown. death: None where not stated.

    dead: known to have died, perhaps without a time.
    """

    person: str
    sex: str
    birth: str
    death: Moment | None
    dead: bool = False
    origin: Origin = NOWHERE


class Fact(NamedTuple):
    """One thing charted about a person.

    kind, key: as features.concepts.Meaning; kind is "order" for what was ordered, which is not given; `text` is then
    the order's status.
    value: of an analyte in `unit`, of an event its own (NaN: stated nowhere), of a course column the number.
    comparator: "", < or >. limit: the laboratory's upper limit of normal in `unit`, NaN where not stated.
    text: a word instead of a number. resource: the FHIR type it came from.
    """

    person: str
    kind: str
    key: str
    at: Moment
    value: float = nan
    unit: str = ""
    comparator: str = ""
    limit: float = nan
    text: str = ""
    grading: str = ""
    resource: str = ""
    origin: Origin = NOWHERE

    def place(self) -> tuple[object, ...]:
        """Tells it from every other fact, and orders them; numbers as text, so that NaN has its place too."""
        return (*self[:4], str(self.value), *self[5:7], str(self.limit), *self[8:])


class Found(NamedTuple):
    """What one resource gave: people, facts, and one outcome for each thing it states.

    unclear: a therapy or a grade that is charted and is no fact, since its time, its status or the grade itself cannot
    be told. `at` is then the latest time that it can have been; `text` of an order its status, else UNDATED where the
    time is what cannot be told.
    """

    people: tuple[PersonFact, ...] = ()
    facts: tuple[Fact, ...] = ()
    outcomes: tuple[tuple[str, str, str, str], ...] = ()
    unclear: tuple[Fact, ...] = ()


def both(one: Found, other: Found) -> Found:
    """All that the two gave."""
    outcomes, unclear = one.outcomes + other.outcomes, one.unclear + other.unclear
    return Found(one.people + other.people, one.facts + other.facts, outcomes, unclear)


def ignored(resource: str, reason: str, key: str = "", unit: str = "") -> Found:
    """Nothing but one outcome."""
    return Found(outcomes=((resource, reason, key, unit),))
