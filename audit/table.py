"""Plain text tables, the same in a terminal and in a file."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def print_pairs(pairs: Mapping[str, Any]) -> None:
    """A name and its value per line."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        print(f"{name:<{width}}  {text(value)}")
    print()


def print_rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell; nothing where there is no row."""
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    print()


def print_json(what: Any) -> None:
    print(json.dumps(what, indent=1, sort_keys=True))


def text(value: Any) -> str:
    """A value on one line."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
