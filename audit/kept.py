"""The table of what the vault keeps, beside the records in the ledger's own database.

A row is written in the transaction of its record and may be deleted: only records are append-only. The record holds
the SHA-256 of the row's bytes, so that a row that was changed, swapped or taken away is found.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from audit.vault import key_of

_META = sa.MetaData()
_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEPT = sa.Table(
    "ledger_kept",
    _META,
    sa.Column("sequence", _WHOLE, primary_key=True, autoincrement=False),
    sa.Column("holder", sa.Text, nullable=False, index=True),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
#: Rows that are fetched together.
_PART = 100


class Kept(NamedTuple):
    """One row. sequence: of its record. holder: whose request it is, a pseudonym. key: the id of its data key."""

    sequence: int
    holder: str
    key: str
    sealed: bytes


def create(connection: sa.Connection) -> None:
    """Make the table where it is missing."""
    _META.create_all(connection)


def add(connection: sa.Connection, rows: Iterable[tuple[int, str, bytes]]) -> None:
    """Add rows of sequence, holder and sealed bytes; nothing where there is none."""
    made = [Kept(place, holder, key_of(sealed), sealed)._asdict() for place, holder, sealed in rows]
    if made:
        connection.execute(sa.insert(KEPT), made)


def at(connection: sa.Connection, sequence: int) -> Kept | None:
    """What is kept of the record at that place; None where nothing is."""
    found = connection.execute(sa.select(KEPT).where(KEPT.c.sequence == sequence)).first()
    return None if found is None else _row(found)


def every(connection: sa.Connection) -> Iterator[Kept]:
    """All rows in the order of their records; none where the table was never made."""
    if not sa.inspect(connection).has_table(KEPT.name):
        return
    for part in connection.execute(sa.select(KEPT).order_by(KEPT.c.sequence)).partitions(_PART):
        yield from map(_row, part)


def keys(connection: sa.Connection, holder: str) -> list[str]:
    """The ids of the data keys that a holder's rows were sealed with."""
    asked = sa.select(KEPT.c.key).where(KEPT.c.holder == holder).distinct().order_by(KEPT.c.key)
    return [str(one) for one in connection.execute(asked).scalars()]


def remove(connection: sa.Connection, holder: str, key: str) -> int:
    """Delete a holder's rows that were sealed with that key; how many they were."""
    return connection.execute(sa.delete(KEPT).where(KEPT.c.holder == holder, KEPT.c.key == key)).rowcount


def _row(found: "sa.Row[Any]") -> Kept:
    return Kept(found.sequence, found.holder, found.key, sealed_bytes(found.sealed))


def sealed_bytes(held: Any) -> bytes:
    """What stands in that column; b"" where SQLite was given a value of another type there."""
    return bytes(held) if isinstance(held, bytes | memoryview) else b""
