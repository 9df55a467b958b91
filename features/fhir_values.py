"""Small parts of FHIR resources, read with tolerance: whatever has another shape than R4 says counts as absent."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from math import nan
from typing import Any

from features.fhir_types import Moment

Json = Mapping[str, Any]
NO_TIME, NO_OFFSET, NO_DAY = "time-missing", "time-without-offset", "time-not-to-the-day"
#: R4's comparators; a limit that is itself included counts like one that is not.
COMPARATORS = {"": "", "<": "<", "<=": "<", ">": ">", ">=": ">"}
UCUM = "http://unitsofmeasure.org"
DAY = re.compile(r"\d{4}-\d\d-\d\d")
COARSE = re.compile(r"\d{4}(-\d\d)?")
FIRST = datetime(1970, 1, 1, tzinfo=UTC)


def mapping(item: object) -> Json:
    """The item if it is a JSON object, else an empty one."""
    return item if isinstance(item, dict) else {}


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


def codings(concept: object) -> Iterator[tuple[str, str]]:
    """(system URI, code) of every coding of a CodeableConcept, in order."""
    for coding in items(mapping(concept).get("coding")):
        if code := word(coding.get("code")):
            yield word(coding.get("system")), code


def moment(item: object) -> Moment | str:
    """When it was, or why that cannot be told."""
    text = word(item)
    if not text:
        return NO_TIME
    if COARSE.fullmatch(text):
        return NO_DAY
    try:
        if DAY.fullmatch(text):
            return Moment(_micros(datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)), True)
        stamp = datetime.fromisoformat(text)
    except ValueError:
        return "time-not-readable"
    return NO_OFFSET if stamp.tzinfo is None else Moment(_micros(stamp))


def _micros(stamp: datetime) -> int:
    gone = stamp - FIRST
    return (gone.days * 86_400 + gone.seconds) * 1_000_000 + gone.microseconds


def first_moment(resource: Json, names: tuple[str, ...]) -> Moment | str:
    """The first of those elements that is there; of a Period its start."""
    for name in names:
        if name in resource:
            held = resource[name]
            return moment(mapping(held).get("start") if isinstance(held, dict) else held)
    return NO_TIME


def units(quantity: Json) -> tuple[str, ...]:
    """Spellings of the quantity's unit: its UCUM code first, then the text for people."""
    code = word(quantity.get("code")) if word(quantity.get("system")) in (UCUM, "") else ""
    return tuple(dict.fromkeys(unit for unit in (code, word(quantity.get("unit"))) if unit))


def upper_limit(observation: Json, spellings: tuple[str, ...]) -> float:
    """The laboratory's own upper limit: of the one normal range, in the value's own unit; else NaN."""
    ranges = [one for one in items(observation.get("referenceRange")) if _is_normal(one)]
    if len(ranges) != 1:
        return nan
    high = mapping(ranges[0].get("high"))
    stated = units(high)
    return number(high.get("value")) if not stated or set(stated) & set(spellings) else nan


def _is_normal(item: Json) -> bool:
    """Without a type, a range is the recommended one; one for certain ages or people may not be this patient's."""
    kinds = [code for _, code in codings(item.get("type"))]
    return "high" in item and (not kinds or "normal" in kinds) and not item.get("appliesTo") and not item.get("age")


def reference(item: object) -> str:
    """Where a Reference leads, as a resource's bare id (contained ones keep their #); "" where it does not tell."""
    text = word(mapping(item).get("reference"))
    if text.startswith(("urn:uuid:", "urn:oid:")):
        return text.rsplit(":", 1)[1]
    return text.split("/_history/")[0].rsplit("/", 1)[-1].split("?")[0]
