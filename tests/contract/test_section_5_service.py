"""Section 5 of the requirements, security and reliability, each test named after its line, against a real service.

Two issuers: an EHR that signs each call, for two tenants, and a login service whose access tokens belong to none.
"""

import http.client
import json
import pickle
import re
import socket
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from audit.events import Kind
from audit.ledger import open_ledger
from serving import front, log
from serving.cds.services import BODY_LIMITS as HOOK_LIMITS
from tests.contract.cds_hooks.ehr import StandIn, authorization, call, context, fhir_server, prefetch
from tests.contract.cds_hooks.test_lines import feedback, members
from tests.serving import fhir_builders as fb
from tests.serving.builders import EXAMPLE, Reply, Server, with_course
from tests.serving.trust.issuing import BASE, EHR, claims, header, key, sign
from tests.serving.trust.served import OTHER, trusting_home

pytestmark = pytest.mark.slow
VIEW = "/cds-services/crs-risk-patient-view"
CANARY = "CANARY-MRN-4711"
ANSWER_SECONDS = 3.0
SETTINGS = f"""
public_url = "{BASE}"
[[issuers]]
issuer = "{EHR}"
jwks_file = "ehr.json"
roles = ["predict", "feedback"]
tenants = ["north", "south"]
calls_per_minute = 60000
burst = 10000
calls_at_once = 3
[[issuers]]
issuer = "{OTHER}"
kind = "oauth2"
jwks_file = "login.json"
roles = ["predict", "outcomes"]
subjects = {{ "auditor" = ["audit-read"] }}
calls_per_minute = 60000
burst = 10000
[hooks]
enabled = ["patient-view", "encounter-discharge"]
days = 90
seconds_to_answer = {ANSWER_SECONDS}
"""


@dataclass
class Hospital:
    """The service, the FHIR server beside it, and every token that was sent."""

    server: Server
    fhir: StandIn
    tokens: list[str] = field(default_factory=list)

    def ask(
        self, path: str = VIEW, body: Any = None, tenant: str = "north", method: str = "POST", **more: Any
    ) -> Reply:
        """A call that the EHR signs for one tenant; `more` replaces claims."""
        self.tokens.append(sign(claims(aud=BASE + path, tenant=tenant, **more)))
        return self.server.call(method, path, body, {"Authorization": f"Bearer {self.tokens[-1]}"})

    def log_in(self, path: str, body: Any = None, method: str = "POST", **more: Any) -> Reply:
        """A call with an access token of the login service."""
        stated = claims(iss=OTHER, aud=BASE, **more)
        self.tokens.append(sign(stated, header(kid=key(name="login").kid, typ="at+jwt"), key(name="login")))
        return self.server.call(method, path, body, {"Authorization": f"Bearer {self.tokens[-1]}"})

    def card(self, tenant: str = "north") -> str:
        """The uuid of a card that was given to that tenant."""
        found: str = self.ask(VIEW, call(prefetch=prefetch(1)), tenant).json["cards"][0]["uuid"]
        return found

    def slow(self, seconds: float) -> Reply:
        """A call for which the FHIR server takes that long."""
        self.fhir.seconds = seconds
        return self.ask(VIEW, call(fhirServer=self.fhir.base, fhirAuthorization=authorization()))

    def statuses(self, kind: Kind, name: str) -> list[Any]:
        with open_ledger(self.server.home, writes=False) as ledger:
            return [one.body for one in ledger.records(kind) if name in (one.body.get("card"), one.event_id)]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("hospital")
    with fhir_server() as fhir, pytest.MonkeyPatch.context() as patch:
        patch.setenv(log.VARIABLE, log.JSON)
        read = f'[fhir]\nservers = ["{fhir.base}"]\ntimeout_seconds = 10.0\n'
        started = Server.start(trusting_home(folder, SETTINGS + read), folder)
        try:
            yield Hospital(started.wait_until_ready(180), fhir)
        finally:
            started.stop()


@pytest.fixture(autouse=True)
def _at_rest(request: pytest.FixtureRequest) -> None:
    if "hospital" in request.fixturenames:
        request.getfixturevalue("hospital").fhir.reset()


def peak(process: int) -> int:
    """The most memory that a process ever had resident, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found[1]) << 10


def test_line_5_1_2_a_body_over_the_limit_is_refused_while_it_streams_and_never_held(hospital: Hospital) -> None:
    (worker,) = hospital.server.workers()
    hospital.ask(VIEW, call(prefetch=prefetch(1)))
    before = peak(worker)
    line = http.client.HTTPConnection("127.0.0.1", hospital.server.port, timeout=60)
    token = sign(claims(aud=f"{BASE}/predict", tenant="north"))
    parts = (b" " * (1 << 20) for _ in range(60))
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    line.request("POST", "/predict", parts, headers, encode_chunked=True)
    reply = line.getresponse()
    assert (reply.status, json.loads(reply.read())["error"]["code"]) == (413, "body-too-large")
    line.close()
    assert peak(worker) - before < 20 << 20


#: A good body per address, and a place in its text where a value or a member stands.
BODIES = {
    "/predict": json.dumps(EXAMPLE),
    VIEW: json.dumps(call(prefetch=prefetch(1))),
    "/fhir/risk-assessment": json.dumps(fb.bundle(*fb.chart())),
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_line_5_1_3_a_number_that_is_not_finite_is_refused(hospital: Hospital, path: str, number: str) -> None:
    assert hospital.ask(path, BODIES[path].encode()).status == 200
    body = re.sub(r'"value": [0-9.]+', f'"value": {number}', BODIES[path], count=1)
    assert number in body
    reply = hospital.ask(path, body.encode())
    assert (reply.status, "value-not-finite" in reply.body.decode()) == (422, True)


TWICE = {
    "/predict": (
        "hours_since_start",
        BODIES["/predict"].replace('"hours_since_start"', '"hours_since_start": 1, "hours_since_start"'),
    ),
    "/predict_batch": ("requests", f'{{"requests": [{BODIES["/predict"]}], "requests": [{BODIES["/predict"]}]}}'),
    "/grade": ("id", '{"id": "a", "id": "b"}'),
    VIEW: ("a member", BODIES[VIEW][:-1] + ', "com.example.x": {"y": 1, "\\u0079": 2}}'),
    f"{VIEW}/feedback": (
        "outcome",
        json.dumps({"feedback": [feedback(str(uuid.uuid4()))]}).replace(
            '"outcome"', '"outcome": "accepted", "outcome"', 1
        ),
    ),
    "/fhir/risk-assessment": ("a member", BODIES["/fhir/risk-assessment"][:-1] + ', "type": "collection"}'),
}


@pytest.mark.parametrize("path", TWICE)
def test_line_5_1_3_a_member_that_is_stated_twice_is_refused_and_the_last_one_is_not_taken(
    hospital: Hospital, path: str
) -> None:
    name, body = TWICE[path]
    reply = hospital.ask(path, body.encode())
    said = reply.body.decode()
    assert (reply.status, "repeated-member" in said) == (400, True)
    assert f"an object states {name if ' ' in name else f'`{name}`'} twice" in said


def test_line_5_1_3_two_values_of_one_laboratory_result_are_never_scored(hospital: Hospital) -> None:
    results = {
        path: re.sub(r'"value": ([0-9.]+)', r'"value": 1, "value": \1', BODIES[path], count=1) for path in BODIES
    }
    for path, body in results.items():
        reply = hospital.ask(path, body.encode())
        assert (reply.status, "an object states `value` twice" in reply.body.decode()) == (400, True)


@pytest.mark.parametrize("path", [*front.BODY_LIMITS, VIEW, f"{VIEW}/feedback", "/fhir/risk-assessment"])
def test_line_5_1_4_a_pickle_is_no_body_of_any_address(hospital: Hospital, path: str) -> None:
    class Planted:
        def __reduce__(self) -> Any:
            return (Path.touch, (hospital.server.home.folder / "planted",))

    body = pickle.dumps(Planted())
    token = sign(claims(aud=BASE + path, tenant="north")) if path != "/outcomes" else ""
    for media in ("application/vnd.bentoml+pickle", "application/octet-stream", "application/json"):
        stated = {"Content-Type": media, "Authorization": f"Bearer {token}"}
        assert hospital.server.call("POST", path, body, stated).status in (400, 401, 415)
    assert not (hospital.server.home.folder / "planted").exists()


@pytest.mark.parametrize("path", ["/docs.json", "/schema.json", "/metrics", "/", "/model"])
def test_line_5_1_5_what_bentoml_leaves_open_is_closed(hospital: Hospital, path: str) -> None:
    assert hospital.server.call("GET", path).status == 401
    role = {"sub": "auditor"} if path == "/metrics" else {}
    assert hospital.log_in(path, method="GET", **role).status == 200


def test_line_5_1_5_metrics_are_for_those_who_may_read_the_audit(hospital: Hospital) -> None:
    assert hospital.log_in("/metrics", method="GET", sub="ward").status == 403
    assert hospital.ask("/metrics", method="GET").status == 403


def test_line_5_1_6_one_service_answers_by_its_methods_and_by_its_mounted_addresses(hospital: Hospital) -> None:
    assert hospital.ask("/cds-services", method="GET").status == 200
    missing = hospital.ask(VIEW, call())
    assert (missing.status, missing.json["resourceType"]) == (412, "OperationOutcome")
    assert hospital.ask("/predict", EXAMPLE).json["status"] == "evaluated"
    assert hospital.ask("/grade", {"id": "x"}).status in (200, 422)


def test_line_5_2_2_no_method_takes_a_file_or_an_address_of_one(hospital: Hospital) -> None:
    described = hospital.log_in("/docs.json", method="GET").json["paths"]
    methods = {path: one["post"] for path, one in described.items() if "post" in one}
    assert {"/predict", "/predict_batch", "/grade", "/outcomes"} <= set(methods)
    assert {media for one in methods.values() for media in one["requestBody"]["content"]} == {"application/json"}
    assert "binary" not in json.dumps(methods)
    form = b'--x\r\nContent-Disposition: form-data; name="course"\r\n\r\nhttp://127.0.0.1:1/x\r\n--x--\r\n'
    token = sign(claims(aud=f"{BASE}/predict", tenant="north"))
    stated = {"Content-Type": "multipart/form-data; boundary=x", "Authorization": f"Bearer {token}"}
    assert hospital.server.call("POST", "/predict", form, stated).status == 415


# 5.3 what a hospital asks


def test_line_5_3_01_an_ehr_signs_each_call(hospital: Hospital) -> None:
    body = call(prefetch=prefetch(1))
    assert hospital.server.call("POST", VIEW, body).status == 401
    assert hospital.ask(VIEW, body).status == 200


def test_line_5_3_02_the_rest_takes_bearer_tokens_of_a_login_service(hospital: Hospital) -> None:
    assert hospital.log_in("/predict", EXAMPLE).status == 200
    assert hospital.log_in("/fhir/risk-assessment", fb.bundle(*fb.chart())).status == 200
    assert hospital.log_in(VIEW, call(prefetch=prefetch(1))).status == 401


def test_line_5_3_03_each_role_opens_its_own_addresses(hospital: Hospital) -> None:
    outcome = {"outcomes": [{"prediction_id": "x", "complete": True, "crs_grade": 0}]}
    told = {
        "the EHR reports outcomes": hospital.ask("/outcomes", outcome).status,
        "the registry reports outcomes": hospital.log_in("/outcomes", outcome).status,
        "the EHR gives feedback": hospital.ask(f"{VIEW}/feedback", {"feedback": [feedback(str(uuid.uuid4()))]}).status,
        "anybody reads metrics": hospital.log_in("/metrics", method="GET", sub="ward").status,
        "an auditor reads metrics": hospital.log_in("/metrics", method="GET", sub="auditor").status,
    }
    assert list(told.values()) == [403, 200, 200, 403, 200]


@pytest.mark.parametrize(("seconds", "status"), [(300, 200), (301, 401)])
def test_line_5_3_06_a_token_for_a_call_lives_five_minutes_at_most(
    hospital: Hospital, seconds: int, status: int
) -> None:
    now = int(time.time())
    assert hospital.ask("/predict", EXAMPLE, iat=now, exp=now + seconds).status == status


@pytest.mark.parametrize(("behind", "status"), [(330, 200), (400, 401)], ids=["within the skew", "beyond it"])
def test_line_5_3_06_clocks_may_differ_by_the_skew(hospital: Hospital, behind: int, status: int) -> None:
    now = int(time.time())
    assert hospital.ask("/predict", EXAMPLE, iat=now - behind, exp=now - behind + 300).status == status


def test_line_5_3_10_an_issuer_has_so_many_calls_under_way_and_another_is_not_held_up(hospital: Hospital) -> None:
    with ThreadPoolExecutor(3) as pool:
        under_way = [pool.submit(hospital.slow, 1.5) for _ in range(3)]
        time.sleep(0.7)
        refused = hospital.ask("/predict", EXAMPLE)
        other = hospital.log_in("/predict", EXAMPLE)
        statuses = [one.result().status for one in under_way]
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert (other.status, statuses) == (200, [200, 200, 200])
    assert hospital.ask("/predict", EXAMPLE).status == 200


def test_line_5_3_14_an_answer_that_comes_too_late_is_503_and_never_no_card(hospital: Hospital) -> None:
    began = time.monotonic()
    reply = hospital.slow(ANSWER_SECONDS + 2)
    assert time.monotonic() - began < ANSWER_SECONDS + 1.5
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert reply.json["issue"][0]["details"]["coding"][0]["code"] == "timeout"
    assert "cards" not in reply.json


def test_line_5_3_15_each_line_of_the_log_is_a_json_object_with_the_parts_of_the_call(hospital: Hospital) -> None:
    hospital.ask(VIEW, call(prefetch=prefetch(1)))
    hospital.ask(VIEW, call())
    # The line is written after the answer has left, and read from a pipe.
    deadline = time.monotonic() + 10
    while not answered_last(hospital, 412) and time.monotonic() < deadline:
        time.sleep(0.05)
    calls = logged_calls(hospital)
    lines = [json.loads(line) for line in hospital.server.printed.splitlines() if line.startswith("{")]
    assert all({"time", "level", "logger", "message"} <= set(one) for one in lines)
    assert {(one["method"], one["status"], one["note"]) for one in calls[-2:]} == {
        ("POST", 200, ""),
        ("POST", 412, "data-missing"),
    }
    assert all(one["ms"] >= 0 for one in calls)
    others = [line for line in hospital.server.printed.splitlines() if not line.startswith("{")]
    assert others == [hospital.server.url]  # what on_ready prints


def test_line_5_3_16_no_body_token_or_value_is_in_those_lines(hospital: Hospital) -> None:
    hospital.ask("/predict", with_course(id=CANARY))
    hospital.ask("/predict", with_course(mrn=CANARY))
    hospital.ask(VIEW, call(prefetch={CANARY: CANARY}, context={**context(), "userId": CANARY}))
    hospital.ask(VIEW, f'{{"{CANARY}": 1, "{CANARY}": 2}}'.encode())
    hospital.ask(f"{VIEW}/feedback", {"feedback": [feedback(CANARY)]})
    printed = hospital.server.printed
    assert '"note": "repeated-member"' in printed
    assert CANARY not in printed
    assert "Traceback" not in printed
    assert not [token for token in hospital.tokens if token.split(".")[1][:60] in printed]


def test_line_5_3_21_alive_is_not_ready_while_the_ledger_cannot_be_written(hospital: Hospital) -> None:
    other = sqlite3.connect(hospital.server.home.ledger / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        assert hospital.ask("/predict", EXAMPLE).status == 503
        ready = until(hospital, 503)
        alive = hospital.server.call("GET", "/livez").status
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert (ready.status, ready.json["error"]["code"], alive) == (503, "not-ready", 200)
    assert until(hospital, 200).status == 200
    assert hospital.ask("/predict", EXAMPLE).status == 200


def logged_calls(hospital: Hospital) -> list[dict[str, Any]]:
    """What the log says of calls of that service so far."""
    lines = [json.loads(line) for line in hospital.server.printed.splitlines() if line.startswith("{")]
    return [one for one in lines if one.get("route") == VIEW]


def answered_last(hospital: Hospital, status: int) -> bool:
    return [one["status"] for one in logged_calls(hospital)[-1:]] == [status]


def until(hospital: Hospital, status: int) -> Reply:
    """What /readyz answers once it answers so, or after half a minute."""
    end = time.monotonic() + 30
    while (reply := hospital.server.call("GET", "/readyz")).status != status and time.monotonic() < end:
        time.sleep(0.2)
    return reply


def test_line_5_3_25_a_clock_that_is_off_is_told_and_by_nobody_without_the_key(hospital: Hospital) -> None:
    now = int(time.time())
    forged = sign(claims(aud=f"{BASE}/predict", tenant="north", iat=now + 45, exp=now + 100), by=key(name="forger"))
    assert hospital.server.call("POST", "/predict", EXAMPLE, {"Authorization": f"Bearer {forged}"}).status == 401
    told = [line for line in hospital.server.printed.splitlines() if "ahead of this clock" in line]
    assert told == []
    assert hospital.log_in("/predict", EXAMPLE, iat=now + 45, exp=now + 100).status == 200
    (line,) = [line for line in hospital.server.printed.splitlines() if "ahead of this clock" in line]
    alarm = json.loads(line)
    assert alarm["level"] == "WARNING"
    assert re.fullmatch(
        rf"clock-skew: a token of {re.escape(OTHER)} was issued 4\d s ahead of this clock; check both clocks",
        alarm["message"],
    )


def test_line_5_3_27_a_tenants_caller_learns_nothing_of_anothers_card(hospital: Hospital) -> None:
    card = hospital.card("north")
    stranger = hospital.ask(f"{VIEW}/feedback", {"feedback": [feedback(card)]}, "south").json["feedback"][0]
    nobody = hospital.ask(f"{VIEW}/feedback", {"feedback": [feedback(str(uuid.uuid4()))]}, "south").json["feedback"][0]
    own = hospital.ask(f"{VIEW}/feedback", {"feedback": [feedback(card)]}, "north").json["feedback"][0]
    assert stranger["status"] == nobody["status"] == "recorded-unknown-card"
    assert own["status"] == "recorded"
    assert [one["known"] for one in hospital.statuses(Kind.FEEDBACK, card)] == [False, True]


def test_line_5_3_30_only_what_is_enabled_is_listed_and_answered(hospital: Hospital) -> None:
    listed = hospital.ask("/cds-services", method="GET").json["services"]
    assert [one["hook"] for one in listed] == ["patient-view", "encounter-discharge"]
    for hook, status in (
        ("patient-view", 200),
        ("encounter-discharge", 200),
        ("order-sign", 404),
        ("encounter-start", 404),
    ):
        body = call(hook, prefetch=prefetch(1), context=context(hook, encounterId="e1"))
        assert hospital.ask(f"/cds-services/crs-risk-{hook}", body).status == status
    assert hospital.ask("/cds-services/crs-risk-order-sign/feedback", {"feedback": []}).status == 404
    assert {path for path in HOOK_LIMITS if path.startswith("/cds-services")} > {VIEW}


def test_section_1_3_4_a_window_may_be_asked_for_by_today_and_is_fetched_by_its_date(hospital: Hospital) -> None:
    templates = hospital.ask("/cds-services", method="GET").json["services"][0]["prefetch"]
    dated = {key for key, one in templates.items() if "&date=ge{{today() - 90 days}}" in one}
    assert dated == {"labs", "vitals"}
    assert hospital.slow(0).status == 200
    first = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 90 * 86_400))
    assert len([one for one in hospital.fhir.asked if f"date=ge{first}" in one]) == 2


@pytest.mark.parametrize(
    "path", ["/models", "/bundle", "/model-crs_2plus.ubj", "/model/manifest.json", "/static/model"]
)
def test_line_5_3_31_no_address_gives_a_model_away(hospital: Hospital, path: str) -> None:
    assert hospital.log_in(path, method="GET").status == 404
    facts = hospital.log_in("/model", method="GET").json
    assert not [name for name, _ in members(facts) if name.endswith((".boosters", ".ubj", ".calibration"))]


# The service ends here


def test_line_5_3_22_a_call_in_flight_is_answered_when_the_service_is_told_to_end(hospital: Hospital) -> None:
    found: list[Reply] = []
    caller = threading.Thread(target=lambda: found.append(hospital.slow(1.5)))
    caller.start()
    time.sleep(0.7)
    assert found == []
    assert hospital.server.stop() == 0
    caller.join(30)
    (reply,) = found
    assert (reply.status, len(reply.json["cards"])) == (200, 1)
    assert hospital.statuses(Kind.PREDICTION, reply.json["cards"][0]["uuid"])
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", hospital.server.port), timeout=1).close()
