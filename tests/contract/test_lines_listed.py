"""Every numbered requirement that this product was built to has its tests: lines.csv says which, and they are there.

The requirements themselves stand elsewhere; here is each line's number with a few words of our own. Lines of section 1
have two numbers, all others three: section, part, place.
"""

import ast
import csv
import functools
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
#: Lines per part of the requirements, as they were counted when they were split into testable clauses.
PARTS = {(1,): 24, (1, 3): 12, (2, 1): 11, (2, 2): 11, (2, 3): 7, (5, 1): 6, (5, 2): 8, (5, 3): 33, (5, 4): 10}
NAMED = re.compile(r"test_(?:line|section)_(\d+(?:_\d+)*)_[a-z]")
HELD = ("yes", "differs", "no")
Line = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One line. tests: file and function. held: yes; differs, on purpose; no. remark: why, where it is not yes."""

    line: Line
    about: str
    held: str
    tests: tuple[tuple[str, str], ...]
    remark: str


def rows() -> list[Row]:
    with (TESTS / "contract" / "lines.csv").open(encoding="utf-8", newline="") as file:
        return [_row(one) for one in csv.DictReader(file)]


def _row(cells: dict[str, str]) -> Row:
    named = tuple(one.partition("::")[::2] for one in cells["tests"].split())
    line = tuple(map(int, cells["line"].split(".")))
    return Row(line, cells["about"], cells["held"], named, cells["remark"])


@functools.cache
def functions(file: str) -> frozenset[str]:
    """The test functions of a file; none where there is no such file."""
    path = TESTS / file
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
    return frozenset(one.name for one in tree.body if isinstance(one, ast.FunctionDef) and one.name.startswith("test_"))


def absent(row: Row) -> list[str]:
    return [f"{file}::{name}" for file, name in row.tests if name not in functions(file)]


def line_of(name: str) -> Line | None:
    """The line that a test is named after; None for a test that is named after none."""
    found = NAMED.match(name)
    if not found:
        return None
    numbers = tuple(map(int, found[1].split("_")))
    return (1, *numbers) if len(numbers) == 1 else numbers


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{'.'.join(map(str, row.line))} {row.about}")
def test_the_line_is_held_by_tests_that_are_there_or_a_reason_is_given(row: Row) -> None:
    assert row.held in HELD
    assert row.about
    assert bool(row.tests) == (row.held != "no")
    assert bool(row.remark) == (row.held != "yes")
    assert absent(row) == []


def test_no_line_is_left_out_and_none_stands_twice() -> None:
    wanted = sorted((*part, place) for part, count in PARTS.items() for place in range(1, count + 1))
    assert sorted(row.line for row in rows()) == wanted


def test_every_test_that_is_named_after_a_line_stands_in_its_row() -> None:
    listed = {(row.line, *one) for row in rows() for one in row.tests}
    named = {
        (line, path.relative_to(TESTS).as_posix(), name)
        for path in TESTS.rglob("test_*.py")
        for name in functions(path.relative_to(TESTS).as_posix())
        if (line := line_of(name))
    }
    assert len(named) > 100
    assert sorted(named - listed) == []


def test_a_test_that_is_not_there_would_be_found() -> None:
    row = Row((5, 1, 1), "x", "yes", (("contract/test_lines_listed.py", "test_unheard_of"), ("none.py", "test_x")), "")
    assert absent(row) == ["contract/test_lines_listed.py::test_unheard_of", "none.py::test_x"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("test_line_05_no_member_is_empty", (1, 5)),
        ("test_section_1_3_7_of_another", (1, 3, 7)),
        ("test_line_5_3_06_clocks", (5, 3, 6)),
        ("test_a_line_of_five", None),
        ("test_line_of_1", None),
    ],
)
def test_a_name_tells_its_line(name: str, line: Line | None) -> None:
    assert line_of(name) == line
