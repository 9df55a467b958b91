"""FHIR R4 out: a Bundle of a patient's resources in, a Bundle with RiskAssessment, Device and Provenance out.

FHIR R4 says of `probability[x]` that decimal values are percentages; a setting turns them into fractions.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import UNSET

from features.concepts import Concepts
from features.fhir_types import Moment
from features.fhir_values import UCUM, moment, word
from features.fhir_walk import walk
from features.given import FIRST
from serving.answer import Answer, Model, Risk
from serving.cds.plain import plain
from serving.cds.words import lacking, percent
from serving.fhir_in import read_bundle
from serving.fhir_therapy import NOT_CONCERNED
from serving.fhir_types import FhirRead
from serving.refusal import bad_value

#: The caller's clock may be ahead by this much.
SKEW = timedelta(minutes=5)
_RISKS = {"low": "low", "intermediate": "moderate", "high": "high"}
_RISK_CODES = "http://terminology.hl7.org/CodeSystem/risk-probability"
_PARTICIPANTS = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_MODELS = "urn:crs-risk:model"
_WHAT = "Risk of cytokine release syndrome (CRS) and neurotoxicity (ICANS)"
_SINCE = "days count from the infusion or latest dose"
_WHY_NOT = {
    NOT_CONCERNED: "No T-cell-engaging therapy is planned or recent, so the model was not asked.",
    "not-clear": "Not evaluated: which T-cell-engaging therapy is meant, or when it was given, is not clear.",
}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """patient: the reference of the one Patient in the Bundle. at: the index time. now: when it was asked.

    encounter: the reference of the one Encounter in the Bundle, "" where there is none or are several.
    """

    read: FhirRead
    patient: str
    at: datetime
    now: datetime
    encounter: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """What all that is written of one question shares. probability: percent | fraction."""

    model: Model
    probability: str
    question: Question

    @property
    def device(self) -> str:
        """The same for the same bundle."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, self.model.bundle))

    @property
    def sources(self) -> list[Json]:
        """References to all that was read and used, each with its version where it is known."""
        basis = self.question.read.basis
        named = (f"{one.reference}/_history/{one.version}" if one.version else one.reference for one in basis)
        return [{"reference": one} for one in named]


def question(concepts: Concepts, body: Mapping[str, Any], now: datetime) -> Question:
    """What is asked by a Bundle; Refusal 422 or 413. Its `timestamp` is the index time; without one it is now."""
    if word(body.get("resourceType")) != "Bundle":
        raise bad_value("value-not-accepted", "$.resourceType", "expected a Bundle", "send all resources in one Bundle")
    at = _index(body, now)
    read = read_bundle(concepts, body, at)
    return Question(read, _patient(body), at, now, _encounter(body))


def _index(body: Mapping[str, Any], now: datetime) -> datetime:
    if "timestamp" not in body:
        return now
    found = moment(body["timestamp"])
    if not isinstance(found, Moment) or found.by_day:
        problem = "expected a time to the second, with its zone"
        raise bad_value("value-not-accepted", "$.timestamp", problem, "send 2026-01-31T08:00:00Z, or leave it out")
    at = FIRST + timedelta(microseconds=found.micros)
    if at > now + SKEW:
        raise bad_value("value-not-accepted", "$.timestamp", "the time lies in the future", "check the clock")
    return at


def _patient(body: Mapping[str, Any]) -> str:
    """The reference of the Patient; reading has made sure that there is exactly one."""
    for one in walk(body):
        if one.kind == "Patient":
            own = word(one.resource.get("id"))
            return f"Patient/{own}" if own else one.full_url
    raise AssertionError("a Bundle that was read has a patient")


def _encounter(body: Mapping[str, Any]) -> str:
    """The stay that the question is of can be told only where the Bundle holds one."""
    found = {
        f"Encounter/{own}" if (own := word(one.resource.get("id"))) else one.full_url
        for one in walk(body)
        if one.kind == "Encounter"
    }
    return found.pop() if len(found) == 1 else ""


def bundle(form: Form, answer: Answer) -> bytes:
    """The answer as FHIR: status final where it was evaluated, else cancelled, with the reasons as notes."""
    evaluated = answer.status == "evaluated"
    notes = [note.text for note in (*answer.not_evaluated, *answer.cautions)]
    notes += [f"{risk.label}: {_STATUS[risk.status]}." for risk in answer.risks if risk.status != "evaluated"]
    notes += [f"Missing: {'; '.join(map(lacking, answer.missing))}."] if answer.missing else []
    predictions = [_prediction(form, answer, risk) for risk in answer.risks if risk.status == "evaluated"]
    more: Json = {"prediction": predictions} if predictions else {}
    status = "final" if evaluated else "cancelled"
    return _bundle(form, {**_risk_assessment(form, answer.prediction_id, status), **more, **_notes(form, notes)})


_STATUS = {
    "reached": "charted already, so there is no probability",
    "horizon-over": "its horizon is over, so there is no probability",
    "not-evaluated": "not evaluated",
}


def without_answer(form: Form, name: str) -> bytes:
    """What is said of a patient whom the model was not asked about."""
    why = _WHY_NOT.get(form.question.read.status, "Not evaluated.")
    return _bundle(form, {**_risk_assessment(form, name, "cancelled"), **_notes(form, [why])})


def _risk_assessment(form: Form, name: str, status: str) -> Json:
    model = form.model
    held: Json = {
        "resourceType": "RiskAssessment",
        "id": name,
        "status": status,
        "method": {
            "coding": [{"system": _MODELS, "version": model.version, "code": model.bundle}],
            "text": f"{plain(model.name)}, version {plain(model.version)}",
        },
        "code": {"text": _WHAT},
        "subject": {"reference": form.question.patient},
        "occurrenceDateTime": form.question.at.isoformat(timespec="seconds"),
        "performer": {"reference": f"urn:uuid:{form.device}"},
    }
    stay = {"encounter": {"reference": form.question.encounter}} if form.question.encounter else {}
    return {**held, **stay, "basis": form.sources} if form.sources else {**held, **stay}


def _prediction(form: Form, answer: Answer, risk: Risk) -> Json:
    assert risk.probability is not UNSET  # evaluated risks have one
    assert risk.interval is not UNSET
    held: Json = {
        "outcome": {"coding": [{"system": "urn:crs-risk:outcome", "code": risk.outcome}], "text": risk.label},
        "probabilityDecimal": stated(risk.probability, form.probability),
        "whenRange": {"low": _days(0), "high": _days(answer.question.horizon_days[risk.outcome])},
        "rationale": f"{percent(risk.probability)}; 95 % interval {percent(risk.interval.low)} to "
        f"{percent(risk.interval.high)} ({risk.interval.method}); basis: {risk.basis}; {_SINCE}",
    }
    band = _RISKS.get(str(risk.band))
    qualitative = {"coding": [{"system": _RISK_CODES, "code": band}], "text": str(risk.band)}
    return {**held, "qualitativeRisk": qualitative} if band else held


def stated(probability: float, unit: str) -> float:
    """A probability in percent (to four decimals) or as a fraction (to six)."""
    return round(100 * probability, 4) if unit == "percent" else round(probability, 6)


def _days(value: int) -> Json:
    return {"value": value, "unit": "d", "system": UCUM, "code": "d"}


def _notes(form: Form, texts: Iterable[str]) -> Json:
    """Notes of this answer; what was read and not used is counted by reason, and no value is repeated."""
    ignored = ", ".join(f"{reason} {count}" for reason, count in form.question.read.ignored.items())
    said = [*texts, *([f"Not used, by reason: {ignored}."] if ignored else [])]
    return {"note": [{"text": text} for text in said]} if said else {}


def _bundle(form: Form, assessment: Json) -> bytes:
    now = form.question.now.isoformat(timespec="seconds")
    target = f"urn:uuid:{assessment['id']}"
    provenance = str(uuid.uuid5(uuid.UUID(assessment["id"]), "provenance"))
    entries = [
        (assessment["id"], assessment),
        (form.device, _device(form)),
        (provenance, _provenance(form, provenance, target)),
    ]
    held = [{"fullUrl": f"urn:uuid:{name}", "resource": resource} for name, resource in entries]
    return msgspec.json.encode({"resourceType": "Bundle", "type": "collection", "timestamp": now, "entry": held})


def _device(form: Form) -> Json:
    model = form.model
    versions = [("model version", plain(model.version)), ("SHA-256 of the bundle's manifest", model.bundle)]
    return {
        "resourceType": "Device",
        "id": form.device,
        "status": "active",
        "deviceName": [{"name": plain(model.name), "type": "model-name"}],
        "version": [{"type": {"text": what}, "value": value} for what, value in versions],
    }


def _provenance(form: Form, name: str, target: str) -> Json:
    assembler = {"coding": [{"system": _PARTICIPANTS, "code": "assembler"}]}
    held: Json = {
        "resourceType": "Provenance",
        "id": name,
        "target": [{"reference": target}],
        "recorded": form.question.now.isoformat(timespec="seconds"),
        "agent": [{"type": assembler, "who": {"reference": f"urn:uuid:{form.device}"}}],
    }
    sources = [{"role": "source", "what": one} for one in form.sources]
    return {**held, "entity": sources} if sources else held
