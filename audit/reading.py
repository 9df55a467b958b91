"""What can be read of a ledger: records by place, by name, by kind and time, and what the vault keeps beside them."""

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from audit import kept, store
from audit.damage import REMEDY
from audit.events import Kind, Record, decode
from audit.growth import microseconds
from audit.kept import Kept
from audit.store import RECORDS, Row, Store
from features.errors import LedgerError

#: Rows that are fetched together.
_PART = 1000


class Reading:
    """The reading half of a ledger."""

    def __init__(self, held: Store) -> None:
        self._store = held

    def reading(self) -> contextlib.AbstractContextManager[sa.Connection]:
        """A connection for reading, on one state of the ledger."""
        return self._store.reading()

    def stored(self, first: int = 0) -> Iterator[Row]:
        """The rows as they stand, in order, from a sequence on; nothing is checked or parsed."""
        with self._store.reading() as connection:
            yield from rows(connection, first)

    def records(
        self,
        kind: Kind | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        first: int = 0,
    ) -> Iterator[Record]:
        """Records in their order. since: inclusive; until: exclusive; first: the lowest sequence."""
        columns = (RECORDS.c.sequence, RECORDS.c.record)
        asked = sa.select(*columns).where(RECORDS.c.sequence >= first).order_by(RECORDS.c.sequence)
        if kind is not None:
            asked = asked.where(RECORDS.c.kind == str(kind))
        if since is not None:
            asked = asked.where(RECORDS.c.microseconds >= microseconds(since))
        if until is not None:
            asked = asked.where(RECORDS.c.microseconds < microseconds(until))
        with self._store.reading() as connection:
            for sequence, stored in connection.execute(asked):
                yield decoded(stored, sequence)

    def find(self, event_id: str, kind: Kind | None = None) -> Record | None:
        """The first record of an event, by the name its caller gave it."""
        with self._store.reading() as connection:
            found = store.event(connection, event_id, None if kind is None else str(kind))
        return None if found is None else decoded(found)

    def at(self, sequence: int) -> Record | None:
        """The record at that place."""
        with self._store.reading() as connection:
            found = _stored(connection, sequence)
        return None if found is None else decoded(found, sequence)

    def bytes_at(self, sequence: int) -> bytes | None:
        """The record at that place as it is stored."""
        with self._store.reading() as connection:
            found = _stored(connection, sequence)
        return None if found is None else bytes(found)

    def leaves(self, size: int) -> list[bytes]:
        """The hashes that stand beside the first `size` records."""
        asked = sa.select(RECORDS.c.hash).where(RECORDS.c.sequence < size).order_by(RECORDS.c.sequence)
        with self._store.reading() as connection:
            return [bytes(leaf) for (leaf,) in connection.execute(asked)]

    def last(self, kind: Kind | None = None) -> Record | None:
        """The latest record, or the latest of that kind."""
        with self._store.reading() as connection:
            found = store.latest(connection, None if kind is None else str(kind))
        return None if found is None else decoded(found)

    def kept(self, sequence: int) -> Kept | None:
        """What the vault keeps of the record at that place, as it stands; None where it keeps nothing."""
        with self._store.reading() as connection:
            return kept.at(connection, sequence)


def rows(connection: sa.Connection, first: int = 0) -> Iterator[Row]:
    """The rows of one state of the ledger, in order, from a sequence on."""
    asked = sa.select(RECORDS).where(RECORDS.c.sequence >= first).order_by(RECORDS.c.sequence)
    for part in connection.execute(asked).partitions(_PART):
        yield from map(Row._make, part)


def _stored(connection: sa.Connection, sequence: int) -> Any:
    """As the database has it; SQLite keeps a value of any type in any column."""
    return connection.execute(sa.select(RECORDS.c.record).where(RECORDS.c.sequence == sequence)).scalar()


def decoded(stored: Any, sequence: int | None = None) -> Record:
    """A record whose body is an object; LedgerError where what is stored is none. sequence: where it stands, if known.

    What the body holds is not looked at: audit.damage is for those who do.
    """
    try:
        record = decode(bytes(stored))
        if tuple(map(type, (record.sequence, record.event_id, record.body))) != (int, str, dict):
            raise TypeError("a record of another form")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        place = "ledger: a record" if sequence is None else f"record {sequence}"
        raise LedgerError(place, "it cannot be read", REMEDY) from error
    return record
