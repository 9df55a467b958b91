"""A site's extract as it stands: read, cut into blocks, and into courses."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.files import read_table
from data.mapping_spec import Block, Mapping
from data.sieve import words
from features.errors import DataError


@dataclass(frozen=True, slots=True)
class Extract:
    """rows: the extract, index 0..n-1. block: (n,) block of each row. course: (n,) number of its course, from 0."""

    rows: pd.DataFrame
    block: NDArray[np.object_]
    course: NDArray[np.int64]


def read_extract(path: Path, mapping: Mapping) -> Extract:
    """Read the file (xlsx, csv or parquet) and cut it up. DataError if it and the mapping do not fit together."""
    rows = _read(path, mapping.sheet)
    check_named(rows, mapping)
    block = _blocks(rows, mapping.block)
    return Extract(rows, block, _courses(rows, block, mapping))


def _read(path: Path, sheet: str) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{path}", "no such file", "give the extract that the mapping file describes")
    if path.suffix.lower() != ".xlsx":
        return read_table(path)
    try:
        return pd.read_excel(path, sheet_name=sheet or 0)
    except (ValueError, OSError, BadZipFile, KeyError):
        problem = f"cannot be read as xlsx with sheet {sheet or 'first'!r}"
        raise DataError(f"{path}", problem, "check file and sheet") from None


def check_named(rows: pd.DataFrame, mapping: Mapping) -> None:
    """Every column the mapping names must be there, and every column there must be named."""
    named, given = named_columns(mapping), [str(name) for name in rows.columns]
    for name in sorted(named - set(given)):
        near = get_close_matches(name, given, n=1)
        remedy = f"is it {near[0]}?" if near else ""
        raise DataError(f"extract.{name}", "the mapping names a column that is not there", remedy)
    for name in given:
        if name not in named:
            remedy = "map it, or list it under [ignore] with a reason"
            raise DataError(f"extract.{name}", "column not named in the mapping", remedy)


def named_columns(mapping: Mapping) -> set[str]:
    """All columns of the extract that the mapping speaks of."""
    long = mapping.long
    groups = (
        (mapping.course.patient, *mapping.course.columns, *mapping.course.require),
        (mapping.time.day, mapping.time.hours, *mapping.ignore),
        [name for block in mapping.block for name in (block.column, *block.drop)],
        [one.column for one in mapping.course_columns.values()],
        mapping.follow_up.last_charted if mapping.follow_up else (),
        [one.column for one in mapping.analyte],
        [one.column for one in mapping.daily_grade],
        [one.column for one in mapping.repair],
        [name for one in mapping.treatment for name in (one.column, one.day)],
        [name for one in mapping.peak_grade for name in (one.grade, one.onset_day, one.peak_day)],
        (long.code, long.value, long.unit, long.comparator, long.upper_limit) if long else (),
    )
    return {name for group in groups for name in group if name}


def _blocks(rows: pd.DataFrame, blocks: tuple[Block, ...]) -> NDArray[np.object_]:
    found = np.full(len(rows), "", dtype=object)
    for block in blocks:
        inside = _inside(rows, block)
        if (found[inside] != "").any():
            raise DataError(f"block {block.name}", "shares rows with another block", "last_row is exclusive")
        found[inside] = block.name
    if (found == "").any():
        raise DataError(
            "block", f"{int((found == '').sum())} rows belong to no block", "the blocks must cover all rows"
        )
    return found


def _inside(rows: pd.DataFrame, block: Block) -> NDArray[np.bool_]:
    if block.column:
        return words(rows[block.column]).isin([str(value) for value in block.values]).to_numpy()
    place = np.arange(len(rows))
    return (place >= block.first_row) & (place < (block.last_row or len(rows)))


def _courses(rows: pd.DataFrame, block: NDArray[np.object_], mapping: Mapping) -> NDArray[np.int64]:
    keys = pd.DataFrame({name: words(rows[name]) for name in mapping.course.columns}).assign(**{"\0block": block})
    if mapping.course.starts == "key":
        return keys.groupby(list(keys.columns), sort=False).ngroup().to_numpy().astype(np.int64)
    changed = keys.ne(keys.shift()).any(axis=1).to_numpy()
    return (np.cumsum(changed) - 1).astype(np.int64)
