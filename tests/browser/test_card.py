"""What a person sees in a browser: an EHR's page of another origin that signs its calls, the card, and our own page."""

import json
from typing import Any, cast

import pytest
from playwright.sync_api import Locator, expect

from audit.events import Kind, Record
from tests.browser.conftest import Open
from tests.browser.ehr_server import Ehr
from tests.browser.window import Window
from tests.contract.cds_hooks.test_lines import records
from tests.serving.builders import Server

pytestmark = pytest.mark.slow
LABELS = {
    "crs_1plus": "CRS of grade 1 or worse",
    "crs_2plus": "CRS of grade 2 or worse",
    "crs_3plus": "CRS of grade 3 or worse",
    "icans_2plus": "ICANS of grade 2 or worse",
    "icans_3plus": "ICANS of grade 3 or worse",
}
READ = ("/", "/model", "/livez", "/cds-services")
COMMENT = "typed-by-a-person-4711"


def card(window: Window) -> Locator:
    """The one card on the page, once it is there."""
    expect(window.page.locator("#status")).to_have_text("1 card for this patient.")
    found = window.page.get_by_role("article")
    expect(found).to_have_count(1)
    return found


def sent(window: Window) -> dict[str, Any]:
    """The card as the service sent it."""
    (found,) = json.loads(window.page.locator("#answer").text_content() or "")["cards"]
    return cast("dict[str, Any]", found)


def last(crs: Server, kind: Kind) -> Record:
    return records(crs, kind)[-1]


def recorded(crs: Server, window: Window) -> Record:
    """What the ledger holds of the card."""
    (found,) = [one for one in records(crs, Kind.PREDICTION) if one.event_id == sent(window)["uuid"]]
    return found


def test_a_person_sees_the_card_with_the_probabilities_that_were_recorded(crs: Server, seen: Window) -> None:
    shown = card(seen)
    told = {key: f"{100 * value:.1f} %" for key, value in recorded(crs, seen).body["probabilities"].items()}
    expect(shown.get_by_role("heading")).to_have_text(
        f"CRS grade 3+ {told['crs_3plus']}, CRS grade 2+ {told['crs_2plus']} by day 14, "
        f"ICANS grade 3+ {told['icans_3plus']} by day 30; highest band: high (CRS 3+)."
    )
    expect(shown.locator(".badge")).to_have_text("warning")
    rows = [row.locator("td").all_inner_texts()[:2] for row in shown.locator("tbody tr").all()]
    assert rows == [[label, told[key]] for key, label in LABELS.items()]
    expect(shown.locator(".detail")).to_contain_text("48 hours after the infusion")


def test_all_of_a_card_is_on_the_page(seen: Window) -> None:
    shown = card(seen)
    told = sent(seen)
    for link in (told["source"], *told["links"]):
        expect(shown.get_by_role("link", name=link["label"], exact=True)).to_have_attribute("href", link["url"])
    reasons = shown.get_by_role("combobox", name="Reason").get_by_role("option")
    assert reasons.all_inner_texts()[1:] == [one["display"] for one in told["overrideReasons"]]
    offered = shown.get_by_role("group", name="Suggestions").get_by_role("button")
    assert offered.all_inner_texts() == [one["label"] for one in told["suggestions"]] == ["Order Interleukin 6"]


def test_the_page_signs_its_calls_and_asks_nobody_else(ehr: Ehr, crs: Server, seen: Window) -> None:
    card(seen)
    record = recorded(crs, seen)
    assert record.body["caller"]["issuer"] == ehr.origin
    line = f"{ehr.service}/cds-services/crs-risk-patient-view 200, record {record.sequence} {record.hash[:8]}"
    expect(seen.page.locator("#calls li").last).to_contain_text(line)
    assert (seen.faults, seen.origins) == ([], {ehr.origin, crs.url})


def test_the_cards_link_opens_our_page(crs: Server, seen: Window) -> None:
    link = card(seen).get_by_role("list", name="Links").get_by_role("link")
    with seen.page.expect_popup() as opened:
        link.click()
    page = opened.value
    expect(page.get_by_role("heading", level=1)).to_have_text("CRS Risk")
    assert (page.url, seen.faults) == (f"{crs.url}/", [])
    page.close()


def test_dismissing_a_card_is_recorded_with_its_reason_and_without_what_was_typed(
    ehr: Ehr, crs: Server, visit: Open
) -> None:
    window = visit(ehr.origin)
    shown = card(window)
    shown.get_by_role("combobox", name="Reason").select_option(
        label="The risk is known and the plan takes it into account"
    )
    shown.get_by_role("textbox", name="Comment").fill(COMMENT)
    shown.get_by_role("button", name="Dismiss").click()
    expect(shown.get_by_role("status")).to_have_text("Feedback overridden: recorded.")
    expect(shown.get_by_role("button", name="Dismiss")).to_be_disabled()
    body = last(crs, Kind.FEEDBACK).body
    assert (body["card"], body["outcome"], body["reason"]) == (sent(window)["uuid"], "overridden", "known")
    assert (body["known"], body["comments_dropped"], body["caller"]) == (True, 1, {"issuer": ehr.origin})
    assert kept(crs, body["card"])
    assert not kept(crs, COMMENT)
    assert window.faults == []


def kept(crs: Server, text: str) -> bool:
    """Whether any file of the service's state, or what it printed, holds the text."""
    files = [one for one in crs.home.folder.rglob("*") if one.is_file()]
    return any(text.encode() in one.read_bytes() for one in (*files, crs.log))


def test_a_suggestion_that_is_clicked_is_recorded_as_accepted(ehr: Ehr, crs: Server, visit: Open) -> None:
    window = visit(ehr.origin)
    shown = card(window)
    shown.get_by_role("button", name="Order Interleukin 6").click()
    expect(shown.get_by_role("status")).to_have_text("Feedback accepted: recorded.")
    body, told = last(crs, Kind.FEEDBACK).body, sent(window)
    assert (body["card"], body["outcome"]) == (told["uuid"], "accepted")
    assert body["suggestions"] == [told["suggestions"][0]["uuid"]]
    assert window.faults == []


def test_there_is_no_card_for_a_patient_who_is_not_concerned(ehr: Ehr, visit: Open) -> None:
    ehr.fhir.reset(day=40)
    window = visit(ehr.origin)
    expect(window.page.locator("#status")).to_have_text("No card for this patient.")
    expect(window.page.get_by_role("article")).to_have_count(0)
    assert window.faults == []


def test_a_person_is_told_which_data_are_missing(ehr: Ehr, visit: Open) -> None:
    ehr.fhir.reset(day=2, refused=frozenset({"Observation"}))
    window = visit(ehr.origin)
    expect(window.page.locator("#status")).to_contain_text("the service answered 412")
    expect(window.page.locator("#status")).to_contain_text("labs")
    expect(window.page.get_by_role("article")).to_have_count(0)


def test_a_page_of_a_listed_origin_gets_what_is_open(crs: Server, visit: Open, ehr: Ehr) -> None:
    window = visit(ehr.origin)
    card(window)
    assert [window.fetched(f"{crs.url}{path}") for path in READ] == [200, 200, 200, 401]


def test_a_page_of_an_origin_that_is_not_listed_gets_nothing(ehr: Ehr, crs: Server, visit: Open) -> None:
    before = len(records(crs, Kind.PREDICTION))
    window = visit(ehr.unlisted)
    expect(window.page.locator("#status")).to_have_text("No decision support: the service does not answer this page.")
    expect(window.page.get_by_role("article")).to_have_count(0)
    assert [window.fetched(f"{crs.url}{path}") for path in READ] == ["nothing"] * len(READ)
    assert any("blocked by CORS policy" in fault for fault in window.faults)
    assert len(records(crs, Kind.PREDICTION)) == before


def test_our_page_loads_without_a_fault_and_asks_nobody_else(crs: Server, own: Window) -> None:
    expect(own.page.get_by_role("heading", level=1)).to_have_text("CRS Risk")
    expect(own.page.locator("table tbody tr")).to_have_count(len(LABELS))
    expect(own.page.locator("main")).to_have_css("max-width", "768px")
    assert (own.faults, own.origins) == ([], {crs.url})


def test_each_link_of_our_page_leads_to_an_address_of_the_service(crs: Server, own: Window) -> None:
    links = [one.get_attribute("href") or "" for one in own.page.get_by_role("link").all()]
    statuses = {link: crs.call("GET", link).status for link in links}
    open_ones = {"/model", "/livez", "/readyz"}
    signed = {"/cds-services", "/docs.json", "/metrics"}
    assert statuses == {**dict.fromkeys(open_ones, 200), **dict.fromkeys(signed, 401)}


def test_our_page_fits_a_phone(crs: Server, visit: Open) -> None:
    assert not visit(crs.url, 360).overflows
