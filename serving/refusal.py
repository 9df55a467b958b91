"""A request that cannot be answered: which field, what was expected, what to do. Never the value that was sent."""

from math import ceil
from typing import Any

import msgspec

from features.errors import RequestError


class RefusalError(RequestError):
    """A refused request. `place` is the field's path; `code` is stable, so that a client may branch on it.

    `headers` go with the answer. `reason` goes to the log and never to the caller.
    """

    headers: tuple[tuple[bytes, bytes], ...] = ()
    reason = ""

    def __init__(self, status: int, code: str, place: str, problem: str, remedy: str = "") -> None:
        super().__init__(place, problem, remedy)
        self.http_status = status
        self.code = code

    @property
    def body(self) -> bytes:
        """The JSON of the answer."""
        error: dict[str, Any] = {
            "code": self.code,
            "path": self.place,
            "problem": self.problem,
            "remedy": self.remedy,
        }
        return msgspec.json.encode({"error": error})


def bad_form(code: str, path: str, problem: str, remedy: str = "see docs/api.md") -> RefusalError:
    """400: the body is not JSON of the documented form."""
    return RefusalError(400, code, path, problem, remedy)


def bad_value(code: str, path: str, problem: str, remedy: str) -> RefusalError:
    """422: the form is right, and a value in it cannot be used."""
    return RefusalError(422, code, path, problem, remedy)


def not_found() -> RefusalError:
    return RefusalError(404, "not-found", "$", "there is nothing at this address", "see docs/api.md for the routes")


def wrong_method(allowed: str) -> RefusalError:
    return RefusalError(405, "method-not-allowed", "$", "this address does not take this method", f"use {allowed}")


def too_large(limit: int) -> RefusalError:
    return RefusalError(
        413, "body-too-large", "$", f"the body is larger than {limit} bytes", "send fewer observations or courses"
    )


def wrong_media() -> RefusalError:
    problem = "the body must be plain JSON"
    return RefusalError(
        415, "media-type-not-accepted", "$", problem, "send Content-Type: application/json, not compressed"
    )


def too_slow_to_send() -> RefusalError:
    return RefusalError(408, "body-not-received", "$", "the body did not arrive in time", "send it again")


def too_deep(limit: int) -> RefusalError:
    return bad_form("too-deep", "$", f"the JSON nests deeper than {limit} levels", "see docs/api.md for the form")


def too_many_entries(limit: int) -> RefusalError:
    return RefusalError(
        413, "too-many-entries", "$", f"the JSON holds more than {limit} entries", "send fewer observations or courses"
    )


def not_signed_in(reason: str) -> RefusalError:
    """401, the same whatever was wrong: who tries tokens learns nothing from it."""
    error = RefusalError(401, "not-signed-in", "$", "the call is not signed in", "see docs/trust.md")
    error.headers, error.reason = ((b"www-authenticate", b"Bearer"),), reason
    return error


def forbidden(reason: str) -> RefusalError:
    """403, the same whatever was missing."""
    error = RefusalError(403, "not-allowed", "$", "the caller may not do this", "see docs/trust.md")
    error.reason = reason
    return error


def too_many_calls(seconds: float, reason: str) -> RefusalError:
    """429: the issuer may call again after so many seconds."""
    return _later(
        RefusalError(429, "too-many-calls", "$", "too many calls", "wait as Retry-After says"), seconds, reason
    )


def busy(reason: str, seconds: float) -> RefusalError:
    """503: whether the call may be taken cannot be told now."""
    return _later(RefusalError(503, "unavailable", "$", "no call can be taken now", "try again later"), seconds, reason)


def _later(error: RefusalError, seconds: float, reason: str) -> RefusalError:
    error.headers, error.reason = ((b"retry-after", str(max(1, ceil(seconds))).encode()),), reason
    return error


def too_slow() -> RefusalError:
    return RefusalError(504, "timeout", "$", "the answer took too long", "send fewer courses, or try again")


def too_late() -> RefusalError:
    """503: the time in which an EHR waits is over. Silence would say that the patient is not concerned."""
    return _later(RefusalError(503, "timeout", "$", "the answer took too long", "try again"), 1.0, "")


def not_ready() -> RefusalError:
    """503 of the probe: the service is alive, and what it answered could not be recorded."""
    return _later(RefusalError(503, "not-ready", "$", "the ledger cannot be written", "see the service's log"), 2.0, "")


def internal() -> RefusalError:
    return RefusalError(
        500, "internal-error", "$", "the service could not answer", "report the time of the call to its operator"
    )


def not_recorded() -> RefusalError:
    return RefusalError(
        503, "not-recorded", "$", "the answer could not be recorded, so it is not given", "tell the service's operator"
    )
