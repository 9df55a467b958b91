"""The vault over real HTTP: what is kept is read again bit for bit, and no value or token lies outside of it."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

import crs
from audit import erasing
from audit.events import Kind, Record
from audit.kept import every
from audit.keys import keyed, pseudonym, tenant_key
from audit.ledger import Ledger, open_ledger
from audit.replay import Replayed, Replayer
from audit.request import Request
from audit.unsealing import State, Unsealed, Unsealing
from audit.vault_check import with_vault
from audit.verify import verify
from features import catalogue
from features.home import Home
from serving import again, intake, kept, recorded
from serving.again import Again
from serving.recorded import Asked
from serving.trust.caller import NOBODY
from tests.contract.cds_hooks import ehr
from tests.serving import fhir_builders as fb
from tests.serving.builders import Reply, Server, promote, trained_bundle, with_course

CANARY = "CANARY-MRN-4711"
NUMBER = 271.8281
COMMENT = "CANARY-COMMENT of a clinician"
VIEW, SIGN = (f"/cds-services/crs-risk-{name}" for name in ("patient-view", "order-sign"))
RISK = "/fhir/risk-assessment"


@dataclass
class Served:
    """A server with the vault on, and what it was asked. outside: all bytes that lie anywhere of it."""

    server: Server
    replies: dict[str, Reply]

    @property
    def home(self) -> Home:
        return self.server.home

    def outside(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.server.log.parent.rglob("*") if path.is_file())


def measured() -> dict[str, Any]:
    body = with_course(id=CANARY)
    seen = {"code": "crp", "value": NUMBER, "unit": "mg/L", "hours": 0}
    return {**body, "observations": [*body["observations"], seen]}


def planted(patient: str = CANARY) -> dict[str, Any]:
    """A patient's chart by prefetch key with a name and a value that stand nowhere else."""
    held = json.loads(
        json.dumps(ehr.prefetch(1)).replace('"p1"', f'"{patient}"').replace("Patient/p1", f"Patient/{patient}")
    )
    held["patient"]["name"] = [{"family": CANARY}]
    labs = held["labs"]["entry"]
    labs.append(
        {
            "resource": {
                **labs[0]["resource"],
                "id": "planted",
                "valueQuantity": fb.result("x", "y", NUMBER, "mg/L")["valueQuantity"],
            }
        }
    )
    return held  # type: ignore[no-any-return]


def questions(base: str) -> dict[str, tuple[str, Any]]:
    """Name -> route and body, of every route whose answers are kept."""
    right: dict[str, Any] = {"fhirServer": base, "fhirAuthorization": ehr.authorization()}
    context = {"userId": "Practitioner/u1", "patientId": CANARY}
    sent = planted()
    drafted = {
        **context,
        "draftOrders": json.loads(json.dumps(fb.bundle(ehr.draft())).replace("Patient/p1", f"Patient/{CANARY}")),
    }
    return {
        "predict": ("/predict", measured()),
        "not evaluated": ("/predict", with_course(id=CANARY, age_years=5)),
        "batch": ("/predict_batch", {"requests": [measured(), with_course(id=f"{CANARY}-2", ecog=1)]}),
        "hook": (VIEW, ehr.call(context=context, prefetch=sent)),
        "order": (SIGN, ehr.call("order-sign", context=drafted, prefetch=sent)),
        "fetched": (VIEW, ehr.call(**right)),
        "fetched in part": (
            VIEW,
            ehr.call(**right, prefetch={key: one for key, one in ehr.prefetch(1).items() if key != "labs"}),
        ),
        "bundle": (RISK, fb.bundle(*fb.chart(), timestamp="2026-02-03T10:00:00Z")),
        "bundle of now": (RISK, fb.bundle(*ehr.chart(1))),
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("kept")
    home = Home(folder / "home")
    promote(home, trained_bundle())
    with ehr.fhir_server() as fhir, pytest.MonkeyPatch.context() as patch:
        fhir.page = 3
        patch.setenv("CRS_RISK_VAULT", "on")
        home.trust.write_text(f'[fhir]\nservers = ["{fhir.base}"]\npages = 20\n')
        server = Server.start(home, folder)
        try:
            server.wait_until_ready()
            replies = {name: server.call("POST", *question) for name, question in questions(fhir.base).items()}
            yield Served(server, replies)
        finally:
            server.stop()


@pytest.fixture
def ledger(served: Served) -> Iterator[Ledger]:
    with open_ledger(served.home) as opened:
        yield opened


def predictions(ledger: Ledger) -> list[Record]:
    return list(ledger.records(Kind.PREDICTION))


def replayed(ledger: Ledger, records: list[Record]) -> list[Replayed]:
    key = tenant_key(ledger.home)
    return list(map(Replayer(ledger.home, Unsealing(ledger).of, lambda: Again(key)).replay, records))


def names(reply: Reply) -> list[str]:
    """Names of the records of an answer."""
    body = reply.json
    if "cards" in body:
        return [card["uuid"] for card in body["cards"]]
    if "entry" in body:
        return [str(body["entry"][0]["resource"]["id"])]
    return [one["prediction_id"] for one in body.get("answers", [body])]


def test_every_route_answers_with_the_vault_on(served: Served) -> None:
    assert {name: one.status for name, one in served.replies.items()} == dict.fromkeys(served.replies, 200)
    assert all(names(one) for one in served.replies.values())


def test_every_answer_is_read_again_and_is_the_same_bits(served: Served, ledger: Ledger) -> None:
    records = {one.event_id: one for one in predictions(ledger)}
    for name, reply in served.replies.items():
        for place, one in enumerate(replayed(ledger, [records[held] for held in names(reply)])):
            assert one.differences == (), (name, place)
            assert (one.level, one.request) == (2, "kept"), name
            evaluated = records[one.event_id].body["status"] == "evaluated"
            assert one.compared > 350 if evaluated else one.compared == 0, name


def test_what_was_fetched_back_is_kept_with_the_call(served: Served, ledger: Ledger) -> None:
    for name, fetched in (("fetched", set(ehr.KINDS)), ("fetched in part", {"labs"}), ("hook", set())):
        record = ledger.find(names(served.replies[name])[0])
        assert record is not None
        request = Unsealing(ledger).of(record).request
        assert request is not None
        assert set(request.fetched) == fetched
        assert set(record.body["fetched"]) == fetched


def test_what_is_kept_of_predict_are_the_bytes_that_came(served: Served, ledger: Ledger) -> None:
    record = ledger.find(names(served.replies["predict"])[0])
    assert record is not None
    request = Unsealing(ledger).of(record).request
    assert request is not None
    assert request.body == json.dumps(measured()).encode()
    assert keyed(tenant_key(served.home), request.body) == record.body["request"]


def test_the_config_says_that_the_vault_is_on(ledger: Ledger) -> None:
    record = ledger.last(Kind.CONFIG_CHANGED)
    assert record is not None
    assert record.body["vault"] is True


def test_no_value_and_no_token_lies_outside_what_is_sealed(served: Served, ledger: Ledger) -> None:
    everything = served.outside() + served.server.printed.encode()
    assert b"POST /predict 200" in everything
    for secret in (CANARY, str(NUMBER), ehr.TOKEN, "fhirAuthorization"):
        assert secret.encode() not in everything, secret
    contents = [Unsealing(ledger).of(one).request for one in predictions(ledger)]
    assert all(contents)
    told = json.dumps([one.to_json() for one in contents if one])
    assert CANARY in told
    assert str(NUMBER) in told
    assert ehr.TOKEN not in told
    assert "fhirAuthorization" not in told


@pytest.mark.parametrize("name", ["predict", "batch", "hook", "fetched", "bundle"])
def test_a_reader_whose_unit_factor_changed_is_found(
    served: Served, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    held = catalogue.load()
    crp = held.analytes["crp"]
    units = {unit: replace(rule, factor=rule.factor * (1 + 2**-20)) for unit, rule in crp.units.items()}
    changed = replace(held, analytes={**held.analytes, "crp": replace(crp, units=units)})
    record = ledger.find(names(served.replies[name])[0])
    assert record is not None
    monkeypatch.setattr(catalogue, "load", lambda: changed)
    (found,) = replayed(ledger, [record])
    assert "read again: crp.last" in found.differences
    assert not found.same


def test_a_reader_that_refuses_now_is_found(served: Served, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    record = ledger.find(names(served.replies["predict"])[0])
    assert record is not None
    monkeypatch.setattr(intake, "FURTHEST_HOURS", 1e-9)
    (found,) = replayed(ledger, [record])
    assert found.differences == ("read again: refused as value-not-plausible",)


def test_a_reader_that_finds_no_course_any_more_is_found(
    served: Served, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [ledger.find(names(served.replies[name])[0]) for name in ("hook", "bundle")]
    monkeypatch.setattr(again, "COURSE", "another")
    for found in replayed(ledger, [one for one in records if one is not None]):
        assert found.differences == ("read again: the reader says course",)


@pytest.mark.parametrize("name", ["therapy", "patient", "hours_since_start", "ignored", "status"])
def test_a_record_that_says_otherwise_than_its_request_is_found(served: Served, ledger: Ledger, name: str) -> None:
    record = ledger.find(names(served.replies["hook"])[0])
    assert record is not None
    spoilt = replace(record, body={**record.body, name: "another"})
    request = Unsealing(ledger).of(record).request
    assert request is not None
    replayer = Replayer(ledger.home, lambda _: Unsealed(State.KEPT, request), lambda: Again(tenant_key(ledger.home)))
    assert f"read again: {name}" in replayer.replay(spoilt).differences


def test_a_tenants_answer_is_read_again_as_the_tenants(served: Served, ledger: Ledger) -> None:
    record = ledger.find(names(served.replies["hook"])[0])
    assert record is not None
    request, key = Unsealing(ledger).of(record).request, tenant_key(ledger.home)
    assert request is not None
    replayer = Replayer(ledger.home, lambda _: Unsealed(State.KEPT, request), lambda: Again(key))
    theirs = replace(record, body={**record.body, "caller": {"tenant": "north"}})
    assert replayer.replay(theirs).differences == tuple(
        f"read again: {one}" for one in ("course", "patient", "sources")
    )
    patient = json.loads(request.body)["context"]["patientId"]
    named = replace(theirs, body={**theirs.body, "patient": pseudonym(key, patient, "north")})
    assert replayer.replay(named).differences == ("read again: course", "read again: sources")


def test_the_command_tells_the_level_and_what_is_kept(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRS_RISK_HOME", str(served.home.folder))
    done = CliRunner().invoke(crs.app, ["audit", "replay", "all", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert {(one["level"], one["request"], one["same"]) for one in told} == {(2, "kept", True)}
    done = CliRunner().invoke(crs.app, ["audit", "replay", "all"])
    assert f"{len(told)} from the request on; requests: {len(told)} kept" in done.output


# Feedback


def report(served: Served, card: str, comment: str = COMMENT) -> dict[str, Any]:
    body = {
        "card": card,
        "outcome": "overridden",
        "outcomeTimestamp": "2026-02-03T10:00:00Z",
        "overrideReason": {"userComment": comment},
    }
    reply = served.server.call("POST", f"{VIEW}/feedback", {"feedback": [body]})
    assert reply.status == 200, reply.body
    (shown,) = reply.json["feedback"]
    return dict(shown)


def test_a_comment_on_a_known_card_goes_to_the_vault_for_its_patient(served: Served, ledger: Ledger) -> None:
    (card,) = names(served.replies["hook"])
    told = report(served, card)
    assert told["status"] == "recorded"
    record = ledger.at(told["record"]["sequence"])
    assert record is not None
    assert (record.body["comments_kept"], record.body["comments_dropped"]) == (1, 0)
    assert record.body["patient"] == pseudonym(tenant_key(served.home), CANARY)
    found = Unsealing(ledger).of(record).request
    assert found is not None
    assert json.loads(found.body) == {"userComment": COMMENT}
    assert COMMENT.encode() not in served.outside()


def test_the_same_comment_again_is_the_same_record_and_another_one_is_not(served: Served) -> None:
    (card,) = names(served.replies["hook"])
    first, second = report(served, card, "once"), report(served, card, "once")
    assert (first["status"], second["status"]) == ("recorded", "already-recorded")
    assert first["record"] == second["record"]
    assert report(served, card, "twice")["status"] == "recorded"


def test_a_comment_on_a_card_that_nobody_knows_is_thrown_away(served: Served, ledger: Ledger) -> None:
    told = report(served, "00000000-0000-4000-8000-000000000000")
    record = ledger.at(told["record"]["sequence"])
    assert record is not None
    assert (record.body["comments_dropped"], "kept" in record.body) == (1, False)
    assert COMMENT.encode() not in served.outside()


# What cannot be kept, and what is erased


def test_an_answer_whose_request_cannot_be_kept_is_not_given(served: Served) -> None:
    other = sqlite3.connect(served.home.keys / "vault.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        reply = served.server.predict(with_course(id="somebody"))
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert (reply.status, reply.json["error"]["code"]) == (503, "not-recorded")
    assert served.server.predict(with_course(id="somebody")).status == 200


def test_erasing_a_patient_leaves_the_service_the_chain_and_the_others(served: Served, ledger: Ledger) -> None:
    (gone,) = names(served.server.predict(with_course(id="leaves")))
    (stays,) = names(served.server.predict(with_course(id="stays")))
    key = pseudonym(tenant_key(served.home), "leaves")
    assert [one.requests for one in erasing.erase(ledger, [key], "officer")] == [1]
    records = [one for one in map(ledger.find, (gone, stays)) if one is not None]
    told = replayed(ledger, records)
    assert [(one.level, one.request, one.same) for one in told] == [(1, "erased", True), (2, "kept", True)]
    assert with_vault(ledger, verify(ledger)).findings == ()
    (back,) = names(served.server.predict(with_course(id="leaves")))
    record = ledger.find(back)
    assert record is not None
    assert Unsealing(ledger).of(record).state is State.KEPT


# Without a server


def test_nothing_is_kept_unless_the_vault_is_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home")
    monkeypatch.setenv("CRS_RISK_HOME", str(home.folder))
    monkeypatch.setattr(recorded, "appends", lambda: None)
    for switch, made in (("off", False), ("on", True)):
        monkeypatch.setenv("CRS_RISK_VAULT", switch)
        recorded.recorder.cache_clear()
        assert (recorded.recorder().keeper is not None) is made
        assert (home.keys / "vault.key").exists() is made
    recorded.recorder.cache_clear()


def test_a_batch_is_kept_course_by_course_as_it_came() -> None:
    given = b'{ "requests" : [ {"course" : {"id":"a"} }, {"course": {"id": "b"}, "hours_since_start":1e0 }]}'
    found = [Request.from_bytes(one) for one in kept.contents(Asked("/predict_batch", given, 0.0, NOBODY))]
    assert [one.body for one in found] == [
        b'{"course" : {"id":"a"} }',
        b'{"course": {"id": "b"}, "hours_since_start":1e0 }',
    ]


def test_a_token_is_cut_out_wherever_a_server_repeats_it() -> None:
    token = "eyJhbGciOiJFUzM4NCJ9.long-enough"
    call = ehr.call(fhirServer="https://ehr.example/fhir", fhirAuthorization=ehr.authorization(access_token=token))
    fetched = {"labs": {"link": [{"url": f"https://ehr.example/fhir?token={token}"}]}}
    asked = Asked(VIEW, msgspec.json.encode(call), 0.0, NOBODY, hook="patient-view", now=fb.NOW, fetched=fetched)
    (content,) = kept.contents(asked)
    assert token.encode() not in content
    held = Request.from_bytes(content)
    assert (held.route, held.now) == (VIEW, fb.NOW.isoformat())
    assert json.loads(held.body) == {key: call[key] for key in kept.CALL if key in call}


def test_rows_of_the_vault_name_no_patient(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        assert all(CANARY.encode() not in one.sealed and CANARY not in one.holder for one in every(connection))
