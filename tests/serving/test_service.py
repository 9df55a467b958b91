"""The service as it runs: a real server in a process of its own, BentoML's own client, and every line it prints."""

import http.client
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from features.home import Home
from features.predict import Predictor
from features.single import snapshots
from serving.decode import predict_request
from serving.intake import take
from tests.serving.builders import EXAMPLE, ROOT, Server, example, promote, trained_bundle, with_course

CANARY = "CANARY-4711"
#: A number that stands for a patient's value; none of our own figures contains it.
NUMBER = 31415.92653

pytestmark = pytest.mark.slow


def observation(**changes: Any) -> dict[str, Any]:
    return example(observations=[{"code": "crp", "value": 12.5, "unit": "mg/L", "hours": 1, **changes}])


def test_predict_answers_what_the_predictor_computes_bit_for_bit(server: Server, tables: Any) -> None:
    course = take(tables, predict_request(json.dumps(EXAMPLE).encode())).course
    expected = Predictor(trained_bundle(), tables).predict(snapshots(tables, [course])).probability[0]
    reply = server.predict(EXAMPLE)
    assert reply.status == 200
    got = [one["probability"] for one in reply.json["risks"][1:]]
    assert got == expected[1:].tolist()
    assert reply.json["risks"][0]["status"] == "reached"


def test_a_batch_is_answered_in_its_order(server: Server) -> None:
    bodies = [EXAMPLE, with_course(id="two", therapy="tisa-cel"), with_course(id="three", therapy="unheard-of")]
    answers = server.call("POST", "/predict_batch", {"requests": bodies}).json["answers"]
    assert [one["question"]["course"] for one in answers] == ["example-1", "two", "three"]
    assert [one["status"] for one in answers] == ["evaluated", "evaluated", "not_evaluated"]
    assert answers[0]["risks"] == server.predict(EXAMPLE).json["risks"]


def test_a_red_flag_sent_to_a_running_service_comes_back_as_a_caution_and_moves_no_risk(server: Server) -> None:
    reply = server.predict(example(symptoms=[{"symptom": "Seizure", "hours": 20}]))
    assert reply.status == 200
    assert "red-flag-symptom" in [one["code"] for one in reply.json["cautions"]]
    assert reply.json["risks"] == server.predict(EXAMPLE).json["risks"]


def test_bentomls_own_client_can_call_it(server: Server) -> None:
    code = (
        "import sys, json, bentoml\n"
        "body = json.load(open(sys.argv[2]))\n"
        "with bentoml.SyncHTTPClient(sys.argv[1]) as client:\n"
        "    one = client.predict(**body)\n"
        "    many = client.predict_batch(requests=[body])\n"
        "print(json.dumps([one['risks'], many['answers'][0]['risks']]))\n"
    )
    path = str(ROOT / "serving" / "example_request.json")
    done = subprocess.run([sys.executable, "-c", code, server.url, path], capture_output=True, text=True, check=True)
    expected = server.predict(EXAMPLE).json["risks"]
    assert json.loads(done.stdout.splitlines()[-1]) == [expected, expected]


def test_the_model_route_states_which_bundle_answers(server: Server) -> None:
    facts = server.call("GET", "/model").json
    assert facts["bundle"] == trained_bundle().digest
    assert facts["spec_fingerprint"] == trained_bundle().spec.fingerprint
    assert [one["basis"] for one in facts["outcomes"]].count("model") == 1


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/metrics", "/docs.json", "/schema.json"])
def test_bentomls_own_routes_answer(server: Server, path: str) -> None:
    assert server.call("GET", path).status == 200


def test_the_front_page_is_ours_and_loads_nothing_from_elsewhere(server: Server) -> None:
    reply = server.call("GET", "/")
    text = reply.body.decode()
    assert reply.headers["content-type"].startswith("text/html")
    assert "CRS Risk" in text
    assert "googletagmanager" not in text
    assert "<script" not in text
    assert "http" not in text
    assert server.call("GET", "/page.css").status == 200


BAD = [
    (b"", 400, "malformed-json"),
    (f'{{"course": {CANARY}'.encode(), 400, "malformed-json"),
    (f'"{CANARY}"'.encode(), 400, "wrong-type"),
    (with_course(age_years=CANARY), 400, "wrong-type"),
    (example(hours_since_start=CANARY), 400, "wrong-type"),
    (observation(value=CANARY), 400, "wrong-type"),
    (with_course(**{CANARY: 1}), 400, "unknown-field"),
    (with_course(mrn=CANARY), 400, "unknown-field"),
    ({"course": {"id": CANARY}, "hours_since_start": 0}, 400, "missing-field"),
    (with_course(id=CANARY * 40), 422, "length-not-accepted"),
    (observation(code=CANARY), 422, "code-unknown"),
    (observation(unit=CANARY), 422, "unit-not-accepted"),
    (observation(value=NUMBER), 422, "value-not-plausible"),
    (observation(value=-NUMBER), 422, "value-not-plausible"),
    (observation(value=float("nan")), 422, "value-not-finite"),
    (observation(value=float("inf")), 422, "value-not-finite"),
    (observation(comparator=CANARY), 422, "value-not-accepted"),
    (example(events=[{"event": CANARY, "hours": 1}]), 422, "code-unknown"),
    (example(events=[{"event": "crs_grade", "value": NUMBER, "hours": 1}]), 422, "value-not-plausible"),
    (with_course(sex=CANARY), 422, "value-not-accepted"),
    (with_course(therapy_class=CANARY), 422, "code-unknown"),
    (with_course(comorbidities={CANARY: True}), 422, "code-unknown"),
    (f'{{"{CANARY}":'.encode() + b"[" * 100_000, 400, "too-deep"),
    (b" " * (1 << 20) + CANARY.encode(), 413, "body-too-large"),
]


def test_no_value_of_a_refused_input_reaches_an_answer_or_a_log(server: Server) -> None:
    for body, status, code in BAD:
        reply = server.predict(body)
        assert (reply.status, reply.json["error"]["code"]) == (status, code)
        assert CANARY not in reply.body.decode()
        assert str(NUMBER) not in reply.body.decode()
    twice = server.call("POST", "/predict_batch", {"requests": [with_course(id=CANARY)] * 2})
    assert (twice.status, twice.json["error"]["code"]) == (422, "duplicate-course")
    pickled = server.call("POST", "/predict", CANARY.encode(), {"Content-Type": "application/vnd.bentoml+pickle"})
    assert pickled.status == 415
    assert server.call("GET", f"/{CANARY}").status == 404
    assert server.call("GET", f"/predict?course={CANARY}").status == 405
    assert server.call("POST", f"/predict?course={CANARY}", with_course(id=CANARY)).status == 200
    assert server.call("GET", "/livez").status == 200
    assert server.prints("POST /predict 422")
    everything = server.printed + server.call("GET", "/metrics").body.decode()
    everything += "".join(path.read_text(errors="replace") for path in server.log.parent.rglob("*.log"))
    assert CANARY not in everything
    assert str(NUMBER) not in everything
    assert "Traceback" not in everything


def test_a_body_of_twenty_megabytes_is_refused_and_the_service_goes_on(server: Server) -> None:
    for path in ("/predict", "/predict_batch"):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request(
            "POST", path, b'{"course": "' + b"x" * 20_000_000 + b'"}', {"Content-Type": "application/json"}
        )
        reply = connection.getresponse()
        assert (reply.status, json.loads(reply.read())["error"]["code"]) == (413, "body-too-large")
        connection.close()
    assert server.predict(EXAMPLE).status == 200


def test_a_body_without_a_stated_length_is_limited_too(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    parts = (b" " * 65_536 for _ in range(40))
    connection.request("POST", "/predict", parts, {"Content-Type": "application/json"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_an_observation_after_the_index_time_is_no_error_and_changes_nothing(server: Server) -> None:
    later = [{"code": "crp", "value": 500, "unit": "mg/L", "hours": 24.001}]
    reply = server.predict(example(observations=EXAMPLE["observations"] + later))
    assert reply.json["risks"] == server.predict(EXAMPLE).json["risks"]
    assert "observations-after-index" in [one["code"] for one in reply.json["cautions"]]


def test_answering_needs_neither_pandas_nor_mlflow() -> None:
    code = (
        "import sys\n"
        "sys.modules.update(pandas=None, mlflow=None)\n"
        "from pathlib import Path\n"
        "from features import catalogue\n"
        "from features.predict import Predictor\n"
        "from serving.answerer import Answerer\n"
        "from serving.front import checked\n"
        "from serving import service\n"
        "from tests.serving.builders import prior_bundle\n"
        "tables = catalogue.load()\n"
        "body = Path('serving/example_request.json').read_bytes()\n"
        "answers = Answerer(Predictor(prior_bundle(), tables), '1').answer(checked(tables, '/predict', body))\n"
        "print(answers[0].status, [name for name in sys.modules if name.split('.')[0] in ('pandas', 'mlflow')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split(" ", 1)[0] == "evaluated"
    assert done.stdout.split(" ", 1)[1].strip() in ("['pandas', 'mlflow']", "['mlflow', 'pandas']")


def test_a_failure_inside_bentoml_is_answered_as_ours_and_logged_without_its_text(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    promote(home, trained_bundle())
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from starlette.testclient import TestClient\n"
        "from serving import log\n"
        "from serving.answerer import Answerer\n"
        "from serving.service import application\n"
        "def fail(*_):\n"
        "    raise ValueError(sys.argv[1])\n"
        "log.configure()\n"
        "Answerer.answered = fail\n"
        "with TestClient(application()) as client:\n"
        "    reply = client.post('/predict', content=Path('serving/example_request.json').read_bytes())\n"
        "print(reply.status_code, reply.text)\n"
    )
    environment = {**os.environ, "CRS_RISK_HOME": str(home.folder)}
    command = [sys.executable, "-c", code, CANARY]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith('500 {"error":{"code":"internal-error"')
    assert CANARY not in done.stdout + done.stderr
    assert "ValueError at" in done.stderr


def test_in_development_mode_every_answer_says_so(server: Server) -> None:
    one = server.predict(EXAMPLE)
    many = server.call("POST", "/predict_batch", {"requests": [EXAMPLE]})
    unknown = server.predict({"course": {"id": "1", "therapy": "unheard-of"}, "hours_since_start": 0})
    for answer in (one.json, many.json["answers"][0], unknown.json):
        assert "development-mode" in [caution["code"] for caution in answer["cautions"]]
    told = [one, many, unknown, server.predict(b"{"), server.call("GET", "/model"), server.call("GET", "/nowhere")]
    assert {reply.headers["x-crs-risk-mode"] for reply in told} == {"development"}
    assert "development mode: nobody signs in, and only this machine is answered" in server.printed


def test_the_documented_example_is_the_file_in_the_repository() -> None:
    assert "serving/example_request.json" in Path(ROOT / "docs" / "api.md").read_text()
