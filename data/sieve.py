"""Take rows out of one table rule by rule, and keep count."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from data.report import NOTED, REJECTED, REMEDIES, UNUSED, Finding, RejectionReport

Mask = NDArray[np.bool_]
#: So many analytes are named in a finding, those with the most rows first.
MOST_NAMED = 3


class Sieve:
    """One table's rows. A row leaves by the first rule it breaks, so the counts of a table add up to its losses."""

    def __init__(self, table: str, rows: int) -> None:
        self.table = table
        self.rows = rows
        self.kept: Mask = np.ones(rows, dtype=bool)
        self._findings: list[Finding] = []
        self._group: NDArray[np.int64] = np.zeros(rows, dtype=np.int64)
        self._groups: tuple[str, ...] = ("",)

    def group(self, place: NDArray[np.int64], names: Sequence[str]) -> None:
        """Say from now on which groups the rows of a finding are of. place: (rows,) position in names; "": not told."""
        keys = sorted({*names})
        self._group = np.array([keys.index(name) for name in names], dtype=np.int64)[place] if len(place) else place
        self._groups = tuple(keys)

    def reject(self, rule: str, column: str, broken: Mask) -> None:
        """Take out the rows that break the rule."""
        self._remove(REJECTED, rule, column, broken)

    def leave_unused(self, rule: str, column: str, outside: Mask) -> None:
        """Take out sound rows that lie outside what is looked at."""
        self._remove(UNUSED, rule, column, outside)

    def note(self, rule: str, column: str, met: Mask, remedy: str = "") -> None:
        """Count rows that stay. remedy: what to do, where more is known than the rule says."""
        self._count(NOTED, rule, column, met & self.kept, remedy)

    def _remove(self, kind: str, rule: str, column: str, out: Mask) -> None:
        self._count(kind, rule, column, out & self.kept)
        self.kept &= ~out

    def _count(self, kind: str, rule: str, column: str, rows: Mask, remedy: str = "") -> None:
        if number := int(rows.sum()):
            first, which = int(rows.argmax()) + 1, self._which(rows)
            todo = remedy or REMEDIES[rule]
            self._findings.append(Finding(kind, rule, self.table, column, number, todo, first, which))

    def _which(self, rows: Mask) -> str:
        """Such as "crp 12 of 80, il6 3 of 5"; "" without groups."""
        out, whole = (np.bincount(self._group[held], minlength=len(self._groups)) for held in (rows, slice(None)))
        told = [place for place in np.argsort(-out, kind="stable").tolist() if out[place] and self._groups[place]]
        named = [f"{self._groups[place]} {out[place]} of {whole[place]}" for place in told[:MOST_NAMED]]
        return ", ".join([*named, f"{len(told) - MOST_NAMED} more"] if len(told) > MOST_NAMED else named)

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
