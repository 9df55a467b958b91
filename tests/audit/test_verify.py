"""What is done to a ledger behind its back is found, and where."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from audit import keys, outside
from audit.events import Entry, Kind, encode
from audit.ledger import Ledger
from audit.note import Checkpoint, signed
from audit.store import RECORDS, Row
from audit.verify import Copies, Verdict, check_rows, verify
from features.errors import LedgerError
from features.home import Home
from tests.audit.builders import START, Deployment, fill
from tests.audit.tampering import column_flips, fitted, flipped, rewritten

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
            held = [*rows[:place], row._replace(record=flipped(row.record, at)), *rows[place + 1 :]]
            assert first(check_rows(held)) == ("altered", place), (place, at)


def test_each_flipped_byte_whose_hash_was_made_to_fit_is_found_by_the_next_record_or_a_checkpoint(
    rows: list[Row],
) -> None:
    for place, row in enumerate(rows[:-1]):
        for at in range(len(row.record)):
            fits = fitted(row, flipped(row.record, at))
            found = check_rows([*rows[:place], fits, *rows[place + 1 :]]).findings
            assert found, (place, at)
            assert found[0].sequence in (place, place + 1), (place, at)


def test_each_flipped_byte_of_the_columns_beside_a_record_is_found(rows: list[Row]) -> None:
    for place, row in enumerate(rows):
        for changed in column_flips(row):
            spoilt = [*rows[:place], row._replace(**changed), *rows[place + 1 :]]
            assert first(check_rows(spoilt))[1] == place, changed


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


@pytest.mark.parametrize("place", [0, 7])
def test_a_damaged_announcement_of_a_key_is_found_at_its_place(small: Deployment, place: int) -> None:
    """It once ended the check with an error that named no record, as the origin was read from it."""
    with small.open() as ledger:
        fill(ledger, 5)
        ledger.rotate_key()
        ledger.append(Kind.HEARTBEAT, {})
        row = list(ledger.stored())[place]
        assert row.kind == Kind.KEY_ROTATED
        spoilt = flipped(row.record, row.record.index(b"crs-risk"))
        for record in (spoilt, b"{"):
            changed_by_hand(small, sa.update(RECORDS).where(RECORDS.c.sequence == place).values(record=record))
            assert first(verify(ledger)) == ("altered", place)


def test_another_ledger_in_the_place_of_this_one_is_found_by_the_first_copy(small: Deployment, tmp_path: Path) -> None:
    """Copies are looked for under the name of the home's key, whatever the database says that it is."""
    other = Deployment(Home(tmp_path / "other"), "")
    for one in (small, other):
        with one.open() as ledger:
            fill(ledger, 3)
            ledger.checkpoint()
    (other.home.ledger / "ledger.db").replace(small.home.ledger / "ledger.db")
    with small.open(writes=False) as ledger:
        assert first(verify(ledger)) == ("copy", 1)
        assert "signer" in {one.code for one in verify(ledger).findings}


def test_a_database_whose_tables_cannot_be_read_is_one_line(small: Deployment) -> None:
    """Python's sqlite3 raises another error where the damaged name of a table is no text."""
    with small.open() as ledger:
        fill(ledger, 3)
    path = small.home.ledger / "ledger.db"
    path.write_bytes(path.read_bytes().replace(b"ledger_head", b"ledger_h\xf1ad"))
    with pytest.raises(LedgerError, match="the database cannot be used"), small.open(writes=False) as ledger:
        verify(ledger)


def test_a_replaced_database_is_found_by_the_key_of_the_home(filled: Deployment, ledger: Ledger) -> None:
    (filled.home.keys / "ledger.key").unlink()
    keys.make_signing_key(filled.home)
    assert "signer" in {one.code for one in verify(ledger).findings}


def changed_by_hand(deployment: Deployment, statement: sa.Executable | str) -> None:
    engine = deployment.engine()
    with engine.begin() as connection:
        for trigger in ("ledger_no_update", "ledger_no_change"):
            table = " ON ledger_records" if deployment.uri else ""
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {trigger}{table}")
        connection.execute(sa.text(statement) if isinstance(statement, str) else statement)
    engine.dispose()


def test_a_changed_row_in_the_database_is_found(filled: Deployment, ledger: Ledger) -> None:
    changed_by_hand(filled, sa.update(RECORDS).where(RECORDS.c.sequence == 3).values(record=b'{"body":{}}'))
    assert first(verify(ledger)) == ("altered", 3)


@pytest.mark.parametrize("column", ["record", "hash", "kind", "event_id", "microseconds"])
@pytest.mark.parametrize("value", ["CAST({} AS TEXT)", "CAST({} AS BLOB)", "1.5", "x'ff'"])
def test_a_value_of_another_type_is_found_at_its_place(small: Deployment, column: str, value: str) -> None:
    """SQLite keeps whatever it is given in any column."""
    with small.open() as ledger:
        fill(ledger, 3)
        whole = list(ledger.stored())
        changed_by_hand(small, f"UPDATE ledger_records SET {column} = {value.format(column)} WHERE sequence = 3")
        if list(ledger.stored()) != whole:
            assert first(verify(ledger))[1] == 3


@pytest.mark.parametrize("changed", ["size = size + 1", "checkpoint_size = 0", "checkpoint_microseconds = 7"])
def test_a_head_that_does_not_fit_the_records_is_found(filled: Deployment, ledger: Ledger, changed: str) -> None:
    changed_by_hand(filled, f"UPDATE ledger_head SET {changed}")
    assert first(verify(ledger)) == ("head", SIZE)


def test_roots_in_the_head_that_are_not_those_of_the_records_are_found(small: Deployment) -> None:
    """The next checkpoint would sign them."""
    with small.open() as ledger:
        size = fill(ledger, 4)[-1].sequence + 1
        changed_by_hand(small, "UPDATE ledger_head SET roots = zeroblob(length(roots))")
        assert first(verify(ledger)) == ("head", size)


def test_a_ledger_is_whole_while_it_is_written_to(filled: Deployment, ledger: Ledger) -> None:
    """Rows and head once were read one after the other: a service under load made the head look wrong."""
    begun, stop = threading.Event(), threading.Event()

    def write() -> None:
        with filled.open() as writing:
            while not stop.is_set():
                writing.append(Kind.HEARTBEAT, {})
                begun.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert begun.wait(10)
    verdicts = [verify(ledger) for _ in range(10)]
    stop.set()
    thread.join()
    assert [one.findings for one in verdicts] == [()] * 10
    assert verify(ledger).size > SIZE


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


def test_a_clock_set_back_by_many_small_steps_is_found_once_it_is_back_by_more_than_the_slack(
    small: Deployment,
) -> None:
    with small.open() as ledger:
        fill(ledger, 2)
        places = []
        for _ in range(40):
            small.clock.at -= timedelta(seconds=1.9)
            places.append(ledger.append(Kind.HEARTBEAT, {}).sequence)
        small.clock.at += timedelta(hours=1)
        ledger.append(Kind.HEARTBEAT, {})
        small.clock.at -= timedelta(seconds=3)
        again = ledger.append(Kind.HEARTBEAT, {}).sequence
        small.clock.at += timedelta(hours=1)
        found = verify(ledger).findings
    assert [(one.code, one.sequence) for one in found] == [("clock-back", places[1]), ("clock-back", again)]


def test_a_second_large_step_back_is_found_as_well_as_the_first(small: Deployment) -> None:
    with small.open() as ledger:
        places = []
        for _ in range(2):
            small.clock.at -= timedelta(hours=1)
            places.append(ledger.append(Kind.HEARTBEAT, {}).sequence)
            ledger.append(Kind.HEARTBEAT, {})
        small.clock.at += timedelta(hours=3)
        assert [one.sequence for one in verify(ledger).findings] == places


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
