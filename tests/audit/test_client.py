"""The writer asked from an event loop."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from audit import client as module
from audit import wire
from audit.client import Client
from audit.events import Entry, Kind, Receipt
from audit.ledger import Ledger
from audit.verify import verify
from audit.writer import Writer
from features.errors import LedgerError
from tests.audit.builders import Deployment

Answer = Callable[[socket.socket], None]


def entry(name: str) -> Entry:
    return Entry(Kind.PREDICTION, {"of": name}, name)


@pytest.fixture
def ledger(deployment: Deployment) -> Iterator[Ledger]:
    with deployment.open() as opened:
        yield opened


@contextlib.contextmanager
def answering(path: Path, answer: Answer) -> Iterator[Client]:
    """A client of somebody who accepts one connection and does what `answer` does with it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def run() -> None:
            with listener.accept()[0] as connection:
                answer(connection)

        thread = threading.Thread(target=run)
        thread.start()
        client = Client(path)
        yield client
        client.close()
        thread.join()


async def waited(asked: Awaitable[list[Receipt]]) -> list[Receipt]:
    return await asked


def read_all(connection: socket.socket, count: int) -> list[bytes]:
    """So many frames."""
    buffer, found = bytearray(), list[bytes]()
    while len(found) < count:
        buffer += connection.recv(1 << 16)
        while (message := wire.taken(buffer)) is not None:
            found.append(message)
    return found


def test_what_was_asked_for_together_is_in_the_ledger_each_with_its_own_receipt(ledger: Ledger, short: Path) -> None:
    writer = Writer(ledger, short / "socket")
    client = Client(writer.path)

    async def ask(name: str, behind: int) -> tuple[str, Receipt]:
        (receipt,) = await client.ask([entry(name)], behind)
        return name, receipt

    async def run(start: int) -> list[tuple[str, Receipt]]:
        return await asyncio.gather(*(ask(f"p-{start + place}", place % 4) for place in range(100)))

    found = dict(asyncio.run(run(0)))
    found |= dict(asyncio.run(run(100)))  # another loop, another line
    held = {one.event_id: Receipt(one.sequence, one.hash) for one in ledger.records(Kind.PREDICTION)}
    assert held == found
    assert len(held) == 200
    client.close()
    writer.close()
    assert verify(ledger).whole


def test_a_question_waits_for_those_behind_it_and_for_none_where_one_follows(short: Path) -> None:
    arrived: list[list[bytes]] = []

    def answer(connection: socket.socket) -> None:
        for count in (1, 3):
            part = connection.recv(1 << 16)
            frames = bytearray(part)
            arrived.append([])
            while (message := wire.taken(frames)) is not None:
                arrived[-1].append(message)
            assert len(arrived[-1]) == count
            connection.sendall(b"".join(wire.framed(wire.told([Receipt(place, "h")])) for place in range(count)))

    async def run(client: Client) -> None:
        assert await client.ask([entry("alone")], 1) == [Receipt(0, "h")]
        asked = [client.ask([entry(name)], behind) for name, behind in (("a", 3), ("b", 2), ("c", 1))]
        assert [await one for one in asked] == [[Receipt(place, "h")] for place in range(3)]

    with answering(short / "socket", answer) as client:
        asyncio.run(run(client))
    assert [len(one) for one in arrived] == [1, 3]


def test_a_question_whose_followers_never_come_is_asked_all_the_same(short: Path) -> None:
    def answer(connection: socket.socket) -> None:
        read_all(connection, 1)
        connection.sendall(wire.framed(wire.told([Receipt(4, "h")])))

    async def run(client: Client) -> None:
        assert await client.ask([entry("a")], 9) == [Receipt(4, "h")]

    with answering(short / "socket", answer) as client:
        asyncio.run(run(client))


def test_more_than_the_socket_takes_at_once_arrives_whole_and_in_order(short: Path) -> None:
    names = [f"{place}-{'x' * 9000}" for place in range(200)]
    arrived: list[str] = []

    def answer(connection: socket.socket) -> None:
        arrived.extend(wire.entries_of(one)[0].event_id for one in read_all(connection, len(names)))
        for place in range(len(names)):
            connection.sendall(wire.framed(wire.told([Receipt(place, "h")])))

    async def run(client: Client) -> None:
        asked = [client.ask([entry(name)]) for name in names]
        assert [(await one)[0].sequence for one in asked] == list(range(len(names)))

    with answering(short / "socket", answer) as client:
        asyncio.run(run(client))
    assert arrived == names


def test_who_gives_up_does_not_take_the_receipt_of_the_next(short: Path) -> None:
    def answer(connection: socket.socket) -> None:
        read_all(connection, 2)
        for place in (7, 8):
            connection.sendall(wire.framed(wire.told([Receipt(place, "h")])))

    async def run(client: Client) -> None:
        first = asyncio.create_task(waited(client.ask([entry("a")])))
        await asyncio.sleep(0)
        first.cancel()
        assert await client.ask([entry("b")]) == [Receipt(8, "h")]

    with answering(short / "socket", answer) as client:
        asyncio.run(run(client))


@pytest.mark.parametrize(
    "sent", [b"", b"\xff\xff\xff\xff", wire.framed(wire.told([])) * 3], ids=["ends", "too long", "unasked"]
)
def test_a_line_that_breaks_off_fails_all_who_wait_and_the_next_opens_another(short: Path, sent: bytes) -> None:
    async def run(client: Client) -> None:
        asked = [client.ask([entry(name)]) for name in "ab"]
        found = await asyncio.gather(*asked, return_exceptions=True)
        failed = [one for one in found if isinstance(one, LedgerError)]
        assert [one.problem for one in failed] == ["its writer does not answer"] * (2 if len(sent) < 5 else 0)
        await asyncio.sleep(0)
        (short / "socket").unlink()
        with pytest.raises(LedgerError, match="does not answer"):
            await client.ask([entry("c")])

    def answer(connection: socket.socket) -> None:
        read_all(connection, 2)
        connection.sendall(sent)

    with answering(short / "socket", answer) as client:
        asyncio.run(run(client))


def test_a_writer_that_says_nothing_is_given_up(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)
    done = threading.Event()

    def answer(connection: socket.socket) -> None:
        read_all(connection, 1)
        done.wait()

    async def run(client: Client) -> None:
        asked = [client.ask([entry(name)]) for name in "ab"]
        found = await asyncio.gather(*map(waited, asked), return_exceptions=True)
        assert [str(one) for one in found] == ["ledger: its writer does not answer; restart the service"] * 2
        assert not client._line._asked  # type: ignore[union-attr]
        done.set()

    with answering(short / "socket", answer) as client:
        asyncio.run(run(client))


@pytest.mark.parametrize("sent", [b"no json", b"[]", b"{}", b'{"receipts": [[1]]}'])
def test_an_answer_of_another_form_is_none(short: Path, sent: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        read_all(connection, 1)
        connection.sendall(wire.framed(sent))

    async def run(client: Client) -> None:
        with pytest.raises(LedgerError, match="does not answer"):
            await client.ask([entry("a")])

    with answering(short / "socket", answer) as client:
        asyncio.run(run(client))


def test_a_process_without_file_descriptors_left_is_told_so(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: int) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("audit.client.socket.socket", none)
    with pytest.raises(LedgerError, match="does not answer"):
        Client(short / "socket").append_all([entry("a")])


def test_the_answers_of_one_line_keep_the_order_of_its_questions(ledger: Ledger, short: Path) -> None:
    writer = Writer(ledger, short / "socket")
    client = Client(writer.path)

    async def run() -> list[list[Receipt]]:
        return await asyncio.gather(*(client.ask(held, 9) for held in ([entry("a")], [], [entry("b")])))

    first, nothing, last = asyncio.run(run())
    assert [len(first), len(nothing), len(last)] == [1, 0, 1]
    assert [ledger.find(name).sequence for name in "ab"] == [first[0].sequence, last[0].sequence]  # type: ignore[union-attr]
    client.close()
    writer.close()
