"""FHIR R4 resources, as plain dictionaries, into plain facts. Tolerant: what cannot be used is counted, by reason.

Codes mean what the reviewed tables (or a centre's own list) say, never what a display text says. Units count by the
analyte's own list: the UCUM code first, then the text. The order of resources, and a resource sent twice, change
nothing.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from math import isnan
from typing import NamedTuple

from features.concepts import Concepts, Meaning
from features.fhir_codes import meaning_of
from features.fhir_observation import observation
from features.fhir_status import DOUBTFUL, KINDS, TIMES, void
from features.fhir_types import MAPPED, UNDATED, Fact, Found, Moment, Origin, PersonFact, Tally, ignored
from features.fhir_values import (
    Json,
    first_moment,
    items,
    latest_moment,
    mapping,
    moment,
    patient,
    reference,
    word,
)
from features.fhir_walk import Entry, walk

SEX = {"male": "M", "female": "F"}
ORDERS = ("MedicationRequest", "ServiceRequest")
#: When a resource was updated, and its version, as its meta says.
Version = tuple[str, str]


class Held(NamedTuple):
    """A resource on its way through the reader. name: id or URN, "" without either."""

    kind: str
    name: str
    json: Json
    draft: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """All that was read, in an order that does not depend on the order of the resources. unclear: as Found says."""

    people: tuple[PersonFact, ...]
    facts: tuple[Fact, ...]
    tally: Tally
    unclear: tuple[Fact, ...] = ()


class Reader:
    """Add resources or Bundles one by one, then finish. Nothing is read twice: of one id the latest version counts.

    drafts_at: when orders that are still drafts are being signed; drafts that are no such orders state nothing.
    """

    def __init__(self, concepts: Concepts, drafts_at: Moment | None = None) -> None:
        self._concepts = concepts
        self._drafts_at = drafts_at
        self._held: dict[tuple[str, str], tuple[Version, Found]] = {}
        self._waiting: list[Held] = []
        self._medications: dict[str, tuple[Version, Json]] = {}
        self._other: Tally = Tally()
        self._aliases: dict[tuple[str, str], str] = {}

    def add(self, document: object) -> None:
        """Take in one parsed JSON document of any kind."""
        for one in walk(document):
            self.take(one)

    def take(self, one: Entry, draft: bool = False) -> None:
        """Take in one resource that is no Bundle. draft: it is an order that is being signed."""
        held = Held(one.kind, _name(one), one.resource, draft)
        if one.full_url and one.kind in ("Patient", "Medication"):
            self._note_address(one)
        if one.kind == "Medication":
            self._keep_medication(held)
        elif one.kind.startswith("Medication") and "medicationReference" in one.resource:
            self._waiting.append(held)
        else:
            self._keep(held)

    def refuse(self, resource: str, reason: str) -> None:
        """Count something that could not even be parsed."""
        self._other[(resource, reason, "", "")] += 1

    def finish(self, ordered: bool = True) -> Reading:
        """What was read. Drugs that refer to a Medication are looked up now, wherever it stood.

        ordered: without it, the facts come as they were read, for a caller whom their order does not concern.
        """
        for held in self._waiting:
            self._keep(held)
        self._waiting = []
        found = [one for _, one in self._held.values()]
        tally = self._other.copy()
        tally.update({("Medication", "looked-up", "", ""): len(self._medications)} if self._medications else {})
        tally.update(outcome for one in found for outcome in one.outcomes)
        people = sorted((person for one in found for person in one.people), key=repr)
        facts = [fact for one in found for fact in self._own(one.facts)]
        unclear = sorted((fact for one in found for fact in self._own(one.unclear)), key=Fact.place)
        ordered_facts = sorted(facts, key=Fact.place) if ordered else facts
        return Reading(tuple(people), tuple(ordered_facts), tally, tuple(unclear))

    def _own(self, facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
        if not self._aliases:
            return facts
        return tuple(one._replace(person=self._aliases.get(("Patient", one.person), one.person)) for one in facts)

    def _note_address(self, one: Entry) -> None:
        full, own = reference({"reference": one.full_url}), word(one.resource.get("id"))
        if full and own and full != own:
            self._aliases[(one.kind, full)] = own

    def _keep_medication(self, held: Held) -> None:
        version, place = _version(held.json), held.name.rpartition(":")[2]
        before = self._medications.get(place)
        if before is None or _later(version, _contents(held.json)) > _later(before[0], _contents(before[1])):
            self._medications[place] = (version, held.json)

    def _keep(self, held: Held) -> None:
        if held.kind not in KINDS and held.kind != "Patient":
            self.refuse(held.kind or "unknown", "resource-not-used")
            return
        # A draft never gives way to what its server holds of it.
        place = (f"draft {held.kind}" if held.draft else held.kind, held.name or _contents(held.json))
        version = _version(held.json)
        found = self._read(held, version)
        before = self._held.get(place)
        if before is not None:
            self.refuse(held.kind, "repeated")
        if before is None or _later(version, repr(found)) > _later(before[0], repr(before[1])):
            self._held[place] = (version, found)

    def _read(self, held: Held, version: Version) -> Found:
        reference = held.name if held.name.startswith("urn:") else f"{held.kind}/{held.name}" if held.name else ""
        origin = Origin(reference, version[1], version[0])
        if held.kind == "Patient":
            return _patient(held, origin)
        person = patient(held.json.get("subject"))
        if status := void(held.kind, held.json, held.draft and self._drafts_at is not None):
            doubtful = bool(person) and status in DOUBTFUL.get(held.kind, ())
            return ignored(held.kind, status)._replace(unclear=self._doubtful(held, person, origin) if doubtful else ())
        if not person:
            return ignored(held.kind, "patient-missing")
        if held.kind == "Observation":
            return observation(self._concepts, held.json, person, origin)
        return self._coded(held, person, origin)

    def _coded(self, held: Held, person: str, origin: Origin) -> Found:
        kind = held.kind
        concept = self._drug(held.json) if kind.startswith("Medication") else held.json.get("code")
        meaning = meaning_of(self._concepts, concept, KINDS[kind])
        if isinstance(meaning, str):
            return ignored(kind, meaning)
        at = self._drafts_at if held.draft and self._drafts_at else first_moment(held.json, TIMES[kind])
        if isinstance(at, str):
            unclear = (_unclear(held, person, origin, meaning),) if _matters(meaning) else ()
            return ignored(kind, at, meaning.key)._replace(unclear=unclear)
        if meaning.key.endswith("_grade") and isnan(meaning.value):
            unclear = (_unclear(held, person, origin, meaning),)
            return ignored(kind, "grade-not-stated", meaning.key)._replace(unclear=unclear)
        stated = Fact(
            person,
            meaning.kind,
            meaning.key,
            at,
            meaning.value,
            grading=meaning.grading,
            resource=kind,
            origin=origin,
        )
        if kind not in ORDERS:
            return Found(facts=(stated,), outcomes=((kind, MAPPED, meaning.key, ""),))
        order = stated._replace(kind="order", text=ORDER_STATUS.get(word(held.json.get("status")), ""))
        return Found(facts=(order,), outcomes=((kind, "ordered-not-given", meaning.key, ""),))

    def _doubtful(self, held: Held, person: str, origin: Origin) -> tuple[Fact, ...]:
        """The therapy or grade that it names, if it does: by its status nobody can tell whether it was there."""
        concept = self._drug(held.json) if held.kind.startswith("Medication") else held.json.get("code")
        meaning = meaning_of(self._concepts, concept, KINDS[held.kind])
        if isinstance(meaning, str) or not _matters(meaning):
            return ()
        return (_unclear(held, person, origin, meaning),)

    def _drug(self, held: Json) -> object:
        """The drug's CodeableConcept: its own, a contained Medication's, or one that stands elsewhere."""
        if "medicationCodeableConcept" in held:
            return held["medicationCodeableConcept"]
        place = reference(held.get("medicationReference"))
        inside = {"#" + word(one.get("id")): one for one in items(held.get("contained"))}
        if place in inside:
            return inside[place].get("code")
        kept = self._medications.get(self._aliases.get(("Medication", place), place))
        return kept[1].get("code") if kept else None


#: Statuses of an order that are told apart; of any other word nothing is kept.
ORDER_STATUS = {status: status for status in ("active", "on-hold", "completed", "stopped", "draft")}


def _matters(meaning: Meaning) -> bool:
    """Whether an answer has to say that this is in the chart, even where it is no fact."""
    return meaning.kind == "therapy" or meaning.key.endswith("_grade")


def _unclear(held: Held, person: str, origin: Origin, meaning: Meaning) -> Fact:
    """What is charted and is no fact."""
    names, status = TIMES[held.kind], ORDER_STATUS.get(word(held.json.get("status")), "")
    undated = UNDATED if isinstance(first_moment(held.json, names), str) else ""
    text, at = (status if held.kind in ORDERS else undated), latest_moment(held.json, names)
    return Fact(person, meaning.kind, meaning.key, at, meaning.value, text=text, resource=held.kind, origin=origin)


def _name(one: Entry) -> str:
    """Its id, or the URN that its Bundle calls it by; "" without either."""
    return word(one.resource.get("id")) or (one.full_url if one.full_url.startswith("urn:") else "")


def _version(held: Json) -> Version:
    meta = mapping(held.get("meta"))
    return (word(meta.get("lastUpdated")), word(meta.get("versionId"))) if meta else ("", "")


def _later(version: Version, contents: str) -> tuple[int, int, str]:
    """Of two resources of one id the one with the greater of these counts."""
    updated, number = moment(version[0]), version[1]
    whole = int(number[:18]) if number.isascii() and number.isdigit() else 0
    return (updated.micros if isinstance(updated, Moment) else 0, whole, contents)


def _contents(held: Json) -> str:
    """The same for the same contents, in whatever order its fields stand: the name of what has no id."""
    try:
        contents = json.dumps(held, sort_keys=True, default=str)
    except (ValueError, TypeError, RecursionError):
        contents = "not to be written"
    return sha256(contents.encode("utf-8", "replace")).hexdigest()


def _patient(resource: Held, origin: Origin) -> Found:
    person, held = resource.name.rpartition(":")[2], resource.json
    if not person:
        return ignored("Patient", "id-missing")
    death = moment(held.get("deceasedDateTime"))
    found = PersonFact(
        person,
        SEX.get(word(held.get("gender")), ""),
        word(held.get("birthDate")),
        death if isinstance(death, Moment) else None,
        "deceasedDateTime" in held or held.get("deceasedBoolean") is True,
        origin,
    )
    return Found(people=(found,), outcomes=(("Patient", MAPPED, "", ""),))


def read_resources(resources: Iterable[object], concepts: Concepts) -> Reading:
    """All of them at once, as a Reader would."""
    reader = Reader(concepts)
    for one in resources:
        reader.add(one)
    return reader.finish()
