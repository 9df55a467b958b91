"""Counts of a training as card and manifest may tell them: none from which a small one could be worked out."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluate import Result, to_json
from training.evaluation_policy import evaluation_policy
from training.suppress import rounded
from training.table import Table

#: How a reason that counts the courses with, and without, an outcome ends.
TOO_FEW = "too few"


def uncounted(reason: str) -> str:
    """Why an outcome was not learnt, as it may leave the house: of two counts that add up, neither is told."""
    return f"{TOO_FEW} courses with the outcome, or without it" if reason.endswith(TOO_FEW) else reason


def with_outcome(table: Table, place: int) -> int | str:
    """Courses that have an outcome, in words where few patients have it, or few have not."""
    hit = table.usable(place) & (table.label[:, place] == 1)
    having = len(np.unique(table.patient[hit]))
    return told(table.events(place), having, len(np.unique(table.patient)) - having)


def told(courses: int, having: int, others: int) -> int | str:
    """A number of courses with an outcome. having, others: how many (patients, where known) have it and have not."""
    smallest = evaluation_policy().smallest_count
    if 0 < having < smallest:
        return f"fewer than {smallest}"
    return f"all but fewer than {smallest}" if 0 < others < smallest else courses


def exported(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Results as JSON, rows and events rounded to a multiple of the smallest count that may be told."""
    base = evaluation_policy().smallest_count
    return [
        {**one, "rows": rounded(one["rows"], base), "events": rounded(one["events"], base)} for one in to_json(results)
    ]


def keys_seen(keys: NDArray[np.str_]) -> list[str]:
    """Each key once, in order, without the empty one."""
    return sorted(set(keys.tolist()) - {""})
