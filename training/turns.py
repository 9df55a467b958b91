"""Who does tasks, and in what order: results come as they were asked for, with few tasks on their way at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")

#: Tasks per worker that are on their way at a time; what is done waits for its turn, so that memory stays bounded.
AHEAD = 2


class Team(Protocol):
    """Whoever does the tasks: results in the order of the items."""

    def results(self, work: Callable[..., Any], shared: Sequence[Any], items: Iterable[Any]) -> Iterator[Any]: ...


class One:
    """One task after the other, in the caller's own thread."""

    def results(self, work: Callable[..., Any], shared: Sequence[Any], items: Iterable[Any]) -> Iterator[Any]:
        yield from (work(*shared, item) for item in items)


#: The team in use, where it is not the machine's own.
TEAM: ContextVar[Team | None] = ContextVar("team", default=None)


def alone(work: Callable[..., R], shared: Sequence[Any], item: Any) -> R:
    """One task in a thread or process of its own: what it would run side by side it runs in turn."""
    TEAM.set(One())
    return work(*shared, item)


def few_at_a_time(begun: Iterable[T], most: int) -> Iterator[T]:
    """The same in the same order, at most so many of them begun before the first of them is handed on.

    begun: futures. Those that are left when nobody takes more are cancelled.
    """
    held: deque[T] = deque()
    try:
        for one in begun:
            held.append(one)
            if len(held) >= most:
                yield held.popleft()
        while held:
            yield held.popleft()
    finally:
        for one in held:
            one.cancel()  # type: ignore[attr-defined]
