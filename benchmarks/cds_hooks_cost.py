"""What a patient-view costs: signed, with 50 observations along, answered and recorded; beside POST /predict and a bare
BentoML echo of the same body, in one run over HTTP, call by call in turn.
"""

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from features.home import Home
from tests.contract.cds_hooks.ehr import call, prefetch
from tests.serving import fhir_builders as fhir
from tests.serving.builders import EXAMPLE, Server, free_port, promote
from tests.serving.learned import banded, learned_bundle
from tests.serving.trust.issuing import BASE, claims, key, public, sign
from tests.serving.trust.served import SETTINGS

CALLS = 300
WARM = 20
OBSERVATIONS = 50
VIEW = "/cds-services/crs-risk-patient-view"
ECHO = """
import sys
import bentoml, uvicorn

@bentoml.service(name="echo", logging={"access": {"enabled": False}})
class Echo:
    @bentoml.api
    def echo(self, body: dict) -> dict:
        return body

uvicorn.run(Echo.to_asgi(is_main=True), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
"""


def view() -> dict[str, Any]:
    """The stand-in patient on the day after the infusion, with exactly so many laboratory values."""
    held = prefetch(1)
    first = held["labs"]["entry"][0]["resource"]
    while len(held["labs"]["entry"]) < OBSERVATIONS:
        name = f"more{len(held['labs']['entry'])}"
        again = {**first, "id": name, "valueQuantity": {**first["valueQuantity"], "value": 30.0}}
        held["labs"]["entry"].append({"fullUrl": f"http://ehr/Observation/{name}", "resource": again})
    return call(prefetch={**held, "labs": fhir.bundle(*(one["resource"] for one in held["labs"]["entry"]))})


@contextmanager
def service(folder: Path) -> Iterator[int]:
    home = Home(folder / "home")
    promote(home, banded(learned_bundle(), "crs_1plus", 0.01, 0.99))
    (home.folder / "ehr.json").write_text(json.dumps(public(key())))
    (home.folder / "login.json").write_text(json.dumps(public(key(name="login"))))
    home.trust.write_text(SETTINGS)
    started = Server.start(home, folder)
    try:
        yield started.wait_until_ready(180).port
    finally:
        started.stop()


@contextmanager
def echo() -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", ECHO, str(port)], stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(60)


def caller(port: int, path: str, body: Any, signed: bool) -> Callable[[], float]:
    """One call on a kept connection: the milliseconds it took. The token is made before the clock starts."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    content = json.dumps(body).encode()

    def ask() -> float:
        headers = {"Content-Type": "application/json"}
        if signed:
            headers["Authorization"] = f"Bearer {sign(claims(aud=BASE + path))}"
        began = time.perf_counter()
        connection.request("POST", path, content, headers)
        answer = connection.getresponse()
        answer.read()
        spent = (time.perf_counter() - began) * 1e3
        if answer.status != 200:
            raise SystemExit(f"{path} answered {answer.status}")
        return spent

    return ask


def ready(port: int) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the echo did not start")


def main() -> None:
    with tempfile.TemporaryDirectory() as name, service(Path(name)) as port, echo() as other:
        ready(other)
        asked = {
            "bare BentoML echo of the same body": caller(other, "/echo", {"body": view()}, signed=False),
            "POST /predict, signed, recorded": caller(port, "/predict", EXAMPLE, signed=True),
            "patient-view of 50 results, signed, recorded": caller(port, VIEW, view(), signed=True),
        }
        for ask in asked.values():
            for _ in range(WARM):
                ask()
        times: dict[str, list[float]] = {told: [] for told in asked}
        for _ in range(CALLS):
            for told, ask in asked.items():
                times[told].append(ask())
    print(f"{CALLS} calls each, in turn, milliseconds")
    for told, held in times.items():
        print(f"{told:<46} p50 {statistics.median(held):6.1f}   p99 {statistics.quantiles(held, n=100)[-1]:6.1f}")


if __name__ == "__main__":
    main()
