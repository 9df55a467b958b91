"""Findings for the published scores: closed, checked, never assumed."""

import json
from typing import Any

import pytest

from features.catalogue import load
from serving.api import PredictRequest
from serving.decode import predict_request
from serving.intake import take
from serving.refusal import RefusalError
from serving.scored import scores
from tests.serving.builders import example


def request(**findings: Any) -> PredictRequest:
    return predict_request(json.dumps(example(findings=findings)).encode())


def taken(**findings: Any) -> dict[str, float]:
    return take(load(), request(**findings)).findings.values


def refused(**findings: Any) -> tuple[int, str, str]:
    with pytest.raises(RefusalError) as caught:
        taken(**findings)
    return caught.value.http_status, caught.value.code, caught.value.place


def test_what_is_not_sent_or_null_is_not_known() -> None:
    assert (
        take(
            load(), predict_request(b'{"course":{"id":"1","therapy":"axi-cel"},"hours_since_start":0}')
        ).findings.values
        == {}
    )
    assert taken(splenomegaly=None, cirs={"renal": None}) == {}


def test_findings_become_numbers_by_name() -> None:
    assert taken(known_immunosuppression=True, haemophagocytosis=False, cirs={"renal": 3}) == {
        "immunosuppression": 1.0,
        "haemophagocytosis": 0.0,
        "cirs_renal": 3.0,
    }


@pytest.mark.parametrize(
    ("organs", "expected"),
    [
        ("none", {"organomegaly": 0.0, "splenomegaly": 0.0}),
        ("one", {"organomegaly": 1.0}),
        ("both", {"organomegaly": 2.0, "splenomegaly": 1.0}),
    ],
)
def test_organomegaly_says_what_the_spleen_is_where_it_can(organs: str, expected: dict[str, float]) -> None:
    assert taken(organomegaly=organs) == expected


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ({"organomegaly": "spleen"}, (422, "value-not-accepted", "$.findings.organomegaly")),
        ({"organomegaly": "none", "splenomegaly": True}, (422, "value-not-accepted", "$.findings.splenomegaly")),
        ({"organomegaly": "both", "splenomegaly": False}, (422, "value-not-accepted", "$.findings.splenomegaly")),
        ({"cirs": {"renal": 5}}, (422, "value-not-plausible", "$.findings.cirs.renal")),
        ({"cirs": {"hepatic": 2.5}}, (422, "value-not-plausible", "$.findings.cirs.hepatic")),
        ({"cirs": {"respiratory": -1}}, (422, "value-not-plausible", "$.findings.cirs.respiratory")),
        ({"cirs": {"cardiac": 4}}, (400, "unknown-field", "$.findings.cirs")),
        ({"spleen": True}, (400, "unknown-field", "$.findings")),
        ({"haemophagocytosis": 1}, (400, "wrong-type", "$.findings.haemophagocytosis")),
    ],
)
def test_a_finding_that_cannot_be_used_is_refused_with_its_path(
    findings: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    assert refused(**findings) == expected


def test_a_value_at_the_analysers_limit_is_remembered() -> None:
    sent = [
        {"code": "crp", "value": 0.5, "unit": "mg/dL", "hours": -2, "comparator": "<"},
        {"code": "ldh", "value": 300, "unit": "U/L", "hours": -2},
    ]
    intake = take(load(), predict_request(json.dumps(example(observations=sent)).encode()))
    assert intake.at_limit == {("crp", -7200, 5.0)}


def test_findings_and_analyser_limits_of_a_request_reach_the_scores() -> None:
    sent = [
        {"code": code, "value": value, "unit": unit, "hours": -2}
        for code, value, unit in (("ldh", 300, "U/L"), ("platelets", 80, "10*9/L"), ("creatinine", 0.9, "mg/dL"))
    ]
    sent.append({"code": "crp", "value": 0.5, "unit": "mg/dL", "hours": -2, "comparator": "<"})
    body = example(observations=sent, hours_since_start=0, findings={"cirs": {"hepatic": 3}})
    intake = take(load(), predict_request(json.dumps(body).encode()))
    found = {
        one.name: one
        for one in scores(
            load(),
            intake.course.observations,
            index_seconds=intake.course.index_seconds,
            therapy=intake.course.therapy,
            numbers=intake.course.numbers,
            findings=intake.findings,
            at_limit=intake.at_limit,
        )
    }
    assert found["easix"].status == "computed"
    assert [(gap.what, gap.why) for gap in found["m_easix"].missing] == [("crp", "at-limit")]
    assert found["severe4"].result == "positive"
