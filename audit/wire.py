"""How a worker asks the ledger's writer: one frame there, one frame back, on a Unix socket of this machine.

A frame is its length in four bytes, then JSON; of a question first a line with all but the bodies, then a line for each
body, which is stored as it was written. Standard library only: a worker needs no database for it.
"""

import base64
import contextlib
import json
import queue
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
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

#: Waits until what was asked for is on the disk, and gives the receipts; LedgerError where that is not sure.
Recording = Callable[[], list[Receipt]]


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


class Client:
    """Asks the writer. Safe to share between threads: each question has a connection of its own while it waits."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._idle: queue.LifoQueue[socket.socket] = queue.LifoQueue()

    def append_all(self, entries: Sequence[Entry]) -> list[Receipt]:
        """Record events in one transaction; on the disk when this returns, else LedgerError."""
        return self.ask(entries)()

    def ask(self, entries: Sequence[Entry]) -> Recording:
        """Ask for the same and go on meanwhile; LedgerError here where nobody can be asked."""
        question = framed(asked(entries))
        connection = self._connection()
        with _heard(connection):
            connection.sendall(question)
        return partial(self._end, connection)

    def _end(self, connection: socket.socket) -> list[Receipt]:
        with _heard(connection):
            answer = _received(connection)
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


@contextlib.contextmanager
def _heard(connection: socket.socket) -> Iterator[None]:
    """LedgerError, and no more of this connection, where it breaks off."""
    try:
        yield
    except (OSError, ValueError) as error:
        connection.close()
        raise _silent() from error


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
