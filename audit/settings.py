"""How often the ledger is signed, where its checkpoints go, and where it lies. Read once, at the edge."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from features.errors import UsageError

URI = "CRS_RISK_LEDGER_URI"
FOLDER = "CRS_RISK_LEDGER_CHECKPOINTS"
URL = "CRS_RISK_LEDGER_CHECKPOINT_URL"
RECORDS = "CRS_RISK_LEDGER_CHECKPOINT_RECORDS"
SECONDS = "CRS_RISK_LEDGER_CHECKPOINT_SECONDS"
HEARTBEAT = "CRS_RISK_LEDGER_HEARTBEAT_SECONDS"
VAULT = "CRS_RISK_VAULT"


@dataclass(frozen=True, slots=True)
class Settings:
    """uri: a PostgreSQL URL, "" for SQLite under the home. folder, url: where checkpoints are copied to, besides.

    A checkpoint is signed after `records` records or `seconds` seconds, whichever comes first, once there is something
    new. While the service runs, a heartbeat is recorded every `heartbeat` seconds. The defaults are policy of this
    project: a cut tail can hide what came after the last checkpoint that was copied elsewhere.
    vault: whether the requests of answers are kept, encrypted, beside their records.
    """

    uri: str = ""
    folder: Path | None = None
    url: str = ""
    records: int = 1000
    seconds: float = 300.0
    heartbeat: float = 300.0
    vault: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """UsageError where a number is none or not above 0, or the vault neither on nor off."""
        default = cls()
        return cls(
            uri=environment.get(URI, ""),
            folder=Path(environment[FOLDER]) if environment.get(FOLDER) else None,
            url=environment.get(URL, ""),
            records=int(_number(environment, RECORDS, default.records, whole=True)),
            seconds=_number(environment, SECONDS, default.seconds),
            heartbeat=_number(environment, HEARTBEAT, default.heartbeat),
            vault=_switch(environment, VAULT),
        )


def _switch(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name) or "off"
    if text not in ("on", "off"):
        raise UsageError(name, "neither on nor off", "correct it or leave it out")
    return text == "on"


def _number(environment: Mapping[str, str], name: str, default: float, whole: bool = False) -> float:
    text = environment.get(name) or str(default)
    try:
        found = float(int(text)) if whole else float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise UsageError(name, "not a number above 0", "correct it or leave it out")
    return found
