"""Callers that keep the receipt of every answer they had in full; and whether a ledger holds each of them."""

import http.client
import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from audit.events import Kind
from audit.keys import keyed, tenant_key
from audit.ledger import Ledger, open_ledger
from audit.vault_check import with_vault
from audit.verify import verify
from features.home import Home
from tests.serving.builders import EXAMPLE

_CONTENT = json.dumps(EXAMPLE)
_RECEIPT = re.compile(rb',"record":\{"sequence":(\d+),"hash":"([0-9a-f]{64})"\}\}$')
#: What a caller counts where no answer came, and where one came without a receipt.
BROKEN, BARE = "broken off", "no receipt"


@dataclass(frozen=True, slots=True)
class Got:
    """An answer that arrived whole. digest: of its bytes without the receipt, under the tenant's key."""

    prediction_id: str
    sequence: int
    hash: str
    digest: str


@dataclass(slots=True)
class Heard:
    """What callers had. statuses: how many answers of each status."""

    got: list[Got] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    def note(self, status: int, body: bytes, key: bytes) -> None:
        found = _RECEIPT.search(body)
        self.statuses[str(status) if status != 200 or found else BARE] += 1
        if status == 200 and found:
            bare = body[: found.start()] + b"}"
            name = json.loads(body)["prediction_id"]
            self.got.append(Got(name, int(found[1]), found[2].decode(), keyed(key, bare)))


class Callers:
    """Threads that ask one server again and again until they are told to stop."""

    def __init__(self, port: int, key: bytes, count: int) -> None:
        self.heard = Heard()
        self._port, self._key = port, key
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]
        for one in self._threads:
            one.start()

    def stop(self) -> Heard:
        self._stop.set()
        for one in self._threads:
            one.join()
        return self.heard

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._stop.is_set():
            try:
                connection.request("POST", "/predict", _CONTENT, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body = answer.read()  # raises where less arrived than was announced
            except (OSError, http.client.HTTPException):
                self.heard.statuses[BROKEN] += 1
                connection.close()
                self._stop.wait(0.05)
            else:
                self.heard.note(answer.status, body, self._key)
        connection.close()


@contextmanager
def calling(port: int, home: Home, count: int = 4) -> Iterator[Heard]:
    """So many callers while the block runs."""
    callers = Callers(port, tenant_key(home), count)
    try:
        yield callers.heard
    finally:
        callers.stop()


def unrecorded(ledger: Ledger, got: list[Got]) -> list[str]:
    """What is wrong with answers that were given: not in the ledger, or not as their receipt and their bytes say."""
    first = min((one.sequence for one in got), default=0)
    held = {
        one.event_id: Got(one.event_id, one.sequence, one.hash, str(one.body["response"]))
        for one in ledger.records(Kind.PREDICTION, first=first)
    }
    return [f"answer {one.prediction_id}, record {one.sequence}" for one in got if held.get(one.prediction_id) != one]


def broken(home: Home, heard: Heard, uri: str = "") -> list[str]:
    """Every promise that a ledger breaks to callers who heard that: it is whole, and it holds each of their answers."""
    with open_ledger(home, uri or None, writes=False) as ledger:
        verdict = with_vault(ledger, verify(ledger))
        found = [f"record {one.sequence}: {one.code}: {one.problem}" for one in verdict.findings]
        found += unrecorded(ledger, list(heard.got))
    return found + ["an answer without a receipt"] * heard.statuses[BARE]
