"""The shadow: verified like the champion, scored after the answer has left, and never a reason for another answer."""

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from audit.events import Entry, Kind, Receipt, Record
from audit.ledger import open_ledger
from features import catalogue
from features.errors import LedgerError, StoreError
from features.home import Home, Live, read_live
from features.predict import Predictor
from features.shadow import read_shadow, write_shadow
from features.single import snapshots
from serving.answerer import Answerer
from serving.front import Front
from serving.noted import NOTED, note
from serving.recorded import Recorder
from serving.shadow import Shadow, open_shadow
from serving.started import VARIABLE, told
from serving.trust.gatekeeper import Gatekeeper
from serving.trust.settings import Trust
from tests.serving.builders import (
    EXAMPLE,
    GOLDEN_COURSES,
    Loops,
    Server,
    prior_bundle,
    promote,
    trained_bundle,
    with_course,
)

COURSE = GOLDEN_COURSES[0]


class Kept(Loops):
    """Stands in for the ledger: keeps what it is handed, or fails, or takes its time."""

    def __init__(self, fails: bool = False, seconds: float = 0.0) -> None:
        self.entries: list[Entry] = []
        self.fails, self.seconds = fails, seconds

    def append_all(self, entries: Sequence[Entry]) -> list[Receipt]:
        time.sleep(self.seconds)
        if self.fails:
            raise LedgerError("ledger", "the database cannot be used (OperationalError)")
        self.entries.extend(entries)
        return []


class Counts(dict[str, int]):
    def __call__(self, result: str, courses: int) -> None:
        self[result] = self.get(result, 0) + courses


def shadow(ledger: Kept, counts: Counts) -> Shadow:
    return Shadow(Predictor(trained_bundle(), catalogue.load()), "2", "c" * 64, ledger, counts)


def test_its_record_holds_what_the_challenger_says_bit_for_bit() -> None:
    kept, counts = Kept(), Counts()
    made = shadow(kept, counts)
    made.later([("p1", COURSE), ("p2", GOLDEN_COURSES[1])])
    made.finish()
    expected = made.predictor.predict(snapshots(catalogue.load(), GOLDEN_COURSES)).probability
    assert [list(one.body["probabilities"].values()) for one in kept.entries] == expected.tolist()
    assert [one.event_id for one in kept.entries] == [f"{name}:{trained_bundle().digest}" for name in ("p1", "p2")]
    assert {one.kind for one in kept.entries} == {Kind.SHADOW}
    assert kept.entries[0].body["champion"] == "c" * 64
    assert counts == {"scored": 2}


def test_handing_over_never_waits_and_what_does_not_fit_is_counted() -> None:
    kept, counts = Kept(seconds=0.3), Counts()
    made = shadow(kept, counts)
    began = time.perf_counter()
    for _ in range(300):
        made.later([("p", COURSE)])
    assert time.perf_counter() - began < 0.25
    assert counts["dropped"] >= 300 - 256 - 1


def test_a_failure_is_counted_and_logged_without_values_and_the_next_course_is_scored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept, counts = Kept(fails=True), Counts()
    made = shadow(kept, counts)
    made.later([("SECRET", COURSE)])
    made.finish()
    kept.fails = False
    made.later([("p", COURSE)])
    made.finish()
    assert counts == {"failed": 1, "scored": 1}
    assert "shadow: LedgerError" in caplog.text
    assert "SECRET" not in caplog.text


def test_courses_are_noted_only_where_somebody_waits_for_them() -> None:
    note("nobody", COURSE)
    NOTED.set([])
    note("p", COURSE)
    assert NOTED.get() == [("p", COURSE)]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Published rates are live; the trained bundle is in the store, and named as shadow."""
    made = Home(tmp_path / "home")
    promote(made, trained_bundle(), "2")
    challenger = read_live(made)
    promote(made, prior_bundle(), "1")
    write_shadow(made, challenger)
    return made


def test_the_shadow_that_is_named_is_opened_and_the_live_one_is_never_its_own(home: Home) -> None:
    found = open_shadow(home, Kept(), Counts())
    assert found is not None
    assert (found.predictor.digest, found.champion) == (trained_bundle().digest, prior_bundle().digest)
    write_shadow(home, read_live(home))
    assert open_shadow(home, Kept(), Counts()) is None
    write_shadow(home, None)
    assert open_shadow(home, Kept(), Counts()) is None
    assert read_live(home).digest == prior_bundle().digest


def test_a_shadow_stands_beside_the_bundle_that_the_service_started_with_whatever_was_promoted_since(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, told(read_live(home))[VARIABLE])
    promote(home, trained_bundle(), "2")
    found = open_shadow(home, Kept(), Counts())
    assert found is not None
    assert found.champion == prior_bundle().digest


def test_a_shadow_that_was_altered_is_not_used_and_is_counted(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    named = read_shadow(home)
    assert named is not None
    folder = home.bentoml / "models" / named.tag.replace(":", "/") / "bundle"
    (folder / "card.json").write_bytes(b"{ }")
    counts = Counts()
    assert open_shadow(home, Kept(), counts) is None
    assert counts == {"failed": 1}
    assert "card.json" in caplog.text


def test_no_shadow_is_named_at_first_and_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert read_shadow(home) is None
    write_shadow(home, Live("t:1", "d", "3"))
    assert read_shadow(home) == Live("t:1", "d", "3")
    home.shadow.write_text("{")
    with pytest.raises(StoreError, match=r"shadow\.json"):
        read_shadow(home)


def waited_for(home: Home, kind: Kind, count: int) -> list[Record]:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with open_ledger(home, writes=False) as ledger:
            found = list(ledger.records(kind))
        if len(found) >= count:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{len(found)} of {count} records")


@pytest.mark.slow
def test_a_running_service_answers_as_before_and_its_shadow_and_outcomes_stand_in_the_ledger(
    home: Home, tmp_path: Path
) -> None:
    server = Server.start(home, tmp_path).wait_until_ready()
    try:
        first = server.predict(EXAMPLE).json
        both = {"requests": [with_course(id="two"), with_course(id="three", therapy="unheard-of")]}
        batch = server.call("POST", "/predict_batch", both).json["answers"]
        beside = waited_for(home, Kind.SHADOW, 2)
        told: dict[str, Any] = {"complete": True, "crs_grade": 3, "crs_grading": "ASTCT-2019"}
        reply = server.call("POST", "/outcomes", {"outcomes": [{"prediction_id": first["prediction_id"], **told}]})
        unknown = server.call("POST", "/outcomes", {"outcomes": [{"prediction_id": "no-such", **told}]})
        metrics = server.call("GET", "/metrics").body.decode()
    finally:
        server.stop()
    assert first["model"]["bundle"] == prior_bundle().digest
    assert [one.body["prediction_id"] for one in beside] == [first["prediction_id"], batch[0]["prediction_id"]]
    assert {one.body["bundle"] for one in beside} == {trained_bundle().digest}
    assert 'crs_risk_shadow_courses_total{result="scored"} 2.0' in metrics
    assert (reply.status, reply.json["recorded"]) == (200, 1)
    assert unknown.json["outcomes"][0]["error"]["code"] == "prediction-unknown"
    (outcome,) = waited_for(home, Kind.OUTCOME, 1)
    assert outcome.body["prediction_id"] == first["prediction_id"]


class Waiting:
    """Stands in for the shadow."""

    def __init__(self) -> None:
        self.handed: list[Any] = []

    def later(self, noted: Any) -> None:
        self.handed.append(list(noted))


@pytest.mark.parametrize(("status", "handed"), [(200, [[("p", COURSE)]]), (500, []), (504, [])])
def test_courses_are_handed_over_once_the_answer_has_left_and_never_without_one(status: int, handed: list[Any]) -> None:
    waiting, order = Waiting(), []
    answerer = Answerer(Predictor(prior_bundle(), catalogue.load()), "1")
    keeper = Gatekeeper(Trust(), Path("unused"))
    recorder = Recorder(Kept(), b"key")

    async def behind(_scope: Any, _receive: Any, send: Any) -> None:
        note("p", COURSE)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(EXAMPLE).encode(), "more_body": False}

    async def send(message: Any) -> None:
        order.append((message["type"], len(waiting.handed)))

    front = Front(behind, catalogue.load, lambda: answerer, lambda: keeper, lambda: recorder, lambda: waiting)  # type: ignore[arg-type,return-value]
    scope = {"type": "http", "path": "/predict", "method": "POST", "headers": []}
    asyncio.run(front(scope, receive, send))  # type: ignore[arg-type]
    assert waiting.handed == handed
    assert all(count == 0 for _, count in order)
