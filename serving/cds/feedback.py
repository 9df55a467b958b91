"""Feedback on cards into the ledger: appended, never changed, and the same report again is the same record.

Free text is never kept, nor a reason's code that is not one of ours: it is counted.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET

from audit.events import Kind, plain, stamp
from audit.ledger import Ledger
from serving.cds.card import CODES, OVERRIDE_CODES
from serving.cds.form import Feedback, FeedbackRequest

RECORDED, AGAIN, UNKNOWN = "recorded", "already-recorded", "recorded-unknown-card"
#: Hex digits of the digest that names a report.
_DIGITS = 32


@dataclass(frozen=True, slots=True)
class By:
    """Who reports, and through which service; `caller` holds no token."""

    service: str
    caller: Mapping[str, str]


def record(ledger: Ledger, request: FeedbackRequest, times: Sequence[datetime], by: By) -> bytes:
    """Append each report and say what became of it; LedgerError where the ledger cannot be written.

    A card that the ledger does not know is recorded as such: an auditor reads it as an answer that was lost or never
    given here. What was recorded before an error stays: the same reports may be sent again.
    """
    shown = [_record(ledger, one, at, by) for one, at in zip(request.feedback, times, strict=True)]
    return msgspec.json.encode({"feedback": shown})


def _record(ledger: Ledger, one: Feedback, at: datetime, by: By) -> dict[str, Any]:
    card = one.card.lower()
    known = ledger.find(card, Kind.PREDICTION) or ledger.find(card, Kind.REFUSAL)
    body = {**_body(one, card, at, by), "known": known is not None}
    name = f"{card}:{hashlib.sha256(plain(body)).hexdigest()[:_DIGITS]}"
    again = ledger.find(name, Kind.FEEDBACK) is not None
    receipt = ledger.append(Kind.FEEDBACK, body, name)
    status = AGAIN if again else RECORDED if known else UNKNOWN
    return {"card": card, "status": status, "record": {"sequence": receipt.sequence, "hash": receipt.hash}}


def _body(one: Feedback, card: str, at: datetime, by: By) -> dict[str, Any]:
    reason, comments = _reason(one)
    taken = () if one.acceptedSuggestions is UNSET else one.acceptedSuggestions
    return {
        "card": card,
        "service": by.service,
        "caller": dict(by.caller),
        "outcome": one.outcome,
        "at": stamp(at),
        "suggestions": sorted({held.id.lower() for held in taken}),
        "reason": reason,
        "comments_dropped": comments,
    }


def _reason(one: Feedback) -> tuple[str, int]:
    """One of our codes, "other" or "" for none; and how many free texts were thrown away."""
    held = one.overrideReason
    if held is UNSET:
        return "", 0
    comments = int(held.userComment is not UNSET)
    if held.reason is UNSET:
        return "", comments
    ours = held.reason.system == CODES and held.reason.code in OVERRIDE_CODES
    return held.reason.code if ours else "other", comments
