"""Laws of a card: what a chart says is all that counts, never how it was sent; and what a card may look like."""

import asyncio
import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, structs

from features import catalogue
from features.predict import Predictor
from serving.answer import Answer, Interval
from serving.answerer import Answerer
from serving.cds import words
from serving.cds.card import INDICATORS, RISING
from serving.cds.desk import Desk
from serving.cds.plain import plain
from serving.cds.services import KEYS
from serving.fhir_in import read_prefetch
from serving.fhir_types import FhirRead
from serving.recorded import Asked, Recorder
from serving.refusal import RefusalError
from serving.risk_assessment import question
from serving.trust.caller import DEVELOPER
from serving.trust.gatekeeper import Gatekeeper
from serving.trust.settings import Trust
from tests.contract.cds_hooks import ehr
from tests.serving import fhir_builders as fb
from tests.serving.learned import banded, learned_bundle
from tests.serving.test_recorded import Kept

NOW = datetime(2026, 2, 3, 10, tzinfo=UTC)
TABLES = catalogue.load()
READS = (("crp.last", 0.0, 200.0), ("ferritin.last", 50.0, 5000.0), ("il6.last", 1.0, 5000.0))
ANSWERER = Answerer(Predictor(banded(learned_bundle(READS, "crs_3plus"), "crs_3plus", 0.01, 0.03), TABLES), "7")
VIEW = "/cds-services/crs-risk-patient-view"
#: Of a record, what is of the call and not of the chart.
OF_THE_CALL = ("latency_ms", "request", "response", "hook_instance", "ignored")


class Office:
    """A desk whose ledger is a list and whose clock stands still."""

    def __init__(self, folder: Path) -> None:
        self.kept = Kept([])
        keeper = Gatekeeper(Trust(), folder)
        self.desk = Desk(TABLES, lambda: ANSWERER, keeper, lambda: Recorder(self.kept, b"key"), _none, lambda: NOW)

    def cards(self, prefetch: Any) -> list[dict[str, Any]]:
        """The cards of a patient-view with that prefetch."""
        self.kept.entries.clear()
        body = json.dumps(ehr.call(prefetch=prefetch)).encode()
        content, _ = asyncio.run(self.desk._content(Asked(VIEW, body, 0.0, DEVELOPER), "https://crs.example"))
        found: list[dict[str, Any]] = json.loads(content)["cards"]
        return found

    def card(self, prefetch: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The one card, and its record, both without what is of the one call."""
        (card,) = self.cards(prefetch)
        for one in (card, *card.get("suggestions", ())):
            del one["uuid"]
        record = {key: value for key, value in self.kept.entries[0].body.items() if key not in OF_THE_CALL}
        return card, record


def _none() -> Any:
    raise AssertionError("no feedback here")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(tmp_path_factory.mktemp("office"))


def chart() -> dict[str, Any]:
    return ehr.prefetch(1, NOW)


UNKNOWN = st.sampled_from(
    [
        {"resourceType": "Unheard", "id": "u"},
        {"resourceType": "Observation", "id": "odd", "status": "final", "subject": {"reference": "Patient/p1"}},
        {"resourceType": "DiagnosticReport", "id": "d", "subject": {"reference": "Patient/p1"}, "result": [None]},
        {"resourceType": "Organization", "name": "<b>x</b>"},
    ]
)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_order_duplicates_unknown_resources_and_fields_change_nothing(office: Office, data: st.DataObject) -> None:
    expected = office.card(chart())
    held = chart()
    for key, value in held.items():
        if key == "patient":
            continue
        entries = data.draw(st.permutations(value["entry"]), f"order of {key}")
        again = data.draw(st.lists(st.sampled_from(entries), max_size=3), f"twice in {key}") if entries else []
        strange = [{"resource": one} for one in data.draw(st.lists(UNKNOWN, max_size=2), f"strange in {key}")]
        value["entry"] = [*entries, *strange, *copy.deepcopy(again)]
        value["x-unheard"] = data.draw(st.sampled_from([1, None, "x", [], {}]))
    held["patient"]["x-unheard"] = {"deep": [1, None]}
    assert office.card(held) == expected


@settings(max_examples=20, deadline=None)
@given(where=st.sampled_from(["vitals", "conditions", "meds", "admin", "procedures"]))
def test_it_does_not_matter_by_which_key_a_resource_comes(office: Office, where: str) -> None:
    expected = office.card(chart())
    held = chart()
    held[where]["entry"] += held["labs"]["entry"]
    held["labs"]["entry"] = []
    assert office.card(held) == expected


def test_a_unit_that_is_converted_with_its_value_changes_nothing_that_is_shown(office: Office) -> None:
    held = chart()
    for entry in held["labs"]["entry"]:
        one = entry["resource"]
        if one["code"]["coding"][0]["code"] == "1988-5":
            one["valueQuantity"] = {"value": one["valueQuantity"]["value"] / 10, "unit": "mg/dL", "code": "mg/dL"}
    assert office.card(held)[0] == office.card(chart())[0]


WORDS = st.sampled_from(
    ["resourceType", "Patient", "Observation", "Bundle", "entry", "resource", "subject", "id", "x", "link"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(WORDS, below, max_size=4),
    max_leaves=12,
)


def status_of(work: Callable[[], Any]) -> int:
    """200, or the status of the refusal."""
    try:
        work()
    except RefusalError as error:
        return error.http_status
    return 200


@settings(max_examples=300, deadline=None)
@given(values=st.dictionaries(st.sampled_from([*KEYS, "other"]), JSON, max_size=7))
def test_whatever_json_is_sent_along_it_is_answered_or_refused(office: Office, values: dict[str, Any]) -> None:
    assert status_of(lambda: office.cards({**chart(), **values})) in (200, 412, 422)


@settings(max_examples=200, deadline=None)
@given(value=st.dictionaries(WORDS, JSON, max_size=4))
def test_whatever_json_is_sent_as_a_bundle_it_is_answered_or_refused(value: dict[str, Any]) -> None:
    assert status_of(lambda: question(fb.KNOWN, {"resourceType": "Bundle", **value}, NOW)) in (200, 422)


def answer(day: float = 1) -> Answer:
    read = read_prefetch(fb.KNOWN, ehr.prefetch(day, NOW), NOW, "p1")
    assert read.intake is not None
    return ANSWERER.answer([read.intake])[0]


STATUSES = st.sampled_from(["evaluated", "reached", "horizon-over", "not-evaluated"])
ONE = st.tuples(STATUSES, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.sampled_from(RISING))


@settings(max_examples=300, deadline=None)
@given(drawn=st.lists(ONE, min_size=5, max_size=5))
def test_every_summary_is_one_sentence_of_fewer_than_140_characters(drawn: list[Any]) -> None:
    held = answer()
    risks = []
    for risk, (status, probability, low, high, band) in zip(held.risks, drawn, strict=True):
        evaluated = status == "evaluated"
        risks.append(
            structs.replace(
                risk,
                status=status,
                probability=probability if evaluated else UNSET,
                interval=Interval(low, high, "both") if evaluated else UNSET,
                band=band if evaluated else UNSET,
            )
        )
    made = structs.replace(held, risks=tuple(risks))
    said = words.summary(made)
    assert 0 < len(said) < 140
    assert "\n" not in said
    assert said.endswith(".")
    assert "<" not in words.detail(made, TABLES, FhirRead("course"), (), unread=False)
    bands = [band for status, _, _, _, band in drawn if status == "evaluated"]
    assert words.highest_band(made) == max(bands, key=RISING.index, default="unbanded")


def test_every_reason_for_not_evaluating_fits_a_summary() -> None:
    from serving import notes

    held = structs.replace(answer(), status="not_evaluated", risks=())
    for note in (one for one in vars(notes).values() if isinstance(one, notes.Note)):
        said = words.summary(structs.replace(held, not_evaluated=(note,)))
        assert len(said) < 140
        assert said.startswith("CRS and ICANS risk not evaluated")


@pytest.mark.parametrize(
    ("probability", "said"),
    [
        (0.0, "under 0.1 %"),
        (0.00099, "under 0.1 %"),
        (0.001, "0.1 %"),
        (0.312, "31.2 %"),
        (0.9999, "over 99.9 %"),
        (1, "over 99.9 %"),
    ],
)
def test_percent_never_says_never_or_always(probability: float, said: str) -> None:
    assert words.percent(probability) == said


def test_the_indicator_follows_from_the_highest_band_and_is_never_critical() -> None:
    assert set(INDICATORS) == set(RISING)
    assert INDICATORS["high"] == "warning"
    assert "critical" not in INDICATORS.values()


def test_reasons_are_those_of_the_outcome_with_the_highest_band() -> None:
    head = words.headline(answer())
    assert head is not None
    assert head.outcome == "crs_3plus"
    assert "(CRS of grade 3 or worse)" in words.detail(answer(), TABLES, FhirRead("course"), (), unread=False)


def test_what_marks_up_text_is_taken_out_of_names() -> None:
    assert plain("a <b>|`x`\n[y](z)\\ *w*") == "a bx y(z) w"
