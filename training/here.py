"""Tasks on this machine: in threads where they are small, in processes of their own where those pay."""

import atexit
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from training.processes import Processes
from training.turns import AHEAD, One, alone, few_at_a_time

#: Bytes of shared arrays from which processes are started for tasks, and from which tasks go to those that run already;
#: below, their start, or the way there, costs more than it gains: docs/adr/0021-dask-and-streaming.md.
START_BYTES, GO_BYTES = 2_000_000, 200_000
#: Processes that shared more are ended with the call: memory counts more then than starting some anew.
KEEP_BYTES = 50_000_000
#: By number of workers, those that were started.
_KEPT: dict[int, Processes] = {}


@dataclass(frozen=True, slots=True)
class Here:
    """So many workers of this machine. heavy: the tasks are worth processes, however little they share."""

    workers: int
    heavy: bool = False

    def results(self, work: Callable[..., Any], shared: Sequence[Any], items: Iterable[Any]) -> Iterator[Any]:
        if self.workers == 1:
            return One().results(work, shared, items)
        if self.heavy or size_of(shared) >= (GO_BYTES if self.workers in _KEPT else START_BYTES):
            return self._in_processes(work, shared, items)
        return self._in_threads(work, shared, items)

    def _in_processes(self, work: Callable[..., Any], shared: Sequence[Any], items: Iterable[Any]) -> Iterator[Any]:
        yield from _processes(self.workers).results(work, shared, items)
        if size_of(shared) > KEEP_BYTES:
            end_processes()

    def _in_threads(self, work: Callable[..., Any], shared: Sequence[Any], items: Iterable[Any]) -> Iterator[Any]:
        with ThreadPoolExecutor(self.workers) as pool:
            begun = (pool.submit(alone, work, shared, item) for item in items)
            for one in few_at_a_time(begun, AHEAD * self.workers):
                yield one.result()


def _processes(workers: int) -> Processes:
    if not _KEPT:
        atexit.register(end_processes)
    if workers not in _KEPT:
        _KEPT[workers] = Processes(workers)
    return _KEPT[workers]


def running() -> bool:
    """Whether there are processes now."""
    return any(one.running for one in _KEPT.values())


def end_processes() -> None:
    """The next task that needs some starts them anew."""
    atexit.unregister(end_processes)
    while _KEPT:
        _KEPT.popitem()[1].close()


def size_of(shared: Any, depth: int = 3) -> int:
    """Bytes of the arrays in lists, mappings and dataclasses, a few levels deep."""
    if isinstance(shared, np.ndarray):
        return shared.nbytes
    return sum(size_of(part, depth - 1) for part in _parts(shared)) if depth else 0


def _parts(shared: Any) -> Iterable[Any]:
    if isinstance(shared, Mapping):
        return shared.values()
    if isinstance(shared, list | tuple):
        return shared
    return [getattr(shared, field.name) for field in fields(shared)] if is_dataclass(shared) else []
