"""Lines 1 to 20 of the requirements on a CDS Hooks service, each test named after its line, over HTTP.

Lines 21 to 24 stand in test_trust.py and test_signed.py.
"""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from audit.events import Kind, Record
from audit.ledger import open_ledger
from features import catalogue
from serving.cds.services import KEYS
from serving.trust.settings import Hooks, Trust
from tests.contract.cds_hooks import ehr
from tests.contract.cds_hooks.ehr import TOKEN, StandIn, authorization, call, context, prefetch
from tests.serving import fhir_builders as fb
from tests.serving.builders import Reply, Server
from tests.serving.test_front import Behind
from tests.serving.test_front import ask as ask_front

pytestmark = pytest.mark.slow
VIEW = "/cds-services/crs-risk-patient-view"
HOOKS = list(Hooks().enabled)
PORTABLE = re.compile(
    r"Patient/\{\{context\.patientId\}\}"
    r"|[A-Z][A-Za-z]+\?patient=\{\{context\.patientId\}\}"
    r"(&(code|category|status)=[^&{}]+|&_count=\d+|&_sort=-?[a-z-]+)*"
)


def ask(server: Server, body: Any, path: str = "", **headers: str) -> Reply:
    return server.call("POST", path or f"/cds-services/crs-risk-{body['hook']}", body, headers)


def card(server: Server, day: float = 3, hook: str = "patient-view") -> dict[str, Any]:
    """The one card for that day of the stand-in patient."""
    reply = ask(server, call(hook, prefetch=prefetch(day)))
    assert reply.status == 200, reply.body
    (one,) = reply.json["cards"]
    found: dict[str, Any] = one
    return found


def records(server: Server, kind: Kind) -> list[Record]:
    with open_ledger(server.home, writes=False) as ledger:
        return list(ledger.records(kind))


def members(part: Any, path: str = "$") -> Iterator[tuple[str, Any]]:
    """Every member of a JSON document, with its way there."""
    held = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for name, value in held:
        yield f"{path}.{name}", value
        yield from members(value, f"{path}.{name}")


def services(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.call("GET", "/cds-services").json["services"]
    return found


# Discovery


def test_line_01_discovery_is_there_and_is_an_object_with_an_array_of_services(crs: Server) -> None:
    reply = crs.call("GET", "/cds-services")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert list(reply.json) == ["services"]
    assert len(reply.json["services"]) == 4


def test_line_01_where_nothing_is_offered_the_array_is_empty() -> None:
    told = ask_front(Behind(), path="/cds-services", method="GET", settings=Trust(hooks=Hooks(enabled=())))
    assert (told.status, told.body) == (200, b'{"services":[]}')


def test_line_02_each_service_has_hook_description_id_title_and_version(crs: Server) -> None:
    for one in services(crs):
        assert {"hook", "description", "id", "title", "version", "prefetch"} <= set(one)
        assert "hookVersion" not in one
    assert [one["hook"] for one in services(crs)] == ["patient-view", "order-select", "order-sign", "encounter-start"]


def test_line_03_ids_are_distinct_per_hook_and_lead_to_their_service(crs: Server) -> None:
    ids = [one["id"] for one in services(crs)]
    assert len(set(ids)) == len(ids)
    for one in services(crs):
        assert ask(crs, call(one["hook"], prefetch=prefetch(3)), f"/cds-services/{one['id']}").status == 200


def test_line_04_prefetch_templates_stay_in_the_portable_subset(crs: Server) -> None:
    for one in services(crs):
        assert list(one["prefetch"]) == list(KEYS)
        for template in one["prefetch"].values():
            assert PORTABLE.fullmatch(template), template
    tables = catalogue.load()
    for code in re.findall(r"loinc\.org\|([0-9-]+)", services(crs)[0]["prefetch"]["labs"]):
        analyte = tables.analyte_by_code("LOINC", code)
        assert analyte is not None
        assert analyte.kind in ("lab", "cytokine")
    assert "2276-4" in services(crs)[0]["prefetch"]["labs"]


# JSON


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("day", [-5, 0, 3, 20, 60])
def test_line_05_no_member_of_any_answer_is_null_or_empty(crs: Server, hook: str, day: int) -> None:
    reply = ask(crs, call(hook, prefetch=prefetch(day)))
    assert reply.status == 200
    found = [path for path, value in members(reply.json) if value in (None, "", [], {}) and path != "$.cards"]
    assert found == []


def test_line_05_neither_is_one_of_discovery_of_feedback_or_of_an_error(crs: Server) -> None:
    told = (
        crs.call("GET", "/cds-services"),
        ask(crs, call()),
        ask(crs, {"hook": "patient-view"}),
        report(crs, feedback(str(uuid.uuid4()))),
    )
    for body in (reply.json for reply in told):
        assert [path for path, value in members(body) if value in (None, "", [], {})] == []


def test_line_05_a_prefetch_value_may_be_null_and_says_that_there_are_no_data(crs: Server) -> None:
    held = {**prefetch(3), "vitals": None, "meds": None, "admin": None}
    reply = ask(crs, call(prefetch=held))
    assert reply.status == 200
    assert "Not sent by the EHR" not in reply.json["cards"][0]["detail"]


def test_line_06_extensions_are_read_over_wherever_they_stand(crs: Server) -> None:
    more = {"com.example.timestamp": {"a": [1]}}
    body = call(prefetch=prefetch(3), extension=more, context={**context(), "extension": more, "com.example.x": 1})
    assert ask(crs, body).status == 200
    assert ask(crs, {**call(prefetch=prefetch(3)), "com.example.unheard-of": [None]}).status == 200


# The call


def test_line_07_all_members_of_a_call_are_taken(crs: Server, fhir: StandIn) -> None:
    body = call(prefetch=prefetch(3), fhirServer=fhir.base, fhirAuthorization=authorization())
    assert ask(crs, body).status == 200


@pytest.mark.parametrize("member", ["hook", "hookInstance", "context"])
def test_line_07_the_required_ones_are_required(crs: Server, member: str) -> None:
    reply = ask(crs, {name: value for name, value in call(prefetch=prefetch(3)).items() if name != member}, VIEW)
    assert reply.status == 400
    assert f"$.{member}" in reply.json["issue"][0]["diagnostics"]


def test_line_07_an_authorization_needs_its_server_and_the_server_https(crs: Server) -> None:
    body = call(prefetch=prefetch(3), fhirAuthorization=authorization())
    assert ask(crs, body).status == 400
    assert ask(crs, call(prefetch=prefetch(3), fhirServer="http://ehr.example/fhir")).status == 422
    assert ask(crs, call(prefetch=prefetch(3), fhirServer="https://ehr.example/fhir")).status == 200


def test_line_08_the_access_token_is_neither_stored_nor_shared_nor_logged(crs: Server, fhir: StandIn) -> None:
    for server in (fhir.base, "https://other.example/fhir"):
        reply = ask(crs, call(fhirServer=server, fhirAuthorization=authorization()))
        assert TOKEN not in reply.body.decode()
    broken = {**call(fhirServer=fhir.base, fhirAuthorization=authorization(token_type="Mac"))}
    assert ask(crs, broken).status == 400
    assert fhir.tokens == {f"Bearer {TOKEN}"}
    files = [path for path in crs.log.parent.rglob("*") if path.is_file()]
    assert files
    assert [path.name for path in files if TOKEN.encode() in path.read_bytes()] == []


def test_line_09_keys_may_be_left_out_be_null_or_hold_an_operation_outcome(crs: Server) -> None:
    failed = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "forbidden"}]}
    held = {**prefetch(3), "vitals": failed, "admin": None}
    del held["meds"]
    reply = ask(crs, call(prefetch=held))
    assert reply.status == 200
    assert "**Not sent by the EHR**: vitals, meds." in reply.json["cards"][0]["detail"]


def test_line_09_a_failed_key_counts_as_missing(crs: Server) -> None:
    failed = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "forbidden"}]}
    reply = ask(crs, call(prefetch={**prefetch(3), "labs": failed}))
    assert reply.status == 412
    assert reply.json["issue"][0]["details"]["text"].endswith("fetched: labs")


def test_line_09_a_bundle_with_a_next_page_is_read_on(crs: Server, fhir: StandIn) -> None:
    held = prefetch(3)
    page = f"{fhir.base}/Observation?patient=p1&from=0"
    first = {**fb.bundle(), "link": [{"relation": "next", "url": page}]}
    body = call(prefetch={**held, "labs": first})
    alone = ask(crs, body).json["cards"][0]
    assert "**Not read**" in alone["detail"]
    more = ask(crs, {**body, "fhirServer": fhir.base, "fhirAuthorization": authorization()}).json["cards"][0]
    assert "**Not read**" not in more["detail"]
    assert fhir.asked == ["/fhir/Observation?patient=p1&from=0"]


@pytest.mark.parametrize("key", ["patient", "labs"])
def test_line_10_required_data_that_cannot_be_had_are_412_and_named(crs: Server, key: str) -> None:
    held = prefetch(3)
    del held[key]
    reply = ask(crs, call(prefetch=held))
    assert (reply.status, reply.json["resourceType"]) == (412, "OperationOutcome")
    assert reply.json["issue"][0]["details"]["text"].endswith(f"fetched: {key}")


def test_line_10_what_was_not_sent_is_fetched(crs: Server, fhir: StandIn) -> None:
    reply = ask(crs, call(fhirServer=fhir.base, fhirAuthorization=authorization()))
    assert reply.status == 200
    assert len(fhir.asked) == len(KEYS)
    assert "Not sent by the EHR" not in reply.json["cards"][0]["detail"]


def test_line_10_nothing_is_said_of_a_patient_whose_therapies_are_not_known(crs: Server) -> None:
    held = {key: value for key, value in prefetch(3).items() if key not in ("meds", "admin", "procedures")}
    reply = ask(crs, call(prefetch=held))
    assert reply.status == 412
    assert "one of meds, admin, procedures" in reply.json["issue"][0]["details"]["text"]
    assert ask(crs, call("order-sign", prefetch=held)).status == 200  # the order says it


def test_line_11_an_answer_is_there_on_the_order_of_half_a_second(crs: Server) -> None:
    body = call(prefetch=prefetch(3))
    ask(crs, body)
    ask(crs, body)
    times = re.findall(r"patient-view 200 ([0-9.]+) ms", crs.printed)
    assert min(float(one) for one in times) < 500


def test_line_12_success_is_200_with_cards_and_nothing_else(crs: Server) -> None:
    assert list(ask(crs, call(prefetch=prefetch(3))).json) == ["cards"]
    assert ask(crs, call(prefetch=prefetch(60))).json == {"cards": []}


def test_line_12_no_cards_only_where_the_patient_is_not_concerned(crs: Server) -> None:
    unconcerned = prefetch(60)
    assert ask(crs, call(prefetch=unconcerned)).json == {"cards": []}
    dead = {**prefetch(3), "patient": fb.patient(deceasedBoolean=True)}
    ended = ask(crs, call(prefetch=dead)).json["cards"][0]
    assert ended["indicator"] == "info"
    assert "not evaluated" in ended["summary"]
    assert "which does not mean a low risk" in ended["detail"]
    two = {**prefetch(-5), "meds": fb.bundle(fb.order("a", "1987398", "2026-11-01T00:00:00Z"))}
    at = two["meds"]["entry"][0]["resource"]["authoredOn"] = prefetch(-5)["meds"]["entry"][0]["resource"]["authoredOn"]
    other = fb.order("b", "2619438", at)
    two["meds"] = fb.bundle(two["meds"]["entry"][0]["resource"], other)
    unclear = ask(crs, call(prefetch=two)).json["cards"][0]
    assert (unclear["indicator"], "which one is meant is not clear" in unclear["detail"]) == ("info", True)


# Cards


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("day", [-5, 0, 1, 3, 20])
def test_line_13_a_card_has_summary_indicator_source_and_detail(crs: Server, hook: str, day: int) -> None:
    one = card(crs, day, hook)
    assert 0 < len(one["summary"]) < 140
    assert "\n" not in one["summary"]
    assert one["indicator"] in ("info", "warning", "critical")
    assert one["source"]["label"] == "CRS Risk, version 1"
    assert one["source"]["url"] == f"{crs.url}/"
    assert "<" not in one["detail"]


def test_line_13_the_detail_tells_intervals_horizon_grading_missing_cautions_and_version(crs: Server) -> None:
    detail = card(crs, 1)["detail"]
    for words in (
        "95 % interval",
        "day 14",
        "Grades: ",
        "**Missing**",
        "**Cautions**",
        "version 1",
        "Strongest reasons",
    ):
        assert words in detail
    assert re.search(r"\| CRS of grade 2 or worse \| \d+\.\d % \| \d+\.\d % to \d+\.\d % \|", detail)


def test_line_13_nothing_of_the_chart_is_repeated(crs: Server) -> None:
    planted = "<img src=x>CANARY"
    held = prefetch(3)
    for entry in held["labs"]["entry"]:
        entry["resource"]["code"]["text"] = planted
        entry["resource"]["note"] = [{"text": planted}]
    held["conditions"]["entry"].append({"resource": fb.diagnosis(planted, planted)})
    held[planted] = fb.bundle(fb.diagnosis("x", planted))
    reply = ask(crs, call(prefetch=held, context={**context(), "userId": planted}))
    assert reply.status == 200
    assert "CANARY" not in reply.body.decode()


def test_line_14_suggestions_come_with_a_selection_behaviour_and_only_they_do(crs: Server) -> None:
    found = [card(crs, day) for day in ehr.DAYS]
    assert any("suggestions" in one for one in found)
    for one in found:
        assert ("selectionBehavior" in one) == ("suggestions" in one)
        assert one.get("selectionBehavior", "any") == "any"


def test_line_15_a_suggestion_has_a_label_and_creates_orders_of_laboratory_tests_alone(crs: Server) -> None:
    offered = [one for day in ehr.DAYS for one in card(crs, day).get("suggestions", ())]
    assert offered
    tables = catalogue.load()
    for one in offered:
        assert one["label"].startswith("Order ")
        for action in one["actions"]:
            order = action["resource"]
            assert (action["type"], order["resourceType"], order["status"]) == ("create", "ServiceRequest", "draft")
            assert action["description"]
            (coding,) = order["code"]["coding"]
            analyte = tables.analyte_by_code("LOINC", coding["code"])
            assert analyte is not None
            assert analyte.kind in ("lab", "cytokine")
            assert order["subject"] == {"reference": "Patient/p1"}


def test_line_16_a_link_is_absolute_and_leads_to_our_page(crs: Server) -> None:
    (link,) = card(crs)["links"]
    assert (link["url"], link["type"]) == (f"{crs.url}/", "absolute")
    assert "appContext" not in link
    assert crs.call("GET", "/").status == 200


def test_line_17_every_override_reason_has_a_display(crs: Server) -> None:
    reasons = card(crs)["overrideReasons"]
    assert all(one["display"] and one["code"] and one["system"] for one in reasons)
    assert len({one["code"] for one in reasons}) == len(reasons) == 4


def test_line_18_the_cards_uuid_is_the_predictions_and_stands_in_the_ledger(crs: Server) -> None:
    one = card(crs)
    (record,) = [held for held in records(crs, Kind.PREDICTION) if held.event_id == one["uuid"]]
    assert uuid.UUID(one["uuid"]).version == 4
    assert record.body["hook"] == "patient-view"
    assert record.body["service"] == "crs-risk-patient-view"
    assert uuid.UUID(record.body["hook_instance"])
    assert len(record.body["sources"]) > 5
    assert all(uuid.UUID(held["uuid"]) for held in one.get("suggestions", ()))


def test_line_19_system_actions_are_never_sent(crs: Server) -> None:
    for hook in HOOKS:
        assert "systemActions" not in ask(crs, call(hook, prefetch=prefetch(3))).json


# Feedback


def feedback(name: str, **changes: Any) -> dict[str, Any]:
    held = {"card": name, "outcome": "overridden", "outcomeTimestamp": "2026-11-01T08:00:00Z"}
    return {key: value for key, value in {**held, **changes}.items() if value is not None}


def report(server: Server, *items: dict[str, Any]) -> Reply:
    return server.call("POST", f"{VIEW}/feedback", {"feedback": list(items)})


def of_card(server: Server, name: str) -> list[Record]:
    return [one for one in records(server, Kind.FEEDBACK) if one.body["card"] == name]


def test_line_20_feedback_is_appended_and_the_same_report_again_is_the_same_record(crs: Server) -> None:
    name = card(crs)["uuid"]
    first = report(crs, feedback(name))
    again = report(crs, feedback(name))
    later = report(crs, feedback(name, outcomeTimestamp="2026-11-01T07:00:00Z"))
    statuses = [reply.json["feedback"][0]["status"] for reply in (first, again, later)]
    assert statuses == ["recorded", "already-recorded", "recorded"]
    assert first.json["feedback"][0]["record"] == again.json["feedback"][0]["record"]
    assert [one.body["at"] for one in of_card(crs, name)] == [
        "2026-11-01T08:00:00.000000Z",
        "2026-11-01T07:00:00.000000Z",
    ]


def test_line_20_accepted_suggestions_and_override_reasons_are_kept_and_comments_are_not(crs: Server) -> None:
    name, taken = card(crs)["uuid"], str(uuid.uuid4())
    reason = {"reason": {"code": "known", "system": "urn:crs-risk:override-reason"}, "userComment": "CANARY of Mrs X"}
    strange = {"reason": {"code": "CANARY", "system": "urn:other"}}
    reply = report(
        crs,
        feedback(name, outcome="accepted", acceptedSuggestions=[{"id": taken}]),
        feedback(name, overrideReason=reason),
        feedback(name, overrideReason=strange),
    )
    assert (reply.status, len(reply.json["feedback"])) == (200, 3)
    bodies = [one.body for one in of_card(crs, name)]
    assert [one["suggestions"] for one in bodies] == [[taken], [], []]
    assert [one["reason"] for one in bodies] == ["", "known", "other"]
    assert [one["comments_dropped"] for one in bodies] == [0, 1, 0]
    assert "CANARY" not in json.dumps([dict(one) for one in bodies])


def test_line_20_an_unknown_card_is_recorded_as_unknown(crs: Server) -> None:
    name = str(uuid.uuid4())
    assert report(crs, feedback(name)).json["feedback"][0]["status"] == "recorded-unknown-card"
    assert [one.body["known"] for one in of_card(crs, name)] == [False]


def test_line_20_an_accepted_card_names_what_was_taken(crs: Server) -> None:
    name = card(crs)["uuid"]
    assert report(crs, feedback(name, outcome="accepted")).status == 400
    assert of_card(crs, name) == []


# The safety rule


def test_section_1_3_7_a_resource_of_another_patient_is_refused_and_recorded_and_never_scored(crs: Server) -> None:
    held = prefetch(3)
    held["labs"]["entry"][0]["resource"]["subject"]["reference"] = "Patient/other-4711"
    before = len(records(crs, Kind.PREDICTION))
    reply = ask(crs, call(prefetch=held))
    assert (reply.status, reply.json["issue"][0]["details"]["coding"][0]["code"]) == (422, "other-patient")
    assert len(records(crs, Kind.PREDICTION)) == before
    last = records(crs, Kind.REFUSAL)[-1].body
    assert (last["code"], last["route"], last["status"]) == ("other-patient", VIEW, 422)
    assert "4711" not in reply.body.decode()


def test_an_answer_without_a_card_is_recorded_too(crs: Server) -> None:
    body = call(prefetch=prefetch(60))
    reply = ask(crs, body)
    last = records(crs, Kind.REFUSAL)[-1]
    assert (last.body["code"], last.body["status"]) == ("not-concerned", 200)
    assert last.body["hook_instance"] == body["hookInstance"]
    assert reply.headers["x-crs-risk-record"] == f"{last.sequence} {last.hash}"


@pytest.mark.parametrize("media", ["application/json", "application/fhir+json", "application/json+fhir"])
def test_section_1_3_11_the_media_types_of_browser_clients_are_taken(crs: Server, media: str) -> None:
    reply = ask(crs, call(prefetch=prefetch(3)), **{"Content-Type": media, "Accept": "application/json+fhir"})
    assert reply.status == 200
