"""The ledger as its writers and readers meet it, on SQLite and on PostgreSQL alike."""

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from audit.events import NO_RECORD, Entry, Kind
from audit.keys import pseudonym, tenant_key
from audit.ledger import open_ledger
from audit.note import read
from audit.store import Store
from audit.verify import verify
from features.errors import LedgerError
from tests.audit.builders import START, Deployment, body, fill, write_side_by_side


def test_what_is_appended_is_read_back_in_its_order(deployment: Deployment) -> None:
    with deployment.open() as ledger:
        receipts = fill(ledger, 5)
    with deployment.open(writes=False) as ledger:
        records = list(ledger.records(Kind.PREDICTION))
    assert [one.body for one in records] == [body(place) for place in range(5)]
    assert [(one.sequence, one.hash) for one in records] == [(one.sequence, one.hash) for one in receipts]
    assert [one.event_id for one in records] == [f"event-{place}" for place in range(5)]


def test_each_record_names_the_hash_of_the_one_before(deployment: Deployment) -> None:
    with deployment.open() as ledger:
        fill(ledger, 3)
        rows = list(ledger.stored())
    previous = NO_RECORD
    for place, row in enumerate(rows):
        held = json.loads(row.record)
        assert (held["sequence"], held["previous"]) == (place, previous)
        previous = sha256(b"\x00" + row.record).hexdigest()
        assert row.hash.hex() == previous


def test_a_ledger_goes_on_after_it_was_closed(deployment: Deployment) -> None:
    with deployment.open() as ledger:
        first = ledger.append(Kind.HEARTBEAT, {})
    with deployment.open() as ledger:
        assert ledger.append(Kind.HEARTBEAT, {}).sequence == first.sequence + 1


def test_the_same_event_again_returns_the_first_receipt(deployment: Deployment) -> None:
    with deployment.open() as ledger:
        first = ledger.append(Kind.PREDICTION, {"a": 1, "b": 0.1}, "p-1")
        assert ledger.append(Kind.PREDICTION, {"b": 0.1, "a": 1}, "p-1") == first
        assert ledger.append(Kind.OUTCOME, {"a": 1}, "p-1") != first
        assert len(list(ledger.records(Kind.PREDICTION))) == 1


def test_the_same_event_with_another_content_is_refused(deployment: Deployment) -> None:
    with deployment.open() as ledger:
        ledger.append(Kind.PREDICTION, {"a": 1}, "p-1")
        with pytest.raises(LedgerError, match="recorded already with another content"):
            ledger.append(Kind.PREDICTION, {"a": 2}, "p-1")
        assert [one.body for one in ledger.records(Kind.PREDICTION)] == [{"a": 1}]


def test_a_group_holds_known_new_repeated_and_nameless_events_in_its_order(deployment: Deployment) -> None:
    with deployment.open() as ledger:
        known = ledger.append(Kind.PREDICTION, {"a": 1}, "known")
        group = [
            Entry(Kind.HEARTBEAT, {}),
            Entry(Kind.PREDICTION, {"a": 2}, "new"),
            Entry(Kind.PREDICTION, {"a": 1}, "known"),
            Entry(Kind.PREDICTION, {"a": 2}, "new"),
        ]
        heartbeat, new, again, repeated = ledger.append_all(group)
        assert again == known
        assert new == repeated
        assert (ledger.find("new"), ledger.at(heartbeat.sequence)) == (
            ledger.at(new.sequence),
            ledger.last(Kind.HEARTBEAT),
        )
        assert len(list(ledger.records(Kind.PREDICTION))) == 2


def test_a_group_is_recorded_whole_or_not_at_all(deployment: Deployment) -> None:
    with deployment.open() as ledger:
        ledger.append(Kind.PREDICTION, {"a": 1}, "p-1")
        with pytest.raises(LedgerError):
            ledger.append_all([Entry(Kind.PREDICTION, {}, "p-2"), Entry(Kind.PREDICTION, {"a": 2}, "p-1")])
        assert ledger.find("p-2") is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"bytes"])
def test_what_json_cannot_hold_is_refused_and_not_bent(small: Deployment, value: object) -> None:
    with small.open() as ledger, pytest.raises(LedgerError, match="not plain JSON"):
        ledger.append(Kind.PREDICTION, {"a": value})


def test_since_is_inclusive_and_until_exclusive(deployment: Deployment) -> None:
    with deployment.open() as ledger:
        times = [ledger.at(one.sequence).time for one in fill(ledger, 4)]  # type: ignore[union-attr]
        found = list(ledger.records(Kind.PREDICTION, times[1], times[3]))
    assert times[0] > START
    assert [one.time for one in found] == times[1:3]


def test_the_database_refuses_to_change_or_delete_a_record(deployment: Deployment) -> None:
    with deployment.open() as ledger:
        fill(ledger, 2)
    engine = deployment.engine()
    statements = ["UPDATE ledger_records SET kind = 'x'", "DELETE FROM ledger_records WHERE sequence = 2"]
    for statement in statements + (["TRUNCATE ledger_records"] if deployment.uri else []):
        with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
            connection.exec_driver_sql(statement)
    engine.dispose()


#: A row with another record, in the place of one that is there: by its sequence, and by its event.
_PUT = (
    "INTO ledger_records SELECT {}, kind, event_id, microseconds, hash, record FROM ledger_records WHERE sequence = 2"
)


@pytest.mark.parametrize("sequence", ["sequence", "sequence + 90"])
def test_the_database_refuses_to_put_a_record_in_the_place_of_another(deployment: Deployment, sequence: str) -> None:
    with deployment.open() as ledger:
        fill(ledger, 2)
        whole = list(ledger.stored())
    engine, put = deployment.engine(), _PUT.format(sequence)
    if deployment.uri:
        target = "sequence" if sequence == "sequence" else "event_id, kind) WHERE (event_id <> ''"
        statements = [f"INSERT {put} ON CONFLICT ({target}) DO UPDATE SET kind = 'x'"]
    else:
        update = "ON CONFLICT DO UPDATE SET kind = 'x'"
        statements = [f"INSERT OR REPLACE {put}", f"REPLACE {put}", f"INSERT OR IGNORE {put}", f"INSERT {put} {update}"]
    for statement in statements:
        with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
            connection.exec_driver_sql(statement)
    engine.dispose()
    with deployment.open(writes=False) as ledger:
        assert list(ledger.stored()) == whole


def test_a_ledger_from_before_this_guard_gets_it_when_it_is_opened_for_writing(small: Deployment) -> None:
    with small.open() as ledger:
        fill(ledger, 2)
    engine = small.engine()
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER ledger_no_replace")
    with small.open() as ledger:
        ledger.append(Kind.HEARTBEAT, {})
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT OR REPLACE {_PUT.format('sequence')}")
    engine.dispose()


def test_writers_side_by_side_share_one_chain(deployment: Deployment) -> None:
    write_side_by_side(deployment, 10)
    with deployment.open(writes=False) as ledger:
        rows = list(ledger.stored())
    assert sum(row.kind == "prediction" for row in rows) == 30
    for before, row in itertools.pairwise(rows):
        assert json.loads(row.record)["previous"] == before.hash.hex()


def test_services_that_open_a_new_ledger_at_once_all_get_it(tmp_path: Path) -> None:
    for name in range(20):
        file = tmp_path / f"{name}.db"
        together = threading.Barrier(4)

        def start(file: Path = file, together: threading.Barrier = together) -> None:
            store = Store(f"sqlite:///{file}", file, writes=True)
            together.wait()
            store.create()
            store.close()

        with ThreadPoolExecutor(4) as threads:
            for opened in [threads.submit(start) for _ in range(4)]:
                opened.result()


def test_a_checkpoint_is_signed_after_so_many_records(deployment: Deployment) -> None:
    deployment.settings = replace(deployment.settings, records=10)
    with deployment.open() as ledger:
        fill(ledger, 30)
        notes = [read(one.body["note"], ledger.signer.key) for one in ledger.records(Kind.CHECKPOINT)]
        places = [one.sequence for one in ledger.records(Kind.CHECKPOINT)]
    assert [one.size for one in notes] == places
    assert len(places) == 4
    assert max(after - before for before, after in itertools.pairwise(places)) == 11


def test_a_checkpoint_is_signed_after_so_many_seconds(small: Deployment) -> None:
    small.settings = replace(small.settings, seconds=60.0)
    with small.open() as ledger:
        ledger.append(Kind.HEARTBEAT, {})
        before = len(list(ledger.records(Kind.CHECKPOINT)))
        small.clock.at += timedelta(seconds=60)
        ledger.append(Kind.HEARTBEAT, {})
        assert len(list(ledger.records(Kind.CHECKPOINT))) == before + 1


def test_checkpoints_are_copied_to_the_folder_that_is_named(small: Deployment) -> None:
    small.settings = replace(small.settings, folder=small.home.folder / "elsewhere")
    with small.open() as ledger:
        fill(ledger, 3)
        made = ledger.checkpoint()
        copies = sorted((small.home.folder / "elsewhere").iterdir())
        assert read(copies[-1].read_text(), ledger.signer.key) == made
    assert not small.home.checkpoints.exists()


def test_an_empty_ledger_in_the_place_of_one_that_had_checkpoints_is_refused(small: Deployment) -> None:
    with small.open() as ledger:
        size = ledger.checkpoint().size
    for path in small.home.ledger.iterdir():
        path.unlink()
    with pytest.raises(LedgerError, match=f"held {size} records"), small.open():
        pass


def test_a_head_that_does_not_fit_the_last_record_stops_writing(deployment: Deployment) -> None:
    with deployment.open() as ledger:
        fill(ledger, 2)
    engine = deployment.engine()
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE ledger_head SET size = size + 1"))
    engine.dispose()
    with pytest.raises(LedgerError, match="crs audit verify"), deployment.open():
        pass


def test_a_ledger_opened_for_reading_takes_nothing(deployment: Deployment) -> None:
    with deployment.open():
        pass
    with deployment.open(writes=False) as ledger, pytest.raises(LedgerError, match="opened for reading"):
        ledger.append(Kind.HEARTBEAT, {})


def test_reading_where_there_is_no_ledger_says_so(small: Deployment) -> None:
    with pytest.raises(LedgerError, match="none in this home"), small.open(writes=False):
        pass


def test_the_address_of_a_server_is_read_from_the_environment(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRS_RISK_LEDGER_URI", deployment.uri)
    with open_ledger(deployment.home) as ledger:
        ledger.append(Kind.HEARTBEAT, {}, "once")
    with deployment.open(writes=False) as ledger:
        assert ledger.find("once") is not None


def test_a_new_key_is_announced_and_the_old_one_is_gone(deployment: Deployment) -> None:
    with deployment.open() as ledger:
        old = ledger.signer.key
        new = ledger.rotate_key()
        made = ledger.checkpoint()
        record = ledger.last(Kind.KEY_ROTATED)
        assert record is not None
        assert old.verifies(str(new).encode(), bytes.fromhex(record.body["signature"]))
        assert (record.body["key"], record.body["signed_by"]) == (str(new), str(old))
        note = ledger.last(Kind.CHECKPOINT)
        assert note is not None
        assert read(note.body["note"], new) == made
        with pytest.raises(ValueError, match="not signed"):
            read(note.body["note"], old)
    with deployment.open() as ledger:
        assert ledger.signer.key == new


def test_a_rotation_that_was_cut_short_is_completed_when_the_ledger_is_opened(small: Deployment) -> None:
    from audit import keys

    with small.open() as ledger:
        draft = keys.draft_signing_key(small.home, ledger.signer.name)
        signature = ledger.signer.sign(str(draft.key).encode()).hex()
        body = {"key": str(draft.key), "signed_by": str(ledger.signer.key), "signature": signature}
        ledger.append(Kind.KEY_ROTATED, body)
    with small.open() as ledger:
        assert ledger.signer.key == draft.key


def test_a_key_that_another_process_changed_is_taken_up_at_the_next_checkpoint(deployment: Deployment) -> None:
    deployment.settings = replace(deployment.settings, records=5)
    with deployment.open() as service, deployment.open() as auditor:
        fill(service, 3)
        new = auditor.rotate_key()
        fill(service, 20)
        assert verify(service).findings == ()
        assert service.signer.key == new


def test_keys_are_for_their_owner_alone(small: Deployment) -> None:
    with small.open():
        tenant_key(small.home)
    assert {path.name: path.stat().st_mode & 0o777 for path in small.home.keys.iterdir()} == {
        ".ledger.signed.lock": 0o600,
        "ledger.key": 0o600,
        "ledger.signed": 0o600,
        "tenant.key": 0o600,
    }
    assert small.home.keys.stat().st_mode & 0o777 == 0o700


def test_a_pseudonym_is_the_same_in_one_deployment_and_another_in_the_next(small: Deployment) -> None:
    key = tenant_key(small.home)
    assert tenant_key(small.home) == key
    assert pseudonym(key, "patient-1") == pseudonym(key, "patient-1")
    assert pseudonym(key, "patient-1") != pseudonym(b"\x00" * 32, "patient-1")
    assert pseudonym(key, "") == pseudonym(key, "", "north") == ""


def test_the_same_identifier_of_two_tenants_is_two_patients() -> None:
    key = b"\x01" * 32
    named = {pseudonym(key, "4711", tenant) for tenant in ("", "north", "south")}
    assert len(named) == 3
    assert pseudonym(key, "4711", "north") == pseudonym(key, "4711", "north")


def test_a_damaged_key_is_an_error_that_names_the_file(small: Deployment) -> None:
    with small.open():
        pass
    (small.home.keys / "ledger.key").write_text("x")
    with pytest.raises(LedgerError, match=r"keys/ledger\.key"), small.open():
        pass
