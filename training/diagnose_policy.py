"""The limits of the data checks, from the reviewed table data/tables/diagnose_policy.csv."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import data
from features.catalogue_tables import figures

TABLE = Path(data.__file__).parent / "tables" / "diagnose_policy.csv"


@cache
def limits() -> Mapping[str, float]:
    """Key -> value. CatalogueError if the table breaks its own rules."""
    return figures(TABLE)
