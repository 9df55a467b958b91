"""The one writer of a node, asked by several callers at once."""

import contextlib
import socket
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from audit import wire
from audit.client import Client
from audit.events import NO_RECORD, Entry, Kind, encode
from audit.ledger import Ledger
from audit.verify import verify
from audit.wire import asked, entries_of
from audit.writer import Writer
from features.errors import LedgerError
from tests.audit.builders import START, Deployment


@pytest.fixture
def ledger(deployment: Deployment) -> Iterator[Ledger]:
    with deployment.open() as opened:
        yield opened


@pytest.fixture
def writer(ledger: Ledger, short: Path) -> Iterator[Writer]:
    made = Writer(ledger, short / "socket")
    yield made
    made.close()


@pytest.fixture
def client(writer: Writer) -> Iterator[Client]:
    made = Client(writer.path)
    yield made
    made.close()


def test_what_is_asked_for_is_in_the_ledger_when_the_receipt_comes(client: Client, ledger: Ledger) -> None:
    receipt = client.append(Kind.PREDICTION, {"a": 0.1}, "p-1")
    record = ledger.find("p-1")
    assert record is not None
    assert (record.sequence, record.hash, record.body) == (receipt.sequence, receipt.hash, {"a": 0.1})
    assert client.append(Kind.PREDICTION, {"a": 0.1}, "p-1") == receipt


def test_callers_at_once_each_get_their_own_receipts_and_share_one_chain(client: Client, ledger: Ledger) -> None:
    found: dict[str, tuple[int, str]] = {}

    def ask(name: str) -> None:
        for place in range(20):
            names = [f"{name}-{place}-{part}" for part in range(3)]
            receipts = client.append_all([Entry(Kind.PREDICTION, {"of": one}, one) for one in names])
            found.update({one: (held.sequence, held.hash) for one, held in zip(names, receipts, strict=True)})

    threads = [threading.Thread(target=ask, args=(f"t{number}",)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    held = {one.event_id: (one.sequence, one.hash) for one in ledger.records(Kind.PREDICTION)}
    assert held == found
    assert len(held) == 8 * 20 * 3
    assert verify(ledger).whole


def test_a_conflict_harms_only_who_asked(client: Client, ledger: Ledger) -> None:
    client.append(Kind.PREDICTION, {"a": 1}, "taken")
    failed: list[str] = []

    def ask(number: int) -> None:
        try:
            client.append(Kind.PREDICTION, {"a": 2}, "taken" if number == 3 else f"free-{number}")
        except LedgerError as error:
            failed.append(error.problem)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failed == ["that event is recorded already with another content"]
    assert len([one for one in ledger.records(Kind.PREDICTION) if one.event_id.startswith("free-")]) == 7


@contextlib.contextmanager
def locked(small: Deployment) -> Iterator[None]:
    """Another connection writes and does not end."""
    with contextlib.closing(sqlite3.connect(small.home.ledger / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_database_that_is_locked_fails_the_caller_and_nothing_is_recorded(
    small: Deployment, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.database.BUSY_SECONDS", 0.2)
    with small.open() as ledger:
        writer = Writer(ledger, short / "socket")
        client = Client(writer.path)
        with locked(small), pytest.raises(LedgerError, match="the database cannot be used"):
            client.append(Kind.PREDICTION, {}, "p-1")
        assert ledger.find("p-1") is None
        assert client.append(Kind.PREDICTION, {}, "p-1").sequence > 0
        client.close()
        writer.close()


def test_a_writer_that_is_gone_fails_the_caller(ledger: Ledger, short: Path) -> None:
    writer = Writer(ledger, short / "socket")
    client = Client(writer.path)
    client.append(Kind.HEARTBEAT, {})
    writer.close()
    for _ in range(2):
        with pytest.raises(LedgerError, match="does not answer"):
            client.append(Kind.HEARTBEAT, {})
    client.close()
    assert not writer.alive
    assert not writer.path.exists()


@pytest.mark.parametrize(
    "sent", [b"\xff\xff\xff\xff", wire.framed(b"no json"), wire.framed(b'[{"kind": "x"}]'), b"\x00"]
)
def test_a_caller_that_breaks_the_form_is_let_go_and_the_others_go_on(
    writer: Writer, client: Client, sent: bytes
) -> None:
    with socket.socket(socket.AF_UNIX) as odd:
        odd.connect(str(writer.path))
        odd.sendall(sent)
        if sent != b"\x00":
            assert odd.recv(1) == b""
    assert client.append(Kind.HEARTBEAT, {}).sequence > 0
    assert writer.alive


def test_the_socket_is_for_its_owner_alone(writer: Writer) -> None:
    assert writer.path.stat().st_mode & 0o777 == 0o600


def test_who_asks_for_nothing_is_told_whether_records_can_be_written(
    small: Deployment, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the last write, so that a probe adds no record where calls come in; by a heartbeat where that failed."""
    monkeypatch.setattr("audit.database.BUSY_SECONDS", 0.2)
    with small.open() as ledger:
        writer = Writer(ledger, short / "socket")
        client = Client(writer.path)
        assert [client.append_all([]) for _ in range(3)] == [[], [], []]
        assert len(list(ledger.records(Kind.HEARTBEAT))) == 1
        with locked(small):
            assert client.append_all([]) == []  # nothing was tried since
            for entries in ([Entry(Kind.PREDICTION, {}, "p-1")], []):
                with pytest.raises(LedgerError, match="the database cannot be used"):
                    client.append_all(entries)
        assert client.append_all([]) == []
        assert len(list(ledger.records(Kind.HEARTBEAT))) == 2
        client.close()
        writer.close()


def test_a_running_writer_beats(small: Deployment, short: Path) -> None:
    small.settings = replace(small.settings, heartbeat=0.05)
    with small.open() as ledger:
        writer = Writer(ledger, short / "socket")
        threading.Event().wait(0.4)
        writer.close()
        beats = list(ledger.records(Kind.HEARTBEAT))
    assert len(beats) >= 2
    assert beats[0].body == {"every_seconds": 0.05}


def test_asking_needs_no_database_library() -> None:
    import subprocess
    import sys

    code = "import sys; sys.modules.update(sqlalchemy=None, pandas=None); import audit.client, audit.runtime"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_body_is_stored_as_the_bytes_that_its_worker_wrote() -> None:
    entry = Entry(Kind.PREDICTION, {"b": 1e-05, "a": "é\n", "c": [0.1, None]}, "x")
    (held,) = entries_of(asked([entry]))
    assert held == entry
    assert encode(held, 0, START, NO_RECORD) == encode(entry, 0, START, NO_RECORD)
    with pytest.raises(ValueError, match="Extra data"):
        entries_of(asked([entry]).replace(b'{"a"', b'{} {"a"'))
    with pytest.raises(TypeError):
        entries_of(b'[["prediction","x",""]]\n[]')
