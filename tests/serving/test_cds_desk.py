"""The desk: no record, no answer; a limit on time; links that lead back; what a record holds of a call."""

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from audit.events import Entry, Kind, Receipt
from audit.keys import pseudonym
from features.errors import LedgerError
from serving.cds.desk import Desk, Sent
from serving.recorded import Asked, Recorder
from serving.refusal import RefusalError
from serving.trust.caller import DEVELOPER
from serving.trust.gatekeeper import Gatekeeper
from serving.trust.settings import Hooks, Trust
from tests.contract.cds_hooks import ehr
from tests.serving import fhir_builders as fb
from tests.serving.builders import Loops
from tests.serving.test_cds_properties import ANSWERER, NOW, TABLES
from tests.serving.test_recorded import Kept

VIEW, RISK = "/cds-services/crs-risk-patient-view", "/fhir/risk-assessment"
SCOPE = {"type": "http", "scheme": "http", "server": ("127.0.0.1", 3000), "headers": []}
Scope = dict[str, Any]


class Broken(Loops):
    """A ledger that takes nothing."""

    def append_all(self, entries: Sequence[Entry]) -> list[Receipt]:  # noqa: ARG002 (the ledger's own form)
        raise LedgerError("ledger", "the disk is full")


def desk(folder: Path, ledger: Any, **trust: Any) -> Desk:
    keeper = Gatekeeper(Trust(**trust), folder)
    return Desk(TABLES, lambda: ANSWERER, keeper, lambda: Recorder(ledger, b"key"), lambda: ledger, lambda: NOW)


def reply(held: Desk, body: Any, path: str = VIEW, scope: Scope = SCOPE) -> Sent:
    asked = Asked(path, json.dumps(body).encode(), time.perf_counter(), DEVELOPER)
    return asyncio.run(held.reply(asked, scope))


QUESTIONS = {
    "a course": (VIEW, ehr.call(prefetch=ehr.prefetch(1, NOW))),
    "nobody concerned": (VIEW, ehr.call(prefetch=ehr.prefetch(60, NOW))),
    "a course as a Bundle": (RISK, fb.bundle(*fb.chart())),
    "nobody concerned as a Bundle": (RISK, fb.bundle(fb.patient())),
}


@pytest.mark.parametrize("named", QUESTIONS)
def test_what_cannot_be_recorded_is_not_answered(tmp_path: Path, named: str) -> None:
    path, body = QUESTIONS[named]
    with pytest.raises(RefusalError) as error:
        reply(desk(tmp_path, Broken()), body, path)
    assert (error.value.http_status, error.value.code) == (503, "not-recorded")


@pytest.mark.parametrize("named", QUESTIONS)
def test_every_answer_has_one_record_that_was_written_before_it(tmp_path: Path, named: str) -> None:
    path, body = QUESTIONS[named]
    kept = Kept([])
    sent = reply(desk(tmp_path, kept), body, path)
    (entry,) = kept.entries
    assert entry.kind is (Kind.REFUSAL if "nobody" in named else Kind.PREDICTION)
    assert sent.headers == [(b"x-crs-risk-record", b"0 " + b"ab" * 32)]
    assert entry.body["route"] == path


def test_a_record_holds_the_call_and_its_sources_under_keyed_digests(tmp_path: Path) -> None:
    kept, body = Kept([]), ehr.call(prefetch=ehr.prefetch(1, NOW))
    reply(desk(tmp_path, kept), body)
    held = kept.entries[0].body
    assert held["hook_instance"] == body["hookInstance"]
    assert (held["hook"], held["service"], held["fetched"]) == ("patient-view", "crs-risk-patient-view", [])
    assert held["patient"] == pseudonym(b"key", "p1")
    assert pseudonym(b"key", "Observation/crp1/_history/3") in held["sources"]
    assert pseudonym(b"key", "Procedure/q1") in held["sources"]
    assert "p1" not in json.dumps(dict(held))


def test_the_course_keeps_its_name_from_call_to_call(tmp_path: Path) -> None:
    names = []
    for hours in (0, 5):
        kept = Kept([])
        held = desk(tmp_path / str(hours), kept)
        held.now = lambda hours=hours: NOW.replace(hour=10 + hours)  # type: ignore[misc]
        reply(held, ehr.call(prefetch=ehr.prefetch(1, NOW)))
        names.append(kept.entries[0].body["course"])
    assert names[0] == names[1]


def test_a_call_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = desk(tmp_path, Kept([]), hooks=Hooks(seconds_to_answer=0.05))
    monkeypatch.setattr(held, "_read", lambda _: time.sleep(0.5))
    with pytest.raises(RefusalError) as error:
        reply(held, ehr.call())
    assert (error.value.http_status, error.value.code) == (503, "timeout")
    assert error.value.headers == ((b"retry-after", b"1"),)


@pytest.mark.parametrize(
    ("trust", "scope", "address"),
    [
        ({"public_url": "https://crs.example/"}, SCOPE, "https://crs.example/"),
        ({}, SCOPE, "http://127.0.0.1:3000/"),
        ({}, {**SCOPE, "server": ("::1", 80)}, "http://[::1]:80/"),
        ({}, {**SCOPE, "headers": [(b"host", b"evil.example")]}, "http://127.0.0.1:3000/"),
    ],
    ids=["public", "own", "version 6", "host header"],
)
def test_links_lead_to_the_public_address_or_the_one_that_was_called(
    tmp_path: Path, trust: Any, scope: Scope, address: str
) -> None:
    sent = reply(desk(tmp_path, Kept([]), **trust), ehr.call(prefetch=ehr.prefetch(1, NOW)), scope=scope)
    (card,) = json.loads(sent.content)["cards"]
    assert (card["links"][0]["url"], card["source"]["url"]) == (address, address)


@pytest.mark.parametrize("key", ["meds", "admin", "procedures"])
def test_therapies_on_pages_that_were_not_read_are_not_no_therapies(tmp_path: Path, key: str) -> None:
    link = [{"relation": "next", "url": "https://ehr.example/fhir/next"}]
    long_ago, concerned = ehr.prefetch(60, NOW), ehr.prefetch(1, NOW)
    held = desk(tmp_path, Kept([]))
    assert json.loads(reply(held, ehr.call(prefetch=long_ago)).content) == {"cards": []}
    with pytest.raises(RefusalError) as error:
        reply(held, ehr.call(prefetch={**long_ago, key: {**long_ago[key], "link": link}}))
    assert (error.value.http_status, error.value.code) == (412, "data-missing")
    assert f"further pages of {key}" in str(error.value)
    sent = reply(held, ehr.call(prefetch={**concerned, key: {**concerned[key], "link": link}}))
    (card,) = json.loads(sent.content)["cards"]
    assert "more results" in card["detail"]
