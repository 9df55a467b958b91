"""The strongest inputs of an answer as a card tells them: name, latest value with unit and age, factor on the odds."""

import math
from collections.abc import Iterable

from msgspec import UNSET

from features.catalogue import Catalogue
from features.outcomes import OUTCOMES
from serving.answer import Answer, Risk
from serving.cds.plain import number, plain, unit
from serving.inputs import FLAGS
from serving.reasons import Reason
from serving.scores_laboratory import RATIOS

MOST_REASONS = 4
#: Smallest effect (log-odds) that is told as a reason. Policy of this project, verified: no.
LEAST_EFFECT = math.log(1.05)
_GRADES = frozenset(one.event for one in OUTCOMES)


def lines(answer: Answer, catalogue: Catalogue, head: Risk | None) -> Iterable[str]:
    """head: the outcome whose reasons are told."""
    if head is None:
        return
    yield f"**Strongest reasons** ({head.label}), beside the published rate:"
    named = [one for one in answer.reasons if one.outcome == head.outcome and one.kind == "input"]
    strong = [one for one in named if abs(one.effect) >= LEAST_EFFECT]
    absent = {one.what for one in answer.missing if one.status == "absent"}
    strongest = sorted(strong, key=lambda one: -abs(one.effect))[:MOST_REASONS]
    yield from (_told(one, _seen(one, answer, catalogue) or _unseen(one, catalogue, absent)) for one in strongest)
    if not strongest:
        yield "- none: nothing of this patient moves the odds by a twentieth or more"


def _told(one: Reason, seen: str) -> str:
    way = "raises" if one.effect > 0 else "lowers"
    return f"- {plain(one.name)}{seen}: {way} the odds, times {math.exp(one.effect):.2g}"


def _seen(one: Reason, answer: Answer, catalogue: Catalogue) -> str:
    """What was observed of it, "" where nothing was."""
    if one.observed is UNSET:
        return ""
    if one.what in catalogue.codes and one.what not in catalogue.analytes:
        return f" {number(one.observed)}" if one.what in _GRADES else " (charted)"
    if one.what in FLAGS or one.what in catalogue.comorbidities:
        return " (yes)" if one.observed else " (no)"
    size = "" if one.unit is UNSET else f" {unit(one.unit)}"
    age = "" if one.measured_hours is UNSET else f", {answer.question.hours_since_start - one.measured_hours:.0f} h old"
    return f" ({number(one.observed)}{size}{age})"


def _unseen(one: Reason, catalogue: Catalogue, absent: set[str]) -> str:
    """What is said of an input whose effect is that of not being there: nobody is to read it as a finding."""
    if one.what in RATIOS:
        return " (not known)" if absent.intersection(RATIOS[one.what]) else ""
    if one.what in catalogue.codes and one.what not in catalogue.analytes:
        return " (none charted)"
    return " (not known)" if one.what in catalogue.analytes or one.what in catalogue.course_columns else ""
