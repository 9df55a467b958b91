"""Erases what the vault keeps of a patient: first the key, then the ciphertexts, with a record that tells of it.

Once the key is destroyed nothing can be read. What a stopped call left undone the next one finishes. The ledger's own
records stay as they are, so the chain does.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from audit import kept
from audit.data_keys import DataKeys
from audit.events import Kind
from audit.ledger import Ledger
from audit.store import Writing


@dataclass(frozen=True, slots=True)
class Erased:
    """patient: the holder's pseudonym. requests: how many were erased. sequence: of the record that tells of it."""

    patient: str
    requests: int
    sequence: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def erase(ledger: Ledger, holders: Iterable[str], by: str) -> list[Erased]:
    """Erase all that is kept of these holders, pseudonyms; () of one of whom nothing is. by: who asked for it.

    LedgerError where it could not be finished: call it again.
    """
    keys = DataKeys(ledger.home)
    left = set[tuple[str, str]]()
    for holder in holders:
        if keys.made:
            keys.end(holder)
        with ledger.reading() as connection:
            left |= {(key, holder) for key in kept.keys(connection, holder)}
    ended = set(keys.ended())
    done = [_finish(ledger, key, holder, by) for key, holder in sorted(ended | left)]
    for key, _ in ended:
        keys.finished(key)
    return done


def _finish(ledger: Ledger, key: str, holder: str, by: str) -> Erased:
    """Delete what a destroyed key had sealed and say so, in one transaction.

    An answer that was under way when its key was destroyed may come to lie there after the record: it is deleted by a
    later call, which has a record of its own.
    """
    removed = 0

    def remove(writing: Writing) -> dict[str, Any]:
        nonlocal removed
        removed = kept.remove(writing.connection, holder, key)
        return {"patient": holder, "requests": removed, "by": by}

    before = ledger.find(key, Kind.VAULT_ERASED)
    with ledger.reading() as connection:
        there = key in kept.keys(connection, holder)
    if before is not None and not there:
        return Erased(holder, 0, before.sequence)
    receipt = ledger.append_made(Kind.VAULT_ERASED, remove, "" if before else key)
    return Erased(holder, removed, receipt.sequence)
