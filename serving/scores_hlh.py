"""HScore and HLH-2004: made for haemophagocytic syndromes, shown for comparison; neither is a score for CRS."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from features.point_scores import is_reached, points
from features.score_facts import ScoreFacts
from serving.findings import Known
from serving.score_inputs import Found, Seen, inputs
from serving.score_parts import NOT_ALL_KNOWN, computed, lacking
from serving.score_shape import Gap, Score

#: Items of the HScore: three findings, the count of low lineages, and five values.
HSCORE_ITEMS = (
    *("immunosuppression", "temperature", "organomegaly", "lineages", "ferritin"),
    *("triglycerides", "fibrinogen", "ast", "haemophagocytosis"),
)
_FINDINGS = ("immunosuppression", "organomegaly", "haemophagocytosis")
LINEAGES = ("hemoglobin", "wbc", "platelets")
_HSCORE_VALUES = ("temperature", *LINEAGES, "ferritin", "triglycerides", "fibrinogen", "ast")
_HLH_VALUES = ("temperature", "hemoglobin", "platelets", "anc", "triglycerides", "fibrinogen", "ferritin", "sil2r")
_HLH_FINDINGS = ("splenomegaly", "haemophagocytosis", "nk_activity")
#: How many criteria HLH-2004 has.
CRITERIA = 8
Value = Mapping[str, float | None]


def hscore(seen: Seen, known: Known) -> Score:
    """The HScore where all nine items are known, else its lower limit."""
    found = seen.find("hscore", _HSCORE_VALUES, highest="temperature")
    items: dict[str, float | None] = {code: found.get(code) for code in _HSCORE_VALUES}
    items |= {name: known.get(name) for name in _FINDINGS}
    each = hscore_points(seen.facts, items)
    gaps = (*found.gaps, *(Gap(name, "missing") for name in _FINDINGS if known.get(name) is None))
    unit = seen.facts.scores["hscore"].unit
    shown = inputs(found)
    if not gaps:
        total = sum(each.values())
        beside = probability_map(seen.facts, total)
        return computed("hscore", value=total, unit=unit, points=each, inputs=shown, probability_map=beside)
    if not each:
        return lacking("hscore", gaps)
    return lacking("hscore", gaps, NOT_ALL_KNOWN, at_least=sum(each.values()), unit=unit, points=each, inputs=shown)


def hscore_points(facts: ScoreFacts, items: Value) -> dict[str, float]:
    """Points of each item that is known; of the blood counts, those of the lineages known to be low.

    items: HSCORE_ITEMS without lineages, and LINEAGES, in the units of the score's table; None where not known.
    """
    low = [_is(facts, "hscore_lineages", code, items.get(code)) for code in LINEAGES]
    held = {**items, "lineages": None if all(one is None for one in low) else float(sum(one is True for one in low))}
    return {
        item: points(facts.cuts["hscore", item], value)
        for item in HSCORE_ITEMS
        if (value := held.get(item)) is not None
    }


def lineages(facts: ScoreFacts, hemoglobin: float, wbc: float, platelets: float) -> int:
    """How many of the three blood counts are low by the HScore's own cuts."""
    counts = zip(LINEAGES, (hemoglobin, wbc, platelets), strict=True)
    return sum(_is(facts, "hscore_lineages", code, value) is True for code, value in counts)


def probability_map(facts: ScoreFacts, total: float) -> str:
    """What the paper prints at the nearest points around this HScore; nothing between them is interpolated."""
    points_ = facts.hscore_map
    below = [one for one in points_ if one.at <= total]
    above = [one for one in points_ if one.at > total] if not below or below[-1].at != total else []
    shown = (*below[-1:], *above[:1])
    printed = "; ".join(f"at {one.at:g}: {one.bound}{one.percent:g} %" for one in shown)
    return f"{printed} had haemophagocytic syndrome in the paper's patients"


@dataclass(frozen=True, slots=True)
class Tally:
    """How many criteria are met, not met and unknown."""

    met: int
    not_met: int
    unknown: int


def hlh_2004(seen: Seen, known: Known, age_years: float | None) -> Score:
    """met, not-met or undetermined, with how many criteria of how many known are met; a molecular diagnosis is met."""
    found = seen.find("hlh_2004", _HLH_VALUES, highest="temperature")
    criteria = hlh_criteria(seen.facts, _hlh_values(found, known, age_years))
    tally = count(criteria.values())
    gaps = (*found.gaps, *(Gap(name, "missing") for name in _HLH_FINDINGS if known.get(name) is None))
    molecular = known.get("molecular_hlh") == 1
    if tally.unknown == CRITERIA and not molecular:
        return lacking("hlh_2004", gaps, met=0, known=0)
    return computed(
        "hlh_2004",
        value=float(tally.met),
        unit=seen.facts.scores["hlh_2004"].unit,
        result="met" if molecular else hlh_result(seen.facts, tally),
        met=tally.met,
        known=CRITERIA - tally.unknown,
        points={name: float(met) for name, met in criteria.items() if met is not None},
        inputs=inputs(found),
        missing=gaps,
    )


def _hlh_values(found: Found, known: Known, age_years: float | None) -> dict[str, float | None]:
    values: dict[str, float | None] = {code: found.get(code) for code in _HLH_VALUES}
    values |= {name: known.get(name) for name in _HLH_FINDINGS}
    return values | {"age_years": age_years}


def hlh_criteria(facts: ScoreFacts, values: Value) -> dict[str, bool | None]:
    """Each of the eight criteria: met, not met, or None where too little is known."""

    def one(item: str) -> bool | None:
        return _is(facts, "hlh_2004", item, values.get(item))

    hemoglobin = "hemoglobin_under_4_weeks" if one("age_years") else "hemoglobin"
    low = [_is(facts, "hlh_2004", hemoglobin, values.get("hemoglobin")), one("platelets"), one("anc")]
    return {
        "fever": one("temperature"),
        "splenomegaly": one("splenomegaly"),
        "cytopenias": _enough(facts, low),
        "triglycerides_fibrinogen": _either(one("triglycerides"), one("fibrinogen")),
        "haemophagocytosis": one("haemophagocytosis"),
        "nk_activity": one("nk_activity"),
        "ferritin": one("ferritin"),
        "sil2r": one("sil2r"),
    }


def count(criteria: Iterable[bool | None]) -> Tally:
    held = list(criteria)
    return Tally(held.count(True), held.count(False), held.count(None))


def hlh_result(facts: ScoreFacts, tally: Tally) -> str:
    """met from five known criteria on; not-met only where even all unknown ones could not reach five."""
    cuts = facts.cuts["hlh_2004", "criteria"]
    if points(cuts, tally.met):
        return "met"
    return "undetermined" if points(cuts, tally.met + tally.unknown) else "not-met"


def _is(facts: ScoreFacts, score: str, item: str, value: float | None) -> bool | None:
    return is_reached(facts.cuts[score, item], value)


def _enough(facts: ScoreFacts, low: list[bool | None]) -> bool | None:
    """Whether enough lineages are low: two, by the table."""
    cuts = facts.cuts["hlh_2004", "cytopenias"]
    if points(cuts, low.count(True)):
        return True
    return None if points(cuts, low.count(True) + low.count(None)) else False


def _either(first: bool | None, second: bool | None) -> bool | None:
    if first or second:
        return True
    return None if first is None or second is None else False
