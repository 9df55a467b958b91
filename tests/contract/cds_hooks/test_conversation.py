"""The whole conversation: an EHR that sends nothing along, a service that reads what it needs from its FHIR server."""

import json
import subprocess
import sys
from typing import Any

import pytest

from audit.events import Kind
from audit.ledger import open_ledger
from tests.contract.cds_hooks import ehr
from tests.contract.cds_hooks.ehr import TOKEN, StandIn, authorization, call, context
from tests.contract.cds_hooks.test_lines import ask, feedback, records, report
from tests.serving import fhir_builders as fb
from tests.serving.builders import ROOT, Reply, Server

pytestmark = pytest.mark.slow


def asked(crs: Server, fhir: StandIn, hook: str = "patient-view", **changes: Any) -> Reply:
    """A call without prefetch and with the right to read."""
    return ask(crs, call(hook, **{"fhirServer": fhir.base, "fhirAuthorization": authorization(), **changes}))


def test_from_the_order_to_the_third_day(crs: Server, fhir: StandIn) -> None:
    templates = crs.call("GET", "/cds-services").json["services"][0]["prefetch"]
    details: dict[int, str] = {}
    for day in ehr.DAYS:
        fhir.reset(day=day)
        hook = "order-sign" if day == -5 else "encounter-start" if day == -1 else "patient-view"
        reply = asked(crs, fhir, hook)
        assert reply.status == 200
        (card,) = reply.json["cards"]
        details[day] = card["detail"]
        assert sorted(fhir.asked) == sorted(
            f"/fhir/{one.replace('{{context.patientId}}', 'p1')}" for one in templates.values()
        )
        record = records(crs, Kind.PREDICTION)[-1]
        assert record.event_id == card["uuid"]
        assert record.body["fetched"] == sorted(templates)
        assert (record.body["planned"], record.body["hook"]) == (day < 0, hook)
        assert report(crs, feedback(card["uuid"])).json["feedback"][0]["status"] == "recorded"
    for day in range(-5, 0):
        assert "planned: as if it began now" in details[day]
    assert "24 hours after the infusion" in details[1]
    assert "| CRS of grade 2 or worse | charted already |" in details[3]
    assert "Tocilizumab, siltuximab, anakinra or a corticosteroid was given" in details[3]


def test_it_ends_with_silence_once_the_weeks_are_over(crs: Server, fhir: StandIn) -> None:
    fhir.reset(day=40)
    assert asked(crs, fhir).json == {"cards": []}


def test_what_is_fetched_gives_the_answer_that_prefetch_gives(crs: Server, fhir: StandIn) -> None:
    fetched = asked(crs, fhir).json["cards"][0]
    sent = ask(crs, call(prefetch=ehr.prefetch(3))).json["cards"][0]
    ids = ("uuid", "suggestions")
    assert {key: one for key, one in fetched.items() if key not in ids} == {
        key: one for key, one in sent.items() if key not in ids
    }


def test_only_what_is_missing_is_fetched(crs: Server, fhir: StandIn) -> None:
    held = ehr.prefetch(3)
    del held["labs"]
    assert asked(crs, fhir, prefetch=held).status == 200
    assert [one.split("&")[0] for one in fhir.asked] == ["/fhir/Observation?patient=p1"]


def test_pages_are_followed_and_no_further_than_may_be(crs: Server, fhir: StandIn) -> None:
    fhir.reset(page=10)
    assert "**Not read**" not in asked(crs, fhir).json["cards"][0]["detail"]
    assert len([one for one in fhir.asked if "code=" in one]) == 3
    fhir.reset(page=2)
    assert "**Not read**" in asked(crs, fhir).json["cards"][0]["detail"]
    assert len([one for one in fhir.asked if "code=" in one]) == 4
    fhir.reset(endless=True)
    assert asked(crs, fhir).status == 200


def test_a_page_of_another_origin_is_never_asked_for(crs: Server, fhir: StandIn) -> None:
    fhir.reset(page=2, foreign_pages=f"http://localhost:{fhir.port}")
    reply = asked(crs, fhir)
    assert reply.status == 200
    assert "**Not read**" in reply.json["cards"][0]["detail"]
    assert not [one for one in fhir.asked if "from=" in one]


@pytest.mark.parametrize("server", ["https://ehr.example/fhir", "http://127.0.0.1:1/fhir"])
def test_a_server_that_is_not_listed_is_never_asked(crs: Server, fhir: StandIn, server: str) -> None:
    reply = asked(crs, fhir, fhirServer=server)
    assert reply.status == 412
    assert fhir.asked == []


def test_a_path_beside_the_listed_one_is_another_server(crs: Server, fhir: StandIn) -> None:
    assert asked(crs, fhir, fhirServer=f"{fhir.base}/../other").status == 412
    assert asked(crs, fhir, fhirServer=f"{fhir.base}2").status == 412
    assert fhir.asked == []


def test_without_an_authorization_nothing_is_fetched(crs: Server, fhir: StandIn) -> None:
    assert asked(crs, fhir, fhirAuthorization=None).status == 412
    assert fhir.asked == []


def test_a_redirect_is_not_followed(crs: Server, fhir: StandIn) -> None:
    fhir.reset(redirected=frozenset({"Patient"}))
    assert asked(crs, fhir).status == 412
    assert not [one for one in fhir.asked if "elsewhere" in one]


def test_a_token_that_is_not_taken_is_412_and_names_what_is_missing(crs: Server, fhir: StandIn) -> None:
    reply = asked(crs, fhir, fhirAuthorization=authorization(access_token="wrong"))
    assert reply.status == 412
    assert "patient, labs, one of meds, admin, procedures" in reply.json["issue"][0]["details"]["text"]


def test_an_answer_that_is_too_large_is_not_read(crs: Server, fhir: StandIn) -> None:
    fhir.reset(padding=300_000)
    reply = asked(crs, fhir)
    assert (reply.status, reply.json["issue"][0]["details"]["text"].endswith("fetched: patient")) == (412, True)


def test_a_slow_server_ends_in_412_and_not_in_waiting(crs: Server, fhir: StandIn) -> None:
    fhir.reset(seconds=4.0)
    assert asked(crs, fhir).status == 412
    assert "412" in crs.printed.splitlines()[-1]


def test_what_is_optional_may_fail(crs: Server, fhir: StandIn) -> None:
    fhir.reset(refused=frozenset({"MedicationAdministration", "Condition"}))
    reply = asked(crs, fhir)
    assert reply.status == 200
    assert "**Not sent by the EHR**: conditions, admin." in reply.json["cards"][0]["detail"]


def test_an_order_that_is_being_signed_is_read_as_a_plan(crs: Server) -> None:
    held = {**ehr.prefetch(-5), "meds": None}
    assert ask(crs, call("order-sign", prefetch=held)).json["cards"][0]["detail"].startswith("**axicabtagene")
    other = fb.bundle(ehr.draft("612865"))
    assert ask(crs, call("order-sign", prefetch=held, context=context("order-sign", draftOrders=other))).json == {
        "cards": []
    }


def test_of_a_selection_only_what_was_selected_is_read(crs: Server) -> None:
    held = {**ehr.prefetch(-5), "meds": None}
    orders = fb.bundle(ehr.draft(), {**ehr.draft("612865"), "id": "d2"})
    chosen = {
        one: context("order-select", draftOrders=orders, selections=[f"MedicationRequest/{one}"])
        for one in ("d1", "d2", "d9")
    }
    cards = {
        one: ask(crs, call("order-select", prefetch=held, context=said)).json["cards"] for one, said in chosen.items()
    }
    assert {one: len(found) for one, found in cards.items()} == {"d1": 1, "d2": 0, "d9": 1}


def test_the_token_is_nowhere_after_all_this(crs: Server, fhir: StandIn) -> None:
    asked(crs, fhir)
    files = [path for path in crs.log.parent.rglob("*") if path.is_file()]
    assert [path.name for path in files if TOKEN.encode() in path.read_bytes()] == []
    with open_ledger(crs.home, writes=False) as ledger:
        assert TOKEN not in str([dict(one.body) for one in ledger.records()])


def example(*options: str) -> Any:
    """What the documented example prints."""
    command = [sys.executable, str(ROOT / "docs" / "examples" / "cds_hooks_call.py"), *options]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_the_documented_example_gets_a_card_and_a_risk_assessment(crs: Server) -> None:
    (card,) = ask(crs, example()).json["cards"]
    assert "48 hours after the infusion" in card["detail"]
    reply = crs.call("POST", "/fhir/risk-assessment", example("--bundle"), {"Content-Type": "application/fhir+json"})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/fhir+json")
    assessment = reply.json["entry"][0]["resource"]
    assert (assessment["status"], assessment["subject"]["reference"]) == ("final", "Patient/crs-example")
    record = records(crs, Kind.PREDICTION)[-1]
    assert record.event_id == assessment["id"]
    assert reply.headers["x-crs-risk-record"] == f"{record.sequence} {record.hash}"


def test_a_card_and_a_risk_assessment_of_the_same_chart_say_the_same(crs: Server) -> None:
    (card,) = ask(crs, example()).json["cards"]
    assessment = crs.call("POST", "/fhir/risk-assessment", example("--bundle")).json["entry"][0]["resource"]
    for one in assessment["prediction"]:
        assert f"| {one['outcome']['text']} | {one['rationale'].split(';')[0]} |" in card["detail"]
