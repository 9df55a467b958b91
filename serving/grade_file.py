"""The verb `crs grade`: a table of cases, or the JSON of POST /grade, graded and shown."""

import csv
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from features.errors import DataError, UsageError
from features.grading_result import Grade, Scheme
from serving import grade
from serving.decode import grade_request
from serving.grade import GradeCase
from serving.grade_table import ALIASES, read_table

HEADER = ("id", "scheme", "grade", "at_least", "at_most", "fever", "attribution", "verified", "reason", "cautions")
#: Columns of the printed table; the written one has all.
SHOWN = ("id", "scheme", "grade", "verified", "reason")


@dataclass(frozen=True, slots=True)
class Case:
    """One case with its notes that were left aside."""

    case: GradeCase
    unread: int


def grade_file(
    path: Path,
    schemes: Iterable[str],
    as_json: bool,
    out: Path | None,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> None:
    """Grade the cases of a file; print a table or JSON, and write a table where `out` is named.

    DataError or RequestError where the file cannot be read; UsageError for a scheme that is not one, or a scheme that
    none of the cases can be graded by. A row that names a scheme is graded by that one unless `schemes` are given.
    """
    wanted = _schemes(schemes)
    cases = [_asked(case, wanted) for case in _cases(path)]
    graded = [(one.case, grade.graded(one.case)) for one in cases]
    if not any(grades for _, grades in graded):
        raise UsageError("--scheme", "no case holds the findings for it", "see docs/grading.md for what each one needs")
    if out is not None:
        _write(out, graded)
    say(_json(case for case, _ in graded) if as_json else _text(graded))
    unread = sum(one.unread for one in cases)
    if unread:
        warn(f"CAUTION: {unread} notes are not understood and were left aside; see docs/grading.md for those that are")


def _schemes(named: Iterable[str]) -> tuple[Scheme, ...]:
    return tuple(_scheme(text) for text in named)


def _scheme(text: str) -> Scheme:
    if text in ALIASES:
        return ALIASES[text]
    if text not in tuple(Scheme):
        raise UsageError("--scheme", "not a scheme", f"use one of {', '.join(Scheme)}")
    return Scheme(text)


def _cases(path: Path) -> list[Case]:
    text = _content(path)
    if path.suffix.lower() == ".json":
        return [Case(grade.take(grade_request(text)), 0)]
    if path.suffix.lower() != ".csv":
        raise UsageError(path.name, "not a table or request by its name", "name a file that ends in .csv or .json")
    try:
        decoded = text.decode("utf-8-sig")
        cases = [Case(grade.take(one.request, one.place), one.unread) for one in read_table(decoded, path.name)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(path.name, "the table cannot be read", "write CSV in UTF-8 with commas") from error
    if not cases:
        raise DataError(path.name, "the table has no rows", "give one row per case")
    return cases


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(path.name, "the file cannot be read", "name a file that exists") from error


def _asked(one: Case, schemes: tuple[Scheme, ...]) -> Case:
    """The case with those schemes that its findings are of; its own where none was asked."""
    if not schemes:
        return one
    fit = tuple(scheme for scheme in schemes if one.case.holds(scheme))
    return replace(one, case=replace(one.case, schemes=fit))


def _cells(case: GradeCase, found: Grade) -> dict[str, str]:
    shown = grade.shown(found)
    at_least = "" if found.at_least is None else str(found.at_least)
    return {
        "id": case.id or "",
        "scheme": shown.scheme,
        "grade": str(found.value)
        if found.value is not None
        else "ungradable" + (f", >= {at_least}" if at_least else ""),
        "at_least": at_least,
        "at_most": "" if found.value is not None else str(found.high),
        "fever": "waived" if shown.fever_waived else "",
        "attribution": shown.attribution,
        "verified": "yes" if shown.verified else "no",
        "reason": shown.reason,
        "cautions": "; ".join(one.text for one in shown.cautions),
    }


def _rows(graded: Iterable[tuple[GradeCase, tuple[Grade, ...]]]) -> list[dict[str, str]]:
    return [_cells(case, one) for case, grades in graded for one in grades]


def _text(graded: Iterable[tuple[GradeCase, tuple[Grade, ...]]]) -> str:
    """Aligned plain text; the reasons come last and are followed by the cautions."""
    lines = [dict(zip(SHOWN, SHOWN, strict=True)), *_rows(graded)]
    widths = {name: max(len(line[name]) for line in lines) for name in SHOWN[:-1]}
    return "\n".join(
        "  ".join([*(line[name].ljust(width) for name, width in widths.items()), _why(line)]).rstrip() for line in lines
    )


def _why(line: dict[str, str]) -> str:
    cautions = line.get("cautions")
    return f"{line['reason']} [caution: {cautions}]" if cautions else line["reason"]


def _json(cases: Iterable[GradeCase]) -> str:
    answers = [grade.answer(case) for case in cases]
    return msgspec.json.format(msgspec.json.encode(answers), indent=1).decode()


def _write(out: Path, graded: Iterable[tuple[GradeCase, tuple[Grade, ...]]]) -> None:
    """Written whole under another name first, so that no half table is ever there."""
    held = out.with_name(f".{out.name}.new")
    with held.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, HEADER, lineterminator="\n")
        table.writeheader()
        table.writerows(_rows(graded))
    os.replace(held, out)
