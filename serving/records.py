"""The deployment's ledger as the service holds it: opened once per process, open as long as the process lives."""

import os
from contextlib import ExitStack
from functools import cache

from audit.ledger import Ledger, open_ledger
from features.home import Home

_OPEN = ExitStack()


@cache
def records() -> Ledger:
    """The ledger of the deployment that CRS_RISK_HOME names; LedgerError where it cannot be used."""
    return _OPEN.enter_context(open_ledger(Home.from_environment(os.environ)))
