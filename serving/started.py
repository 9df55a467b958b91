"""Which bundle a service was started with. The parent tells each of its workers, so that all answer by that one.

Something else may be promoted before a worker that died is started again. It has to answer as the others do, and as the
ledger says since the service started.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict

from features.errors import StoreError
from features.home import Live

#: Names the bundle to a worker; set by serving.run alone.
VARIABLE = "CRS_RISK_STARTED_WITH"


def told(live: Live) -> dict[str, str]:
    """What a worker finds in its environment."""
    return {VARIABLE: json.dumps(asdict(live))}


def started_with(environment: Mapping[str, str]) -> Live | None:
    """The bundle that the parent names; None outside a worker, StoreError where it cannot be read."""
    text = environment.get(VARIABLE)
    if not text:
        return None
    try:
        return Live(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise StoreError(VARIABLE, "it names no bundle", "leave it to crs serve") from error
