"""FHIR R4 in: a Bundle, or the prefetch of a CDS Hooks call, becomes the course that POST /predict would make.

Plain parsed JSON of any shape is taken: what cannot be used is counted by reason. Only a resource of another patient, a
patient who is not named, and far too many resources are refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from features.concepts import Concepts
from features.fhir import Reader, Reading
from features.fhir_types import Fact, Moment, PersonFact
from features.fhir_values import items, mapping, word
from features.fhir_walk import Entry, walk
from features.given import FIRST
from serving.fhir_course import intake
from serving.fhir_patient import Asked, asked, check, only_patient
from serving.fhir_therapy import COURSE, NOT_CONCERNED, Plan, is_therapy_order, plan
from serving.fhir_types import FhirRead, Notebook
from serving.refusal import RefusalError

#: Resources of one request at most; a fuller chart has to be asked for by dates.
MOST_RESOURCES = 10_000
#: What a prefetch key came with.
GIVEN, NO_DATA, FAILED, UNREADABLE = "given", "no-data", "failed", "unreadable"


def read_bundle(
    concepts: Concepts, bundle: object, at: datetime, patient: str = "", server: str = "", course_id: str = "fhir"
) -> FhirRead:
    """The course in a Bundle (or one resource) as known at `at`, which has a zone.

    patient: id or reference; left out, the one Patient among the resources. server: its base address, where known.
    Errors: RefusalError 422 (other-patient, other-server, patient-not-named, patients-several), 413 (too many).
    """
    pages: list[str] = []
    entries = _taken(walk(bundle, ("bundle",), pages))
    who = check(entries, asked(patient or only_patient(entries), server))
    found = _read(concepts, entries, (), who, at, course_id)
    return replace(found, more_pages=tuple(("bundle", url) for url in pages))


def read_prefetch(
    concepts: Concepts,
    prefetch: object,
    at: datetime,
    patient: str,
    server: str = "",
    drafts: object = None,
    course_id: str = "fhir",
) -> FhirRead:
    """The course in a prefetch map (key -> resource, Bundle or null) as known at `at`; as `read_bundle`.

    patient: context.patientId. drafts: context.draftOrders, orders that are being signed now.
    """
    pages: list[tuple[str, str]] = []
    entries = _taken(_of_keys(mapping(prefetch), pages))
    orders = _taken(walk(drafts, ("drafts",)) if drafts is not None else ())
    who = check([*entries, *orders], asked(patient, server))
    return replace(_read(concepts, entries, orders, who, at, course_id), more_pages=tuple(pages))


def prefetch_states(prefetch: object, keys: Sequence[str]) -> Mapping[str, str]:
    """What each of those keys came with: GIVEN, NO_DATA (null), FAILED, UNREADABLE.

    FAILED: an OperationOutcome, or a Bundle of nothing but one with an error. A key that was not sent is not in it.
    """
    held = mapping(prefetch)
    return {key: _state(held[key]) for key in keys if key in held}


def _state(value: object) -> str:
    if value is None:
        return NO_DATA
    kind = word(mapping(value).get("resourceType"))
    if kind == "OperationOutcome" or (kind == "Bundle" and _is_failed_search(mapping(value))):
        return FAILED
    return GIVEN if kind else UNREADABLE


def _is_failed_search(bundle: Mapping[str, object]) -> bool:
    """Whether a Bundle holds nothing but the word that the search failed; a warning beside no match is no failure."""
    held = [mapping(one.get("resource")) for one in items(bundle.get("entry"))]
    if not held or any(word(one.get("resourceType")) != "OperationOutcome" for one in held):
        return False
    return any(word(issue.get("severity")) in ("error", "fatal") for one in held for issue in items(one.get("issue")))


def _of_keys(prefetch: Mapping[str, object], pages: list[tuple[str, str]]) -> Iterator[Entry]:
    for key in sorted(prefetch):
        found: list[str] = []
        if prefetch[key] is not None:
            yield from walk(prefetch[key], ("prefetch", key), found)
        pages.extend((key, url) for url in found)


def _taken(entries: Iterator[Entry] | tuple[()]) -> list[Entry]:
    found: list[Entry] = []
    for one in entries:
        found.append(one)
        if len(found) > MOST_RESOURCES:
            problem = f"more than {MOST_RESOURCES} resources"
            raise RefusalError(413, "too-many-resources", "$", problem, "send what was charted in the last weeks")
    return found


def _read(
    concepts: Concepts, entries: Sequence[Entry], orders: Sequence[Entry], who: Asked, at: datetime, course_id: str
) -> FhirRead:
    now = _micros(at)
    reading = _reading(concepts, entries, orders, now)
    notebook = Notebook()
    notebook.ignore_tally(reading.tally)
    catalogue = concepts.catalogue
    found = plan(catalogue, reading.facts, now, reading.unclear)
    _count_unused(found, reading.facts, now, notebook, concepts)
    person = _person(reading.people, who)
    missing = (*found.missing, *_missing(person, reading.facts))
    if found.status != COURSE:
        return FhirRead(found.status, ignored=notebook.reasons(), missing=missing)
    made = intake(catalogue, found, person, reading.facts, now, course_id, notebook, reading.unclear)
    start = FIRST + timedelta(microseconds=found.start)
    return FhirRead(COURSE, made, start, found.planned, notebook.pages(), notebook.reasons(), missing)


def _micros(at: datetime) -> int:
    if at.tzinfo is None:
        raise ValueError("the index time needs a zone")
    return (at - FIRST) // timedelta(microseconds=1)


def _reading(concepts: Concepts, entries: Sequence[Entry], orders: Sequence[Entry], now: int) -> Reading:
    reader = Reader(concepts, drafts_at=Moment(now))
    for one in entries:
        reader.take(one)
    for one in orders:
        reader.take(one, draft=True)
    return reader.finish(ordered=False)


def _person(people: Sequence[PersonFact], who: Asked) -> PersonFact | None:
    return next((one for one in people if one.person in who.names), None)


def _missing(person: PersonFact | None, facts: Sequence[Fact]) -> tuple[str, ...]:
    seen = any(one.kind == "analyte" for one in facts)
    return (*(("patient",) if person is None else ()), *(("observations",) if not seen else ()))


def _count_unused(found: Plan, facts: Sequence[Fact], now: int, notebook: Notebook, concepts: Concepts) -> None:
    """Therapies and orders that the course does not rest on; and everything else, where there is no course."""
    used = {id(one) for one in found.facts} if found.status == COURSE else set()
    for one in facts:
        therapy = one.kind == "therapy" or is_therapy_order(concepts.catalogue, one)
        if id(one) in used or not (therapy or one.kind == "order" or found.status != COURSE):
            continue
        late = "after-index-time" if one.at.micros > now else ""
        notebook.ignore(late or ("ordered-not-given" if one.kind == "order" else _unused(therapy, found)))


def _unused(therapy: bool, found: Plan) -> str:
    if therapy:
        return "therapy-not-asked-about"
    return NOT_CONCERNED if found.status == NOT_CONCERNED else "course-not-clear"
