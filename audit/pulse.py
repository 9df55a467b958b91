"""Whether a service went silent: what a killed process leaves behind, and a cut tail, too."""

from dataclasses import dataclass
from datetime import datetime

from audit.events import Kind

#: So many heartbeats without a record are silence.
SILENT_BEATS = 3


@dataclass(slots=True)
class Pulse:
    """Follows the records of a ledger in their order. every: seconds between heartbeats."""

    every: float
    running: bool = False
    last: datetime | None = None

    def record(self, kind: str, time: datetime) -> str:
        """A remark on the silence before this record, "" where there is none."""
        before, self.last = self.last, time
        remark = self._silence(before, time) if self.running and before else ""
        if kind == Kind.SERVICE_STARTED:
            remark = "the service was started again without having been stopped" if self.running else ""
        if kind in (Kind.SERVICE_STARTED, Kind.SERVICE_STOPPED):
            self.running = kind == Kind.SERVICE_STARTED
        return remark

    def end(self, now: datetime) -> str:
        """A remark on the silence after the last record."""
        silence = self._silence(self.last, now) if self.running and self.last else ""
        return f"{silence}; it was killed, or the tail of the ledger is gone" if silence else ""

    def _silence(self, before: datetime, after: datetime) -> str:
        seconds = (after - before).total_seconds()
        if seconds <= SILENT_BEATS * self.every:
            return ""
        return f"a running service recorded nothing for {seconds:.0f} s"
