"""How the ledger's database is opened: SQLite with its write-ahead log, or PostgreSQL."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from audit.settings import URI
from features.errors import UsageError

#: Seconds to wait for another process that is writing.
BUSY_SECONDS = 5.0
_AGAIN_SECONDS = 0.005

_PAGE_BYTES = 16_384
#: Marks a connection that will write.
WRITES = "ledger_writes"
#: Marks a connection whose transactions are begun by hand.
_BY_HAND = "ledger_by_hand"
#: Text that is none, as somebody may have put it there, is still read.
_TEXT = partial(str, encoding="utf-8", errors="surrogateescape")


class KeptConnection:
    """SQLite's writer keeps its connection: to take one from the pool for each commit costs as much as the commit."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine, self._lock = engine, threading.Lock()
        self._connection: sa.Connection | None = None

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """One transaction after the other, committed when it ends without an error. No other one may begin in it."""
        with self._lock:
            connection = self._connection = self._connection or self._opened()
            driver: Any = connection.connection.driver_connection
            try:
                driver.execute("BEGIN IMMEDIATE")
                yield connection
                driver.commit()
            except (sqlite3.Error, SQLAlchemyError):
                self.let_go()
                raise
            finally:
                if self._connection and (driver.in_transaction or connection.in_transaction()):
                    self._end(connection)

    def _opened(self) -> sa.Connection:
        return self._engine.connect().execution_options(isolation_level="AUTOCOMMIT", **{_BY_HAND: True})

    def _end(self, connection: sa.Connection) -> None:
        """Undo what was not committed, also in SQLAlchemy's books where it was asked something."""
        try:
            connection.connection.rollback()
            connection.rollback()
        except (sqlite3.Error, SQLAlchemyError):
            self.let_go()
            raise

    def let_go(self) -> None:
        """Close it, and undo what was not committed; the next transaction opens the database anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()


def engine(uri: str, place: str, writes: bool) -> sa.Engine:
    """PostgreSQL at `uri`, or SQLite at the address `place`, "" for none of it. writes: whether it may be changed.

    UsageError where the URL is none.
    """
    if not place:
        return sa.create_engine(address(uri), pool_pre_ping=True, hide_parameters=True)
    made = sa.create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(
            place, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        ),
        poolclass=sa.pool.QueuePool,
        hide_parameters=True,
    )
    sa.event.listen(made, "connect", _durable if writes else _patient)
    sa.event.listen(made, "begin", _begin)
    return made


def _durable(connection: Any, _record: object) -> None:
    """A record of an answer takes about 2 kB: only one would fit into SQLite's usual page of 4 kB."""
    connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.text_factory = _TEXT


def _write_ahead(connection: sqlite3.Connection) -> None:
    """SQLite does not wait when two connections to a new file ask for the log at once, so the wait is ours."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_AGAIN_SECONDS)
        else:
            return


def _patient(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA query_only=ON")
    connection.text_factory = _TEXT


def _begin(connection: sa.Connection) -> None:
    """A writer waits for its turn at once; a reader sees one state and holds nobody up."""
    options, driver = connection.get_execution_options(), cast(Any, connection.connection.driver_connection)
    if _BY_HAND not in options:
        driver.execute("BEGIN IMMEDIATE" if options.get(WRITES) else "BEGIN")


def address(uri: str) -> sa.URL:
    """A PostgreSQL URL with the driver that is installed; UsageError where it is none."""
    try:
        found = sa.make_url(uri)
    except ArgumentError:
        found = sa.URL.create("none")
    if found.get_backend_name() not in ("postgresql", "postgres"):
        raise UsageError(URI, "not a PostgreSQL URL", "write postgresql://user@host/database, or leave it out")
    return found.set(drivername="postgresql+psycopg2")
