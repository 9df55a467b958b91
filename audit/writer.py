"""The one writer of a node: a thread that commits what the workers ask for, all that arrived together at once.

While one group is on its way to the disk the next one gathers, so that slow disks cost time and not throughput. A
worker hears back after its records are on the disk, never before.
"""

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from audit import wire
from audit.events import ConflictError, Entry, Kind
from audit.ledger import Ledger
from features.errors import LedgerError

_LOGGER = logging.getLogger("crs_risk.audit")
#: Seconds that a worker may take to receive its answer.
_SEND_SECONDS = 1.0
_BACKLOG = 128
#: Who asks for nothing is told how the last write went, if it is no older than so many seconds; else one is made.
LOOK_SECONDS = 30.0


@dataclass(slots=True, eq=False)
class _Caller:
    """A worker's connection and what has arrived on it."""

    connection: socket.socket
    arrived: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class _Question:
    caller: _Caller
    entries: list[Entry]


class Writer:
    """Listens on `path` and writes to `ledger` until it is closed."""

    def __init__(self, ledger: Ledger, path: Path) -> None:
        self.path = path
        self._ledger = ledger
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(_BACKLOG)
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._beat = time.monotonic() + ledger.settings.heartbeat
        self._wrote = float("-inf")
        self._fault: LedgerError | None = None
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still writes."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Stop after what is being written; what was not answered was not promised."""
        self._wake.close()
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            for key in list(self._selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]
            self._selector.close()
            self.path.unlink(missing_ok=True)

    def _turn(self) -> bool:
        """One round: wait, read, commit, answer. False once it was told to stop."""
        ready = self._selector.select(max(0.0, self._beat - time.monotonic()))
        found = {key.fileobj for key, _ in ready}
        if self._listener in found:
            self._accept()
        questions = [one for key, _ in ready if key.data for one in self._read(key.data)]
        if questions:
            self._answer(questions)
        if time.monotonic() >= self._beat:
            self._heartbeat()
        return self._woken not in found

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(_SEND_SECONDS)
        self._selector.register(connection, selectors.EVENT_READ, _Caller(connection))

    def _read(self, caller: _Caller) -> list[_Question]:
        """Whole questions that have arrived; a caller that breaks off or the form is let go."""
        try:
            part = caller.connection.recv(1 << 18)
            if not part:
                raise ConnectionError
            caller.arrived += part
            questions = []
            while (message := wire.taken(caller.arrived)) is not None:
                questions.append(_Question(caller, wire.entries_of(message)))
        except (OSError, ValueError, KeyError, TypeError):
            self._let_go(caller)
            return []
        return questions

    def _answer(self, questions: list[_Question]) -> None:
        """Commit all in one transaction; where one event conflicts, each question by itself, so that it harms none."""
        for asks, group in groupby(questions, lambda one: bool(one.entries)):
            if asks:
                self._commit(list(group))
            else:
                for asked in group:
                    self._tell_standing(asked)

    def _commit(self, questions: list[_Question]) -> None:
        try:
            receipts = iter(self._ledger.append_all([one for asked in questions for one in asked.entries]))
        except ConflictError as error:
            self._apart(questions, error)
        except LedgerError as error:
            self._note(error)
            self._refuse(questions, error)
        else:
            self._note(None)
            answers = defaultdict[_Caller, list[bytes]](list)
            for asked in questions:
                answers[asked.caller].append(wire.told([next(receipts) for _ in asked.entries]))
            for caller, messages in answers.items():
                self._send(caller, *messages)

    def _apart(self, questions: list[_Question], error: LedgerError) -> None:
        if len(questions) == 1:
            self._refuse(questions, error)
            return
        for asked in questions:
            self._answer([asked])

    def _tell_standing(self, asked: _Question) -> None:
        """Whether records can be written; by a heartbeat where the last write is long ago, or failed."""
        if self._fault or time.monotonic() - self._wrote > LOOK_SECONDS:
            self._heartbeat()
        self._send(asked.caller, wire.failed(self._fault) if self._fault else wire.told([]))

    def _note(self, fault: LedgerError | None) -> None:
        self._wrote, self._fault = time.monotonic(), fault

    def _refuse(self, questions: list[_Question], error: LedgerError) -> None:
        for asked in questions:
            self._send(asked.caller, wire.failed(error))

    def _send(self, caller: _Caller, *messages: bytes) -> None:
        try:
            caller.connection.sendall(b"".join(map(wire.framed, messages)))
        except OSError:
            self._let_go(caller)

    def _heartbeat(self) -> None:
        """A ledger that stays silent for longer was cut, or its service was down. A beat that fails is logged."""
        try:
            self._ledger.append(Kind.HEARTBEAT, {"every_seconds": self._ledger.settings.heartbeat})
            self._note(None)
        except LedgerError as error:
            self._note(error)
            _LOGGER.error("no heartbeat: %s", error)
        self._beat = time.monotonic() + self._ledger.settings.heartbeat

    def _let_go(self, caller: _Caller) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(caller.connection)
        caller.connection.close()
