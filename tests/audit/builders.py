"""Ledgers for the tests, with a clock that is set by hand."""

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from audit.database import address
from audit.events import Kind, Receipt
from audit.ledger import Ledger, opened
from audit.settings import Settings
from features.home import Home

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
#: Never due by time, so that a test says itself when a checkpoint is signed.
RARELY = Settings(records=10_000, seconds=1e9)


@dataclass
class Clock:
    """A clock that goes on by a second at each look."""

    at: datetime = START

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


@dataclass
class Deployment:
    """A home and where its ledger lies; "" means SQLite under the home."""

    home: Home
    uri: str
    settings: Settings = RARELY
    clock: Clock = field(default_factory=Clock)

    def open(self, writes: bool = True) -> AbstractContextManager[Ledger]:
        return opened(self.home, self.settings, self.uri, writes, self.clock)

    def engine(self) -> sa.Engine:
        """The bare database, past all that guards it."""
        return sa.create_engine(address(self.uri) if self.uri else f"sqlite:///{self.home.ledger / 'ledger.db'}")


def fill(ledger: Ledger, count: int, kind: Kind = Kind.PREDICTION) -> list[Receipt]:
    """Append records of one kind."""
    return [ledger.append(kind, body(place), f"event-{place}") for place in range(count)]


def body(place: int) -> dict[str, Any]:
    return {"probability": place / 7, "place": place}


def write_side_by_side(deployment: Deployment, records: int) -> None:
    """Three threads, each with the ledger opened for itself, append so many records each."""

    def write(name: str) -> None:
        with deployment.open() as ledger:
            for place in range(records):
                ledger.append(Kind.PREDICTION, {}, f"{name}-{place}")

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b", "c")]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
