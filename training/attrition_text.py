"""A cohort's attrition on the console: one line per outcome and index time, one column per step."""

from collections.abc import Iterable

from rich.table import Table

from data.attrition import AttritionRow

#: What a step begins with that takes courses out; it gets no column where it took none anywhere.
OUT = "out: "
#: Characters of a column; longer titles are wrapped.
WIDEST = 11


def of_cohort(rows: Iterable[AttritionRow]) -> list[str]:
    """One line per step that concerns the cohort as a whole."""
    return [f"{one.step}: {one.courses}" for one in rows if not one.outcome]


def of_questions(rows: Iterable[AttritionRow]) -> Table:
    """Courses at each step of each question, outcome by outcome."""
    held: dict[tuple[str, str], dict[str, int]] = {}
    for one in rows:
        if one.outcome:
            held.setdefault((one.outcome, one.index_time), {})[one.step] = one.courses
    steps = _shown(held.values())
    grid = Table(box=None, pad_edge=False)
    for title in ("outcome", "index time"):
        grid.add_column(title, no_wrap=True)
    for step in steps:
        grid.add_column(step, max_width=WIDEST, justify="right")
    for (outcome, name), courses in held.items():
        grid.add_row(outcome, name, *(str(courses[step]) for step in steps))
    return grid


def _shown(questions: Iterable[dict[str, int]]) -> list[str]:
    """The steps in order, without those that took nobody out."""
    total: dict[str, int] = {}
    for courses in questions:
        for step, count in courses.items():
            total[step] = total.get(step, 0) + count
    return [step for step, count in total.items() if count or not step.startswith(OUT)]
