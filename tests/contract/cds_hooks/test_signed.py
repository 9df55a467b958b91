"""Lines 21 to 24 on the addresses of CDS Hooks themselves, over HTTP: signed calls, audience, where links lead."""

import uuid
from collections.abc import Iterator

import pytest

from audit.events import Kind
from features.home import Home
from tests.contract.cds_hooks.ehr import call, prefetch
from tests.contract.cds_hooks.test_lines import VIEW, feedback, records
from tests.serving.builders import Reply, Server
from tests.serving.trust.issuing import BASE, EHR, claims, key, sign
from tests.serving.trust.served import trusting_home

pytestmark = pytest.mark.slow
PAGE = "https://sandbox.example"
ADDRESSES = {"/cds-services": "GET", VIEW: "POST", f"{VIEW}/feedback": "POST"}


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("signed")
    home: Home = trusting_home(folder)
    with home.trust.open("a") as file:
        file.write(f'[cors]\norigins = ["{PAGE}"]\n')
    started = Server.start(home, folder)
    try:
        yield started.wait_until_ready(180)
    finally:
        started.stop()


def ask(server: Server, method: str, path: str, body: object = None, audience: str = "", token: str = "") -> Reply:
    made = token or sign(claims(aud=audience or BASE + path))
    return server.call(method, path, body, {"Authorization": f"Bearer {made}"})


@pytest.mark.parametrize("path", ADDRESSES)
def test_line_21_no_address_of_cds_hooks_is_open(signed: Server, path: str) -> None:
    reply = signed.call(ADDRESSES[path], path, {} if ADDRESSES[path] == "POST" else None)
    assert (reply.status, reply.json["issue"][0]["code"]) == (401, "login")


@pytest.mark.parametrize("path", ADDRESSES)
def test_line_24_an_allowed_page_may_call_each_address_and_another_may_not(signed: Server, path: str) -> None:
    asking = {"Access-Control-Request-Method": ADDRESSES[path]}
    leave = signed.call("OPTIONS", path, None, {**asking, "Origin": PAGE})
    assert (leave.status, leave.headers["access-control-allow-origin"]) == (200, PAGE)
    assert ADDRESSES[path] in leave.headers["access-control-allow-methods"]
    refused = signed.call("OPTIONS", path, None, {**asking, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in refused.headers
    assert refused.status in (403, 405)


def test_line_22_discovery_calls_and_feedback_each_take_a_token_made_for_their_own_address(signed: Server) -> None:
    assert ask(signed, "GET", "/cds-services").status == 200
    reply = ask(signed, "POST", VIEW, call(prefetch=prefetch(1)))
    assert reply.status == 200
    assert ask(signed, "POST", f"{VIEW}/feedback", {"feedback": [feedback(str(uuid.uuid4()))]}).status == 200


@pytest.mark.parametrize("path", [VIEW, f"{VIEW}/feedback", "/cds-services"])
def test_line_22_the_audience_of_another_address_is_not_taken(signed: Server, path: str) -> None:
    method = "GET" if path == "/cds-services" else "POST"
    reply = ask(signed, method, path, None if method == "GET" else {}, audience=f"{BASE}/cds-services/other")
    assert (reply.status, reply.json["resourceType"]) == (401, "OperationOutcome")
    assert reply.headers["www-authenticate"] == "Bearer"


def test_line_23_every_failure_has_the_same_body(signed: Server) -> None:
    path = VIEW
    replies = [
        signed.call("POST", path, {}),
        ask(signed, "POST", path, {}, token=sign(claims(aud=BASE + path), by=key(name="other"))),
        ask(signed, "POST", path, {}, token=sign(claims(aud=BASE + path, iss="https://other.example"))),
        ask(signed, "POST", path, {}, audience=BASE),
    ]
    assert {(reply.status, reply.body) for reply in replies} == {(401, replies[0].body)}


def test_line_23_a_token_is_good_for_one_call(signed: Server) -> None:
    token = sign(claims(aud=BASE + VIEW))
    body = call(prefetch=prefetch(1))
    assert [ask(signed, "POST", VIEW, body, token=token).status for _ in range(2)] == [200, 401]


def test_links_lead_to_the_public_address_and_the_record_names_the_issuer(signed: Server) -> None:
    reply = ask(signed, "POST", VIEW, call(prefetch=prefetch(1)))
    (card,) = reply.json["cards"]
    assert (card["links"][0]["url"], card["source"]["url"]) == (f"{BASE}/", f"{BASE}/")
    assert "without sign-in" not in card["detail"]
    (record,) = [one for one in records(signed, Kind.PREDICTION) if one.event_id == card["uuid"]]
    assert record.body["caller"]["issuer"] == EHR


def test_the_same_feedback_under_another_token_is_the_same_record(signed: Server) -> None:
    item = feedback(str(uuid.uuid4()))
    replies = [ask(signed, "POST", f"{VIEW}/feedback", {"feedback": [item]}) for _ in range(2)]
    assert [one.json["feedback"][0]["status"] for one in replies] == ["recorded-unknown-card", "already-recorded"]
    (record,) = [one for one in records(signed, Kind.FEEDBACK) if one.body["card"] == item["card"]]
    assert record.body["caller"] == {"issuer": EHR}
