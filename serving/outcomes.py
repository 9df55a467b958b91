"""Outcomes into the ledger, each by itself: one that is refused takes none of the others with it."""

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from audit import outcome
from audit.events import Kind
from audit.ledger import Ledger
from serving.outcome_form import Fault, OutcomeForm, OutcomesAnswer, OutcomeShown, OutcomesRequest, Place
from serving.tenants import hidden

REFUSED = "refused"


def record(
    ledger: Ledger, request: OutcomesRequest, tenant: str = "", caller: Mapping[str, str] | None = None
) -> OutcomesAnswer:
    """Append every outcome that keeps the rules; LedgerError where the ledger cannot be written.

    tenant: of the caller; a prediction that was another's is not known to it. caller: as Recorder.reporter tells it.
    What was recorded before such an error stays recorded: the same request may be sent again.
    """
    by = None if caller is None else {outcome.CALLER: dict(caller)}
    places = enumerate(request.outcomes)
    shown = tuple(_record(ledger, form, f"$.outcomes[{place}]", tenant, by) for place, form in places)
    refused = sum(one.status == REFUSED for one in shown)
    return OutcomesAnswer(shown, len(shown) - refused, refused)


def _record(ledger: Ledger, form: OutcomeForm, path: str, tenant: str, by: Mapping[str, Any] | None) -> OutcomeShown:
    report = outcome.Report(**structs.asdict(form))
    try:
        _check_own(ledger, report.prediction_id, tenant)
        taken = outcome.record(ledger, report, by)
    except outcome.OutcomeError as error:
        return OutcomeShown(REFUSED, error=Fault(error.code, f"{path}.{error.place}", error.problem, error.remedy))
    place = Place(taken.receipt.sequence, taken.receipt.hash)
    return OutcomeShown(taken.status, prediction_id=report.prediction_id, record=place)


def _check_own(ledger: Ledger, prediction: str, tenant: str) -> None:
    """The same refusal as of a prediction that was never made."""
    if tenant and hidden(ledger.find(prediction, Kind.PREDICTION), tenant):
        raise outcome.OutcomeError("prediction-unknown", "prediction_id", "the ledger has no such prediction")
