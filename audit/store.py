"""The tables of the ledger, on SQLite or PostgreSQL: records as their exact bytes, and a head that says how to go on.

The head (size, last hash, roots of the tree's right edge) lets a large ledger go on without being read; nothing that
checks the ledger believes it. The columns beside a record's bytes are for finding it; they are compared when checked.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from audit import database, evidence, guards, kept
from audit.events import NO_RECORD
from audit.tree import Frontier
from features.errors import LedgerError

_META = sa.MetaData()
_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
RECORDS = sa.Table(
    "ledger_records",
    _META,
    sa.Column("sequence", _WHOLE, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("microseconds", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("record", sa.LargeBinary, nullable=False),
)
HEAD = sa.Table(
    "ledger_head",
    _META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("roots", sa.LargeBinary, nullable=False),
    sa.Column("checkpoint_size", sa.BigInteger, nullable=False),
    sa.Column("checkpoint_microseconds", sa.BigInteger, nullable=False),
)
sa.Index("ledger_by_kind", RECORDS.c.kind, RECORDS.c.sequence)
_NAMED = RECORDS.c.event_id != ""
sa.Index(
    "ledger_by_event",
    RECORDS.c.event_id,
    RECORDS.c.kind,
    unique=True,
    sqlite_where=_NAMED,
    postgresql_where=_NAMED,
)


class Row(NamedTuple):
    """A row as it stands."""

    sequence: int
    kind: str
    event_id: str
    microseconds: int
    hash: bytes
    record: bytes


_HEAD = sa.select(HEAD)
#: What every commit runs, as text for the driver: SQLAlchemy's own statements cost more than running them. `?` is the
#: driver's mark of a value.
_LAST = (
    "SELECT h.size, h.previous, h.roots, h.checkpoint_size, h.checkpoint_microseconds, r.sequence, r.hash "
    "FROM ledger_head h LEFT JOIN ledger_records r ON r.sequence = (SELECT max(sequence) FROM ledger_records)"
)
_INSERT = f"INSERT INTO ledger_records ({', '.join(Row._fields)}) VALUES (?, ?, ?, ?, ?, ?)"
_LEAVES = "SELECT hash FROM ledger_records WHERE sequence >= ? ORDER BY sequence"
_UPDATE = (
    "UPDATE ledger_head SET size = ?, previous = ?, roots = ?, checkpoint_size = ?, checkpoint_microseconds = ? "
    "WHERE id = 1"
)


class TakenError(Exception):
    """A record of that kind and event id is there already."""


@dataclass(slots=True)
class Head:
    """Where the ledger goes on. previous: hash of the last record."""

    frontier: Frontier
    previous: str
    checkpoint_size: int
    checkpoint_microseconds: int

    @classmethod
    def empty(cls) -> "Head":
        return cls(Frontier(), NO_RECORD, 0, 0)

    @classmethod
    def of(cls, size: int, previous: str, roots: bytes, checkpoint_size: int, checkpoint: int) -> "Head | None":
        """The head of a stored row; None where it cannot be one."""
        try:
            return cls(Frontier.from_bytes(size, bytes(roots)), previous, checkpoint_size, checkpoint)
        except (ValueError, TypeError):
            return None

    def ends_with(self) -> tuple[int, str]:
        """Sequence and hash that the last record has to have."""
        return self.frontier.size - 1, self.previous

    def columns(self) -> dict[str, Any]:
        """In the order of the table."""
        return {
            "size": self.frontier.size,
            "previous": self.previous,
            "roots": self.frontier.to_bytes(),
            "checkpoint_size": self.checkpoint_size,
            "checkpoint_microseconds": self.checkpoint_microseconds,
        }


class Store:
    """One database: SQLite in `file`, or PostgreSQL at `uri`. Every failure of it is a LedgerError.

    writes: whether it may be changed; a file that is missing is made then.
    """

    def __init__(self, uri: str, file: Path | None, writes: bool) -> None:
        self._read = None if file is None or writes else evidence.Opened(file)
        place = "" if file is None else evidence.address(file)
        with _told():
            self.engine = database.engine(uri, self._read.address if self._read else place, writes)
        self._writer = self.engine.execution_options(**{database.WRITES: True})
        self._kept = database.KeptConnection(self.engine) if file else None
        # PostgreSQL would show each statement the ledger of its own moment; SQLite shows one state by itself.
        self._reader = self.engine if file else self.engine.execution_options(isolation_level="REPEATABLE READ")

    def close(self) -> None:
        if self._kept:
            self._kept.let_go()
        self.engine.dispose()
        if self._read:
            self._read.close()

    def create(self) -> None:
        """Make the tables and their guards where they are missing."""
        with _told(), self._writer.begin() as connection:
            guards.lock(connection)
            _META.create_all(connection)
            kept.create(connection)
            guards.create(connection)

    @contextlib.contextmanager
    def writing(self) -> Iterator["Writing"]:
        """One transaction that no other writer can enter; committed, and on the disk, when it ends without an error."""
        with _told(), self._kept.begin() if self._kept else self._writer.begin() as connection:
            guards.lock(connection)
            yield Writing(connection)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection for reading, on one state of the ledger."""
        with _told(), self._reader.connect() as connection:
            yield connection.execution_options(stream_results=True)


@dataclass(frozen=True, slots=True)
class Writing:
    """What can be done within one transaction."""

    connection: sa.Connection

    def head(self) -> Head | None:
        """Where to go on; None in a new ledger. LedgerError where the head does not fit the last record."""
        row = self._run(_LAST, [()]).fetchone()
        if row is None and self.connection.execute(sa.select(RECORDS.c.sequence).limit(1)).first() is None:
            return None
        head = None if row is None else Head.of(*row[:5])
        if row is None or head is None or row[6] is None or (row[5], bytes(row[6]).hex()) != head.ends_with():
            raise LedgerError("ledger", "its head does not fit its last record", "run `crs audit verify`")
        return head

    def leaves(self, first: int) -> list[bytes]:
        """The hashes that stand beside the records from a sequence on."""
        return [bytes(leaf) for (leaf,) in self._run(_LEAVES, [(first,)]).fetchall()]

    def add(self, rows: list[Row]) -> None:
        """Add records; TakenError where an event is there already."""
        try:
            self._run(_INSERT, [tuple(row) for row in rows])
        except (IntegrityError, sqlite3.IntegrityError) as error:
            raise TakenError from error

    def set_head(self, head: Head, new: bool) -> None:
        if new:
            self.connection.execute(sa.insert(HEAD), {"id": 1, **head.columns()})
        else:
            self._run(_UPDATE, [tuple(head.columns().values())])

    def _run(self, statement: str, values: list[tuple[Any, ...]]) -> Any:
        """The cursor after a statement was run. SQLite's own connection is asked: it takes a third of the time."""
        driver = self.connection.connection.driver_connection
        if isinstance(driver, sqlite3.Connection):
            return driver.executemany(statement, values) if len(values) > 1 else driver.execute(statement, values[0])
        marked = statement.replace("?", "%s")
        return self.connection.exec_driver_sql(marked, values if len(values) > 1 else values[0])


def stated_head(connection: sa.Connection) -> Head | None:
    """The head as it stands; None where there is none that can be one."""
    row = connection.execute(_HEAD).first()
    return None if row is None else Head.of(*row[1:])


def event(connection: sa.Connection, event_id: str, kind: str | None) -> bytes | None:
    """The bytes of the first record of that event."""
    asked = sa.select(RECORDS.c.record).where(RECORDS.c.event_id == event_id, _NAMED)
    asked = asked if kind is None else asked.where(RECORDS.c.kind == kind)
    found = connection.execute(asked.order_by(RECORDS.c.sequence).limit(1)).scalar()
    return None if found is None else bytes(found)


def every(connection: sa.Connection, kind: str) -> list[bytes]:
    """The bytes of all records of that kind, in their order."""
    asked = sa.select(RECORDS.c.record).where(RECORDS.c.kind == kind).order_by(RECORDS.c.sequence)
    return [bytes(found) for found in connection.execute(asked).scalars()]


def latest(connection: sa.Connection, kind: str | None) -> bytes | None:
    """The bytes of the last record, or the last of that kind."""
    asked = sa.select(RECORDS.c.record).order_by(RECORDS.c.sequence.desc()).limit(1)
    found = connection.execute(asked if kind is None else asked.where(RECORDS.c.kind == kind)).scalar()
    return None if found is None else bytes(found)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """A failure of the database in one line that repeats none of its text."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, UnicodeDecodeError) as error:  # the last of a damaged schema
        kind = type(getattr(error, "orig", None) or error).__name__
        raise LedgerError(
            "ledger", f"the database cannot be used ({kind})", "check its disk, its rights or its server"
        ) from error
