"""What was rejected, left unused or repaired while tables were read: counts by rule, never a patient's value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from features.errors import DataError

#: A row breaks the contract | is sound but lies outside what the product looks at | was kept, and something is noted.
REJECTED, UNUSED, NOTED = "rejected", "unused", "noted"

#: rule -> what to do about it.
REMEDIES: dict[str, str] = {
    "column-out-of-range": "check the column's unit and code list against docs/cohort-format.md",
    "comparator-unknown": "write < or >, or leave it empty",
    "course-id-missing": "give every row its course_id",
    "course-rejected": "repair the course's own row in courses",
    "detail-unknown": "none: the name counts as not stated; features/tables/grading_terms.csv lists the known ones",
    "event-before-start": "check the clock: a grade cannot precede the infusion or first dose",
    "event-unknown": "use one of the events of docs/cohort-format.md",
    "event-value-empty": "none: an event without a value counts as given (1)",
    "follow-up-unusable": "give follow_up_hours, the hours from start to the last time the outcome was looked for",
    "grade-out-of-range": "grades are whole numbers from 0 to 5",
    "grade-derived": "none: grades derived from vitals and treatments by ASTCT-2019, see docs/grading.md",
    "grade-derived-open": "chart device, vasopressor and systolic pressure: labels above an open grade are unknown",
    "grades-charted": "none: the cohort charts CRS grades, and they stay as they are; nothing was derived",
    "grading-unknown": "use ASTCT-2019, Lee-2014, Penn or CTCAE-5, or leave it empty",
    "hours-missing": "give the hours from start; only a peak grade may leave them empty",
    "indication-missing": "none: the course is kept without an indication",
    "indication-unknown": "none: the text is kept; add it to the indications if it should have a published rate",
    "oxygen-never-charted": "chart oxygen, flow or concentration, or one row with value 0: it counts as not known",
    "observation-too-late": "none: nothing is looked at later than 60 days after the start",
    "observation-too-old": "none: only the 30 days before the start are looked at",
    "orphan-course": "add the course to courses, or drop its rows",
    "patient-missing": "give patient_id: folds are built by patient",
    "sex-unknown": "none: use F or M where it is known",
    "therapy-unknown": "correct the name, or write the key of its class: as written no published rate applies to it",
    "temperature-missing": "bring body temperature: without it no grade can be derived",
    "time-without-offset": "write ISO 8601 with a UTC offset, such as 2026-01-31T08:00+01:00",
    "time-not-readable": "write ISO 8601 with a UTC offset, such as 2026-01-31T08:00+01:00",
    "start-time-missing": "give courses.start_time where rows carry `time`, or give `hours`",
    "unit-not-accepted": "use a unit from the analyte's list in features/tables/analyte_units.csv",
    "unknown-code": "use an analyte key or a LOINC code of features/tables, or leave the rows out of the extract",
    "upper-limit-unusable": "none: the row is kept and the limit counts as not stated",
    "vasopressors-never-charted": "chart vasopressors, or one row with value 0: they count as not known",
    "value-censored": "none: the value counts as the limit it states",
    "value-implausible": "check the unit: the value lies outside the analyte's plausible range",
    "value-negative": "check the extract: this analyte cannot be negative",
    "value-not-a-number": "write a plain number; a < or > goes in the comparator column",
    "value-not-finite": "leave the row out where the value is empty, NaN or infinite",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """`rows` rows of `table` met `rule` in `column`; `kind` is rejected, unused or noted.

    first: the first such row, counted from 1 without the header; 0 where it is not known. which: how many rows of which
    analytes, by keys of the catalogue; "" where it is not told.
    """

    kind: str
    rule: str
    table: str
    column: str
    rows: int
    remedy: str
    first: int = 0
    which: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """The finding as one line of a table."""
        first = str(self.first) if self.first else ""
        rows = f"{self.rows} ({self.which})" if self.which else str(self.rows)
        return (self.kind, self.table, self.column, self.rule, rows, first, self.remedy)


@dataclass(frozen=True, slots=True)
class RejectionReport:
    """All findings of one reading. rows_read: table -> rows in its file."""

    findings: tuple[Finding, ...] = ()
    rows_read: Mapping[str, int] = field(default_factory=dict)

    def count(self, rule: str, table: str | None = None) -> int:
        """Rows that met the rule, in one table or in all."""
        return sum(item.rows for item in self.findings if item.rule == rule and table in (None, item.table))

    def rejected(self, table: str | None = None) -> int:
        """Rejected rows, in one table or in all."""
        return sum(item.rows for item in self.findings if item.kind == REJECTED and table in (None, item.table))

    def __add__(self, other: "RejectionReport") -> "RejectionReport":
        return RejectionReport(self.findings + other.findings, {**self.rows_read, **other.rows_read})

    def table(self) -> list[tuple[str, ...]]:
        """Header and one line per finding, for printing."""
        header = ("kind", "table", "column", "rule", "rows", "first data row", "what to do")
        return [header, *(item.cells for item in self.findings)]

    def text(self) -> str:
        """The findings as aligned plain text; one sentence when there are none."""
        if not self.findings:
            return "nothing was rejected, left unused or repaired"
        lines = self.table()
        widths = [max(map(len, cells)) for cells in zip(*(line[:-1] for line in lines), strict=True)]
        return "\n".join(
            "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
            for line in lines
        )


def check_share(report: RejectionReport, allowed: float, knock_on: Iterable[str] = ("course-rejected",)) -> None:
    """DataError if more than `allowed` (a fraction) of a table's rows was rejected.

    Rows that fell only because their course did are not counted twice: the rules in `knock_on` are left out.
    """
    leave_out = set(knock_on)
    for table, rows in report.rows_read.items():
        broken = [item for item in report.findings if item.table == table and item.kind == REJECTED]
        counted = [item for item in broken if item.rule not in leave_out]
        lost = sum(item.rows for item in counted)
        if rows and lost > allowed * rows:
            worst = max(counted, key=lambda item: item.rows)
            problem = f"{lost} of {rows} rows rejected, more than {allowed:.0%}; most by rule {worst.rule}"
            where = f", first at data row {worst.first}" if worst.first else ""
            which = f": {worst.which}" if worst.which else ""
            problem = f"{problem} in column {worst.column} ({worst.rows} rows{which}{where})"
            raise DataError(table, problem, worst.remedy)
