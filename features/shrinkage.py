"""The arithmetic of shrinkage: beta means, their variances, and what both are on the log-odds scale."""

import math

from features.evidence import HIGHEST, LOWEST, policy


def beta_mean(cells: list[tuple[float, float]], above: float | None, pulled: float) -> tuple[float, float]:
    """Mean of the beta posterior with prior mean `above` worth `pulled` patients, or one half worth one patient.

    Also returns the effective number of patients behind the cells.
    """
    patients = sum(weight for _, weight in cells)
    events = sum(rate * weight for rate, weight in cells)
    centre, strength = (0.5, 1.0) if above is None else (above, pulled)
    mean = (events + centre * strength) / (patients + strength)
    return min(max(mean, LOWEST), HIGHEST), patients


def beta_variance(mean: float, strength: float) -> float:
    """Variance of a beta distribution of that mean, worth that many patients."""
    return mean * (1.0 - mean) / (strength + 1.0)


def spread_of(rate: float, variance: float) -> float:
    """Standard deviation of the log-odds of a rate, to first order, with the spread between centres added."""
    return math.hypot(math.sqrt(variance) / (rate * (1.0 - rate)), policy()["between_centre_sd"])


def logit(rate: float) -> float:
    """Natural log of rate / (1 - rate)."""
    return math.log(rate) - math.log1p(-rate)


def moved(rate: float, shift: float) -> float:
    """The rate whose log-odds lie `shift` higher, held inside the bounds of a published rate."""
    return min(max(1.0 / (1.0 + math.exp(-logit(rate) - shift)), LOWEST), HIGHEST)
