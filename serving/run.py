"""Starts the service: check the promoted bundle, open the socket, start the workers, and end with them.

A bundle that fails its check ends the whole server with one error, before or after start; it is never retried.
A worker that dies of anything else is started again, a few times, on the bundle that the service started with.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from audit.wire import SOCKET
from audit.writer import Writer
from features.errors import BundleError, CatalogueError, CrsRiskError, LedgerError, StoreError, UsageError
from features.home import VARIABLE, Home, Live
from features.scratch import Scratch
from serving import configured, log
from serving.recording import recording
from serving.started import told
from serving.trust import start, tls
from serving.trust.tls import Certificate

BACKLOG = 2048
#: Ends per worker, without one becoming ready in between, before the server gives up.
MOST_FAILED_STARTS = 3
STOP_SECONDS = 25
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_ERRORS: tuple[type[CrsRiskError], ...] = (UsageError, BundleError, StoreError, CatalogueError, LedgerError)


def serve(
    home: Home,
    host: str = "127.0.0.1",
    port: int = 3000,
    workers: int = 1,
    on_ready: Callable[[str], None] | None = None,
    trust: Path | None = None,
    certificate: Certificate | None = None,
) -> None:
    """Serve the promoted bundle until SIGTERM or SIGINT; call from the main thread.

    on_ready is called once with the address when the first worker answers. Raises BundleError or StoreError where the
    bundle cannot be served, UsageError where the address cannot be opened or must not be without sign-in, LedgerError
    where nothing can be recorded, CrsRiskError where workers keep dying. trust: the file that says who may call;
    certificate: for TLS without a proxy.
    """
    _prepare(home)
    lines = log.form(os.environ)
    settings = start.settle(home, host, trust)
    tls.tell_workers(certificate)
    live = _checked(home)
    start.prepare(home, settings)
    log.configure(lines)
    read = configured.at_start(home, os.environ)
    begun = {**told(live), **configured.told(read)}
    with _listen(host, port) as listener, recording(home, live, workers, read) as writer:
        _Supervisor(listener, workers, on_ready, writer, begun, "https" if certificate else "http").run()


def _prepare(home: Home) -> None:
    """Settings that libraries read from the environment when they are first imported, here and in the workers."""
    os.environ[VARIABLE] = str(home.folder)
    os.environ["BENTOML_HOME"] = str(home.bentoml)
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"  # "1" would not count


def _checked(home: Home) -> Live:
    """The bundle that this service answers by until it ends: what is promoted meanwhile waits for the next start."""
    from serving.store import live_now, open_named

    live = live_now(home)
    open_named(home, live)
    return live


def check_address(host: str, port: int) -> None:
    """UsageError where the address cannot be opened now; asked before long work that ends in serving."""
    _listen(host, port).close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "not a usable address"
        raise UsageError("--host, --port", f"the address cannot be opened ({reason})", "choose another port") from error


class _Supervisor:
    """Keeps `count` workers alive on one socket. begun: tells each what the service was started with."""

    def __init__(
        self,
        listener: socket.socket,
        count: int,
        on_ready: Callable[[str], None] | None,
        writer: Writer,
        begun: Mapping[str, str],
        scheme: str = "http",
    ) -> None:
        self.listener = listener
        self.writer = writer
        self.begun = begun
        self.scheme = scheme
        self.count = count
        self.on_ready = on_ready
        self.stopping = False
        self.failed_starts = 0
        self.workers: list[subprocess.Popen[bytes]] = []
        self.lifeline, self._held = os.pipe()
        self.status, self._told = os.pipe()
        self._pending = b""
        self.scratch = Scratch("workers")

    def run(self) -> None:
        previous = {number: signal.signal(number, self._stop) for number in _STOPPING}
        try:
            self._watch()
        finally:
            self._end_workers()
            for number, handler in previous.items():
                signal.signal(number, handler)
            for pipe in (self.lifeline, self._held, self.status, self._told):
                os.close(pipe)
            self.scratch.close()

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _watch(self) -> None:
        while not self.stopping:
            if not self.writer.alive:
                raise LedgerError("ledger", "its writer has ended", "see the lines above, and start again")
            self.workers += [self._start() for _ in range(self.count - len(self.workers))]
            self._listen_to_workers(0.2)
            ended = [worker for worker in self.workers if worker.poll() is not None]
            if ended and not self.stopping:
                self._listen_to_workers(0.0)
                self._count_failures(ended)
            self.workers = [worker for worker in self.workers if worker not in ended]

    def _start(self) -> "subprocess.Popen[bytes]":
        pipes = (self.listener.fileno(), self.lifeline, self._told)
        command = [sys.executable, "-m", "serving.worker", *map(str, pipes)]
        root = str(Path(__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
        environment = {**os.environ, "PYTHONPATH": path, "PROMETHEUS_MULTIPROC_DIR": str(self.scratch.folder)}
        environment |= {SOCKET: str(self.writer.path), **self.begun}
        return subprocess.Popen(command, pass_fds=pipes, env=environment, stdin=subprocess.DEVNULL)

    def _listen_to_workers(self, seconds: float) -> None:
        if not select.select([self.status], [], [], seconds)[0]:
            return
        *lines, self._pending = (self._pending + os.read(self.status, 1 << 16)).split(b"\n")
        for line in lines:
            self._hear(json.loads(line))

    def _hear(self, message: dict[str, object]) -> None:
        if "failed" in message:
            raise _error(*message["failed"])  # type: ignore[misc]
        self.failed_starts = 0
        if self.on_ready:
            host, port = self.listener.getsockname()[:2]
            self.on_ready(f"{self.scheme}://[{host}]:{port}" if ":" in host else f"{self.scheme}://{host}:{port}")
            self.on_ready = None

    def _count_failures(self, ended: list["subprocess.Popen[bytes]"]) -> None:
        self.failed_starts += len(ended)
        if self.failed_starts > MOST_FAILED_STARTS * self.count:
            raise CrsRiskError("worker", f"{self.failed_starts} workers ended without serving", "see the lines above")

    def _end_workers(self) -> None:
        """Ask, wait, then insist."""
        for worker in self.workers:
            worker.terminate()
        until = time.monotonic() + STOP_SECONDS
        for worker in self.workers:
            try:
                worker.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


def _error(exit_code: int, place: str, problem: str, remedy: str) -> CrsRiskError:
    """The worker's error again, in this process."""
    kind = next((one for one in _ERRORS if one.exit_code == exit_code), CrsRiskError)
    return kind(place, problem, remedy)
