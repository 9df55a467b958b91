"""What stands before BentoML, without a server: an application that only records what it is handed."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from audit.events import Entry, Kind, Receipt
from features import catalogue
from features.errors import LedgerError
from features.predict import Predictor
from serving import front, recorded
from serving.answerer import Answerer
from serving.api import BODY_LIMITS
from serving.front import CHECKED, NOT_RECORDED, Front
from serving.recorded import LEAVING, Appends, Leaving, Recorder
from serving.trust.gatekeeper import Gatekeeper
from serving.trust.settings import Limits, Trust
from serving.turn import Turn
from tests.serving.builders import EXAMPLE, Loops, prior_bundle

CANARY = "CANARY-4711"


@dataclass
class Behind:
    """Stands in for BentoML: remembers the bodies and courses it was handed, then answers or fails as told."""

    fails: Callable[[], Exception] | None = None
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    courses: list[str] = field(default_factory=list)

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        self.bodies.append((await receive()).get("body", b""))
        self.courses.extend(one.course_id for one in CHECKED.get(()))
        if self.fails:
            raise self.fails()
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


@dataclass
class Kept(Loops):
    """Stands in for the ledger: keeps what it is handed, or fails as one that cannot be written."""

    fails: bool = False
    entries: list[Entry] = field(default_factory=list)

    def append_all(self, entries: Sequence[Entry]) -> list[Receipt]:
        if self.fails:
            raise LedgerError("ledger", "the database cannot be used (OperationalError)")
        self.entries.extend(entries)
        return [Receipt(place, "0" * 64) for place in range(len(entries))]


@dataclass
class Told:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.body)["error"]
        return found


def ask(
    behind: Behind,
    body: bytes | None = b"",
    path: str = "/predict",
    method: str = "POST",
    headers: dict[str, str] | None = None,
    parts: int = 1,
    settings: Trust = Trust(),  # noqa: B008 (frozen)
    ledger: Appends | None = None,
    on_send: Callable[[Any], None] = lambda _: None,
) -> Told:
    """One call; the body arrives in `parts` parts, or never where it is None."""
    given = body or b""
    size = max(1, -(-len(given) // parts))
    chunks = [given[start : start + size] for start in range(0, max(1, len(given)), size)]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if body is None:
            await asyncio.sleep(60)
        part = chunks.pop(0) if chunks else b""
        return {"type": "http.request", "body": part, "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        on_send(message)
        sent.append(dict(message))

    shown = [(key.encode(), value.encode()) for key, value in (headers or {}).items()]
    scope = {"type": "http", "path": path, "method": method, "headers": shown}
    keeper = Gatekeeper(settings, Path("unused"))
    answerer = Answerer(Predictor(prior_bundle(), catalogue.load()), "7")
    made = Front(behind, catalogue.load, lambda: answerer, lambda: keeper, lambda: Recorder(ledger or Kept(), b"key"))
    asyncio.run(made(scope, receive, send))  # type: ignore[arg-type]
    head = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return Told(sent[0]["status"], head, b"".join(one["body"] for one in sent[1:]))


def test_bentoml_is_handed_a_stand_in_and_never_the_body() -> None:
    behind = Behind()
    assert ask(behind, json.dumps(EXAMPLE).encode()).status == 200
    assert behind.bodies == [b'{"course":{},"hours_since_start":0}']
    assert behind.courses == ["example-1"]


def test_a_refused_body_does_not_reach_bentoml_at_all() -> None:
    behind = Behind()
    assert ask(behind, b"{bad").status == 400
    assert behind.bodies == []


@pytest.mark.parametrize("path", list(BODY_LIMITS))
def test_a_body_may_be_as_large_as_its_limit_and_no_larger(path: str) -> None:
    behind = Behind()
    assert ask(behind, b" " * BODY_LIMITS[path], path, parts=5).error["code"] == "malformed-json"
    over = ask(behind, b" " * (BODY_LIMITS[path] + 1), path, parts=5)
    assert (over.status, over.error["code"]) == (413, "body-too-large")
    assert behind.bodies == []


def test_a_client_that_waits_for_leave_is_refused_before_it_sends() -> None:
    headers = {"content-length": str(BODY_LIMITS["/predict"] + 1), "expect": "100-continue"}
    assert ask(Behind(), None, headers=headers).status == 413


def test_a_body_beyond_all_measure_is_refused_unread() -> None:
    assert ask(Behind(), None, headers={"content-length": "1" + "0" * 30}).status == 413


def test_a_body_that_does_not_arrive_is_given_up() -> None:
    told = ask(Behind(), None, settings=Trust(limits=Limits(seconds_to_send=0.01)))
    assert (told.status, told.error["code"]) == (408, "body-not-received")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/vnd.bentoml+pickle"},
        {"content-type": "text/plain"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_anything_but_plain_json_is_refused(headers: dict[str, str]) -> None:
    told = ask(Behind(), json.dumps(EXAMPLE).encode(), headers=headers)
    assert (told.status, told.error["code"]) == (415, "media-type-not-accepted")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/static_content/index.css", 404, "not-found"),
        ("POST", "/predict/", 404, "not-found"),
        ("GET", "/predict", 405, "method-not-allowed"),
        ("POST", "/model", 405, "method-not-allowed"),
        ("DELETE", "/", 405, "method-not-allowed"),
    ],
)
def test_an_address_or_method_that_is_not_ours_is_refused_as_json(
    method: str, path: str, status: int, code: str
) -> None:
    behind = Behind()
    told = ask(behind, path=path, method=method)
    assert (told.status, told.error["code"], told.headers["content-type"]) == (status, code, "application/json")
    assert behind.bodies == []


def test_a_wrong_method_is_told_the_right_one() -> None:
    assert ask(Behind(), path="/predict", method="PUT").headers["allow"] == "POST"
    assert ask(Behind(), path="/model", method="PUT").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/", "/model", "/nowhere", "/livez"])
def test_every_answer_carries_the_security_headers(path: str) -> None:
    headers = ask(Behind(), path=path, method="GET").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'")


def test_a_failure_behind_is_answered_and_logged_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="crs_risk"):
        told = ask(Behind(fails=lambda: ValueError(CANARY)), json.dumps(EXAMPLE).encode())
    assert (told.status, told.error["code"]) == (500, "internal-error")
    assert CANARY not in told.body.decode() + caplog.text
    assert "POST /predict 500" in caplog.text
    assert "ValueError at test_front.py" in caplog.text


@pytest.mark.parametrize(("status", "shown", "code"), [(500, 500, "internal-error"), (504, 504, "timeout")])
def test_an_error_of_bentoml_takes_our_shape(status: int, shown: int, code: str) -> None:
    told = ask(Behind(status=status), json.dumps(EXAMPLE).encode())
    assert (told.status, told.error["code"]) == (shown, code)


class Stuck(Turn):
    """Somebody else's turn, which does not end."""

    async def __aenter__(self) -> None:
        await asyncio.sleep(60)


def test_a_course_whose_turn_does_not_come_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "SECONDS_TO_ANSWER", 0.05)
    monkeypatch.setattr(recorded, "Turn", Stuck)
    behind = Behind()
    told = ask(behind, json.dumps(EXAMPLE).encode())
    assert (told.status, told.error["code"]) == (504, "timeout")
    assert behind.bodies == []
    assert ask(behind, json.dumps({"requests": [EXAMPLE]}).encode(), "/predict_batch").status == 200


class Silent(Behind):
    """Ends without an answer."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        pass


def test_no_answer_from_behind_is_an_error_of_ours() -> None:
    told = ask(Silent(), json.dumps(EXAMPLE).encode())
    assert (told.status, told.error["code"]) == (500, "internal-error")


class Leaves(Behind):
    """Hands an answer over whose record is asked for, and ends its own part of the call at once."""

    def __init__(self, recording: Callable[[], Awaitable[list[Receipt]]]) -> None:
        super().__init__()
        self.recording = recording
        self.leaving: list[Leaving] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.leaving, (intake,) = LEAVING.get(), CHECKED.get()
        by = Answerer(Predictor(prior_bundle(), catalogue.load()), "7")
        self.leaving.append(Leaving(b'{"a":1}', by.answered((intake,))[0], self.recording()))
        await super().__call__(scope, receive, send)


def test_nothing_of_an_answer_leaves_before_its_record_is_on_the_disk() -> None:
    steps: list[str] = []

    async def recording() -> list[Receipt]:
        await asyncio.sleep(0.02)
        steps.append("on the disk")
        return [Receipt(5, "ab")]

    behind = Leaves(recording)
    told = ask(behind, json.dumps(EXAMPLE).encode(), on_send=lambda message: steps.append(message["type"]))
    assert (told.status, told.body) == (200, b'{"a":1,"record":{"sequence":5,"hash":"ab"}}')
    assert steps == ["on the disk", "http.response.start", "http.response.body"]
    assert behind.leaving == []  # BentoML holds what a call's context holds for 30 s


def test_an_answer_whose_record_fails_after_bentoml_has_ended_is_none() -> None:
    async def recording() -> list[Receipt]:
        raise LedgerError("ledger", "its writer does not answer")

    told = ask(Leaves(recording), json.dumps(EXAMPLE).encode())
    assert (told.status, told.error["code"]) == (503, "not-recorded")
    assert b'"a"' not in told.body


def test_a_foreign_address_is_not_repeated_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="crs_risk"):
        ask(Behind(), path=f"/{CANARY}", method=CANARY)
    assert CANARY not in caplog.text
    assert "(unknown address) 404" in caplog.text


def test_a_large_body_is_checked_too() -> None:
    behind = Behind()
    body = {"requests": [{**EXAMPLE, "course": {"id": f"c{place}", "therapy": "axi-cel"}} for place in range(300)]}
    assert ask(behind, json.dumps(body).encode(), "/predict_batch", parts=9).status == 200
    assert behind.courses == [f"c{place}" for place in range(300)]


def test_the_page_names_the_model_and_no_other_origin() -> None:
    told = ask(Behind(), path="/", method="GET")
    text = told.body.decode()
    assert prior_bundle().digest in text
    assert "Adults, for tests only." in text
    assert "<script" not in text
    assert "//" not in text.replace("<!doctype html>", "")


def test_a_refusal_is_recorded_by_its_code_alone() -> None:
    ledger = Kept()
    told = ask(Behind(), b'{"course": "' + CANARY.encode() + b'"}', ledger=ledger)
    assert told.status == 400
    (entry,) = ledger.entries
    body = {"route": "/predict", "status": 400, "code": told.error["code"], "caller": {"issuer": "development"}}
    assert (entry.kind, entry.body) == (Kind.REFUSAL, body)


def test_a_refusal_that_cannot_be_recorded_is_answered_with_503_and_nothing_else() -> None:
    told = ask(Behind(), b"{bad", ledger=Kept(fails=True))
    assert (told.status, told.error["code"]) == (503, "not-recorded")


def test_an_address_that_is_not_ours_leaves_no_record() -> None:
    ledger = Kept()
    assert ask(Behind(), b"", path="/nowhere", ledger=ledger).status == 404
    assert ledger.entries == []


def test_an_answer_that_cannot_be_recorded_is_503_in_the_houses_shape() -> None:
    told = ask(Behind(status=NOT_RECORDED), json.dumps(EXAMPLE).encode())
    assert (told.status, told.error["code"]) == (503, "not-recorded")
