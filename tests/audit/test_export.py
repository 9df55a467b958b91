"""`crs audit export`: the same records as lines, as a table and as FHIR, and no patient in any of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from fhir.resources.R4B.provenance import Provenance
from typer.testing import CliRunner

import crs
from audit import verifier
from audit.events import Kind, Record
from audit.keys import pseudonym, tenant_key
from audit.ledger import open_ledger
from audit.prediction import readable
from features import catalogue
from features.errors import CrsRiskError, UsageError
from features.home import Home
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor
from serving.answerer import Answerer
from serving.decode import predict_request
from serving.intake import take
from serving.recorded import Asked, Recorder
from serving.trust.caller import DEVELOPER
from tests.serving.builders import example, promote, told, trained_bundle

PATIENT, SOURCE = "Patient/Muster", "Observation/crp-of-Muster"


def answer(home: Home) -> None:
    """One recorded answer about a patient whose identifier is known to the caller."""
    by = Answerer(Predictor(trained_bundle(), catalogue.load()), "1")
    given = msgspec.json.encode(example())
    asked = Asked("/predict", given, 0.0, DEVELOPER, patient=PATIENT, sources=(SOURCE,))
    with open_ledger(home) as ledger:
        told(Recorder(ledger, tenant_key(home)), asked, take(by.catalogue, predict_request(given)), by)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A ledger with every kind of record that a deployment's life makes."""
    found = Home(tmp_path_factory.mktemp("exported") / "home")
    promote(found, trained_bundle())
    answer(found)
    of = {"version": "1", "digest": trained_bundle().digest}
    with open_ledger(found) as ledger:
        ledger.append(
            Kind.REFUSAL, {"route": "/predict", "status": 422, "code": "bad-value", "caller": {"issuer": "me"}}
        )
        ledger.append(Kind.REFUSAL, {"route": "/predict", "status": 503, "code": "not-ready", "caller": {}})
        ledger.append(Kind.SERVICE_STARTED, of)
        ledger.append(Kind.SERVICE_STOPPED, of)
        approval = {"by": "Ada Example", "role": "owner", "meaning": "reviewed", "verdict_sequence": 1}
        ledger.append(Kind.MODEL_APPROVED, {**of, **approval})
        ledger.append(Kind.MODEL_EVALUATED, {**of, "verdict": "pass"})
        shown = [{"by": "Ada Example", "role": "owner", "sequence": 8}]
        ledger.append(Kind.MODEL_ACTIVATED, {**of, "tag": "t", "previous": "a" * 64, "approvals": shown})
        ledger.append(Kind.MODEL_ROLLED_BACK, {**of, "tag": "t", "previous": "a" * 64, "by": "Bo", "reason": "alerts"})
        for kind in (Kind.OUTCOME, Kind.FEEDBACK, Kind.CONFIG_CHANGED, Kind.HEARTBEAT, Kind.SHADOW, Kind.MONITORED):
            ledger.append(kind, {})
        ledger.append(Kind.VAULT_ERASED, {"patient": "d" * 64, "requests": 2, "by": "Ada Example"})
        ledger.append(Kind.VAULT_KEY_ROTATED, {"data_keys": 3, "by": "Ada Example"})
        ledger.rotate_key()
    return found


@pytest.fixture
def export(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    monkeypatch.setenv("CRS_RISK_HOME", str(home.folder))

    def run(form: str) -> Path:
        out = tmp_path / f"ledger.{form}"
        done = CliRunner().invoke(crs.app, ["audit", "export", "--out", str(out), "--format", form])
        if isinstance(done.exception, CrsRiskError):
            raise done.exception
        assert done.exit_code == 0, done.output
        assert str(out) in done.output
        return out

    return run


def records(home: Home) -> list[Record]:
    with open_ledger(home, writes=False) as ledger:
        return list(ledger.records())


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def events(path: Path, kind: Kind) -> list[dict[str, Any]]:
    """The AuditEvents of one kind of record."""
    own = {"system": "urn:crs-risk:ledger-kind", "code": str(kind)}
    return [one for one in lines(path) if own in one["subtype"]]


def test_a_table_holds_every_record_by_its_exact_bytes(export: Callable[[str], Path], home: Home) -> None:
    rows = pq.read_table(export("parquet")).to_pylist()
    held = records(home)[: len(rows)]
    assert len(rows) == len(held) > 15
    assert [(one["sequence"], one["time"], one["kind"], one["hash"]) for one in rows] == [
        (one.sequence, one.time, str(one.kind), one.hash) for one in held
    ]
    told = verifier.check_ledger(one["record"].encode() for one in rows)
    assert told[0].startswith(f"{len(rows)} records follow one another")


def test_an_answer_in_the_table_has_its_exact_probabilities(export: Callable[[str], Path], home: Home) -> None:
    (row,) = [one for one in pq.read_table(export("parquet")).to_pylist() if one["kind"] == "prediction"]
    (record,) = [one for one in records(home) if one.kind is Kind.PREDICTION]
    chances = readable(record.body)["probabilities"]
    assert {key: row[f"probability_{key}"] for key in OUTCOME_KEYS} == {key: chances.get(key) for key in OUTCOME_KEYS}
    assert (row["bundle"], row["version"], row["event_id"]) == (trained_bundle().digest, "1", record.event_id)
    assert row["patient"] == pseudonym(tenant_key(home), PATIENT)


def test_every_resource_is_valid_fhir_and_stands_for_its_record(export: Callable[[str], Path], home: Home) -> None:
    out = export("fhir")
    found, origins = lines(out), lines(out.with_name("ledger.provenance.fhir"))
    held = records(home)[: len(found)]
    for one in found:
        AuditEvent.model_validate(one)
    for one in origins:
        Provenance.model_validate(one)
    assert [one["id"] for one in found] == [f"record-{one.sequence}" for one in held]
    assert [one["entity"][-1]["name"] for one in found] == [f"SHA-256 {one.hash}" for one in held]
    models = [one for one in held if one.kind is Kind.PREDICTION or str(one.kind).startswith("model.")]
    assert [one["id"] for one in origins] == [f"provenance-{one.sequence}" for one in models]
    assert {str(one.kind) for one in held} == set(map(str, Kind))


def test_an_event_says_what_came_of_it_and_who_asked(export: Callable[[str], Path]) -> None:
    out = export("fhir")
    refused = events(out, Kind.REFUSAL)
    assert [one["outcome"] for one in refused] == ["4", "8"]
    assert [one["agent"][0]["who"]["display"] for one in refused] == ["me", "unsigned"]
    (started,), (stopped,) = events(out, Kind.SERVICE_STARTED), events(out, Kind.SERVICE_STOPPED)
    assert [one["subtype"][0]["code"] for one in (started, stopped)] == ["110120", "110121"]
    (erased,) = events(out, Kind.VAULT_ERASED)
    assert (erased["action"], "d" * 64 in json.dumps(erased["entity"])) == ("D", True)
    (answered,) = events(out, Kind.PREDICTION)
    assert (answered["outcome"], answered["action"]) == ("0", "E")
    assert answered["agent"][0]["requestor"]


def test_where_an_answer_and_a_model_come_from_is_told(export: Callable[[str], Path], home: Home) -> None:
    found = lines(export("fhir").with_name("ledger.provenance.fhir"))
    by = {one["activity"]["coding"][0]["code"]: one for one in found}
    key = tenant_key(home)
    (source,) = by["prediction"]["entity"]
    assert source["what"]["identifier"]["value"] == pseudonym(key, SOURCE)
    assert by["prediction"]["agent"][0]["who"]["identifier"]["value"] == trained_bundle().digest
    parts = [(one["type"]["coding"][0]["code"], one["who"]["display"]) for one in by["model.activated"]["agent"]]
    assert parts == [("custodian", "crs-risk"), ("verifier", "Ada Example")]
    assert by["model.rolled-back"]["agent"][0]["who"]["display"] == "Bo"
    assert by["model.rolled-back"]["entity"][0]["what"]["identifier"]["value"] == "a" * 64


@pytest.mark.parametrize("form", ["ndjson", "parquet", "fhir"])
def test_no_form_names_the_patient_and_each_reading_is_recorded(
    export: Callable[[str], Path], home: Home, form: str
) -> None:
    out = export(form)
    text = b"".join(path.read_bytes() for path in out.parent.glob("ledger.*"))
    if form == "parquet":
        text = str(pq.read_table(out).to_pylist()).encode()
    assert b"Muster" not in text
    assert pseudonym(tenant_key(home), PATIENT).encode() in text
    last = records(home)[-2]
    assert (last.kind, last.body["verb"]) == (Kind.ACCESS, "export")


def test_an_unknown_form_is_refused_before_anything_is_recorded(export: Callable[[str], Path], home: Home) -> None:
    before = len(records(home))
    with pytest.raises(UsageError, match="use ndjson, parquet or fhir"):
        export("csv")
    assert len(records(home)) == before
