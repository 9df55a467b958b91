"""`crs audit show --answer, --sent`: whoever holds an answer or a request can compare it with its record."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import crs
from audit.events import Kind, Receipt, Record
from audit.keys import tenant_key
from audit.ledger import open_ledger
from audit.receipts import with_receipt, without_receipt
from features import catalogue
from features.errors import CrsRiskError, LedgerError, UsageError
from features.home import Home
from features.predict import Predictor
from serving.answerer import Answerer
from serving.cds.desk import Desk
from serving.decode import batch_request, predict_request
from serving.intake import take, take_batch
from serving.recorded import Asked, Recorder
from serving.trust.caller import DEVELOPER
from serving.trust.gatekeeper import Gatekeeper
from serving.trust.settings import Trust
from tests.contract.cds_hooks import ehr
from tests.serving import fhir_builders as fb
from tests.serving.builders import promote, told, trained_bundle, with_course
from tests.serving.test_cds_desk import RISK, SCOPE, VIEW
from tests.serving.test_cds_properties import NOW

SAME, OTHER = "the same bytes as recorded", "not what was recorded"


@dataclass
class Call:
    """The bytes that were sent and those that came back."""

    sent: bytes
    answer: bytes


@dataclass
class Given:
    """A home in which each kind of answer was given once; the records in the order of the calls."""

    home: Home
    calls: dict[str, Call]
    records: list[Record]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Given:
    folder = tmp_path_factory.mktemp("handed")
    home = Home(folder / "home")
    promote(home, trained_bundle())
    by = Answerer(Predictor(trained_bundle(), catalogue.load()), "1")
    single = {name: json.dumps(with_course(id=name), indent=1).encode() for name in ("first", "second")}
    batch = json.dumps({"requests": [with_course(id=f"of-batch-{place}") for place in range(3)]}).encode()
    desked = {
        "card": (VIEW, ehr.call(prefetch=ehr.prefetch(1, NOW))),
        "no card": (VIEW, ehr.call(prefetch=ehr.prefetch(60, NOW))),
        "bundle": (RISK, fb.bundle(*fb.chart())),
    }
    with open_ledger(home) as ledger:
        recorder = Recorder(ledger, tenant_key(home))
        calls = {
            name: Call(sent, told(recorder, _asked("/predict", sent), take(by.catalogue, predict_request(sent)), by))
            for name, sent in single.items()
        }
        many = take_batch(by.catalogue, batch_request(batch))
        calls["batch"] = Call(batch, recorder.answers(_asked("/predict_batch", batch), many, by))
        desk = Desk(
            by.catalogue, lambda: by, Gatekeeper(Trust(), folder), lambda: recorder, lambda: ledger, lambda: NOW
        )
        for name, (route, body) in desked.items():
            sent = json.dumps(body).encode()
            calls[name] = Call(sent, asyncio.run(desk.reply(_asked(route, sent), SCOPE)).content)
        kinds = (Kind.PREDICTION, Kind.REFUSAL)
        records = [one for one in ledger.records() if one.kind in kinds]
    return Given(home, calls, records)


def _asked(route: str, sent: bytes) -> Asked:
    return Asked(route, sent, time.perf_counter(), DEVELOPER)


#: Name of a call -> place of a record of it.
PLACES = {"first": 0, "second": 1, "batch": 3, "card": 5, "no card": 6, "bundle": 7}
Show = Callable[..., Result]


@pytest.fixture
def show(asked: Given, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Show:
    """Runs `crs audit show` on the record of a call with files of those bytes."""
    monkeypatch.setenv("CRS_RISK_HOME", str(asked.home.folder))

    def run(name: str, *more: str, **files: bytes) -> Result:
        words = list[str]()
        for option, content in files.items():
            (tmp_path / option).write_bytes(content)
            words += [f"--{option}", str(tmp_path / option)]
        record = asked.records[PLACES[name]]
        return CliRunner().invoke(crs.app, ["audit", "show", str(record.sequence), *words, *more])

    return run


def refused(done: Result, what: str) -> str:
    """The one line of a file that is not what was recorded; the exit code is that of a broken verification."""
    assert isinstance(done.exception, LedgerError)
    assert done.exception.exit_code == 7
    assert str(done.exception).split(": ", 1)[1].startswith(f"the {what} is {OTHER}")
    assert OTHER in done.output
    return str(done.exception)


@pytest.mark.parametrize("name", PLACES)
def test_an_answer_and_a_request_as_they_were_are_the_same_bytes_as_recorded(
    asked: Given, show: Show, name: str
) -> None:
    call = asked.calls[name]
    done = show(name, answer=call.answer, sent=call.sent)
    assert done.exit_code == 0, done.exception
    assert re.search(rf"^the answer +{SAME} ", done.output, re.MULTILINE)
    assert re.search(rf"^the request +{SAME} ", done.output, re.MULTILINE)
    compared = json.loads(show(name, "--json", answer=call.answer, sent=call.sent).output)["compared"]
    assert {what: (one["same"], one["told"]) for what, one in compared.items()} == {
        "answer": (True, SAME),
        "request": (True, SAME),
    }


def other_digit(answer: bytes, behind: str) -> bytes:
    """With another first digit of the first probability behind a text; of an answer without one its last byte."""
    start = answer.index(behind.encode())
    found = re.search(rb'"probability":0\.|[0-9]+\.[0-9] %|"probabilityDecimal":[0-9.]*\.', answer[start:])
    place = start + (found.end() if found else len(answer) - 2)
    return answer[:place] + (b"1" if answer[place : place + 1] != b"1" else b"2") + answer[place + 1 :]


@pytest.mark.parametrize("name", PLACES)
def test_an_answer_with_one_other_digit_is_not_what_was_recorded(asked: Given, show: Show, name: str) -> None:
    call = asked.calls[name]
    content = other_digit(call.answer, asked.records[PLACES[name]].event_id if name == "batch" else "")
    refused(show(name, answer=content, sent=call.sent), "answer")
    compared = json.loads(show(name, "--json", answer=content, sent=call.sent).output)["compared"]
    assert (compared["answer"]["same"], compared["answer"]["told"]) == (False, OTHER)
    assert compared["request"]["same"]


@pytest.mark.parametrize("name", PLACES)
def test_a_request_with_one_byte_more_is_not_what_was_recorded(asked: Given, show: Show, name: str) -> None:
    call = asked.calls[name]
    refused(show(name, answer=call.answer, sent=call.sent + b"\n"), "request")


def test_an_answer_with_the_receipt_of_another_record_is_not_what_was_recorded(asked: Given, show: Show) -> None:
    (content, _), (_, other) = (without_receipt(asked.calls[name].answer) for name in ("first", "second"))
    assert other is not None
    swapped = with_receipt(content, other)
    assert "its receipt is not that of this record" in refused(show("first", answer=swapped), "answer")
    own = asked.records[0]
    moved = with_receipt(content, Receipt(own.sequence + 1, own.hash))
    assert "its receipt is not that of this record" in refused(show("first", answer=moved), "answer")
    whole = with_receipt(content, Receipt(own.sequence, own.hash))
    assert show("first", answer=whole).exit_code == 0
    assert "no receipt stands in it" in show("first", answer=content).output


def test_the_answer_of_another_prediction_is_not_what_was_recorded(asked: Given, show: Show) -> None:
    assert "it names another prediction" in refused(show("first", answer=asked.calls["second"].answer), "answer")
    said = refused(show("first", answer=asked.calls["batch"].answer), "answer")
    assert "other bytes; no receipt stands in it" in said
    said = refused(show("card", answer=asked.calls["bundle"].answer), "answer")
    assert "other bytes; its receipt came as a header, which is no part of the file" in said


def test_one_answer_of_a_batch_is_compared_as_its_bytes_stand_there(asked: Given, show: Show) -> None:
    whole = asked.calls["batch"].answer
    one = b'{"prediction_id"' + whole.split(b'{"prediction_id"')[2].rstrip(b",]}") + b"}}"
    assert json.loads(one)["prediction_id"] == asked.records[PLACES["batch"]].event_id
    assert one in whole
    assert show("batch", answer=one).exit_code == 0
    spaced = json.dumps(json.loads(whole)).encode()
    refused(show("batch", answer=spaced), "answer")


@pytest.mark.parametrize("name", ["first", "no card", "bundle"])
def test_another_text_around_the_genuine_answer_is_not_what_was_recorded(asked: Given, show: Show, name: str) -> None:
    """Who reads it sees the forged part; who cuts the genuine one out of it would call it the same."""
    genuine = asked.calls[name].answer
    forged = other_digit(genuine, "")
    refused(show(name, answer=forged[:-1] + b',"answers":[' + genuine + b"]}"), "answer")
    refused(show(name, answer=b'{"answers":[' + genuine + b"]}"), "answer")


@pytest.mark.parametrize("name", ["card", "no card", "bundle"])
def test_a_receipt_put_into_an_answer_that_had_none_is_not_what_was_recorded(
    asked: Given, show: Show, name: str
) -> None:
    own = asked.records[PLACES[name]]
    receipt = Receipt(own.sequence, own.hash)
    refused(show(name, answer=with_receipt(asked.calls[name].answer, receipt)), "answer")


def test_a_batch_with_another_key_or_a_twin_of_the_answer_is_not_what_was_recorded(asked: Given, show: Show) -> None:
    whole, name = asked.calls["batch"].answer, asked.records[PLACES["batch"]].event_id
    forged = other_digit(whole, name)
    for text in (forged[:-1] + b"," + whole[1:], b'{"note":"all well",' + whole[1:], whole[:-1] + b',"note":1}'):
        assert json.loads(text)["answers"]
        refused(show("batch", answer=text), "answer")
    twin = json.dumps({"prediction_id": "x", "again": {"prediction_id": name}}, separators=(",", ":")).encode()
    nameless = json.dumps({"prediction_id": 7}, separators=(",", ":")).encode()
    for text in (twin, nameless):
        refused(show("batch", answer=whole[:-2] + b"," + text + b"]}"), "answer")
    assert "the batch's other answers were not compared" in show("batch", answer=whole).output


def test_an_answer_that_stands_twice_in_a_batch_is_not_taken_for_either(asked: Given, show: Show) -> None:
    answers = json.loads(asked.calls["batch"].answer)["answers"]
    name = asked.records[PLACES["batch"]].event_id
    whole = asked.calls["batch"].answer
    twin = {**next(one for one in answers if one["prediction_id"] == name), "risks": []}
    forged = json.dumps(twin, separators=(",", ":")).encode()
    said = refused(show("batch", answer=whole[:-2] + b"," + forged + b"]}"), "answer")
    assert "the batch holds 2 answers" in said


def test_who_compares_leaves_a_record_of_it(asked: Given, show: Show) -> None:
    show("first", sent=b"{}")
    with open_ledger(asked.home, writes=False) as ledger:
        access = ledger.last(Kind.ACCESS)
    assert access is not None
    assert (access.body["verb"], access.body["record"]) == ("show-compare", asked.records[0].sequence)
    show("first")
    with open_ledger(asked.home, writes=False) as ledger:
        access = ledger.last(Kind.ACCESS)
    assert access is not None
    assert access.body["verb"] == "show"


def test_without_the_tenant_key_nothing_is_compared_and_none_is_made(asked: Given, show: Show) -> None:
    path = asked.home.keys / "tenant.key"
    held = path.read_bytes()
    path.unlink()
    try:
        done = show("first", answer=asked.calls["first"].answer)
        assert not path.exists()
        assert show("first").exit_code == 0
    finally:
        path.write_bytes(held)
    assert str(done.exception) == "keys/tenant.key: the file is not there; restore it from a backup"
    assert done.output == ""


def test_what_cannot_be_compared_is_told_in_one_line(asked: Given, show: Show, tmp_path: Path) -> None:
    def said(*words: str) -> Any:
        done = CliRunner().invoke(crs.app, ["audit", "show", *words])
        assert isinstance(done.exception, CrsRiskError)
        assert isinstance(done.exception, UsageError)
        return str(done.exception)

    answer = tmp_path / "answer"
    answer.write_bytes(asked.calls["first"].answer)
    assert said("0", "--answer", str(answer)) == (
        "ID: record 0 (key.rotated) holds no digest of an answer or a request; name the record of an answer"
    )
    first = str(asked.records[0].sequence)
    assert said(first, "--sent", str(tmp_path / "none")) == (
        "--sent: the file cannot be read; name the file that holds the bytes"
    )
    assert said(first, "--request", "--answer", str(answer)).startswith("--request: it shows what the vault keeps")
    assert show("first", answer=b"[" * 100_000).exit_code == 1  # not a crash of the reader
    assert isinstance(show("first", answer=b"[" * 100_000).exception, LedgerError)
