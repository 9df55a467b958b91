"""What came of reading FHIR: a course or none, which resources it rests on, and what was left out."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from features.fhir_types import MAPPED, Origin, Tally
from serving.intake import Intake


@dataclass(frozen=True, slots=True)
class FhirRead:
    """status: "course" | "not-concerned" (no T-cell-engaging therapy planned or recent) | "not-clear".

    intake: as POST /predict makes it; None unless the status is "course".
    start: of the course; where it is only planned, the index time.
    used: input -> the resources it rests on, in order. Inputs are "therapy", "indication", analytes, events and course
    columns.
    ignored: reason -> how many things stated by the resources were not used.
    missing: what a course needs and nothing stated: "patient", "observations"; of one that is not clear, "therapy",
    "start" or "time".
    more_pages: (prefetch key or "bundle", address) of every next page that was not sent.
    """

    status: str
    intake: Intake | None = None
    start: datetime | None = None
    planned: bool = False
    used: Mapping[str, tuple[Origin, ...]] = field(default_factory=dict)
    ignored: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    more_pages: tuple[tuple[str, str], ...] = ()

    @property
    def index(self) -> datetime | None:
        """The index time, to the second; None without a course."""
        if self.start is None or self.intake is None:
            return None
        return self.start + timedelta(seconds=self.intake.course.index_seconds)

    @property
    def basis(self) -> tuple[Origin, ...]:
        """Every resource used, once; those without an id cannot be named and stand in none."""
        return tuple(sorted({one for held in self.used.values() for one in held if one.reference}))


@dataclass(slots=True)
class Notebook:
    """Takes down, for each fact, what it was used for, or why it was not."""

    used: dict[str, set[Origin]] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)

    def use(self, name: str, *origins: Origin) -> None:
        self.used.setdefault(name, set()).update(origins)

    def ignore(self, reason: str, count: int = 1) -> None:
        self.ignored[reason] += count

    def ignore_tally(self, tally: Tally) -> None:
        """What the reader did not hand on; orders it did, under a name of its own."""
        for (_, reason, _, _), count in tally.items():
            if reason not in (MAPPED, "ordered-not-given", "looked-up"):
                self.ignored[reason] += count

    def pages(self) -> Mapping[str, tuple[Origin, ...]]:
        """Input -> origins, both in order."""
        return {name: tuple(sorted(self.used[name])) for name in sorted(self.used)}

    def reasons(self) -> Mapping[str, int]:
        return {reason: self.ignored[reason] for reason in sorted(self.ignored) if self.ignored[reason]}
