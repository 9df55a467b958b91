"""One FHIR Observation, with its components, into facts: results, charted events, words about a course."""

from math import isnan, nan

from features.catalogue import Analyte
from features.catalogue_joins import fold_name
from features.concepts import Concepts, Meaning
from features.fhir_codes import meaning_of
from features.fhir_status import KINDS, TIMES
from features.fhir_types import MAPPED, Fact, Found, Moment, Origin, both, ignored
from features.fhir_values import COMPARATORS, Json, first_moment, items, mapping, number, units, upper_limit, word
from features.grading_tables import find
from features.results import conversion, judged

NAME = "Observation"


def observation(concepts: Concepts, held: Json, person: str, origin: Origin) -> Found:
    """Its own value, where it has one or has no components; and each of its components."""
    at = first_moment(held, TIMES[NAME])
    parts = items(held["component"]) if "component" in held else []
    if not parts:
        return _result(concepts, held, person, at, origin)
    total = _result(concepts, held, person, at, origin) if _value(held) else Found()
    for part in parts:
        total = both(total, _result(concepts, part, person, at, origin))
    return total


def _result(concepts: Concepts, part: Json, person: str, at: Moment | str, origin: Origin) -> Found:
    meaning = meaning_of(concepts, part.get("code"), KINDS[NAME])
    if isinstance(meaning, str):
        return ignored(NAME, meaning)
    if isinstance(at, str):
        return ignored(NAME, at, meaning.key)
    if meaning.kind == "analyte":
        return _analyte(concepts, meaning.key, part, person, at, origin)
    read = {"event": _charted_event, "course": _course_word}[meaning.kind]
    return read(meaning, part, person, at, origin)


def _analyte(concepts: Concepts, key: str, part: Json, person: str, at: Moment, origin: Origin) -> Found:
    analyte = concepts.catalogue.analytes[key]
    quantity = mapping(part.get("valueQuantity"))
    stated = units(quantity)
    comparator = COMPARATORS.get(word(quantity.get("comparator")))
    value = number(quantity.get("value"))
    unit, problem = judged(analyte, value, stated)
    problem = problem if "valueQuantity" in part else _no_quantity(part) or problem
    problem = problem or ("unit-disagrees" if len(stated) > 1 and _disagree(analyte, stated) else "")
    if problem or comparator is None:
        shown = unit or (stated[0] if stated else "")
        return ignored(NAME, problem or "comparator-unknown", key, shown)
    limit = upper_limit(part, stated)
    return _mapped(Fact(person, "analyte", key, at, value, unit, comparator, limit, "", "", NAME, origin))


def _disagree(analyte: Analyte, spellings: tuple[str, ...]) -> bool:
    """Whether a quantity's code and text are two units of the analyte: which of them is meant nobody can tell."""
    rules = [rule for unit in spellings if (rule := conversion(analyte, unit)) is not None]
    return any(rule != rules[0] for rule in rules)


def _value(part: Json) -> bool:
    return any(name.startswith("value") for name in part) or "dataAbsentReason" in part


def _no_quantity(part: Json) -> str:
    if "dataAbsentReason" in part:
        return "value-absent-with-reason"
    return "value-not-a-quantity" if _value(part) else ""


def _charted_event(meaning: Meaning, part: Json, person: str, at: Moment, origin: Origin) -> Found:
    """A grade, drug or support charted as an Observation: the code's own value, or the one it carries."""
    value = meaning.value if not isnan(meaning.value) else _plain_number(part)
    if isnan(value):
        return ignored(NAME, "value-missing", meaning.key)
    text = listed_detail(meaning.key, _note(part))
    return _mapped(
        Fact(
            person,
            "event",
            meaning.key,
            at,
            value,
            text=text,
            grading=meaning.grading,
            resource=NAME,
            origin=origin,
        )
    )


def listed_detail(event: str, text: str) -> str:
    """The word if it names a listed vasopressor or oxygen device, else "": free text never leaves the source."""
    kind = {"vasopressor": "vasopressor", "oxygen": "device"}.get(event, "")
    return text if kind and fold_name(text) and find(kind, text) else ""


def _note(part: Json) -> str:
    return next((word(one.get("text")) for one in items(part.get("note"))), "")


def _course_word(meaning: Meaning, part: Json, person: str, at: Moment, origin: Origin) -> Found:
    value, text = _plain_number(part), word(part.get("valueString"))
    if isnan(value) and not text:
        return ignored(NAME, "value-missing", meaning.key)
    return _mapped(Fact(person, "course", meaning.key, at, value, text=text, resource=NAME, origin=origin))


def _plain_number(part: Json) -> float:
    """A quantity, an integer, or a flag as 0 or 1."""
    if isinstance(part.get("valueBoolean"), bool):
        return float(part["valueBoolean"])
    quantity = mapping(part.get("valueQuantity"))
    return number(quantity.get("value")) if quantity else number(part.get("valueInteger", nan))


def _mapped(fact: Fact) -> Found:
    return Found(facts=(fact,), outcomes=((NAME, MAPPED, fact.key, fact.unit),))
