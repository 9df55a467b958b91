"""The tables of an OMOP CDM as they stand: a folder or zip of CSV or Parquet, or a PostgreSQL server by URL.

Everything comes as text in batches, so that nothing is guessed and a table larger than memory passes through.
"""

import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile, ZipFile

import pandas as pd
import psycopg2
import psycopg2.sql as sql
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.csv as arrow_csv
import pyarrow.parquet as arrow_parquet

from features.errors import DataError

BATCH_ROWS = 200_000
BLOCK_BYTES = 1 << 24
SUFFIXES = (".csv", ".csv.gz", ".parquet")
SERVERS = ("postgresql://", "postgres://")
BROKEN = (pa.ArrowException, OSError, ValueError, EOFError, BadZipFile, zlib.error, NotImplementedError, RuntimeError)


class OmopTables(Protocol):
    """Tables by their lower-case name."""

    @property
    def names(self) -> frozenset[str]: ...

    def read(self, table: str, columns: tuple[str, ...]) -> Iterator[pd.DataFrame]:
        """The table in batches: those columns as text, "" where empty or where the table has no such column."""
        ...


def open_omop(place: str) -> OmopTables:
    """The tables of a folder, a .zip or a PostgreSQL URL. DataError if there are none."""
    found = _server(place) if place.startswith(SERVERS) else _files(Path(place))
    if "person" not in found.names:
        raise DataError(shown(place), "no table PERSON", "name a folder, zip or schema with the tables of the OMOP CDM")
    return found


def shown(place: str) -> str:
    """The place as it may be printed: of a server nothing but that it is one."""
    return "the PostgreSQL server" if place.startswith(SERVERS) else place


def _files(path: Path) -> OmopTables:
    if path.is_dir():
        found = [file for file in sorted(path.rglob("*")) if file.is_file()]
        return FileTables(path, _by_table({str(file.relative_to(path)): file for file in found}, path), None)
    if not path.is_file():
        raise DataError(f"{path}", "no such folder or file", "name a folder, a .zip or a postgresql:// URL")
    try:
        with ZipFile(path) as archive:
            members = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
    except (BadZipFile, OSError):
        raise DataError(f"{path}", "not a whole zip file (truncated or of another format)", "export it again") from None
    return FileTables(path, _by_table({name: Path(name) for name in members}, path), path)


def _by_table(files: Mapping[str, Path], place: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, file in files.items():
        if Path(name).name.startswith(".") or not name.lower().endswith(SUFFIXES):
            continue
        table = Path(name).name.lower().split(".")[0]
        if table in found:
            raise DataError(f"{place}", f"the table {table} is there twice", "keep one file of each table")
        found[table] = file
    return found


@dataclass(frozen=True, slots=True)
class FileTables:
    """files: table -> its file, or its member in `archive`."""

    place: Path
    files: Mapping[str, Path]
    archive: Path | None

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.files)

    def read(self, table: str, columns: tuple[str, ...]) -> Iterator[pd.DataFrame]:
        file = self.files.get(table)
        if file is None:
            return
        try:
            with _opened(self.archive, file) as stream:
                yield from _batches(stream, file.name.lower(), columns)
        except BROKEN:
            # The reader's own message may quote a row.
            problem = f"{table} cannot be read as {file.suffix[1:]} (truncated, damaged or of another format)"
            raise DataError(f"{self.place}", problem, "export the table again") from None


@contextmanager
def _opened(archive: Path | None, file: Path) -> Iterator[Any]:
    """The file's bytes, uncompressed."""
    with ExitStack() as stack:
        if archive is not None:
            held: Any = stack.enter_context(ZipFile(archive))
            stream: Any = stack.enter_context(held.open(file.as_posix()))
        else:
            stream = stack.enter_context(file.open("rb"))
        yield stack.enter_context(gzip.GzipFile(fileobj=stream)) if file.name.lower().endswith(".gz") else stream


def _batches(stream: Any, name: str, columns: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    if name.endswith(".parquet"):
        # A file on disk is read as needed; a member of an archive cannot be read in any order, so it is held.
        file = arrow_parquet.ParquetFile(
            stream if isinstance(stream, BufferedReader) else pa.BufferReader(stream.read())
        )
        wanted = _wanted(file.schema_arrow.names, columns)
        batches: Iterator[Any] = file.iter_batches(batch_size=BATCH_ROWS, columns=list(wanted))
    else:
        names = [cell.strip().strip('"') for cell in stream.readline().decode("utf-8-sig").strip().split(",")]
        if names == [""]:
            raise ValueError("empty")
        wanted = _wanted(names, columns)
        batches = _csv(stream, names, list(wanted)) if stream.peek(1) else iter(())
    for batch in batches:
        yield _text(batch, wanted, columns)


def _csv(stream: Any, names: list[str], wanted: list[str]) -> Iterator[Any]:
    """The rows below the header, which was read already, in batches as they come."""
    types = {name: pa.string() for name in names}
    convert = arrow_csv.ConvertOptions(column_types=types, include_columns=wanted, strings_can_be_null=False)
    read = arrow_csv.ReadOptions(column_names=names, block_size=BLOCK_BYTES)
    parse = arrow_csv.ParseOptions(newlines_in_values=True)
    found: Iterator[Any] = iter(arrow_csv.open_csv(pa.PythonFile(stream, mode="r"), read, parse, convert))
    return found


def _wanted(names: list[str], columns: tuple[str, ...]) -> dict[str, str]:
    """Name in the file -> column asked for; the case of a name does not matter."""
    return {name: name.lower() for name in names if name.lower() in columns}


def _text(batch: Any, wanted: Mapping[str, str], columns: tuple[str, ...]) -> pd.DataFrame:
    held = {wanted[name]: _words(batch.column(name)) for name in wanted}
    empty = pd.Series([""] * batch.num_rows, dtype="str")
    return pd.DataFrame({name: held.get(name, empty) for name in columns})


def _words(column: Any) -> pd.Series:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    text = compute.fill_null(column.cast(kind).cast(pa.string()), "")
    # Identifiers stored as floats keep no decimal zero.
    found: pd.Series = text.to_pandas().astype("str").str.strip()
    return found.str.removesuffix(".0") if pa.types.is_floating(kind) else found


@dataclass(frozen=True, slots=True)
class ServerTables:
    """A PostgreSQL server; the search path of the URL says which schema."""

    url: str
    columns: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.columns)

    def read(self, table: str, columns: tuple[str, ...]) -> Iterator[pd.DataFrame]:
        held = [name for name in columns if name in self.columns.get(table, ())]
        if table not in self.columns:
            return
        cells = sql.SQL(", ").join(sql.SQL("coalesce({}::text, '')").format(sql.Identifier(name)) for name in held)
        asked = sql.SQL("select {} from {}").format(cells, sql.Identifier(table))
        try:
            with closing(_connected(self.url)) as server, server.cursor(name="crs_risk") as cursor:
                cursor.execute(asked)
                while rows := cursor.fetchmany(BATCH_ROWS):
                    found = pd.DataFrame(rows, columns=held, dtype="str")
                    yield found.reindex(columns=list(columns), fill_value="")
        except psycopg2.Error:
            raise DataError("the PostgreSQL server", f"{table} cannot be read", "check rights and schema") from None


def _server(url: str) -> ServerTables:
    asked = (
        "select table_name, column_name from information_schema.columns "
        "where table_schema = any(current_schemas(false)) order by ordinal_position"
    )
    try:
        with closing(_connected(url)) as server, server.cursor() as cursor:
            cursor.execute(asked)
            rows = cursor.fetchall()
    except psycopg2.Error:
        problem = "it cannot be reached or refuses the connection"
        raise DataError("the PostgreSQL server", problem, "check the URL, and the server's own log") from None
    found: dict[str, list[str]] = {}
    for table, column in rows:
        found.setdefault(table, []).append(column)
    return ServerTables(url, {table: tuple(columns) for table, columns in found.items()})


def _connected(url: str) -> Any:
    server = psycopg2.connect(url)
    server.set_session(readonly=True, isolation_level="REPEATABLE READ")
    return server
