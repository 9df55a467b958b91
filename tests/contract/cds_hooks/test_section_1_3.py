"""Section 1.3 of the requirements, hooks and prefetch, each test named after its line, over HTTP."""

import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.events import Kind
from features import catalogue
from tests.contract.cds_hooks import ehr
from tests.contract.cds_hooks.ehr import StandIn, authorization, call, context, prefetch
from tests.contract.cds_hooks.test_lines import HOOKS, ask, feedback, records, report, services
from tests.serving import fhir_builders as fb
from tests.serving.builders import Server

pytestmark = pytest.mark.slow
#: What a template may be, with the date that is an option.
OPTIONAL = ("vitals", "conditions")
WITHOUT_ONE = ("meds", "admin", "procedures")


def cards(server: Server, held: dict[str, Any], hook: str = "patient-view", **changes: Any) -> list[dict[str, Any]]:
    reply = ask(server, call(hook, prefetch=held, **changes))
    assert reply.status == 200, reply.body
    found: list[dict[str, Any]] = reply.json["cards"]
    return found


@pytest.mark.parametrize("hook", ["patient-view", "order-sign", "order-select", "encounter-start"])
def test_section_1_3_1_the_hook_is_offered_and_answered(crs: Server, hook: str) -> None:
    (one,) = [held for held in services(crs) if held["hook"] == hook]
    reply = ask(crs, call(hook, prefetch=prefetch(1)), f"/cds-services/{one['id']}")
    assert (reply.status, len(reply.json["cards"])) == (200, 1)


def ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")


@pytest.mark.parametrize("hook", ["order-sign", "order-select"])
def test_section_1_3_1_the_order_of_the_next_step_up_dose_raises_a_card_of_the_course(crs: Server, hook: str) -> None:
    given = fb.bundle(fb.drug("m1", "1597258", ago(3)))
    held = {**prefetch(-400), "meds": None, "admin": given, "procedures": None}
    said = context(hook, draftOrders=fb.bundle(ehr.draft("1597258")))
    (one,) = cards(crs, held, hook, context=said)
    assert one["detail"].startswith("**blinatumomab**, 72 hours after the latest dose")


def test_section_1_3_1_lymphodepletion_raises_a_card_where_cells_are_planned_and_none_elsewhere(crs: Server) -> None:
    """Cyclophosphamide is given for much else, too: what tells is the order of the cells."""
    said = context("order-sign", draftOrders=fb.bundle(ehr.draft("3002")))
    planned, alone = prefetch(-5), {**prefetch(-400), "meds": None}
    assert [len(cards(crs, held, "order-sign", context=said)) for held in (planned, alone)] == [1, 0]


@pytest.mark.parametrize("day", [-100, 31, 400])
def test_section_1_3_2_nobody_else_is_disturbed(crs: Server, day: float) -> None:
    for hook in ("patient-view", "encounter-start"):
        assert cards(crs, prefetch(day), hook) == []


@pytest.mark.parametrize("day", [-5, 0, 29])
def test_section_1_3_2_with_a_plan_and_in_the_first_thirty_days_there_is_a_card(crs: Server, day: float) -> None:
    assert len(cards(crs, prefetch(day))) == 1


@pytest.mark.parametrize("code", ["1987398", "1597258"], ids=["CAR-T cells", "an engager"])
@pytest.mark.parametrize("hook", ["order-sign", "order-select"])
def test_section_1_3_2_the_draft_of_a_therapy_raises_a_card_and_that_of_another_drug_none(
    crs: Server, hook: str, code: str
) -> None:
    held = {**prefetch(-400), "meds": None}
    drafts = {one: fb.bundle(ehr.draft(one)) for one in (code, "121191")}
    found = {one: cards(crs, held, hook, context=context(hook, draftOrders=drafts[one])) for one in drafts}
    assert {one: len(shown) for one, shown in found.items()} == {code: 1, "121191": 0}


def test_section_1_3_3_the_templates_are_the_seven_with_their_searches(crs: Server) -> None:
    for one in services(crs):
        shown = {key: re.split(r"[?&]", template) for key, template in one["prefetch"].items()}
        assert {key: parts[0] for key, parts in shown.items()} == {
            **ehr.KINDS,
            "patient": "Patient/{{context.patientId}}",
        }
        assert all("patient={{context.patientId}}" in parts for key, parts in shown.items() if key != "patient")
        assert {"category=vital-signs", "_sort=-date"} <= set(shown["vitals"])
        assert "_sort=-date" in shown["labs"]
        assert any(part.startswith("category=problem-list-item") for part in shown["conditions"])
        assert {"active", "completed"} <= set(shown["meds"][2].removeprefix("status=").split(","))
        assert not any(part.startswith("code=") for part in shown["procedures"])  # cut in the service


def test_section_1_3_3_the_laboratory_codes_that_are_asked_for_are_those_that_are_read(crs: Server) -> None:
    asked = set(re.findall(r"loinc\.org\|([0-9-]+)", services(crs)[0]["prefetch"]["labs"]))
    checked, tables = fb.KNOWN.checked.analyte_codes, catalogue.load()
    assert asked == {
        code
        for (system, code), key in checked.items()
        if system == "LOINC" and key and tables.analytes[key].kind in ("lab", "cytokine")
    }
    assert {"2276-4", "1988-5"} <= asked


def test_section_1_3_4_windows_are_cut_in_the_service(crs: Server) -> None:
    """The prefetch of this service names no date: what is too old is sent, and changes nothing."""
    assert "today()" not in json.dumps(services(crs))
    old = fb.result("old", "1988-5", 400.0, "mg/L", "2020-01-01T00:00:00Z")
    held = prefetch(1)
    plain = cards(crs, held)[0]["detail"]
    held["labs"]["entry"].append({"resource": old})
    assert cards(crs, held)[0]["detail"] == plain


@pytest.mark.parametrize("key", ["patient", "labs"])
def test_section_1_3_5_patient_and_labs_are_needed(crs: Server, key: str) -> None:
    held = prefetch(3)
    del held[key]
    reply = ask(crs, call(prefetch=held))
    assert (reply.status, reply.json["issue"][0]["code"]) == (412, "required")
    assert reply.json["issue"][0]["details"]["text"].endswith(f"fetched: {key}")


@pytest.mark.parametrize("key", [*OPTIONAL, *WITHOUT_ONE])
def test_section_1_3_6_without_another_key_there_is_a_card_that_says_what_was_absent(crs: Server, key: str) -> None:
    held = prefetch(3)
    del held[key]
    if key == "procedures":  # then the order is what is known of the therapy
        held["meds"] = prefetch(-5)["meds"]
    (one,) = cards(crs, held)
    assert f"**Not sent by the EHR**: {key}." in one["detail"]


# The safety rule

SUBJECTS = st.sampled_from(
    [
        {"subject": {"reference": "Patient/other-4711"}},
        {"subject": {"reference": "https://ehr.example/fhir/Patient/other-4711"}},
        {"subject": {"reference": "Patient/other-4711/_history/2"}},
        {"subject": {"reference": "Group/4711"}},
        {"subject": {"reference": "Patient/P1"}},
    ]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), hook=st.sampled_from(HOOKS), foreign=SUBJECTS)
def test_section_1_3_7_one_resource_of_anybody_else_refuses_the_call_wherever_it_stands(
    crs: Server, data: st.DataObject, hook: str, foreign: dict[str, Any]
) -> None:
    held = prefetch(3)
    key = data.draw(st.sampled_from([key for key in held if key != "patient" and held[key]["entry"]]))
    entries = held[key]["entry"]
    place = data.draw(st.integers(0, len(entries) - 1))
    entries[place] = {"resource": {**entries[place]["resource"], **foreign}}
    reply = ask(crs, call(hook, prefetch=held))
    assert (reply.status, reply.json["issue"][0]["details"]["coding"][0]["code"]) == (422, "other-patient")
    assert "4711" not in reply.body.decode()


# What was seen with a browser's client


def test_section_1_3_8_each_hook_has_an_address_of_its_own(crs: Server) -> None:
    addresses = {one["hook"]: one["id"] for one in services(crs)}
    assert addresses == {hook: f"crs-risk-{hook}" for hook in HOOKS}


def test_section_1_3_10_no_encounter_is_needed_where_a_chart_is_opened(crs: Server) -> None:
    assert "encounterId" not in context()
    assert len(cards(crs, prefetch(3))) == 1
    assert len(cards(crs, prefetch(3), context=context(encounterId="e1"))) == 1


def test_section_1_3_12_a_clicked_suggestion_and_a_dismissed_card_are_both_taken(crs: Server) -> None:
    (one,) = cards(crs, prefetch(1))
    taken = one["suggestions"][0]["uuid"]
    clicked = feedback(one["uuid"], outcome="accepted", acceptedSuggestions=[{"id": taken}])
    dismissed = feedback(one["uuid"], overrideReason={"reason": one["overrideReasons"][0]})
    reply = report(crs, clicked, dismissed)
    assert [held["status"] for held in reply.json["feedback"]] == ["recorded", "recorded"]
    kept = [held.body for held in records(crs, Kind.FEEDBACK) if held.body["card"] == one["uuid"]]
    assert [(held["outcome"], held["suggestions"]) for held in kept] == [("accepted", [taken]), ("overridden", [])]


def test_section_1_3_3_what_is_fetched_is_what_the_templates_ask_for(crs: Server, fhir: StandIn) -> None:
    templates = services(crs)[0]["prefetch"]
    asked = call(fhirServer=fhir.base, fhirAuthorization=authorization(), hookInstance=str(uuid.uuid4()))
    assert ask(crs, asked).status == 200
    wanted = {one.replace("{{context.patientId}}", "p1") for one in templates.values()}
    assert {one.removeprefix("/fhir/") for one in fhir.asked} == wanted
