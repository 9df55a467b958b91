"""Feedback on cards into the ledger: appended, never changed, and the same report again is the same record.

Free text is never kept in a record, nor a reason's code that is not one of ours: it is counted. Where the vault is on,
a comment on a card that the ledger knows goes there, sealed for the patient of that card.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET

from audit.events import Entry, Kind, Receipt, plain, stamp
from audit.ledger import Ledger
from audit.vault import holder_of
from serving.cds.card import CODES, OVERRIDE_CODES
from serving.cds.form import Feedback, FeedbackRequest
from serving.recorded import Keeps
from serving.tenants import hidden

RECORDED, AGAIN, UNKNOWN = "recorded", "already-recorded", "recorded-unknown-card"
#: Hex digits of the digest that names a report.
_DIGITS = 32


@dataclass(frozen=True, slots=True)
class By:
    """Who reports, and through which service; `caller` holds no token."""

    service: str
    caller: Mapping[str, str]


def record(
    ledger: Ledger, request: FeedbackRequest, times: Sequence[datetime], by: By, keeper: Keeps | None = None
) -> bytes:
    """Append each report and say what became of it; LedgerError where the ledger cannot be written.

    A card that the ledger does not know, or that was another tenant's, is recorded as such: an auditor reads it as an
    answer that was lost or never given here. What was recorded before an error stays: the same reports may be sent
    again.
    """
    shown = [_record(ledger, one, at, by, keeper) for one, at in zip(request.feedback, times, strict=True)]
    return msgspec.json.encode({"feedback": shown})


def _record(ledger: Ledger, one: Feedback, at: datetime, by: By, keeper: Keeps | None) -> dict[str, Any]:
    card = one.card.lower()
    known = ledger.find(card, Kind.PREDICTION) or ledger.find(card, Kind.REFUSAL)
    known = None if hidden(known, by.caller.get("tenant", "")) else known
    body = {**_body(one, card, at, by), "known": known is not None}
    comment = _comment(one)
    if keeper is None or known is None or comment is None:
        return _appended(ledger, Entry(Kind.FEEDBACK, body, _name(card, body)), card, RECORDED if known else UNKNOWN)
    body |= {"comments_dropped": 0, "comments_kept": 1, "comment": keeper.digest(comment)}
    entry = Entry(Kind.FEEDBACK, body, _name(card, body))
    before = ledger.find(entry.event_id, Kind.FEEDBACK)  # sealed anew it would be another record
    if before is not None:
        return _shown(card, AGAIN, Receipt(before.sequence, before.hash))
    sealed = keeper.comment(entry, holder_of(known.body, known.event_id), comment)
    return _appended(ledger, sealed, card, RECORDED)


def _name(card: str, body: Mapping[str, Any]) -> str:
    """The same for the same report."""
    return f"{card}:{hashlib.sha256(plain(body)).hexdigest()[:_DIGITS]}"


def _appended(ledger: Ledger, entry: Entry, card: str, status: str) -> dict[str, Any]:
    again = ledger.find(entry.event_id, Kind.FEEDBACK) is not None
    receipt = ledger.append_all([entry])[0]
    return _shown(card, AGAIN if again else status, receipt)


def _shown(card: str, status: str, receipt: Receipt) -> dict[str, Any]:
    return {"card": card, "status": status, "record": {"sequence": receipt.sequence, "hash": receipt.hash}}


def _comment(one: Feedback) -> str | None:
    held = one.overrideReason
    return None if held is UNSET or held.userComment is UNSET else held.userComment


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
