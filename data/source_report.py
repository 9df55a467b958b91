"""What a source held, in numbers: rows by what became of them, values by analyte and unit, courses by therapy."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from features.fhir_types import MAPPED, Tally

#: What is not a row of the source but a count over the courses made of it.
COURSES = "courses"
#: Fewer rows than this of one unit are shown as one line "other units": a rare spelling may be free text.
RARE = 5


@dataclass(frozen=True, slots=True)
class SourceReport:
    """kind: omop or fhir. courses: how many were found, and kept by the checks of the cohort. people: persons read."""

    kind: str
    people: int
    courses_found: int
    courses_kept: int
    observations: int
    events: int
    tally: Tally

    @property
    def rows(self) -> dict[str, int]:
        """Table or resource type -> entries read; each is mapped or refused, once."""
        total: Counter[str] = Counter()
        for (table, *_), count in self.tally.items():
            total[table] += count if table != COURSES else 0
        return {table: count for table, count in sorted(total.items()) if count}

    def count(self, table: str, outcome: str) -> int:
        """Entries of a table with that outcome."""
        return sum(n for (where, what, *_), n in self.tally.items() if (where, what) == (table, outcome))

    def mapped(self, table: str) -> int:
        return self.count(table, MAPPED)

    def refused(self, table: str) -> dict[str, int]:
        """Reason -> entries of the table that were not used."""
        total: Counter[str] = Counter()
        for (where, what, *_), count in self.tally.items():
            total[what] += count if where == table and what != MAPPED else 0
        return {reason: count for reason, count in sorted(total.items()) if count}

    def by_unit(self) -> list[tuple[str, str, str, str, int]]:
        """(table, key, unit, outcome, entries) of all that has a key, in order; rare unaccepted units as one."""
        total: Counter[tuple[str, str, str, str]] = Counter()
        for (table, outcome, key, unit), count in self.tally.items():
            if key and table != COURSES and count:
                shown = unit if outcome == MAPPED or count >= RARE else "other units" if unit else ""
                total[(table, key, shown, outcome)] += count
        return [(*line, count) for line, count in sorted(total.items())]

    def of_courses(self) -> dict[str, dict[str, int]]:
        """What became of the records of therapies, and of what was charted -> therapy or kind -> how many."""
        found: dict[str, dict[str, int]] = {}
        for (table, outcome, key, _), count in sorted(self.tally.items()):
            if table == COURSES and count:
                found.setdefault(outcome, {})[key] = count
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.kind,
            "people": self.people,
            "courses": {"found": self.courses_found, "kept": self.courses_kept, "from": self.of_courses()},
            "cohort": {"observations": self.observations, "events": self.events},
            "read": {
                table: {"entries": rows, "mapped": self.mapped(table), "refused": self.refused(table)}
                for table, rows in self.rows.items()
            },
            "by_unit": [
                {"table": table, "key": key, "unit": unit, "outcome": outcome, "entries": count}
                for table, key, unit, outcome, count in self.by_unit()
            ],
        }

    def text(self) -> str:
        """The same for people: three tables of aligned plain text and one sentence."""
        read = [
            (table, str(rows), str(self.mapped(table)), _reasons(self.refused(table)))
            for table, rows in self.rows.items()
        ]
        units = [(key, unit, outcome, table, str(count)) for table, key, unit, outcome, count in self.by_unit()]
        made = [(what, key, str(n)) for what, keys in self.of_courses().items() for key, n in keys.items()]
        return "\n\n".join(
            (
                _aligned([("read", "entries", "mapped", "not used, and why"), *read]),
                _aligned([("what", "unit", "outcome", "table", "entries"), *units]),
                _aligned([("of the courses", "what", "entries"), *made]),
                self.sentence(),
            )
        )

    def sentence(self) -> str:
        found = f"{self.people} people, {self.courses_found} courses of a T-cell-engaging therapy"
        if not self.courses_found:
            return f"{found}: no cohort was written"
        return f"{found}, {self.courses_kept} kept, {self.observations} observations, {self.events} events"


def _reasons(refused: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in refused.items())


def _aligned(lines: Iterable[tuple[str, ...]]) -> str:
    held = list(lines)
    widths = [max(len(line[place]) for line in held) for place in range(len(held[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in held
    )
