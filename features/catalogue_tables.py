"""Reads one reviewed table into frozen rows, and refuses one that breaks its own rules.

The dataclass is the table's contract: its fields, in order, are the columns; a field's type says how a cell is read.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, fields
from enum import StrEnum
from math import isfinite, nan
from pathlib import Path
from typing import Any, TypeVar

from features.catalogue_types import VERIFIED
from features.errors import CatalogueError

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a policy table, with its source."""

    key: str
    value: float
    source: str
    verified: str
    note: str


def figures(path: Path) -> dict[str, float]:
    """Key -> value of a table whose rows are `Figure`s. CatalogueError as `read`."""
    return {row.key: row.value for row in read(path, Figure)}


def read(path: Path, kind: type[Row]) -> tuple[Row, ...]:
    """The rows of one table as `kind`, in order. CatalogueError names the file and line of the first bad row."""
    columns = [item for item in fields(kind) if not item.metadata.get("joined")]  # type: ignore[arg-type]
    lines = _lines(path)
    header = next(lines, [])
    if header != [item.name for item in columns]:
        raise CatalogueError(path.name, "the columns are not the ones of this table", _column_remedy(header, columns))
    parsers = [_parser(item.type) for item in columns]
    return tuple(_row(kind, columns, parsers, cells, f"{path.name} line {line}") for line, cells in enumerate(lines, 2))


def _lines(path: Path) -> Iterator[list[str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueError(path.name, "the table cannot be read", "install the product again") from error
    return csv.reader(text.splitlines(), strict=True)


def _column_remedy(header: list[str], columns: list[Field[Any]]) -> str:
    names = [item.name for item in columns]
    unknown = [name for name in header if name not in names]
    missing = [name for name in names if name not in header]
    parts = {"unknown": unknown, "missing": missing, "expected order": names}
    return "; ".join(f"{what}: {', '.join(which) or 'none'}" for what, which in parts.items())


def _row(
    kind: type[Row], columns: list[Field[Any]], parsers: list[Callable[[str], Any]], cells: list[str], place: str
) -> Row:
    if len(cells) != len(columns):
        raise CatalogueError(place, f"{len(cells)} cells where {len(columns)} are expected")
    values = {
        item.name: _cell(parse, cell, f"{place}, {item.name}")
        for item, parse, cell in zip(columns, parsers, cells, strict=True)
    }
    _check_provenance(values, place)
    try:
        return kind(**values)
    except ValueError as error:
        raise CatalogueError(place, str(error)) from error


def _cell(parse: Callable[[str], Any], cell: str, place: str) -> Any:
    try:
        return parse(cell)
    except (ValueError, KeyError) as error:
        raise CatalogueError(place, "the cell cannot be read as this column's type") from error


def _check_provenance(values: dict[str, Any], place: str) -> None:
    if not values["source"]:
        raise CatalogueError(place, "the source is empty", "every row of a reviewed table states where it comes from")
    if values["verified"] not in VERIFIED:
        raise CatalogueError(place, "verified is not one of " + ", ".join(VERIFIED))


def _parser(kind: Any) -> Callable[[str], Any]:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind
    return _PARSERS[kind]


def _text(cell: str) -> str:
    if cell != cell.strip():
        raise ValueError("space at an end")
    return cell


def _number(cell: str) -> float:
    number = float(cell) if cell else nan
    if cell and not isfinite(number):
        raise ValueError("not a finite number")
    return number


def _words(cell: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in cell.split(";")) if cell else ()


_PARSERS: dict[Any, Callable[[str], Any]] = {
    str: _text,
    float: _number,
    int: int,
    bool: {"yes": True, "no": False}.__getitem__,
    tuple[str, ...]: _words,
}
