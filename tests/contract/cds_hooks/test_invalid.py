"""Invalid calls: each is answered with its own 4xx, as an OperationOutcome, and nothing that was sent is repeated."""

import copy
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from audit.events import Kind
from tests.contract.cds_hooks.ehr import authorization, call, context, prefetch
from tests.contract.cds_hooks.test_lines import VIEW, records
from tests.serving import fhir_builders as fb
from tests.serving.builders import Server

pytestmark = pytest.mark.slow
CANARY = "CANARY-MRN-4711"
SIGN, SELECT, START = (f"/cds-services/crs-risk-{hook}" for hook in ("order-sign", "order-select", "encounter-start"))
FEEDBACK, RISK = f"{VIEW}/feedback", "/fhir/risk-assessment"
HELD = prefetch(3)
Case = tuple[str, Any, int, str]


def view(**changes: Any) -> dict[str, Any]:
    """A good call with some members replaced, and a value that must not come back."""
    return {**call(prefetch=HELD, context=context(userId=CANARY)), **changes}


def of(path: str, hook: str, **changes: Any) -> tuple[str, dict[str, Any]]:
    return path, call(hook, prefetch=HELD, context={**context(hook), **changes})


def without(body: dict[str, Any], *path: str) -> dict[str, Any]:
    """The body without the member at that place."""
    made = copy.deepcopy(body)
    part = made
    for name in path[:-1]:
        part = part[name]
    del part[path[-1]]
    return made


def sent(**changes: Any) -> dict[str, Any]:
    """A good call with some prefetch values replaced."""
    return view(prefetch={**HELD, **changes})


def labs(**changes: Any) -> dict[str, Any]:
    """A good call with the first laboratory value changed."""
    held = copy.deepcopy(HELD["labs"])
    held["entry"][0]["resource"].update(changes)
    return sent(labs=held)


def item(**changes: Any) -> dict[str, Any]:
    held = {"card": str(uuid.uuid4()), "outcome": "overridden", "outcomeTimestamp": "2026-11-01T08:00:00Z"}
    made = {**held, "overrideReason": {"userComment": CANARY}, **changes}
    return {"feedback": [{name: value for name, value in made.items() if value is not None}]}


def access(server: Any = "https://ehr.example/fhir", **changes: Any) -> dict[str, Any]:
    return view(fhirServer=server, fhirAuthorization=authorization(**changes))


def risk(*resources: Any, **fields: Any) -> dict[str, Any]:
    return fb.bundle(*resources, **fields)


OTHER = {"subject": {"reference": f"Patient/{CANARY}"}}
CASES: dict[str, Case] = {
    # not JSON of the form
    "nothing at all": (VIEW, b"", 400, "malformed-json"),
    "half of a document": (VIEW, b'{"hook": "' + CANARY.encode(), 400, "malformed-json"),
    "no JSON": (VIEW, CANARY.encode(), 400, "malformed-json"),
    "not UTF-8": (VIEW, b'{"hook": "\xff' + CANARY.encode() + b'"}', 400, "malformed-json"),
    "NaN": (VIEW, b'{"hook": "x", "' + CANARY.encode() + b'": NaN}', 422, "value-not-finite"),
    "an array": (VIEW, [CANARY], 400, "wrong-type"),
    "a text": (VIEW, CANARY, 400, "wrong-type"),
    "null": (VIEW, b"null", 400, "wrong-type"),
    "deeper than may be": (VIEW, b'{"' + CANARY.encode() + b'":' + b"[" * 60 + b"]" * 60 + b"}", 400, "too-deep"),
    "more entries than may be": (VIEW, b'{"a":[' + b"0," * 100_001 + b"0]}", 413, "too-many-entries"),
    "larger than may be": (VIEW, b" " * ((4 << 20) + 1), 413, "body-too-large"),
    # members of a call
    "no hook": (VIEW, without(view(), "hook"), 400, "missing-field"),
    "no hookInstance": (VIEW, without(view(), "hookInstance"), 400, "missing-field"),
    "no context": (VIEW, without(view(), "context"), 400, "missing-field"),
    "hook null": (VIEW, view(hook=None), 400, "wrong-type"),
    "hook empty": (VIEW, view(hook=""), 422, "length-not-accepted"),
    "hook a number": (VIEW, view(hook=4711), 400, "wrong-type"),
    "hook unheard of": (VIEW, view(hook=CANARY), 422, "hook-differs"),
    "hook of another service": (VIEW, call("order-sign", prefetch=HELD), 422, "hook-differs"),
    "hookInstance no UUID": (VIEW, view(hookInstance=CANARY), 400, "wrong-type"),
    "hookInstance with braces": (VIEW, view(hookInstance="{" + str(uuid.uuid4()) + "}"), 400, "wrong-type"),
    "hookInstance null": (VIEW, view(hookInstance=None), 400, "wrong-type"),
    "context null": (VIEW, view(context=None), 400, "wrong-type"),
    "context an array": (VIEW, view(context=[CANARY]), 400, "wrong-type"),
    "context empty": (VIEW, view(context={}), 400, "missing-field"),
    "no patientId": (VIEW, without(view(), "context", "patientId"), 400, "missing-field"),
    "no userId": (VIEW, without(view(), "context", "userId"), 400, "missing-field"),
    "patientId null": (VIEW, view(context={**context(), "patientId": None}), 400, "wrong-type"),
    "patientId empty": (VIEW, view(context=context(patientId="")), 400, "wrong-type"),
    "patientId with a slash": (VIEW, view(context=context(patientId=f"Patient/{CANARY}")), 400, "wrong-type"),
    "patientId with a query": (VIEW, view(context=context(patientId=f"p1?{CANARY}")), 400, "wrong-type"),
    "patientId too long": (VIEW, view(context=context(patientId="4711" * 20)), 400, "wrong-type"),
    "patientId of several lines": (VIEW, view(context=context(patientId=f"p1\n{CANARY}")), 400, "wrong-type"),
    "userId a number": (VIEW, view(context=context(userId=4711)), 400, "wrong-type"),
    "encounterId null": (VIEW, view(context={**context(), "encounterId": None}), 400, "wrong-type"),
    "no encounterId at encounter-start": (
        START,
        without(of(START, "encounter-start")[1], "context", "encounterId"),
        400,
        "missing-field",
    ),
    "no draftOrders at order-sign": (
        SIGN,
        without(of(SIGN, "order-sign")[1], "context", "draftOrders"),
        400,
        "missing-field",
    ),
    "draftOrders no Bundle": (*of(SIGN, "order-sign", draftOrders={"resourceType": CANARY}), 422, "value-not-accepted"),
    "draftOrders an array": (*of(SIGN, "order-sign", draftOrders=[CANARY]), 400, "wrong-type"),
    "no selections at order-select": (
        SELECT,
        without(of(SELECT, "order-select")[1], "context", "selections"),
        400,
        "missing-field",
    ),
    "selections empty": (*of(SELECT, "order-select", selections=[]), 422, "length-not-accepted"),
    "selections of numbers": (*of(SELECT, "order-select", selections=[4711]), 400, "wrong-type"),
    "prefetch null": (VIEW, view(prefetch=None), 400, "wrong-type"),
    "prefetch an array": (VIEW, view(prefetch=[CANARY]), 400, "wrong-type"),
    "prefetch of too many keys": (VIEW, view(prefetch={f"{CANARY}{n}": None for n in range(60)}), 400, "wrong-type"),
    "extension a text": (VIEW, view(extension=CANARY), 400, "wrong-type"),
    # FHIR access
    "authorization without a server": (
        VIEW,
        view(fhirAuthorization=authorization(access_token=CANARY)),
        400,
        "missing-field",
    ),
    "authorization null": (VIEW, view(fhirAuthorization=None), 400, "wrong-type"),
    "authorization without a token": (VIEW, access(access_token=None), 400, "missing-field"),
    "authorization without an end": (VIEW, access(expires_in=None), 400, "missing-field"),
    "authorization of another type": (VIEW, access(token_type=CANARY), 400, "wrong-type"),
    "authorization that ends in the past": (VIEW, access(expires_in=-1), 400, "wrong-type"),
    "authorization with a line break": (VIEW, access(access_token=f"a\r\nx-evil: {CANARY}"), 400, "wrong-type"),
    "server null": (VIEW, view(fhirServer=None), 400, "wrong-type"),
    "server empty": (VIEW, view(fhirServer=""), 422, "length-not-accepted"),
    "server without TLS": (VIEW, view(fhirServer=f"http://{CANARY}.example/fhir"), 422, "value-not-accepted"),
    "server of another scheme": (VIEW, view(fhirServer=f"file:///{CANARY}"), 400, "wrong-type"),
    "server with a user": (VIEW, view(fhirServer=f"https://{CANARY}:x@ehr.example"), 422, "value-not-accepted"),
    "server with a query": (VIEW, view(fhirServer=f"https://ehr.example/?{CANARY}"), 422, "value-not-accepted"),
    # data
    "no data": (VIEW, view(prefetch={}), 412, "data-missing"),
    "no patient": (
        VIEW,
        view(prefetch={key: one for key, one in HELD.items() if key != "patient"}),
        412,
        "data-missing",
    ),
    "patient null": (VIEW, sent(patient=None), 412, "data-missing"),
    "patient of another kind": (VIEW, sent(patient=fb.result("x", "1988-5", 1.0, "mg/L")), 412, "data-missing"),
    "patient a text": (VIEW, sent(patient=CANARY), 412, "data-missing"),
    "labs failed": (VIEW, sent(labs={"resourceType": "OperationOutcome", "id": CANARY}), 412, "data-missing"),
    "labs a number": (VIEW, sent(labs=4711), 412, "data-missing"),
    "another patient": (VIEW, sent(patient={"resourceType": "Patient", "id": CANARY}), 422, "other-patient"),
    "a value of another patient": (VIEW, labs(**OTHER), 422, "other-patient"),
    "an order of another patient": (
        *of(SIGN, "order-sign", draftOrders=fb.bundle({**fb.order("d", "1987398", ""), **OTHER})),
        422,
        "other-patient",
    ),
    "a value of a device": (VIEW, labs(subject={"reference": f"Device/{CANARY}"}), 422, "other-patient"),
    "more resources than may be": (
        VIEW,
        sent(labs=fb.bundle(*[{"resourceType": "X"}] * 10_001)),
        413,
        "too-many-resources",
    ),
    # feedback
    "feedback empty": (FEEDBACK, {"feedback": []}, 422, "length-not-accepted"),
    "no feedback": (FEEDBACK, {CANARY: 1}, 400, "missing-field"),
    "feedback null": (FEEDBACK, {"feedback": None}, 400, "wrong-type"),
    "feedback without a card": (FEEDBACK, item(card=None), 400, "missing-field"),
    "feedback on no UUID": (FEEDBACK, item(card=CANARY), 400, "wrong-type"),
    "feedback ignored": (FEEDBACK, item(outcome="ignored"), 400, "wrong-type"),
    "feedback without a time": (FEEDBACK, item(outcomeTimestamp=None), 400, "missing-field"),
    "feedback at no time": (FEEDBACK, item(outcomeTimestamp=CANARY), 422, "value-not-accepted"),
    "feedback without a zone": (FEEDBACK, item(outcomeTimestamp="2026-11-01T08:00:00"), 422, "value-not-accepted"),
    "accepted without suggestions": (FEEDBACK, item(outcome="accepted"), 400, "missing-field"),
    "accepted no suggestion": (FEEDBACK, item(outcome="accepted", acceptedSuggestions=[]), 422, "length-not-accepted"),
    "accepted no UUID": (FEEDBACK, item(outcome="accepted", acceptedSuggestions=[{"id": CANARY}]), 400, "wrong-type"),
    "a reason without a code": (FEEDBACK, item(overrideReason={"reason": {"display": CANARY}}), 400, "missing-field"),
    "too much feedback": (FEEDBACK, {"feedback": item()["feedback"] * 201}, 422, "length-not-accepted"),
    # FHIR
    "no Bundle": (RISK, {"resourceType": "Patient", "id": CANARY}, 422, "value-not-accepted"),
    "a Bundle without a patient": (RISK, risk(fb.infusion()), 422, "patient-not-named"),
    "a Bundle of two patients": (RISK, risk(fb.patient(), fb.patient(id=CANARY)), 422, "patients-several"),
    "a Bundle with a value of another": (
        RISK,
        risk(fb.patient(), fb.result("o", "1988-5", 1.0, "mg/L", **OTHER)),
        422,
        "other-patient",
    ),
    "a Bundle of the future": (RISK, risk(fb.patient(), timestamp="2999-01-01T00:00:00Z"), 422, "value-not-accepted"),
    "a Bundle at no time": (RISK, risk(fb.patient(), timestamp=CANARY), 422, "value-not-accepted"),
    "a Bundle of one day": (RISK, risk(fb.patient(), timestamp="2026-01-01"), 422, "value-not-accepted"),
    # addresses
    "a service that is not there": (f"/cds-services/{CANARY}", view(), 404, "not-found"),
    "feedback on no service": (f"/cds-services/{CANARY}/feedback", item(), 404, "not-found"),
    "another FHIR address": (f"/fhir/Patient/{CANARY}", view(), 404, "not-found"),
}


def test_the_corpus_is_large() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("named", CASES)
def test_an_invalid_call_is_refused_as_it_should_be_and_nothing_of_it_comes_back(crs: Server, named: str) -> None:
    path, body, status, code = CASES[named]
    reply = crs.call("POST", path, body)
    assert (reply.status, reply.headers["content-type"]) == (status, "application/fhir+json")
    (issue,) = reply.json["issue"]
    assert (reply.json["resourceType"], issue["severity"]) == ("OperationOutcome", "error")
    assert issue["details"]["coding"][0]["code"] == code
    said = reply.body.decode() + json.dumps(dict(reply.headers))
    assert CANARY not in said
    assert "4711" not in said


def test_none_of_them_left_a_value_in_the_log_or_the_ledger(crs: Server) -> None:
    for path, body, _, _ in CASES.values():
        crs.call("POST", path, body)
    files = [one for one in crs.log.parent.rglob("*") if one.is_file()]
    assert [one.name for one in files if CANARY.encode() in one.read_bytes()] == []
    assert "Traceback" not in crs.printed
    refused = {one.body["code"] for one in records(crs, Kind.REFUSAL)}
    assert {code for path, _, _, code in CASES.values() if code != "not-found"} <= refused


@pytest.mark.parametrize("path", [VIEW, FEEDBACK, RISK])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_405_and_says_which_is_taken(crs: Server, path: str, method: str) -> None:
    reply = crs.call(method, path)
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert reply.json["issue"][0]["code"] == "not-supported"


def test_discovery_is_read_and_not_written(crs: Server) -> None:
    assert crs.call("POST", "/cds-services", {CANARY: 1}).status == 405


@pytest.mark.parametrize("media", ["text/plain", "application/xml", "application/vnd.bentoml+pickle"])
def test_another_media_type_is_415(crs: Server, media: str) -> None:
    reply = crs.call("POST", VIEW, view(), {"Content-Type": media})
    assert (reply.status, reply.json["resourceType"]) == (415, "OperationOutcome")


PARTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "hook": lambda one: {**call(), "hook": one},
    "context": lambda one: {**call(), "context": one},
    "prefetch": lambda one: {**call(), "prefetch": one},
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "", "x", [], [[]], {}, {"a": None}, None])
def test_no_odd_value_is_ever_answered_with_5xx(crs: Server, part: str, value: Any) -> None:
    assert 400 <= crs.call("POST", VIEW, PARTS[part](value)).status < 500
