"""The history of model versions, read from the ledger: who, when, why, on what evidence, and live from when to when."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from audit.events import Kind, Record, stamp
from audit.ledger import Ledger

_CHANGES = (Kind.MODEL_ACTIVATED, Kind.MODEL_ROLLED_BACK)


@dataclass(frozen=True, slots=True)
class Reign:
    """One time in which a bundle was the live one: since (inclusive), until (exclusive), None while it lasts.

    sequence, kind: the record that began it. reason: of the promotion or the rollback.
    """

    version: str
    digest: str
    tag: str
    since: datetime
    until: datetime | None
    sequence: int
    kind: str
    reason: str

    def holds(self, time: datetime) -> bool:
        return self.since <= time and (self.until is None or time < self.until)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "since": stamp(self.since), "until": self.until and stamp(self.until)}


@dataclass(slots=True)
class Version:
    """What the ledger holds of one registered bundle, each event with its sequence."""

    version: str
    digest: str
    registered: str = ""
    name: str = ""
    parent: str = ""
    kind_of_change: str = ""
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    approvals: list[dict[str, Any]] = field(default_factory=list)
    live: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def reigns(ledger: Ledger) -> list[Reign]:
    """In the order of time."""
    changes = sorted((one for kind in _CHANGES for one in ledger.records(kind)), key=lambda one: one.sequence)
    ends: list[datetime | None] = [*(one.time for one in changes[1:]), None]
    return list(map(_reign, changes, ends))


def live_at(ledger: Ledger, time: datetime) -> Reign | None:
    """What was live at a moment; None before the first promotion."""
    return next((one for one in reigns(ledger) if one.holds(time)), None)


def served_at(ledger: Ledger, time: datetime) -> str:
    """The digest that a running service had loaded at a moment, "" where none ran or it did not say."""
    kinds = (Kind.SERVICE_STARTED, Kind.SERVICE_STOPPED)
    found = [one for kind in kinds for one in ledger.records(kind) if one.time <= time]
    latest = max(found, key=lambda one: one.sequence, default=None)
    return str(latest.body["digest"]) if latest and latest.kind is Kind.SERVICE_STARTED else ""


def versions(ledger: Ledger) -> list[Version]:
    """Every bundle that the ledger names, in the order in which they appeared."""
    found: dict[str, Version] = {}
    for record in _of_models(ledger):
        body = record.body
        held = found.setdefault(str(body["digest"]), Version(str(body["version"]), str(body["digest"])))
        _add(held, record)
    for reign in reigns(ledger):
        found[reign.digest].live.append(reign.to_json())
    return list(found.values())


def _of_models(ledger: Ledger) -> Iterable[Record]:
    kinds = (Kind.MODEL_REGISTERED, Kind.MODEL_EVALUATED, Kind.MODEL_APPROVED, *_CHANGES)
    return sorted((one for kind in kinds for one in ledger.records(kind)), key=lambda one: one.sequence)


def _add(held: Version, record: Record) -> None:
    body, place = record.body, {"sequence": record.sequence, "time": stamp(record.time)}
    if record.kind is Kind.MODEL_REGISTERED:
        held.registered = held.registered or stamp(record.time)
        held.name, held.parent = str(body.get("name") or ""), str(body.get("parent") or "")
        held.kind_of_change = str(body.get("kind_of_change") or "")
    elif record.kind is Kind.MODEL_EVALUATED:
        held.verdicts.append({**place, **{key: body.get(key) for key in ("verdict", "champion", "plan_digest")}})
    elif record.kind is Kind.MODEL_APPROVED:
        held.approvals.append({**place, **{key: body.get(key) for key in ("by", "role", "meaning")}})


def _reign(record: Record, until: datetime | None) -> Reign:
    body = record.body
    return Reign(
        version=str(body["version"]),
        digest=str(body["digest"]),
        tag=str(body["tag"]),
        since=record.time,
        until=until,
        sequence=record.sequence,
        kind=str(record.kind),
        reason=str(body.get("reason") or ""),
    )
