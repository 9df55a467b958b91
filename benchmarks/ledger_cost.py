"""What the ledger costs: the writer alone, checking and proving, and answers of a real server with and without it.

    .venv/bin/python benchmarks/ledger_cost.py ledger --records 100000
    .venv/bin/python benchmarks/ledger_cost.py answers --workers 1 --seconds 8

"Without" is the same server with a recorder that gives made-up receipts; the two take turns within one run. The cost of
a commit is that of the disk: the time of a bare fsync is printed beside it.
"""

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from audit.client import Client
from audit.events import Entry, Kind
from audit.ledger import open_ledger
from audit.proof import prove
from audit.verify import verify
from audit.writer import Writer
from features.home import Home
from tests.serving.builders import EXAMPLE, Server, promote, trained_bundle

ROOT = Path(__file__).resolve().parents[1]
#: The two servers take turns this often: the machine's speed changes by half within a minute.
SLICE_SECONDS = 0.5
#: Put before the product, it takes the ledger out of a server.
WITHOUT = """
from audit.events import Receipt
import serving.recorded
async def receipts(contents): return [Receipt(0, "0" * 64)] * len(contents)
serving.recorded.Recorder.ask = lambda *given: receipts(given[3])
"""


def percentiles(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    at = {share: ordered[int(share * (len(ordered) - 1))] * 1e3 for share in (0.5, 0.99)}
    return f"p50 {at[0.5]:7.2f} ms  p99 {at[0.99]:7.2f} ms  max {ordered[-1] * 1e3:7.1f} ms"


def disk(folder: Path) -> float:
    """Median milliseconds of an fsync after 2 kB."""
    taken = []
    with (folder / "probe").open("wb") as file:
        for _ in range(100):
            file.write(b"x" * 2048)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e3


def body() -> dict[str, object]:
    """As large as a prediction of the full spec."""
    return {"vector": "x" * 240, "rest": [0.123456789012345] * 30, "digests": ["0" * 64] * 7}


def ledger(records: int, folder: Path) -> None:
    home = Home(folder / "home")
    with open_ledger(home) as held:
        for clients in (1, 8, 32, 64):
            writers(held, clients)
        began = time.perf_counter()
        for start in range(0, records, 128):
            held.append_all([Entry(Kind.PREDICTION, body(), f"batch-{start + place}") for place in range(128)])
        print(f"groups of 128: {records / (time.perf_counter() - began):,.0f} records/s")
        began, used = time.perf_counter(), time.process_time()
        verdict = verify(held)
        wall, used = time.perf_counter() - began, time.process_time() - used
        print(f"verify: {verdict.size / wall:,.0f}/s, {verdict.size / used:,.0f} by processor time, {verdict.whole}")
        began = time.perf_counter()
        prove(held, 5)
        print(f"prove one of {verdict.size:,}: {time.perf_counter() - began:.2f} s")
    began = time.perf_counter()
    with open_ledger(home):
        print(f"open: {(time.perf_counter() - began) * 1e3:.0f} ms")
    size = sum(path.stat().st_size for path in home.ledger.iterdir())
    print(f"on disk: {size / verdict.size:,.0f} bytes a record")


def writers(held: object, clients: int, seconds: float = 3.0) -> None:
    """So many callers that wait for their receipts, through the socket."""
    with tempfile.TemporaryDirectory(prefix="crs-") as short:
        writer = Writer(held, Path(short) / "s")  # type: ignore[arg-type]
        taken: list[float] = []
        until = time.perf_counter() + seconds

        def ask(name: str) -> None:
            client, number = Client(writer.path), 0
            while (began := time.perf_counter()) < until:
                client.append(Kind.PREDICTION, body(), f"{name}-{number}")
                taken.append(time.perf_counter() - began)
                number += 1
            client.close()

        run([threading.Thread(target=ask, args=(f"{clients}-{one}",)) for one in range(clients)])
        writer.close()
    print(f"{clients:3d} callers: {len(taken) / seconds:8,.0f} records/s  {percentiles(taken)}")


def run(threads: list[threading.Thread]) -> None:
    for one in threads:
        one.start()
    for one in threads:
        one.join()


@contextmanager
def served(folder: Path, workers: int, recorded: bool) -> Iterator[Server]:
    place = folder / ("with" if recorded else "without")
    place.mkdir()
    promote(Home(place / "home"), trained_bundle())
    (place / "sitecustomize.py").write_text("" if recorded else WITHOUT)
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(place)))
    server = Server.start(Home(place / "home"), place, workers)
    os.environ["PYTHONPATH"] = before
    try:
        yield server.wait_until_ready(120)
    finally:
        server.stop()


def load(server: Server, clients: int, seconds: float) -> list[float]:
    """Seconds of each answer."""
    taken: list[float] = []
    until = time.perf_counter() + seconds
    content = json.dumps(EXAMPLE)

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        while (began := time.perf_counter()) < until:
            connection.request("POST", "/predict", content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.read().startswith(b'{"prediction_id"'), answer.status
            taken.append(time.perf_counter() - began)
        connection.close()

    run([threading.Thread(target=ask) for _ in range(clients)])
    return taken


def answers(workers: int, seconds: float, folder: Path) -> None:
    with served(folder, workers, True) as kept, served(folder, workers, False) as bare:
        for server in (kept, bare):
            load(server, 4, 2)
        for clients in (1, 8, 32, 64):
            found: dict[str, list[float]] = {"with": [], "without": []}
            slices = max(1, round(seconds / SLICE_SECONDS))
            for _ in range(slices):
                found["with"] += load(kept, clients, seconds / slices)
                found["without"] += load(bare, clients, seconds / slices)
            for name, taken in found.items():
                print(f"{clients:3d} clients {name:8s} {len(taken) / seconds:7.1f}/s  {percentiles(taken)}")
            print(f"{clients:3d} clients ratio {len(found['with']) / len(found['without']):.3f}", flush=True)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("what", choices=["ledger", "answers"])
    asked.add_argument("--records", type=int, default=100_000)
    asked.add_argument("--workers", type=int, default=1)
    asked.add_argument("--seconds", type=float, default=8.0)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="crs-ledger-") as made:
        print(f"fsync: {disk(Path(made)):.2f} ms; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        if given.what == "ledger":
            ledger(given.records, Path(made))
        else:
            answers(given.workers, given.seconds, Path(made))


if __name__ == "__main__":
    main()
