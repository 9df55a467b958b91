"""Which published rate stands beside a risk: the largest checked cohort nearest to this therapy and indication."""

import math

from msgspec import UNSET, Struct, UnsetType

from features.catalogue import Catalogue, Rate

_TRUST = {"no": 0, "partly": 1, "yes": 2}


class Published(Struct, frozen=True):
    """One published cohort's rate of an outcome over the whole course. rate: fraction; n: patients treated."""

    rate: float
    trial: str
    therapy: str
    population: str
    grading: str
    source: str
    verified: str
    n: int | UnsetType = UNSET
    indication: str | UnsetType = UNSET


def nearest(catalogue: Catalogue, therapy: str, indication: str, outcome: str) -> Published | None:
    """The rate of `outcome` for the therapy, else for its class; None where nothing is published."""
    if not therapy:
        return None
    wider = catalogue.indication_lineage(indication)
    for key in dict.fromkeys((therapy, *catalogue.lineage(therapy))):
        rates = [rate for rate in catalogue.rates if rate.therapy == key and _usable(rate, outcome)]
        if rates:
            return _stated(max(rates, key=lambda rate: _weight(rate, wider)), outcome)
    return None


def _usable(rate: Rate, outcome: str) -> bool:
    return not (rate.superseded or rate.mitigation or math.isnan(getattr(rate, outcome)))


def _weight(rate: Rate, wider: tuple[str, ...]) -> tuple[int, int, float]:
    """The nearest indication first, then how far the source was checked, then size."""
    distance = wider.index(rate.indication) if rate.indication in wider else len(wider)
    return -distance, _TRUST[rate.verified], 0.0 if math.isnan(rate.n) else rate.n


def _stated(rate: Rate, outcome: str) -> Published:
    grading = rate.crs_grading if outcome.startswith("crs") else rate.icans_grading
    return Published(
        rate=float(getattr(rate, outcome)),
        trial=rate.trial,
        therapy=rate.therapy,
        population=rate.population,
        grading=grading or "not stated",
        source=rate.source,
        verified=rate.verified,
        n=UNSET if math.isnan(rate.n) else int(rate.n),
        indication=rate.indication or UNSET,
    )
