"""How far a centre's own rate of an outcome may lie from the published one, before its data are seen."""

import math
from collections.abc import Iterable, Mapping

from features.evidence import RATES, TherapyEvidence, policy
from features.outcomes import OUTCOMES


def spreads(keys: Iterable[str], evidence: Mapping[str, TherapyEvidence], outcome: int) -> dict[str, float]:
    """Therapy or class key -> standard deviation, on the log-odds scale, of a centre's level around the published one.

    A product differs between centres by the policy's `between_centre_sd`. A class stands for any of its products, so
    that its own spread between products is added.
    """
    place, centre = RATES.index(OUTCOMES[outcome].key), policy()["between_centre_sd"]
    return {key: math.hypot(centre, evidence[key].between[place]) for key in keys if key in evidence}
