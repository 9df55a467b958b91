"""A server starts only on the bundle that was promoted, ends when it cannot be trusted, and leaves nothing behind."""

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit import history
from audit.events import Kind
from audit.ledger import open_ledger
from features import bundle
from features.errors import BundleError, LedgerError, StoreError, UsageError
from features.home import MODEL_NAME, Home, Live, read_live, write_live
from serving import run
from serving.started import VARIABLE, told
from serving.store import open_live, open_served
from tests.serving.builders import EXAMPLE, Server, make_live, prior_bundle, promote, trained_bundle

pytestmark = pytest.mark.slow


def flip(path: Path) -> None:
    """Change one bit of one byte in the middle."""
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


@dataclass
class Place:
    home: Home
    bundle: Path
    folder: Path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    home = Home(tmp_path / "home")
    return Place(home, promote(home, prior_bundle()), tmp_path)


@pytest.fixture
def start(place: Place) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def begin(workers: int = 1) -> Server:
        started.append(Server.start(place.home, place.folder, workers))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait(60)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def flip_booster_or_spec(place: Place) -> None:
    flip(place.bundle / "spec.json")


def cut_manifest(place: Place) -> None:
    path = place.bundle / "manifest.json"
    path.write_bytes(path.read_bytes()[:-5])


def swap_golden_answer(place: Place) -> None:
    """A bundle that is whole by its digests but answers otherwise than was recorded."""
    shutil.rmtree(place.bundle.parent)
    held = prior_bundle()
    records = [dict(one) for one in held.golden["courses"]]
    records[0]["answer"] = records[1]["answer"]
    promote(place.home, replace(held, golden={"courses": records}))


def promise_another_digest(place: Place) -> None:
    live = read_live(place.home)
    make_live(place.home, Live(live.tag, "0" * 64, live.version))


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (flip_booster_or_spec, "spec.json"),
        (cut_manifest, "manifest.json"),
        (swap_golden_answer, "golden.json"),
        (promise_another_digest, "manifest.json"),
    ],
)
def test_a_bundle_that_is_not_as_promoted_is_not_opened(
    place: Place, spoil: Callable[[Place], None], named: str
) -> None:
    spoil(place)
    with pytest.raises(BundleError) as caught:
        open_live(place.home)
    assert caught.value.exit_code == 4
    assert caught.value.place == named
    assert "\n" not in str(caught.value)


def test_a_live_name_that_the_ledger_does_not_know_is_not_opened(place: Place) -> None:
    """Written by hand, it would pass every check of its bytes: it did not come through the gate."""
    live = read_live(place.home)
    other = promote(Home(place.folder / "elsewhere"), trained_bundle())
    shutil.copytree(other.parent, place.bundle.parent.parent / other.parent.name)
    digest = bundle.read(other).digest
    write_live(place.home, Live(f"{MODEL_NAME}:{other.parent.name}", digest, "2"))
    with pytest.raises(StoreError, match="the ledger's latest activation does not name this bundle") as caught:
        open_live(place.home)
    assert "crs promote --version 1 finishes it" in str(caught.value)
    write_live(place.home, live)
    assert open_live(place.home).predictor.digest == live.digest


def test_a_live_name_without_any_ledger_is_not_opened(place: Place) -> None:
    shutil.rmtree(place.home.ledger)
    with pytest.raises(LedgerError, match="there is none in this home yet"):
        open_live(place.home)


def test_nothing_promoted_is_said_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no model is promoted yet"):
        open_live(Home(tmp_path))


def test_a_promoted_model_that_left_the_store_is_said(place: Place) -> None:
    shutil.rmtree(place.bundle.parent)
    with pytest.raises(StoreError, match="promote the version again"):
        open_live(place.home)


def test_a_flipped_byte_ends_the_start_with_one_line_before_the_socket_opens(
    place: Place, start: Callable[..., Server]
) -> None:
    flip(place.bundle / "calibration.json")
    server = start()
    while server.process.poll() is None:
        with pytest.raises(OSError, match=r"refused"):
            socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
        time.sleep(0.05)
    assert server.process.returncode == 4
    assert server.printed.splitlines() == [
        "calibration.json: the bytes do not match the manifest's SHA-256; restore the bundle"
    ]


def test_a_bundle_spoilt_after_the_start_ends_the_server_when_a_worker_must_load_it_again(
    place: Place, start: Callable[..., Server]
) -> None:
    server = start(2).wait_until_ready()
    workers = server.workers()
    assert len(workers) == 2
    flip(place.bundle / "spec.json")
    os.kill(workers[0], signal.SIGKILL)
    assert server.process.wait(60) == 4
    errors = [line for line in server.printed.splitlines() if "spec.json" in line]
    assert errors == ["spec.json: the bytes do not match the manifest's SHA-256; restore the bundle"]
    assert "Traceback" not in server.printed
    assert wait_until(lambda: not any(map(alive, workers)))


def test_a_worker_that_dies_is_replaced(start: Callable[..., Server]) -> None:
    server = start().wait_until_ready()
    (before,) = server.workers()
    os.kill(before, signal.SIGKILL)
    assert wait_until(lambda: server.workers() not in ([before], []))
    assert server.predict(EXAMPLE).status == 200
    assert server.process.poll() is None


def served(server: Server, calls: int = 20) -> set[str]:
    """The versions that answer; of two workers either is asked."""
    return {str(server.predict(EXAMPLE).json["model"]["version"]) for _ in range(calls)}


def test_a_worker_that_dies_after_a_promotion_is_replaced_by_one_with_the_version_that_the_service_started_with(
    place: Place, start: Callable[..., Server]
) -> None:
    """One start on record, so one version answers until the next one, from each of the workers."""
    server = start(2).wait_until_ready()
    promote(place.home, trained_bundle(), "2")
    before = server.workers()
    for one in before:
        os.kill(one, signal.SIGKILL)
        assert wait_until(lambda one=one: len(server.workers()) == 2 and one not in server.workers())  # type: ignore[misc]
    server.wait_until_ready()
    assert served(server) == {"1"}
    with open_ledger(place.home, writes=False) as ledger:
        told_by = history.served_at(ledger, datetime.now(UTC))
        answered = {str(one.body["bundle"]) for one in ledger.records(Kind.PREDICTION)}
        assert len(list(ledger.records(Kind.SERVICE_STARTED))) == 1
    assert answered == {told_by} == {prior_bundle().digest}
    assert server.stop() == 0
    with open_ledger(place.home, writes=False) as ledger:
        stopped = ledger.last(Kind.SERVICE_STOPPED)
    assert stopped is not None
    assert stopped.body["digest"] == prior_bundle().digest
    assert served(start().wait_until_ready(), 1) == {"2"}


def test_a_worker_opens_the_bundle_that_its_service_started_with_and_says_where_it_left_the_store(
    place: Place,
) -> None:
    began = read_live(place.home)
    promote(place.home, trained_bundle(), "2")
    environment = {"CRS_RISK_HOME": str(place.home.folder)}
    assert open_served(environment).predictor.digest == trained_bundle().digest
    assert open_served({**environment, **told(began)}).predictor.digest == prior_bundle().digest
    shutil.rmtree(place.bundle.parent)
    with pytest.raises(StoreError) as caught:
        open_served({**environment, **told(began)})
    assert str(caught.value) == (
        "model store: version 1, which this service was started with, is not there any more; start the service again"
    )


def test_a_name_that_no_service_gave_is_refused_in_one_line(place: Place) -> None:
    with pytest.raises(StoreError, match="it names no bundle"):
        open_served({"CRS_RISK_HOME": str(place.home.folder), VARIABLE: '{"version": "1"}'})


def test_sigterm_ends_everything_with_success(start: Callable[..., Server]) -> None:
    server = start(2).wait_until_ready()
    workers = server.workers()
    assert len(workers) == 2
    assert server.stop() == 0
    assert not any(map(alive, workers))
    with pytest.raises(OSError, match=r"refused"):
        socket.create_connection(("127.0.0.1", server.port), timeout=1).close()


def test_workers_do_not_outlive_a_parent_that_was_killed(start: Callable[..., Server]) -> None:
    server = start(2).wait_until_ready()
    workers = server.workers()
    assert len(workers) == 2
    server.process.kill()
    server.process.wait(10)
    assert wait_until(lambda: not any(map(alive, workers)))


def test_a_port_that_is_taken_is_said_in_one_line(
    start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr("tests.serving.builders.free_port", lambda: taken.getsockname()[1])
        server = start()
        assert server.process.wait(60) == 2
    assert server.printed.strip().endswith("choose another port")
    assert len(server.printed.splitlines()) == 1


def test_an_address_in_use_is_said_before_any_long_work() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match="--host, --port"):
            run.check_address("127.0.0.1", port)
    run.check_address("127.0.0.1", port)
