"""What an attacker can do to the rows of a ledger, for the tests and the tamper benchmark."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from audit.events import NO_RECORD, Kind
from audit.store import Row
from audit.tree import Frontier, leaf_hash

#: Signs size and root of a checkpoint that is written anew; returns the note.
Signs = Callable[[int, bytes], str]


def flipped(held: bytes, at: int, bits: int = 1) -> bytes:
    """The bytes with some bits of one of them turned over."""
    return held[:at] + bytes([held[at] ^ bits]) + held[at + 1 :]


def fitted(row: Row, record: bytes) -> Row:
    """The row with another record and the hash that fits it."""
    return row._replace(record=record, hash=leaf_hash(record))


def column_flips(row: Row) -> Iterator[dict[str, Any]]:
    """Each column beside the record with one byte or bit of it turned over."""
    for name in ("kind", "event_id"):
        text = getattr(row, name)
        yield from ({name: text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]} for at in range(len(text)))
    yield from ({"microseconds": row.microseconds ^ (1 << bit)} for bit in range(63))
    yield from ({"hash": flipped(row.hash, at)} for at in range(len(row.hash)))


def rewritten(rows: Sequence[Row], changed: int, sign: Signs | None = None) -> list[Row]:
    """The ledger with one body changed, every number and every hash computed anew; changed: -1 for none.

    sign: makes the notes of checkpoints; without it they stay as they are.
    """
    made: list[Row] = []
    frontier, previous = Frontier(), NO_RECORD
    for place, row in enumerate(rows):
        held = json.loads(row.record)
        held |= {"previous": previous, "sequence": place}
        if place == changed:
            held["body"] = {"probability": 0.0}
        elif sign and held["kind"] == Kind.CHECKPOINT:
            held["body"] = {"note": sign(place, frontier.root())}
        record = json.dumps(held, sort_keys=True, separators=(",", ":")).encode()
        made.append(fitted(row._replace(sequence=place), record))
        frontier.append(made[-1].hash)
        previous = made[-1].hash.hex()
    return made
