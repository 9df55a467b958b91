"""Kills the real service at random instants under load, and asks each time whether a promise of the ledger was broken.

    .venv/bin/python benchmarks/ledger_crash.py --kills 200 --seed 1

Two services run side by side, one with one worker and one with two workers and the vault, each with four callers that
keep every answer's receipt; both sign a checkpoint every 50 records, so that kills meet that, too. SIGKILL goes to all
processes of a service at once, to one worker, to the parent (which holds the ledger's writer), or to all while they
start. After each kill the whole ledger is verified, and every answer that a caller had in full has to stand in it with
the very hash of its receipt and the digest of its bytes. The next start is the same call on the same home and port.
Exit code 1 where anything is broken. What a power failure does to a disk is not shown: the system outlives a kill.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from receipts import Callers, Heard, broken

from audit.keys import tenant_key
from audit.settings import RECORDS, VAULT
from features.home import Home
from tests.serving.builders import Server, free_port, promote, trained_bundle
from tests.serving.test_start import alive, wait_until

ALL, WORKER, PARENT, STARTING = "all at once", "one worker", "the parent alone", "all while starting"
#: How often each is done, in parts.
WEIGHTS = {ALL: 8, WORKER: 8, PARENT: 3, STARTING: 1}
CALLERS = 4
#: One service is started at a time: what it is told stands in the environment.
_STARTING = threading.Lock()


@dataclass(slots=True)
class Lane:
    """One service that is killed again and again. ends: seconds until the workers of a killed parent were gone."""

    home: Home
    folder: Path
    workers: int
    vault: str
    chosen: random.Random
    port: int = field(default_factory=free_port)
    kills: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    server: Server | None = None
    callers: Callers | None = None
    checked: int = 0

    def run(self, kills: int) -> None:
        """So many kills, then a last start that is stopped as it should be."""
        try:
            for _ in range(kills):
                self.kill(self.chosen.choices(list(WEIGHTS), list(WEIGHTS.values()))[0])
            self.begin()
            self.wait(0.5, 1.0)
            self.end()
        except BaseException as error:
            self.problems.append(f"needs a hand: {type(error).__name__}: {error}")
            raise

    def kill(self, kind: str) -> None:
        if kind == STARTING and self.server is None:
            self.start()
            time.sleep(self.chosen.uniform(0.1, 6.0))
        else:
            kind = ALL if kind == STARTING else kind
            self.begin()
            self.wait(0.05, 2.0)
        {ALL: self.kill_all, STARTING: self.kill_all, WORKER: self.kill_worker, PARENT: self.kill_parent}[kind]()
        self.kills[kind] += 1
        print(f"{sum(self.kills.values()):4d} {kind}, {len(self.problems)} problems", flush=True)

    def start(self) -> Server:
        with _STARTING:
            os.environ[VAULT] = self.vault
            self.server = Server.start(self.home, self.folder, self.workers, self.port)
        return self.server

    def begin(self) -> None:
        """Start where nothing runs, and let the callers call."""
        if self.server is None:
            began = time.monotonic()
            self.start().wait_until_ready(120)
            self.starts.append(time.monotonic() - began)
            self.callers = Callers(self.port, tenant_key(self.home), CALLERS)

    def wait(self, least: float, most: float) -> None:
        time.sleep(self.chosen.uniform(least, most))

    def kill_all(self) -> None:
        assert self.server is not None
        pids = [self.server.process.pid, *self.server.workers()]
        for one in pids:
            os.kill(one, signal.SIGKILL)
        self.gone(pids)

    def kill_parent(self) -> None:
        """The workers have to end by themselves; until then they refuse, as nothing can be recorded."""
        assert self.server is not None
        workers, began = self.server.workers(), time.monotonic()
        self.server.process.kill()
        self.gone(workers)
        self.ends.append(time.monotonic() - began)

    def kill_worker(self) -> None:
        """The other one goes on, and another takes its place; the ledger is checked while it is written to."""
        assert self.server is not None
        assert self.callers is not None
        workers, heard = self.server.workers(), len(self.callers.heard.got)
        victim = self.chosen.choice(workers)
        os.kill(victim, signal.SIGKILL)
        server, callers = self.server, self.callers
        if not wait_until(lambda: len(set(server.workers()) - {victim}) == self.workers, 60):
            self.problems.append("a killed worker was not replaced")
        if not wait_until(lambda: len(callers.heard.got) > heard, 60):
            self.problems.append("no answer after a worker was killed")
        self.check(callers.heard)

    def gone(self, pids: list[int]) -> None:
        """After the processes are gone: what the callers had is in the ledger."""
        assert self.server is not None
        self.server.process.wait(60)
        if not wait_until(lambda: not any(map(alive, pids)), 60):
            self.problems.append("workers outlived their parent by a minute")
        self.server = None
        self.close()

    def close(self) -> None:
        heard = self.callers.stop() if self.callers else Heard()
        self.callers = None
        self.check(heard)
        self.statuses += heard.statuses
        self.checked += len(heard.got)

    def check(self, heard: Heard) -> None:
        self.problems += broken(self.home, heard)

    def end(self) -> None:
        assert self.server is not None
        self.server.stop()
        self.server = None
        self.close()


def told(lanes: list[Lane], seconds: float) -> bool:
    """Print what was seen; whether nothing is broken."""
    kills, statuses = sum((one.kills for one in lanes), Counter()), sum((one.statuses for one in lanes), Counter())
    starts = sorted(second for one in lanes for second in one.starts)
    ends = sorted(second for one in lanes for second in one.ends)
    print(f"{kills.total()} kills in {seconds:.0f} s: {', '.join(f'{kills[kind]} {kind}' for kind in WEIGHTS)}")
    print(f"answers by status: {dict(sorted(statuses.items()))}")
    print(f"{sum(one.checked for one in lanes)} answers arrived in full, each compared with its record")
    print(f"{len(starts)} starts without a hand, median {starts[len(starts) // 2]:.1f} s, longest {starts[-1]:.1f} s")
    if ends:
        print(f"workers of a killed parent were gone after {ends[len(ends) // 2]:.1f} s, at most {ends[-1]:.1f} s")
    problems = [line for one in lanes for line in one.problems]
    print("\n".join(["BROKEN:", *problems]) if problems else "nothing was broken")
    return not problems


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--kills", type=int, default=200)
    asked.add_argument("--seed", type=int, default=1)
    given = asked.parse_args()
    os.environ[RECORDS] = "50"
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crs-crash-") as made:
        lanes = []
        for number, (workers, vault) in enumerate(((1, "off"), (2, "on"))):
            folder = Path(made, str(number))
            folder.mkdir()
            promote(Home(folder / "home"), trained_bundle())
            chosen = random.Random(f"{given.seed}-{number}")
            lanes.append(Lane(Home(folder / "home"), folder, workers, vault, chosen))
        shares = (given.kills + 1) // 2, given.kills // 2
        threads = [threading.Thread(target=one.run, args=(share,)) for one, share in zip(lanes, shares, strict=True)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        return 0 if told(lanes, time.monotonic() - began) else 1


if __name__ == "__main__":
    sys.exit(main())
