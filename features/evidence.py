"""What is published of a therapy, pooled: the types that a bundle stores and the prior reads."""

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

POLICY_TABLE = Path(__file__).parent / "tables" / "prior_policy.csv"
#: Rates held per therapy and indication, in this order.
RATES = ("crs_1plus", "crs_2plus", "crs_3plus", "icans_1plus", "icans_2plus", "icans_3plus")
#: Course columns that say that something was given to prevent CRS; of several the first with a published cohort counts.
MITIGATIONS = ("prophylactic_tocilizumab", "prophylactic_corticosteroid")
#: Doses whose share of first events is held apart; later doses share the last place.
STEPS = 4
#: No published rate is taken as certain: a rate is held inside these bounds (exclusive of 0 and 1).
LOWEST, HIGHEST = 0.002, 0.99

ByIndication = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class TherapyEvidence:
    """What is published of one therapy or class.

    rates, patients, spread: indication key ("" for all) -> one figure per RATES: fraction; effective number of
    patients; standard deviation of the rate's log-odds. mitigated: one of MITIGATIONS -> indication -> rates under it,
    where a cohort was published. between: per RATES, standard deviation of the log-odds between a class's products, 0
    for a product. crs_onset_hours, icans_onset_hours: medians after the infusion or dose. step_share: share of first
    events by dose. dose_hours: hours of those doses after the first.
    """

    key: str
    step_up: bool
    rates: ByIndication
    patients: ByIndication
    spread: ByIndication
    between: tuple[float, ...]
    crs_onset_hours: float
    icans_onset_hours: float
    onset_shape: float
    hours_to_next_grade: float
    step_share: tuple[float, ...]
    dose_hours: tuple[float, ...]
    mitigated: Mapping[str, ByIndication] = field(default_factory=dict)

    def rates_for(self, indication: str) -> tuple[float, ...]:
        """Rates of that indication, or of the therapy over all indications when none is published for it."""
        return self.rates.get(indication, self.rates[""])

    @classmethod
    def from_json(cls, body: Mapping[str, object]) -> "TherapyEvidence":
        """The evidence as `dataclasses.asdict` wrote it; TypeError or KeyError where a part is missing."""
        return cls(**{name: _frozen(value) for name, value in body.items()})  # type: ignore[arg-type]


def _frozen(value: object) -> object:
    """Lists as tuples, all the way down."""
    if isinstance(value, Mapping):
        return {name: _frozen(one) for name, one in value.items()}
    return tuple(value) if isinstance(value, list) else value


@functools.cache
def policy() -> Mapping[str, float]:
    """The reviewed numbers that govern pooling."""
    with POLICY_TABLE.open(encoding="utf-8", newline="") as table:
        return {row["key"]: float(row["value"]) for row in csv.DictReader(table)}
