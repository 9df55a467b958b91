"""How many courses are left at each step from the file to a label, and why the others are not: counts only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.cohort import Layer
from data.labels import AT_RISK, Labels, Reason
from data.report import NOTED
from data.tables import Cohort
from features.outcomes import OUTCOMES

STEPS: tuple[tuple[str, tuple[Reason, ...]], ...] = (
    ("asked", tuple(Reason)),
    ("out: already happened", (Reason.ALREADY_HAPPENED,)),
    ("out: not under follow-up", (Reason.NOT_UNDER_FOLLOW_UP,)),
    ("at risk", AT_RISK),
    ("out: time of the peak grade unknown", (Reason.TIME_UNKNOWN,)),
    ("out: derived grade open", (Reason.GRADE_OPEN,)),
    ("out: died before the horizon's end", (Reason.DIED,)),
    ("out: follow-up shorter than the horizon", (Reason.FOLLOW_UP_SHORT,)),
    ("labelled", (Reason.LABELLED,)),
)


@dataclass(frozen=True, slots=True)
class AttritionRow:
    """`courses` at this step; outcome and index_time are "" for steps that concern the whole cohort."""

    step: str
    outcome: str
    index_time: str
    courses: int


def attrition(cohort: Cohort, layers: list[Layer], labels: list[Labels]) -> tuple[AttritionRow, ...]:
    """From the rows of the courses table to the labels of each outcome at each index time, positives last.

    At every index time: asked = already happened + not under follow-up + at risk; at risk = labelled + the other `out`.
    """
    names = list(dict.fromkeys(str(name) for layer in layers for name in layer.name))
    rows = list(_before_questions(cohort))
    for place, outcome in enumerate(OUTCOMES):
        for name in names:
            asked = [layer.name == name for layer in layers]
            reason = np.concatenate([one.reason[mask, place] for one, mask in zip(labels, asked, strict=True)])
            value = np.concatenate([one.value[mask, place] for one, mask in zip(labels, asked, strict=True)])
            rows += _of_question(outcome.key, name, reason, value)
    return tuple(rows)


def _before_questions(cohort: Cohort) -> list[AttritionRow]:
    lost = [item for item in cohort.report.findings if item.table == "courses" and item.kind != NOTED]
    outs = [AttritionRow(f"out: {item.rule} ({item.column})", "", "", item.rows) for item in lost]
    read = cohort.report.rows_read.get("courses", len(cohort))
    return [AttritionRow("rows of courses", "", "", read), *outs, AttritionRow("courses", "", "", len(cohort))]


def _of_question(outcome: str, name: str, reason: NDArray[np.int8], value: NDArray[np.float64]) -> list[AttritionRow]:
    counts = [
        AttritionRow(step, outcome, name, int(np.isin(reason, [int(one) for one in reasons]).sum()))
        for step, reasons in STEPS
    ]
    return [*counts, AttritionRow("labelled, with the outcome", outcome, name, int(np.nansum(value)))]
