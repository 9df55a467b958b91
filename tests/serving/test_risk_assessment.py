"""FHIR out: every resource holds against an independent model of R4, and says what the answer says."""

import json
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle as R4Bundle
from fhir.resources.R4B.device import Device
from fhir.resources.R4B.operationoutcome import OperationOutcome
from fhir.resources.R4B.provenance import Provenance
from fhir.resources.R4B.riskassessment import RiskAssessment
from fhir.resources.R4B.servicerequest import ServiceRequest

from features import catalogue
from features.predict import Predictor
from serving import risk_assessment
from serving.answerer import Answerer
from serving.cds.orders import _order
from serving.operation_outcome import told
from serving.refusal import RefusalError, not_found, too_slow, wrong_media
from serving.risk_assessment import Form, bundle, question, without_answer
from tests.serving import fhir_builders as fb
from tests.serving.builders import trained_bundle
from tests.serving.fhir_builders import KNOWN, NOW
from tests.serving.learned import banded, learned_bundle

ANSWERER = Answerer(Predictor(trained_bundle(), catalogue.load()), "7")
BANDED = Answerer(Predictor(banded(learned_bundle(), "crs_1plus", 0.01, 0.99), catalogue.load()), "7")


def out(held: Any, probability: str = "percent", by: Answerer = ANSWERER, now: datetime = NOW) -> dict[str, Any]:
    """What a Bundle is answered with."""
    asked = question(KNOWN, held, now)
    form = Form(by.model, probability, asked)
    if asked.read.intake is None:
        found: dict[str, Any] = json.loads(without_answer(form, str(uuid.uuid4())))
        return found
    answered: dict[str, Any] = json.loads(bundle(form, by.answer([asked.read.intake])[0]))
    return answered


def parts(found: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    assessment, device, provenance = (entry["resource"] for entry in found["entry"])
    return assessment, device, provenance


CHARTS: dict[str, list[Any]] = {
    "a course": fb.chart(),
    "a plan": [fb.patient(), fb.order("r1", "1987398", "2026-01-20T10:00:00Z")],
    "a death": [*fb.chart()[1:], fb.patient(deceasedBoolean=True)],
    "nobody concerned": [fb.patient()],
    "not clear": [
        fb.patient(),
        fb.order("r1", "1987398", "2026-01-20T10:00:00Z"),
        fb.order("r2", "2619438", "2026-01-20T10:00:00Z"),
    ],
}


@pytest.mark.parametrize("by", [ANSWERER, BANDED], ids=["trained", "banded"])
@pytest.mark.parametrize("named", CHARTS)
def test_every_resource_holds_against_an_independent_model_of_r4(named: str, by: Answerer) -> None:
    found = out(fb.bundle(*CHARTS[named]), by=by)
    R4Bundle.model_validate_json(json.dumps(found))
    assessment, device, provenance = parts(found)
    RiskAssessment.model_validate_json(json.dumps(assessment))
    Device.model_validate_json(json.dumps(device))
    Provenance.model_validate_json(json.dumps(provenance))
    assert found["type"] == "collection"


def test_the_oracle_finds_what_is_wrong() -> None:
    assessment, _, _ = parts(out(fb.bundle(*fb.chart())))
    with pytest.raises(ValueError, match="status"):
        RiskAssessment.model_validate_json(json.dumps({k: v for k, v in assessment.items() if k != "status"}))


def test_probabilities_are_in_percent_and_repeated_in_words() -> None:
    held = fb.bundle(*fb.chart())
    answer = ANSWERER.answer([question(KNOWN, held, NOW).read.intake])[0]  # type: ignore[list-item]
    wanted = {one.outcome: one for one in answer.risks if one.status == "evaluated"}
    assert wanted
    for one in parts(out(held))[0]["prediction"]:
        risk = wanted.pop(one["outcome"]["coding"][0]["code"])
        assert one["probabilityDecimal"] == pytest.approx(100 * float(risk.probability), abs=1e-4)  # type: ignore[arg-type]
        assert one["rationale"].startswith(f"{100 * float(risk.probability):.1f} %; ")  # type: ignore[arg-type]
        assert one["whenRange"]["low"]["value"] == 0
        assert one["whenRange"]["high"]["value"] == answer.question.horizon_days[risk.outcome]
    assert wanted == {}


def test_a_setting_turns_percent_into_fractions() -> None:
    held = fb.bundle(*fb.chart())
    percent, fraction = (parts(out(held, unit))[0]["prediction"] for unit in ("percent", "fraction"))
    for one, other in zip(percent, fraction, strict=True):
        assert one["probabilityDecimal"] == pytest.approx(100 * other["probabilityDecimal"], abs=1e-3)
        assert one["rationale"] == other["rationale"]


def test_the_basis_is_what_was_used_with_its_versions_and_so_is_the_provenance() -> None:
    unused = fb.result("x1", "99999-9", 1.0, "mg/L")
    assessment, device, provenance = parts(out(fb.bundle(*fb.chart(), unused)))
    basis = [one["reference"] for one in assessment["basis"]]
    assert "Observation/o1/_history/3" in basis
    assert "Procedure/q1" in basis
    assert not [one for one in basis if "x1" in one]
    assert [one["what"]["reference"] for one in provenance["entity"]] == basis
    assert provenance["target"] == [{"reference": f"urn:uuid:{assessment['id']}"}]
    assert assessment["performer"] == provenance["agent"][0]["who"] == {"reference": f"urn:uuid:{device['id']}"}
    assert "Not used, by reason: code-unknown 1." in [one["text"] for one in assessment["note"]]


def test_a_note_names_what_is_missing() -> None:
    assessment, _, _ = parts(out(fb.bundle(fb.patient(), fb.infusion())))
    (said,) = [one["text"] for one in assessment["note"] if one["text"].startswith("Missing: ")]
    assert "C-reactive protein" in said
    (said,) = [
        one["text"] for one in parts(out(fb.bundle(*fb.chart())))[0]["note"] if one["text"].startswith("Missing: ")
    ]
    assert "C-reactive protein" not in said
    assert "Creatinine" in said


def test_the_device_names_the_models_version_and_manifest() -> None:
    _, device, _ = parts(out(fb.bundle(*fb.chart())))
    assert [one["value"] for one in device["version"]] == ["7", ANSWERER.predictor.digest]
    assert device["id"] == parts(out(fb.bundle(fb.patient())))[1]["id"]


@pytest.mark.parametrize(
    ("named", "words"),
    [("a death", "death"), ("nobody concerned", "No T-cell-engaging therapy"), ("not clear", "not clear")],
)
def test_what_was_not_evaluated_is_cancelled_and_a_note_says_why(named: str, words: str) -> None:
    assessment, _, _ = parts(out(fb.bundle(*CHARTS[named])))
    assert assessment["status"] == "cancelled"
    assert "prediction" not in assessment
    assert any(words in one["text"] for one in assessment["note"])


def test_a_grade_that_is_charted_has_no_probability_and_a_note() -> None:
    assessment, _, _ = parts(out(fb.bundle(*fb.chart())))
    assert assessment["status"] == "final"
    assert "crs_2plus" not in [one["outcome"]["coding"][0]["code"] for one in assessment["prediction"]]
    assert any(one["text"].startswith("CRS of grade 2 or worse: charted already") for one in assessment["note"])


def test_bands_become_the_codes_of_fhir() -> None:
    found = parts(out(fb.bundle(*CHARTS["a plan"]), by=BANDED))[0]["prediction"]
    told_of = {one["outcome"]["coding"][0]["code"]: one.get("qualitativeRisk") for one in found}
    assert told_of["crs_1plus"]["coding"][0]["code"] == "moderate"
    assert told_of["icans_3plus"] is None


def test_the_bundles_own_time_is_the_index_time() -> None:
    at = NOW - timedelta(days=1)
    held = fb.bundle(*fb.chart(), timestamp=at.isoformat())
    assert parts(out(held))[0]["occurrenceDateTime"] == at.isoformat()
    assert question(KNOWN, held, NOW).read.intake == question(KNOWN, fb.bundle(*fb.chart()), at).read.intake


def test_a_time_ahead_of_the_clock_is_refused() -> None:
    ahead = fb.bundle(*fb.chart(), timestamp=(NOW + risk_assessment.SKEW + timedelta(seconds=1)).isoformat())
    with pytest.raises(RefusalError) as error:
        question(KNOWN, ahead, NOW)
    assert (error.value.http_status, error.value.place) == (422, "$.timestamp")


def test_order_duplicates_and_unknown_resources_change_nothing() -> None:
    def same(*resources: Any) -> dict[str, Any]:
        assessment, _, _ = parts(out(fb.bundle(*resources)))
        return {key: value for key, value in assessment.items() if key not in ("id", "note")}

    expected = same(*fb.chart())
    mixed = fb.chart()
    random.Random(7).shuffle(mixed)
    assert same(*mixed) == expected
    assert same(*fb.chart(), *fb.chart()) == expected
    assert same(*fb.chart(), {"resourceType": "Unheard", "id": "u1"}) == expected


def test_nothing_is_null_or_empty() -> None:
    def check(part: Any) -> None:
        assert part not in (None, "", [], {})
        for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            check(one)

    for named in CHARTS:
        check(out(fb.bundle(*CHARTS[named])))


@pytest.mark.parametrize("error", [not_found(), wrong_media(), too_slow(), RefusalError(418, "odd", "$", "odd")])
def test_an_operation_outcome_holds_against_the_model(error: RefusalError) -> None:
    for path in ("/cds-services", "/cds-services/x", "/fhir/risk-assessment"):
        body, media = told(path, error)
        OperationOutcome.model_validate_json(body)
        assert media == b"application/fhir+json"
    assert told("/predict", error) == (error.body, b"application/json")


def test_an_order_holds_against_the_model() -> None:
    ServiceRequest.model_validate_json(json.dumps(_order("2276-4", "Ferritin", "p1")))


def test_now_needs_no_timestamp() -> None:
    now = datetime.now(UTC)
    assert question(KNOWN, fb.bundle(*fb.chart()), now).at == now
