"""The vault: what is kept comes back, only with its own key and record; what is erased is gone and the chain is not."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from audit import kept, vault, vault_key
from audit.client import Client
from audit.data_keys import DataKey, DataKeys
from audit.events import Entry, Kind
from audit.kept import KEPT
from audit.ledger import Ledger, open_ledger
from audit.request import Request
from audit.settings import Settings
from audit.unsealing import State, Unsealing
from audit.vault import SealError
from audit.wire import asked, entries_of
from audit.writer import Writer
from features.errors import LedgerError, UsageError
from tests.audit.builders import Deployment
from tests.audit.vaulted import REQUEST, SOME_KEY, keep, opened, states, whole

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ledger(deployment: Deployment) -> Iterator[Ledger]:
    with deployment.open() as held:
        yield held


def test_what_is_kept_comes_back_as_the_same_bytes(deployment: Deployment, ledger: Ledger) -> None:
    (record,) = keep(deployment, ledger, "p1")
    found = Unsealing(ledger).of(record)
    assert found.state is State.KEPT
    assert found.request == REQUEST
    row = ledger.kept(record.sequence)
    assert row is not None
    assert record.body["kept"] == vault.digest(row.sealed)
    assert b"CANARY" not in row.sealed
    assert whole(ledger).findings == ()


def test_a_record_without_a_kept_request_is_as_it_was(deployment: Deployment, ledger: Ledger) -> None:
    receipt = ledger.append(Kind.PREDICTION, {"patient": "p1"}, "a")
    record = ledger.at(receipt.sequence)
    assert record is not None
    assert states(ledger, [record]) == [State.NOT_KEPT]
    assert ledger.kept(record.sequence) is None
    assert not (deployment.home.keys / "vault.key").exists()


def test_what_is_kept_goes_through_the_nodes_writer(deployment: Deployment, ledger: Ledger) -> None:
    with tempfile.TemporaryDirectory(prefix="crs-") as folder:
        writer = Writer(ledger, Path(folder) / "socket")
        client = Client(writer.path)
        entries = [Entry(Kind.PREDICTION, {"patient": "p"}, f"id-{place}") for place in range(3)]
        client.append_all(opened(deployment).keep(entries, [b"a", b"b", REQUEST.to_bytes()]))
        client.close()
        writer.close()
    record = ledger.find("id-2")
    assert record is not None
    assert Unsealing(ledger).of(record).request == REQUEST


def test_a_question_to_the_writer_is_the_same_without_a_vault() -> None:
    bare = [Entry(Kind.PREDICTION, {"a": 1}, "x")]
    assert b"kept" not in asked(bare)
    sealed = [replace(bare[0], kept=bytes(range(256)))]
    assert entries_of(asked(sealed)) == sealed


@given(content=st.binary(max_size=200), place=st.integers(min_value=0), bit=st.integers(0, 7))
def test_any_bit_that_was_turned_is_found(content: bytes, place: int, bit: int) -> None:
    sealed = bytearray(vault.seal(content, SOME_KEY, "event", "holder"))
    assert vault.unseal(bytes(sealed), SOME_KEY, "event", "holder") == content
    sealed[place % len(sealed)] ^= 1 << bit
    with pytest.raises(SealError):
        vault.unseal(bytes(sealed), SOME_KEY, "event", "holder")


@given(content=st.binary(max_size=50), cut=st.integers(min_value=0))
def test_what_was_cut_short_is_found(content: bytes, cut: int) -> None:
    sealed = vault.seal(content, SOME_KEY, "event", "holder")
    with pytest.raises(SealError):
        vault.unseal(sealed[: cut % len(sealed)], SOME_KEY, "event", "holder")


@given(event=st.text(), holder=st.text(), other_event=st.text(), other_holder=st.text())
def test_no_other_record_patient_or_key_opens_it(event: str, holder: str, other_event: str, other_holder: str) -> None:
    sealed = vault.seal(b"content", SOME_KEY, event, holder)
    if (event, holder) != (other_event, other_holder):
        with pytest.raises(SealError):
            vault.unseal(sealed, SOME_KEY, other_event, other_holder)
    with pytest.raises(SealError):
        vault.unseal(sealed, DataKey(SOME_KEY.id, AESGCM.generate_key(256)), event, holder)


def test_each_patient_has_a_key_of_their_own_that_opens_nobody_elses(small: Deployment) -> None:
    keys = opened(small).keys
    first, second, again = keys.of(["p1", "p2", "p1"])
    assert first == again
    assert (first.id, first.secret) != (second.id, second.secret)
    assert keys.held(first.id) == first
    sealed = vault.seal(b"x", first, "e", "p1")
    with pytest.raises(SealError):
        vault.unseal(sealed, second, "e", "p1")


@pytest.mark.parametrize("body", [{"patient": "", "course": "c"}, {"patient": "p", "course": "c"}, {}])
def test_a_request_is_the_patients_else_the_courses_else_the_answers(body: dict[str, str]) -> None:
    assert vault.holder_of(body, "id") == (body.get("patient") or body.get("course") or "id")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(body=st.binary(), now=st.text(), fetched=st.dictionaries(st.text(), _JSON))
def test_a_kept_request_is_the_same_when_it_is_read(body: bytes, now: str, fetched: dict[str, Any]) -> None:
    request = Request("/predict", body, now, fetched)
    again = Request.from_bytes(request.to_bytes())
    assert again == request
    assert repr(again.fetched) == repr(request.fetched)  # to the bit, and with the type of each number


LOADED = """
import os, sys
from pathlib import Path
from audit.data_keys import DataKeys
from audit.events import Entry, Kind
from audit.ledger import open_ledger
from audit.request import Request
from audit.vault import Vault
from features.home import Home

home = Home(Path(sys.argv[1]))
content = Request("/predict", b"x" * 500).to_bytes()
DataKeys(home).prepare()
with open_ledger(home) as ledger:
    for number in range(1_000_000):
        entry = Entry(Kind.PREDICTION, {"patient": f"p{number % 7}"}, f"{os.getpid()}-{number}")
        receipt = ledger.append_all(Vault(DataKeys(home)).keep([entry], [content]))[0]
        os.write(1, f"{receipt.sequence}\\n".encode())
"""


def test_a_kill_leaves_no_record_without_what_is_kept_of_it(small: Deployment) -> None:
    given: list[int] = []
    for lines in (3, 17, 40):
        child = subprocess.Popen(
            [sys.executable, "-c", LOADED, str(small.home.folder)], stdout=subprocess.PIPE, cwd=ROOT, text=True
        )
        assert child.stdout is not None
        given += [int(child.stdout.readline()) for _ in range(lines)]
        child.kill()
        child.communicate()
    with open_ledger(small.home) as ledger:
        assert whole(ledger).findings == ()
        records = list(ledger.records(Kind.PREDICTION))
        assert set(given) <= {one.sequence for one in records}
        assert set(states(ledger, records)) == {State.KEPT}
        with ledger.reading() as connection:
            assert [one.sequence for one in kept.every(connection)] == [one.sequence for one in records]


# What is tampered with is found


def test_a_swapped_or_moved_row_is_found_by_verify_and_by_replay(deployment: Deployment, ledger: Ledger) -> None:
    records = keep(deployment, ledger, "p1", "p2")
    rows = [ledger.kept(one.sequence) for one in records]
    engine = deployment.engine()
    with engine.begin() as connection:
        for record, row in zip(records, reversed(rows), strict=True):
            assert row is not None
            change = sa.update(KEPT).where(KEPT.c.sequence == record.sequence)
            connection.execute(change.values(holder=row.holder, key=row.key, sealed=row.sealed))
    engine.dispose()
    assert states(ledger, records) == [State.ALTERED, State.ALTERED]
    found = whole(ledger).findings
    assert [(one.code, one.sequence) for one in found] == [("kept", one.sequence) for one in records]


@pytest.mark.parametrize("column", ["holder", "key", "sealed"])
def test_a_column_that_was_changed_is_found(deployment: Deployment, ledger: Ledger, column: str) -> None:
    (record,) = keep(deployment, ledger, "p1")
    engine = deployment.engine()
    with engine.begin() as connection:
        connection.execute(sa.update(KEPT).values({column: b"x" * 60 if column == "sealed" else "x"}))
    engine.dispose()
    assert [(one.code, one.sequence) for one in whole(ledger).findings] == [("kept", record.sequence)]


def test_a_kept_request_of_another_type_is_found(small: Deployment) -> None:
    """SQLite keeps a text where bytes belong, and the check once ended with an error of its own."""
    with small.open() as ledger:
        records = keep(small, ledger, "p1", "p2")
        engine = small.engine()
        with engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE ledger_kept SET sealed = 'text' WHERE sequence = {records[1].sequence}")
        engine.dispose()
        assert [(one.code, one.sequence) for one in whole(ledger).findings] == [("kept", records[1].sequence)]
        assert states(ledger, records) == [State.KEPT, State.ALTERED]


def test_a_row_that_was_taken_away_without_an_erasure_is_found(deployment: Deployment, ledger: Ledger) -> None:
    records = keep(deployment, ledger, "p1", "p2")
    ledger.append(Kind.CONFIG_CHANGED, {"vault": True})
    engine = deployment.engine()
    with engine.begin() as connection:
        connection.execute(sa.delete(KEPT))
    engine.dispose()
    assert states(ledger, records) == [State.GONE, State.GONE]
    assert [one.sequence for one in whole(ledger).findings] == [one.sequence for one in records]


def test_a_key_that_is_lost_without_an_erasure_is_told_as_such(small: Deployment) -> None:
    with small.open() as ledger:
        records = keep(small, ledger, "p1")
        (small.home.keys / "vault.db").unlink()
        assert states(ledger, records) == [State.KEY_LOST]


# Keys


def test_the_vaults_files_are_for_their_owner_alone(small: Deployment) -> None:
    opened(small).keys.of(["p1"])
    for name in ("vault.key", "vault.db"):
        assert (small.home.keys / name).stat().st_mode & 0o777 == 0o600


def test_a_data_key_lies_nowhere_in_the_clear(small: Deployment) -> None:
    (key,) = opened(small).keys.of(["p1"])
    assert key.secret not in (small.home.keys / "vault.db").read_bytes()
    assert repr(key.secret)[2:-1] not in repr(key)


def test_a_changed_vault_key_leaves_all_that_is_kept_readable_and_the_old_one_opens_nothing(small: Deployment) -> None:
    with small.open() as ledger:
        records = keep(small, ledger, "p1", "p2")
        old = (small.home.keys / "vault.key").read_bytes()
        assert DataKeys(small.home).renew() == 2
        assert (small.home.keys / "vault.key").read_bytes() != old
        assert states(ledger, records) == [State.KEPT, State.KEPT]
        (small.home.keys / "vault.key").write_bytes(old)
        assert states(ledger, records) == [State.KEY_LOST, State.KEY_LOST]


@pytest.mark.parametrize("moment", ["settle", "draft"])
def test_a_change_of_the_vault_key_that_was_cut_short_needs_no_hand(
    small: Deployment, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    with small.open() as ledger:
        records = keep(small, ledger, "p1")
        with monkeypatch.context() as patch:
            calls = []

            def cut(*words: object) -> bytes:
                calls.append(words)
                if moment == "draft" or len(calls) == 2:
                    raise KeyboardInterrupt
                return b""

            patch.setattr(vault_key, moment, cut)
            with pytest.raises(KeyboardInterrupt):
                DataKeys(small.home).renew()
        records += keep(small, ledger, "p2")
        assert states(ledger, records) == [State.KEPT, State.KEPT]
        assert DataKeys(small.home).renew() == 2
        assert states(ledger, records) == [State.KEPT, State.KEPT]
        assert not (small.home.keys / "vault.key.next").exists()


def test_a_lost_vault_key_keeps_nothing_more_and_is_one_line(small: Deployment) -> None:
    with small.open() as ledger:
        records = keep(small, ledger, "p1")
        (small.home.keys / "vault.key").unlink()
        with pytest.raises(LedgerError, match=r"keys/vault.key: the file is not there"):
            keep(small, ledger, "p1")
        assert states(ledger, records) == [State.KEY_LOST]
        assert not (small.home.keys / "vault.key").exists()


def test_a_vault_that_cannot_be_written_is_a_ledgers_error(small: Deployment) -> None:
    held = opened(small)
    held.keys.path.write_bytes(b"no database" * 1000)
    with pytest.raises(LedgerError, match=r"keys/vault.db: it cannot be used"):
        held.keep([Entry(Kind.PREDICTION, {}, "a")], [b"x"])


@pytest.mark.parametrize(("text", "on"), [("on", True), ("off", False), ("", False)])
def test_the_vault_is_switched_by_one_setting(text: str, on: bool) -> None:
    assert Settings.from_environment({"CRS_RISK_VAULT": text}).vault is on
    assert not Settings.from_environment({}).vault


def test_a_setting_that_is_neither_on_nor_off_is_refused() -> None:
    with pytest.raises(UsageError, match="CRS_RISK_VAULT"):
        Settings.from_environment({"CRS_RISK_VAULT": "yes"})


def test_rows_are_found_by_their_holder_and_key(small: Deployment) -> None:
    with small.open() as ledger:
        keep(small, ledger, "p1", "p1", "p2")
        with ledger.reading() as connection:
            (key,) = kept.keys(connection, "p1")
            assert [one.holder for one in kept.every(connection)] == ["p1", "p1", "p2"]
            assert key not in kept.keys(connection, "p2")
