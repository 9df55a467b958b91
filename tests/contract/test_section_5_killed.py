"""Section 5.4 of the requirements: a service that is killed while it answers leaves no answer without a record."""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

from audit.events import Kind
from audit.ledger import open_ledger
from audit.verify import verify
from features.home import Home
from tests.serving.builders import EXAMPLE, Server, prior_bundle, promote

pytestmark = pytest.mark.slow
CALLERS = 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    home = Home(tmp_path / "home")
    promote(home, prior_bundle())
    started = Server.start(home, tmp_path, workers=2)
    try:
        yield started.wait_until_ready(120)
    finally:
        started.process.kill()
        started.process.wait(60)


def test_line_5_4_9_every_answer_that_left_a_service_that_was_killed_is_in_a_whole_ledger(server: Server) -> None:
    answered: list[tuple[str, int, str]] = []

    def ask_on() -> None:
        """One call after the other, until the service is gone."""
        while True:
            try:
                reply = server.predict(EXAMPLE)
            except (OSError, HTTPException):
                return
            if reply.status == 200:
                held = json.loads(reply.body)
                answered.append((held["prediction_id"], held["record"]["sequence"], held["record"]["hash"]))

    callers = [threading.Thread(target=ask_on) for _ in range(CALLERS)]
    for one in callers:
        one.start()
    time.sleep(random.Random(5).uniform(1.0, 2.0))
    for process in (server.process.pid, *server.workers()):
        os.kill(process, signal.SIGKILL)
    for one in callers:
        one.join(60)
    with open_ledger(server.home) as ledger:
        assert verify(ledger).findings == ()
        held = {(one.event_id, one.sequence, one.hash) for one in ledger.records(Kind.PREDICTION)}
    assert len(answered) > CALLERS
    assert set(answered) <= held
