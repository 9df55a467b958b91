"""Scores of laboratory values alone: the EASIX family, CAR-HEMATOTOX and ALBI."""

import math
from collections.abc import Mapping

from features import scores
from features.point_scores import HEMATOTOX_ITEMS, points
from features.score_facts import ScoreFacts
from serving.score_inputs import Found, Seen, inputs, six
from serving.score_parts import computed, lacking, timing
from serving.score_shape import Gap, Score

#: Score -> the values that it is made of.
RATIOS = {
    "easix": ("ldh", "creatinine", "platelets"),
    "s_easix": ("ldh", "platelets"),
    "m_easix": ("ldh", "crp", "platelets"),
}


def ratio(key: str, seen: Seen, other_therapy: bool) -> Score:
    """EASIX, s-EASIX or m-EASIX, with its log2; a published threshold counts at its own time point only."""
    found = _positive(seen.find(key, RATIOS[key]))
    if found.gaps:
        return lacking(key, found.gaps)
    values = [held.value for held in found.values.values()]
    value = scores.without_factor(*values) if len(values) == 2 else scores.with_factor(*values)
    cuts = seen.facts.cuts.get((key, key), ())
    result = {"result": "above-threshold" if points(cuts, value) else "not-above-threshold"} if cuts else {}
    return computed(
        key,
        *timing(key, found.in_window, other_therapy),
        value=six(value),
        log2=six(math.log2(value)),
        inputs=inputs(found),
        **(result if found.in_window else {}),
    )


def car_hematotox(seen: Seen, other_therapy: bool) -> Score:
    """CAR-HEMATOTOX with its points; low or high only where the inputs lie at its own time point."""
    key = "car_hematotox"
    found = seen.find(key, HEMATOTOX_ITEMS)
    if found.gaps:
        return lacking(key, found.gaps)
    each, total = hematotox_points(seen.facts, {code: held.value for code, held in found.values.items()})
    high = points(seen.facts.cuts[key, "total"], total) > 0
    return computed(
        key,
        *timing(key, found.in_window, other_therapy),
        value=total,
        unit=seen.facts.scores[key].unit,
        points=each,
        inputs=inputs(found),
        **({"result": "high" if high else "low"} if found.in_window else {}),
    )


def hematotox_points(facts: ScoreFacts, values: Mapping[str, float]) -> tuple[dict[str, float], float]:
    """Points per item and their sum. values: HEMATOTOX_ITEMS in the units of the score's table."""
    each = {item: points(facts.cuts["car_hematotox", item], values[item]) for item in HEMATOTOX_ITEMS}
    return each, sum(each.values())


def albi(seen: Seen) -> Score:
    """ALBI and its grade: liver reserve, for display."""
    found = _positive(seen.find("albi", ("bilirubin", "albumin")))
    if found.gaps:
        return lacking("albi", found.gaps)
    value = albi_value(seen.facts, found.values["bilirubin"].value, found.values["albumin"].value)
    grade = albi_grade(seen.facts, value)
    return computed("albi", value=six(value), result=f"grade-{grade}", inputs=inputs(found))


def albi_value(facts: ScoreFacts, bilirubin_umol_per_l: float, albumin_g_per_l: float) -> float:
    """0.66 x log10(bilirubin [umol/L]) - 0.085 x albumin [g/L]; bilirubin above 0. Source: Johnson 2015."""
    factors = facts.coefficients
    logarithm = factors["albi", "log10_bilirubin"] * math.log10(bilirubin_umol_per_l)
    return logarithm + factors["albi", "albumin"] * albumin_g_per_l


def albi_grade(facts: ScoreFacts, value: float) -> int:
    """1, 2 or 3."""
    return 1 + int(points(facts.cuts["albi", "albi"], value))


def _positive(found: Found) -> Found:
    """A value of 0 lies below the assay's limit or cannot be divided by: no score is computed from it."""
    zeros = tuple(Gap(held.code, "not-above-zero") for held in found.values.values() if held.value <= 0)
    return Found(found.values, found.gaps + zeros, found.in_window) if zeros else found
