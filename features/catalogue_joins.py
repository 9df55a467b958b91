"""Joins the tables to one another and refuses keys, codes and names that do not fit together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeVar

from features.catalogue_types import Analyte, AnalyteUnit, Code, Codes, Conversion
from features.errors import CatalogueError

Row = TypeVar("Row")


def fold_name(text: str) -> str:
    """The spelling of a name that is compared: no case, spaces, hyphens or underscores."""
    return "".join(text.casefold().replace("-", " ").replace("_", " ").split())


def keyed(table: str, rows: Iterable[Row]) -> dict[str, Row]:
    """Rows by their key, in table order; CatalogueError on an empty or repeated key."""
    found: dict[str, Row] = {}
    for row in rows:
        key: str = row.key  # type: ignore[attr-defined]
        if not key or key in found:
            raise CatalogueError(table, f"the key {key!r} is empty or repeated")
        found[key] = row
    return found


def check_unique(table: str, parts: Iterable[tuple[object, ...]]) -> None:
    """CatalogueError if one combination stands twice."""
    seen: set[tuple[object, ...]] = set()
    for part in parts:
        if part in seen:
            raise CatalogueError(table, f"{', '.join(str(word) for word in part)} stands twice")
        seen.add(part)


def check_known(table: str, column: str, values: Iterable[str], known: Iterable[str]) -> None:
    """CatalogueError if a value names no row of the table it points to."""
    strangers = sorted(set(values) - set(known))
    if strangers:
        raise CatalogueError(table, f"{column} names unknown {', '.join(map(repr, strangers))}")


def check_tree(table: str, parents: Mapping[str, str]) -> None:
    """CatalogueError if a parent is unknown or if following parents never ends."""
    check_known(table, "parent", parents.values(), {*parents, ""})
    for key in parents:
        steps, at = 0, key
        while at:
            steps, at = steps + 1, parents[at]
            if steps > len(parents):
                raise CatalogueError(table, f"the parents of {key!r} lead in a circle")


def ancestors(parents: Mapping[str, str], key: str) -> tuple[str, ...]:
    """The key, its parent, and so on up to the root."""
    found: list[str] = []
    while key:
        found.append(key)
        key = parents[key]
    return tuple(found)


def with_units(analytes: Mapping[str, Analyte], units: Sequence[AnalyteUnit]) -> dict[str, Analyte]:
    """The analytes with their accepted units; each must accept its canonical unit unchanged."""
    check_known("analyte_units.csv", "analyte", (row.analyte for row in units), analytes)
    check_unique("analyte_units.csv", ((row.analyte, row.unit) for row in units))
    accepted: dict[str, dict[str, Conversion]] = {key: {} for key in analytes}
    for row in units:
        accepted[row.analyte][row.unit] = Conversion(row.factor, row.offset)
    for key, analyte in analytes.items():
        if accepted[key].get(analyte.unit) != Conversion(1.0, 0.0):
            raise CatalogueError("analyte_units.csv", f"{key} does not accept its canonical unit unchanged")
    return {key: replace(analyte, units=MappingProxyType(accepted[key])) for key, analyte in analytes.items()}


def code_map(table: str, codes: Sequence[Code], known: Iterable[str]) -> dict[tuple[str, str], str]:
    """(system, code) -> key, "" for a refused code; CatalogueError on an unknown key or a code given twice."""
    check_known(table, "key", (row.key for row in codes), {*known, ""})
    check_unique(table, ((row.system, row.code) for row in codes))
    return {(row.system, row.code): row.key for row in codes}


def with_codes(rows: Mapping[str, Row], mapping: Mapping[tuple[str, str], str]) -> dict[str, Row]:
    """The rows with the (system, code) pairs that stand for them."""
    own: dict[str, list[tuple[str, str]]] = {key: [] for key in rows}
    for pair, key in mapping.items():
        if key in own:
            own[key].append(pair)
    return {key: _replace_codes(row, tuple(own[key])) for key, row in rows.items()}


def _replace_codes(row: Any, codes: Codes) -> Any:
    return replace(row, codes=codes)


def name_map(table: str, named: Iterable[tuple[str, Iterable[str]]]) -> dict[str, str]:
    """Folded name -> key over (key, names) pairs; CatalogueError if two rows answer to one name."""
    found: dict[str, str] = {}
    for key, names in named:
        for name in filter(None, map(fold_name, (key, *names))):
            if found.setdefault(name, key) != key:
                raise CatalogueError(table, f"the name {name!r} stands for two keys, {found[name]} and {key}")
    return found
