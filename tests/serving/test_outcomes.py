"""POST /outcomes: strictly typed, each outcome by itself, and no value in any refusal."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from audit.events import Kind
from audit.keys import pseudonym
from audit.ledger import open_ledger
from serving.decode import outcomes_request
from serving.outcomes import record
from serving.recorded import Recorder
from serving.refusal import RefusalError
from serving.trust.caller import Caller
from tests.serving.builders import EXAMPLE, Server
from tests.training.watched import own, years

GOOD = {"prediction_id": "a", "complete": True, "crs_grade": 2, "crs_grading": "ASTCT-2019", "crs_onset_hours": 30}


def body(*outcomes: dict[str, Any]) -> bytes:
    return json.dumps({"outcomes": outcomes}).encode()


def refused(given: bytes) -> RefusalError:
    with pytest.raises(RefusalError) as caught:
        outcomes_request(given)
    return caught.value


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        (body({**GOOD, "crs_grade": "2"}), "wrong-type", "$.outcomes[0].crs_grade"),
        (body({**GOOD, "crs_grade": 2.5}), "wrong-type", "$.outcomes[0].crs_grade"),
        (body({**GOOD, "complete": 1}), "wrong-type", "$.outcomes[0].complete"),
        (body({**GOOD, "grade": 2}), "unknown-field", "$.outcomes[0]"),
        (body({"complete": True}), "missing-field", "$.outcomes[0].prediction_id"),
        (body(), "length-not-accepted", "$.outcomes"),
        (b"[]", "wrong-type", "$"),
        (body({**GOOD, "hours": float("nan")}), "value-not-finite", "$.outcomes[0].hours"),
    ],
)
def test_a_body_of_another_form_is_refused_by_its_field(given: bytes, code: str, path: str) -> None:
    error = refused(given)
    assert (error.code, error.place) == (code, path)


def test_one_refused_outcome_takes_none_of_the_others_with_it(tmp_path: Path) -> None:
    given = [GOOD, {**GOOD, "prediction_id": "SECRET-1"}, {**GOOD, "crs_grade": 7}, {**GOOD, "prediction_id": "b"}]
    with years(own(tmp_path)) as held:
        held.at(0).asked("a")
        held.at(0).asked("b")
        answer = record(held.ledger, outcomes_request(body(*given)))
        shown = msgspec.json.decode(msgspec.json.encode(answer))
        stored = [one.body["prediction_id"] for one in held.ledger.records(Kind.OUTCOME)]
    assert [one["status"] for one in shown["outcomes"]] == ["recorded", "refused", "refused", "recorded"]
    assert (shown["recorded"], shown["refused"], stored) == (2, 2, ["a", "b"])
    unknown, grade = (shown["outcomes"][place]["error"] for place in (1, 2))
    assert (unknown["code"], unknown["path"]) == ("prediction-unknown", "$.outcomes[1].prediction_id")
    assert (grade["code"], grade["path"]) == ("grade-not-accepted", "$.outcomes[2].crs_grade")
    assert "SECRET" not in json.dumps(shown)


def test_the_same_request_again_gives_the_same_records(tmp_path: Path) -> None:
    with years(own(tmp_path)) as held:
        held.at(0).asked("a")
        first, again = (record(held.ledger, outcomes_request(body(GOOD))) for _ in range(2))
        assert len(list(held.ledger.records(Kind.OUTCOME))) == 1
    assert (first.outcomes[0].status, again.outcomes[0].status) == ("recorded", "already-recorded")
    assert first.outcomes[0].record == again.outcomes[0].record


@pytest.mark.parametrize(
    ("asker", "reporter", "status"),
    [
        ("north", "north", "recorded"),
        ("north", "south", "refused"),
        ("", "south", "refused"),
        ("north", "", "recorded"),
        ("", "", "recorded"),
    ],
)
def test_line_5_3_27_a_tenants_caller_reports_on_predictions_of_its_own_tenant_alone(
    tmp_path: Path, asker: str, reporter: str, status: str
) -> None:
    """A prediction of somebody else is refused as one that was never made is."""
    with years(own(tmp_path)) as held:
        held.at(0).asked("a", caller={"issuer": "x", **({"tenant": asker} if asker else {})})
        (shown,) = record(held.ledger, outcomes_request(body(GOOD)), reporter).outcomes
        (never,) = record(held.ledger, outcomes_request(body({**GOOD, "prediction_id": "z"})), reporter).outcomes
        stored = list(held.ledger.records(Kind.OUTCOME))
    assert (shown.status, len(stored)) == (status, int(status == "recorded"))
    if status == "refused":
        assert (shown.error, shown.prediction_id) == (never.error, never.prediction_id)


def test_who_reports_over_http_is_in_the_record_by_pseudonym_and_without_a_token(server: Server) -> None:
    predicted = server.predict(EXAMPLE).json["prediction_id"]
    for _ in range(2):
        reply = server.call("POST", "/outcomes", {"outcomes": [{**GOOD, "prediction_id": predicted}]})
    assert reply.json["outcomes"][0]["status"] == "already-recorded"
    with open_ledger(server.home, writes=False) as ledger:
        asked, told = ledger.last(Kind.PREDICTION), ledger.last(Kind.OUTCOME)
    assert asked is not None
    assert told is not None
    assert told.body["caller"] == asked.body["caller"] == {"issuer": "development"}


def test_the_caller_of_a_report_is_told_as_predictions_tell_it(tmp_path: Path) -> None:
    key = b"k" * 32
    sent = Caller("https://ehr.example", "Dr. Subject", "", frozenset(), jti="one-token")
    with years(own(tmp_path)) as held:
        held.at(0).asked("a")
        record(held.ledger, outcomes_request(body(GOOD)), caller=Recorder(held.ledger, key).reporter(sent))
        (stored,) = held.ledger.records(Kind.OUTCOME)
    assert stored.body["caller"] == {"issuer": "https://ehr.example", "subject": pseudonym(key, "Dr. Subject")}
