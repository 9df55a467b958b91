"""How many courses a regression with so many predictors needs, by Riley et al. 2020, BMJ 368:m441."""

from dataclasses import dataclass
from math import ceil, exp, log

import numpy as np

from features.outcomes import OUTCOME_KEYS
from training.diagnose_findings import Finding, finding
from training.diagnose_material import Material
from training.diagnose_policy import limits


@dataclass(frozen=True, slots=True)
class SampleSize:
    """Fewest courses for: expected shrinkage; small optimism in R2; a precise overall risk. needed: the largest."""

    shrinkage: int
    optimism: int
    intercept: int

    @property
    def needed(self) -> int:
        return max(self.shrinkage, self.optimism, self.intercept)


def sample_size(parameters: int, prevalence: float, cox_snell: float) -> SampleSize:
    """For a binary outcome. prevalence: share with the outcome, inside (0, 1). cox_snell: R2 expected of the model.

    ValueError where the R2 is not inside (0, largest possible R2) or not below the shrinkage.
    """
    policy, largest = limits(), largest_r2(prevalence)
    if not 0 < cox_snell < min(largest, policy["riley_shrinkage"]):
        raise ValueError("the expected R2 is not possible")
    optimism = cox_snell / (cox_snell + policy["riley_optimism"] * largest)
    margin = (1.96 / policy["riley_margin"]) ** 2 * prevalence * (1 - prevalence)
    return SampleSize(
        _by_shrinkage(parameters, cox_snell, policy["riley_shrinkage"]),
        _by_shrinkage(parameters, cox_snell, optimism),
        ceil(margin),
    )


def _by_shrinkage(parameters: int, cox_snell: float, shrinkage: float) -> int:
    return ceil(parameters / ((shrinkage - 1) * log(1 - cox_snell / shrinkage)))


def largest_r2(prevalence: float) -> float:
    """The largest possible Cox-Snell R2 at a prevalence inside (0, 1)."""
    return 1 - exp(2 * (prevalence * log(prevalence) + (1 - prevalence) * log(1 - prevalence)))


def check(held: Material) -> list[Finding]:
    """Each outcome against the columns that vary at the start, one parameter each."""
    parameters = sum(_varies(column) for column in held.start.T)
    findings = []
    for place, outcome in enumerate(OUTCOME_KEYS):
        known = held.label[np.isfinite(held.label[:, place]), place]
        events = int(known.sum())
        if not 0 < events < len(known) or not parameters:
            continue
        prevalence = events / len(known)
        expected = limits()["riley_nagelkerke"] * largest_r2(prevalence)
        needed = sample_size(parameters, prevalence, expected).needed
        if len(known) < needed:
            detail = f"{outcome}: {events} events in {len(known)} courses, {needed} needed for {parameters} predictors"
            findings.append(finding("too-few-events", "warn", "events", outcome, len(known), detail))
    return findings


def _varies(column: np.ndarray) -> bool:
    known = column[np.isfinite(column)]
    return len(known) > 0 and (len(known) < len(column) or bool(known.min() < known.max()))
