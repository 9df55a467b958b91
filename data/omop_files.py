"""The tables of an OMOP CDM as they stand: a folder or zip of CSV or Parquet, or a PostgreSQL server by URL.

Everything comes as text in batches, so that nothing is guessed and a table larger than memory passes through.
"""

import gzip
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj
from typing import Any, Protocol
from zipfile import BadZipFile, ZipFile

import duckdb
import pandas as pd
import psycopg2
import psycopg2.sql as sql

from features.errors import DataError
from features.scratch import Scratch

BATCH_ROWS = 200_000
#: Bytes of one row of a CSV at most; a longer one is a quotation mark that was never closed.
LONGEST_LINE = 1 << 22
SUFFIXES = (".csv", ".csv.gz", ".parquet")
SERVERS = ("postgresql://", "postgres://")
BROKEN = (duckdb.Error, OSError, ValueError, EOFError, BadZipFile, zlib.error, NotImplementedError, RuntimeError)
#: DuckDB fetches no extension, shows no progress and has nowhere to write.
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "temp_directory": "",
}
#: Column -> values of the rows that are wanted.
Only = Mapping[str, Collection[str]]
ALL: Only = {}


class OmopTables(Protocol):
    """Tables by their lower-case name."""

    @property
    def names(self) -> frozenset[str]: ...

    def read(self, table: str, columns: tuple[str, ...], only: Only = ALL) -> Iterator[pd.DataFrame]:
        """The table in batches: those columns as text, "" where empty or where the table has no such column.

        only: column -> the values of the rows that are wanted.
        """
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

    def read(self, table: str, columns: tuple[str, ...], only: Only = ALL) -> Iterator[pd.DataFrame]:
        file = self.files.get(table)
        if file is None:
            return
        try:
            with _on_disk(self.archive, file) as path:
                yield from _batches(path, columns, only)
        except BROKEN:
            # The reader's own message may quote a row.
            problem = f"{table} cannot be read as {file.suffix[1:]} (truncated, damaged or of another format)"
            raise DataError(f"{self.place}", problem, "export the table again") from None


@contextmanager
def _on_disk(archive: Path | None, file: Path) -> Iterator[Path]:
    """The file; a member of an archive is unpacked for as long as it is read, where only this user can read it."""
    if archive is None:
        yield file
        return
    with Scratch("omop") as folder:
        path = folder / file.name
        with ZipFile(archive) as held, held.open(file.as_posix()) as packed, path.open("wb") as unpacked:
            copyfileobj(packed, unpacked)
        yield path


def _batches(path: Path, columns: tuple[str, ...], only: Only) -> Iterator[pd.DataFrame]:
    """Rows of the file as text; its columns by their names in small letters, the first of two of one name."""
    with closing(reading_database(path)) as database:
        source = f"read_parquet({_quoted(str(path))})" if path.name.lower().endswith(".parquet") else _csv(path)
        cells: dict[str, str] = {}
        for name, kind, *_ in database.sql(f"describe select * from {source}").fetchall():
            cells.setdefault(str(name).strip().lower(), _cell(str(name), str(kind)))
        wanted = ", ".join(f"{cells.get(name, _quoted(''))} as {name}" for name in columns)
        kept = " and ".join(f"trim({cells.get(name, _quoted(''))}) in ({_list(held)})" for name, held in only.items())
        asked = f"select {wanted} from {source}" + (f" where {kept}" if kept else "")
        for batch in database.sql(asked).to_arrow_reader(BATCH_ROWS):
            # Blanks go here: DuckDB takes four times as long to strip more than spaces.
            yield batch.to_pandas().astype("str").apply(lambda column: column.str.strip())


def reading_database(path: Path) -> duckdb.DuckDBPyConnection:
    """A database in memory that can read this one file, nothing else and no network, and writes nothing."""
    database = duckdb.connect(":memory:", config=SETTINGS)
    database.execute(f"set allowed_paths = [{_quoted(str(path))}]")
    for setting in ("enable_progress_bar = false", "enable_external_access = false", "lock_configuration = true"):
        database.execute(f"set {setting}")
    return database


def _csv(path: Path) -> str:
    """The file as a source of text. Nothing is guessed but the separator: a comma, or the vocabularies' tabulator."""
    opened = gzip.open if path.name.lower().endswith(".gz") else Path.open
    with opened(path, "rb") as stream:
        header = stream.readline().decode("utf-8-sig").rstrip("\r\n")
    tabs = "\t" in header and "," not in header
    names = [cell.strip().strip('"') for cell in header.split("\t" if tabs else ",")]
    if names == [""]:
        raise ValueError("empty")
    columns = ", ".join(f"{_quoted(name)}: 'varchar'" for name in _distinct(names))
    # The vocabularies' own files hold quotation marks that quote nothing.
    form = "delim = '\t', quote = '', escape = ''" if tabs else "delim = ',', quote = '\"', escape = '\"'"
    options = f"header = true, auto_detect = false, {form}, columns = {{{columns}}}"
    packed = "gzip" if path.name.lower().endswith(".gz") else "none"
    return f"read_csv({_quoted(str(path))}, {options}, compression = '{packed}', max_line_size = {LONGEST_LINE})"


def _distinct(names: list[str]) -> list[str]:
    """No column without a name, and no name twice, whatever its case: those that are get a name nobody asks for."""
    seen: set[str] = set()
    found = []
    for place, name in enumerate(names):
        found.append(f"# {place}" if name.lower() in seen or not name else name)
        seen.add(name.lower())
    return found


def _cell(name: str, kind: str) -> str:
    """SQL for the column as text, "" for null."""
    column = '"' + name.replace('"', '""') + '"'
    if kind == "TIMESTAMP WITH TIME ZONE":
        text = f"cast(make_timestamp(epoch_us({column})) as varchar) || '+00'"
    elif kind in ("DOUBLE", "FLOAT"):
        # Identifiers stored as floats keep no decimal zero.
        text = f"regexp_replace(cast({column} as varchar), '\\.0$', '')"
    else:
        text = f"cast({column} as varchar)"
    return f"coalesce({text}, '')"


def _list(held: Iterable[str]) -> str:
    return ", ".join(map(_quoted, sorted(held))) or "null"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class ServerTables:
    """A PostgreSQL server; the search path of the URL says which schema."""

    url: str
    columns: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.columns)

    def read(self, table: str, columns: tuple[str, ...], only: Only = ALL) -> Iterator[pd.DataFrame]:
        there = self.columns.get(table, ())
        held = [name for name in columns if name in there]
        if table not in self.columns or not all(name in there for name in only):
            return
        cells = sql.SQL(", ").join(sql.SQL("coalesce({}::text, '')").format(sql.Identifier(name)) for name in held)
        asked = sql.SQL("select {} from {}").format(cells, sql.Identifier(table))
        wanted = [
            sql.SQL("{}::text = any({}::text[])").format(sql.Identifier(name), sql.Literal(sorted(only[name])))
            for name in only
        ]
        if wanted:
            asked = sql.SQL(" where ").join((asked, sql.SQL(" and ").join(wanted)))
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
