"""A token is believed only where every part of it holds, and a refusal never says which did not."""

import asyncio
import base64
import json
import logging
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from joserfc.jwk import OctKey

from serving.refusal import RefusalError
from serving.trust.caller import digest
from serving.trust.settings import Tokens
from tests.serving.trust.issuing import (
    BASE,
    EHR,
    LEFT_OUT,
    MADE_FOR,
    Door,
    claims,
    door,
    header,
    issuer,
    key,
    public,
    scope,
    sign,
    trust,
)

NOW = 1_800_000_000.0
CANARY = "CANARY-4711"


@pytest.fixture
def ehr(tmp_path: Path) -> Door:
    return door(tmp_path)


def part(value: Any) -> str:
    return (
        base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).decode().rstrip("=")
    )


def unsigned() -> str:
    return f"{part(header(alg='none'))}.{part(claims())}."


def by_shared_secret() -> str:
    """The public key's own text as the secret: the classic confusion."""
    secret = OctKey.import_key(json.dumps(public(key())["keys"][0]))
    return sign(head=header(alg="HS384"), by=secret)


def altered() -> str:
    head, _, signature = sign().split(".")
    return f"{head}.{part(claims(sub='somebody-else'))}.{signature}"


def test_a_token_of_a_known_issuer_is_admitted_and_names_the_caller(ehr: Door) -> None:
    stated = claims(sub="ward-7")
    caller = ehr.admit(sign(stated))
    assert (caller.issuer, caller.subject, caller.tenant, caller.roles) == (EHR, "ward-7", "", {"predict"})
    assert caller.jti_digest == digest(stated["jti"])
    assert stated["jti"] not in repr(caller)


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        ("ES256", "P-256"),
        ("ES384", "P-384"),
        ("ES512", "P-521"),
        *((name, "RSA") for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        ("Ed25519", "Ed25519"),
    ],
)
def test_every_algorithm_that_is_listed_verifies_and_none_that_is_not(
    tmp_path: Path, algorithm: Any, kind: str
) -> None:
    held = issuer(keys=tuple(public(key(kind))["keys"]))
    head = header(alg=algorithm, kid=key(kind).kid)
    listed = door(tmp_path, trust(held, tokens=Tokens(algorithms=(algorithm,))))
    assert listed.admit(sign(head=head, by=key(kind))).issuer == EHR
    other = door(tmp_path, trust(held, tokens=Tokens(algorithms=("ES384" if algorithm != "ES384" else "RS384",))))
    assert other.refused(sign(head=head, by=key(kind))).reason == "algorithm-not-allowed"


def test_es384_and_rs384_are_what_is_listed_unless_told_otherwise() -> None:
    assert Tokens().algorithms == ("ES384", "RS384")


FAULTS = {
    "no token": (lambda: None, "token-missing"),
    "not a token": (lambda: CANARY, "header-malformed"),
    "no signature at all": (unsigned, "algorithm-not-allowed"),
    "a shared secret": (by_shared_secret, "algorithm-not-allowed"),
    "an altered claim": (altered, "signature-wrong"),
    "another's key of the same name": (lambda: sign(by=key(name="other")), "signature-wrong"),
    "a key the issuer does not have": (lambda: sign(head=header(kid="other"), by=key(name="other")), "key-unknown"),
    "a key of another kind": (lambda: sign(head=header(alg="RS384"), by=key("RSA")), "signature-wrong"),
    "no key id": (lambda: sign(head=header(kid=LEFT_OUT)), "header-malformed"),
    "an empty key id": (lambda: sign(head=header(kid="")), "header-not-allowed"),
    "no type": (lambda: sign(head=header(typ=LEFT_OUT)), "header-malformed"),
    "a type of another use": (lambda: sign(head=header(typ="at+jwt")), "type-not-allowed"),
    "a critical extension": (lambda: sign(head=header(crit=["b64"], b64=True)), "header-not-allowed"),
    "an address of keys that is not listed": (lambda: sign(head=header(jku="https://x.example/k")), "jku-not-allowed"),
    "an unknown issuer": (lambda: sign(claims(iss=f"https://{CANARY}.example")), "issuer-unknown"),
    "no issuer": (lambda: sign(claims(iss=LEFT_OUT)), "claims-malformed"),
    "no id": (lambda: sign(claims(jti=LEFT_OUT)), "claims-malformed"),
    "an empty id": (lambda: sign(claims(jti="")), "claims-malformed"),
    "an id beyond all measure": (lambda: sign(claims(jti="x" * 501)), "claims-malformed"),
    "no end": (lambda: sign(claims(exp=LEFT_OUT)), "claims-malformed"),
    "an end that is text": (lambda: sign(claims(exp="tomorrow")), "claims-malformed"),
    "no time of issue": (lambda: sign(claims(iat=LEFT_OUT)), "claims-malformed"),
    "no audience": (lambda: sign(claims(aud=LEFT_OUT)), "claims-malformed"),
    "the audience of another route": (lambda: sign(claims(aud=f"{BASE}/grade")), "audience-wrong"),
    "the service instead of the route": (lambda: sign(claims(aud=BASE)), "audience-wrong"),
    "a longer address": (lambda: sign(claims(aud=f"{MADE_FOR}/")), "audience-wrong"),
    "another host": (lambda: sign(claims(aud=["https://evil.example/predict"])), "audience-wrong"),
    "a tenant where none is listed": (lambda: sign(claims(tenant="a")), "tenant-not-allowed"),
    "claims that are a list": (lambda: sign([1]), "claims-malformed"),
    "claims nested without end": (lambda: sign(msgspec.Raw(b'{"x":' + b"[" * 2500)), "claims-malformed"),
    "a token beyond all measure": (lambda: sign(claims(x="x" * 8192)), "token-too-long"),
}


@pytest.mark.parametrize("named", FAULTS)
def test_a_token_with_a_fault_is_answered_401_without_a_reason(ehr: Door, named: str) -> None:
    make, reason = FAULTS[named]
    error = ehr.refused(make())
    assert error.reason.split(" iss=")[0] == reason
    assert error.http_status == 401
    assert error.headers == ((b"www-authenticate", b"Bearer"),)
    assert error.body == ehr.refused(None).body
    assert CANARY not in error.reason


def test_two_tokens_in_one_call_are_refused(ehr: Door) -> None:
    asked = scope(sign())
    asked["headers"] *= 2
    with pytest.raises(RefusalError) as caught:
        asyncio.run(ehr.keeper.admit(asked))
    assert caught.value.reason == "token-twice"


@pytest.mark.parametrize("stated", ["Basic eHg6eHg=", "Bearer", "Bearer ", ""])
def test_another_kind_of_sign_in_is_refused(ehr: Door, stated: str) -> None:
    assert ehr.refused(None, headers={"authorization": stated}).reason == "token-missing"


@pytest.mark.parametrize("aud", [MADE_FOR, [MADE_FOR], ["https://other.example", MADE_FOR]])
def test_the_audience_may_be_text_or_a_list_with_the_called_address(ehr: Door, aud: Any) -> None:
    assert ehr.admit(sign(claims(aud=aud))).issuer == EHR


def test_the_public_address_may_have_a_path_of_its_own(tmp_path: Path) -> None:
    below = msgspec.structs.replace(trust(), public_url="https://hospital.example/crs/")
    made_for = "https://hospital.example/crs/predict"
    assert door(tmp_path, below).admit(sign(claims(aud=made_for))).issuer == EHR


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iat": NOW - 300, "exp": NOW - 60}, ""),
        ({"iat": NOW - 300, "exp": NOW - 60.1}, "expired"),
        ({"iat": NOW + 60}, ""),
        ({"iat": NOW + 61, "exp": NOW + 120}, "issued-in-future"),
        ({"nbf": NOW + 60}, ""),
        ({"nbf": NOW + 61}, "not-yet-valid"),
        ({"iat": NOW, "exp": NOW + 300}, ""),
        ({"iat": NOW, "exp": NOW + 301}, "life-too-long"),
        ({"iat": NOW - 1, "exp": 1e300}, "life-too-long"),
    ],
)
def test_times_are_held_against_the_clock_with_a_minute_either_way(
    tmp_path: Path, changes: dict[str, float], reason: str
) -> None:
    at = door(tmp_path, now=lambda: NOW)
    token = sign(claims(NOW, **changes))
    if reason:
        assert at.refused(token).reason == f"{reason} iss={EHR}"
    else:
        assert at.admit(token).issuer == EHR


@pytest.mark.parametrize(
    ("tenants", "tenant", "admitted"),
    [((), "", True), ((), "a", False), (("a", "b"), "b", True), (("a", "b"), "c", False), (("a",), "", False)],
)
def test_a_tenant_must_be_one_of_those_listed(tmp_path: Path, tenants: Any, tenant: str, admitted: bool) -> None:
    at = door(tmp_path, trust(issuer(tenants=tenants)))
    token = sign(claims(tenant=tenant or LEFT_OUT))
    if admitted:
        assert at.admit(token).tenant == tenant
    else:
        assert at.refused(token).reason == f"tenant-not-allowed iss={EHR}"


def test_the_log_holds_the_issuer_and_a_digest_and_never_the_token(ehr: Door) -> None:
    stated = claims(jti=CANARY)
    token = sign(stated)
    ehr.admit(token)
    again = ehr.refused(token)
    assert again.reason == f"replayed iss={EHR} jti=sha256:{digest(CANARY)[:16]}"
    assert CANARY not in again.reason + str(again)
    assert not any(piece in again.reason for piece in token.split("."))


PIECES = st.none() | st.integers() | st.text(max_size=5) | st.just("ES384")
LISTED = st.lists(PIECES, max_size=3)
HEADERS = st.dictionaries(st.sampled_from(["alg", "typ", "kid", "jku", "crit", "b64"]), PIECES | LISTED)
BODIES = st.dictionaries(st.sampled_from(["iss", "aud", "exp", "iat", "jti"]), PIECES | LISTED)


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    head=HEADERS | PIECES | LISTED | st.binary(max_size=60),
    body=BODIES | PIECES | LISTED | st.binary(max_size=60),
    signature=st.binary(max_size=100),
)
def test_no_header_payload_or_signature_gets_anything_but_a_plain_401(
    ehr: Door, caplog: pytest.LogCaptureFixture, head: Any, body: Any, signature: bytes
) -> None:
    with caplog.at_level(logging.DEBUG):
        error = ehr.refused(f"{part(head)}.{part(body)}.{part(signature)}")
    assert (error.http_status, error.headers) == (401, ((b"www-authenticate", b"Bearer"),))
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_a_flipped_bit_anywhere_in_a_token_is_refused(ehr: Door) -> None:
    token = sign(claims(time.time()))
    for place in range(0, len(token), 7):
        flipped = chr(ord(token[place]) ^ 1)
        if token[place] != "." and flipped != ".":
            last_of_part = place + 1 == len(token) or token[place + 1] == "."
            if not last_of_part:
                assert ehr.refused(token[:place] + flipped + token[place + 1 :]).http_status == 401
    assert ehr.admit(token).issuer == EHR
