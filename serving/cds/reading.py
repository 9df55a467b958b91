"""What a call says, as the desk reads it: the same for the answer and for whoever reads a kept call again."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from msgspec import UNSET

from features.concepts import Concepts
from serving.cds import check, state
from serving.cds.form import Call
from serving.cds.services import PATIENT, Service
from serving.fhir_in import read_prefetch
from serving.fhir_therapy import COURSE
from serving.fhir_types import FhirRead
from serving.intake import Intake
from serving.recorded import Asked
from serving.risk_assessment import Question


def called(asked: Asked, call: Call, service: Service) -> Asked:
    """The call with what its record says of it."""
    more = {"hook_instance": call.hookInstance.lower(), "service": service.id}
    return replace(asked, hook=service.hook, patient=call.context.patientId, more=more)


def course(concepts: Concepts, call: Call, held: Mapping[str, Any], now: datetime) -> FhirRead:
    """What the data say; Refusal 412 where what is needed is not there, 422 where it is another patient's."""
    drafts = check.drafts(call)
    server = "" if call.fhirServer is UNSET else call.fhirServer
    missing = state.required(held)
    patient = call.context.patientId
    read = read_prefetch(concepts, {**held}, now, patient, server, drafts, patient)
    if drafts is not None and read.status == COURSE:  # the order itself says which therapy it is
        missing = tuple(one for one in missing if one != state.ONE_OF_THERAPIES)
    if PATIENT in read.missing and PATIENT not in missing:
        missing = (PATIENT, *missing)
    if missing:
        raise state.precondition(missing)
    return read


def joined(sent: Mapping[str, Any], fetched: Mapping[str, Any]) -> dict[str, Any]:
    """What was sent, and what was fetched in its place, or beside it where it was a further page."""
    wanted = state.unsatisfied(sent)
    held = {key: value for key, value in sent.items() if key not in fetched or key not in wanted}
    beside = {f"{key}+": value for key, value in fetched.items() if key in held}
    return {**held, **beside, **{key: value for key, value in fetched.items() if key not in held}}


def of_question(asked: Asked, question: Question, codes: Concepts) -> Asked:
    """The call of POST /fhir/risk-assessment with what its record says of it."""
    return with_sources(replace(asked, patient=patient_of(question), now=question.now), question.read, codes)


def patient_of(question: Question) -> str:
    """The id of the patient whom the question is about."""
    return question.patient.removeprefix("Patient/")


def with_sources(asked: Asked, read: FhirRead, codes: Concepts) -> Asked:
    """The call with what its record says of the resources that were used, of what was not, and of a centre's codes."""
    sources = tuple(f"{one.reference}/_history/{one.version}" if one.version else one.reference for one in read.basis)
    more = {**asked.more, "fetched": sorted(asked.fetched), "ignored": dict(read.ignored), "planned": read.planned}
    more |= {"codes": codes.digest} if codes.digest else {}
    return replace(asked, sources=sources, more=more)


def named_course(read: FhirRead, patient: str) -> Intake:
    """The course under a name that stays the same from call to call: one patient may have several."""
    assert read.intake is not None  # a course has one
    assert read.start is not None
    began = "planned" if read.planned else read.start.isoformat()
    return replace(read.intake, course_id=f"{patient} {read.intake.course.therapy} {began}")
