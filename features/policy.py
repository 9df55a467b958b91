"""Bands and intended use, as the bundle states them. A probability without thresholds has no band, never "low"."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

#: In rising order.
BANDS = ("low", "intermediate", "high")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Two cut-offs of one outcome's probability and how they did on out-of-fold predictions.

    A probability below `intermediate_from` is low, at or above `high_from` high. sensitivity: share of events at or
    above `intermediate_from`. alerts_per_100, ppv: of `high_from`, per question asked. courses_alerted_per_100: courses
    with at least one such alert. npv: of `intermediate_from`. aimed_*: for what the thresholds were chosen.
    """

    intermediate_from: float
    high_from: float
    sensitivity: float
    alerts_per_100: float
    ppv: float
    npv: float
    courses_alerted_per_100: float
    aimed_sensitivity: float
    aimed_alert_rate: float

    def to_json(self) -> dict[str, float]:
        return asdict(self)

    def band(self, probability: float) -> str:
        """low, intermediate or high; not-evaluated for NaN."""
        if math.isnan(probability):
            return "not-evaluated"
        if probability >= self.high_from:
            return "high"
        return "intermediate" if probability >= self.intermediate_from else "low"


@dataclass(frozen=True, slots=True)
class Policy:
    """How a bundle may be used.

    thresholds: per outcome trained on data. intended_use: one sentence. therapies, indications: keys seen in
    training.
    """

    intended_use: str
    thresholds: Mapping[str, Thresholds]
    therapies: tuple[str, ...]
    indications: tuple[str, ...]
    age_low: float
    age_high: float

    def band(self, outcome: str, probability: float) -> str:
        """The band of a probability; "unbanded" where the bundle states no thresholds for the outcome."""
        held = self.thresholds.get(outcome)
        return held.band(probability) if held else "unbanded"

    def bands(self, outcome: str, lowest: float, highest: float) -> tuple[str, ...]:
        """The bands from that of the lowest to that of the highest probability, in rising order."""
        ends = self.band(outcome, lowest), self.band(outcome, highest)
        if ends[0] == ends[1]:
            return ends[:1]
        return BANDS[BANDS.index(ends[0]) : BANDS.index(ends[1]) + 1]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Policy":
        thresholds = {key: Thresholds(**one) for key, one in body["thresholds"].items()}
        return cls(
            **{**body, "thresholds": thresholds, **{name: tuple(body[name]) for name in ("therapies", "indications")}}
        )
