"""In-vitro evidence of a therapy, shown beside the published rate: a hazard, never a risk."""

from math import isnan

from msgspec import UNSET

from features.assay_prior import HAZARD_NOT_RISK, Hazard, hazard_of
from features.catalogue import Catalogue
from serving.answer import HazardShown, rounded


def hazards(catalogue: Catalogue, therapy: str) -> tuple[HazardShown, ...]:
    """What the reviewed assays of a therapy showed, one entry per format; () where there is none."""
    return tuple(_shown(one) for one in hazard_of(catalogue, therapy)) if catalogue.assays else ()


def _shown(one: Hazard) -> HazardShown:
    return HazardShown(
        format=one.format_name,
        hazard_class=one.hazard_class,
        donors=one.donors,
        key_events=one.key_events,
        limits=one.limits,
        reviewed_by=one.reviewed_by,
        reviewed_on=one.reviewed_on,
        is_not=HAZARD_NOT_RISK,
        position=UNSET if isnan(one.position) else rounded(one.position),
        reference_positive=one.reference_positive or UNSET,
        responders=UNSET if isnan(one.responder_low) else (rounded(one.responder_low), rounded(one.responder_high)),
    )
