"""Tasks side by side: in threads or processes of this machine, or on a Dask cluster whose address was given. The same
tasks everywhere.

A task is a function of this package, what all tasks share, and one small item. What is shared travels to the workers
once, however many tasks read it, and must not be changed while it lives. A task runs in turn what it would itself have
run side by side.

Dask sends functions and data as pickles, so that whoever reaches the scheduler can run code on every worker: a cluster
has to be private and trusted, see docs/scaling.md. Nothing that came over the wire is stored as it came, in a bundle or
anywhere else, and no service reads it.
"""

import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from features.errors import ClusterError, UsageError
from training.here import Here, end_processes
from training.turns import AHEAD, TEAM, alone, few_at_a_time

T = TypeVar("T")
R = TypeVar("R")

ROOT = Path(__file__).resolve().parents[1]
#: What has to be the same everywhere, for the same task to give the same bits.
LIBRARIES = ("numpy", "scipy", "scikit-learn", "pandas", "xgboost-cpu", "distributed")
ROOMS, ENDINGS = ("features", "data", "training"), {".py", ".csv", ".toml"}
ADDRESS = re.compile(r"(tcp|tls)://[^/\s]+:\d+")
#: Seconds for the first word with the scheduler, between two looks at it, and without any worker before giving up.
CONNECT_SECONDS, LOOK_SECONDS, PATIENCE_SECONDS = 10.0, 2.0, 30.0
REMEDY = "see docs/scaling.md, or leave out --cluster"


def side_by_side(work: Callable[..., R], shared: Sequence[Any], items: Iterable[T], workers: int) -> list[R]:
    """`work(*shared, item)` of each item, in order, on the cluster or by that many workers of this machine."""
    return list(in_turn(work, shared, items, workers))


def in_turn(
    work: Callable[..., R], shared: Sequence[Any], items: Iterable[T], workers: int, heavy: bool = False
) -> Iterator[R]:
    """As `side_by_side`, each result as soon as its turn comes, with few tasks on their way at a time.

    Linear algebra runs on one thread everywhere, so that the same data give the same bits on any machine alike. heavy:
    the work is worth processes of this machine, however little it shares.
    """
    team = TEAM.get() or Here(workers, heavy)
    with threadpool_limits(limits=1, user_api="blas"):
        yield from team.results(work, shared, items)


@contextmanager
def on_cluster(address: str) -> Iterator[None]:
    """Within it tasks go to the Dask cluster at that address; with "" they stay on this machine, whose processes for
    them end with it.

    TLS is what Dask's own settings say. ClusterError where the cluster cannot be reached, has no worker, or a worker
    runs other code or libraries.
    """
    if not address:
        try:
            yield
        finally:
            end_processes()
        return
    if not ADDRESS.fullmatch(address):
        raise UsageError("--cluster", "not the address of a Dask scheduler", "write it as tcp://host:8786 or tls://...")
    with _client(address) as client:
        team = _Dask(client)
        team.check()
        token = TEAM.set(team)
        try:
            yield
        finally:
            TEAM.reset(token)


@contextmanager
def _client(address: str) -> Iterator[Any]:
    import distributed

    with warnings.catch_warnings():
        # Versions are compared by `check`, which stops where Dask would only warn.
        warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)
        try:
            client: Any = distributed.Client(  # type: ignore[no-untyped-call]
                address, timeout=CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, TimeoutError, ValueError, TypeError) as error:
            raise ClusterError("--cluster", f"no scheduler answers there ({type(error).__name__})", REMEDY) from error
    try:
        yield client
    finally:
        client.close(timeout=CONNECT_SECONDS)


class _Dask:
    """A cluster in use. What tasks share is kept by identity, so that it is sent once."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.own = facts()
        self._sent: dict[int, tuple[Any, Any]] = {}

    def check(self) -> None:
        """ClusterError unless there are workers, and all of them run this very code and these libraries."""
        try:
            found: Mapping[str, Any] = self.client.run(facts)
        except Exception as error:
            raise ClusterError("--cluster", f"a worker lacks this code ({type(error).__name__})", REMEDY) from error
        if not found:
            raise ClusterError("--cluster", "the scheduler has no workers", "start `dask worker`, see docs/scaling.md")
        for place, theirs in sorted(found.items()):
            compare(self.own, theirs, f"worker {place}")

    def results(self, work: Callable[..., Any], shared: Sequence[Any], items: Iterable[Any]) -> Iterator[Any]:
        try:
            held = [self._send(one) for one in shared]
            threads = max(1, sum(self.client.nthreads().values()))
            begun = (self.client.submit(_task, work, self.own, item, *held, pure=False) for item in items)
            for future in few_at_a_time(begun, AHEAD * threads):
                yield self._result(future)
        except (OSError, TimeoutError, CancelledError) as error:
            raise _lost(type(error).__name__) from error

    def _send(self, one: Any) -> Any:
        """What is shared, on every worker, so that it outlives the death of one."""
        if id(one) not in self._sent:
            # The list keeps Dask from taking a collection apart; what was sent is kept, so that its id stays its own.
            (future,) = self.client.scatter([one], broadcast=True, hash=False)
            self._sent[id(one)] = (one, future)
        return self._sent[id(one)][1]

    def _result(self, future: Any) -> Any:
        from distributed.scheduler import KilledWorker

        waited = 0.0
        while True:
            try:
                return future.result(timeout=LOOK_SECONDS)
            except KilledWorker as error:
                raise _lost("workers died of the same task") from error
            except TimeoutError:
                waited = 0.0 if self._has_workers() else waited + LOOK_SECONDS
                if waited >= PATIENCE_SECONDS:
                    raise _lost(f"no worker for {PATIENCE_SECONDS:.0f} seconds") from None

    def _has_workers(self) -> bool:
        return self.client.status == "running" and bool(self.client.nthreads())


def _lost(why: str) -> ClusterError:
    return ClusterError("--cluster", f"the cluster was lost on the way ({why})", "nothing was kept: run it again")


def _task(work: Callable[..., R], own: Mapping[str, str], item: Any, *shared: Any) -> R:
    """One task on a worker, which may have joined after the check."""
    compare(own, facts(), "a worker that joined later")
    threadpool_limits(limits=1, user_api="blas")
    return alone(work, shared, item)


@cache
def facts() -> dict[str, str]:
    """What this process computes with: Python, libraries, and a fingerprint of the code and its tables."""
    libraries = {name: version(name) for name in LIBRARIES}
    return {"python": sys.version.split()[0], **libraries, "code": code_fingerprint(ROOT)}


def code_fingerprint(root: Path) -> str:
    """SHA-256 over the names and bytes of the files that a task may run or read."""
    total = sha256()
    for path in sorted(path for room in ROOMS for path in (root / room).rglob("*") if path.suffix in ENDINGS):
        body = path.read_bytes()
        total.update(f"{path.relative_to(root).as_posix()} {len(body)}\n".encode())
        total.update(body)
    return total.hexdigest()


def compare(own: Mapping[str, str], theirs: Mapping[str, str], who: str) -> None:
    """ClusterError that names the first thing of which they run another version."""
    for name, version_here in own.items():
        if theirs.get(name) != version_here:
            shown = [str(one)[:16] for one in (theirs.get(name), version_here)]
            problem = f"runs {name} {shown[0]}, and this process {shown[1]}"
            raise ClusterError("--cluster", f"{who} {problem}", "install the same release and lock on all machines")
