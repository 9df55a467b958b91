"""The attrition on the console: a line per question, a column per step, none for a step that took nobody out."""

import io

from rich.console import Console

from data.attrition import AttritionRow
from training import attrition_text

ROWS = (
    AttritionRow("rows of courses", "", "", 9),
    AttritionRow("asked", "crs_2plus", "0h", 9),
    AttritionRow("out: derived grade open", "crs_2plus", "0h", 2),
    AttritionRow("out: died", "crs_2plus", "0h", 0),
    AttritionRow("asked", "crs_2plus", "24h", 8),
    AttritionRow("out: derived grade open", "crs_2plus", "24h", 0),
    AttritionRow("out: died", "crs_2plus", "24h", 0),
)


def printed() -> str:
    out = io.StringIO()
    Console(file=out, width=100).print(attrition_text.of_questions(ROWS))
    return out.getvalue()


def test_a_step_that_took_courses_out_somewhere_has_a_column_and_another_has_none() -> None:
    head, *lines = printed().split("index time")
    words = " ".join(f"{head} {lines[0]}".split())
    assert "derived" in words
    assert "grade open" in words
    assert "died" not in words


def test_each_question_is_one_line_with_its_counts() -> None:
    found = {line.split()[1]: line.split()[2:] for line in printed().splitlines() if line.startswith("crs_2plus")}
    assert found == {"0h": ["9", "2"], "24h": ["8", "0"]}


def test_steps_of_the_whole_cohort_stand_before() -> None:
    assert attrition_text.of_cohort(ROWS) == ["rows of courses: 9"]
