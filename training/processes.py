"""Tasks in processes of this machine, which hold what tasks share once between them.

Each process is a fresh interpreter that has inherited two things: one end of a pair of sockets, over which tasks come
and answers go, and the open file of a `Shelf`. Nobody else can reach either. A process that loses its asker ends at
once, whatever it is doing, so that none outlives a command that was killed.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from features.errors import ClusterError
from training.shelf import Shelf, from_bytes, to_bytes
from training.turns import AHEAD, few_at_a_time

ROOT = Path(__file__).resolve().parents[1]
#: One process, one processor: linear algebra and OpenMP do not start threads of their own.
ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class _Process:
    """One of them. known: number of the call whose shared things it holds."""

    def __init__(self, shelf: Shelf) -> None:
        here, there = socket.socketpair()
        with there:
            ends = (there.fileno(), shelf.file.fileno())
            self.process = subprocess.Popen(
                [sys.executable, "-m", "training.worker", *map(str, ends)],
                env=_environment(),
                pass_fds=ends,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for the command, which then ends its processes
            )
        self.line = Connection(here.detach())
        self.known = 0

    def do(self, work: Callable[..., Any], call: tuple[int, bytes], item: Any) -> Any:
        """The result of one task, or its error as itself. ClusterError where the process has ended."""
        number, packed = call
        try:
            self.line.send_bytes(to_bytes((packed if number != self.known else None, work, item)))
            self.known = number
            good, found = from_bytes(self.line.recv_bytes())
        except (EOFError, ConnectionError) as error:
            problem = f"a local process ended before its task did ({self._ending()})"
            raise ClusterError("workers", problem, "see that memory suffices, or set fewer workers") from error
        if not good:
            raise found
        return found

    def _ending(self) -> str:
        code = self.process.wait()
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def _environment() -> dict[str, str]:
    """Ours, with the same modules and the same warnings."""
    paths = [str(ROOT), *(path or os.getcwd() for path in sys.path)]
    return {**os.environ, **ALONE, "PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": ",".join(sys.warnoptions)}


class Processes:
    """So many processes, started with the first task and kept for the next ones until `close`."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._shelf = Shelf()
        self._all: list[_Process] = []
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        self._calls = 0

    @property
    def running(self) -> bool:
        return bool(self._all)

    def results(self, work: Callable[..., Any], shared: Sequence[Any], items: Iterable[Any]) -> Iterator[Any]:
        """As `Team.results`. Whatever breaks off, an error of a task or Ctrl-C, ends the processes and their work."""
        self._start()
        self._calls += 1
        call = (self._calls, self._shelf.packed(shared))
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                begun = (pool.submit(self._do, work, call, item) for item in items)
                for one in few_at_a_time(begun, AHEAD * self.workers):
                    yield one.result()
            except BaseException:
                self._kill()
                raise

    def _do(self, work: Callable[..., Any], call: tuple[int, bytes], item: Any) -> Any:
        process = self._idle.get()
        try:
            return process.do(work, call, item)
        finally:
            self._idle.put(process)

    def _start(self) -> None:
        if self._all:
            return
        self._idle = SimpleQueue()
        self._all = [_Process(self._shelf) for _ in range(self.workers)]
        for one in self._all:
            self._idle.put(one)

    def _kill(self) -> None:
        for one in self._all:
            one.kill()
        self._all = []

    def close(self) -> None:
        """End the processes and give back the room of what they shared."""
        lines = [one.line for one in self._all]
        self._kill()
        for line in lines:
            line.close()
        self._shelf.close()
