"""A service starts only by settings that are understood, and without sign-in only for its own machine."""

import http.client
import json
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import crs
from features.errors import StoreError, UsageError
from features.home import Home
from serving import announce
from serving.trust import start
from serving.trust.tls import Certificate
from serving.trust.told import told
from tests.serving.builders import EXAMPLE, ROOT, free_port
from tests.serving.trust.certificates import certificate
from tests.serving.trust.issuing import EHR, claims, issuer, key, sign, trust
from tests.serving.trust.served import trusting_home
from tests.serving.trust.test_keys import serving as keys_served

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a start leaves for its workers is taken back after a test."""
    for name in ("CRS_RISK_TRUST", "CRS_RISK_TLS_CERT", "CRS_RISK_TLS_KEY", "CRS_RISK_HOME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def command(home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "CRS_RISK_HOME": str(home)}
    line = [sys.executable, str(ROOT / "crs.py"), *words]
    return subprocess.run(line, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=60)


@pytest.mark.parametrize("words", [("serve",), ("demo",)])
def test_without_issuers_nothing_but_loopback_is_served_and_one_line_says_so(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = command(tmp_path / "home", *words, "--host", "0.0.0.0", "--port", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("crs: --host: without issuers in trust.toml nobody signs in")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "home").exists()


def test_a_misspelt_key_is_one_line_before_the_socket_opens(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("isuers = []")
    done = command(tmp_path, "serve", "--port", "0", "--trust", str(tmp_path / "other.toml"))
    assert (done.returncode, done.stderr) == (2, "crs: other.toml: unknown setting isuers; see docs/trust.md\n")


def test_a_file_that_is_named_and_not_there_does_not_start_development_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"none\.toml"):
        start.settle(Home(tmp_path), "127.0.0.1", tmp_path / "none.toml")
    monkeypatch.setenv("CRS_RISK_TRUST", str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match=r"none\.toml"):
        start.settle(Home(tmp_path), "127.0.0.1")


def test_the_settings_can_be_checked_without_a_start(tmp_path: Path) -> None:
    home = trusting_home(tmp_path)
    done = command(home.folder, "trust", "check")
    assert done.returncode == 0, done.stderr
    assert f"issuer {EHR} (cds-hooks, 6000 calls per minute)" in done.stdout
    assert "  keys from settings: P-384-first\n" in done.stdout
    assert not home.calls.exists()


def test_a_check_tries_every_address_of_keys() -> None:
    with keys_served() as there:
        nowhere = there.address.replace("jwks.json", "none.json")
        there.answer_at("/none.json", lambda call: call.send_error(404))
        lines, complete = told(trust(issuer(keys=(), jku=(there.address, nowhere))))
    assert not complete
    assert f"  keys from {there.address}: {key().kid}" in lines
    assert f"  keys from {nowhere}: could not be read" in lines


def test_with_issuers_any_address_may_be_served(tmp_path: Path) -> None:
    home = trusting_home(tmp_path)
    assert next(one.issuer for one in start.settle(home, "0.0.0.0").issuers) == EHR
    assert os.environ["CRS_RISK_TRUST"] == str(home.trust)


def test_a_book_of_calls_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    home = trusting_home(tmp_path)
    home.calls.mkdir()
    (home.calls / "calls.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"calls\.db: it cannot be used"):
        start.prepare(home, start.settle(home, "127.0.0.1"))


def test_the_announcement_says_whether_anybody_signs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CRS_RISK_HOME", str(tmp_path))
    announce.address("http://127.0.0.1:3000")
    assert "Development mode: nobody signs in" in capsys.readouterr().out
    monkeypatch.setenv("CRS_RISK_HOME", str(trusting_home(tmp_path).folder))
    announce.address("http://127.0.0.1:3000")
    told = capsys.readouterr().out
    assert "Development mode" not in told
    assert "Authorization: Bearer $TOKEN" in told


def test_it_speaks_tls_itself_where_it_is_given_a_certificate(tmp_path: Path) -> None:
    home, made, port = trusting_home(tmp_path), certificate(tmp_path), free_port()
    words = ["serve", "--port", str(port), "--tls-cert", str(made.chain), "--tls-key", str(made.key)]
    environment = {**os.environ, "CRS_RISK_HOME": str(home.folder)}
    line = [sys.executable, "-u", str(ROOT / "crs.py"), *words]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            while "CRS Risk answers at" not in (told := process.stdout.readline()):
                assert told
            assert f"https://127.0.0.1:{port}" in told
            assert asked_by_tls(port, made) == (200, "evaluated")
        finally:
            process.terminate()


def asked_by_tls(port: int, made: Certificate) -> tuple[int, Any]:
    context = ssl.create_default_context(cafile=str(made.chain))
    line = http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {sign(claims())}"}
    line.request("POST", "/predict", json.dumps(EXAMPLE), headers)
    with line.getresponse() as reply:
        found = reply.status, json.load(reply)["status"]
    line.close()
    return found


def test_files_for_tls_that_cannot_be_used_are_one_line_at_once(tmp_path: Path) -> None:
    locked = certificate(tmp_path, password=b"secret")
    other = tmp_path / "other"
    other.mkdir()
    another = certificate(other)
    pairs = [(locked.chain, None), (locked.chain, locked.key), (locked.chain, another.key), (tmp_path, tmp_path)]
    for chain, secret in pairs:
        with pytest.raises(UsageError, match="--tls-cert, --tls-key") as caught:
            Certificate.of(chain, secret)
        assert "\n" not in str(caught.value)
    assert Certificate.of(None, None) is None
    assert another.context().minimum_version == ssl.TLSVersion.TLSv1_2
    done = CliRunner().invoke(crs.app, ["serve", "--tls-cert", str(locked.chain)])
    assert isinstance(done.exception, UsageError)
