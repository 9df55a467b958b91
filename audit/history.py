"""The history of model versions, read from the ledger: who, when, why, on what evidence, and live from when to when."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from audit import damage
from audit.events import Kind, Record, stamp
from audit.ledger import Ledger

#: What is told of a verdict, the reasons as the gate worded them, and of an approval, with the verdict it is bound to.
_OF_VERDICTS = (
    "verdict",
    "champion",
    "plan_digest",
    "test_courses",
    "test_fingerprint",
    "test_looks",
    "reasons",
    "figures",
)
_OF_APPROVALS = ("by", "role", "meaning", "verdict_sequence")
#: Of a record that has to name a model.
_NAMELESS = "it does not name its model"
_CHANGES = (Kind.MODEL_ACTIVATED, Kind.MODEL_ROLLED_BACK)


@dataclass(frozen=True, slots=True)
class Reign:
    """One time in which a bundle was the live one: since (inclusive), until (exclusive), None while it lasts.

    sequence, kind: the record that began it. reason: of the promotion or the rollback. by: who rolled back.
    """

    version: str
    digest: str
    tag: str
    since: datetime
    until: datetime | None
    sequence: int
    kind: str
    reason: str
    by: str = ""

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
    if latest is None or latest.kind is not Kind.SERVICE_STARTED:
        return ""
    with damage.reading(latest.sequence, _NAMELESS):
        return str(latest.body["digest"])


def versions(ledger: Ledger) -> list[Version]:
    """Every bundle that the ledger names, in the order in which they appeared."""
    found: dict[str, Version] = {}
    for record in _of_models(ledger):
        with damage.reading(record.sequence, _NAMELESS):
            version, digest = str(record.body["version"]), str(record.body["digest"])
        _add(found.setdefault(digest, Version(version, digest)), record)
    for reign in reigns(ledger):
        found[reign.digest].live.append(reign.to_json())
    return list(found.values())


def check_registrations(ledger: Ledger) -> None:
    """LedgerError that names a registration without version or digest, before anybody looks for one among them."""
    for record in ledger.records(Kind.MODEL_REGISTERED):
        with damage.reading(record.sequence, _NAMELESS):
            record.body["version"], record.body["digest"]


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
        held.verdicts.append({**place, **{key: body.get(key) for key in _OF_VERDICTS}})
    elif record.kind is Kind.MODEL_APPROVED:
        held.approvals.append({**place, **{key: body.get(key) for key in _OF_APPROVALS}})


def _reign(record: Record, until: datetime | None) -> Reign:
    body = record.body
    with damage.reading(record.sequence, _NAMELESS):
        version, digest, tag = (str(body[name]) for name in ("version", "digest", "tag"))
    return Reign(
        version=version,
        digest=digest,
        tag=tag,
        since=record.time,
        until=until,
        sequence=record.sequence,
        kind=str(record.kind),
        reason=str(body.get("reason") or ""),
        by=str(body.get("by") or ""),
    )
