"""What an evaluation reports and what it holds back, from the reviewed table data/tables/evaluation_policy.csv."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import data
from features.catalogue_tables import figures

TABLE = Path(data.__file__).parent / "tables" / "evaluation_policy.csv"


@dataclass(frozen=True, slots=True)
class EvaluationPolicy:
    """smallest_count: the least number of patients that is exported. age_bands: years from which a band begins, rising.

    thresholds: probabilities at which net benefit is given, rising. sensitivities: shares of events that an alert is
    to find. bins: most groups of a calibration curve. effect_rows: most rows per layer for mean effects.
    """

    smallest_count: int
    age_bands: tuple[float, ...]
    thresholds: tuple[float, ...]
    sensitivities: tuple[float, ...]
    bins: int
    effect_rows: int


@cache
def evaluation_policy() -> EvaluationPolicy:
    """The shipped policy. CatalogueError if the table breaks its own rules."""
    held = figures(TABLE)
    return EvaluationPolicy(
        int(held["smallest_count"]),
        _series(held, "age_band_from_"),
        _series(held, "decision_threshold_"),
        _series(held, "alert_sensitivity_"),
        int(held["calibration_bins"]),
        int(held["effect_rows"]),
    )


def _series(held: dict[str, float], prefix: str) -> tuple[float, ...]:
    """The values whose keys begin so, rising."""
    return tuple(sorted(value for key, value in held.items() if key.startswith(prefix)))
