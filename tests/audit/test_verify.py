"""What is done to a ledger behind its back is found, and where."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from audit import keys, outside
from audit.events import Entry, Kind, encode
from audit.ledger import Ledger
from audit.note import Checkpoint, signed
from audit.store import RECORDS, Row
from audit.tree import Frontier, leaf_hash
from audit.verify import Copies, Verdict, check_rows, verify
from tests.audit.builders import START, Deployment, fill

#: Where the interesting parts of the ledger below stand: key, checkpoint, five records, checkpoint, two records.
LAST_SIGNED, SIZE = 7, 10


@pytest.fixture
def filled(deployment: Deployment) -> Deployment:
    with deployment.open() as ledger:
        fill(ledger, 5)
        ledger.checkpoint()
        ledger.append(Kind.HEARTBEAT, {})
        ledger.append(Kind.HEARTBEAT, {})
    return deployment


@pytest.fixture
def ledger(filled: Deployment) -> Iterator[Ledger]:
    with filled.open(writes=False) as opened:
        yield opened


@pytest.fixture
def rows(small: Deployment) -> list[Row]:
    with small.open() as ledger:
        fill(ledger, 5)
        ledger.checkpoint()
        ledger.append(Kind.HEARTBEAT, {})
        ledger.append(Kind.HEARTBEAT, {})
        return list(ledger.stored())


@pytest.fixture
def copies(small: Deployment, rows: list[Row]) -> Copies:
    assert len(rows) == SIZE
    return dict(outside.copies(small.home, small.settings, keys.signing_key(small.home).name))


def first(verdict: Verdict) -> tuple[str, int]:
    return verdict.findings[0].code, verdict.findings[0].sequence


def test_a_ledger_that_was_let_alone_is_whole(ledger: Ledger) -> None:
    verdict = verify(ledger)
    assert verdict.whole
    assert (verdict.size, verdict.signed, verdict.remarks) == (SIZE, LAST_SIGNED, ())


def test_each_flipped_byte_of_each_record_is_found_at_its_place(rows: list[Row]) -> None:
    for place, row in enumerate(rows):
        for at in range(len(row.record)):
            spoilt = row.record[:at] + bytes([row.record[at] ^ 1]) + row.record[at + 1 :]
            held = [*rows[:place], row._replace(record=spoilt), *rows[place + 1 :]]
            assert first(check_rows(held)) == ("altered", place), (place, at)


def test_each_flipped_byte_whose_hash_was_made_to_fit_is_found_by_the_next_record_or_a_checkpoint(
    rows: list[Row],
) -> None:
    for place, row in enumerate(rows[:-1]):
        for at in range(len(row.record)):
            spoilt = row.record[:at] + bytes([row.record[at] ^ 1]) + row.record[at + 1 :]
            fits = row._replace(record=spoilt, hash=leaf_hash(spoilt))
            found = check_rows([*rows[:place], fits, *rows[place + 1 :]]).findings
            assert found, (place, at)
            assert found[0].sequence in (place, place + 1), (place, at)


def test_each_flipped_byte_of_the_columns_beside_a_record_is_found(rows: list[Row]) -> None:
    for place, row in enumerate(rows):
        changed = [
            *(row._replace(kind=_flip(row.kind, at)) for at in range(len(row.kind))),
            *(row._replace(event_id=_flip(row.event_id, at)) for at in range(len(row.event_id))),
            *(row._replace(microseconds=row.microseconds ^ (1 << bit)) for bit in range(63)),
            *(row._replace(hash=row.hash[:at] + bytes([row.hash[at] ^ 1]) + row.hash[at + 1 :]) for at in range(32)),
        ]
        for one in changed:
            assert first(check_rows([*rows[:place], one, *rows[place + 1 :]]))[1] == place


def _flip(text: str, at: int) -> str:
    return text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]


def test_a_deleted_record_is_found_wherever_it_stood_but_at_the_end(rows: list[Row]) -> None:
    for place in range(SIZE - 1):
        found = check_rows(rows[:place] + rows[place + 1 :]).findings
        assert found[0].sequence == place + 1
        assert found[0].problem == f"records {place} to {place} are missing"


def test_an_inserted_or_repeated_record_is_found(rows: list[Row]) -> None:
    for place in range(1, SIZE):
        assert first(check_rows([*rows[:place], rows[place - 1], *rows[place:]]))[1] == place - 1


def test_records_that_changed_places_are_found(rows: list[Row]) -> None:
    for place in range(SIZE - 1):
        swapped = [*rows[:place], rows[place + 1], rows[place], *rows[place + 2 :]]
        assert first(check_rows(swapped))[1] in (place, place + 1)


def test_a_cut_tail_is_found_by_a_copy_outside(rows: list[Row], copies: Copies) -> None:
    assert check_rows(rows, copies).whole
    for size in range(LAST_SIGNED):
        assert first(check_rows(rows[:size], copies)) in [("tail", size), ("copy", size)]
        assert check_rows(rows[:size]).size == size


def test_a_ledger_that_was_written_anew_without_the_key_is_found_at_its_checkpoint(rows: list[Row]) -> None:
    """Everything recomputed but the signatures: the first checkpoint after the change does not fit."""
    for place in range(2, LAST_SIGNED):
        assert ("checkpoint", LAST_SIGNED) in [
            (one.code, one.sequence) for one in check_rows(rewritten(rows, place)).findings
        ]


def rewritten(rows: list[Row], changed: int, sign: Callable[[int, bytes], str] | None = None) -> list[Row]:
    """The ledger with one body changed and every hash after it computed anew."""
    made: list[Row] = []
    frontier, previous = Frontier(), "0" * 64
    for place, row in enumerate(rows):
        held = json.loads(row.record)
        held["previous"] = previous
        if place == changed:
            held["body"] = {"probability": 0.0}
        if sign and held["kind"] == Kind.CHECKPOINT:
            held["body"] = {"note": sign(place, frontier.root())}
        record = json.dumps(held, sort_keys=True, separators=(",", ":")).encode()
        leaf = leaf_hash(record)
        made.append(row._replace(record=record, hash=leaf))
        frontier.append(leaf)
        previous = leaf.hex()
    return made


def test_a_ledger_that_was_signed_with_another_key_is_found(rows: list[Row], copies: Copies) -> None:
    key = keys.SigningKey.new(json.loads(rows[0].record)["body"]["key"].split("+")[0])

    def sign(size: int, root: bytes) -> str:
        return signed(Checkpoint(key.name, size, root), key)

    forged = rewritten(rows, 3, sign)
    assert first(check_rows(forged)) == ("checkpoint", 1)
    held = json.loads(forged[0].record)
    held["body"] = {"key": str(key.key)}
    announced = forged[0]._replace(record=json.dumps(held, sort_keys=True, separators=(",", ":")).encode())
    forged = rewritten([announced, *forged[1:]], 3, sign)
    assert check_rows(forged).whole  # by itself it is a ledger like any other: only what is held outside tells
    assert first(check_rows(forged, copies)) == ("copy", 1)


def test_a_replaced_database_is_found_by_the_key_of_the_home(filled: Deployment, ledger: Ledger) -> None:
    (filled.home.keys / "ledger.key").unlink()
    keys.make_signing_key(filled.home)
    assert "signer" in {one.code for one in verify(ledger).findings}


def test_a_changed_row_in_the_database_is_found(filled: Deployment, ledger: Ledger) -> None:
    engine = filled.engine()
    with engine.begin() as connection:
        for trigger in ("ledger_no_update", "ledger_no_change"):
            table = " ON ledger_records" if filled.uri else ""
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {trigger}{table}")
        changed = sa.update(RECORDS).where(RECORDS.c.sequence == 3).values(record=b'{"body":{}}')
        connection.execute(changed)
    engine.dispose()
    assert first(verify(ledger)) == ("altered", 3)


def test_a_record_of_an_earlier_time_than_the_one_before_is_found(small: Deployment) -> None:
    with small.open() as ledger:
        fill(ledger, 2)
        small.clock.at -= timedelta(hours=1)
        place = ledger.append(Kind.HEARTBEAT, {}).sequence
        small.clock.at += timedelta(hours=2)
        assert first(verify(ledger)) == ("clock-back", place)


def test_a_clock_that_is_kept_right_is_no_finding(small: Deployment) -> None:
    with small.open() as ledger:
        fill(ledger, 2)
        small.clock.at -= timedelta(seconds=1.9)
        ledger.append(Kind.HEARTBEAT, {})
        assert verify(ledger).whole


def test_a_service_that_was_killed_is_remarked_on_and_the_ledger_is_whole(small: Deployment) -> None:
    small.settings = replace(small.settings, heartbeat=60.0)
    with small.open() as ledger:
        ledger.append(Kind.SERVICE_STARTED, {})
        ledger.append(Kind.HEARTBEAT, {})
        small.clock.at += timedelta(seconds=170)
        assert verify(ledger).remarks == ()
        small.clock.at += timedelta(seconds=60)
        verdict = verify(ledger)
    assert verdict.whole
    assert [one.code for one in verdict.remarks] == ["silence"]


def test_a_key_that_its_predecessor_did_not_sign_is_found(small: Deployment) -> None:
    with small.open() as ledger:
        other = keys.SigningKey.new(ledger.signer.name)
        body = {"key": str(other.key), "signed_by": str(ledger.signer.key), "signature": "00" * 64}
        place = ledger.append(Kind.KEY_ROTATED, body).sequence
        assert ("key", place) in [(one.code, one.sequence) for one in verify(ledger).findings]


def test_a_ledger_stays_whole_over_a_change_of_keys(deployment: Deployment) -> None:
    with deployment.open() as ledger:
        old = ledger.signer.key
        fill(ledger, 3)
        ledger.rotate_key()
        ledger.append(Kind.HEARTBEAT, {})
        ledger.checkpoint()
        assert verify(ledger).whole
        assert verify(ledger, old).whole


def test_a_checkpoint_without_its_copy_is_remarked_on(small: Deployment) -> None:
    with small.open() as ledger:
        ledger.checkpoint()
        next(small.home.checkpoints.iterdir()).unlink()
        verdict = verify(ledger)
    assert verdict.whole
    assert [one.code for one in verdict.remarks] == ["no-copy"]


def test_a_record_is_written_the_same_way_whatever_the_order_of_its_body() -> None:
    bodies = [{"b": 1, "a": {"d": 2, "c": 3}}, {"a": {"c": 3, "d": 2}, "b": 1}]
    written = {encode(Entry(Kind.HEARTBEAT, body), 3, START, "0" * 64) for body in bodies}
    assert len(written) == 1
    (record,) = written
    assert record == json.dumps(json.loads(record), sort_keys=True, separators=(",", ":")).encode()
