"""Where `crs tune` may look: the bounds of six settings, from the reviewed table data/tables/tuning_space.csv."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import data
from features.catalogue_tables import read
from features.errors import CatalogueError
from training.config import RANGES, Settings

TABLE = Path(data.__file__).parent / "tables" / "tuning_space.csv"
LINEAR, LOG = "linear", "log"
#: Settings are rounded to so many digits: more say nothing, and a person has to read the file.
DIGITS = 3


@dataclass(frozen=True, slots=True)
class Line:
    """One setting's bounds with their source."""

    setting: str
    low: float
    high: float
    scale: str
    source: str
    verified: str
    note: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one setting may be, both ends inclusive; on which scale it is drawn. ValueError where they are none."""

    low: float
    high: float
    scale: str = LINEAR

    def __post_init__(self) -> None:
        if self.scale not in (LINEAR, LOG):
            raise ValueError(f"the scale is not {LINEAR} or {LOG}")
        if not self.low <= self.high or (self.scale == LOG and self.low <= 0):
            raise ValueError("low is above high, or not above 0 on a log scale")

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def rounded(self, value: float) -> float:
        """The value with few digits, still inside the bounds."""
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)


@dataclass(frozen=True, slots=True)
class Space:
    """The settings that are searched, and between which bounds; all others stay as they were given.

    ValueError where bounds leave what training.config allows, or a whole number is bounded by a fraction.
    """

    max_depth: Bounds
    learning_rate: Bounds
    rounds: Bounds
    min_child_weight: Bounds
    l2_penalty: Bounds
    columns_per_tree: Bounds

    def __post_init__(self) -> None:
        for name, bounds in self:
            low, high = RANGES[name]
            if bounds.low < low or bounds.high > high:
                raise ValueError(f"{name} is allowed from {low:g} to {high:g}")
            if is_whole(name) and not (float(bounds.low).is_integer() and float(bounds.high).is_integer()):
                raise ValueError(f"{name} is a whole number")

    def __iter__(self) -> Iterator[tuple[str, Bounds]]:
        return ((field.name, getattr(self, field.name)) for field in fields(self))

    def place(self, settings: Settings) -> dict[str, Any]:
        """Where settings stand in the space; {} where one of them lies outside its bounds."""
        held = {name: getattr(settings, name) for name, _ in self}
        return held if all(held[name] in bounds for name, bounds in self) else {}

    def to_json(self) -> dict[str, list[Any]]:
        return {name: [bounds.low, bounds.high, bounds.scale] for name, bounds in self}


def is_whole(name: str) -> bool:
    """Whether a setting is a whole number."""
    return isinstance(getattr(Settings(), name), int)


@cache
def shipped() -> Space:
    """The space of the reviewed table. CatalogueError if the table breaks its own rules."""
    lines = read(TABLE, Line)
    held = {line.setting: line for line in lines}
    wanted = [field.name for field in fields(Space)]
    if sorted(held) != sorted(wanted) or len(lines) != len(wanted):
        raise CatalogueError(TABLE.name, "not the settings that are searched", f"one line each: {', '.join(wanted)}")
    return of(held)


def of(lines: Mapping[str, Line]) -> Space:
    """The space of a table's lines by setting. CatalogueError for bounds that are none or not allowed."""
    try:
        return Space(**{name: Bounds(line.low, line.high, line.scale) for name, line in lines.items()})
    except ValueError as error:
        raise CatalogueError(TABLE.name, str(error), "mend the bounds") from error
