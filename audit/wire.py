"""How a worker asks the ledger's writer: one frame there, one frame back, on a Unix socket of this machine.

A frame is its length in four bytes, then JSON. Standard library only: a worker needs no database for it.
"""

import base64
import contextlib
import json
import queue
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audit.events import Entry, Kind, Receipt, plain
from features.errors import LedgerError

#: Names the writer's socket to a worker.
SOCKET = "CRS_RISK_LEDGER_SOCKET"
#: Longest frame in bytes, of the largest batch with room to spare.
MOST_BYTES = 64 << 20
#: Seconds after which a worker gives up on the writer; longer than the writer waits for the database.
WAIT_SECONDS = 15.0
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
    parts = (
        f'{{"kind":"{one.kind}","event_id":{json.dumps(one.event_id)},"body":'.encode() + plain(one.body) + _sealed(one)
        for one in entries
    )
    return b"[" + b",".join(parts) + b"]"


def _sealed(entry: Entry) -> bytes:
    """The end of an entry, with what the vault keeps of it."""
    return b',"kept":"' + base64.b64encode(entry.kept) + b'"}' if entry.kept else b"}"


def entries_of(message: bytes) -> list[Entry]:
    """As asked() wrote them; ValueError, KeyError or TypeError where they are none."""
    return [
        Entry(Kind(one["kind"]), one["body"], one["event_id"], base64.b64decode(one["kept"]) if "kept" in one else b"")
        for one in json.loads(message)
    ]


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


class Client:
    """Asks the writer. Safe to share between threads: each question has a connection of its own while it waits."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._idle: queue.LifoQueue[socket.socket] = queue.LifoQueue()

    def append_all(self, entries: Sequence[Entry]) -> list[Receipt]:
        """Record events in one transaction; on the disk when this returns, else LedgerError."""
        question = framed(asked(entries))
        connection = self._connection()
        try:
            connection.sendall(question)
            answer = _received(connection)
        except (OSError, ValueError) as error:
            connection.close()
            raise _silent() from error
        self._idle.put(connection)
        return receipts_of(answer)

    def append(self, kind: Kind, body: dict[str, Any], event_id: str = "") -> Receipt:
        """Record one event."""
        return self.append_all([Entry(kind, body, event_id)])[0]

    def close(self) -> None:
        while not self._idle.empty():
            self._idle.get_nowait().close()

    def _connection(self) -> socket.socket:
        with contextlib.suppress(queue.Empty):
            return self._idle.get_nowait()
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(WAIT_SECONDS)
        try:
            made.connect(self._path)
        except OSError as error:
            made.close()
            raise _silent() from error
        return made


def _received(connection: socket.socket) -> bytes:
    buffer = bytearray()
    while (message := taken(buffer)) is None:
        part = connection.recv(1 << 16)
        if not part:
            raise ConnectionError
        buffer += part
    return message


def _silent() -> LedgerError:
    return LedgerError("ledger", "its writer does not answer", "restart the service")
