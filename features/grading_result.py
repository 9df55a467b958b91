"""What a grading says: a grade, or the least and the most it can be, and the rows that decided it.

Every row of a scheme gives a span of grades: one grade where its findings are charted, and all that are possible where
they are not. The grade is the worst row, so the worst of the lows and of the highs; where the two differ the case is
ungradable, at least the low.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from features.grading_tables import reasons


class Scheme(StrEnum):
    """What can be graded. LABEL: the footnotes of the mosunetuzumab label to ASTCT."""

    ASTCT = "ASTCT-2019"
    LABEL = "mosunetuzumab-label"
    LEE = "Lee-2014"
    PENN = "Penn"
    CTCAE_5 = "CTCAE-5"
    CTCAE_4 = "CTCAE-4"
    ICANS = "ASTCT-2019-ICANS"


class Attribution(StrEnum):
    """How sure it is that nothing else explains the findings.

    STATED: someone looked and said so. ASSUMED: nobody said. CONTESTED: a part is put down to another cause.
    """

    STATED = "stated"
    ASSUMED = "assumed"
    CONTESTED = "contested"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a scheme applied to the findings; low and high are inclusive. why, cautions: keys of the reasons."""

    name: str
    low: int
    high: int
    why: str
    cautions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 5:
            raise ValueError("a row's grades must lie from 0 to 5, the low one first")

    @property
    def reason(self) -> str:
        return reasons()[self.why].text

    @property
    def verified(self) -> bool:
        """Whether the rule was read in its source; no where it is policy or memory."""
        return reasons()[self.why].verified == "yes"


@dataclass(frozen=True, slots=True)
class Grade:
    """The answer of one scheme. rows: those that decided. cautions: keys of the reasons that go with it."""

    scheme: Scheme
    low: int
    high: int
    rows: tuple[Row, ...]
    cautions: tuple[str, ...]
    attribution: Attribution

    @property
    def value(self) -> int | None:
        """The grade, 0 to 5; None where it is ungradable."""
        return self.low if self.low == self.high else None

    @property
    def at_least(self) -> int | None:
        """The least an ungradable case can be; None where it is graded, or where even 0 is possible."""
        return self.low if self.low < self.high and self.low > 0 else None

    @property
    def reason(self) -> str:
        return "; ".join(dict.fromkeys(row.reason for row in self.rows))

    @property
    def verified(self) -> bool:
        """Whether every rule that decided, and every caution's, was read in its source."""
        return all(reasons()[key].verified == "yes" for key in (*(row.why for row in self.rows), *self.cautions))

    @property
    def fever_waived(self) -> bool:
        return any(key.startswith("fever-waived") for key in self.cautions)


def worst(scheme: Scheme, rows: list[Row], attribution: Attribution, cautions: tuple[str, ...] = ()) -> Grade:
    """The grade of the worst row. At least one row; cautions come from all of them, reasons from those that decide."""
    low, high = max(row.low for row in rows), max(row.high for row in rows)
    told = dict.fromkeys((*cautions, *(key for row in rows for key in row.cautions)))
    return Grade(scheme, low, high, _deciding(rows, low, high), tuple(told), attribution)


def _deciding(rows: list[Row], low: int, high: int) -> tuple[Row, ...]:
    """Graded: the rows of that grade. Ungradable: the rows that set the least, and those that may be worse than it."""
    if low == high:
        return tuple(row for row in rows if row.low == low)
    return tuple(row for row in rows if row.high > low or (row.low == low > 0))


def uncertain(row: Row) -> Row:
    """The row where it is not certain that it counts at all: from 0 on."""
    return replace(row, low=0)
