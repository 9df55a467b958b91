"""Whose course is answered now: one after the other, so that the event loop hears in between what came in meanwhile."""

import asyncio


class Turn:
    """Of one event loop, first come, first served. waiting: how many wait for theirs."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.waiting = 0

    async def __aenter__(self) -> None:
        self.waiting += 1
        try:
            await asyncio.sleep(0)  # who came in the same round of the loop is counted, too
            await self._lock.acquire()
        finally:
            self.waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()
