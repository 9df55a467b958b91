"""The table of product rates as Markdown, which also reads well in a terminal."""

from collections.abc import Iterable, Sequence
from math import isnan

from data.product_rates import ASKED, MINIMUM_COURSES, Compared, Fraction, OwnRate

_TITLES = (
    *("product", "outcome", "graded by", "courses", "events", "own rate (95 %)", "followed short"),
    *("published rate (95 %)", "n", "cohort", "graded by", "verified", "intervals overlap"),
)
_NAMES = {"crs": "CRS", "icans": "ICANS"}


def table(rows: Iterable[Compared], minimum: int = MINIMUM_COURSES) -> str:
    """One line per own rate and published cohort; an own rate stands in the first of its lines only."""
    lines, last = [_line(_TITLES), _line(["---"] * len(_TITLES))], None
    for row in rows:
        own = _own_cells(row.own, minimum) if row.own != last else [""] * 7
        lines.append(_line([*own, *_published_cells(row, row.own.courses < minimum)]))
        last = row.own
    return "\n".join(lines)


def short(rows: Iterable[Compared], minimum: int = MINIMUM_COURSES) -> str:
    """One line per product and grading system: own rates, and how many of the published intervals they overlap."""
    lines = [_line(["product", "graded by", "courses", *map(outcome_name, ASKED)]), _line(["---"] * (3 + len(ASKED)))]
    products: dict[tuple[str, str, int], dict[str, list[Compared]]] = {}
    for row in rows:
        held = products.setdefault((row.own.therapy, row.own.grading, row.own.courses), {})
        held.setdefault(row.own.outcome, []).append(row)
    for (therapy, grading, courses), held in products.items():
        cells = [_short_cell(held[key], minimum) if key in held else "" for key in ASKED]
        lines.append(_line([therapy or "not stated", grading, str(courses), *cells]))
    return "\n".join(lines)


def _short_cell(rows: Sequence[Compared], minimum: int) -> str:
    """rows: of one own rate."""
    rate = _own_cells(rows[0].own, minimum)[5].split(" (")[0]
    known = [row.overlap for row in rows if row.overlap is not None]
    return f"{rate} ({sum(known)} of {len(known)})" if known and rows[0].own.courses >= minimum else rate


def explained(minimum: int = MINIMUM_COURSES) -> str:
    """What the columns mean, one sentence each."""
    return (
        f"Products with fewer than {minimum} courses of one grading system show `too few` (policy of this project). "
        "Intervals are exact (Clopper-Pearson), those of published rates from the printed rate and n. "
        "`followed short`: courses without the event whose follow-up ends before the horizon (CRS 14 days, ICANS 30); "
        "they count as without, so the own rate is a lower limit where they are many. "
        "`not charted`: the site charted no grade of 1 or worse of that event; whether it was looked for is not known. "
        "Overlap says that chance may explain a difference, not that two rates are the same; "
        "rates of different grading systems do not compare."
    )


def _own_cells(own: OwnRate, minimum: int) -> list[str]:
    named = [own.therapy or "not stated", outcome_name(own.outcome), own.grading, str(own.courses)]
    if own.courses < minimum:
        return [*named, "too few", "too few", "too few"]
    if own.fraction is None:
        return [*named, "not charted", "not charted", ""]
    return [*named, str(own.events), _percent(own.fraction, ".1f"), str(own.short)]


def _published_cells(row: Compared, too_few: bool) -> list[str]:
    rate, fraction = row.published, row.published_fraction
    if rate is None or fraction is None:
        return ["none in the catalogue", "", "", "", "", ""]
    disease = "" if row.same_disease else f" - other disease: {rate.indication or 'several'}"
    grading = rate.crs_grading if row.own.outcome.startswith("crs") else rate.icans_grading
    confirmed = rate.crs_grading_confirmed if row.own.outcome.startswith("crs") else rate.icans_grading_confirmed
    scale = f"{grading} (not confirmed)" if grading and not confirmed else grading or "not stated"
    n = "not read" if isnan(rate.n) else f"{rate.n:.0f}"
    return [_percent(fraction), n, rate.trial + disease, scale, rate.verified, _overlap(row, too_few)]


def _overlap(row: Compared, too_few: bool) -> str:
    if too_few:
        return "too few"
    return {True: "yes", False: "no", None: "not known"}[row.overlap]


def outcome_name(key: str) -> str:
    """crs_2plus as CRS >= 2."""
    event, grade = key.split("_")
    return f"{_NAMES[event]} >= {grade.removesuffix('plus')}"


def _percent(one: Fraction, digits: str = ".3g") -> str:
    interval = "" if isnan(one.low) else f" ({100 * one.low:.0f}-{100 * one.high:.0f})"
    return f"{100 * one.rate:{digits}} %{interval}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
