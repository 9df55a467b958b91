"""What stands in the ledger: kinds of records, and a record as its exact bytes.

A record is one JSON object in ASCII with sorted keys and no spaces. Its hash is taken over these bytes as they are
stored; nothing is ever encoded again to check it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from audit.tree import leaf_hash
from features.errors import LedgerError

#: Stands for the previous record's hash in the first record.
NO_RECORD = "0" * 64


class ConflictError(LedgerError):
    """An event is recorded already, with another content."""


class Kind(StrEnum):
    """What a record tells of."""

    MODEL_REGISTERED = "model.registered"
    MODEL_EVALUATED = "model.evaluated"
    MODEL_APPROVED = "model.approved"
    MODEL_ACTIVATED = "model.activated"
    MODEL_ROLLED_BACK = "model.rolled-back"
    SERVICE_STARTED = "service.started"
    SERVICE_STOPPED = "service.stopped"
    PREDICTION = "prediction"
    REFUSAL = "refusal"
    FEEDBACK = "feedback"
    OUTCOME = "outcome"
    CONFIG_CHANGED = "config.changed"
    ACCESS = "access"
    KEY_ROTATED = "key.rotated"
    CHECKPOINT = "checkpoint"
    HEARTBEAT = "heartbeat"
    SHADOW = "shadow"
    MONITORED = "monitored"
    VAULT_ERASED = "vault.erased"
    VAULT_KEY_ROTATED = "vault.key-rotated"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be recorded. event_id: the caller's own name of the event, "" where it has none.

    kept: what the vault keeps of the request, sealed by audit.vault; b"" where it keeps nothing.
    text: the body as plain() writes it, where that was done already; b"" where not.
    """

    kind: Kind
    body: Mapping[str, Any]
    event_id: str = ""
    kept: bytes = b""
    text: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where a record stands: its place in the tree, from 0, and the hex of its leaf hash, which the next one names."""

    sequence: int
    hash: str


@dataclass(frozen=True, slots=True)
class Record:
    """One record as read. time: UTC."""

    sequence: int
    time: datetime
    kind: Kind
    event_id: str
    body: Mapping[str, Any]
    hash: str


#: Kept, because to make an encoder takes as long as to use it.
_WRITTEN = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def plain(body: Mapping[str, Any]) -> bytes:
    """The one way a body is written; LedgerError where it holds what JSON cannot, NaN included."""
    try:
        return _WRITTEN(body).encode()
    except (TypeError, ValueError) as error:
        raise LedgerError("ledger", "the body of a record is not plain JSON", "leave out what is not known") from error


def encode(entry: Entry, sequence: int, time: datetime, previous: str) -> bytes:
    """The bytes of a record, which are what is stored and hashed."""
    head = {
        "event_id": entry.event_id,
        "kind": str(entry.kind),
        "previous": previous,
        "sequence": sequence,
        "time": stamp(time),
    }
    # "body" sorts before every other key.
    return b'{"body":' + (entry.text or plain(entry.body)) + b"," + plain(head)[1:]


def decode(stored: bytes) -> Record:
    """The record of stored bytes; ValueError or KeyError where they are none."""
    held = json.loads(stored)
    return Record(
        sequence=held["sequence"],
        time=datetime.fromisoformat(held["time"]),
        kind=Kind(held["kind"]),
        event_id=held["event_id"],
        body=held["body"],
        hash=leaf_hash(stored).hex(),
    )


def stamp(time: datetime) -> str:
    """UTC to the microsecond, always of the same length."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
