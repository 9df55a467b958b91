"""Who may do what: roles of issuers and subjects, narrowed by a token's scope, and what is open without a token."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from features import catalogue
from serving import front
from serving.refusal import RefusalError
from serving.trust import roles
from serving.trust.gatekeeper import Gatekeeper
from serving.trust.settings import Open
from tests.serving.trust.issuing import BASE, EHR, LEFT_OUT, claims, door, header, issuer, scope, sign, trust

NEEDED = {
    "/predict": "predict",
    "/predict_batch": "predict",
    "/grade": "predict",
    "/model": "predict",
    "/": "predict",
    "/fhir/risk-assessment": "predict",
    "/cds-services": "predict",
    "/cds-services/crs-risk-patient-view": "predict",
    "/cds-services/crs-risk-patient-view/feedback": "feedback",
    "/outcomes": "outcomes",
    "/audit/verify": "audit-read",
    "/metrics": "audit-read",
    "/some/new/route": "predict",
}


@pytest.mark.parametrize("path", NEEDED)
def test_a_route_asks_for_its_role_and_a_caller_without_it_is_answered_403_without_a_reason(
    tmp_path: Path, path: str
) -> None:
    needed = NEEDED[path]
    stated = {"aud": BASE + path}
    assert door(tmp_path, trust(issuer(roles=(needed,)))).admit(sign(claims(**stated)), path).roles == {needed}
    others = tuple(sorted({"predict", "feedback", "outcomes", "audit-read"} - {needed}))
    error = door(tmp_path, trust(issuer(roles=others))).refused(sign(claims(**stated)), path)
    assert (error.http_status, error.code, error.headers) == (403, "not-allowed", ())
    assert error.reason.startswith(f"role-missing iss={EHR} jti=sha256:")
    assert needed not in error.body.decode()


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_the_probes_need_no_token(tmp_path: Path, path: str) -> None:
    assert door(tmp_path).admit(None, path, method="GET").roles == frozenset()


@pytest.mark.parametrize("path", sorted(set(front.ROUTES) - {"/livez", "/readyz", "/healthz"}))
def test_every_other_route_of_the_service_needs_a_token(tmp_path: Path, path: str) -> None:
    assert door(tmp_path).refused(None, path).http_status == 401


@pytest.mark.parametrize(
    ("opened", "paths"),
    [
        (Open(page=True), {"/", "/page.css", "/model"}),
        (Open(discovery=True), {"/cds-services"}),
        (Open(metrics=True), {"/metrics"}),
    ],
)
def test_what_a_setting_opens_is_open_and_no_more(opened: Open, paths: set[str]) -> None:
    asked = {*front.ROUTES, *NEEDED, "/cds-services/x", "/cds-services/x/feedback"}
    assert {path for path in asked if roles.is_open(path, opened)} == paths | {"/livez", "/readyz", "/healthz"}


def test_a_subject_may_be_granted_more_than_its_issuer(tmp_path: Path) -> None:
    held = trust(issuer(roles=("predict",), subjects={"registry": ("outcomes",)}))
    stated = {"aud": f"{BASE}/outcomes"}
    at = door(tmp_path, held)
    assert at.admit(sign(claims(sub="registry", **stated)), "/outcomes").roles == {"predict", "outcomes"}
    assert at.refused(sign(claims(sub="ward", **stated)), "/outcomes").http_status == 403


@pytest.mark.parametrize(
    ("scopes", "stated", "got"),
    [
        ({}, LEFT_OUT, {"predict", "feedback"}),
        ({}, "predict openid", {"predict"}),
        ({}, "predict outcomes", {"predict"}),
        ({}, "openid profile", set()),
        ({}, "", set()),
        ({"system/crs.read": "predict"}, "system/crs.read", {"predict"}),
        ({"system/crs.read": "predict"}, "predict", set()),
        ({"a": "outcomes"}, "a", set()),
    ],
)
def test_a_scope_narrows_what_was_granted_and_never_adds(
    tmp_path: Path, scopes: Any, stated: Any, got: set[str]
) -> None:
    held = trust(issuer(roles=("predict", "feedback"), scopes=scopes))
    token = sign(claims(scope=stated))
    if "predict" in got:
        assert door(tmp_path, held).admit(token).roles == got
    else:
        assert door(tmp_path, held).refused(token).http_status == 403


def access(**changes: Any) -> str:
    return sign(claims(aud=BASE, **changes), header(typ="at+jwt"))


@pytest.mark.parametrize(
    "path", ["/predict", "/predict_batch", "/grade", "/outcomes", "/fhir/risk-assessment", "/model"]
)
def test_an_access_token_for_the_service_opens_every_route_but_cds_hooks(tmp_path: Path, path: str) -> None:
    held = trust(issuer(kind="oauth2", roles=("predict", "outcomes")))
    assert door(tmp_path, held).admit(access(), path).issuer == EHR


@pytest.mark.parametrize("path", ["/cds-services", "/cds-services/x", "/cds-services/x/feedback"])
def test_cds_hooks_takes_tokens_for_one_call_alone(tmp_path: Path, path: str) -> None:
    held = trust(issuer(kind="oauth2", roles=("predict", "feedback")))
    assert door(tmp_path, held).refused(access(), path).reason == f"kind-not-allowed iss={EHR}"


def test_an_access_token_may_live_longer_than_one_for_a_call_and_not_for_ever(tmp_path: Path) -> None:
    at = door(tmp_path, trust(issuer(kind="oauth2")))
    now = claims()["iat"]
    assert at.admit(access(exp=now + 3600)).issuer == EHR
    assert at.refused(access(exp=now + 3601)).reason == f"life-too-long iss={EHR}"


def test_without_issuers_anybody_on_this_machine_may_do_all_and_nobody_else_anything(tmp_path: Path) -> None:
    at = door(tmp_path, msgspec.structs.replace(trust(), issuers=()))
    assert at.admit(None).roles == {"predict", "feedback", "outcomes", "audit-read"}
    for name in ("forwarded", "x-forwarded-for", "x-real-ip"):
        assert at.refused(None, headers={name: "10.0.0.5"}).reason == "development-behind-a-proxy"
    for host in ("10.0.0.5", "fd00::1", "0.0.0.0"):
        asked = {**scope(None), "server": (host, 3000)}
        with pytest.raises(RefusalError) as caught:
            asyncio.run(at.keeper.admit(asked))
        assert (caught.value.http_status, caught.value.reason) == (401, "development-off-loopback")


def test_a_refusal_before_it_is_known_who_calls_fills_no_ledger(tmp_path: Path) -> None:
    """Anybody could write records without end, were refusals of strangers recorded."""
    recorded: list[tuple[Any, ...]] = []

    class Recorder:
        def refusal(self, *told: Any) -> None:
            recorded.append(told)

    def ask(token: str | None, method: str = "POST", **headers: str) -> int:
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"{"}

        app: Any = front.Front(send, catalogue.load, lambda: None, lambda: keeper, Recorder)  # type: ignore[arg-type, return-value]
        asyncio.run(app(scope(token, method=method, headers=headers), receive, send))
        return int(sent[0]["status"])

    keeper = Gatekeeper(trust(issuer(roles=("feedback",)), issuer(issuer="https://b.example")), tmp_path)
    assert [ask(None), ask(None, "DELETE"), ask(sign(), origin="https://evil.example")] == [401, 405, 403]
    assert recorded == []
    assert [ask(sign()), ask(sign(claims(iss="https://b.example")))] == [403, 400]
    assert [(told[1], told[3].issuer) for told in recorded] == [(403, EHR), (400, "https://b.example")]
