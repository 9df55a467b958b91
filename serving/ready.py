"""Whether the service can answer: its model is loaded and was verified, and its ledger can be written."""

import time
from collections.abc import Callable

from audit.client import Client
from features.errors import LedgerError
from serving.log import LOGGER
from serving.recorded import appends

#: Seconds for which a look at the ledger counts, however often anybody asks.
KEPT_SECONDS = 2.0


def ask_writer() -> None:
    """LedgerError where records cannot be written. Without a writer of its own, a process holds the ledger open."""
    ledger = appends()
    if isinstance(ledger, Client):
        ledger.append_all([])


class Readiness:
    """Alive is one thing, ready another: a service whose ledger cannot be written is alive and refuses every call.

    model: raises unless the bundle was loaded and verified. ledger: raises LedgerError where it cannot be written.
    """

    def __init__(
        self,
        model: Callable[[], object],
        ledger: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._ledger, self._clock = model, ledger, clock
        self._looked, self._writes = float("-inf"), False

    def look(self) -> bool:
        """Whether calls are answered now."""
        self._model()
        if self._clock() - self._looked >= KEPT_SECONDS:
            self._writes, self._looked = self._can_write(), self._clock()
        return self._writes

    def _can_write(self) -> bool:
        try:
            self._ledger()
        except LedgerError as error:
            LOGGER.error("not ready: %s", error)
            return False
        return True
