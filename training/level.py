"""How far a centre's own rate of an outcome may lie from the published one, before its data are seen."""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from features.catalogue import Catalogue
from features.outcomes import OUTCOMES
from features.prior import RATES, TherapyEvidence, log_odds


def spreads(
    keys: Iterable[str], evidence: Mapping[str, TherapyEvidence], catalogue: Catalogue, outcome: int, centre_sd: float
) -> dict[str, float]:
    """Therapy or class key -> standard deviation, on the log-odds scale, of a centre's level around the published one.

    A product differs between centres by `centre_sd`. A class stands for any of its products, so that its own spread
    between products is added.
    """
    place = RATES.index(OUTCOMES[outcome].key)
    return {key: math.hypot(centre_sd, _between(key, evidence, catalogue, place)) for key in keys if key in evidence}


def _between(key: str, evidence: Mapping[str, TherapyEvidence], catalogue: Catalogue, place: int) -> float:
    """Standard deviation of the published log-odds of a class's products; 0 for a product."""
    products = [name for name in catalogue.therapies if name != key and key in catalogue.lineage(name)]
    held = [evidence[name] for name in products if name in evidence and evidence[name].patients[""][place] > 0]
    if len(held) < 2:
        return 0.0
    return float(np.std(log_odds(np.array([one.rates[""][place] for one in held]))))
