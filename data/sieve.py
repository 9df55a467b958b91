"""Take rows out of one table rule by rule, and keep count."""

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from data.report import NOTED, REJECTED, REMEDIES, UNUSED, Finding, RejectionReport

Mask = NDArray[np.bool_]


class Sieve:
    """One table's rows. A row leaves by the first rule it breaks, so the counts of a table add up to its losses."""

    def __init__(self, table: str, rows: int) -> None:
        self.table = table
        self.rows = rows
        self.kept: Mask = np.ones(rows, dtype=bool)
        self._findings: list[Finding] = []

    def reject(self, rule: str, column: str, broken: Mask) -> None:
        """Take out the rows that break the rule."""
        self._remove(REJECTED, rule, column, broken)

    def leave_unused(self, rule: str, column: str, outside: Mask) -> None:
        """Take out sound rows that lie outside what is looked at."""
        self._remove(UNUSED, rule, column, outside)

    def note(self, rule: str, column: str, met: Mask) -> None:
        """Count rows that stay."""
        self._count(NOTED, rule, column, met & self.kept)

    def _remove(self, kind: str, rule: str, column: str, out: Mask) -> None:
        self._count(kind, rule, column, out & self.kept)
        self.kept &= ~out

    def _count(self, kind: str, rule: str, column: str, rows: Mask) -> None:
        if number := int(rows.sum()):
            self._findings.append(Finding(kind, rule, self.table, column, number, REMEDIES[rule]))

    def report(self) -> RejectionReport:
        return RejectionReport(tuple(self._findings), {self.table: self.rows})


def numbers(column: pd.Series) -> tuple[NDArray[np.float64], Mask]:
    """Values as float64 (NaN where empty or not a number), and where text stood that is not a number."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan), np.zeros(len(column), dtype=bool)
    try:
        plain = pa.array(column, type=pa.string()).cast(pa.float64())
        return plain.to_numpy(zero_copy_only=False), np.zeros(len(column), dtype=bool)
    except pa.ArrowException:
        return _numbers_one_by_one(column)


def _numbers_one_by_one(column: pd.Series) -> tuple[NDArray[np.float64], Mask]:
    text = words(column)
    values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return values, np.isnan(values) & ~text.str.lower().isin(("", "nan")).to_numpy()


def words(column: pd.Series) -> pd.Series:
    """Text without surrounding blanks, "" where empty; a whole number stored as a float reads as that number."""
    places, uniques = pd.factorize(column)
    clean = np.array([*(_word(item) for item in uniques), ""], dtype=object)
    return pd.Series(clean[places], dtype="str")


def _word(item: object) -> str:
    return f"{item:.0f}" if isinstance(item, float) and item.is_integer() else str(item).strip()
