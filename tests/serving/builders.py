"""Small bundles and homes for the service's tests. The boosters are trained on random numbers: they mean nothing."""

import asyncio
import functools
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from audit import manifest
from audit.events import Entry, Kind, Receipt
from audit.ledger import open_ledger
from features import bundle, catalogue, pooling, spec
from features.bundle import Bundle
from features.home import BUNDLE_FOLDER, MODEL_NAME, Home, Live, write_live
from features.interval import IntervalTable
from features.policy import Policy, Thresholds
from features.predict import Predictor, answers
from features.single import CourseInput, Observed
from serving.answerer import Answerer
from serving.intake import Intake
from serving.recorded import Asked, Recorder
from tests.builders import both, wide_ends

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = json.loads((ROOT / "serving" / "example_request.json").read_text())
GOLDEN_COURSES = [
    CourseInput("axicabtagene-ciloleucel", "dlbcl", 86_400, numbers={"age_years": 61.0}),
    CourseInput("teclistamab", "mm", 0, observations=(Observed("crp", -3600, 12.0),)),
]
TRAINED = ("crs_2plus",)
TRAINED_ON = {"name": "random", "courses": 200, "synthetic": True, "grading": {"crs_grade": "ASTCT-2019"}}


def example(**changes: Any) -> dict[str, Any]:
    """A fresh copy of the example request, with some top-level fields replaced."""
    return {**json.loads(json.dumps(EXAMPLE)), **changes}


def with_course(**changes: Any) -> dict[str, Any]:
    """The example request with some fields of the course replaced."""
    body = example()
    return {**body, "course": {**body["course"], **changes}}


@functools.cache
def prior_bundle() -> Bundle:
    """Published rates alone."""
    policy = Policy("Adults, for tests only.", {}, (), (), 18.0, 100.0)
    loaded = catalogue.load()
    return _with_golden(
        Bundle(spec.full(loaded), pooling.pool(loaded), {}, {}, {}, policy, {"courses": []}, {}, {"name": "t"})
    )


@functools.cache
def trained_bundle(seed: int = 7) -> Bundle:
    """One outcome with a tiny booster on random rows and random labels, of that seed."""
    held = prior_bundle()
    policy = replace(
        held.policy,
        thresholds={key: Thresholds(0.1, 0.4, 0.9, 20.0, 0.4, 0.95, 30.0, 0.9, 0.2) for key in TRAINED},
        therapies=("axicabtagene-ciloleucel",),
    )
    return _with_golden(
        replace(
            held,
            boosters={key: _random_booster(held.spec.names, seed) for key in TRAINED},
            calibration={key: both(early_slope=1.0, late_slope=1.0) for key in TRAINED},
            intervals={key: IntervalTable(-6.0, 0.5, *wide_ends()) for key in TRAINED},
            policy=policy,
            about={"name": "t", "trained_on": dict(TRAINED_ON)},
        )
    )


def fitted_without_trees(*outcomes: str) -> Bundle:
    """Outcomes (TRAINED if none are named) whose calibration was moved by data, and no tree anywhere."""
    moved = {key: both(intercept=-0.2) for key in outcomes or TRAINED}
    policy = trained_bundle().policy
    return replace(prior_bundle(), calibration=moved, policy=policy, about=trained_bundle().about)


def _random_booster(names: tuple[str, ...], seed: int) -> bytes:
    random = np.random.default_rng(seed)
    rows = random.normal(50.0, 30.0, (200, len(names))).astype(np.float32)
    data = xgboost.DMatrix(rows, random.integers(0, 2, 200), feature_names=list(names))
    settings = {"objective": "binary:logistic", "base_score": 0.5, "max_depth": 3, "nthread": 1, "seed": seed}
    return bytes(xgboost.train(settings, data, 20).save_raw("ubj"))


def _with_golden(held: Bundle) -> Bundle:
    found = answers(Predictor(held, catalogue.load()), GOLDEN_COURSES)
    records = [{"input": one.to_json(), "answer": answer} for one, answer in zip(GOLDEN_COURSES, found, strict=True)]
    return replace(held, golden={"courses": records})


def promote(home: Home, held: Bundle, version: str = "1") -> Path:
    """Register a bundle, put it into the home's model store and make it live; returns the bundle's folder."""
    from bentoml._internal.models.model import ModelStore
    from bentoml.models import create

    (home.bentoml / "models").mkdir(parents=True, exist_ok=True)
    with create(MODEL_NAME, _model_store=ModelStore(str(home.bentoml / "models"))) as model:
        digest = bundle.write(held, Path(model.path) / BUNDLE_FOLDER)
    with open_ledger(home) as ledger:
        manifest.register(ledger, version, held, "first")
    make_live(home, Live(str(model.tag), digest, version))
    return home.bentoml / "models" / MODEL_NAME / str(model.tag.version) / BUNDLE_FOLDER


def make_live(home: Home, live: Live) -> None:
    """Name a bundle as live as a promotion does: in the ledger, then in live.json."""
    body = {"version": live.version, "digest": live.digest, "tag": live.tag, "previous": "", "reason": "test"}
    with open_ledger(home) as ledger:
        ledger.append(Kind.MODEL_ACTIVATED, {**body, "verdict_sequence": 0, "approvals": []})
    write_live(home, live)


class Loops:
    """Answers an event loop as it answers threads."""

    def append_all(self, entries: Sequence[Entry]) -> list[Receipt]:
        raise NotImplementedError

    async def ask(self, entries: Sequence[Entry], behind: int = 0) -> list[Receipt]:
        assert behind >= 0
        return self.append_all(entries)


def told(recorder: Recorder, asked: Asked, intake: Intake, by: Answerer) -> bytes:
    """The answer to one course as it leaves, its record on the disk."""

    async def leave() -> bytes:
        return await recorder.answer(asked, intake, by).told()

    return asyncio.run(leave())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """A real server in a process of its own, with everything it prints in one file."""

    home: Home
    port: int
    log: Path
    process: "subprocess.Popen[bytes]"

    @classmethod
    def start(cls, home: Home, folder: Path, workers: int = 1, port: int = 0) -> "Server":
        """port: 0 for any that is free."""
        port, log = port or free_port(), folder / "server.log"
        code = (
            "import sys; from pathlib import Path\n"
            "from features.errors import CrsRiskError\n"
            "from features.home import Home\n"
            "from serving.run import serve\n"
            "try:\n"
            "    serve(Home(Path(sys.argv[1])), '127.0.0.1', int(sys.argv[2]), int(sys.argv[3]), print)\n"
            "except CrsRiskError as error:\n"
            "    print(error, file=sys.stderr)\n"
            "    sys.exit(error.exit_code)\n"
        )
        command = [sys.executable, "-c", code, str(home.folder), str(port), str(workers)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        with log.open("wb") as file:
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=folder, env=environment)
        return cls(home, port, log, process)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def printed(self) -> str:
        return self.log.read_text(errors="replace")

    def prints(self, text: str, seconds: float = 10.0) -> bool:
        """Whether a text is in what it printed, or comes: a line is written after the answer that it tells of."""
        until = time.monotonic() + seconds
        while text not in self.printed and time.monotonic() < until:
            time.sleep(0.02)
        return text in self.printed

    def wait_until_ready(self, seconds: float = 60.0) -> "Server":
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if self.call("GET", "/readyz").status == 200:
                    return self
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"the server is not ready: {self.printed}")

    def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        shown = {"Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=shown)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Reply(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as answer:
            with answer:
                return Reply(answer.code, dict(answer.headers), answer.read())

    def predict(self, body: Any) -> Reply:
        return self.call("POST", "/predict", body)

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        return [int(text) for text in found.stdout.split()]

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(60)
