"""What the form of a call cannot tell: whether it fits the service that it was sent to."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from msgspec import UNSET

from features.fhir_values import items, mapping, word
from serving.cds.form import Call, Feedback, FeedbackRequest
from serving.cds.services import Service
from serving.refusal import bad_form, bad_value
from serving.trust.addresses import is_loopback


def check_call(call: Call, service: Service) -> None:
    """RefusalError 400 or 422 where the call is not one of this service."""
    if call.hook != service.hook:
        raise bad_value("hook-differs", "$.hook", "this service is of another hook", f"send {service.hook}")
    for name in service.needs:
        if getattr(call.context, name) is UNSET:
            raise bad_form("missing-field", f"$.context.{name}", "this hook has to state it", "see docs/cds-hooks.md")
    if call.fhirAuthorization is not UNSET and call.fhirServer is UNSET:
        raise bad_form("missing-field", "$.fhirServer", "an authorization needs the server it is for", "state both")
    if call.fhirServer is not UNSET:
        _check_server(call.fhirServer)
    if call.context.draftOrders is not UNSET and word(call.context.draftOrders.get("resourceType")) != "Bundle":
        raise bad_value("value-not-accepted", "$.context.draftOrders", "expected a Bundle", "send the orders in one")


def _check_server(address: str) -> None:
    try:
        parts = urlsplit(address)
        good = bool(parts.hostname) and (parts.scheme == "https" or is_loopback(parts.hostname or ""))
        good = good and parts.username is None and not parts.query and not parts.fragment and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise bad_value("value-not-accepted", "$.fhirServer", "expected the https address of a FHIR server", "send it")


def drafts(call: Call) -> Mapping[str, Any] | None:
    """The orders that are being made: of a selection those that were selected, of all others every one.

    A selection that names none of the orders is read as all of them: better one card too many.
    """
    held = call.context.draftOrders
    if held is UNSET:
        return None
    if call.context.selections is UNSET:
        return held
    names = {one.strip("/") for one in call.context.selections}
    entries = [one for one in items(held.get("entry")) if _is_selected(one, names)]
    return {**held, "entry": entries} if entries else held


def _is_selected(entry: Mapping[str, Any], names: set[str]) -> bool:
    """Whether a selection names the order, as Type/id or by its id alone."""
    resource = mapping(entry.get("resource"))
    kind, own = word(resource.get("resourceType")), word(resource.get("id"))
    return bool(own) and (f"{kind}/{own}" in names or own in names)


def check_feedback(request: FeedbackRequest) -> tuple[datetime, ...]:
    """When each outcome came about, in UTC; RefusalError 400 or 422 for the first item that cannot be taken."""
    return tuple(_checked(one, f"$.feedback[{place}]") for place, one in enumerate(request.feedback))


def _checked(one: Feedback, path: str) -> datetime:
    if one.outcome == "accepted" and one.acceptedSuggestions is UNSET:
        problem = "an accepted card names the suggestions that were taken"
        raise bad_form("missing-field", f"{path}.acceptedSuggestions", problem, "name their uuids")
    try:
        at = datetime.fromisoformat(one.outcomeTimestamp)
        if at.tzinfo is None:
            raise ValueError
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        problem = "expected a date and time with its zone (RFC 3339)"
        raise bad_value(
            "value-not-accepted", f"{path}.outcomeTimestamp", problem, "send 2026-01-31T08:00:00Z"
        ) from None
