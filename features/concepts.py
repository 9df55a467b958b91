"""What a code of a source means to this product: by the reviewed code tables, or by a centre's own list of codes.

A code whose row nobody verified, one that the tables refuse, and one that they do not know are three different answers.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from io import StringIO
from math import isfinite, nan
from pathlib import Path

from features import catalogue as facts
from features.catalogue import Catalogue
from features.catalogue_joins import check_unique
from features.catalogue_tables import read
from features.catalogue_types import Code
from features.course import Event
from features.errors import DataError
from features.grading_types import GRADINGS

#: What a code can stand for.
KINDS = ("analyte", "therapy", "indication", "comorbidity", "event", "course")
#: Words about a course that a centre may chart by a code of its own, besides the numbers of courses.
COURSE_WORDS = ("course_id", "patient_id", "site")
COURSE_EXTRA = ("follow_up_hours",)
#: Why a code stands for nothing here.
UNKNOWN, REFUSED, UNVERIFIED = "code-unknown", "code-refused", "code-not-verified"
#: Look-ups kept at most, so that a sender of ever new codes fills no memory.
REMEMBERED = 20_000
HEADER = ("kind", "key", "system", "code", "value", "grading", "note")

Codes = Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class CodeSystem:
    """One code system by its names elsewhere. fhir: its URIs. omop: its vocabulary id.

    shape: a regular expression that tells a bare code of this system from others, "" where nothing does.
    """

    system: str
    fhir: tuple[str, ...]
    omop: str
    shape: str
    source: str
    verified: str
    note: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one code stands for. value: an event's own, NaN where the source's row states it. grading: "" not stated."""

    kind: str
    key: str
    value: float = nan
    grading: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Concepts:
    """The look-up. checked: the catalogue with verified codes only. local: a centre's own codes, which come first.

    digest: SHA-256 of the centre's file, "" where there is none.
    """

    catalogue: Catalogue
    checked: Catalogue
    events: Mapping[tuple[str, str], Meaning]
    local: Mapping[tuple[str, str], Meaning]
    digest: str = ""
    _known: dict[tuple[str, str, tuple[str, ...]], "Meaning | str"] = field(default_factory=dict)

    def of(self, system: str, code: str, kinds: tuple[str, ...]) -> Meaning | str:
        """What the code means among those kinds, in their order; or why it means nothing (UNKNOWN, REFUSED, ...).

        system: as in the code tables, or as a centre's own list writes it.
        """
        asked = (system, code, kinds)
        found = self._known.get(asked)
        if found is None:
            found = self._find(system, code, kinds)
            if len(self._known) < REMEMBERED:
                self._known[asked] = found
        return found

    def _find(self, system: str, code: str, kinds: tuple[str, ...]) -> Meaning | str:
        own = self.local.get((system, code))
        if own is not None:
            return own if own.kind in kinds else UNKNOWN
        if (system, code) in self.catalogue.refused:
            return REFUSED
        found = self._listed(self.checked, system, code, kinds)
        if found is not None:
            return found
        return UNVERIFIED if self._listed(self.catalogue, system, code, kinds) else UNKNOWN

    def _listed(self, tables: Catalogue, system: str, code: str, kinds: tuple[str, ...]) -> Meaning | None:
        for kind in kinds:
            if kind == "event":
                event = self.events.get((system, _folded(system, code)))
                if event is not None and (tables is self.catalogue or event.key):
                    return event
            elif found := _key(tables, kind, system, code):
                return Meaning(kind, found)
        return None


def _key(tables: Catalogue, kind: str, system: str, code: str) -> str:
    if kind == "course":
        return ""
    find = {
        "analyte": tables.analyte_by_code,
        "therapy": tables.therapy_by_code,
        "indication": tables.indication_by_code,
        "comorbidity": tables.comorbidity_by_code,
    }[kind]
    found = find(system, code)
    return found.key if found else ""


def _folded(system: str, code: str) -> str:
    return code.replace(".", "").upper() if system == "ICD-10-CM" else code


def concepts(tables: Catalogue, local: Path | None = None) -> Concepts:
    """The look-up over a catalogue and, where given, a centre's own file (see read_local)."""
    if local is None:
        return Concepts(tables, _checked(tables), _events(tables), {})
    content = _content(local)
    own = _local(local.name, content, tables)
    return Concepts(tables, _checked(tables), _events(tables), own, sha256(content).hexdigest())


def _checked(tables: Catalogue) -> Catalogue:
    unsure = _unverified()
    return replace(
        tables,
        analyte_codes=_without(tables.analyte_codes, unsure),
        comorbidity_codes=_without(tables.comorbidity_codes, unsure),
        indication_codes=_without(tables.indication_codes, unsure),
        therapy_codes=_without(tables.therapy_codes, unsure),
    )


def _without(codes: Codes, unsure: frozenset[tuple[str, str]]) -> Codes:
    return {pair: key for pair, key in codes.items() if pair not in unsure}


@cache
def _unverified() -> frozenset[tuple[str, str]]:
    """Codes of the tables that ship with the product whose row says verified = no."""
    names = ("analyte_codes", "comorbidity_codes", "indication_codes", "therapy_codes")
    rows = [row for name in names for row in read(facts.TABLES / f"{name}.csv", Code)]
    return frozenset((row.system, row.code) for row in rows if row.verified == "no")


def _events(tables: Catalogue) -> Mapping[tuple[str, str], Meaning]:
    """Event codes; an unverified one keeps an empty key, so that it is told from an unknown one."""
    return {
        (row.system, _folded(row.system, row.code)): Meaning(
            "event", row.event if row.verified != "no" else "", row.value
        )
        for row in tables.event_codes
    }


@cache
def code_systems() -> tuple[CodeSystem, ...]:
    """The reviewed names of code systems, read once."""
    rows = read(facts.TABLES / "code_systems.csv", CodeSystem)
    check_unique("code_systems.csv", ((row.system,) for row in rows))
    check_unique("code_systems.csv", ((uri,) for row in rows for uri in row.fhir))
    return rows


@cache
def _system_names() -> Mapping[str, str]:
    return {uri: row.system for row in code_systems() for uri in row.fhir}


def system_name(system: str) -> str:
    """A code system's name in the reviewed tables, of its FHIR URI; any other as it is."""
    return _system_names().get(system, system)


def read_local(path: Path, tables: Catalogue) -> Mapping[tuple[str, str], Meaning]:
    """A centre's own codes: CSV with the columns of HEADER. DataError names file, line and column of a fault."""
    return _local(path.name, _content(path), tables)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise DataError(f"{path}", "the list of codes cannot be read", "give a UTF-8 CSV file") from None


def _local(file: str, content: bytes, tables: Catalogue) -> Mapping[tuple[str, str], Meaning]:
    found: dict[tuple[str, str], Meaning] = {}
    rows = _rows(file, content)
    if tuple(next(rows, ("", []))[1]) != HEADER:
        raise DataError(f"{file} line 1", "the columns are not the ones of a list of codes", f"use {', '.join(HEADER)}")
    for place, cells in rows:
        pair, meaning = _local_row(place, cells, tables)
        if pair in found:
            raise DataError(f"{place}, code", "the code stands twice", "keep one of the rows")
        found[pair] = meaning
    return found


def _rows(file: str, content: bytes) -> Iterator[tuple[str, list[str]]]:
    """Place and cells of each row, the header's first."""
    try:
        reader = csv.reader(StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{file} line {line}", "not UTF-8", "save the list of codes as UTF-8") from None
    try:
        for cells in reader:
            yield f"{file} line {reader.line_num}", cells
    except csv.Error:
        raise DataError(f"{file} line {reader.line_num}", "not CSV", "close each quotation mark") from None


def _local_row(place: str, cells: list[str], tables: Catalogue) -> tuple[tuple[str, str], Meaning]:
    if len(cells) != len(HEADER):
        raise DataError(place, f"{len(cells)} cells where {len(HEADER)} are expected", "quote a cell with a comma")
    kind, key, system, code, value, grading, _ = (cell.strip() for cell in cells)
    _check_key(place, kind, key, tables)
    if not system or not code:
        empty = "code" if system else "system"
        raise DataError(f"{place}, {empty}", "system or code is empty", "system is local, or as the source writes it")
    if grading not in ("", *GRADINGS):
        raise DataError(f"{place}, grading", "not a grading system", f"use {', '.join(GRADINGS)}, or leave it empty")
    return (system_name(system), code), Meaning(kind, key, _value(place, value), grading)


def _value(place: str, text: str) -> float:
    try:
        number = float(text) if text else nan
    except ValueError:
        number = float("inf")
    if text and not isfinite(number):
        raise DataError(f"{place}, value", "not a number", "leave it empty where the source's row states the value")
    return number


def _check_key(place: str, kind: str, key: str, tables: Catalogue) -> None:
    """A therapy or indication may be one that the catalogue does not know yet, as in the courses table."""
    known: Mapping[str, tuple[str, ...]] = {
        "analyte": tuple(tables.analytes),
        "comorbidity": tuple(tables.comorbidities),
        "event": tuple(event.value for event in Event),
        "course": (*COURSE_WORDS, *COURSE_EXTRA, *tables.course_columns),
    }
    if kind not in KINDS:
        raise DataError(f"{place}, kind", "not a kind of code", f"use one of {', '.join(KINDS)}")
    if not key or (kind in known and key not in known[kind]):
        raise DataError(f"{place}, key", f"no {kind} of that name", "see docs/sources.md for the keys")
