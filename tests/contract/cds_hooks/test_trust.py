"""Lines 21 to 24 of the requirements on a CDS Hooks service: who may call. Each test is named after its line.

What is called over HTTP is a real server with two workers; addresses of CDS Hooks are asked of its gatekeeper.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.trust import reading
from serving.trust.gatekeeper import Gatekeeper
from tests.serving.builders import EXAMPLE, Reply, Server
from tests.serving.trust.issuing import BASE, EHR, Clock, Door, claims, header, key, public, sign
from tests.serving.trust.served import trusting_home
from tests.serving.trust.test_token import FAULTS

pytestmark = pytest.mark.slow
ADDRESSES = ["/cds-services", "/cds-services/crs-risk-patient-view", "/cds-services/crs-risk-patient-view/feedback"]
PAGE = "https://sandbox.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("trusted")
    home = trusting_home(folder)
    with home.trust.open("a") as file:
        file.write(f'[cors]\norigins = ["{PAGE}"]\n')
    started = Server.start(home, folder, workers=2)
    try:
        yield started.wait_until_ready(120)
    finally:
        started.stop()


@pytest.fixture
def service(server: Server, tmp_path: Path) -> Door:
    """The gatekeeper of the server's own settings."""
    return Door(Gatekeeper(reading.read(server.home.trust), tmp_path))


def ask(server: Server, token: str | None, **headers: str) -> Reply:
    stated = {"Authorization": f"Bearer {token}"} if token else {}
    return server.call("POST", "/predict", EXAMPLE, {**stated, **headers})


def test_line_21_a_call_that_could_expose_sensitive_data_needs_authentication(server: Server) -> None:
    assert ask(server, None).status == 401
    assert ask(server, sign()).status == 200


def test_line_21_callers_are_bound_to_tls(server: Server) -> None:
    assert ask(server, sign()).headers["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize("address", ADDRESSES)
def test_line_22_every_address_takes_a_bearer_token_and_discovery_is_one_of_them(service: Door, address: str) -> None:
    assert service.refused(None, address).http_status == 401
    assert service.admit(sign(claims(aud=BASE + address)), address).issuer == EHR


@pytest.mark.parametrize("field", ["kid", "typ"])
def test_line_22_the_header_names_key_and_type(server: Server, field: str) -> None:
    head = {name: value for name, value in header().items() if name != field}
    assert ask(server, sign(head=head)).status == 401
    assert ask(server, sign(head=header(typ="jose"))).status == 401


@pytest.mark.parametrize("claim", ["iss", "aud", "exp", "iat", "jti"])
def test_line_22_the_claims_are_all_there(server: Server, claim: str) -> None:
    stated = {name: value for name, value in claims().items() if name != claim}
    assert ask(server, sign(stated)).status == 401


@pytest.mark.parametrize("named", ["no signature at all", "a shared secret"])
def test_line_22_the_algorithm_is_never_none_nor_an_hmac(server: Server, named: str) -> None:
    make, _reason = FAULTS[named]
    assert ask(server, make()).status == 401


def test_line_22_es384_and_rs384_are_taken(service: Door) -> None:
    assert service.keeper.settings.tokens.algorithms == ("ES384", "RS384")


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("form", [str, lambda one: [one], lambda one: ["https://other.example", one]])
def test_line_22_the_audience_is_the_address_called_as_text_or_in_a_list(
    service: Door, address: str, form: Any
) -> None:
    assert service.admit(sign(claims(aud=form(BASE + address))), address).issuer == EHR
    assert service.refused(sign(claims(aud=form(BASE))), address).http_status == 401


@pytest.mark.parametrize(
    "token",
    [sign(claims(iss="https://other.example")), sign(head=header(jku="https://other.example/jwks.json"))],
    ids=["iss", "jku"],
)
def test_line_22_issuers_and_addresses_of_keys_are_on_a_list(server: Server, token: str) -> None:
    assert ask(server, token).status == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"aud": "https://other.example/predict"},
        {"exp": time.time() - 3600, "iat": time.time() - 3700},
        {"tenant": "another"},
    ],
    ids=lambda one: next(iter(one)),
)
def test_line_23_issuer_audience_end_and_tenant_are_checked(server: Server, changes: dict[str, Any]) -> None:
    assert ask(server, sign(claims(**changes))).status == 401


def test_line_23_the_signature_is_checked(server: Server) -> None:
    assert ask(server, sign(by=key(name="other"))).status == 401


def test_line_23_a_token_is_taken_once_however_it_is_spread_over_the_workers(server: Server) -> None:
    for _ in range(5):
        token = sign()
        assert [ask(server, token).status for _ in range(4)] == [200, 401, 401, 401]


def test_line_23_a_token_is_remembered_for_its_life_even_when_the_workers_die(server: Server) -> None:
    token = sign()
    assert ask(server, token).status == 200
    killed = [one for one in server.workers() if b"serving.worker" in Path(f"/proc/{one}/cmdline").read_bytes()]
    for one in killed:
        os.kill(one, 9)
    until = time.monotonic() + 120
    while set(killed) & set(server.workers()) and time.monotonic() < until:
        time.sleep(0.05)
    server.wait_until_ready(120)
    assert ask(server, token).status == 401
    assert ask(server, sign()).status == 200


@pytest.mark.parametrize("named", FAULTS)
def test_line_23_any_failure_is_answered_401_with_no_reason(server: Server, named: str) -> None:
    make, reason = FAULTS[named]
    reply = ask(server, make())
    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    told = {"code": "not-signed-in", "path": "$", "problem": "the call is not signed in", "remedy": "see docs/trust.md"}
    assert reply.json == {"error": told}
    assert server.prints(f" not-signed-in {reason}")


def test_line_23_keys_are_kept_and_rotate_without_a_restart(server: Server, tmp_path: Path) -> None:
    clock = Clock()
    service = Door(Gatekeeper(reading.read(server.home.trust), tmp_path, monotonic=clock))
    assert service.admit(sign()).issuer == EHR
    file = server.home.folder / "ehr.json"
    before = file.read_bytes()
    try:
        file.write_text(json.dumps(public(key(), key(name="next"))))
        rotated = header(kid=key(name="next").kid)
        assert service.refused(sign(head=rotated, by=key(name="next"))).reason == f"key-unknown iss={EHR}"
        clock.seconds += 60
        assert service.admit(sign(head=rotated, by=key(name="next"))).issuer == EHR
    finally:
        file.write_bytes(before)


def test_line_24_an_allowed_web_page_may_call_and_is_never_told_that_all_may(server: Server) -> None:
    asking = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    leave = server.call("OPTIONS", "/predict", None, asking)
    answer = ask(server, sign(), Origin=PAGE)
    for reply in (leave, answer):
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, PAGE)
        assert "access-control-allow-credentials" not in reply.headers
    assert "authorization" in leave.headers["access-control-allow-headers"]


def test_line_24_another_web_page_may_not(server: Server) -> None:
    other = "https://evil.example"
    asking = {"Origin": other, "Access-Control-Request-Method": "POST"}
    for reply in (server.call("OPTIONS", "/predict", None, asking), ask(server, sign(), Origin=other)):
        assert reply.status in (403, 405)
        assert "access-control-allow-origin" not in reply.headers


def test_a_signed_in_answer_does_not_speak_of_development_mode(server: Server) -> None:
    reply = ask(server, sign())
    assert "development-mode" not in [one["code"] for one in reply.json["cautions"]]
    assert "x-crs-risk-mode" not in reply.headers
    assert "development mode" not in server.printed
