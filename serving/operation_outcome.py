"""Errors of the CDS Hooks and FHIR addresses, as an OperationOutcome; of all others in the house's own shape."""

import msgspec

from serving.refusal import RefusalError

JSON, FHIR_JSON = b"application/json", b"application/fhir+json"
CODES = "urn:crs-risk:error"
_BEGINNINGS = ("/cds-services", "/fhir")
#: Status -> code of FHIR's issue types.
_ISSUES = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    408: "timeout",
    412: "required",
    413: "too-long",
    415: "not-supported",
    422: "value",
    429: "throttled",
    503: "transient",
    504: "timeout",
}


def told(path: str, error: RefusalError) -> tuple[bytes, bytes]:
    """The body of an error on that address, and its media type."""
    return (_outcome(error), FHIR_JSON) if path.startswith(_BEGINNINGS) else (error.body, JSON)


def _outcome(error: RefusalError) -> bytes:
    words = "; ".join(filter(None, (f"{error.place}: {error.problem}", error.remedy)))
    issue = {
        "severity": "error",
        "code": _ISSUES.get(error.http_status, "exception"),
        "details": {"coding": [{"system": CODES, "code": error.code}], "text": error.problem},
        "diagnostics": words,
    }
    return msgspec.json.encode({"resourceType": "OperationOutcome", "issue": [issue]})
