"""`crs outcomes import`: a table of outcomes into the ledger by the rules of POST /outcomes, with a report by rule."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd
from rich.progress import Progress

from audit.access import system_user
from audit.ledger import Ledger, open_ledger
from audit.outcome import BY, FIELDS, REMEDIES, OutcomeError, Report, record
from data.files import read_table
from features.errors import DataError
from features.home import Home
from training.flows import console

_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_TEXTS = frozenset({"prediction_id", "known_at", "crs_grading", "icans_grading"})
_YES_NO = frozenset({"complete", "tocilizumab", "corticosteroid"})


@dataclass(frozen=True, slots=True)
class Imported:
    """taken: status -> rows. refused: (rule, column) -> rows."""

    taken: Mapping[str, int]
    refused: Mapping[tuple[str, str], int]

    def lines(self) -> Iterator[str]:
        """One per status, then one per rule with what to do; counts, never a value."""
        for status, rows in sorted(self.taken.items()):
            yield f"{status}: {rows} rows"
        for (rule, column), rows in sorted(self.refused.items()):
            yield f"refused: {rows} rows, {rule} in column {column}; {REMEDIES[rule]}"


def run(home: Home, path: Path) -> bool:
    """Import a file and print the report; whether no row was refused. DataError where it is not of this form."""
    frame = read(path)
    with open_ledger(home) as ledger:
        found = take(ledger, frame)
    for line in found.lines():
        console.print(line)
    return not found.refused


def read(path: Path) -> pd.DataFrame:
    """The table; DataError where a column is not known or none names the prediction."""
    if path.suffix not in (".csv", ".parquet"):
        raise DataError(path.name, "neither CSV nor Parquet", "name a .csv or .parquet file")
    frame = read_table(path)
    if strange := len(set(map(str, frame.columns)) - set(FIELDS)):
        raise DataError(path.name, f"{strange} columns are not known", f"use columns of: {', '.join(FIELDS)}")
    if "prediction_id" not in frame.columns or frame.columns.duplicated().any():
        raise DataError(path.name, "no prediction_id, or a column that is there twice", "see docs/monitoring.md")
    return frame


def take(ledger: Ledger, frame: pd.DataFrame) -> Imported:
    """Every row by itself, in order, in the name of this machine's user.

    LedgerError where the ledger cannot be written; what was recorded before stays.
    """
    by = {BY: system_user()}
    taken: Counter[str] = Counter()
    refused: Counter[tuple[str, str]] = Counter()
    with Progress(disable=not sys.stderr.isatty(), transient=True) as bar:
        for row in bar.track(frame.to_dict("records"), description="outcomes"):
            try:
                taken[record(ledger, report_of(row), by).status] += 1
            except OutcomeError as error:
                refused[error.code, error.place] += 1
    return Imported(taken, refused)


def report_of(row: Mapping[Any, Any]) -> Report:
    """A row's cells as a report; OutcomeError where a cell is not of its column's kind."""
    cells = {str(name): _cell(str(name), value) for name, value in row.items()}
    known = {name: value for name, value in cells.items() if value is not None}
    return Report(**{"prediction_id": "", **known})


def _cell(name: str, value: Any) -> Any:
    """None for an empty cell."""
    text = "" if value is None or value is pd.NA or value != value else str(value).strip()
    if not text:
        return None
    if name in _TEXTS:
        return text
    return _flag(name, text) if name in _YES_NO else _number(name, text)


def _flag(name: str, text: str) -> bool:
    word = text.lower().removesuffix(".0")
    if word not in _FLAGS:
        raise _unreadable(name)
    return _FLAGS[word]


def _number(name: str, text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        raise _unreadable(name) from None
    if name.endswith("grade"):
        if not isfinite(found) or found != int(found):
            raise OutcomeError("grade-not-accepted", name, "not a grade")
        return int(found)
    return found


def _unreadable(name: str) -> OutcomeError:
    return OutcomeError("value-not-readable", name, "not of this column's kind")
