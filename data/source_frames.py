"""What a source (OMOP, FHIR) hands to the canonical cohort: people, spans of observation, and charted entries."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.fhir_types import Tally

#: Column -> type of each frame. Times are microseconds since 1970 in UTC; NEVER where not stated.
PEOPLE = {"person": "str", "sex": "str", "birth": "str", "death": "int64", "death_by_day": "bool"}
PERIODS = {"person": "str", "first": "int64", "last": "int64"}
ENTRIES = {
    "person": "str",
    "at": "int64",
    "by_day": "bool",
    "kind": "str",
    "key": "str",
    "value": "float64",
    "unit": "str",
    "comparator": "str",
    "upper_limit": "float64",
    "text": "str",
    "grading": "str",
}
NEVER = int(np.iinfo(np.int64).min)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """people: one row per person. periods: when a person was under observation. entries: all that was understood.

    last_seen: person -> the last time anything at all was charted. tally: every row read, by what became of it.
    """

    people: pd.DataFrame
    periods: pd.DataFrame
    entries: pd.DataFrame
    last_seen: Mapping[str, int]
    tally: Tally


def frame(rows: Iterable[tuple[object, ...]] | pd.DataFrame, types: Mapping[str, str]) -> pd.DataFrame:
    """The rows as a frame of those columns and types."""
    held = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows), columns=list(types))
    return held[list(types)].astype(dict(types)).reset_index(drop=True)


def order_entries(entries: pd.DataFrame) -> pd.DataFrame:
    """In one order, whatever order they were read in."""
    return entries.sort_values(list(ENTRIES), kind="stable").reset_index(drop=True)
