"""The two thresholds of a band, chosen on out-of-fold predictions."""

import numpy as np
from numpy.typing import NDArray

from features.policy import Thresholds
from training.config import Settings

Array = NDArray[np.float64]


def thresholds(label: Array, probability: Array, course: NDArray[np.int64], settings: Settings) -> Thresholds:
    """Thresholds of one outcome from its out-of-fold rows, all (n,), with at least one event.

    A row is a course at one index time: alerts per 100 are per 100 questions asked; courses that are alerted at least
    once are counted apart.

    intermediate_from: the highest cut that still finds `alert_sensitivity` of the events. high_from: the cut above
    which `alert_rate` of the rows lie. Where the second falls below the first, both are the first.
    """
    events = np.sort(probability[label == 1])
    # Rounded before it is cut off: (1 - 0.9) * 10 is a little less than 1.
    missed = int(np.floor(round((1 - settings.alert_sensitivity) * len(events), 6)))
    intermediate = float(events[missed])
    high = max(float(np.quantile(probability, 1 - settings.alert_rate)), intermediate)
    at_least, alerted = probability >= intermediate, probability >= high
    return Thresholds(
        intermediate_from=intermediate,
        high_from=high,
        sensitivity=_share(at_least[label == 1]),
        alerts_per_100=100 * _share(alerted),
        ppv=_share(label[alerted] == 1),
        npv=_share(label[~at_least] == 0),
        courses_alerted_per_100=100 * len(np.unique(course[alerted])) / len(np.unique(course)),
        aimed_sensitivity=settings.alert_sensitivity,
        aimed_alert_rate=settings.alert_rate,
    )


def _share(flags: NDArray[np.bool_]) -> float:
    """Share of true flags; 0 of none."""
    return float(flags.mean()) if len(flags) else 0.0
