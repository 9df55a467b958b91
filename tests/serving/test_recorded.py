"""No record, no answer: a real server, its ledger, and a ledger that cannot be written."""

import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from audit import prediction
from audit.events import Entry, Kind, Receipt, Record
from audit.keys import keyed, pseudonym, tenant_key
from audit.ledger import Ledger, open_ledger
from features import catalogue
from features.errors import LedgerError
from features.home import Home
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor
from serving.answerer import Answerer
from serving.decode import predict_request
from serving.intake import take
from serving.recorded import Asked, Recorder
from serving.trust.caller import Caller
from tests.serving.builders import EXAMPLE, Loops, Reply, Server, example, promote, told, trained_bundle, with_course

CANARY = "CANARY-MRN-4711"
CALLER = Caller("https://ehr.example", CANARY, "ward-9", frozenset(), jti=CANARY)


@dataclass
class Kept(Loops):
    """Stands in for the ledger."""

    entries: list[Entry]

    def append_all(self, entries: Any) -> list[Receipt]:
        self.entries.extend(entries)
        return [Receipt(place, "ab" * 32) for place in range(len(entries))]


def answerer() -> Answerer:
    return Answerer(Predictor(trained_bundle(), catalogue.load()), "7")


def recorded(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The body of the record and the answer, without a server."""
    by, kept, given = answerer(), Kept([]), msgspec.json.encode(body)
    asked = Asked("/predict", given, 0.0, CALLER, patient=CANARY, sources=(f"Observation/{CANARY}",))
    answer = told(Recorder(kept, b"key"), asked, take(by.catalogue, predict_request(given)), by)
    return dict(kept.entries[0].body), json.loads(answer)


def test_the_record_holds_the_row_and_what_the_model_said_bit_for_bit() -> None:
    body, answer = recorded(example())
    predictor = answerer().predictor
    predicted = predictor.predict_rows(prediction.rows_of(body, predictor.prior))
    found = (predicted.trees, predicted.log_odds, predicted.probability, predicted.low, predicted.high)
    for name, values in zip(prediction.COMPUTED, found, strict=True):
        held = prediction.array_of(body[name])
        shown = ~np.isnan(held)
        assert shown.any()
        assert held[shown].tobytes() == values[0][shown].tobytes(), name
    told = {one["outcome"]: one["probability"] for one in answer["risks"] if "probability" in one}
    assert body["probabilities"] == told
    assert body["bands"] == {one["outcome"]: one["band"] for one in answer["risks"] if "band" in one}


def test_the_row_comes_back_with_its_missing_values_as_the_same_bytes() -> None:
    row = np.array([1.5, np.nan, -0.0, np.inf, 1e-45], dtype=np.float32)
    assert prediction.vector_bytes(prediction.packed(row)) == row.tobytes()


def test_the_record_tells_which_units_were_converted_and_how() -> None:
    sent = [("crp", 12.0, "mg/dL"), ("crp", 110.0, "mg/L"), ("creatinine", 88.42, "\u00b5mol/L")]
    rows = [{"code": code, "value": value, "unit": unit, "hours": -2.0} for code, value, unit in sent]
    body, _ = recorded(example(observations=rows))
    analytes = catalogue.load().analytes
    others = {key: analytes[key].units[unit] for key, unit in (("crp", "mg/dL"), ("creatinine", "umol/L"))}
    assert others["crp"].factor == 10.0
    assert body["converted"] == {
        key: {unit: (others[key].factor, others[key].offset)}
        for key, unit in (("creatinine", "umol/L"), ("crp", "mg/dL"))
    }


def test_a_record_of_canonical_units_says_nothing_of_them() -> None:
    rows = [{"code": "crp", "value": 110.0, "unit": "mg/L", "hours": -2.0}]
    assert "converted" not in recorded(example(observations=rows))[0]


def test_a_grade_that_was_reached_has_no_probability_in_the_record_either() -> None:
    body, _ = recorded(example(events=[{"event": "crs_grade", "value": 2, "hours": 1}]))
    assert "crs_2plus" not in body["probabilities"]
    assert body["statuses"]["crs_2plus"] == "reached"
    assert body["reached"] == ["crs_1plus", "crs_2plus"]


def test_a_course_that_is_not_evaluated_is_recorded_with_its_reason() -> None:
    body, answer = recorded(with_course(age_years=5))
    assert (body["status"], body["not_evaluated"]) == ("not_evaluated", [answer["not_evaluated"][0]["code"]])
    assert "vector" not in body
    assert prediction.vector_bytes(body) == b""


@pytest.mark.parametrize(("hours", "treated"), [(1, True), (25, False)])
def test_treatment_counts_up_to_the_index_time_only(hours: float, treated: bool) -> None:
    body, _ = recorded(example(hours_since_start=24, events=[{"event": "tocilizumab", "hours": hours}]))
    assert body["treated"] is treated


def test_no_identifier_stands_in_a_record_but_its_keyed_digest_does() -> None:
    body, _ = recorded(with_course(id=CANARY))
    assert CANARY not in json.dumps(body)
    assert body["course"] == body["patient"] == pseudonym(b"key", CANARY, CALLER.tenant)
    assert body["sources"] == [pseudonym(b"key", f"Observation/{CANARY}", CALLER.tenant)]
    assert set(body["caller"]) == {"issuer", "tenant", "subject", "token"}


def test_what_is_written_as_bytes_is_told_by_outcome_to_a_reader() -> None:
    body, answer = recorded(example())
    told = prediction.readable(body)
    lows = {one["outcome"]: one["interval"]["low"] for one in answer["risks"] if "interval" in one}
    assert told["low"] == lows
    assert set(told["raw"]) == set(OUTCOME_KEYS)
    assert told["probabilities"] == body["probabilities"]


# A real server


@pytest.fixture(scope="module")
def asked(server: Server) -> Reply:
    """One answer of the server."""
    return server.predict(with_course(id=CANARY))


@pytest.fixture
def ledger(server: Server) -> Iterator[Ledger]:
    with open_ledger(server.home, writes=False) as opened:
        yield opened


def record_of(ledger: Ledger, answer: dict[str, Any]) -> Record:
    found = ledger.find(answer["prediction_id"], Kind.PREDICTION)
    assert found is not None
    return found


def test_an_answer_carries_the_receipt_of_its_record(asked: Reply, ledger: Ledger) -> None:
    record = record_of(ledger, asked.json)
    assert asked.json["record"] == {"sequence": record.sequence, "hash": record.hash}
    assert record.body["bundle"] == trained_bundle().digest


def test_the_record_commits_to_what_was_asked_and_answered(asked: Reply, server: Server, ledger: Ledger) -> None:
    key, record = tenant_key(server.home), record_of(ledger, asked.json)
    bare = re.sub(rb',"record":\{[^{}]*\}\}$', b"}", asked.body)
    assert json.loads(bare).keys() == asked.json.keys() - {"record"}
    assert record.body["response"] == keyed(key, bare)
    assert record.body["request"] == keyed(key, json.dumps(with_course(id=CANARY)).encode())


def test_each_course_of_a_batch_has_a_record_of_its_own(server: Server, ledger: Ledger) -> None:
    bodies = [with_course(id=f"{CANARY}-{place}") for place in range(20)]
    answers = server.call("POST", "/predict_batch", {"requests": bodies}).json["answers"]
    records = [record_of(ledger, one) for one in answers]
    assert [one.sequence for one in records] == [one["record"]["sequence"] for one in answers]
    assert len({one.body["course"] for one in records}) == 20
    assert {one.body["route"] for one in records} == {"/predict_batch"}


def test_a_refused_request_is_recorded_by_its_code(server: Server, ledger: Ledger) -> None:
    code = server.predict(with_course(sex=CANARY)).json["error"]["code"]
    record = ledger.last(Kind.REFUSAL)
    assert record is not None
    assert record.body == {"route": "/predict", "status": 422, "code": code, "caller": {"issuer": "development"}}


def test_no_byte_of_the_home_holds_what_names_a_patient(asked: Reply, server: Server) -> None:
    assert asked.status == 200
    for path in server.home.folder.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path.name


def test_no_answer_leaves_while_the_ledger_cannot_be_written_and_the_next_one_does(server: Server) -> None:
    other = sqlite3.connect(server.home.ledger / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        reply = server.predict(EXAMPLE)
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert (reply.status, reply.json["error"]["code"]) == (503, "not-recorded")
    assert reply.json.keys() == {"error"}
    assert server.predict(EXAMPLE).json["record"]["sequence"] > 0


def test_the_start_and_the_stop_of_a_service_are_records(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    promote(home, trained_bundle())
    for _ in range(2):  # the second start has the same settings
        Server.start(home, tmp_path).wait_until_ready().stop()
    with open_ledger(home, writes=False) as opened:
        kinds = [one.kind for one in opened.records() if one.kind.value.startswith("service.")]
        started = list(opened.records(Kind.SERVICE_STARTED))
        configured = list(opened.records(Kind.CONFIG_CHANGED))
    assert kinds == [Kind.SERVICE_STARTED, Kind.SERVICE_STOPPED] * 2
    assert [one.body["before"] for one in started] == ["first-start", "stopped"]
    assert [(one.body["database"], one.body["checkpoint_records"]) for one in configured] == [("sqlite", 1000)]
    assert configured[0].body["checkpoint_folder"] == str(home.checkpoints)
    assert started[0].body["digest"] == trained_bundle().digest
    assert started[0].body["runtime_facts"]["libraries"]["numpy"] == np.__version__


def test_a_service_whose_ledger_cannot_be_opened_does_not_start(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    promote(home, trained_bundle())
    for path in home.ledger.iterdir():
        path.unlink()
    (home.ledger / "ledger.db").write_bytes(b"no database" * 1000)
    from serving import run

    with pytest.raises(LedgerError, match="cannot be used"):
        run.serve(home, port=0)
