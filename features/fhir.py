"""FHIR R4 resources, as plain dictionaries, into plain facts. Tolerant: what cannot be used is counted, by reason.

Codes mean what the reviewed tables (or a centre's own list) say, never what a display text says. Units count by the
analyte's own list: the UCUM code first, then the text. The order of resources, and a resource sent twice, change
nothing.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from math import isnan, nan

from features.catalogue_joins import fold_name
from features.concepts import Concepts, Meaning
from features.fhir_codes import meaning_of
from features.fhir_types import MAPPED, Fact, Found, Moment, PersonFact, Tally, ignored
from features.fhir_values import (
    COMPARATORS,
    Json,
    codings,
    first_moment,
    items,
    mapping,
    moment,
    number,
    reference,
    units,
    upper_limit,
    word,
)
from features.grading_tables import find
from features.results import accepted_unit, refusal

#: Statuses under which a resource states nothing that happened.
VOID = {
    "Observation": ("entered-in-error", "cancelled", "registered", "unknown"),
    "MedicationAdministration": ("entered-in-error", "not-done", "on-hold", "unknown"),
    "MedicationRequest": ("entered-in-error", "cancelled", "draft", "unknown"),
    "Procedure": ("entered-in-error", "not-done", "preparation", "on-hold", "unknown"),
    "Condition": ("entered-in-error", "refuted"),
}
TIMES = {
    "Observation": ("effectiveDateTime", "effectiveInstant", "effectivePeriod", "issued"),
    "MedicationAdministration": ("effectiveDateTime", "effectivePeriod"),
    "MedicationRequest": ("authoredOn",),
    "Procedure": ("performedDateTime", "performedPeriod"),
    "Condition": ("onsetDateTime", "onsetPeriod", "recordedDate"),
}
KINDS = {
    "Observation": ("analyte", "event", "course"),
    "MedicationAdministration": ("therapy", "event"),
    "MedicationRequest": ("therapy", "event"),
    "Procedure": ("therapy", "event"),
    "Condition": ("event", "indication", "comorbidity"),
}
SEX = {"male": "M", "female": "F"}


@dataclass(frozen=True, slots=True)
class Reading:
    """All that was read, in an order that does not depend on the order of the resources."""

    people: tuple[PersonFact, ...]
    facts: tuple[Fact, ...]
    tally: Tally


class Reader:
    """Add resources or Bundles one by one, then finish. Nothing is read twice: of one id the latest version counts."""

    def __init__(self, concepts: Concepts) -> None:
        self._concepts = concepts
        self._held: dict[tuple[str, str], tuple[tuple[str, str], Found]] = {}
        self._waiting: list[Json] = []
        self._medications: dict[str, tuple[tuple[str, str], Json]] = {}
        self._other: Tally = Tally()
        self._aliases: dict[str, str] = {}

    def add(self, resource: object) -> None:
        """Take in one parsed JSON document of any kind."""
        held = mapping(resource)
        kind = word(held.get("resourceType"))
        if kind == "Bundle":
            self._add_bundle(held)
        elif kind == "Medication":
            self._keep_medication(held)
        elif kind.startswith("Medication") and "medicationReference" in held:
            self._waiting.append(held)
        else:
            self._keep(kind, held)

    def refuse(self, resource: str, reason: str) -> None:
        """Count something that could not even be parsed."""
        self._other[(resource, reason, "", "")] += 1

    def finish(self) -> Reading:
        """What was read. Drugs that refer to a Medication are looked up now, wherever it stood."""
        for held in self._waiting:
            self._keep(word(held.get("resourceType")), held)
        self._waiting = []
        found = [one for _, one in self._held.values()]
        tally = self._other.copy()
        tally.update({("Medication", "looked-up", "", ""): len(self._medications)} if self._medications else {})
        for one in found:
            tally.update(one.outcomes)
        people = sorted((person for one in found for person in one.people), key=repr)
        facts = sorted((self._own(fact) for one in found for fact in one.facts), key=repr)
        return Reading(tuple(people), tuple(facts), tally)

    def _own(self, fact: Fact) -> Fact:
        return replace(fact, person=self._aliases.get(fact.person, fact.person))

    def _add_bundle(self, bundle: Json) -> None:
        for entry in items(bundle.get("entry")):
            inner = mapping(entry.get("resource"))
            full, own = reference({"reference": entry.get("fullUrl")}), word(inner.get("id"))
            if full and own and full != own:
                self._aliases[full] = own
            self.add(inner)

    def _keep_medication(self, held: Json) -> None:
        version, place = _version(held), word(held.get("id"))
        if place not in self._medications or version > self._medications[place][0]:
            self._medications[place] = (version, held)

    def _keep(self, kind: str, held: Json) -> None:
        if kind not in KINDS and kind != "Patient":
            self.refuse(kind or "unknown", "resource-not-used")
            return
        version = _version(held)
        place = (kind, word(held.get("id")) or version[1])
        before = self._held.get(place)
        if before is not None:
            self.refuse(kind, "repeated")
        if before is None or version > before[0]:
            self._held[place] = (version, self._read(kind, held))

    def _read(self, kind: str, held: Json) -> Found:
        if kind == "Patient":
            return _patient(held)
        if status := _void(kind, held):
            return ignored(kind, status)
        person = reference(held.get("subject"))
        if not person:
            return ignored(kind, "patient-missing")
        if kind == "Observation":
            return self._observation(held, person)
        return self._coded(kind, held, person)

    def _observation(self, held: Json, person: str) -> Found:
        """Its own value, where it has one or has no components; and each of its components."""
        parts = items(held.get("component"))
        own = [held] if _value(held) or not parts else []
        at = first_moment(held, TIMES["Observation"])
        total = Found()
        for part in (*own, *parts):
            total = total + self._result(part, held, person, at)
        return total

    def _result(self, part: Json, held: Json, person: str, at: Moment | str) -> Found:
        meaning = meaning_of(self._concepts, part.get("code"), KINDS["Observation"])
        if isinstance(meaning, str):
            return ignored("Observation", meaning)
        if isinstance(at, str):
            return ignored("Observation", at, meaning.key)
        read = {"analyte": self._analyte, "event": _charted_event, "course": _course_word}[meaning.kind]
        limits = part if "referenceRange" in part else held if part is held else {}
        return read(Fact(person, meaning.kind, meaning.key, at, resource="Observation"), meaning, part, limits)

    def _analyte(self, fact: Fact, meaning: Meaning, part: Json, limits: Json) -> Found:
        analyte = self._concepts.catalogue.analytes[meaning.key]
        quantity = mapping(part.get("valueQuantity"))
        stated = units(quantity)
        comparator = COMPARATORS.get(word(quantity.get("comparator")))
        value = number(quantity.get("value"))
        shown = accepted_unit(analyte, stated) or (stated[0] if stated else "")
        problem = _no_quantity(part) or refusal(analyte, value, stated)
        if problem or comparator is None:
            return ignored("Observation", problem or "comparator-unknown", meaning.key, shown)
        limit = upper_limit(limits, stated)
        return _mapped(replace(fact, value=value, unit=shown, comparator=comparator, limit=limit))

    def _coded(self, kind: str, held: Json, person: str) -> Found:
        concept = self._drug(held) if kind.startswith("Medication") else held.get("code")
        meaning = meaning_of(self._concepts, concept, KINDS[kind])
        if isinstance(meaning, str):
            return ignored(kind, meaning)
        at = first_moment(held, TIMES[kind])
        if isinstance(at, str):
            return ignored(kind, at, meaning.key)
        if meaning.key.endswith("_grade") and isnan(meaning.value):
            return ignored(kind, "grade-not-stated", meaning.key)
        fact = Fact(person, meaning.kind, meaning.key, at, meaning.value, grading=meaning.grading, resource=kind)
        if kind == "MedicationRequest":
            order = replace(fact, kind="order")
            return Found(facts=(order,), outcomes=((kind, "ordered-not-given", meaning.key, ""),))
        return _mapped(fact)

    def _drug(self, held: Json) -> object:
        """The drug's CodeableConcept: its own, a contained Medication's, or one that stands elsewhere."""
        if "medicationCodeableConcept" in held:
            return held["medicationCodeableConcept"]
        place = reference(held.get("medicationReference"))
        inside = {"#" + word(one.get("id")): one for one in items(held.get("contained"))}
        if place in inside:
            return inside[place].get("code")
        kept = self._medications.get(self._aliases.get(place, place))
        return kept[1].get("code") if kept else None


def _version(held: Json) -> tuple[str, str]:
    """Of two versions of one id, the greater counts: the later update, then any fixed order of the contents."""
    try:
        contents = json.dumps(held, sort_keys=True, default=str)
    except (ValueError, TypeError, RecursionError):
        contents = repr(held)
    return word(mapping(held.get("meta")).get("lastUpdated")), sha256(contents.encode("utf-8", "replace")).hexdigest()


def _patient(held: Json) -> Found:
    person = word(held.get("id"))
    if not person:
        return ignored("Patient", "id-missing")
    death = moment(held.get("deceasedDateTime"))
    found = PersonFact(
        person,
        SEX.get(word(held.get("gender")), ""),
        word(held.get("birthDate")),
        death if isinstance(death, Moment) else None,
    )
    return Found(people=(found,), outcomes=(("Patient", MAPPED, "", ""),))


def _void(kind: str, held: Json) -> str:
    """The status by which the resource states nothing that happened, "" if it has none."""
    stated = [word(held.get("status"))] if kind != "Condition" else []
    if kind == "Condition":
        stated = [code for _, code in codings(held.get("verificationStatus"))]
    return next((f"status-{status}" for status in stated if status in VOID[kind]), "")


def _value(part: Json) -> bool:
    return any(name.startswith("value") for name in part) or "dataAbsentReason" in part


def _no_quantity(part: Json) -> str:
    if "valueQuantity" in part:
        return ""
    if "dataAbsentReason" in part:
        return "value-absent-with-reason"
    return "value-not-a-quantity" if _value(part) else ""


def _charted_event(fact: Fact, meaning: Meaning, part: Json, _: Json) -> Found:
    """A grade, drug or support charted as an Observation: the code's own value, or the one it carries."""
    value = meaning.value if not isnan(meaning.value) else _plain_number(part)
    if isnan(value):
        return ignored("Observation", "value-missing", meaning.key)
    return _mapped(replace(fact, value=value, grading=meaning.grading, text=listed_detail(meaning.key, _note(part))))


def listed_detail(event: str, text: str) -> str:
    """The word if it names a listed vasopressor or oxygen device, else "": free text never leaves the source."""
    kind = {"vasopressor": "vasopressor", "oxygen": "device"}.get(event, "")
    return text if kind and fold_name(text) and find(kind, text) else ""


def _note(part: Json) -> str:
    return next((word(one.get("text")) for one in items(part.get("note"))), "")


def _course_word(fact: Fact, meaning: Meaning, part: Json, _: Json) -> Found:
    value, text = _plain_number(part), word(part.get("valueString"))
    if isnan(value) and not text:
        return ignored("Observation", "value-missing", meaning.key)
    return _mapped(replace(fact, value=value, text=text))


def _plain_number(part: Json) -> float:
    """A quantity, an integer, or a flag as 0 or 1."""
    if isinstance(part.get("valueBoolean"), bool):
        return float(part["valueBoolean"])
    quantity = mapping(part.get("valueQuantity"))
    return number(quantity.get("value")) if quantity else number(part.get("valueInteger", nan))


def _mapped(fact: Fact) -> Found:
    return Found(facts=(fact,), outcomes=((fact.resource, MAPPED, fact.key, fact.unit),))


def read_resources(resources: Iterable[object], concepts: Concepts) -> Reading:
    """All of them at once, as a Reader would."""
    reader = Reader(concepts)
    for one in resources:
        reader.add(one)
    return reader.finish()
