"""The ledger of a running service: opened before the first worker starts, closed after the last one has ended."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from audit import places, runtime
from audit.data_keys import DataKeys
from audit.events import Kind
from audit.keys import tenant_key
from audit.ledger import Ledger, open_ledger
from audit.writer import Writer
from features.home import Home, Live
from features.scratch import Scratch


@contextmanager
def recording(home: Home, live: Live, workers: int, configured: Mapping[str, str]) -> Iterator[Writer]:
    """The writer that the workers ask; LedgerError where the ledger cannot be used.

    live: the bundle that the workers load; configured: the digests of the settings that they read beside it. The start
    and the stop of the service are records, too. The socket lies in a folder of its own, which only this user may
    enter: a path below the home could be too long for one.
    """
    tenant_key(home)  # made here, once, and not by several workers
    with Scratch("writer") as folder, open_ledger(home) as ledger:
        if ledger.settings.vault:
            DataKeys(home).prepare()
        _configured(ledger, home, configured)
        ledger.append(Kind.SERVICE_STARTED, {**asdict(live), **_before(ledger), **_machine(workers)})
        writer = Writer(ledger, folder / "socket")
        try:
            yield writer
        finally:
            writer.close()
        ledger.append(Kind.SERVICE_STOPPED, asdict(live))
        ledger.checkpoint()


def _configured(ledger: Ledger, home: Home, configured: Mapping[str, str]) -> None:
    """Record the settings that the service starts with, where they are not what was recorded last."""
    settings = ledger.settings
    body = {
        "database": "postgresql" if settings.uri else "sqlite",
        "checkpoint_records": settings.records,
        "checkpoint_seconds": settings.seconds,
        "checkpoint_url": bool(settings.url),
        **places.told(home, settings),
        "heartbeat_seconds": settings.heartbeat,
        "vault": settings.vault,
        **configured,
    }
    last = ledger.last(Kind.CONFIG_CHANGED)
    if last is None or dict(last.body) != body:
        ledger.append(Kind.CONFIG_CHANGED, body)


def _machine(workers: int) -> dict[str, Any]:
    return {"workers": workers, "runtime": runtime.digest(), "runtime_facts": runtime.facts()}


def _before(ledger: Ledger) -> dict[str, Any]:
    """How the service ended the last time: a start without a stop before it was a crash, or the stop was cut off."""
    started, stopped = ledger.last(Kind.SERVICE_STARTED), ledger.last(Kind.SERVICE_STOPPED)
    if started is None:
        return {"before": "first-start"}
    clean = stopped is not None and stopped.sequence > started.sequence
    return {"before": "stopped" if clean else "not-stopped"}
