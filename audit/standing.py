"""Which bundle is to be served, by the ledger: what its latest activation or roll-back names."""

from audit.events import Kind, Record
from audit.ledger import Ledger
from features.home import Live


def standing(ledger: Ledger) -> Record | None:
    """The latest activation or roll-back; None where no model was ever activated."""
    found = [ledger.last(kind) for kind in (Kind.MODEL_ACTIVATED, Kind.MODEL_ROLLED_BACK)]
    return max((one for one in found if one is not None), key=lambda one: one.sequence, default=None)


def live_of(record: Record) -> Live:
    """What an activation or a roll-back makes live."""
    body = record.body
    return Live(str(body["tag"]), str(body["digest"]), str(body["version"]))


def activation_of(ledger: Ledger, digest: str) -> Record | None:
    """The latest activation of a bundle; None where it was never approved and activated."""
    found = [one for one in ledger.records(Kind.MODEL_ACTIVATED) if one.body["digest"] == digest]
    return found[-1] if found else None
