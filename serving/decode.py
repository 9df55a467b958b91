"""Bytes into request types. What does not fit becomes a Refusal that names the field and repeats no value."""

import difflib
import json
import math
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from serving.api import FIELD_NAMES, BatchRequest, PredictRequest
from serving.cds.form import HOOK_FIELDS, Call, FeedbackRequest
from serving.grade_form import GRADE_FIELDS, GradeRequest
from serving.members import RepeatedError, check_once
from serving.outcome_form import OUTCOME_FIELDS, OutcomesRequest
from serving.refusal import RefusalError, bad_form, bad_value

Form = TypeVar("Form")

_PREDICT = msgspec.json.Decoder(PredictRequest)
_BATCH = msgspec.json.Decoder(BatchRequest)
_GRADE = msgspec.json.Decoder(GradeRequest)
_OUTCOMES = msgspec.json.Decoder(OutcomesRequest)
_CALL = msgspec.json.Decoder(Call)
_FEEDBACK = msgspec.json.Decoder(FeedbackRequest)
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_FIELDS = FIELD_NAMES | GRADE_FIELDS | OUTCOME_FIELDS | HOOK_FIELDS
_PATH = re.compile(r" - at `(\$(?:\.[A-Za-z_]+|\[\d+\]|\[\.\.\.\])*)`$")
_TYPES = re.compile(r"Expected `[a-z| ]+`(, got `[a-z| ]+`)?")
_LENGTH = re.compile(r"Expected `(?:array|str)` of length [<>]= \d+")
_MISSING = re.compile(r"Object missing required field `([A-Za-z_]+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`$", re.DOTALL)


def predict_request(body: bytes) -> PredictRequest:
    """The request in a body of /predict; Refusal 400 or 422."""
    return _decode(_PREDICT, body)


def batch_request(body: bytes) -> BatchRequest:
    """The requests in a body of /predict_batch; Refusal 400 or 422."""
    return _decode(_BATCH, body)


def grade_request(body: bytes) -> GradeRequest:
    """The request in a body of /grade; Refusal 400 or 422."""
    return _decode(_GRADE, body)


def outcomes_request(body: bytes) -> OutcomesRequest:
    """The request in a body of /outcomes; Refusal 400 or 422."""
    return _decode(_OUTCOMES, body)


def hook_call(body: bytes) -> Call:
    """The CDS Hooks call in a body; Refusal 400 or 422."""
    return _decode(_CALL, body)


def feedback_request(body: bytes) -> FeedbackRequest:
    """The feedback in a body; Refusal 400 or 422."""
    return _decode(_FEEDBACK, body)


def json_object(body: bytes) -> dict[str, Any]:
    """Any JSON object; Refusal 400 or 422."""
    return _decode(_OBJECT, body)


def _decode(decoder: "msgspec.json.Decoder[Form]", body: bytes) -> Form:
    try:
        found = decoder.decode(body)
        check_once(body)
    except msgspec.ValidationError as error:
        raise _misfit(str(error)) from None
    except RepeatedError as error:
        raise _repeated(error.name) from None
    except (ValueError, RecursionError):
        raise _malformed(body) from None
    return found


def _repeated(name: str) -> RefusalError:
    """Which of the two is meant nobody can tell; the member is named only if it is one of ours."""
    what = f"`{name}`" if name in _FIELDS else "a member"
    return bad_form("repeated-member", "$", f"an object states {what} twice", "state each member once")


def _misfit(message: str) -> RefusalError:
    """The refusal for one of msgspec's messages; only parts that are known to hold no value are repeated."""
    found = _PATH.search(message)
    path = found.group(1) if found else "$"
    message = message[: found.start()] if found else message
    if missing := _MISSING.match(message):
        return bad_form("missing-field", f"{path}.{missing.group(1)}", "a required field is missing")
    if unknown := _UNKNOWN.match(message):
        return bad_form("unknown-field", path, "a field here is not known", _nearest(unknown.group(1)))
    if length := _LENGTH.match(message):
        return bad_value("length-not-accepted", path, _lower(length.group(0)), "see the limits in docs/api.md")
    if message.startswith("Number out of range"):
        return _not_finite(path)
    if message.startswith("Expected `str` matching"):
        return bad_form("wrong-type", path, "the text does not have the documented form")
    types = _TYPES.match(message)
    return bad_form("wrong-type", path, _lower(types.group(0)) if types else "the type is not the documented one")


def _nearest(name: str) -> str:
    """A hint that names a field of ours, never the one that was sent."""
    near = difflib.get_close_matches(name[:60], sorted(_FIELDS), n=1)
    return f"did you mean `{near[0]}`?" if near else "remove it; docs/api.md lists the fields"


def _malformed(body: bytes) -> RefusalError:
    """NaN and Infinity, which some libraries write into JSON, are named by their path; the rest is malformed."""
    try:
        parsed = json.loads(body)
        path = next(_non_finite_paths(parsed, "$"), None)
    except (ValueError, RecursionError):
        path = None
    if path:
        return _not_finite(path)
    return bad_form("malformed-json", "$", "the body is not valid JSON in UTF-8", "send one JSON object")


def _non_finite_paths(part: Any, path: str) -> Iterator[str]:
    if isinstance(part, dict):
        for key, one in part.items():
            yield from _non_finite_paths(one, f"{path}.{key}" if key in _FIELDS else f"{path}[...]")
    elif isinstance(part, list):
        for place, one in enumerate(part):
            yield from _non_finite_paths(one, f"{path}[{place}]")
    elif isinstance(part, float) and not math.isfinite(part):
        yield path


def _not_finite(path: str) -> RefusalError:
    return bad_value("value-not-finite", path, "the number is NaN, infinite or too large", "leave an unknown value out")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
