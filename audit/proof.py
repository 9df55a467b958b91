"""What an auditor takes away: one record with its proof in one file, or the whole ledger as it is stored."""

import base64
import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from audit import manifest
from audit.events import Kind, Record, decode
from audit.ledger import Ledger
from audit.note import read
from audit.replay import stored_bundles
from audit.tree import Subtree, inclusion, over
from features.bundle import MANIFEST
from features.errors import LedgerError

FORMAT = "crs-risk proof 2"
_REMEDY = "run crs audit verify"


def prove(ledger: Ledger, sequence: int) -> dict[str, Any]:
    """The record, its path to a signed root, the checkpoint, its key, and the model that the record names.

    registration: the record that registers the model, with its own path to the same root; None where the record is one
    itself, or names no model. keys: so the changes of keys, from the ledger's first to the one that signed. manifest:
    None where the model store lacks the bundle. Where no checkpoint was signed after all these, one is signed now.
    LedgerError where there is no such record, its model was never registered, or a record is damaged.
    """
    stored = ledger.bytes_at(sequence)
    if stored is None:
        raise LedgerError(f"record {sequence}", "there is none", "name a sequence or an id that the ledger holds")
    try:
        return _proof(ledger, sequence, decode(stored))
    except (*manifest.DAMAGED, IndexError) as error:
        raise LedgerError(f"record {sequence}", "it, or a record that its proof needs, is damaged", _REMEDY) from error


def _proof(ledger: Ledger, sequence: int, record: Record) -> dict[str, Any]:
    digest = record.body.get("bundle", record.body.get("digest"))
    registration = _registration(ledger, record, digest)
    announced = [one.sequence for one in ledger.records(Kind.KEY_ROTATED)]
    note = _note_after(ledger, max(sequence, announced[-1], -1 if registration is None else registration))
    size = read(note).size
    keys = [one for one in ledger.records(Kind.KEY_ROTATED) if one.sequence < size]
    subtree = cache(over(ledger.leaves(size)))
    with_path = partial(_with_path, ledger, size, subtree)
    return {
        "format": FORMAT,
        **with_path(sequence),
        "registration": None if registration is None else with_path(registration),
        "keys": [with_path(one.sequence) for one in keys],
        "key": str(keys[-1].body["key"]),
        "checkpoint": note,
        "manifest": _manifest(ledger, digest),
    }


def _with_path(ledger: Ledger, size: int, subtree: Subtree, sequence: int) -> dict[str, Any]:
    """A record as it is stored, and its path to the root over the first `size`."""
    stored = ledger.bytes_at(sequence)
    assert stored is not None  # nothing is ever deleted
    return {"record": stored.decode("ascii"), "path": [one.hex() for one in inclusion(sequence, size, subtree)]}


def _registration(ledger: Ledger, record: Record, digest: str | None) -> int | None:
    """Where the model that a record names is registered; None where it names none, or is that registration."""
    if not digest or record.kind is Kind.MODEL_REGISTERED:
        return None
    found = manifest.registration_of(ledger, digest)
    if found is None:
        problem = "the ledger has no registration of the model that it names"
        raise LedgerError(f"record {record.sequence}", problem, "crs promote --version N adds one; then prove it again")
    return found.sequence


def export(ledger: Ledger, out: Path, told: Callable[[int], None] = lambda _: None) -> int:
    """Write every record as it is stored, one a line, whole or not at all; returns how many.

    The file can be checked with audit/verifier.py alone. told: is called with the count so far, now and then.
    """
    draft, count = out.with_name(f".{out.name}.draft"), 0
    with draft.open("wb") as file:
        for row in ledger.stored():
            file.write(row.record + b"\n")
            count += 1
            if count % 10_000 == 0:
                told(count)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(out)
    return count


def _note_after(ledger: Ledger, sequence: int) -> str:
    for record in ledger.records(Kind.CHECKPOINT, first=sequence + 1):
        return str(record.body["note"])
    ledger.checkpoint()
    latest = ledger.last(Kind.CHECKPOINT)
    assert latest is not None  # it was just signed
    return str(latest.body["note"])


def _manifest(ledger: Ledger, digest: str | None) -> str | None:
    """The manifest of a bundle in base64; None where there is none to name, or the model store lacks it."""
    folder = dict(stored_bundles(ledger.home)).get(digest) if digest else None
    return base64.b64encode((folder / MANIFEST).read_bytes()).decode() if folder else None
