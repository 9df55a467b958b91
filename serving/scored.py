"""Published scores beside the model: all of them, computed or with what they lack. None is a probability of CRS."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from features import score_facts
from features.catalogue import Catalogue
from features.single import Observed
from serving.findings import NOTHING_KNOWN, Known
from serving.score_inputs import AtLimit, Seen
from serving.score_parts import about
from serving.score_shape import Score
from serving.scores_hlh import hlh_2004, hscore
from serving.scores_laboratory import albi, car_hematotox, ratio
from serving.scores_rules import early_rule, severe4

#: The root class of the therapies for which most scores were made.
CAR_T = "car-t"


def scores(
    catalogue: Catalogue,
    observations: Iterable[Observed],
    *,
    index_seconds: int | None = None,
    therapy: str = "",
    numbers: Mapping[str, float] | None = None,
    findings: Known = NOTHING_KNOWN,
    at_limit: AtLimit = frozenset(),
) -> tuple[Score, ...]:
    """All scores of a course at its index time, in a fixed order, whatever the order of the observations.

    observations: at or before the index time, canonical units. index_seconds: that of the latest observation if None.
    numbers: course columns (age_years, prophylactic_tocilizumab are read). findings, at_limit: as serving.intake has.
    """
    held = tuple(observations)
    index = max((one.seconds for one in held), default=0) if index_seconds is None else index_seconds
    seen = Seen(catalogue, score_facts.load(), held, index, at_limit)
    facts = numbers or {}
    other_therapy = _is_other(catalogue, therapy)
    prophylaxis = facts.get("prophylactic_tocilizumab") == 1
    return (
        ratio("easix", seen, other_therapy),
        ratio("s_easix", seen, other_therapy),
        ratio("m_easix", seen, other_therapy),
        car_hematotox(seen, other_therapy),
        hscore(seen, findings),
        hlh_2004(seen, findings, facts.get("age_years")),
        early_rule("gust", seen, prophylaxis, other_therapy),
        early_rule("hay", seen, prophylaxis, other_therapy),
        severe4(seen.facts, findings),
        albi(seen),
    )


@cache
def _is_other(catalogue: Catalogue, therapy: str) -> bool:
    """Whether the therapy is known to be no CAR-T cells, for which most of these scores were made."""
    above = catalogue.lineage(therapy) if therapy else ()
    return bool(above) and above[-1] != CAR_T


@cache
def score_list() -> dict[str, Any]:
    """For GET /model: every score with what it was made for, and those that are not computed, with why."""
    tables = score_facts.load()
    return {
        "computed": [
            {"name": key, "title": one.name, "source": one.source, "verified": one.verified, "about": about(key)}
            for key, one in tables.scores.items()
        ],
        "not_implemented": [
            {
                "score": one.score,
                "read": one.read,
                "missing": one.missing,
                "source": one.source,
                "verified": one.verified,
            }
            for one in tables.not_implemented
        ],
    }
