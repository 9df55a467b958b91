"""What a mapping file may say: a closed structure, so that a misspelt key is an error. See docs/mapping-files.md."""

import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from features.course import Event
from features.errors import DataError

Cell = str | int | float
GradeEvent = Literal["crs_grade", "icans_grade"]


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base: immutable, and an unknown key is refused."""


class Block(Closed, frozen=True):
    """Rows of one origin: first_row to last_row (counted from 0, header not counted; first inclusive, last exclusive,
    0 = to the end), or the rows whose `column` holds one of `values`. drop: column -> why it is not used here."""

    name: str
    site: str = ""
    first_row: int = 0
    last_row: int = 0
    column: str = ""
    values: tuple[Cell, ...] = ()
    drop: dict[str, str] = {}


class CourseRule(Closed, frozen=True):
    """Which rows make a course. starts: "change" = a new course begins where one of `columns`, or the block, changes
    from one row to the next; "key" = rows of one block with the same `columns` are one course wherever they stand.
    require: a course without any value in these columns is rejected."""

    patient: str
    columns: tuple[str, ...]
    starts: Literal["change", "key"]
    require: tuple[str, ...] = ()


class NotBefore(Closed, frozen=True):
    """Observations stamped before these hours from the start (exclusive) are not used; the reason says why."""

    hours: float
    reason: str


class TimeRule(Closed, frozen=True):
    """Where a row's time stands: a day number (0 = day of infusion or first dose) or hours from the start."""

    day: str = ""
    hours: str = ""
    hours_per_day: float = 24.0
    not_before: NotBefore | None = None


class CodeList(Closed, frozen=True):
    """Source value -> canonical value. An unlisted value rejects the course (long rows: the row), or is an error.

    match: "whole" cell, or its "first-word". fold_case: capitals and repeated blanks do not matter.
    """

    values: dict[str, str]
    unknown: Literal["reject", "error"]
    match: Literal["whole", "first-word"] = "whole"
    fold_case: bool = True


class CourseColumn(Closed, frozen=True):
    """A column of `courses`, from the first non-empty cell of the course."""

    column: str
    codes: str = ""


class FollowUp(Closed, frozen=True):
    """Follow-up ends on the last day on which one of these columns is filled."""

    last_charted: tuple[str, ...]


class AnalyteColumn(Closed, frozen=True):
    """A column of daily values. units: block -> unit, where blocks differ from `unit`."""

    column: str
    analyte: str
    unit: str = ""
    units: dict[str, str] = {}


class LongRows(Closed, frozen=True):
    """One value per row. codes: code list to analyte keys, LOINC codes or event names; "" = codes as they are."""

    code: str
    value: str
    unit: str = ""
    comparator: str = ""
    upper_limit: str = ""
    codes: str = ""


class Repair(Closed, frozen=True):
    """What is done to a column's values, where, and why. Bounds exclude the bound itself; all given ones must hold.

    multiply: by `factor`. drop: the cell counts as empty. unit: the value is in `unit`.
    comparator: the value is censored; it becomes `limit` with `comparator`.
    """

    column: str
    action: Literal["multiply", "drop", "unit", "comparator"]
    reason: str
    blocks: tuple[str, ...] = ()
    above: float | None = None
    below: float | None = None
    equals: tuple[float, ...] = ()
    factor: float = 1.0
    unit: str = ""
    comparator: Literal["", "<", ">"] = ""
    limit: float | None = None


class PeakGrade(Closed, frozen=True):
    """A course's peak grade, with the days of onset and peak where charted. See data.mapping_events."""

    event: GradeEvent
    grade: str
    onset_day: str = ""
    peak_day: str = ""
    grading: str = ""


class DailyGrade(Closed, frozen=True):
    """A grade per day; an event where the grade changes. rounding: what becomes of a broken grade."""

    event: GradeEvent
    column: str
    rounding: Literal["none", "floor", "ceil"] = "none"
    grading: str = ""


class Treatment(Closed, frozen=True):
    """Given treatment. daily: a cell above 0 is a treatment on that row's day. count: a course's number of doses, on
    the day that the column `day` holds."""

    event: Event
    column: str
    kind: Literal["daily", "count"]
    day: str = ""
    blocks: tuple[str, ...] = ()


class Mapping(Closed, frozen=True):
    """A whole mapping file. constants: columns of `courses` with one value for all. ignore: column -> why.
    comparator_in_value: a cell such as "<0.5" is the value 0.5 with the comparator <."""

    title: str
    source: str
    layout: Literal["wide", "long"]
    course: CourseRule
    time: TimeRule
    sheet: str = ""
    block: tuple[Block, ...] = (Block(name="all"),)
    constants: dict[str, Cell] = {}
    course_columns: dict[str, CourseColumn] = {}
    follow_up: FollowUp | None = None
    codes: dict[str, CodeList] = {}
    analyte: tuple[AnalyteColumn, ...] = ()
    long: LongRows | None = None
    comparator_in_value: bool = False
    repair: tuple[Repair, ...] = ()
    peak_grade: tuple[PeakGrade, ...] = ()
    daily_grade: tuple[DailyGrade, ...] = ()
    treatment: tuple[Treatment, ...] = ()
    ignore: dict[str, str] = {}


def read_mapping(path: Path) -> Mapping:
    """The mapping file, checked in itself. DataError names the key and what is wrong with it."""
    try:
        mapping = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Mapping)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError, msgspec.ValidationError) as error:
        raise DataError(f"{path}", _first_line(error), "see docs/mapping-files.md") from None
    for problem in _problems(mapping):
        raise DataError(f"{path}", problem, "see docs/mapping-files.md")
    return mapping


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _problems(mapping: Mapping) -> list[str]:
    blocks, lists = [block.name for block in mapping.block], set(mapping.codes)
    used_blocks = [
        *(name for repair in mapping.repair for name in repair.blocks),
        *(name for treatment in mapping.treatment for name in treatment.blocks),
        *(name for analyte in mapping.analyte for name in analyte.units),
    ]
    used_lists = [*(one.codes for one in mapping.course_columns.values()), mapping.long.codes if mapping.long else ""]
    return [
        *(f"block {name!r} is declared twice" for name in blocks if blocks.count(name) > 1),
        *(f"block {name!r} is not declared" for name in used_blocks if name not in blocks),
        *(f"code list {name!r} is not declared" for name in used_lists if name and name not in lists),
        *_layout_problems(mapping),
        *(problem for repair in mapping.repair for problem in _repair_problems(repair)),
        *("a treatment by count needs `day`" for one in mapping.treatment if one.kind == "count" and not one.day),
    ]


def _layout_problems(mapping: Mapping) -> list[str]:
    found = []
    if (mapping.long is not None) != (mapping.layout == "long"):
        found.append("the table `long` belongs to layout long, and only to it")
    if bool(mapping.time.day) == bool(mapping.time.hours):
        found.append("`time` needs either `day` or `hours`")
    if ("follow_up_hours" in mapping.constants) == (mapping.follow_up is not None):
        found.append("give either constants.follow_up_hours or follow_up.last_charted")
    return found


def _repair_problems(repair: Repair) -> list[str]:
    needs = {
        "multiply": repair.factor > 0,
        "drop": True,
        "unit": bool(repair.unit),
        "comparator": bool(repair.comparator) and repair.limit is not None,
    }
    return [] if needs[repair.action] else [f"repair of {repair.column!r}: {repair.action} lacks its setting"]
