"""`crs audit` on a home with recorded answers of two bundles: replay, proofs, and the auditor's own traces."""

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

import crs
from audit import prediction, verifier
from audit.access import system_user
from audit.events import Kind
from audit.keys import tenant_key
from audit.ledger import open_ledger
from audit.replay import Replayer
from audit.store import RECORDS
from features import catalogue
from features.errors import BundleError, CrsRiskError, LedgerError
from features.home import Home
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor
from serving.answerer import Answerer
from serving.decode import predict_request
from serving.intake import take
from serving.recorded import Asked, Recorder
from serving.trust.caller import DEVELOPER
from tests.audit.builders import Deployment
from tests.serving.builders import EXAMPLE, example, prior_bundle, promote, told, trained_bundle

HOURS = (0, 1, 23.5, 24, 72)


def recorded(home: Home, bundle: Any, version: str) -> list[str]:
    """Prediction ids of a few recorded answers."""
    by = Answerer(Predictor(bundle, catalogue.load()), version)
    bodies = [example(hours_since_start=hours) for hours in HOURS]
    bodies.append(example(course={"id": "c", "therapy": "teclistamab", "age_years": 5}))
    with open_ledger(home) as ledger:
        recorder = Recorder(ledger, tenant_key(home))
        for body in bodies:
            given = msgspec.json.encode(body)
            intake = take(by.catalogue, predict_request(given))
            yielded = json.loads(told(recorder, Asked("/predict", given, 0.0, DEVELOPER), intake, by))
            body["id"] = yielded["prediction_id"]
    return [str(body["id"]) for body in bodies]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    found = Home(tmp_path_factory.mktemp("audited") / "home")
    promote(found, prior_bundle(), "1")
    recorded(found, prior_bundle(), "1")
    promote(found, trained_bundle(), "2")
    recorded(found, trained_bundle(), "2")
    return found


def predictions(home: Home) -> list[str]:
    with open_ledger(home, writes=False) as ledger:
        return [one.event_id for one in ledger.records(Kind.PREDICTION)]


def test_every_answer_of_every_bundle_replays_bit_for_bit(crs_audit: Callable[..., str]) -> None:
    found = json.loads(crs_audit("replay", "all", "--json"))
    assert [one["same"] for one in found] == [True] * 2 * (len(HOURS) + 1)
    assert {one["bundle"] for one in found} == {prior_bundle().digest, trained_bundle().digest}
    assert {one["same_runtime"] for one in found} == {True}
    assert sum(one["compared"] for one in found) > 100


def test_answers_replay_bit_for_bit_in_a_fresh_process(home: Home) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from audit.ledger import open_ledger\n"
        "from audit.events import Kind\n"
        "from audit.replay import Replayer\n"
        "from features.home import Home\n"
        "home = Home(Path(sys.argv[1]))\n"
        "replayer = Replayer(home)\n"
        "with open_ledger(home, writes=False) as ledger:\n"
        "    print(all(replayer.replay(one).same for one in ledger.records(Kind.PREDICTION)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(home.folder)], capture_output=True, text=True, cwd=Path(crs.__file__).parent
    )
    assert done.stdout == "True\n", done.stderr


@pytest.mark.parametrize("name", ["vector", "log_odds", "bands"])
def test_an_answer_that_was_changed_does_not_replay(home: Home, name: str) -> None:
    with open_ledger(home, writes=False) as ledger:
        record = list(ledger.records(Kind.PREDICTION))[len(HOURS) + 2]
    body = json.loads(json.dumps(record.body))
    if name == "vector":
        body["prior"] = prediction.array_of(body["prior"])
        body["prior"] = dict(zip(OUTCOME_KEYS, (body["prior"] + 1e-9).tolist(), strict=True))
    elif name == "log_odds":
        body["log_odds"] = dict(
            zip(OUTCOME_KEYS, (prediction.array_of(body["log_odds"]) + 1e-15).tolist(), strict=True)
        )
    else:
        body["bands"]["crs_2plus"] = "none"
    spoilt = type(record)(record.sequence, record.time, record.kind, record.event_id, body, record.hash)
    replayed = Replayer(home).replay(spoilt)
    assert not replayed.same
    assert any("crs_2plus" in one for one in replayed.differences)


def test_an_answer_whose_bundle_is_gone_says_so(tmp_path: Path) -> None:
    found = Home(tmp_path / "home")
    folder = promote(found, prior_bundle(), "1")
    recorded(found, prior_bundle(), "1")
    (folder / "manifest.json").unlink()
    with open_ledger(found, writes=False) as ledger:
        record = ledger.last(Kind.PREDICTION)
    assert record is not None
    with pytest.raises(BundleError, match="is not there"):
        Replayer(found).replay(record)


def test_show_tells_of_an_answer_by_its_id_or_its_sequence(crs_audit: Callable[..., str], home: Home) -> None:
    name = predictions(home)[0]
    by_id = json.loads(crs_audit("show", name, "--json"))
    by_place = json.loads(crs_audit("show", by_id["record"], "--json"))
    assert by_id == by_place
    assert by_id["body"]["bundle"] == prior_bundle().digest
    assert "probabilities" in crs_audit("show", name)


def test_the_live_model_is_told_by_time(crs_audit: Callable[..., str]) -> None:
    now = json.loads(crs_audit("which-model", "--at", "2999-01-01T00:00:00Z", "--json"))
    assert (now["live"]["version"], now["live"]["digest"]) == ("2", trained_bundle().digest)
    assert json.loads(crs_audit("which-model", "--at", "2001-01-01T00:00:00+01:00", "--json"))["live"] is None
    assert trained_bundle().digest[:12] in crs_audit("versions")


def test_a_proof_holds_the_manifest_of_the_model_and_is_good(
    crs_audit: Callable[..., str], home: Home, tmp_path: Path
) -> None:
    crs_audit("prove", predictions(home)[-1], "--out", tmp_path / "proof.json")
    key = crs_audit("key").strip()
    made = json.loads((tmp_path / "proof.json").read_text())
    lines = verifier.check_proof(made, key)
    assert trained_bundle().digest in lines[1]
    assert verifier.main(["proof", str(tmp_path / "proof.json"), "--key", key]) == 0


def test_an_export_is_good_by_the_printed_key(crs_audit: Callable[..., str], tmp_path: Path) -> None:
    crs_audit("export", "--out", tmp_path / "ledger.ndjson")
    assert verifier.main(["ledger", str(tmp_path / "ledger.ndjson"), "--key", crs_audit("key").strip()]) == 0


def test_verify_says_that_a_ledger_is_whole(crs_audit: Callable[..., str]) -> None:
    assert "the ledger is whole" in crs_audit("verify")
    told = json.loads(crs_audit("verify", "--json"))
    assert (told["whole"], told["findings"]) == (True, [])
    assert json.loads(crs_audit("verify", "--json", "--key", crs_audit("key").strip()))["whole"]


def test_reading_is_recorded_with_who_and_what(crs_audit: Callable[..., str], home: Home) -> None:
    name = predictions(home)[0]
    crs_audit("show", name)
    with open_ledger(home, writes=False) as ledger:
        access, shown = ledger.last(Kind.ACCESS), ledger.find(name)
    assert access is not None
    assert shown is not None
    assert (access.body["verb"], access.body["record"]) == ("show", shown.sequence)
    assert access.body["by"]


def test_who_reads_is_named_by_the_system_and_not_by_the_environment(
    crs_audit: Callable[..., str], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "dr.innocent")
    crs_audit("versions")
    with open_ledger(home, writes=False) as ledger:
        access = ledger.last(Kind.ACCESS)
    assert access is not None
    assert access.body["by"] == pwd.getpwuid(os.getuid()).pw_name != "dr.innocent"


def test_a_user_whom_the_system_does_not_list_is_named_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    assert system_user() == "uid:4000000"


def test_the_verdict_on_a_whole_ledger_is_printed_where_the_look_cannot_be_recorded(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise LedgerError("ledger", "the database cannot be used (OperationalError)")

    monkeypatch.setenv("CRS_RISK_HOME", str(home.folder))
    monkeypatch.setattr("audit.verbs.accessed", refuse)
    done = CliRunner().invoke(crs.app, ["audit", "verify"])
    assert "the ledger is whole" in done.output
    assert isinstance(done.exception, LedgerError)
    assert str(done.exception) == (
        "ledger: that it was verified could not be recorded (ledger: the database cannot be used (OperationalError)); "
        "check its disk and rights"
    )
    assert done.exception.exit_code == 7


def test_what_was_not_evaluated_does_not_count_as_the_same_bits(crs_audit: Callable[..., str]) -> None:
    told = crs_audit("replay", "all")
    assert f"{2 * len(HOURS)} of {2 * len(HOURS)} answers are the same bits" in told
    assert "not evaluated, so that there is nothing to compute again: 2\n" in told


@pytest.mark.parametrize(
    "words", [("show", "nobody"), ("show", "9" * 30), ("which-model", "--at", "noon"), ("verify", "--key", "x")]
)
def test_what_cannot_be_understood_is_one_line(crs_audit: Callable[..., str], words: tuple[str, ...]) -> None:
    with pytest.raises(CrsRiskError) as caught:
        crs_audit(*words)
    assert caught.value.exit_code == 2


def test_verify_names_the_first_bad_record_and_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Home(tmp_path / "home")
    with open_ledger(found) as ledger:
        place = ledger.append(Kind.HEARTBEAT, {}).sequence
        ledger.append(Kind.HEARTBEAT, {})
    engine = Deployment(found, "").engine()
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER ledger_no_update")
        connection.execute(sa.update(RECORDS).where(RECORDS.c.sequence == place).values(record=b"{}"))
    engine.dispose()
    monkeypatch.setenv("CRS_RISK_HOME", str(found.folder))
    done = CliRunner().invoke(crs.app, ["audit", "verify"])
    assert isinstance(done.exception, LedgerError)
    assert f"record {place}: altered" in str(done.exception)
    assert "NOT whole" in done.output


def test_a_home_without_a_ledger_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRS_RISK_HOME", str(tmp_path))
    done = CliRunner().invoke(crs.app, ["audit", "verify"])
    assert isinstance(done.exception, LedgerError)


def test_the_example_of_the_documents_is_what_was_recorded(home: Home) -> None:
    assert len(predictions(home)) == 2 * (len(HOURS) + 1)
    assert EXAMPLE["course"]["id"] not in (home.ledger / "ledger.db").read_bytes().decode("latin-1")
