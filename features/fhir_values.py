"""Small parts of FHIR resources, read with tolerance: whatever has another shape than R4 says counts as absent."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from math import nan
from typing import Any

from features.fhir_types import Moment

Json = Mapping[str, Any]
NO_TIME, NO_OFFSET, NO_DAY = "time-missing", "time-without-offset", "time-not-to-the-day"
NOT_READABLE = "time-not-readable"
#: R4's comparators; a limit that is itself included counts like one that is not.
COMPARATORS = {"": "", "<": "<", "<=": "<", ">": ">", ">=": ">"}
UCUM = "http://unitsofmeasure.org"
DAY = re.compile(r"\d{4}-\d\d-\d\d")
COARSE = re.compile(r"\d{4}(-\d\d)?")
FIRST = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
#: How far clocks to the west are behind UTC.
ZONES_WEST = timedelta(hours=12)
#: Of something that may be yet to come.
NO_END = Moment((datetime(9999, 1, 1, tzinfo=UTC) - FIRST) // MICROSECOND)
#: Years outside of which no clock stands; the last ones cannot be shifted into another zone.
YEARS = range(2, 9999)
NOTHING: Json = {}


def mapping(item: object) -> Json:
    """The item if it is a JSON object, else an empty one."""
    return item if isinstance(item, dict) else NOTHING


def items(item: object) -> list[Json]:
    """The JSON objects of a list; of one object alone, that object."""
    found = item if isinstance(item, list) else [item]
    return [one for one in found if isinstance(one, dict)]


def word(item: object) -> str:
    """Text without surrounding blanks, "" for anything else."""
    return item.strip() if isinstance(item, str) else ""


def number(item: object) -> float:
    """A JSON number, NaN for anything else (a flag included) and for one that no float holds."""
    if isinstance(item, bool) or not isinstance(item, int | float):
        return nan
    try:
        return float(item)
    except OverflowError:
        return nan


def codings(concept: object) -> list[tuple[str, str]]:
    """(system URI, code) of every coding of a CodeableConcept, in order."""
    stated = concept.get("coding") if isinstance(concept, dict) else None
    listed = stated if isinstance(stated, list) else [stated]
    return [
        (word(one.get("system")), code) for one in listed if isinstance(one, dict) and (code := word(one.get("code")))
    ]


def moment(item: object) -> Moment | str:
    """When it was, or why that cannot be told."""
    text = word(item)
    if not text:
        return NO_TIME
    try:
        if len(text) > len("2026-01-01"):
            stamp = datetime.fromisoformat(text)
            by_day = False
        elif COARSE.fullmatch(text):
            return NO_DAY
        else:
            by_day = DAY.fullmatch(text) is not None
            stamp = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC if by_day else None)
    except ValueError:
        return NOT_READABLE
    if stamp.year not in YEARS:
        return NOT_READABLE
    return NO_OFFSET if stamp.tzinfo is None else Moment((stamp - FIRST) // MICROSECOND, by_day)


def first_moment(resource: Json, names: tuple[str, ...]) -> Moment | str:
    """The first of those elements that is there; of a Period its start."""
    for name in names:
        if name in resource:
            held = resource[name]
            return moment(held.get("start") if isinstance(held, dict) else held)
    return NO_TIME


def latest_moment(resource: Json, names: tuple[str, ...]) -> Moment:
    """The latest time that the first of those elements can mean; NO_END where it tells nothing.

    A time without its zone may be that of the last zone west, a year or a month its own end.
    """
    held = next((resource[name] for name in names if name in resource), None)
    text = word((held.get("start") or held.get("end")) if isinstance(held, dict) else held)
    at = moment(text)
    if isinstance(at, Moment):
        return at
    try:
        if at == NO_DAY:
            year, month = int(text[:4]), int(text[5:7] or 12)
            end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        else:
            end = datetime.fromisoformat(text).replace(tzinfo=UTC) + ZONES_WEST
    except (ValueError, OverflowError):
        return NO_END
    return Moment((end - FIRST) // MICROSECOND)


def units(quantity: Json) -> tuple[str, ...]:
    """Spellings of the quantity's unit: its UCUM code first, then the text for people."""
    text, code = word(quantity.get("unit")), word(quantity.get("code"))
    if code and word(quantity.get("system")) not in (UCUM, ""):
        code = ""
    if not code or code == text:
        return (text,) if text else ()
    return (code, text) if text else (code,)


def upper_limit(observation: Json, spellings: tuple[str, ...]) -> float:
    """The laboratory's own upper limit: of the one normal range, in the value's own unit; else NaN."""
    if "referenceRange" not in observation:
        return nan
    ranges = [one for one in items(observation["referenceRange"]) if "high" in one and _is_normal(one)]
    if len(ranges) != 1:
        return nan
    high = mapping(ranges[0]["high"])
    stated = units(high)
    same = not stated or stated == spellings or not set(stated).isdisjoint(spellings)
    return number(high.get("value")) if same else nan


def _is_normal(item: Json) -> bool:
    """Without a type, a range is the recommended one; one for certain ages or people may not be this patient's."""
    if item.get("appliesTo") or item.get("age"):
        return False
    kinds = [code for _, code in codings(item["type"])] if "type" in item else ()
    return not kinds or "normal" in kinds


def reference(item: object) -> str:
    """Where a Reference leads, as a resource's bare id (contained ones keep their #); "" where it does not tell."""
    text = word(mapping(item).get("reference"))
    if text.startswith(("urn:uuid:", "urn:oid:")):
        return text.rsplit(":", 1)[1]
    return text.split("/_history/")[0].rsplit("/", 1)[-1].split("?")[0]


def patient(item: object) -> str:
    """The bare id of the patient that a Reference leads to.

    "" for anything that is no Patient (a Group, a Device), that stands inside another resource, or that is searched for
    and not named.
    """
    text = word(mapping(item).get("reference"))
    kind, slash, name = text.rpartition("/")
    if kind == "Patient":
        return name if "?" not in name else ""
    if text.startswith(("urn:uuid:", "urn:oid:")):
        return text.rsplit(":", 1)[1]
    if not slash:
        return "" if text.startswith("#") or "?" in text else text
    kind, _, name = text.split("/_history/")[0].rpartition("/")
    return name if (kind == "Patient" or kind.endswith("/Patient")) and "?" not in name else ""
