"""Whose course is answered now, and what its record may wait for."""

import asyncio
from collections.abc import Sequence

import msgspec

from audit.events import Entry, Receipt
from features import catalogue
from features.predict import Predictor
from serving.answerer import Answerer
from serving.decode import predict_request
from serving.intake import take
from serving.recorded import Asked, Recorder
from serving.trust.caller import NOBODY
from serving.turn import Turn
from tests.serving.builders import example, trained_bundle


def test_turns_go_to_those_who_came_first_and_count_those_who_wait() -> None:
    turn, seen = Turn(), list[tuple[str, int]]()

    async def one(name: str) -> None:
        async with turn:
            seen.append((name, turn.waiting))
            await asyncio.sleep(0)

    async def all_of_them() -> None:
        await asyncio.gather(*map(one, "abc"))

    asyncio.run(all_of_them())
    assert seen == [("a", 2), ("b", 1), ("c", 0)]
    assert turn.waiting == 0


def test_a_turn_ends_with_an_error_and_who_gives_up_waits_no_longer() -> None:
    turn = Turn()

    async def failing() -> None:
        async with turn:
            await asyncio.sleep(0.01)
            raise ValueError

    async def both() -> None:
        first = asyncio.create_task(failing())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second = asyncio.create_task(turn.__aenter__())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert turn.waiting == 1
        second.cancel()
        found = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(one) for one in found] == [ValueError, asyncio.CancelledError]
        assert turn.waiting == 0
        async with turn:
            pass

    asyncio.run(both())


def test_a_course_is_answered_while_the_one_before_is_recorded_and_its_record_is_told_how_many_follow() -> None:
    by, given = Answerer(Predictor(trained_bundle(), catalogue.load()), "7"), msgspec.json.encode(example())
    intake, asked = take(by.catalogue, predict_request(given)), Asked("/predict", given, 0.0, NOBODY)
    steps: list[str] = []

    class Slow:
        def append_all(self, entries: Sequence[Entry]) -> list[Receipt]:
            raise AssertionError(entries)

        async def _written(self) -> list[Receipt]:
            await asyncio.sleep(0.01)
            steps.append("written")
            return [Receipt(1, "ab" * 32)]

        def ask(self, entries: Sequence[Entry], behind: int = 0) -> "asyncio.Task[list[Receipt]]":
            steps.append(f"{len(entries)} asked, {behind} behind")
            return asyncio.create_task(self._written())

    recorder = Recorder(Slow(), b"key")

    async def call() -> bytes:
        async with recorder.turn:
            leaving = recorder.answer(asked, intake, by)
        return await leaving.told()

    async def calls() -> list[bytes]:
        return await asyncio.gather(*(call() for _ in range(3)))

    told = asyncio.run(calls())
    assert steps == ["1 asked, 2 behind", "1 asked, 1 behind", "1 asked, 0 behind"] + ["written"] * 3
    assert all(one.endswith(b',"record":{"sequence":1,"hash":"' + b"ab" * 32 + b'"}}') for one in told)
