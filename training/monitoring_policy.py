"""What monitoring counts as few, as much and as an alarm, from the reviewed table data/tables/monitoring_policy.csv."""

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import data
from features.catalogue_tables import figures
from features.errors import CatalogueError

TABLE = Path(data.__file__).parent / "tables" / "monitoring_policy.csv"


@dataclass(frozen=True, slots=True)
class MonitoringPolicy:
    """Each field is a row of the table, whose note says what it means."""

    false_alarms_per_year: float
    false_watches_per_year: float
    design_odds_ratio: float
    power_odds_ratio: float
    least_power: float
    chart_draws: int
    window_days: int
    fewest_recent: int
    fewest_reference: int
    most_reference: int
    drift_alarm: float
    drift_watch: float
    permutations: int
    largest_unreported: float
    bootstrap: int


@cache
def monitoring_policy() -> MonitoringPolicy:
    """The shipped policy. CatalogueError if the table breaks its own rules."""
    held = figures(TABLE)
    wanted = {one.name: one.type for one in fields(MonitoringPolicy)}
    if set(held) != set(wanted):
        raise CatalogueError(TABLE.name, "its keys are not those of this release", "install the product again")
    return MonitoringPolicy(**{key: int(value) if wanted[key] is int else value for key, value in held.items()})  # type: ignore[arg-type]
