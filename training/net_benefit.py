"""What acting on a prediction is worth, and what an alert costs.

Every function takes label (n,) in {0, 1}, log-odds (n,) and weight (n,) >= 0, where a weight counts how often a row was
drawn. NaN where nothing is drawn or nothing can be found.
"""

import numpy as np
from numpy.typing import NDArray

from features.predict import log_odds_of

Array = NDArray[np.float64]


def net_benefit(label: Array, score: Array, weight: Array, threshold: float) -> float:
    """Net benefit of acting where the probability is at or above `threshold`, which lies inside 0 to 1.

    (true positives - false positives x threshold / (1 - threshold)) / rows; acting on none gives 0.
    Source: Vickers and Elkin 2006, Med Decis Making 26:565.
    """
    if weight.sum() <= 0:
        return float("nan")
    alerted = weight * (score >= float(log_odds_of(np.array(threshold))))
    harm = threshold / (1 - threshold)
    return float((alerted @ label - harm * (alerted @ (1 - label))) / weight.sum())


def treat_all(label: Array, score: Array, weight: Array, threshold: float) -> float:
    """Net benefit of acting on every row, whatever the score."""
    return net_benefit(label, np.full_like(score, np.inf), weight, threshold)


def cut_at_sensitivity(label: Array, score: Array, weight: Array, sensitivity: float) -> float:
    """The highest log-odds at or above which at least `sensitivity` of the events lie."""
    hit = (label > 0) & (weight > 0)
    if not hit.any():
        return float("nan")
    order = np.argsort(-score[hit], kind="stable")
    found = np.cumsum(weight[hit][order])
    # A little less than asked, so that 0.9 of 10 events is 9 of them whatever the last bit of the product.
    place = int(np.searchsorted(found, sensitivity * found[-1] - 1e-9))
    return float(score[hit][order][place])


def ppv_at_sensitivity(label: Array, score: Array, weight: Array, sensitivity: float) -> float:
    """Share of alerted rows that have the outcome, where alerts find `sensitivity` of the events."""
    alerted = weight * (score >= cut_at_sensitivity(label, score, weight, sensitivity))
    return float(alerted @ label / alerted.sum()) if alerted.sum() > 0 else float("nan")


def alerts_at_sensitivity(label: Array, score: Array, weight: Array, sensitivity: float) -> float:
    """Alerts per 100 rows, that is per 100 questions asked, where they find `sensitivity` of the events."""
    cut = cut_at_sensitivity(label, score, weight, sensitivity)
    return float(100 * (weight @ (score >= cut)) / weight.sum()) if not np.isnan(cut) else float("nan")
