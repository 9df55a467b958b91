"""What the FHIR reader hands on: plain frozen facts, and what was ignored, counted by reason."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import nan

#: (resource type, MAPPED or a reason, key or "", unit or "") -> how many.
Tally = Counter[tuple[str, str, str, str]]
MAPPED = "mapped"


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """micros: microseconds since 1970 in UTC. by_day: only the date was stated, and micros is where it begins."""

    micros: int
    by_day: bool = False


@dataclass(frozen=True, slots=True)
class PersonFact:
    """sex: F, M or "". birth: ISO date, perhaps only its year or month; "" unknown. death: None where not stated."""

    person: str
    sex: str
    birth: str
    death: Moment | None


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing charted about a person.

    kind, key: as features.concepts.Meaning; kind is "order" for a drug that was ordered, which is not one given.
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


@dataclass(frozen=True, slots=True)
class Found:
    """What one resource gave: people, facts, and one outcome for each thing it states."""

    people: tuple[PersonFact, ...] = ()
    facts: tuple[Fact, ...] = ()
    outcomes: tuple[tuple[str, str, str, str], ...] = ()

    def __add__(self, other: "Found") -> "Found":
        return Found(self.people + other.people, self.facts + other.facts, self.outcomes + other.outcomes)


def ignored(resource: str, reason: str, key: str = "", unit: str = "") -> Found:
    """Nothing but one outcome."""
    return Found(outcomes=((resource, reason, key, unit),))


def joined(found: Iterable[Found]) -> Found:
    total = Found()
    for one in found:
        total = total + one
    return total
