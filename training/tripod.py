"""The items of TRIPOD+AI and the 31 source attributes of decision support, filled from what a run knows.

Nothing is guessed: an item whose facts a run does not hold is "unknown", and the unknown ones are counted. What the
items are and how each is filled stands in the reviewed table data/tables/reporting_items.csv.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

import data
from features.catalogue_tables import read

TABLE = Path(data.__file__).parent / "tables" / "reporting_items.csv"
UNKNOWN = "unknown"
#: The two lists, as a reader knows them.
LISTS = {"tripod": "TRIPOD+AI", "source-attribute": "Source attributes of decision support"}


@dataclass(frozen=True, slots=True)
class Item:
    """One item: which list it is `of`, and the text that fills it, facts by name in braces; "" if none can."""

    item: str
    of: str
    what: str
    filled: str
    source: str
    verified: str

    def __post_init__(self) -> None:
        if self.of not in LISTS:
            raise ValueError(f"of is not one of {', '.join(LISTS)}")

    def text(self, facts: Mapping[str, str]) -> str:
        """The item filled; `UNKNOWN` where a fact that it needs is missing or empty."""
        needed = [name for _, name, _, _ in Formatter().parse(self.filled) if name]
        if not self.filled or not all(facts.get(name) for name in needed):
            return UNKNOWN
        return self.filled.format_map(facts)


@cache
def items() -> tuple[Item, ...]:
    """The shipped items. CatalogueError if the table breaks its own rules."""
    return read(TABLE, Item)


def reporting(facts: Mapping[str, str]) -> dict[str, Any]:
    """Each list with its items, how many there are, and how many stay unknown."""
    return {key: {"title": title, **_one_list(key, facts)} for key, title in LISTS.items()}


def _one_list(of: str, facts: Mapping[str, str]) -> dict[str, Any]:
    found = [{**asdict(one), "filled": one.text(facts)} for one in items() if one.of == of]
    unknown = sum(one["filled"] == UNKNOWN for one in found)
    return {"count": len(found), "unknown": unknown, "items": [_public(one) for one in found]}


def _public(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item[key] for key in ("item", "what", "filled", "source", "verified")}
