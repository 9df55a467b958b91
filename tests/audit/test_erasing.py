"""What is erased is gone, whatever stops the erasure, and the chain, the others and the service stay."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

import crs
from audit import erasing, proof, vault, verifier
from audit.data_keys import DataKeys
from audit.events import Entry, Kind, Record
from audit.kept import KEPT
from audit.keys import pseudonym, tenant_key
from audit.ledger import Ledger, open_ledger
from audit.unsealing import State
from audit.verify import verify
from features.errors import LedgerError, UsageError
from features.home import Home
from tests.audit.builders import Deployment
from tests.audit.vaulted import REQUEST, SOME_KEY, keep, opened, states, whole

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ledger(deployment: Deployment) -> Iterator[Ledger]:
    with deployment.open() as held:
        yield held


def test_what_is_erased_is_gone_others_stay_and_the_chain_is_whole(
    deployment: Deployment, ledger: Ledger, tmp_path: Path
) -> None:
    records = keep(deployment, ledger, "p1", "p2", "p1")
    done = erasing.erase(ledger, ["p1"], "officer")
    assert [(one.patient, one.requests) for one in done] == [("p1", 2)]
    assert states(ledger, records) == [State.ERASED, State.KEPT, State.ERASED]
    told = ledger.at(done[0].sequence)
    assert told is not None
    assert (told.kind, dict(told.body)) == (Kind.VAULT_ERASED, {"patient": "p1", "requests": 2, "by": "officer"})
    assert whole(ledger).findings == ()
    ledger.checkpoint()
    proof.export(ledger, tmp_path / "ledger.ndjson")
    assert verifier.main(["ledger", str(tmp_path / "ledger.ndjson"), "--key", str(ledger.signer.key)]) == 0


def test_erasing_again_or_a_stranger_erases_nothing(deployment: Deployment, ledger: Ledger) -> None:
    keep(deployment, ledger, "p1")
    assert len(erasing.erase(ledger, ["p1"], "a")) == 1
    size = verify(ledger).size
    assert erasing.erase(ledger, ["p1", "nobody"], "a") == []
    assert verify(ledger).size == size


def test_a_patient_who_comes_back_gets_a_new_key(deployment: Deployment, ledger: Ledger) -> None:
    before = keep(deployment, ledger, "p1")
    erasing.erase(ledger, ["p1"], "a")
    after = keep(deployment, ledger, "p1")
    assert states(ledger, before + after) == [State.ERASED, State.KEPT]
    assert [one.requests for one in erasing.erase(ledger, ["p1"], "a")] == [1]
    assert states(ledger, before + after) == [State.ERASED, State.ERASED]


def test_an_answer_that_was_under_way_while_its_key_was_destroyed_is_erased_too(
    deployment: Deployment, ledger: Ledger
) -> None:
    keep(deployment, ledger, "p1")
    late = opened(deployment).keep([Entry(Kind.PREDICTION, {"patient": "p1"}, "late")], [b"x"])
    erasing.erase(ledger, ["p1"], "a")
    ledger.append_all(late)
    record = ledger.find("late")
    assert record is not None
    assert states(ledger, [record]) == [State.ERASED]
    assert [one.requests for one in erasing.erase(ledger, ["p1"], "a")] == [1]
    assert ledger.kept(record.sequence) is None
    assert states(ledger, [record]) == [State.ERASED]
    assert whole(ledger).findings == ()


KILLED = """
import os, sys
from pathlib import Path
from audit import erasing, data_keys
from audit.ledger import Ledger, open_ledger
from features.home import Home

def end(*_):
    os._exit(9)

if sys.argv[2] == "key":
    before = data_keys.DataKeys.end
    data_keys.DataKeys.end = lambda *words: (before(*words), end())
elif sys.argv[2] == "record":
    Ledger.append_made = end
else:
    data_keys.DataKeys.finished = end
with open_ledger(Home(Path(sys.argv[1])), sys.argv[3]) as ledger:
    erasing.erase(ledger, ["p1"], "first")
"""


@pytest.mark.parametrize("step", ["key", "record", "finish"])
def test_an_erasure_that_was_killed_is_finished_by_the_next_one_whomever_it_is_of(
    deployment: Deployment, step: str
) -> None:
    with open_ledger(deployment.home, deployment.uri) as ledger:
        records = keep(deployment, ledger, "p1", "p2")
    command = [sys.executable, "-c", KILLED, str(deployment.home.folder), step, deployment.uri]
    assert subprocess.run(command, cwd=ROOT, timeout=120).returncode == 9
    with open_ledger(deployment.home, deployment.uri) as ledger:
        assert states(ledger, records) == [State.ERASED, State.KEPT]
        assert DataKeys(deployment.home).ended() != []
        assert [(one.code, whole(ledger).whole) for one in whole(ledger).remarks] == [("erasure", True)]
        erasing.erase(ledger, ["nobody"], "second")
        assert DataKeys(deployment.home).ended() == []
        told = list(ledger.records(Kind.VAULT_ERASED))
        assert [(one.body["patient"], one.body["requests"]) for one in told] == [("p1", 1)]
        assert ledger.kept(records[0].sequence) is None
        assert states(ledger, records) == [State.ERASED, State.KEPT]
        assert whole(ledger).findings == ()


def test_an_erased_key_is_in_no_byte_of_the_database_of_keys(small: Deployment) -> None:
    keys = opened(small).keys
    keys.of(["p1", "p2"])
    engine = sa.create_engine(f"sqlite:///{keys.path}")
    with engine.connect() as connection:
        hidden = bytes(connection.execute(sa.text("SELECT hidden FROM data_keys WHERE holder = 'p1'")).scalar_one())
    engine.dispose()
    assert hidden in keys.path.read_bytes()
    keys.end("p1")
    assert hidden not in keys.path.read_bytes()
    assert [path.name for path in small.home.keys.iterdir() if "journal" in path.name or "wal" in path.name] == []


# The command


@pytest.fixture
def home(small: Deployment) -> Home:
    return small.home


def kept_of(small: Deployment, *identifiers: str, tenant: str = "") -> list[Record]:
    key = tenant_key(small.home)
    with small.open() as ledger:
        return keep(small, ledger, *(pseudonym(key, one, tenant) for one in identifiers))


def test_a_patient_is_erased_by_the_identifier_in_a_file_or_by_an_answer(
    small: Deployment, crs_audit: Callable[..., str], tmp_path: Path
) -> None:
    records = kept_of(small, "MRN-1", "MRN-2", "MRN-3", "MRN-4")
    (tmp_path / "ids").write_text("Patient/MRN-1 \n\nMRN-3\n")
    told = json.loads(crs_audit("erase", "--file", tmp_path / "ids", "--yes", "--json"))["erased"]
    assert sorted(one["requests"] for one in told) == [1, 1]
    assert "1 kept requests erased" in crs_audit("erase", "--prediction", records[1].event_id, "--yes")
    with small.open() as ledger:
        assert states(ledger, records) == [State.ERASED] * 3 + [State.KEPT]
    shown = crs_audit("show", records[0].sequence)
    assert "erased" in shown
    assert json.loads(crs_audit("show", records[3].sequence, "--json"))["kept_request"] == "kept"
    assert "erased" in crs_audit("show", records[0].sequence, "--request")
    assert "nothing is kept" in crs_audit("erase", "--file", tmp_path / "ids", "--yes")


def test_the_patient_of_one_tenant_is_erased_and_the_other_tenants_of_that_number_is_not(
    small: Deployment, crs_audit: Callable[..., str], tmp_path: Path
) -> None:
    records = [kept_of(small, "MRN-1", tenant=tenant)[0] for tenant in ("north", "south")]
    (tmp_path / "ids").write_text("MRN-1\n")
    assert "nothing is kept" in crs_audit("erase", "--file", tmp_path / "ids", "--yes")
    assert "1 kept requests erased" in crs_audit("erase", "--file", tmp_path / "ids", "--tenant", "north", "--yes")
    with small.open() as ledger:
        assert states(ledger, records) == [State.ERASED, State.KEPT]


def test_an_identifier_is_read_from_standard_input_and_never_from_the_command_line(
    small: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = kept_of(small, "MRN-1", "MRN-2")
    monkeypatch.setenv("CRS_RISK_HOME", str(small.home.folder))
    assert CliRunner().invoke(crs.app, ["audit", "erase", "MRN-1"]).exit_code == 2
    done = CliRunner().invoke(crs.app, ["audit", "erase"], input="MRN-1\n")
    assert (done.exit_code, "MRN-1" in done.output) == (0, False)
    with small.open() as ledger:
        assert states(ledger, records) == [State.ERASED, State.KEPT]


def test_the_kept_request_is_shown_and_the_look_is_recorded(small: Deployment, crs_audit: Callable[..., str]) -> None:
    (record,) = kept_of(small, "MRN-1")
    told = json.loads(crs_audit("show", record.sequence, "--request"))
    assert told == REQUEST.to_json()
    with small.open() as ledger:
        access = ledger.last(Kind.ACCESS)
    assert access is not None
    assert (access.body["verb"], access.body["record"]) == ("show-request", record.sequence)


def test_verify_fails_where_a_kept_request_was_swapped(small: Deployment, crs_audit: Callable[..., str]) -> None:
    (record,) = kept_of(small, "MRN-1")
    assert "the ledger is whole" in crs_audit("verify")
    engine = small.engine()
    with engine.begin() as connection:
        connection.execute(sa.update(KEPT).values(sealed=vault.seal(b"x", SOME_KEY, "e", "h")))
    engine.dispose()
    with pytest.raises(LedgerError, match=f"record {record.sequence}: kept"):
        crs_audit("verify")
    with pytest.raises(LedgerError, match="is not the one that was recorded"):
        crs_audit("show", record.sequence, "--request")


def test_the_change_of_the_vault_key_is_recorded(small: Deployment, crs_audit: Callable[..., str]) -> None:
    with pytest.raises(UsageError, match="there is no vault"):
        crs_audit("key", "--rotate-vault")
    kept_of(small, "MRN-1", "MRN-2")
    assert "2 data keys" in crs_audit("key", "--rotate-vault")
    with small.open() as ledger:
        record = ledger.last(Kind.VAULT_KEY_ROTATED)
    assert record is not None
    assert record.body["data_keys"] == 2


def test_an_erasure_without_an_identifier_is_one_line(
    small: Deployment, crs_audit: Callable[..., str], tmp_path: Path
) -> None:
    kept_of(small, "MRN-1")
    (tmp_path / "ids").write_text("\n")
    for words in (("--file", tmp_path / "ids"), ("--file", tmp_path / "none"), ("--prediction", "none")):
        with pytest.raises(UsageError):
            crs_audit("erase", *words, "--yes")
