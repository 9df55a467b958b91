"""Suggestions: orders for laboratory tests that are missing and could change a band. Never a treatment."""

import uuid
from collections.abc import Iterable
from typing import Any

from features.catalogue import Catalogue
from serving.answer import Answer
from serving.cds.card import Action, Suggestion
from serving.cds.services import LOINC_URI, order_code

#: More would be a list of everything.
MOST = 4


def suggestions(answer: Answer, catalogue: Catalogue, patient: str) -> tuple[Suggestion, ...]:
    """The most telling tests first. patient: the EHR's own id of the patient whose card this is."""
    return tuple(_found(answer, catalogue, patient))[:MOST]


def suggestion_id(card: str, key: str) -> str:
    """The same for the same card and test."""
    return str(uuid.uuid5(uuid.UUID(card), key))


def _found(answer: Answer, catalogue: Catalogue, patient: str) -> Iterable[Suggestion]:
    for one in answer.missing:
        code = order_code(catalogue, one.what) if one.could_change_band is True else ""
        if code:
            action = Action(f"Draft an order: {one.name}", _order(code, one.name, patient))
            yield Suggestion(f"Order {one.name}", suggestion_id(answer.prediction_id, one.what), (action,))


def _order(code: str, name: str, patient: str) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "proposal",
        "code": {"coding": [{"system": LOINC_URI, "code": code}], "text": name},
        "subject": {"reference": f"Patient/{patient}"},
    }
