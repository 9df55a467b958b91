"""What has become of the request that a record says is kept: there, erased, or not as it was."""

from dataclasses import dataclass
from enum import StrEnum

from audit import vault
from audit.data_keys import DataKeys
from audit.events import Kind, Record
from audit.kept import Kept
from audit.ledger import Ledger
from audit.request import Request
from audit.vault import SealError
from features.errors import LedgerError


class State(StrEnum):
    """Of a kept request. KEY_LOST: it is there, and its key is gone though no erasure is on record."""

    NOT_KEPT = "not kept"
    KEPT = "kept"
    ERASED = "erased"
    KEY_LOST = "key lost"
    GONE = "gone"
    ALTERED = "altered"


#: What an auditor is told of a request that is not as the ledger says.
PROBLEMS = {
    State.GONE: "the kept request is gone, and no erasure is on record",
    State.ALTERED: "the kept request is not the one that was recorded",
}


@dataclass(frozen=True, slots=True)
class Unsealed:
    """request: where the state is KEPT."""

    state: State
    request: Request | None = None


class Unsealing:
    """Opens the kept requests of one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._keys = ledger, DataKeys(ledger.home)

    def of(self, record: Record) -> Unsealed:
        """What is kept of a record."""
        if vault.DIGEST not in record.body:
            return Unsealed(State.NOT_KEPT)
        found = self._ledger.kept(record.sequence)
        if found is None:
            return Unsealed(State.ERASED if erased(self._ledger, record) else State.GONE)
        if vault.digest(found.sealed) != record.body[vault.DIGEST]:
            return Unsealed(State.ALTERED)
        return self._opened(record, found)

    def _opened(self, record: Record, found: Kept) -> Unsealed:
        key_id = vault.key_of(found.sealed)
        try:
            if (key := self._keys.held(key_id)) is None:
                return Unsealed(State.ERASED if self._was_erased(key_id) else State.KEY_LOST)
        except LedgerError:  # the vault key or its database is gone: nothing opens, and the rest goes on
            return Unsealed(State.KEY_LOST)
        holder = vault.holder_of(record.body, record.event_id)
        try:
            return Unsealed(State.KEPT, Request.from_bytes(vault.unseal(found.sealed, key, record.event_id, holder)))
        except (SealError, ValueError, KeyError, TypeError):
            return Unsealed(State.ALTERED)

    def _was_erased(self, key_id: str) -> bool:
        ended = key_id in (key for key, _ in self._keys.ended())
        return ended or self._ledger.find(key_id, Kind.VAULT_ERASED) is not None


def erased(ledger: Ledger, record: Record) -> bool:
    """Whether the ledger tells of an erasure after the record, of the same patient."""
    holder = vault.holder_of(record.body, record.event_id)
    return any(one.body["patient"] == holder for one in ledger.records(Kind.VAULT_ERASED, first=record.sequence))
