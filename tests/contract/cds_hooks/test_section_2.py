"""Section 2 of the requirements, FHIR R4, each test named after its line; what is answered is asked for over HTTP."""

import ast
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from fhir.resources.R4B.bundle import Bundle as R4Bundle

from audit.events import Kind
from audit.fhir_export import audit_event
from features import catalogue
from tests.contract.cds_hooks.ehr import PATIENT, StandIn, authorization, call, prefetch
from tests.contract.cds_hooks.test_lines import ask, records
from tests.serving import fhir_builders as fb
from tests.serving.builders import Reply, Server
from tests.test_imports import ROOT, imports
from tests.test_repository import dependencies, locked

RISK = "/fhir/risk-assessment"
RXNORM, PCS, HCPCS, CPT, ICD = (
    fb.RXNORM,
    fb.PCS,
    "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    "http://www.ama-assn.org/go/cpt",
    fb.ICD,
)
ROOMS = ("features", "data", "training", "serving", "audit", "commands")

# 2.1 inputs

LABORATORY = [
    ("ferritin", "2276-4", 900.0, "ng/mL"),
    ("crp", "1988-5", 40.0, "mg/L"),
    ("ldh", "2532-0", 300.0, "U/L"),
    ("ldh", "14804-9", 300.0, "U/L"),
    ("il6", "26881-3", 50.0, "pg/mL"),
    ("platelets", "777-3", 90.0, "10*3/uL"),
    ("wbc", "6690-2", 4.0, "10*3/uL"),
    ("anc", "751-8", 2.0, "10*3/uL"),
    ("anc", "26499-4", 2.0, "10*3/uL"),
    ("alc", "731-0", 0.5, "10*3/uL"),
    ("hemoglobin", "718-7", 9.0, "g/dL"),
    ("creatinine", "2160-0", 1.1, "mg/dL"),
    ("fibrinogen", "3255-7", 300.0, "mg/dL"),
    ("d_dimer", "48065-7", 1.0, "mg/L{FEU}"),
    ("albumin", "1751-7", 3.5, "g/dL"),
    ("ast", "1920-8", 30.0, "U/L"),
    ("alt", "1742-6", 30.0, "U/L"),
    ("bilirubin", "1975-2", 0.8, "mg/dL"),
]
VITALS = [
    ("temperature", "8310-5", 38.5, "Cel"),
    ("heart_rate", "8867-4", 90.0, "/min"),
    ("respiratory_rate", "9279-1", 18.0, "/min"),
    ("spo2", "59408-5", 95.0, "%"),
    ("spo2", "2708-6", 95.0, "%"),
    ("systolic_bp", "8480-6", 120.0, "mm[Hg]"),
    ("diastolic_bp", "8462-4", 70.0, "mm[Hg]"),
]


def seen(*resources: Any) -> dict[str, float]:
    """Analyte or event -> value, of what the course of a patient with CAR-T cells then holds."""
    found = fb.read(fb.patient(), fb.infusion(), *resources).intake
    assert found is not None
    return {one.code: one.value for one in found.course.observations}


@pytest.mark.parametrize(("key", "code", "value", "unit"), LABORATORY)
def test_line_2_1_1_the_loinc_code_is_read_as_its_analyte(key: str, code: str, value: float, unit: str) -> None:
    held = seen(fb.result("o", code, value, unit))
    rule = catalogue.load().analytes[key].units[unit]
    assert held == {key: pytest.approx(value * rule.factor + rule.offset)}


def test_line_2_1_1_high_sensitivity_crp_is_told_apart_and_never_pooled() -> None:
    """The reviewed facts keep it apart from CRP; so it is refused by its code and not read as CRP."""
    found = fb.read(fb.patient(), fb.infusion(), fb.result("o", "30522-7", 4.0, "mg/L"))
    assert found.intake is not None
    assert (found.intake.course.observations, dict(found.ignored)) == ((), {"code-refused": 1})


def test_line_2_1_2_creatinine_as_synthea_codes_it_is_creatinine() -> None:
    assert seen(fb.result("o", "38483-4", 0.9, "mg/dL")) == {"creatinine": 0.9}


@pytest.mark.parametrize(("key", "code", "value", "unit"), VITALS)
def test_line_2_1_3_vital_signs_are_read_saturation_by_either_code(
    key: str, code: str, value: float, unit: str
) -> None:
    assert seen(fb.result("o", code, value, unit)) == {key: value}


def test_line_2_1_4_blood_pressure_is_read_from_the_components_of_its_panel() -> None:
    parts = [
        {"code": fb.concept(fb.LOINC, code), "valueQuantity": {"value": value, "unit": "mmHg", "code": "mm[Hg]"}}
        for code, value in (("8480-6", 96.0), ("8462-4", 58.0))
    ]
    panel = fb.result("o", "85354-9", 0.0, "", valueQuantity=None, component=parts)
    assert seen(panel) == {"systolic_bp": 96.0, "diastolic_bp": 58.0}


@pytest.mark.parametrize("code", ["29463-7", "89247-1"], ids=["weight", "ECOG"])
def test_line_2_1_5_what_no_reviewed_row_reads_is_counted_and_changes_nothing(code: str) -> None:
    found = fb.read(fb.patient(), fb.infusion(), fb.result("o", code, 1.0, "kg"))
    assert (fb.course_bits(found), dict(found.ignored)) == (
        fb.course_bits(fb.read(fb.patient(), fb.infusion())),
        {"code-unknown": 1},
    )


def therapy(system: str, code: str) -> str:
    """The therapy of a patient to whom that was given; "" where nobody is concerned."""
    given = fb.held(
        "Procedure", "q", status="completed", code=fb.concept(system, code), performedDateTime="2026-02-01T10:00:00Z"
    )
    found = fb.read(fb.patient(), given)
    return found.intake.course.therapy if found.intake else ""


@pytest.mark.parametrize("vein", ["XW033", "XW043"])
@pytest.mark.parametrize(
    ("code", "key"),
    [
        ("H7", "axicabtagene-ciloleucel"),
        ("J7", "tisagenlecleucel"),
        ("K7", "idecabtagene-vicleucel"),
        ("M7", "brexucabtagene-autoleucel"),
        ("N7", "lisocabtagene-maraleucel"),
        ("A7", "ciltacabtagene-autoleucel"),
        ("C7", "car-t"),
    ],
)
def test_line_2_1_6_an_infusion_is_its_product_by_either_vein(vein: str, code: str, key: str) -> None:
    assert therapy(PCS, f"{vein}{code}") == key


@pytest.mark.parametrize("code", ["XW033L7", "XW043L7"])
def test_line_2_1_7_lifileucel_is_no_car_t_and_no_course_of_ours(code: str) -> None:
    tables = catalogue.load()
    (key,) = {held for (_, one), held in tables.therapy_codes.items() if one == code}
    assert key == "lifileucel"
    assert "car-t" not in tables.ancestry(key)
    given = fb.infusion(code=code)
    found = fb.read(fb.patient(), given)
    assert (found.status, found.intake) == ("not-concerned", None)


@pytest.mark.parametrize(
    ("system", "code", "key"),
    [
        (CPT, "38228", "car-t"),
        (CPT, "38225", ""),
        (CPT, "38226", ""),
        (CPT, "38227", ""),
        (HCPCS, "Q2041", "axicabtagene-ciloleucel"),
        (HCPCS, "Q2056", "ciltacabtagene-autoleucel"),
    ],
)
def test_line_2_1_8_of_the_billing_codes_the_administration_counts_and_the_harvest_does_not(
    system: str, code: str, key: str
) -> None:
    assert therapy(system, code) == key


@pytest.mark.parametrize("grade", range(1, 6))
@pytest.mark.parametrize(("stem", "event"), [("D89.83", "crs_grade"), ("G92.0", "icans_grade")])
def test_line_2_1_9_a_diagnosis_of_crs_or_icans_carries_its_grade(stem: str, event: str, grade: int) -> None:
    assert seen(fb.diagnosis("c", f"{stem}{grade}", at="2026-02-02T12:00:00Z")) == {event: float(grade)}


@pytest.mark.parametrize("code", ["D89.839", "G92.00"])
def test_line_2_1_9_a_grade_that_is_not_specified_is_not_guessed(code: str) -> None:
    found = fb.read(fb.patient(), fb.infusion(), fb.diagnosis("c", code, at="2026-02-02T12:00:00Z"))
    assert found.intake is not None
    assert (found.intake.course.observations, dict(found.ignored)) == ((), {"grade-not-stated": 1})


def test_line_2_1_10_an_engager_is_told_by_the_reviewed_table_and_by_no_code_in_a_program() -> None:
    """RxNorm's numbers stand in the tables alone."""
    tables = catalogue.load()
    codes = {code for (system, code) in tables.therapy_codes if system in ("RxNorm", "HCPCS", "ATC", "ICD-10-PCS")}
    assert len(codes) > 60
    given = fb.drug("m", "1597258", "2026-02-01T10:00:00Z")
    found = fb.read(fb.patient(), given).intake
    assert found is not None
    assert found.course.therapy == "blinatumomab"
    written = {
        str(node.value)
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str | int)
    }
    assert codes & written == set()


@pytest.mark.parametrize(("stated", "kept"), [("<", "<"), ("<=", "<"), (">", ">"), (">=", ">")])
def test_line_2_1_11_a_value_at_the_analysers_limit_keeps_its_comparator(stated: str, kept: str) -> None:
    quantity = {"value": 1650.0, "unit": "ng/mL", "comparator": stated}
    found = fb.read(fb.patient(), fb.infusion(), fb.result("o", "2276-4", 0.0, "", valueQuantity=quantity)).intake
    assert found is not None
    assert list(found.comparators.values()) == [kept]
    assert [one.value for one in found.course.observations] == [1650.0]


def test_line_2_1_11_a_coded_value_is_counted_and_never_taken_for_a_number() -> None:
    coded = fb.result("o", "2276-4", 0.0, "", valueQuantity=None, valueCodeableConcept=fb.concept(fb.LOINC, "LA6576-8"))
    found = fb.read(fb.patient(), fb.infusion(), coded)
    assert found.intake is not None
    assert (found.intake.course.observations, dict(found.ignored)) == ((), {"value-not-a-quantity": 1})


# 2.2 output


def stay(name: str = "e1") -> dict[str, Any]:
    return fb.held("Encounter", name, status="in-progress")


def chart(day: float = 1) -> list[dict[str, Any]]:
    held = prefetch(day)
    return [held["patient"], *(one["resource"] for key in held if key != "patient" for one in held[key]["entry"])]


def answered(server: Server, *resources: Any, **fields: Any) -> list[dict[str, Any]]:
    """RiskAssessment, Device and Provenance."""
    reply: Reply = server.call("POST", RISK, fb.bundle(*resources, **fields), {"Content-Type": "application/fhir+json"})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/fhir+json"), reply.body
    R4Bundle.model_validate_json(reply.body)
    return [one["resource"] for one in reply.json["entry"]]


@pytest.mark.slow
def test_line_2_2_1_an_assessment_is_final_and_of_the_patient_and_the_stay(crs: Server) -> None:
    assessment, _, _ = answered(crs, *chart(), stay())
    assert assessment["status"] == "final"
    assert assessment["subject"] == {"reference": f"Patient/{PATIENT}"}
    assert assessment["encounter"] == {"reference": "Encounter/e1"}
    for more in ([], [stay(), stay("e2")]):
        assert "encounter" not in answered(crs, *chart(), *more)[0]


@pytest.mark.slow
def test_line_2_2_2_its_time_is_the_occurrence(crs: Server) -> None:
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    assessment, _, _ = answered(crs, *chart(), timestamp=at.isoformat())
    assert datetime.fromisoformat(assessment["occurrenceDateTime"]) == at
    assert "performedDateTime" not in assessment


@pytest.mark.slow
def test_line_2_2_3_it_names_the_model_as_method_and_as_performing_device(crs: Server) -> None:
    assessment, device, _ = answered(crs, *chart())
    model = crs.call("GET", "/model").json
    (coding,) = assessment["method"]["coding"]
    assert (coding["version"], coding["code"]) == (model["version"], model["bundle"])
    assert assessment["method"]["text"] == f"{model['name']}, version {model['version']}"
    assert assessment["performer"] == {"reference": f"urn:uuid:{device['id']}"}


@pytest.mark.slow
def test_line_2_2_4_its_basis_is_the_very_versions_that_were_used(crs: Server) -> None:
    assessment, _, _ = answered(crs, *chart(), fb.result("x1", "99999-9", 1.0, "mg/L"))
    basis = {one["reference"] for one in assessment["basis"]}
    results = {one["id"] for one in chart() if one["resourceType"] == "Observation"}
    assert {f"Observation/{one}/_history/3" for one in results} <= basis
    assert {"Procedure/q1", f"Patient/{PATIENT}"} <= basis
    assert not any("x1" in one for one in basis)
    record = records(crs, Kind.PREDICTION)[-1]
    assert (record.event_id, len(record.body["sources"])) == (assessment["id"], len(basis))


@pytest.mark.slow
def test_line_2_2_5_each_prediction_has_outcome_probability_risk_horizon_and_rationale(crs: Server) -> None:
    assessment, _, _ = answered(crs, *chart())
    found = {one["outcome"]["coding"][0]["code"]: one for one in assessment["prediction"]}
    severe = found["crs_3plus"]
    assert severe["outcome"]["text"] == "CRS of grade 3 or worse"
    day = {"unit": "d", "system": fb.UCUM, "code": "d"}
    assert severe["whenRange"] == {"low": {"value": 0, **day}, "high": {"value": 14, **day}}
    assert severe["qualitativeRisk"]["coding"][0]["code"] in ("low", "moderate", "high")
    assert severe["qualitativeRisk"]["coding"][0]["system"].endswith("/risk-probability")
    assert "95 % interval" in severe["rationale"]
    assert len(found) == 5


@pytest.mark.slow
def test_line_2_2_6_nothing_is_recommended_so_there_is_no_mitigation(crs: Server) -> None:
    """The element is for what was done about a risk; an issue of this project forbids to propose treatment."""
    assert "mitigation" not in answered(crs, *chart())[0]
    page = (ROOT / "docs" / "cds-hooks.md").read_text(encoding="utf-8")
    assert "There is no `mitigation`: nothing is recommended." in page


@pytest.mark.slow
def test_line_2_2_7_probabilities_are_percentages_and_repeated_in_words(crs: Server) -> None:
    assessment, _, _ = answered(crs, *chart())
    for one in assessment["prediction"]:
        stated = float(one["rationale"].split(" %")[0])
        assert 0.1 < stated <= 100
        assert one["probabilityDecimal"] == pytest.approx(stated, abs=0.0501)
    assert any(one["probabilityDecimal"] > 1 for one in assessment["prediction"])


@pytest.mark.slow
def test_line_2_2_8_the_device_has_name_version_and_digest_and_no_carrier(crs: Server) -> None:
    _, device, _ = answered(crs, *chart())
    model = crs.call("GET", "/model").json
    assert "udiCarrier" not in device
    assert device["deviceName"] == [{"name": model["name"], "type": "model-name"}]
    assert [one["value"] for one in device["version"]] == [model["version"], model["bundle"]]


@pytest.mark.slow
def test_line_2_2_9_the_provenance_leads_from_the_sources_by_the_device_to_the_assessment(crs: Server) -> None:
    assessment, device, provenance = answered(crs, *chart())
    assert provenance["target"] == [{"reference": f"urn:uuid:{assessment['id']}"}]
    (agent,) = provenance["agent"]
    assert agent["type"]["coding"][0]["code"] == "assembler"
    assert agent["who"] == {"reference": f"urn:uuid:{device['id']}"}
    assert {one["role"] for one in provenance["entity"]} == {"source"}
    assert [one["what"] for one in provenance["entity"]] == assessment["basis"]


@pytest.mark.slow
def test_line_2_2_10_an_audit_event_tells_client_server_patient_data_and_call(crs: Server) -> None:
    body = call(prefetch=prefetch(1))
    assert ask(crs, body).status == 200
    record = records(crs, Kind.PREDICTION)[-1]
    event = audit_event(record, "origin")
    AuditEvent.model_validate(event)
    assert [one["type"]["coding"][0]["code"] for one in event["agent"]] == ["110152", "110153"]
    whats = [one["what"]["identifier"]["value"] for one in event["entity"]]
    assert whats == [record.body["patient"], record.body["bundle"], body["hookInstance"], str(record.sequence)]


def test_line_2_2_10_a_user_is_an_information_recipient_by_a_digest_and_the_requestor() -> None:
    from audit.events import Record

    caller = {"issuer": "https://ehr.example", "subject": "digest-of-a-subject"}
    record = Record(1, datetime(2026, 1, 1, tzinfo=UTC), Kind.PREDICTION, "e", {"caller": caller}, "ab")
    event = audit_event(record, "origin")
    AuditEvent.model_validate(event)
    client, user, server = event["agent"]
    assert user["type"]["coding"][0]["code"] == "IRCP"
    assert user["who"]["identifier"]["value"] == "digest-of-a-subject"
    assert [one["requestor"] for one in (client, user, server)] == [False, True, False]


@pytest.mark.slow
def test_line_2_2_11_nothing_is_ever_written_to_an_ehr(crs: Server, fhir: StandIn) -> None:
    """The stand-in knows GET alone and answers any other method with 501, so a write would end in 412."""
    reply = ask(crs, call(fhirServer=fhir.base, fhirAuthorization=authorization()))
    assert reply.status == 200
    assert "systemActions" not in reply.json
    writing = re.compile(r"\.(post|put|patch|delete|request|send)\(")
    assert [path.name for path in (ROOT / "serving" / "cds").glob("*.py") if writing.search(path.read_text())] == []


# 2.3 libraries


def packages(room: str) -> set[str]:
    return {one.package for path in (ROOT / room).rglob("*.py") for one in imports(path)}


@pytest.mark.parametrize(
    "name", ["fhir", "fhirpathpy", "pathling", "pyspark", "fhirclient", "fhirpy", "pint", "authlib"]
)
def test_line_2_3_1_no_room_reads_fhir_or_tokens_by_a_library_that_was_not_chosen(name: str) -> None:
    assert not any(name in packages(room) for room in ROOMS)


def test_line_2_3_2_one_odd_code_takes_nothing_of_the_rest_with_it() -> None:
    """A leading blank in one code of one entry is enough for a strict model to refuse a whole Bundle."""
    odd = fb.diagnosis("c9", " G30.0")
    with pytest.raises(ValueError, match="code"):
        R4Bundle.model_validate(json.loads(json.dumps(fb.bundle(*fb.chart(), odd))))
    read, plain = fb.read(*fb.chart(), odd), fb.read(*fb.chart(), fb.diagnosis("c9", "G30.0"))
    assert fb.course_bits(read) == fb.course_bits(plain) != ""
    assert read.ignored == plain.ignored


def test_line_2_3_3_the_strict_model_is_a_tool_of_the_tests_alone() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [one.split(">")[0].split("=")[0] for one in project["dependencies"]]
    assert "fhir.resources" not in named
    assert "fhir.resources" in dependencies()


def test_line_2_3_5_tokens_are_verified_by_joserfc() -> None:
    assert "joserfc" in packages("serving")
    assert "joserfc" in locked()
    assert "authlib" not in locked()


@pytest.mark.parametrize("spelling", ["K/uL", "k/uL", "10*3/uL", "10^9/L"])
def test_line_2_3_6_a_count_is_a_count_however_the_laboratory_spells_it(spelling: str) -> None:
    assert seen(fb.result("o", "777-3", 88.0, spelling)) == {"platelets": 88.0}


@pytest.mark.parametrize("spelling", ["K", "kat/L", "furlong", "mg/dL"])
def test_line_2_3_6_a_unit_that_is_not_on_the_analytes_list_is_refused(spelling: str) -> None:
    found = fb.read(fb.patient(), fb.infusion(), fb.result("o", "777-3", 88.0, spelling))
    assert found.intake is not None
    assert (found.intake.course.observations, dict(found.ignored)) == ((), {"unit-not-accepted": 1})
