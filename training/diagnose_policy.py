"""The limits of the data checks, from the reviewed table data/tables/diagnose_policy.csv."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import data
from features.catalogue_tables import read

TABLE = Path(data.__file__).parent / "tables" / "diagnose_policy.csv"


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit with its source."""

    key: str
    value: float
    source: str
    verified: str
    note: str


@cache
def limits() -> Mapping[str, float]:
    """Key -> value. CatalogueError if the table breaks its own rules."""
    return {row.key: row.value for row in read(TABLE, Limit)}
