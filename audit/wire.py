"""What a worker and the ledger's writer say to each other: one frame there, one frame back, on a Unix socket.

A frame is its length in four bytes, then JSON; of a question first a line with all but the bodies, then a line for each
body, which is stored as it was written. Frames of one connection are answered in their order.
"""

import base64
import json
from collections.abc import Sequence
from typing import Any

from audit.events import Entry, Kind, Receipt, plain
from features.errors import LedgerError

#: Names the writer's socket to a worker.
SOCKET = "CRS_RISK_LEDGER_SOCKET"
#: Longest frame in bytes, of the largest batch with room to spare.
MOST_BYTES = 64 << 20
_LENGTH = 4


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(_LENGTH, "big") + message


def taken(buffer: bytearray) -> bytes | None:
    """The first whole frame of what has arrived, taken out of it; None where none is whole, ValueError if too long."""
    if len(buffer) < _LENGTH:
        return None
    length = int.from_bytes(buffer[:_LENGTH], "big")
    if length > MOST_BYTES:
        raise ValueError("a frame that is too long")
    if len(buffer) < _LENGTH + length:
        return None
    message = bytes(buffer[_LENGTH : _LENGTH + length])
    del buffer[: _LENGTH + length]
    return message


def asked(entries: Sequence[Entry]) -> bytes:
    """The question of a worker; LedgerError where a body is not plain JSON."""
    heads = [[str(one.kind), one.event_id, base64.b64encode(one.kept).decode()] for one in entries]
    return b"\n".join([json.dumps(heads).encode(), *(plain(one.body) for one in entries)])


def entries_of(message: bytes) -> list[Entry]:
    """As asked() wrote them; ValueError, KeyError or TypeError where they are none."""
    heads, *bodies = message.split(b"\n")
    return [
        Entry(Kind(kind), _object(text), event_id, base64.b64decode(kept), text)
        for (kind, event_id, kept), text in zip(json.loads(heads), bodies, strict=True)
    ]


def _object(text: bytes) -> dict[str, Any]:
    """What is stored as it came has at least to be one JSON object."""
    held = json.loads(text)
    if not isinstance(held, dict):
        raise TypeError("a body that is no object")
    return held


def told(receipts: Sequence[Receipt]) -> bytes:
    return json.dumps({"receipts": [[one.sequence, one.hash] for one in receipts]}).encode()


def failed(error: LedgerError) -> bytes:
    return json.dumps({"error": [error.place, error.problem, error.remedy]}).encode()


def receipts_of(message: bytes) -> list[Receipt]:
    """The writer's answer; LedgerError where it could not record."""
    held = json.loads(message)
    if "error" in held:
        raise LedgerError(*held["error"])
    return [Receipt(*one) for one in held["receipts"]]
