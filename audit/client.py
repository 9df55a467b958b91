"""Asks the ledger's writer, from threads or from an event loop. Standard library only: no database is needed for it.

Threads take a connection each while they wait. An event loop has one for all: what it asks while a group is on its way
to the disk reaches the writer together.
"""

import asyncio
import contextlib
import queue
import socket
from collections import deque
from collections.abc import Awaitable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.events import Entry, Kind, Receipt
from audit.wire import asked, framed, receipts_of, taken
from features.errors import LedgerError

#: Seconds after which a worker gives up on the writer; longer than the writer waits for the database.
WAIT_SECONDS = 15.0
#: Seconds that a question of an event loop waits at most for those that follow it.
HOLD_SECONDS = 0.05
#: So many have to follow for that.
SEVERAL = 2
_PART_BYTES = 1 << 16


class Client:
    """Asks the writer that listens on `path`. Safe to share between threads and one event loop at a time."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._idle: queue.LifoQueue[socket.socket] = queue.LifoQueue()
        self._line: _Line | None = None

    def append_all(self, entries: Sequence[Entry]) -> list[Receipt]:
        """Record events in one transaction; on the disk when this returns, else LedgerError."""
        question = framed(asked(entries))
        connection = self._connection()
        with _heard(connection):
            connection.sendall(question)
            answer = _received(connection)
        self._idle.put(connection)
        return _understood(answer)

    def ask(self, entries: Sequence[Entry], behind: int = 0) -> Awaitable[list[Receipt]]:
        """Ask for the same from an event loop; on the disk once it was awaited. LedgerError where that is not sure.

        behind: how many questions are about to follow. Where they are several, this one waits for them, because one
        commit costs little more than one record; where one is, nobody waits for the other's answer.
        """
        question = framed(asked(entries))
        line = self._opened()
        return _Recording(line, line.ask(question, behind))

    def append(self, kind: Kind, body: dict[str, Any], event_id: str = "") -> Receipt:
        """Record one event."""
        return self.append_all([Entry(kind, body, event_id)])[0]

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
        while not self._idle.empty():
            self._idle.get_nowait().close()

    def _opened(self) -> "_Line":
        line = self._line
        if line is None or not line.is_open():
            if line is not None:
                line.close()
            line = self._line = _Line(self._connected())
        return line

    def _connection(self) -> socket.socket:
        with contextlib.suppress(queue.Empty):
            return self._idle.get_nowait()
        return self._connected()

    def _connected(self) -> socket.socket:
        """At once: the system accepts for the writer, however busy that is."""
        with contextlib.ExitStack() as undo:
            try:
                made = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                made.settimeout(WAIT_SECONDS)
                made.connect(self._path)
            except OSError as error:
                raise _silent() from error
            undo.pop_all()
        return made


class _Line:
    """An event loop's connection. Answers come in the order of the questions; b"" where it ended before one.

    The socket is written to at once: a transport would wait for the end of the loop's round.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket, self._loop = connected, asyncio.get_running_loop()
        self._asked: deque[asyncio.Future[bytes]] = deque()
        self._arrived, self._leaving = bytearray(), bytearray()
        self._held: asyncio.TimerHandle | None = None
        connected.setblocking(False)
        self._loop.add_reader(connected, self.listen)

    def is_open(self) -> bool:
        """Whether the loop that runs now can ask on it."""
        return self._socket.fileno() >= 0 and self._loop is asyncio.get_running_loop()

    def ask(self, question: bytes, behind: int) -> asyncio.Future[bytes]:
        waiting: asyncio.Future[bytes] = self._loop.create_future()
        self._asked.append(waiting)
        self._leaving += question
        if behind < SEVERAL:
            self._write()
        elif self._held is None:
            self._held = self._loop.call_later(HOLD_SECONDS, self._write)
        return waiting

    def listen(self) -> None:
        """Take what has arrived, if anything has."""
        try:
            part = self._socket.recv(_PART_BYTES)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        self._arrived += part
        try:
            while (answer := taken(self._arrived)) is not None:
                _settle(self._asked.popleft(), answer)
        except (ValueError, IndexError):
            part = b""
        if not part:
            self.close()

    def close(self) -> None:
        """Nobody waits in a loop that was closed."""
        self._release()
        if self._socket.fileno() >= 0 and not self._loop.is_closed():
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            for waiting in self._asked:
                _settle(waiting, b"")
        self._socket.close()
        self._asked.clear()
        self._leaving.clear()

    def _release(self) -> None:
        """No question is held any longer."""
        if self._held is not None:
            self._held.cancel()
            self._held = None

    def _write(self) -> None:
        """As much as the socket takes; the rest when it takes more."""
        self._release()
        try:
            del self._leaving[: self._socket.send(self._leaving)]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self._leaving:
            self._loop.add_writer(self._socket, self._write)
        else:
            self._loop.remove_writer(self._socket)


@dataclass(frozen=True, slots=True)
class _Recording:
    """What was asked for on a line; to await it gives the receipts."""

    line: _Line
    answer: "asyncio.Future[bytes]"

    def __await__(self) -> Generator[Any, None, list[Receipt]]:
        if not self.answer.done():
            self.line.listen()  # it may be there already, and the loop need not go round for it
        return self._receipts().__await__()

    async def _receipts(self) -> list[Receipt]:
        try:
            async with asyncio.timeout(None if self.answer.done() else WAIT_SECONDS):
                answer = await self.answer
        except TimeoutError:
            self.line.close()  # or what nobody waits for any more would be kept, and recorded, once the writer wakes
            raise _silent() from None
        return _understood(answer)


def _understood(answer: bytes) -> list[Receipt]:
    """The receipts; LedgerError where the writer could not record, or gave no answer that is one."""
    try:
        return receipts_of(answer)
    except (ValueError, KeyError, TypeError) as error:
        raise _silent() from error


def _settle(waiting: "asyncio.Future[bytes]", answer: bytes) -> None:
    """Who has given up keeps its place, so that the next answer reaches the right one."""
    if not waiting.done():
        waiting.set_result(answer)


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
        part = connection.recv(_PART_BYTES)
        if not part:
            raise ConnectionError
        buffer += part
    return message


def _silent() -> LedgerError:
    return LedgerError("ledger", "its writer does not answer", "restart the service")
