"""What a crash leaves behind: a ledger that is whole, and every receipt that was given in it."""

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from audit.events import Kind
from audit.ledger import open_ledger
from audit.settings import SECONDS
from audit.verify import verify
from features.errors import LedgerError
from features.home import Home
from tests.audit.builders import Deployment

ROOT = Path(__file__).resolve().parents[2]
#: A writer with four callers, each of which prints a receipt once it has it; checkpoints come fast.
CHILD = """
import os, sys, tempfile, threading
from pathlib import Path
from audit.events import Kind
from audit.ledger import open_ledger
from audit.client import Client
from audit.writer import Writer
from features.home import Home

def ask(client, name):
    number = 0
    while True:
        receipt = client.append(Kind.PREDICTION, {"filled": "x" * 500}, f"{name}-{number}")
        os.write(1, f"{receipt.sequence} {receipt.hash}\\n".encode())
        number += 1

with open_ledger(Home(Path(sys.argv[1]))) as ledger:
    writer = Writer(ledger, Path(tempfile.mkdtemp(dir=sys.argv[2])) / "s")
    print("ready", flush=True)
    for part in range(4):
        threading.Thread(target=ask, args=(Client(writer.path), f"{sys.argv[3]}-{part}"), daemon=True).start()
    threading.Event().wait()
"""


def killed(home: Home, scratch: Path, name: str, seconds: float) -> list[tuple[int, str]]:
    """The receipts that a process gave before it was killed, so many seconds after it was ready."""
    command = [sys.executable, "-c", CHILD, str(home.folder), str(scratch), name]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(seconds)
    child.kill()
    lines = child.stdout.read().split("\n")[:-1]
    child.stdout.close()
    child.wait()
    return [(int(place), held) for place, held in map(str.split, lines)]


def test_every_receipt_outlives_a_kill_at_any_instant_and_nothing_needs_a_hand(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECONDS, "0.05")
    home, chosen = Home(tmp_path_factory.mktemp("crash") / "home"), random.Random(11)
    receipts: list[tuple[int, str]] = []
    with tempfile.TemporaryDirectory(prefix="crs-") as scratch:
        for number in range(4):
            receipts += killed(home, Path(scratch), str(number), chosen.uniform(0.05, 0.4))
            with open_ledger(home) as ledger:
                assert verify(ledger).findings == ()
    with open_ledger(home, writes=False) as ledger:
        held = {(one.sequence, one.hash) for one in ledger.records(Kind.PREDICTION)}
    assert len(receipts) > 10
    assert set(receipts) <= held


def test_a_full_disk_refuses_and_the_ledger_goes_on_once_there_is_room(tmp_path: Path) -> None:
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from audit.events import Kind\n"
        "from audit.ledger import open_ledger\n"
        "from audit.verify import verify\n"
        "from features.errors import LedgerError\n"
        "from features.home import Home\n"
        "with open_ledger(Home(Path(sys.argv[1]))) as ledger:\n"
        "    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, most))\n"
        "    given = []\n"
        "    try:\n"
        "        while len(given) < 1000:\n"
        "            given.append(ledger.append(Kind.HEARTBEAT, {'filled': 'x' * 20_000}))\n"
        "    except LedgerError as error:\n"
        "        print(error.http_status)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))\n"
        "    after = ledger.append(Kind.HEARTBEAT, {})\n"
        "    held = {one.sequence for one in ledger.records(Kind.HEARTBEAT)}\n"
        "    print(verify(ledger).findings, {one.sequence for one in (*given, after)} <= held, 0 < len(given) < 1000)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "home")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "503\n() True True\n", done.stderr


@pytest.mark.parametrize("deployment", ["postgresql"], indirect=True)
def test_a_server_that_drops_every_connection_needs_no_hand(deployment: Deployment) -> None:
    with deployment.open() as ledger:
        first = ledger.append(Kind.HEARTBEAT, {})
        engine = deployment.engine()
        with engine.connect() as connection:
            others = "pid <> pg_backend_pid() AND datname = current_database()"
            connection.execute(sa.text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
        engine.dispose()
        assert ledger.append(Kind.HEARTBEAT, {}).sequence == first.sequence + 1
        assert verify(ledger).whole


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    uri = f"postgresql://nobody@/none?host={tmp_path}"
    with pytest.raises(LedgerError, match="the database cannot be used") as caught, open_ledger(Home(tmp_path), uri):
        pass
    assert str(tmp_path) not in str(caught.value)
