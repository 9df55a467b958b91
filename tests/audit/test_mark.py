"""What the home remembers of its ledger: nothing else gets a signature, also where the database alone was changed."""

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import mark
from audit.events import Kind
from audit.keys import SigningKey
from audit.ledger import Ledger
from audit.mark import Mark
from audit.note import PublicKey
from audit.store import HEAD, RECORDS, Head, Row
from audit.tree import Frontier, leaf_hash
from audit.verify import verify
from features.errors import LedgerError
from features.home import Home
from tests.audit.builders import Deployment, fill, write_side_by_side
from tests.audit.tampering import fitted, rewritten

#: Of the ledger below: its first record, the checkpoint over it, ten answers, a checkpoint.
SIGNED_LAST = 12


@pytest.fixture
def filled(deployment: Deployment) -> Deployment:
    with deployment.open() as ledger:
        fill(ledger, 10)
        assert ledger.checkpoint().size == SIGNED_LAST
    return deployment


def stored(deployment: Deployment) -> list[Row]:
    with deployment.open(writes=False) as ledger:
        return list(ledger.stored())


def signed(deployment: Deployment) -> int:
    return sum(row.kind == Kind.CHECKPOINT for row in stored(deployment))


def put(deployment: Deployment, rows: list[Row]) -> None:
    """Other rows, and the head that fits them, by somebody who has the database and no key."""
    frontier, engine = Frontier(), deployment.engine()
    for row in rows:
        frontier.append(row.hash)
    head = Head(frontier, rows[-1].hash.hex(), frontier.size, rows[-1].microseconds)
    with engine.begin() as connection:
        for trigger in ("ledger_no_update", "ledger_no_delete", "ledger_no_change"):
            table = " ON ledger_records" if deployment.uri else ""
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {trigger}{table}")
        connection.execute(sa.delete(RECORDS))
        connection.execute(sa.insert(RECORDS), [row._asdict() for row in rows])
        connection.execute(sa.update(HEAD).values(**head.columns()))
    engine.dispose()


def unsigned(rows: list[Row], more: int = 0) -> list[Row]:
    """A history with another third answer and no checkpoint, all hashes anew, with so many records more."""
    plain = [row for row in rows if row.kind != Kind.CHECKPOINT]
    added = [plain[-1]._replace(event_id=f"more-{place}") for place in range(more)]
    named = [row._replace(record=with_event(row)) for row in added]
    return rewritten(plain + named, 3)


def with_event(row: Row) -> bytes:
    return json.dumps({**json.loads(row.record), "event_id": row.event_id}).encode()


@pytest.mark.parametrize(
    ("more", "said"), [(0, "the ledger ends at record 10"), (20, "it is not the one up to which the ledger was signed")]
)
def test_a_history_written_anew_without_its_checkpoints_is_not_signed_at_the_start(
    filled: Deployment, more: int, said: str
) -> None:
    put(filled, unsigned(stored(filled), more))
    with pytest.raises(LedgerError, match=f"record {SIGNED_LAST}: {said}") as caught, filled.open():
        pass
    assert "\n" not in str(caught.value)
    assert signed(filled) == 0


@pytest.mark.parametrize("more", [0, 20])
def test_a_history_written_anew_under_a_running_service_is_not_signed(filled: Deployment, more: int) -> None:
    filled.settings = replace(filled.settings, records=30)
    with filled.open() as ledger:
        put(filled, unsigned(stored(filled), more))
        with pytest.raises(LedgerError, match=f"record {SIGNED_LAST}: "):
            fill(ledger, 40, Kind.HEARTBEAT)
        with pytest.raises(LedgerError, match=f"record {SIGNED_LAST}: "):
            ledger.rotate_key()
    assert signed(filled) == 0


def test_a_record_changed_in_its_place_with_the_heads_tree_made_to_fit_is_not_signed(filled: Deployment) -> None:
    """The record up to which was signed stands untouched: only the tree tells, before a signature over it would."""
    rows = stored(filled)
    rows[3] = fitted(rows[3], rows[3].record.replace(b'"probability"', b'"probabilitY"'))
    put(filled, rows)
    with pytest.raises(LedgerError, match=f"record {SIGNED_LAST}: the ledger's tree does not go on"), filled.open():
        pass
    assert signed(filled) == 2


def test_records_behind_the_last_checkpoint_are_signed_with_the_next(filled: Deployment) -> None:
    with filled.open() as ledger:
        ledger.append(Kind.HEARTBEAT, {})
    with filled.open() as ledger:
        made = ledger.checkpoint()
        assert verify(ledger).whole
    held = mark.read(filled.home)
    assert held is not None
    assert (made.size, held.frontier.size) == (SIGNED_LAST + 2, SIGNED_LAST + 3)
    assert held.last == stored(filled)[-1].hash.hex()


def test_verify_names_the_record_that_was_signed_last_where_no_copy_is_left(filled: Deployment) -> None:
    rows = stored(filled)
    for path in filled.home.checkpoints.iterdir():
        path.unlink()
    for forged, found in ((unsigned(rows, 20), ("copy", SIGNED_LAST)), (unsigned(rows), ("tail", 11))):
        put(filled, forged)
        with filled.open(writes=False) as ledger:
            told = [one for one in verify(ledger).findings if mark.NAME in one.problem]
        assert [(one.code, one.sequence) for one in told] == [found]


def test_an_older_ledger_is_taken_again_once_the_operator_moved_the_file_away(filled: Deployment) -> None:
    older = stored(filled)
    with filled.open() as ledger:
        fill(ledger, 20, Kind.OUTCOME)
        ledger.checkpoint()
    put(filled, older)
    with pytest.raises(LedgerError, match=r"restore the newer ledger, or read in docs/audit\.md"), filled.open():
        pass
    (filled.home.keys / mark.NAME).unlink()
    with filled.open() as ledger:
        assert ledger.checkpoint().size == SIGNED_LAST + 1


def test_a_ledger_from_before_there_was_such_a_file_is_taken_as_it_is_and_remembered(filled: Deployment) -> None:
    path = filled.home.keys / mark.NAME
    path.unlink()
    with filled.open() as ledger:
        assert not path.exists()
        ledger.checkpoint()
        assert verify(ledger).whole
    held = mark.read(filled.home)
    assert held is not None
    assert held.frontier.size == SIGNED_LAST + 2
    assert str(held.first) == json.loads(stored(filled)[0].record)["body"]["key"]


def test_an_older_file_as_a_kill_leaves_it_still_holds(filled: Deployment) -> None:
    path = filled.home.keys / mark.NAME
    older = path.read_bytes()
    with filled.open() as ledger:
        fill(ledger, 3, Kind.OUTCOME)
        ledger.checkpoint()
        path.write_bytes(older)
        ledger.checkpoint()
        assert path.read_bytes() != older
        path.write_bytes(older)
    with filled.open() as ledger:
        assert verify(ledger).whole


def test_a_change_of_keys_goes_on_from_what_was_signed_and_the_first_key_stays(filled: Deployment) -> None:
    before = mark.read(filled.home)
    with filled.open() as ledger:
        ledger.rotate_key()
        ledger.rotate_key()
    with filled.open() as ledger:
        ledger.checkpoint()
        assert verify(ledger).whole
    after = mark.read(filled.home)
    assert before is not None
    assert after is not None
    assert (after.first, after.frontier.size) == (before.first, before.frontier.size + 5)


def test_an_empty_ledger_without_any_copy_left_is_refused(small: Deployment) -> None:
    with small.open() as ledger:
        fill(ledger, 3)
        ledger.checkpoint()
    for folder in (small.home.checkpoints, small.home.ledger):
        for path in folder.iterdir():
            path.unlink()
    with pytest.raises(LedgerError, match="record 5: it is gone"), small.open():
        pass


def mark_of(size: int) -> Mark:
    frontier = Frontier()
    for place in range(size):
        frontier.append(leaf_hash(bytes([place])))
    return Mark(PublicKey("crs-risk/0", b"\x00" * 32), frontier, "0" * 64)


def test_what_is_remembered_never_goes_back_whoever_writes_at_once(small: Deployment) -> None:
    small.home.keys.mkdir(parents=True)
    mark.keep(small.home, mark_of(9))
    mark.keep(small.home, mark_of(5))
    assert mark.read(small.home) == mark_of(9)
    threads = [threading.Thread(target=mark.keep, args=(small.home, mark_of(size))) for size in (30, 12, 60, 45, 7)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert mark.read(small.home) == mark_of(60)


def test_services_side_by_side_remember_what_was_signed_last(deployment: Deployment) -> None:
    deployment.settings = replace(deployment.settings, records=3)

    write_side_by_side(deployment, 12)
    rows, held = stored(deployment), mark.read(deployment.home)
    assert sum(row.kind == Kind.PREDICTION for row in rows) == 36
    assert held is not None
    assert held.frontier.size == max(row.sequence for row in rows if row.kind == Kind.CHECKPOINT) + 1
    with deployment.open(writes=False) as ledger:
        assert verify(ledger).whole


def test_a_file_that_cannot_be_written_is_told_in_the_log_and_the_record_stands(
    small: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    small.home.keys.mkdir(parents=True)
    (small.home.keys / f".{mark.NAME}.lock").mkdir()
    with small.open() as ledger, caplog.at_level(logging.ERROR):
        ledger.checkpoint()
        assert verify(ledger).whole
    assert "could not be kept in keys/ledger.signed (IsADirectoryError)" in caplog.text


def test_a_damaged_file_is_one_line_that_names_it(small: Deployment) -> None:
    with small.open():
        pass
    path = small.home.keys / mark.NAME
    for spoilt in (b"", b"{}", path.read_bytes().replace(b'"size": 2', b'"size": 3'), b"[]"):
        path.write_bytes(spoilt)
        with pytest.raises(LedgerError, match=r"keys/ledger\.signed: it is damaged or cannot be read"), small.open():
            pass


# Keys that somebody else announces


@pytest.fixture
def ledger(small: Deployment) -> Iterator[Ledger]:
    with small.open() as opened:
        fill(opened, 3)
        opened.checkpoint()  # its keys were looked at once
        yield opened


def announced(ledger: Ledger, new: SigningKey, old: SigningKey, by: SigningKey) -> int:
    """A key record that names `old` as the one that signed it, by the key of `by`."""
    signature = by.sign(str(new.key).encode()).hex()
    body = {"key": str(new.key), "signed_by": str(old.key), "signature": signature}
    return ledger.append(Kind.KEY_ROTATED, body).sequence


@pytest.mark.parametrize("hands_back", [True, False])
def test_after_a_forged_hand_over_nothing_is_signed(small: Deployment, ledger: Ledger, hands_back: bool) -> None:
    other, own, before = SigningKey(ledger.signer.name, Ed25519PrivateKey.generate()), ledger.signer, signed(small)
    place = announced(ledger, other, own, other)
    if hands_back:
        announced(ledger, own, other, other)
    for sign in (ledger.checkpoint, ledger.rotate_key):
        with pytest.raises(LedgerError, match=f"the key of record {place} is not signed by the one before it"):
            sign()
    with pytest.raises(LedgerError, match=f"the key of record {place} is not signed"), small.open():
        pass
    assert signed(small) == before


def test_a_key_that_the_home_does_not_have_signs_nothing_and_nothing_is_signed_for_it(
    small: Deployment, ledger: Ledger
) -> None:
    """Handed over by the home's own key, which keys/ of another time would look like, too."""
    other, before = SigningKey(ledger.signer.name, Ed25519PrivateKey.generate()), signed(small)
    announced(ledger, other, ledger.signer, ledger.signer)
    with pytest.raises(LedgerError, match="it is not the key that the ledger announced last"), small.open():
        pass
    assert signed(small) == before


def test_a_ledger_that_begins_with_another_key_is_not_signed(tmp_path: Path) -> None:
    one, other = (Deployment(Home(tmp_path / name), "") for name in ("one", "other"))
    for deployment in (one, other):
        with deployment.open() as ledger:
            fill(ledger, 3)
    held = mark.read(one.home)
    assert held is not None
    with other.open() as ledger, pytest.raises(LedgerError, match="record 0: it is not the key"):
        mark.check_first(one.home, ledger.signer.key)
