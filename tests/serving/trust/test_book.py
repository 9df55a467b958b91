"""A token for one call is taken once, by whichever worker, and an issuer calls no faster than it may."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.trust import book
from serving.trust.book import CallBook, FullError, Verdict
from serving.trust.settings import Issuer, Tokens
from tests.serving.builders import ROOT
from tests.serving.trust.issuing import EHR, claims, door, header, issuer, key, sign, trust

FAR = time.time() + 1e6


def one_call(held: CallBook, once: str = "", by: Issuer | None = None, ends: float = FAR) -> Verdict:
    return asyncio.run(held.admit(by or issuer(), once, ends))


def test_a_token_is_taken_once(tmp_path: Path) -> None:
    at = door(tmp_path)
    token = sign()
    assert at.admit(token).issuer == EHR
    assert at.refused(token).reason.startswith("replayed ")
    assert at.admit(sign()).issuer == EHR


def test_the_same_id_signed_again_with_other_times_is_a_replay(tmp_path: Path) -> None:
    at = door(tmp_path)
    at.admit(sign(claims(jti="one")))
    assert at.refused(sign(claims(time.time() - 5, jti="one"))).reason.startswith("replayed ")


def test_two_issuers_may_use_one_id(tmp_path: Path) -> None:
    held = CallBook(tmp_path, 100)
    assert one_call(held, "one").new
    assert one_call(held, "one", issuer(issuer="https://other.example")).new
    assert not one_call(held, "one").new


def test_a_refused_token_is_not_used_up(tmp_path: Path) -> None:
    at, stated = door(tmp_path), claims()
    assert at.refused(sign(stated), "/grade").reason.startswith("audience-wrong")
    assert at.admit(sign(stated)).issuer == EHR


def test_a_worker_that_comes_later_knows_what_was_used(tmp_path: Path) -> None:
    token = sign()
    first = door(tmp_path)
    first.admit(token)
    first.keeper.book.close()
    assert door(tmp_path).refused(token).reason.startswith("replayed ")


TRY = """
import asyncio, json, sys
from pathlib import Path
from serving.trust.book import CallBook
from tests.serving.trust.issuing import issuer
held = CallBook(Path(sys.argv[1]), 10_000)
async def calls():
    by = issuer(calls_per_minute=1_000_000, burst=1_000_000)
    print("ready", flush=True)
    sys.stdin.readline()
    return [place for place in range(200) if (await held.admit(by, str(place), 4e9)).new]
print(json.dumps(asyncio.run(calls())))
"""


def test_of_workers_that_are_handed_the_same_tokens_at_once_exactly_one_takes_each(tmp_path: Path) -> None:
    CallBook(tmp_path, 10_000).begin_anew()
    command = [sys.executable, "-c", TRY, str(tmp_path)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)
    ]
    for one in workers:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in workers:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    taken = [json.loads(one.communicate(timeout=60)[0]) for one in workers]
    assert sorted(taken[0] + taken[1]) == list(range(200))


def test_what_has_ended_is_forgotten_and_the_rest_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "SWEEP_CALLS", 1)
    held = CallBook(tmp_path, 100)
    assert one_call(held, "ended", ends=time.time() - 1).new
    assert one_call(held, "going on").new
    assert one_call(held, "ended").new
    assert not one_call(held, "going on").new
    with sqlite3.connect(held.path) as database:
        assert database.execute("SELECT count(*) FROM used").fetchone() == (2,)


def test_a_full_store_takes_no_token_rather_than_one_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "SWEEP_CALLS", 1)
    at = door(tmp_path, trust(tokens=Tokens(most_remembered=100)))
    for place in range(100):
        asyncio.run(at.keeper.book.admit(issuer(calls_per_minute=10_000, burst=1000), str(place), FAR))
    error = at.refused(sign())
    assert (error.http_status, error.reason) == (503, f"calls-not-counted FullError iss={EHR}")
    assert error.headers == ((b"retry-after", b"5"),)
    with pytest.raises(FullError):
        one_call(at.keeper.book, "more")
    assert one_call(at.keeper.book).new


def test_a_store_that_cannot_be_used_takes_no_token(tmp_path: Path) -> None:
    (tmp_path / "calls.db").write_bytes(b"not a database" * 100)
    error = door(tmp_path).refused(sign())
    assert (error.http_status, error.reason) == (503, f"calls-not-counted DatabaseError iss={EHR}")


def test_the_store_holds_no_id_of_a_token(tmp_path: Path) -> None:
    at = door(tmp_path)
    at.admit(sign(claims(jti="CANARY-4711")))
    at.keeper.book.close()
    assert not any(b"CANARY" in path.read_bytes() for path in tmp_path.iterdir())


def test_an_access_token_serves_many_calls(tmp_path: Path) -> None:
    at = door(tmp_path, trust(issuer(kind="oauth2")))
    token = sign(claims(aud="https://crs.hospital.example"), header(typ="at+jwt"))
    assert at.admit(token) == at.admit(token)


def test_an_issuer_may_call_a_burst_and_then_at_its_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("serving.trust.book.time.monotonic", lambda: now)
    held, by = CallBook(tmp_path, 100), issuer(calls_per_minute=60, burst=3)
    assert [one_call(held, by=by).wait for _ in range(3)] == [0, 0, 0]
    assert one_call(held, by=by).wait == pytest.approx(1.0)
    now += 0.75
    assert one_call(held, by=by).wait == pytest.approx(0.25)
    now += 0.25
    assert one_call(held, by=by).wait == 0
    assert one_call(held, by=by).wait > 0
    now += 1000
    assert [one_call(held, by=by).wait > 0 for _ in range(4)] == [False, False, False, True]


def test_one_issuer_does_not_slow_another(tmp_path: Path) -> None:
    held = CallBook(tmp_path, 100)
    busy, other = (issuer(issuer=name, calls_per_minute=1, burst=1) for name in ("https://a.example", EHR))
    assert one_call(held, by=busy).wait == 0
    assert one_call(held, by=busy).wait > 50
    assert one_call(held, by=other).wait == 0


def test_too_many_calls_are_answered_429_with_the_seconds_to_wait_and_use_no_token_up(tmp_path: Path) -> None:
    at = door(tmp_path, trust(issuer(calls_per_minute=1, burst=1)))
    at.admit(sign())
    token = sign()
    error = at.refused(token)
    assert (error.http_status, error.code) == (429, "too-many-calls")
    assert error.headers in (((b"retry-after", b"60"),), ((b"retry-after", b"59"),))
    at.keeper.book.begin_anew()
    assert at.admit(token).issuer == EHR


def test_a_caller_without_a_key_cannot_use_up_an_issuers_calls(tmp_path: Path) -> None:
    at = door(tmp_path, trust(issuer(calls_per_minute=1, burst=1)))
    for _ in range(5):
        assert at.refused(sign(by=key(name="other"))).reason.startswith("signature-wrong")
    assert at.admit(sign()).issuer == EHR
