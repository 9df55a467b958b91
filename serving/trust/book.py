"""What all workers know of calls: which tokens were used, and how fast each issuer calls. One SQLite file.

A token's id counts as used once the transaction is in the write-ahead log, so a worker that dies forgets nothing. A
machine that loses its power may forget the last moments; tokens live for minutes.
"""

import asyncio
import hashlib
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from serving.trust.settings import Issuer

#: Seconds, and calls, between two sweeps of what has ended.
SWEEP_SECONDS = 30.0
SWEEP_CALLS = 1000
_BUSY_SECONDS = 2.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS used (digest BLOB PRIMARY KEY, ends REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS used_ends ON used (ends);
CREATE TABLE IF NOT EXISTS pace (issuer TEXT PRIMARY KEY, free REAL NOT NULL) WITHOUT ROWID;
"""
#: `free`: when the bucket will be full again, on the machine's monotonic clock. No row comes back where it is empty.
_PACE = """
INSERT INTO pace VALUES (:issuer, :now + :step)
ON CONFLICT (issuer) DO UPDATE SET free = max(free, :now) + :step
WHERE max(free, :now) + :step <= :now + :burst * :step RETURNING free
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """new: the token was not used before. wait: seconds until the issuer may call again, 0 where it may now."""

    new: bool
    wait: float = 0.0


class FullError(Exception):
    """As many tokens are remembered as may be; none can be taken without the risk of taking one twice."""


class CallBook:
    """Safe to use from one event loop; all work is done in one thread of its own."""

    def __init__(self, folder: Path, most: int) -> None:
        self.path, self.most = folder / "calls.db", most
        self.full = False
        self._calls, self._swept = 0, float("-inf")
        self._thread = ThreadPoolExecutor(1, "call-book")
        self._database: sqlite3.Connection | None = None

    async def admit(self, issuer: Issuer, once: str, ends: float) -> Verdict:
        """Count a call, and mark the token `once` as used until `ends` (seconds since 1970); empty: not to be marked.

        sqlite3.Error where the file cannot be used, FullError where it holds all it may.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._admit, issuer, once, ends)

    def begin_anew(self) -> None:
        """Make the file ready for the workers, every issuer with a full bucket; sqlite3.Error where that fails.

        The monotonic clock of an earlier boot means nothing, and tokens used before this start stay used.
        """
        self._thread.submit(lambda: self._opened().execute("DELETE FROM pace")).result()

    def close(self) -> None:
        """Wait for what is under way, then let go of the file."""
        self._thread.submit(self._close).result()
        self._thread.shutdown()

    def _admit(self, issuer: Issuer, once: str, ends: float) -> Verdict:
        database = self._opened()
        self._sweep(database)
        if once and self.full:
            raise FullError
        with database:
            database.execute("BEGIN IMMEDIATE")
            if wait := _wait(database, issuer):
                return Verdict(new=True, wait=wait)
            return Verdict(new=not once or _mark(database, issuer, once, ends))

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            made = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            made.execute("PRAGMA journal_mode = WAL")
            made.execute("PRAGMA synchronous = NORMAL")
            made.executescript(_SCHEMA)
            self._database = made
        return self._database

    def _sweep(self, database: sqlite3.Connection) -> None:
        """Forget tokens that have ended, now and then, and look whether there are too many."""
        self._calls += 1
        if self._calls < SWEEP_CALLS and time.monotonic() - self._swept < SWEEP_SECONDS:
            return
        database.execute("DELETE FROM used WHERE ends < ?", (time.time(),))
        self.full = database.execute("SELECT count(*) FROM used").fetchone()[0] >= self.most
        self._calls, self._swept = 0, time.monotonic()

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _wait(database: sqlite3.Connection, issuer: Issuer) -> float:
    """0 and one call less in the issuer's bucket, or the seconds until there is one in it."""
    now, step = time.monotonic(), 60.0 / issuer.calls_per_minute
    about = {"issuer": issuer.issuer, "now": now, "step": step, "burst": issuer.burst}
    if database.execute(_PACE, about).fetchone():
        return 0.0
    (free,) = database.execute("SELECT free FROM pace WHERE issuer = ?", (issuer.issuer,)).fetchone()
    return max(0.001, float(free) + step - now - issuer.burst * step)


def _mark(database: sqlite3.Connection, issuer: Issuer, once: str, ends: float) -> bool:
    digest = hashlib.sha256(f"{issuer.issuer}\n{once}".encode("utf-8", "surrogatepass")).digest()
    return database.execute("INSERT OR IGNORE INTO used VALUES (?, ?)", (digest, ends)).rowcount == 1
