"""Keys are read from where the settings say, kept, and read anew when an issuer rotates; nothing else is fetched."""

import asyncio
import gzip
import json
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from serving.trust.jwks import parse
from serving.trust.settings import Jwks
from serving.trust.sources import believed, from_address
from tests.serving.trust.certificates import certificate
from tests.serving.trust.issuing import EHR, Clock, Door, door, header, issuer, key, public, scope, sign, trust


class Shelf:
    """A loopback server of keys, and every path it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None] = self.keys(public(key()))
        self.others: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.address = ""

    def answer_at(self, path: str, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        """Another answer at that path."""
        self.others[path] = answer

    def keys(self, body: Any, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
        def answer(call: BaseHTTPRequestHandler) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            call.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                call.send_header(name.replace("_", "-"), value)
            call.end_headers()
            call.wfile.write(content)

        return answer


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Shelf]:
    shelf = Shelf()

    class Call(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shelf.asked.append(self.path)
            try:
                shelf.others.get(self.path, shelf.answer)(self)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Call)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    shelf.address = f"http://127.0.0.1:{server.server_port}/jwks.json"
    try:
        yield shelf
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with serving() as one:
        yield one


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fetching(folder: Path, shelf: Shelf, clock: Clock, **settings: Any) -> Door:
    held = issuer(keys=(), jku=(shelf.address,))
    return door(folder, trust(held, jwks=Jwks(**settings)), monotonic=clock)


def by(name: str, **more: Any) -> str:
    return sign(head=header(kid=key(name=name).kid, **more), by=key(name=name))


def test_keys_of_an_allowed_address_are_fetched_once_and_kept(tmp_path: Path, shelf: Shelf, clock: Clock) -> None:
    at = fetching(tmp_path, shelf, clock)
    assert [at.admit(sign()).issuer for _ in range(3)] == [EHR] * 3
    assert at.admit(sign(head=header(jku=shelf.address))).issuer == EHR
    assert shelf.asked == ["/jwks.json"]


def test_an_issuer_rotates_its_key_without_a_restart(tmp_path: Path, shelf: Shelf, clock: Clock) -> None:
    at = fetching(tmp_path, shelf, clock)
    at.admit(sign())
    shelf.answer = shelf.keys(public(key(name="next")))
    clock.seconds += 61
    assert at.admit(by("next")).issuer == EHR
    assert at.refused(sign()).reason.startswith("key-unknown")


def test_unknown_keys_cause_one_fetch_per_interval_however_many_they_are(
    tmp_path: Path, shelf: Shelf, clock: Clock
) -> None:
    at = fetching(tmp_path, shelf, clock)
    at.admit(sign())
    for _ in range(20):
        assert at.refused(by("made-up")).reason.startswith("key-unknown")
    assert len(shelf.asked) == 1
    clock.seconds += 60
    for _ in range(20):
        assert at.refused(by("made-up")).reason.startswith("key-unknown")
    assert len(shelf.asked) == 2


def test_many_callers_at_once_wait_for_one_fetch(tmp_path: Path, shelf: Shelf, clock: Clock) -> None:
    at = fetching(tmp_path, shelf, clock)

    async def together() -> list[str]:
        calls = [at.keeper.admit(scope(sign())) for _ in range(8)]
        return [one.issuer for one in await asyncio.gather(*calls)]

    assert asyncio.run(together()) == [EHR] * 8
    assert len(shelf.asked) == 1


def test_a_withdrawn_key_ends_once_the_kept_ones_are_too_old(tmp_path: Path, shelf: Shelf, clock: Clock) -> None:
    at = fetching(tmp_path, shelf, clock, kept_seconds=600)
    at.admit(sign())
    shelf.answer = shelf.keys(public(key(name="next")))
    clock.seconds += 600
    assert at.admit(sign()).issuer == EHR
    clock.seconds += 1
    assert at.refused(sign()).reason.startswith("key-unknown")


def test_kept_keys_serve_while_their_address_fails_but_not_for_ever(
    tmp_path: Path, shelf: Shelf, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    at = fetching(tmp_path, shelf, clock, kept_seconds=600, stale_seconds=7200)
    at.admit(sign())
    shelf.answer = lambda call: call.send_error(500)
    clock.seconds += 7200
    assert at.admit(sign()).issuer == EHR
    assert f"keys of {EHR} could not be read (ValueError)" in caplog.text
    clock.seconds += 1
    assert at.refused(sign()).reason.startswith("key-unknown")


def redirect(call: BaseHTTPRequestHandler) -> None:
    call.send_response(302)
    call.send_header("Location", "/elsewhere")
    call.send_header("Content-Length", "0")
    call.end_headers()


def drip(call: BaseHTTPRequestHandler) -> None:
    call.send_response(200)
    call.end_headers()
    for _ in range(40):
        call.wfile.write(b" ")
        time.sleep(0.05)


@pytest.mark.parametrize(
    "answer",
    [
        redirect,
        drip,
        lambda call: call.send_error(404),
        Shelf().keys(b"{"),
        Shelf().keys([1]),
        Shelf().keys({"keys": {}}),
        Shelf().keys(b"[" * 5000),
        Shelf().keys(b" " * 5000 + json.dumps(public(key())).encode()),
        Shelf().keys(gzip.compress(json.dumps(public(key())).encode()), Content_Encoding="gzip"),
    ],
    ids=["redirect", "too slow", "not found", "no JSON", "a list", "no list", "too deep", "too large", "compressed"],
)
def test_an_answer_that_is_no_plain_small_prompt_key_set_is_not_used(
    tmp_path: Path, shelf: Shelf, clock: Clock, answer: Any
) -> None:
    at = fetching(tmp_path, shelf, clock, bytes=4000, timeout_seconds=0.3)
    shelf.answer = answer
    began = time.monotonic()
    assert at.refused(sign()).reason == f"key-unknown iss={EHR}"
    assert time.monotonic() - began < 2
    assert shelf.asked == ["/jwks.json"]


@pytest.mark.parametrize("held", [{"keys": ()}, {}])
def test_an_address_in_a_token_that_is_not_listed_is_never_fetched(
    tmp_path: Path, shelf: Shelf, clock: Clock, held: dict[str, Any]
) -> None:
    with serving() as listed:
        at = door(tmp_path, trust(issuer(jku=(listed.address,), **held)), monotonic=clock)
        assert at.refused(sign(head=header(jku=shelf.address))).reason == f"jku-not-allowed iss={EHR}"
        assert at.refused(sign(head=header(jku=f"{listed.address}?x"))).reason == f"jku-not-allowed iss={EHR}"
    assert shelf.asked == []


def test_where_keys_stand_in_the_settings_a_listed_address_is_not_fetched(
    tmp_path: Path, shelf: Shelf, clock: Clock
) -> None:
    at = door(tmp_path, trust(issuer(jku=(shelf.address,))), monotonic=clock)
    assert at.admit(sign(head=header(jku=shelf.address))).issuer == EHR
    assert shelf.asked == []


def test_one_issuers_key_does_not_sign_for_another(tmp_path: Path) -> None:
    other = issuer(issuer="https://other.example", keys=tuple(public(key(name="other"))["keys"]))
    at = door(tmp_path, trust(issuer(), other))
    assert at.refused(by("other")).reason == f"key-unknown iss={EHR}"


def test_a_file_of_keys_is_read_anew_when_a_key_is_not_known(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "ehr.json"
    file.write_text(json.dumps(public(key())))
    at = door(tmp_path, trust(issuer(keys=(), jwks_file=str(file))), monotonic=clock)
    at.admit(sign())
    draft = tmp_path / "draft"
    draft.write_text(json.dumps(public(key(), key(name="next"))))
    os.replace(draft, file)
    clock.seconds += 60
    assert at.admit(by("next")).issuer == EHR
    assert at.admit(sign()).issuer == EHR


def test_a_certificate_that_is_not_believed_ends_the_fetch(tmp_path: Path) -> None:
    made = certificate(tmp_path)
    with serving_tls(made) as address:
        with pytest.raises(OSError, match="keys cannot be fetched"):
            asyncio.run(from_address(address, Jwks(), believed(""))())
        assert asyncio.run(from_address(address, Jwks(), believed(str(made.chain)))()).keys() == {key().kid}


@contextmanager
def serving_tls(made: Any) -> Iterator[str]:
    with serving(made.context()) as shelf:
        yield shelf.address.replace("http://127.0.0.1", "https://localhost")


def test_of_a_fetched_set_only_public_keys_for_signatures_are_taken() -> None:
    private = {**key(name="private").as_dict(private=True)}
    held = [
        private,
        {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"},
        {**public(key(name="sealing"))["keys"][0], "use": "enc"},
        {**public(key(name="nameless"))["keys"][0], "kid": None},
        {"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "kid": "no point"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "short"},
        "text",
        *public(key())["keys"],
    ]
    assert parse(json.dumps({"keys": held}).encode()).keys() == {key().kid}


def test_the_oldest_tls_that_is_spoken_for_keys_is_1_2() -> None:
    context = believed("")
    assert (context.minimum_version, context.verify_mode) == (ssl.TLSVersion.TLSv1_2, ssl.CERT_REQUIRED)
    assert context.check_hostname
