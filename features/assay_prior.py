"""What an assay adds to the published rates of a therapy: pseudo-patients that fade as patients are treated.

It invents nothing. A number comes only where the clinical rates of both references of the assay are in the catalogue;
otherwise the assay states a hazard and leaves the rate alone.
"""

from dataclasses import dataclass
from math import exp, isnan, log, nan

from features.assay_evidence import HAZARD_CLASSES, AssayEvidence
from features.assay_facts import AssayFacts, ReferenceAgent
from features.catalogue import Catalogue

#: Classes in which something rose above the negative control.
RISING = HAZARD_CLASSES[1:]
HAZARD_NOT_RISK = (
    "Hazard, not risk: an assay shows whether an agent can release cytokines from donors' cells in that format, "
    "not how often or how badly patients will react."
)


@dataclass(frozen=True, slots=True)
class AssayCohort:
    """A pseudo-cohort: rates as fractions, NaN where unknown, and the patients it is worth (above 0)."""

    crs_1plus: float
    crs_3plus: float
    patients: float


@dataclass(frozen=True, slots=True)
class Hazard:
    """What an assay showed of a therapy in one format; an unknown figure is NaN. responder_*: the exact interval."""

    format: str
    format_name: str
    hazard_class: str
    reference_positive: str
    position: float
    responder_low: float
    responder_high: float
    donors: int
    key_events: tuple[str, ...]
    limits: tuple[str, ...]
    reviewed_by: str
    reviewed_on: str


def hazard_of(catalogue: Catalogue, therapy: str) -> tuple[Hazard, ...]:
    """The hazard of a therapy (key) per reviewed assay, in table order; () if there is none. Formats are not pooled."""
    return tuple(_hazard(catalogue.assay_facts, row) for row in catalogue.assays if row.therapy == therapy)


def _hazard(facts: AssayFacts, row: AssayEvidence) -> Hazard:
    return Hazard(
        format=row.format,
        format_name=facts.formats[row.format].name,
        hazard_class=row.hazard_class,
        reference_positive=row.reference_positive,
        position=row.position,
        responder_low=row.responder_low,
        responder_high=row.responder_high,
        donors=row.donors,
        key_events=row.key_events,
        limits=row.limits,
        reviewed_by=row.reviewed_by,
        reviewed_on=row.reviewed_on,
    )


def assay_cohort(catalogue: Catalogue, key: str, clinical_patients: float) -> AssayCohort | None:
    """What the assays of a therapy (key) add to its pooled rate beside `clinical_patients` of its own (0 or more).

    None where no assay that saw a rise stands between references whose clinical rates are both known, or where the
    clinical numbers have taken over. A negative assay lowers nothing, because its format may be blind to the mechanism;
    of several assays the one with the highest rate counts. ValueError on a number of patients below 0 or NaN.
    """
    if not clinical_patients >= 0:
        raise ValueError("clinical_patients must be 0 or more")
    rows = [row for row in catalogue.assays if row.therapy == key and row.hazard_class in RISING]
    cohorts = [_cohort(catalogue.assay_facts, row, clinical_patients) for row in rows]
    usable = [one for one in cohorts if one.patients > 0 and not (isnan(one.crs_1plus) and isnan(one.crs_3plus))]
    return max(usable, key=_order, default=None)


def _order(cohort: AssayCohort) -> tuple[float, float]:
    return _or_below(cohort.crs_1plus), _or_below(cohort.crs_3plus)


def _or_below(rate: float) -> float:
    return -1.0 if isnan(rate) else rate


def _cohort(facts: AssayFacts, row: AssayEvidence, clinical_patients: float) -> AssayCohort:
    """Rates that the position of one assay stands for, NaN where unknown, and the pseudo-patients left of it."""
    low = facts.reference(row.reference_negative, row.format)
    high = facts.reference(row.reference_positive, row.format)
    if low is None or high is None or isnan(row.position):
        return AssayCohort(nan, nan, 0.0)
    position = min(max(row.position, 0.0), 1.0)
    first, third = (_between(low, high, column, position) for column in ("crs_1plus", "crs_3plus"))
    faded = max(1.0 - clinical_patients / facts.numbers["fade_patients"], 0.0)
    trust = facts.numbers["weight_unverified"] if "no" in (low.verified, high.verified) else 1.0
    return AssayCohort(
        first, third if isnan(first) else min(third, first), facts.numbers["prior_patients"] * faded * trust
    )


def _between(low: ReferenceAgent, high: ReferenceAgent, column: str, position: float) -> float:
    """The fraction at that position, 0 to 1, between the references' rates on the log-odds scale."""
    at_low, at_high = (_log_odds(getattr(one, column), one.n) for one in (low, high))
    return 1.0 / (1.0 + exp(-(at_low + position * (at_high - at_low))))


def _log_odds(rate: float, patients: float) -> float:
    """Log-odds of a published fraction with half an event and half a non-event added, so that 0 and 1 stay finite."""
    return log((rate * patients + 0.5) / ((1.0 - rate) * patients + 0.5))
