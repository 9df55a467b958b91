"""Web pages call from allowed origins alone, and are never allowed by a pattern or with cookies."""

import msgspec
import pytest

from serving.trust.settings import Cors, Trust
from tests.serving.test_front import Behind, Told, ask
from tests.serving.trust.issuing import BASE, sign, trust

PAGE = "https://ehr.hospital.example"
ALLOWED = trust(cors=Cors(origins=(PAGE,)))
ASKING = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


def preflight(origin: str, settings: Trust = ALLOWED, path: str = "/predict", **more: str) -> Told:
    headers = {"origin": origin, **ASKING, **{name.replace("_", "-"): value for name, value in more.items()}}
    return ask(Behind(), method="OPTIONS", path=path, headers=headers, settings=settings)


def allowed(told: Told) -> set[str]:
    return {name for name in told.headers if name.startswith("access-control-")}


def test_a_preflight_of_an_allowed_page_is_answered_without_a_token() -> None:
    told = preflight(PAGE)
    assert (told.status, told.body) == (200, b"")
    assert told.headers["access-control-allow-origin"] == PAGE
    assert told.headers["access-control-allow-methods"] == "POST"
    assert told.headers["access-control-allow-headers"] == "authorization, content-type"
    assert told.headers["vary"] == "origin"
    assert preflight(PAGE, path="/model").headers["access-control-allow-methods"] == "GET, HEAD"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", f"{PAGE}.evil.example", f"{PAGE}:444", "null", PAGE.upper()]
)
def test_a_preflight_of_any_other_page_is_allowed_nothing(origin: str) -> None:
    told = preflight(origin)
    assert told.status == 405
    assert allowed(told) == set()


def test_without_a_list_no_page_is_allowed() -> None:
    assert allowed(preflight(PAGE, trust())) == set()


def test_never_everybody_and_never_cookies() -> None:
    for told in (preflight(PAGE), preflight("https://evil.example"), ask(Behind(), settings=ALLOWED)):
        assert told.headers.get("access-control-allow-origin") != "*"
        assert "access-control-allow-credentials" not in told.headers


def test_a_preflight_of_an_unknown_address_tells_nothing() -> None:
    assert preflight(PAGE, path="/nowhere").status == 404


def test_a_page_in_the_private_network_is_told_that_it_may_ask() -> None:
    assert preflight(PAGE, access_control_request_private_network="true").headers[
        "access-control-allow-private-network"
    ] == "true"  # fmt: skip
    assert "access-control-allow-private-network" not in preflight(PAGE).headers


def test_refusals_can_be_read_by_an_allowed_page() -> None:
    told = ask(Behind(), headers={"origin": PAGE}, settings=ALLOWED)
    assert (told.status, told.headers["access-control-allow-origin"]) == (401, PAGE)
    assert "www-authenticate" in told.headers["access-control-expose-headers"]


def test_a_call_of_a_page_that_is_not_allowed_is_refused_even_with_a_token() -> None:
    behind = Behind()
    headers = {"origin": "https://evil.example", "authorization": f"Bearer {sign()}"}
    told = ask(behind, b"{}", headers=headers, settings=ALLOWED)
    assert (told.status, told.error["code"], behind.bodies) == (403, "not-allowed", [])


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:3000", 400),
        ("http://localhost:3000", 400),
        ("http://[::1]:3000", 400),
        ("https://evil.example", 403),
        ("http://evil.example:3000", 403),
        ("null", 403),
        ("http://[", 403),
    ],
)
def test_in_development_mode_a_page_of_another_site_cannot_use_the_developers_browser(origin: str, status: int) -> None:
    assert ask(Behind(), b"{", headers={"origin": origin}, settings=Trust()).status == status


def test_the_services_own_page_is_no_stranger() -> None:
    assert ask(Behind(), headers={"origin": BASE}, settings=ALLOWED).status == 401


def test_browsers_are_told_to_come_back_by_tls_only() -> None:
    assert ask(Behind(), settings=ALLOWED).headers["strict-transport-security"] == "max-age=31536000"
    off = msgspec.structs.replace(ALLOWED, hsts_seconds=0)
    assert "strict-transport-security" not in ask(Behind(), settings=off).headers
    assert "strict-transport-security" not in ask(Behind(), settings=Trust()).headers
