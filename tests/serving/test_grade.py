"""POST /grade: findings in, grades out; what is refused names its field and repeats no value."""

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from features.grading import CRS_SCHEMES
from features.grading_result import Scheme
from serving.decode import grade_request
from serving.front import FOUND
from serving.grade import answer, take
from serving.refusal import RefusalError
from tests.serving.builders import Server
from tests.serving.test_front import Behind, ask

CANARY = "CANARY-4711"
NUMBER = 31415.92653
SHOCK: dict[str, Any] = {
    "temperature_c": 38.9,
    "masking": [],
    "hypotension": True,
    "vasopressors": [{"name": "noradrenaline", "dose": 6, "unit": "ug/min", "hours": 4}],
    "oxygen": {"device": "nasal cannula", "flow_lpm": 3, "fio2_pct": 32},
    "symptoms": True,
    "organs": [],
    "hospital_care": True,
    "coagulopathy_treated": False,
    "infusion": "not-interrupted",
}
WELL = {"ice": 9, "consciousness": "awake", "seizure": "none", "motor": "none", "oedema": "none"}


def graded(body: Any) -> dict[str, Any]:
    """What the service answers to this body."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answer(take(grade_request(text)))))
    return told


def test_one_case_has_another_grade_by_each_scheme() -> None:
    told = graded({"id": "one", "crs": SHOCK})
    assert told["id"] == "one"
    assert {one["scheme"]: one["grade"] for one in told["grades"]} == {
        "ASTCT-2019": 3,
        "mosunetuzumab-label": 3,
        "Lee-2014": 2,
        "Penn": 3,
        "CTCAE-5": 3,
        "CTCAE-4": 4,
    }


def test_the_schemes_that_are_asked_are_answered_in_their_order() -> None:
    told = graded({"schemes": ["ASTCT-2019-ICANS", "Penn"], "crs": SHOCK, "icans": WELL})
    assert [(one["scheme"], one["grade"]) for one in told["grades"]] == [("ASTCT-2019-ICANS", 1), ("Penn", 3)]


def test_without_a_list_every_scheme_of_what_was_sent_is_answered() -> None:
    assert [one["scheme"] for one in graded({"icans": WELL})["grades"]] == [Scheme.ICANS]
    both = graded({"crs": SHOCK, "icans": WELL})["grades"]
    assert [one["scheme"] for one in both] == [*CRS_SCHEMES, Scheme.ICANS]


def test_what_is_left_out_is_not_known_and_the_answer_says_at_least() -> None:
    (told,) = graded({"schemes": ["ASTCT-2019"], "crs": {"temperature_c": 39.0, "oxygen": {"given": True}}})["grades"]
    assert (told["status"], told["at_least"], told["at_most"]) == ("ungradable", 2, 4)
    assert "grade" not in told
    assert [row["row"] for row in told["rows"]] == ["hypotension", "hypoxia"]
    assert (told["verified"], told["attribution"]) == (False, "assumed")


def test_a_waived_fever_is_said() -> None:
    given = [{"drug": "tocilizumab", "given": "after-onset"}]
    (told,) = graded({"schemes": ["ASTCT-2019"], "crs": {**SHOCK, "temperature_c": 36.8, "masking": given}})["grades"]
    assert (told["grade"], told["fever_waived"]) == (3, True)
    assert [one["code"] for one in told["cautions"]] == ["fever-waived"]


def crs(**changes: Any) -> dict[str, Any]:
    return {"crs": {**SHOCK, **changes}}


BAD: list[tuple[Any, int, str, str]] = [
    (b"{", 400, "malformed-json", "$"),
    ({}, 422, "value-missing", "$.crs"),
    (crs(temprature=38), 400, "unknown-field", "$.crs"),
    (crs(temperature_c=CANARY), 400, "wrong-type", "$.crs.temperature_c"),
    (crs(temperature_c=NUMBER), 422, "value-not-plausible", "$.crs.temperature_c"),
    (crs(temperature_c=float("nan")), 422, "value-not-finite", "$.crs.temperature_c"),
    (crs(oxygen={"device": CANARY}), 422, "code-unknown", "$.crs.oxygen.device"),
    (crs(oxygen={"device": "none", "flow_lpm": 3}), 422, "value-not-plausible", "$.crs.oxygen.device"),
    (crs(oxygen={"fio2_pct": 0.4}), 422, "value-not-plausible", "$.crs.oxygen.fio2_pct"),
    (crs(vasopressors=[{"name": CANARY}]), 422, "code-unknown", "$.crs.vasopressors[0].name"),
    (crs(vasopressors=[{"name": "dopamine", "dose": 3}]), 422, "value-not-plausible", "$.crs.vasopressors[0].unit"),
    (crs(vasopressors=[{"name": "dopamine"}] * 21), 422, "length-not-accepted", "$.crs.vasopressors"),
    (crs(hypotension=False), 422, "value-not-plausible", "$.crs.hypotension"),
    (crs(masking=[{"drug": "tocilizumab", "given": CANARY}]), 422, "code-unknown", "$.crs.masking[0].given"),
    (crs(organs=[{"organ": "creatinine", "grade": 7}]), 422, "value-not-plausible", "$.crs.organs[0].grade"),
    (crs(other_cause=[CANARY]), 422, "code-unknown", "$.crs.other_cause[0]"),
    ({"icans": {**WELL, "ice": 11}}, 422, "value-not-plausible", "$.icans.ice"),
    ({"icans": {**WELL, "motor": CANARY}}, 422, "code-unknown", "$.icans.motor"),
    ({"schemes": [CANARY], "crs": SHOCK}, 422, "code-unknown", "$.schemes[0]"),
    ({"schemes": ["ASTCT-2019-ICANS"], "crs": SHOCK}, 422, "value-missing", "$.schemes[0]"),
]


@pytest.mark.parametrize(("body", "status", "code", "path"), BAD)
def test_a_bad_finding_is_refused_by_the_path_of_its_field(body: Any, status: int, code: str, path: str) -> None:
    with pytest.raises(RefusalError) as caught:
        graded(body)
    assert (caught.value.http_status, caught.value.code, caught.value.place) == (status, code, path)
    assert CANARY not in caught.value.body.decode()
    assert str(NUMBER) not in caught.value.body.decode()


def test_a_misspelt_field_is_told_the_right_one() -> None:
    with pytest.raises(RefusalError, match="did you mean `temperature_c`"):
        graded(crs(temperatur_c=38))


def test_bentoml_is_handed_a_stand_in_and_the_findings_travel_beside_it() -> None:
    behind = Behind()
    assert ask(behind, json.dumps({"crs": SHOCK}).encode(), "/grade").status == 200
    assert behind.bodies == [b"{}"]
    assert FOUND.get(None) is None


def test_a_refused_body_does_not_reach_bentoml() -> None:
    behind = Behind()
    told = ask(behind, json.dumps(crs(temperature_c=NUMBER)).encode(), "/grade")
    assert (told.status, told.error["path"], behind.bodies) == (422, "$.crs.temperature_c", [])


@pytest.mark.parametrize(("spare", "status"), [(0, 200), (1, 413)])
def test_a_body_may_be_as_large_as_its_limit_and_no_larger(spare: int, status: int) -> None:
    body = json.dumps({"crs": SHOCK}).encode()
    padded = body + b" " * ((64 << 10) - len(body) + spare)
    assert ask(Behind(), padded, "/grade").status == status


@pytest.mark.slow
def test_the_service_grades_and_logs_no_value(server: Server) -> None:
    reply = server.call("POST", "/grade", {"id": CANARY, **crs(temperature_c=38.91234)})
    assert reply.status == 200
    assert reply.json["grades"][0] == graded(crs(temperature_c=38.91234))["grades"][0]
    for body, status, code, _ in BAD:
        refused = server.call("POST", "/grade", body)
        assert (refused.status, refused.json["error"]["code"]) == (status, code)
        assert CANARY not in refused.body.decode()
    assert CANARY not in server.printed
    assert "38.91234" not in server.printed
    assert server.prints("POST /grade 200")


@pytest.mark.slow
def test_bentomls_own_client_can_ask_for_a_grade(server: Server) -> None:
    code = (
        "import sys, json, bentoml\n"
        "with bentoml.SyncHTTPClient(sys.argv[1]) as client:\n"
        "    print(json.dumps(client.grade(**json.loads(sys.argv[2]))))\n"
    )
    body = json.dumps({"icans": WELL})
    done = subprocess.run([sys.executable, "-c", code, server.url, body], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == graded({"icans": WELL})
