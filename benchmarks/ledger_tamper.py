"""Tampers with a ledger in every way, and counts what is not found, or not at its place. Zero is the promise.

    .venv/bin/python benchmarks/ledger_tamper.py --records 5000 --samples 300 --seed 1

A small ledger (all kinds of records that hold a signature among them) exhaustively: every byte of every record and of
every column, every record deleted, inserted before, changed, every pair of neighbours exchanged, every cut. A large one
by samples drawn with the seed. Each time a copy of the database is changed with SQL, its triggers gone; `audit.verify`
has to name the place, and so has the stand-alone verifier on the export, with the checkpoints' copies and the last
records' receipts. Then what is no row: the database's file, what the vault keeps, the copies, a proof, a bundle's
files, the clock, another database. "Located": the first finding names the record that was changed or the first that no
longer fits; where all is made to fit but the signature, the first checkpoint behind it. What no copy covers, behind the
last checkpoint, is found by a receipt alone, and counted apart. Exit code 1 on a miss.
"""

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tamper_ways import WAYS, Task, attempt
from tampered import Field, Ground
from tampered_proofs import PROOFS
from tampered_rest import CHECKS

from audit import manifest
from audit.events import Entry, Kind
from audit.store import Row
from features.home import Home
from tests.audit.builders import RARELY, Deployment, fill
from tests.audit.tampering import column_flips, flipped
from tests.audit.test_vault import keep
from tests.serving.builders import prior_bundle

#: Ways that are drawn less often of the large ledger: each writes all of it again.
SLOW = tuple(name for name in WAYS if name.endswith(("anew", "another key")))
_FIELD: list[Field] = []
#: Rows of a small and of a large ledger, and what is no row.
PARTS = ("rest", "small", "large")


def small(home: Home) -> Ground:
    """Twenty records: keys, checkpoints, a model with its manifest, answers with and without a kept request."""
    deployment = Deployment(home, "", RARELY)
    with deployment.open() as ledger:
        fill(ledger, 3)
        manifest.register(ledger, "1", prior_bundle(), "first")
        keep(deployment, ledger, "p1", "p2")
        ledger.checkpoint()
        ledger.append(Kind.HEARTBEAT, {})
        ledger.rotate_key()
        ledger.append_all([Entry(Kind.REFUSAL, {"code": "x", "place": place}) for place in range(3)])
        ledger.checkpoint()
        ledger.append(Kind.HEARTBEAT, {})
        ledger.append(Kind.SERVICE_STOPPED, {"digest": "d"})
    return Ground.of(home.folder)


def large(home: Home, records: int, chosen: random.Random) -> Ground:
    """So many records in groups, a checkpoint every 250."""
    deployment = Deployment(home, "", replace(RARELY, records=250))
    with deployment.open() as ledger:
        for start in range(0, records, 50):
            ledger.append_all([entry(chosen, start + place) for place in range(50)])
        fill(ledger, 30, Kind.HEARTBEAT)
    return Ground.of(home.folder)


def entry(chosen: random.Random, number: int) -> Entry:
    return Entry(
        Kind.PREDICTION, {"probability": chosen.random(), "vector": chosen.randbytes(150).hex()}, f"p-{number}"
    )


def heads(ground: Ground) -> Iterator[Task]:
    """Every byte or bit of each column of the head."""
    import sqlite3

    with sqlite3.connect(ground.home / "ledger" / "ledger.db") as database:
        database.row_factory = sqlite3.Row
        held = dict(database.execute("SELECT * FROM ledger_head").fetchone())
    for name in ("size", "checkpoint_size", "checkpoint_microseconds"):
        yield from (("a byte or bit of the head", ground.size, (name, held[name] ^ (1 << bit))) for bit in range(63))
    for place in range(64):
        text = flipped(held["previous"].encode(), place).decode()
        yield "a byte or bit of the head", ground.size, ("previous", text)
    for place in range(len(held["roots"])):
        yield "a byte or bit of the head", ground.size, ("roots", flipped(held["roots"], place))


def columns(row: Row, size: int) -> Iterator[dict[str, Any]]:
    """Each change of a column; a sequence that another record has cannot be had."""
    yield from column_flips(row)
    moved = (row.sequence ^ (1 << bit) for bit in range(62))
    yield from ({"sequence": place} for place in moved if place >= size)


def exhaustive(ground: Ground) -> Iterator[Task]:
    rows, size, last = ground.rows, ground.size, ground.size - 1
    for place, row in enumerate(rows):
        for spot in range(len(row.record)):
            yield "a byte of a record", place, (spot, 1)
            if place < last:
                yield "a byte of a record, its hash made to fit", place, (spot, 1)
        yield from (("a byte or bit of a column", place, one) for one in columns(row, size))
    yield from heads(ground)
    for name in ("deleted", "tail cut off", "changed, all after it anew", "deleted, all after it anew"):
        yield from ((name, place, None) for place in range(name.startswith("tail"), size))
    yield from (("tail cut off, the head anew", place, None) for place in range(1, size))
    yield from (("inserted", place, None) for place in range(1, size + 1))
    yield from (("inserted, all after it anew", place, None) for place in range(1, size))
    yield from (("changed, signed anew with another key", place, None) for place in range(ground.signed[-1]))
    yield from (("changed, the checkpoints left out, all anew", place, None) for place in range(size))
    yield from (("a key announced and handed back, all anew", place, None) for place in range(1, size + 1))
    for name in ("put in another order", "put in another order, all after it anew"):
        yield from ((name, place, place + 1) for place in range(last))


def sampled(ground: Ground, samples: int, chosen: random.Random) -> Iterator[Task]:
    for name in WAYS:
        if name != "a byte or bit of the head":
            for _ in range(samples // 5 if name in SLOW else samples):
                yield drawn(ground, name, chosen)


def drawn(ground: Ground, name: str, chosen: random.Random) -> Task:
    most = ground.signed[-1] - 1 if "another key" in name else ground.size - 2
    place = chosen.randint(1, most)
    row = ground.rows[place]
    if name.startswith("a byte of"):
        return name, place, (chosen.randrange(len(row.record)), chosen.randint(1, 255))
    if name.startswith("a byte or bit"):
        return name, place, chosen.choice(list(columns(row, ground.size)))
    return name, place, chosen.randint(place + 1, ground.size - 1)


def begin(ground: Ground, scratch: str) -> None:
    _FIELD.append(Field(ground, Path(tempfile.mkdtemp(dir=scratch))))


def attempted(task: Task) -> tuple[str, bool, str]:
    return attempt(_FIELD[0], task)


def run(title: str, ground: Ground, tasks: Iterable[Task], scratch: Path) -> list[str]:
    """Try them all in as many processes as there are processors; prints a line a way and returns what was missed."""
    began, tried, rest, missed = time.perf_counter(), Counter[str](), Counter[str](), list[tuple[str, str]]()
    with multiprocessing.get_context("spawn").Pool(os.cpu_count(), begin, (ground, str(scratch))) as pool:
        for kind, by_receipt, problem in pool.imap_unordered(attempted, list(tasks), 16):
            tried[kind] += 1
            rest[kind] += by_receipt
            missed += [(kind, problem)] if problem else []
    counts = Counter(kind for kind, _ in missed)
    print(f"{title}: {ground.size} records, {tried.total()} tamperings in {time.perf_counter() - began:.0f} s")
    for kind in tried:
        apart = f", {rest[kind]} of them by a receipt alone" if rest[kind] else ""
        print(f"  {kind}: {tried[kind]} tried, {counts[kind]} missed{apart}", flush=True)
    return [problem for _, problem in missed]


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--records", type=int, default=5000)
    asked.add_argument("--samples", type=int, default=300)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    given = asked.parse_args()
    chosen, missed = random.Random(given.seed), list[str]()
    with tempfile.TemporaryDirectory(prefix="crs-tamper-") as made:
        ground = small(Home(Path(made, "small")))
        if "rest" in given.parts:
            for check in (*CHECKS, *PROOFS):
                missed += check(ground, Path(tempfile.mkdtemp(dir=made)), chosen)
        if "small" in given.parts:
            missed += run("small, exhaustive", ground, exhaustive(ground), Path(made))
        if "large" in given.parts:
            wide = large(Home(Path(made, "large")), given.records, chosen)
            missed += run("large, sampled", wide, sampled(wide, given.samples, chosen), Path(made))
    print(f"{len(missed)} missed")
    print("\n".join(missed[:40]))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
