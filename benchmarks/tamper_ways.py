"""Ways to tamper with a ledger's rows: each does its harm to a field and returns where it has to be found.

Those that end in "anew" number and hash everything after the change again, head included, as who holds the database
but not the key can.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tampered import INSERT, Expected, Field, Ground

from audit import dsse
from audit.events import Entry, Kind, encode
from audit.growth import microseconds
from audit.keys import SigningKey
from audit.note import Checkpoint, signed
from audit.store import Row
from tests.audit.tampering import fitted, flipped, rewritten

#: A kind of tampering, the record it is done to, and what else it needs.
Task = tuple[str, int, Any]


def attempt(field: Field, task: Task) -> tuple[str, bool, str]:
    """The task's kind, whether only a receipt could tell, and what was missed, "" if nothing was."""
    kind, place, detail = task
    field.restore()
    expected = WAYS[kind](field, place, detail)
    missed = field.judge(expected, place)
    if kind in UNSIGNED and field.signs():
        missed += "; the service signs it"
    return kind, not expected.by_verify, f"{kind} at {place} ({detail}): {missed}" if missed else ""


def at(*places: int) -> frozenset[int]:
    return frozenset(places)


def byte(field: Field, place: int, detail: tuple[int, int]) -> Expected:
    field.put(place, record=flipped(field.ground.rows[place].record, *detail))
    return Expected(at(place), at(place, place + 1))


def byte_with_hash(field: Field, place: int, detail: tuple[int, int]) -> Expected:
    row = field.ground.rows[place]
    changed = fitted(row, flipped(row.record, *detail))
    field.put(place, record=changed.record, hash=changed.hash)
    return Expected(at(place, place + 1), at(place, place + 1))


def column(field: Field, place: int, detail: dict[str, Any]) -> Expected:
    """A sequence that is changed moves its record to the end of the export."""
    field.put(place, **detail)
    moved = "sequence" in detail and place < field.ground.size - 1
    return Expected(at(place, place + 1), at(place) if moved else at())


def head(field: Field, place: int, detail: tuple[str, Any]) -> Expected:
    field.database.execute(f"UPDATE ledger_head SET {detail[0]} = ?", (detail[1],))
    field.database.commit()
    return Expected(at(place), at())


def deleted(field: Field, place: int, _: Any) -> Expected:
    field.run(f"DELETE FROM ledger_records WHERE sequence = {place}")
    return Expected(at(place, place + 1), at(place))


def inserted(field: Field, place: int, _: Any) -> Expected:
    """A made-up record that follows the one before it; at the end no receipt can speak of it."""
    field.run(
        f"UPDATE ledger_records SET sequence = -sequence - 1 WHERE sequence >= {place}",
        "UPDATE ledger_records SET sequence = -sequence WHERE sequence < 0",
    )
    field.database.execute(INSERT, made_up(field.ground, place))
    field.database.commit()
    return Expected(at(place, place + 1), at(place, place + 1) if place < field.ground.size else at())


def swapped(field: Field, place: int, other: int) -> Expected:
    field.run(
        f"UPDATE ledger_records SET sequence = -1 WHERE sequence = {place}",
        f"UPDATE ledger_records SET sequence = {place} WHERE sequence = {other}",
        f"UPDATE ledger_records SET sequence = {other} WHERE sequence = -1",
    )
    return Expected(at(place), at(place))


def cut(field: Field, place: int, _: Any) -> Expected:
    """The head still tells of the end."""
    field.run(f"DELETE FROM ledger_records WHERE sequence >= {place}")
    return Expected(at(place), at(place))


def cut_anew(field: Field, place: int, _: Any) -> Expected:
    """Behind the last checkpoint only a receipt tells; of the checkpoint itself, what the home remembers."""
    field.replace(field.ground.rows[:place])
    return Expected(at(place) if place <= field.ground.signed[-1] else at(), at(place))


def changed_anew(field: Field, place: int, _: Any) -> Expected:
    field.replace(rewritten(field.ground.rows, place))
    own = field.ground.rows[place].kind in (Kind.CHECKPOINT, Kind.KEY_ROTATED)
    return Expected(at(place), at(place)) if own else field.ground.vouched(place, field.ground.after(place))


def deleted_anew(field: Field, place: int, _: Any) -> Expected:
    rows = field.ground.rows
    field.replace(rewritten(rows[:place] + rows[place + 1 :], -1))
    return field.ground.vouched(place, field.ground.after(place) - 1 if place else 0)


def inserted_anew(field: Field, place: int, _: Any) -> Expected:
    rows = field.ground.rows
    field.replace(rewritten([*rows[:place], made_up(field.ground, place), *rows[place:]], -1))
    after = field.ground.after(place - 1)
    return Expected(at(after, after + 1), at(after, after + 1)) if after else Expected(at(), at(place))


def swapped_anew(field: Field, place: int, other: int) -> Expected:
    rows = list(field.ground.rows)
    rows[place], rows[other] = rows[other], rows[place]
    field.replace(rewritten(rows, -1))
    return field.ground.vouched(place, place, place + 1, field.ground.after(place))


def signed_anew(field: Field, place: int, _: Any) -> Expected:
    """A body changed, and every checkpoint after it signed with a key of somebody else's."""
    other, rows = SigningKey.new(field.ground.key.split("+")[0]), field.ground.rows

    def sign(size: int, root: bytes) -> str:
        if size < place:
            return str(json.loads(rows[size].record)["body"]["note"])
        return signed(Checkpoint(other.name, size, root), other)

    field.replace(rewritten(rows, place, sign))
    own = rows[place].kind in (Kind.CHECKPOINT, Kind.KEY_ROTATED)
    return field.ground.vouched(place, place if own else field.ground.after(place))


def without_checkpoints(field: Field, place: int, _: Any) -> Expected:
    """A body changed and every checkpoint left out: no signature disagrees, only what is kept outside the database."""
    rows, first = field.ground.rows, next(one for one in field.ground.signed if one > 1)
    plain = [row for row in rows if row.kind != Kind.CHECKPOINT]
    changed = next((number for number, row in enumerate(plain) if row.sequence == place), -1)
    field.replace(rewritten(plain, changed))
    own = {changed} if changed >= 0 and rows[place].kind in (Kind.KEY_ROTATED, Kind.MODEL_REGISTERED) else set()
    found = frozenset({min(first, len(plain)), *own})
    return Expected(found, found)


def handed_back(field: Field, place: int, _: Any) -> Expected:
    """A key of somebody's own before a record, what it signed, and the key in force again, signed by that one.

    Behind the last checkpoint, all hashes fit.
    """
    rows, other = list(field.ground.rows), SigningKey.new(field.ground.key.split("+")[0])
    own = [str(json.loads(row.record)["body"]["key"]) for row in rows[:place] if row.kind == Kind.KEY_ROTATED][-1]
    said = {"predicate": {"bundle": "0" * 64, "version": "1"}, "subject": []}
    bodies = (
        (Kind.KEY_ROTATED, {"key": str(other.key), "signed_by": own, "signature": "00" * 64}),
        (Kind.MODEL_REGISTERED, {"version": "1", "digest": "0" * 64, "statement": dsse.wrap(said, other)}),
        (Kind.KEY_ROTATED, {"key": own, "signed_by": str(other.key), "signature": other.sign(own.encode()).hex()}),
    )
    made = [named(rows[place - 1], kind, body) for kind, body in bodies]
    field.replace(rewritten([*rows[:place], *made, *rows[place:]], -1))
    return Expected(at(place), at(place))


def named(before: Row, kind: Kind, body: dict[str, Any]) -> Row:
    time = datetime.fromtimestamp(before.microseconds / 1e6, UTC)
    record = encode(Entry(kind, body), 0, time, before.hash.hex())
    return fitted(Row(0, str(kind), "", microseconds(time), b"", record), record)


def made_up(ground: Ground, place: int) -> Row:
    """A record of nobody's that follows the one before `place`."""
    before = ground.rows[place - 1]
    time = datetime.fromtimestamp(before.microseconds / 1e6, UTC)
    record = encode(Entry(Kind.PREDICTION, {"probability": 0.5}, "made-up"), place, time, before.hash.hex())
    return fitted(Row(place, str(Kind.PREDICTION), "made-up", microseconds(time), b"", record), record)


WAYS: dict[str, Callable[[Field, int, Any], Expected]] = {
    "a byte of a record": byte,
    "a byte of a record, its hash made to fit": byte_with_hash,
    "a byte or bit of a column": column,
    "a byte or bit of the head": head,
    "deleted": deleted,
    "inserted": inserted,
    "put in another order": swapped,
    "tail cut off": cut,
    "changed, all after it anew": changed_anew,
    "deleted, all after it anew": deleted_anew,
    "inserted, all after it anew": inserted_anew,
    "put in another order, all after it anew": swapped_anew,
    "tail cut off, the head anew": cut_anew,
    "changed, signed anew with another key": signed_anew,
    "changed, the checkpoints left out, all anew": without_checkpoints,
    "a key announced and handed back, all anew": handed_back,
}
#: What a service that is started on it must not sign either.
UNSIGNED = frozenset({"changed, the checkpoints left out, all anew", "a key announced and handed back, all anew"})
