"""The ledger as FHIR R4: an AuditEvent per record, and a Provenance per answer and per step of a model.

Nobody's identity is in it: a patient is the keyed digest that the ledger holds. Vectors and probabilities stay in the
ledger, to which each resource points by the record's sequence and hash. Codes are those of FHIR R4 and DICOM where they
have one for the event, else the ledger's own kind.
Sources: FHIR R4 AuditEvent and Provenance; IHE BALP for how a patient and a data entity are told.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from audit.events import Kind, Record, stamp

Json = dict[str, Any]

_TERMS = "http://terminology.hl7.org/CodeSystem"
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_KINDS, _RECORDS, _MODELS = "urn:crs-risk:ledger-kind", "urn:crs-risk:record", "urn:crs-risk:model"
_DIGESTS, _CALLS = "urn:crs-risk:keyed-digest", "urn:crs-risk:hook-instance"
_PARTICIPANTS = f"{_TERMS}/v3-ParticipationType"
_REST: Json = {"system": f"{_TERMS}/audit-event-type", "code": "rest", "display": "RESTful Operation"}
_APPLICATION: Json = {"system": _DICOM, "code": "110100", "display": "Application Activity"}
_LOG_USED: Json = {"system": _DICOM, "code": "110101", "display": "Audit Log Used"}
_TYPES: dict[Kind, tuple[Json, ...]] = {
    **dict.fromkeys((Kind.PREDICTION, Kind.REFUSAL, Kind.FEEDBACK, Kind.OUTCOME), (_REST,)),
    Kind.SERVICE_STARTED: (_APPLICATION, {"system": _DICOM, "code": "110120", "display": "Application Start"}),
    Kind.SERVICE_STOPPED: (_APPLICATION, {"system": _DICOM, "code": "110121", "display": "Application Stop"}),
    Kind.ACCESS: (_LOG_USED,),
}
_ACTIONS = {Kind.PREDICTION: "E", Kind.ACCESS: "R", Kind.CONFIG_CHANGED: "U", Kind.VAULT_ERASED: "D"}
#: Who took which part in a step of a model, by the participant types of FHIR.
_PARTS = {
    Kind.MODEL_REGISTERED: "assembler",
    Kind.MODEL_EVALUATED: "performer",
    Kind.MODEL_APPROVED: "verifier",
    Kind.MODEL_ACTIVATED: "custodian",
    Kind.MODEL_ROLLED_BACK: "author",
}
_SOFTWARE: Json = {"display": "crs-risk"}


def resources(record: Record, origin: str) -> Iterator[Json]:
    """What a record is in FHIR. origin: the ledger's name, which is that of its key."""
    yield audit_event(record, origin)
    if record.kind is Kind.PREDICTION or record.kind in _PARTS:
        yield provenance(record)


def audit_event(record: Record, origin: str) -> Json:
    """The record as an AuditEvent."""
    first, *more = _TYPES.get(record.kind, (_own(record.kind),))
    entities = list(_entities(record))
    return {
        "resourceType": "AuditEvent",
        "id": f"record-{record.sequence}",
        "type": first,
        "subtype": [*more, *([] if first == _own(record.kind) else [_own(record.kind)])] or [first],
        "action": _ACTIONS.get(record.kind, "C"),
        "recorded": stamp(record.time),
        "outcome": _outcome(record),
        "agent": list(_agents(record)),
        "source": {"observer": {**_SOFTWARE, "identifier": {"system": _RECORDS, "value": origin}}},
        "entity": [*entities, _itself(record)],
    }


def _own(kind: Kind) -> Json:
    return {"system": _KINDS, "code": str(kind)}


def _outcome(record: Record) -> str:
    """0 success, 4 refused for what was asked, 8 refused because the service could not."""
    status = record.body.get("status") if record.kind is Kind.REFUSAL else None
    if not isinstance(status, int) or status < 400:
        return "0"
    return "8" if status >= 500 else "4"


def _agents(record: Record) -> Iterator[Json]:
    """The client that asked, the person for whom, and the software: client, user and server of IHE BALP.

    The user of a call is the keyed digest of the token's subject, and never a name.
    """
    client, user = _client(record.body), _user(record.body)
    if client:
        yield {"type": _dicom("110152", "Destination Role ID"), "who": client, "requestor": not user}
    if user:
        yield {"type": {"coding": [{"system": _PARTICIPANTS, "code": "IRCP"}]}, "who": user, "requestor": True}
    yield {"type": _dicom("110153", "Source Role ID"), "who": _SOFTWARE, "requestor": not (client or user)}


def _dicom(code: str, display: str) -> Json:
    return {"coding": [{"system": _DICOM, "code": code, "display": display}]}


def _caller(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = body.get("caller", body.get("reporter"))
    return found if isinstance(found, Mapping) else None


def _client(body: Mapping[str, Any]) -> Json:
    caller = _caller(body)
    return {} if caller is None else {"display": str(caller.get("issuer") or "unsigned")}


def _user(body: Mapping[str, Any]) -> Json:
    subject = (_caller(body) or {}).get("subject")
    if subject:
        return {"identifier": _identifier(_DIGESTS, subject)}
    return {"display": str(body["by"])} if body.get("by") else {}


def _entities(record: Record) -> Iterator[Json]:
    body = record.body
    if body.get("patient"):
        kind = {"system": f"{_TERMS}/audit-entity-type", "code": "1", "display": "Person"}
        role = {"system": f"{_TERMS}/object-role", "code": "1", "display": "Patient"}
        yield {"what": {"identifier": _identifier(_DIGESTS, body["patient"])}, "type": kind, "role": role}
    digest = body.get("bundle", body.get("digest"))
    if digest:
        yield {**_system(_MODELS, str(digest)), "description": f"model version {body.get('version', '')}".strip()}
    if "record" in body:
        yield _system(_RECORDS, str(body["record"]))
    if body.get("hook_instance"):
        yield _system(_CALLS, str(body["hook_instance"]))


def _itself(record: Record) -> Json:
    """The record by sequence and hash, by which the ledger proves it."""
    return {**_system(_RECORDS, str(record.sequence)), "name": f"SHA-256 {record.hash}"}


def _system(system: str, value: str) -> Json:
    kind = {"system": f"{_TERMS}/audit-entity-type", "code": "2", "display": "System Object"}
    return {"what": {"identifier": _identifier(system, value)}, "type": kind}


def _identifier(system: str, value: str) -> Json:
    return {"system": system, "value": value}


def provenance(record: Record) -> Json:
    """Where an answer, or the state of a model, comes from."""
    model = {"identifier": _identifier(_MODELS, str(record.body.get("bundle", record.body.get("digest"))))}
    answer = record.kind is Kind.PREDICTION
    target = {"identifier": _identifier("urn:crs-risk:prediction", record.event_id)} if answer else model
    agents = [_agent("assembler", {"type": "Device", **model})] if answer else list(_steps(record))
    entities = list(_sources(record))
    return {
        "resourceType": "Provenance",
        "id": f"provenance-{record.sequence}",
        "target": [{"type": "RiskAssessment" if answer else "Device", **target}],
        "recorded": stamp(record.time),
        "activity": {"coding": [_own(record.kind)]},
        "agent": agents,
        **({"entity": entities} if entities else {}),
    }


def _steps(record: Record) -> Iterator[Json]:
    """Who took part in a step of a model: the one who did it, and of an activation those who had approved it."""
    yield _agent(_PARTS[record.kind], _user(record.body) or _SOFTWARE)
    for one in record.body.get("approvals", ()):
        yield _agent("verifier", {"display": str(one["by"])})


def _agent(part: str, who: Json) -> Json:
    return {"type": {"coding": [{"system": f"{_TERMS}/provenance-participant-type", "code": part}]}, "who": who}


def _sources(record: Record) -> Iterator[Json]:
    """What an answer was read from, by keyed digests; the version that a model was made from or takes the place of."""
    for one in record.body.get("sources", ()):
        yield {"role": "source", "what": {"identifier": _identifier(_DIGESTS, str(one))}}
    for name, role in (("parent", "derivation"), ("previous", "revision")):
        if record.body.get(name):
            yield {"role": role, "what": {"identifier": _identifier(_MODELS, str(record.body[name]))}}
