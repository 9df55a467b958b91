"""Whether the times of a ledger's records ever fall."""

from dataclasses import dataclass
from datetime import datetime, timedelta

#: By how much a clock may be set back without a finding: less than a second is how clocks are kept right.
CLOCK_SLACK = timedelta(seconds=1)


@dataclass(slots=True)
class Times:
    """The last record's time and the latest of all, as written; behind: whether the last is older by over the slack."""

    last: str = ""
    latest: str = ""
    behind: bool = False

    def set_back(self, written: str) -> timedelta | None:
        """By how much the next record is older than one before it; None where that is not to be told.

        Compared with the latest of all, because small steps back add up. That the records after a large one are older,
        too, is told once.
        """
        before, self.last = self.last, written
        if written >= self.latest:
            self.latest, self.behind = written, False
            return None
        time = datetime.fromisoformat(written)
        by, step = (datetime.fromisoformat(one) - time for one in (self.latest, before))
        told = by > CLOCK_SLACK and (step > CLOCK_SLACK or not self.behind)
        self.behind = by > CLOCK_SLACK
        return by if told else None
