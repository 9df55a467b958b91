"""What an auditor takes away: one record with its proof in one file, or the whole ledger as it is stored."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from audit import manifest
from audit.events import Kind, Record
from audit.ledger import Ledger
from audit.note import read
from audit.replay import stored_bundles
from audit.tree import inclusion, over
from features.bundle import MANIFEST
from features.errors import LedgerError

FORMAT = "crs-risk proof 1"


def prove(ledger: Ledger, sequence: int) -> dict[str, Any]:
    """The record, its path to a signed root, the checkpoint, the key, and the model it names.

    Of the model: its manifest, its signed statement, and the keys from the one that signed that to the latest.
    Where no checkpoint was signed after the record, one is signed now.
    """
    stored = ledger.bytes_at(sequence)
    if stored is None:
        raise LedgerError(f"record {sequence}", "there is none", "name a sequence or an id that the ledger holds")
    note = _note_after(ledger, sequence)
    size = read(note).size
    body = json.loads(stored)["body"]
    path = inclusion(sequence, size, over(ledger.leaves(size)))
    return {
        "format": FORMAT,
        "record": stored.decode("ascii"),
        "checkpoint": note,
        "path": [one.hex() for one in path],
        "key": _key_at(ledger, size),
        "manifest": _manifest(ledger, body),
        **_statement(ledger, body, size),
    }


def _statement(ledger: Ledger, body: dict[str, Any], size: int) -> dict[str, Any]:
    """The signed statement of the model that a record names, from the first `size` records; nothing without one."""
    digest = str(body.get("bundle", body.get("digest")))
    found = manifest.registration_of(ledger, digest)
    if found is None or found.sequence >= size or "statement" not in found.body:
        return {}
    try:
        keys = manifest.handed_on(ledger, found.sequence)
    except (ValueError, KeyError) as error:
        raise LedgerError("key.rotated", "a change of keys is not signed", "run crs audit verify") from error
    shown = [{name: str(one.get(name, "")) for name in ("key", "signature")} for one in keys]
    return {"statement": found.body["statement"], "statement_keys": shown}


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


def _key_at(ledger: Ledger, size: int) -> str:
    """The key that was in force after the first `size` records."""
    keys: list[Record] = [one for one in ledger.records(Kind.KEY_ROTATED) if one.sequence < size]
    return str(keys[-1].body["key"])


def _manifest(ledger: Ledger, body: dict[str, Any]) -> str:
    """The manifest of the bundle that a record names, in base64; "" where it names none, or it is not here."""
    digest = body.get("bundle", body.get("digest"))
    folder = dict(stored_bundles(ledger.home)).get(str(digest))
    return base64.b64encode((folder / MANIFEST).read_bytes()).decode() if folder else ""
