"""A worker that is started again goes by the settings that its service started with, or the ledger says otherwise."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from audit.events import Kind, Record
from audit.ledger import open_ledger
from features.concepts import HEADER
from features.errors import StoreError
from features.home import Home, Live, read_live
from features.shadow import write_shadow
from serving import configured
from serving.own_codes import known
from serving.trust import reading
from tests.serving.builders import EXAMPLE, Server, prior_bundle, promote, trained_bundle
from tests.serving.test_start import wait_until

BEFORE, AFTER = b"[limits]\ndepth = 30\n", b"[limits]\ndepth = 31\n"
CODES = f"{','.join(HEADER)}\nanalyte,crp,local,OWN-CRP,,,\n".encode()


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


# What is compared


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    configured.shadow_of.cache_clear()
    known.cache_clear()
    yield Home(tmp_path)
    known.cache_clear()


def changes(home: Home, environment: dict[str, str]) -> list[dict[str, Any]]:
    """What a worker that reads its settings now has to record."""
    settings, content = reading.held(reading.named(home, environment))
    return [dict(one.body) for one in configured.changes(environment, settings, content)]


def test_the_start_notes_the_digest_of_each_file_that_it_goes_by(home: Home) -> None:
    assert configured.at_start(home, {}) == {"trust": "", "codes": "", "shadow": ""}
    text = BEFORE + b'[codes]\nfile = "codes.csv"\n'
    home.trust.write_bytes(text)
    (home.folder / "codes.csv").write_bytes(CODES)
    write_shadow(home, Live("t:1", "d" * 64, "3"))
    assert configured.at_start(home, {}) == {"trust": digest(text), "codes": digest(CODES), "shadow": "d" * 64}
    home.shadow.write_text("{")
    assert configured.at_start(home, {})["shadow"] == "unreadable"


def test_a_worker_that_reads_the_same_has_nothing_to_record(home: Home) -> None:
    home.trust.write_bytes(BEFORE)
    write_shadow(home, Live("t:1", "d" * 64, "3"))
    environment = {"CRS_RISK_HOME": str(home.folder), **configured.told(configured.at_start(home, {}))}
    assert changes(home, environment) == []
    assert changes(home, {"CRS_RISK_HOME": str(home.folder)}) == []  # no worker of a service


def test_a_worker_records_what_it_reads_otherwise_by_the_old_and_the_new_digest(home: Home) -> None:
    environment = {"CRS_RISK_HOME": str(home.folder), **configured.told(configured.at_start(home, {}))}
    text = AFTER + b'[codes]\nfile = "codes.csv"\n'
    home.trust.write_bytes(text)
    (home.folder / "codes.csv").write_bytes(CODES)
    write_shadow(home, Live("t:1", "d" * 64, "3"))
    changed = {
        "trust": {"old": "", "new": digest(text)},
        "codes": {"old": "", "new": digest(CODES)},
        "shadow": {"old": "", "new": "d" * 64},
    }
    assert changes(home, environment) == [{"what": "worker", "changed": changed}]


def test_a_worker_goes_by_the_shadow_that_it_compared(home: Home) -> None:
    """Named anew between the look and the use, it would be scored without a word."""
    environment = {"CRS_RISK_HOME": str(home.folder), **configured.told(configured.at_start(home, {}))}
    assert changes(home, environment) == []
    write_shadow(home, Live("t:1", "d" * 64, "3"))
    assert configured.shadow_of(home) is None


def test_settings_that_no_service_noted_are_refused_in_one_line(home: Home) -> None:
    with pytest.raises(StoreError, match="it names no settings; leave it to crs serve"):
        changes(home, {"CRS_RISK_HOME": str(home.folder), configured.VARIABLE: "{"})


def test_the_digest_of_the_settings_is_that_of_the_bytes_they_were_read_from(tmp_path: Path) -> None:
    (tmp_path / "trust.toml").write_bytes(AFTER)
    settings, content = reading.held(tmp_path / "trust.toml")
    assert (settings.limits.depth, content) == (31, digest(AFTER))


# A real service


@dataclass
class Running:
    server: Server
    challenger: Live

    @property
    def home(self) -> Home:
        return self.server.home

    def restart_its_worker(self) -> None:
        (before,) = self.server.workers()
        os.kill(before, signal.SIGKILL)
        assert wait_until(lambda: self.server.workers() not in ([before], []))
        self.server.wait_until_ready()

    def configured(self) -> list[Record]:
        with open_ledger(self.home, writes=False) as ledger:
            return list(ledger.records(Kind.CONFIG_CHANGED))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    home = Home(tmp_path / "home")
    promote(home, trained_bundle(), "2")
    challenger = read_live(home)
    promote(home, prior_bundle(), "1")
    home.trust.write_bytes(BEFORE)
    server = Server.start(home, tmp_path).wait_until_ready()
    try:
        yield Running(server, challenger)
    finally:
        if server.process.poll() is None:
            server.stop()


@pytest.mark.slow
def test_a_worker_started_again_on_other_settings_records_them_before_it_answers(running: Running) -> None:
    running.restart_its_worker()
    (started,) = running.configured()
    assert (started.body["trust"], started.body["shadow"]) == (digest(BEFORE), "")
    running.home.trust.write_bytes(AFTER)
    write_shadow(running.home, running.challenger)
    running.restart_its_worker()
    receipt = running.server.predict(EXAMPLE).json["record"]
    _, changed = running.configured()
    assert changed.body == {
        "what": "worker",
        "changed": {
            "trust": {"old": digest(BEFORE), "new": digest(AFTER)},
            "shadow": {"old": "", "new": running.challenger.digest},
        },
    }
    assert changed.sequence < receipt["sequence"]


@pytest.mark.slow
def test_a_worker_that_cannot_record_its_other_settings_does_not_answer_and_ends_the_service(
    running: Running,
) -> None:
    running.home.trust.write_bytes(AFTER)
    other = sqlite3.connect(running.home.ledger / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        (before,) = running.server.workers()
        os.kill(before, signal.SIGKILL)
        assert running.server.process.wait(60) == 7
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert running.server.prints("ledger: ")
    assert len(running.configured()) == 1
