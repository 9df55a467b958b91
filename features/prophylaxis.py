"""What a published cohort under prophylaxis says: an odds ratio against the usual rate, never a rate of the product."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from features.catalogue import Catalogue, Rate
from features.evidence import MITIGATIONS, TherapyEvidence, policy
from features.shrinkage import beta_mean, logit, moved


def under_prophylaxis(
    catalogue: Catalogue, one: TherapyEvidence, found: Mapping[str, TherapyEvidence]
) -> TherapyEvidence:
    """The evidence with its rates under each prophylaxis that a published cohort of it, or of its class, had."""
    mitigated = {}
    above = catalogue.ancestry(one.key)
    for name in MITIGATIONS:
        rows = [row for row in catalogue.rates if _is_under(row, name) and row.therapy in above]
        rates = {
            indication: _shifted(one.rates_for(indication), here, found)
            for indication in ("", *catalogue.indications)
            if (here := [row for row in rows if row.indication in ("", *catalogue.indication_lineage(indication))])
        }
        if rates:
            mitigated[name] = rates
    return replace(one, mitigated=mitigated)


def _is_under(row: Rate, mitigation: str) -> bool:
    stated = row.mitigation.replace("-", "_") == mitigation
    return stated and not (row.superseded or math.isnan(row.n) or math.isnan(row.crs_1plus))


def _shifted(rates: Sequence[float], rows: Sequence[Rate], found: Mapping[str, TherapyEvidence]) -> tuple[float, ...]:
    """RATES at the odds ratio of CRS that the rows under prophylaxis have against the usual rate of their therapies.

    Such cohorts state CRS of any grade only: the odds ratio is taken to be the same for every grade. ICANS stays: it
    was unchanged in the cohort that was read (Blood Advances 2025, doi:10.1182/bloodadvances.2025016911).
    """
    shift = _log_odds_ratio(rows, found)
    return (*(moved(rate, shift) for rate in rates[:3]), *rates[3:])


def _log_odds_ratio(rows: Sequence[Rate], found: Mapping[str, TherapyEvidence]) -> float:
    """Of any CRS under prophylaxis, drawn to none by the pseudo-patients; of several cohorts, weighed by size."""
    shifts = []
    for row in rows:
        usual = found[row.therapy].rates_for(row.indication)[0]
        under, _ = beta_mean([(row.crs_1plus, row.n)], usual, policy()["shrinkage_patients"])
        shifts.append(logit(under) - logit(usual))
    return float(np.average(shifts, weights=[row.n for row in rows]))
