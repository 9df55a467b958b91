"""What may look like CRS or ICANS and must be ruled out: reviewed rules over the values that are there.

Nothing is ruled out by silence: a rule that lacks an input cannot tell, and a look-alike without a rule stays to be
considered. A flag is a reason to look, never a diagnosis.
"""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import isnan
from types import MappingProxyType

from features.catalogue import Analyte, Catalogue
from features.course import HOUR, Event
from features.single import CourseInput, Observed
from serving import symptom_tables
from serving.answer import rounded
from serving.latest import latest
from serving.symptom_shape import Evidence, LookAlike
from serving.symptom_tables import Condition, Mimic, Rule

FLAGGED, NOT_FLAGGED, CANNOT_TELL, TO_CONSIDER = "flagged", "not-flagged", "cannot-tell", "to-consider"
#: A temperature below a limit says nothing once one of these was given since the start.
HIDING_FEVER = frozenset({Event.TOCILIZUMAB, Event.CORTICOSTEROID, Event.SILTUXIMAB, Event.ANAKINRA})
HIDDEN = "temperature without a treatment that hides fever"
#: (code, seconds, value) of a value that is the analyser's limit -> < or >, on which side of it the true value lies.
Comparators = Mapping[tuple[str, int, float], str]
_COMPARE = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known at the index second: the latest of each code, and the latest up to the infusion or last dose."""

    analytes: Mapping[str, Analyte]
    latest: Mapping[str, Observed]
    baseline: Mapping[str, Observed]
    index: int
    fever_may_hide: bool
    comparators: Comparators

    def comparator(self, seen: Observed) -> str:
        return self.comparators.get((seen.code, seen.seconds, seen.value), "")


def look_alikes(
    catalogue: Catalogue, course: CourseInput, comparators: Comparators = MappingProxyType({})
) -> tuple[LookAlike, ...]:
    """Every look-alike in table order, once per rule, or once as to be considered where no rule holds at this time."""
    tables, known = symptom_tables.load(), _known(catalogue, course, comparators)
    return tuple(one for mimic in tables.mimics.values() for one in _all(mimic, tables.rules[mimic.key], known))


def _all(mimic: Mimic, rules: tuple[Rule, ...], known: _Known) -> tuple[LookAlike, ...]:
    judged = tuple(_judged(rule, known) for rule in rules if rule.after < known.index / HOUR < rule.before)
    return judged or (_to_consider(mimic.key),)


@cache
def _to_consider(key: str) -> LookAlike:
    mimic = symptom_tables.load().mimics[key]
    return LookAlike(
        key=mimic.key,
        name=mimic.name,
        resembles=mimic.resembles,
        status=TO_CONSIDER,
        unseen=mimic.unseen,
        source=mimic.source,
        verified=mimic.verified,
    )


def _judged(rule: Rule, known: _Known) -> LookAlike:
    groups = [[_met(one, rule, known) for one in group] for group in rule.groups]
    missing = tuple(dict.fromkeys(lacking for group in groups for _, lacking in group if lacking))
    flagged = all(any(found and found.holds for found, _ in group) for group in groups)
    return LookAlike(
        key=rule.mimic.key,
        name=rule.mimic.name,
        resembles=rule.mimic.resembles,
        status=FLAGGED if flagged else CANNOT_TELL if missing else NOT_FLAGGED,
        because=tuple(found for group in groups for found, _ in group if found),
        missing=missing,
        unseen=rule.mimic.unseen,
        rule=rule.text,
        source=rule.source,
        verified=rule.verified,
    )


def _met(one: Condition, rule: Rule, known: _Known) -> tuple[Evidence | None, str]:
    """What was found and what is lacking; a value from before the rule holds, or out of its window, is lacking."""
    seen = known.latest.get(one.analyte)
    oldest = known.index - one.window_hours * HOUR
    if seen is None or seen.seconds < oldest or seen.seconds <= rule.after * HOUR:
        return None, f"{one.analyte} within {one.window_hours:g} h"
    unit = known.analytes[one.analyte].unit
    limit, lacking = _limit(one, seen, known)
    if lacking:
        return None, lacking
    holds = _holds(one.comparison, _rounded_off(seen.value - limit), known.comparator(seen))
    if holds is None:
        return None, f"{one.analyte} beyond the analyser's limit"
    found = Evidence(
        one.analyte, rounded(seen.value), unit, rounded(seen.seconds / HOUR), one.text, rounded(limit), holds
    )
    hidden = known.fever_may_hide and one.analyte == "temperature" and not holds
    return found, HIDDEN if hidden else ""


def _holds(comparison: str, difference: float, comparator: str) -> bool | None:
    """Whether value less limit meets the comparison; None where the analyser's limit leaves it open."""
    if not comparator:
        return bool(_COMPARE[comparison](difference, 0.0))
    decided = difference >= 0 if comparator == ">" else difference <= 0
    return comparison.startswith(comparator) if decided else None


def _limit(one: Condition, seen: Observed, known: _Known) -> tuple[float, str]:
    """The limit in the canonical unit, or what is lacking to know it."""
    if one.basis == "value":
        return one.limit, ""
    if one.basis == "upper-limit":
        upper = known.analytes[one.analyte].reference_high if isnan(seen.limit) else seen.limit
        return one.limit * upper, f"upper limit of normal of {one.analyte}" if isnan(upper) else ""
    base = known.baseline.get(one.analyte)
    usable = base is not None and base.value > 0 and not known.comparator(base)
    return (one.limit * base.value, "") if base and usable else (0.0, f"{one.analyte} at baseline")


def _rounded_off(difference: float) -> float:
    """Without the floating point of a unit's conversion, so that 100.4 F is 38.0 C."""
    return round(difference, 9)


def _known(catalogue: Catalogue, course: CourseInput, comparators: Comparators) -> _Known:
    seen = [one for one in course.observations if one.seconds <= course.index_seconds]
    return _Known(
        catalogue.analytes,
        latest(seen),
        latest(one for one in seen if one.seconds <= course.dose_seconds),
        course.index_seconds,
        any(one.code in HIDING_FEVER and one.seconds >= 0 for one in seen),
        comparators,
    )
