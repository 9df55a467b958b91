"""Read and write the files of a cohort: CSV or Parquet. A file that cannot be read is one clear line."""

import csv
import re
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as arrow_parquet

from features.errors import DataError

Format = Literal["csv", "parquet"]
FORMATS: tuple[Format, ...] = ("csv", "parquet")


def find_table(folder: Path, table: str) -> Path:
    """The table's file in the folder. DataError if there is none, or one of each format."""
    found = [path for form in FORMATS if (path := folder / f"{table}.{form}").is_file()]
    if not found:
        raise DataError(f"{folder}", f"no {table}.csv or {table}.parquet", "a cohort is a folder of three tables")
    if len(found) > 1:
        raise DataError(f"{folder}", f"both {table}.csv and {table}.parquet", "keep one of them")
    return found[0]


def read_table(path: Path) -> pd.DataFrame:
    """The file as it stands. All of a CSV is read as text, so that nothing is guessed; an empty cell is missing.

    DataError, without any cell's content, if the file is truncated, not of its format or not UTF-8, or a column of it
    holds lists or records.
    """
    try:
        table = arrow_parquet.read_table(path) if path.suffix == ".parquet" else _read_csv(path)
        check_plain(path, table.schema)
        # An unnamed pandas index that was stored along is no column of the table.
        frame: pd.DataFrame = _plain(table).to_pandas(ignore_metadata=True)
        return frame.loc[:, [not str(name).startswith("__index_level_") for name in frame.columns]]
    except (pa.ArrowException, OSError, ValueError, csv.Error) as error:
        # The reader's own message may quote a whole row, so only its kind and place are passed on.
        raise DataError(f"{path}", _what_is_wrong(path, error), "export the table again") from None


def check_plain(path: Path, schema: pa.Schema) -> None:
    """DataError where a column holds lists or records instead of one value to a cell."""
    for field in schema:
        if pa.types.is_nested(_plain_type(field.type)):
            problem = "the column holds lists or records, expected one number, text or time to a cell"
            raise DataError(f"{path}: {path.stem}.{field.name}", problem, "export it as plain values, or leave it out")


def _plain(table: pa.Table) -> pa.Table:
    """Dictionary columns as their values, decimals as float64."""
    types = [_plain_type(field.type) for field in table.schema]
    return table.cast(pa.schema(list(zip(table.column_names, types, strict=True))))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return kind.value_type
    return pa.float64() if pa.types.is_decimal(kind) else kind


def _read_csv(path: Path) -> pa.Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file), [])
    convert = arrow_csv.ConvertOptions(
        column_types={name: pa.string() for name in names},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    parse = arrow_csv.ParseOptions(newlines_in_values=True)
    return arrow_csv.read_csv(path, parse_options=parse, convert_options=convert)


def _what_is_wrong(path: Path, error: Exception) -> str:
    message = str(error)
    if path.stat().st_size == 0:
        return "the file is empty"
    if path.suffix == ".parquet":
        return "not a whole Parquet file (truncated or of another format)"
    if isinstance(error, UnicodeDecodeError) or "UTF8" in message:
        return "not UTF-8 text"
    if found := re.search(r"Expected (\d+) columns, got (\d+)", message):
        return f"cannot be read as CSV: the header has {found[1]} columns and a row has {found[2]}"
    return "cannot be read as comma-separated CSV"


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write one table in the format of the path's suffix."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False, lineterminator="\n")
