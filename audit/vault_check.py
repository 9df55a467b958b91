"""Whether all that the vault keeps is what the records say: nothing swapped, and nothing gone but what was erased.

Nothing is decrypted for it: each record holds the digest of what is kept of it.
"""

from collections.abc import Iterator
from dataclasses import replace

import sqlalchemy as sa

from audit import vault
from audit.data_keys import DataKeys
from audit.events import Kind, decode
from audit.kept import KEPT, sealed_bytes
from audit.ledger import Ledger
from audit.store import RECORDS
from audit.unsealing import PROBLEMS, State
from audit.verify import MOST_TOLD, Finding, Verdict
from features.errors import LedgerError

CODE = "kept"
#: Kinds of records whose calls may be kept.
_KINDS = tuple(map(str, (Kind.PREDICTION, Kind.FEEDBACK)))
_MARK = f'"{vault.DIGEST}":"'.encode()
#: Rows that are fetched together.
_PART = 100


def with_vault(ledger: Ledger, verdict: Verdict) -> Verdict:
    """The verdict on a ledger with what is wrong of what the vault keeps. A ledger that is not whole is not asked."""
    if not verdict.whole or not _used(ledger):
        return verdict
    with ledger.reading() as connection:
        found = sorted((*_strange(connection), *_gone(connection, _erasures(ledger))))
    told = tuple(Finding(CODE, sequence, problem) for sequence, problem in found[:MOST_TOLD])
    return replace(verdict, findings=told, remarks=(*verdict.remarks, *_unfinished(ledger, verdict.size)))


def _unfinished(ledger: Ledger, size: int) -> Iterator[Finding]:
    """A remark where an erasure was cut short: its key is destroyed, the rest is to be done."""
    try:
        ended = DataKeys(ledger.home).ended()
    except LedgerError as error:
        yield Finding("vault", size, str(error))
        return
    if ended:
        yield Finding("erasure", size, f"{len(ended)} erasures were cut short: run `crs audit erase` again")


def _used(ledger: Ledger) -> bool:
    """Whether anything was ever kept; of a ledger without a vault not one record more is read."""
    with ledger.reading() as connection:
        if not sa.inspect(connection).has_table(KEPT.name):
            return False
        if connection.execute(sa.select(KEPT.c.sequence).limit(1)).first() is not None:
            return True
    switched = any(one.body.get("vault") for one in ledger.records(Kind.CONFIG_CHANGED))
    return switched or ledger.last(Kind.VAULT_ERASED) is not None


def _strange(connection: sa.Connection) -> Iterator[tuple[int, str]]:
    """Sequence and problem of what is kept and not as recorded."""
    asked = sa.select(KEPT, RECORDS.c.record).outerjoin(RECORDS, RECORDS.c.sequence == KEPT.c.sequence)
    for part in connection.execute(asked.order_by(KEPT.c.sequence)).partitions(_PART):
        for sequence, holder, key, found, stored in part:
            sealed = sealed_bytes(found)
            held = (holder, key, vault.digest(sealed))
            if stored is None or held != _stated(bytes(stored), sealed):
                yield sequence, PROBLEMS[State.ALTERED]


def _stated(stored: bytes, sealed: bytes) -> tuple[str, str, str]:
    """What the columns and the digest have to be by the record, and by the sealed bytes themselves."""
    record = decode(stored)
    holder = vault.holder_of(record.body, record.event_id)
    return holder, vault.key_of(sealed), str(record.body.get(vault.DIGEST, ""))


def _gone(connection: sa.Connection, erasures: dict[str, int]) -> Iterator[tuple[int, str]]:
    """Sequence and problem of what a record says is kept, and is not, though it was not erased."""
    there = sa.select(KEPT.c.sequence).where(KEPT.c.sequence == RECORDS.c.sequence).exists()
    asked = sa.select(RECORDS.c.sequence, RECORDS.c.record).where(RECORDS.c.kind.in_(_KINDS), ~there)
    for part in connection.execute(asked).partitions(_PART):
        for sequence, stored in part:
            if _MARK not in bytes(stored):
                continue
            record = decode(bytes(stored))
            if erasures.get(vault.holder_of(record.body, record.event_id), -1) < sequence:
                yield sequence, PROBLEMS[State.GONE]


def _erasures(ledger: Ledger) -> dict[str, int]:
    """Holder -> sequence of the last erasure of theirs."""
    return {str(one.body["patient"]): one.sequence for one in ledger.records(Kind.VAULT_ERASED)}
