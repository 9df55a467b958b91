"""The training table: every course at every index time as a row, with labels and the patient behind it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.split import patient_folds
from features.calibration import Parts
from features.outcomes import MILDER

Array = NDArray[np.float64]
#: Text of each row, as numpy's words or as objects: few different ones, so that objects of `words` take 8 bytes a row.
Words = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Table:
    """N rows, several per course.

    values: (N, columns) float32 rows. prior: (N, outcomes) log-odds.
    label: (N, outcomes) 1, 0, or NaN where the course is not at risk or its outcome is unknown.
    patient, course: (N,) whole numbers. index_name: (N,) such as "24h".
    hours: (N,) since the infusion or the latest dose.
    begun, reached: (N, outcomes) whether any grade of the outcome's event, and its own, was charted.
    treated: (N,) whether tocilizumab or a steroid came before. dosing: (N,) place in DOSING.
    therapy, indication: (N,) catalogue keys.
    """

    values: NDArray[np.float32]
    prior: Array
    label: Array
    patient: NDArray[np.int64]
    course: NDArray[np.int64]
    index_name: Words
    hours: Array
    begun: NDArray[np.bool_]
    reached: NDArray[np.bool_]
    treated: NDArray[np.bool_]
    dosing: NDArray[np.int64]
    therapy: Words
    indication: Words

    def __len__(self) -> int:
        return len(self.values)

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "Table":
        """The named rows, in that order."""
        return Table(
            self.values[which],
            self.prior[which],
            self.label[which],
            self.patient[which],
            self.course[which],
            self.index_name[which],
            self.hours[which],
            self.begun[which],
            self.reached[which],
            self.treated[which],
            self.dosing[which],
            self.therapy[which],
            self.indication[which],
        )

    def without_values(self) -> "Table":
        """The rows with all that is known of them but their columns."""
        return replace(self, values=np.empty((len(self), 0), dtype=np.float32))

    def usable(self, outcome: int) -> NDArray[np.bool_]:
        """(N,) rows that can teach or test an outcome: a known label and a published prior."""
        known: NDArray[np.bool_] = ~np.isnan(self.label[:, outcome]) & ~np.isnan(self.prior[:, outcome])
        return known

    def parts(self, outcome: int, milder: Array | None = None) -> Parts:
        """What calibration looks at besides the trees. milder: (N,) what the trees of the milder outcome say."""
        below = MILDER[outcome]
        return Parts(
            self.prior[:, outcome],
            self.hours,
            self.begun[:, outcome],
            self.dosing,
            self.therapy,
            np.zeros(len(self)) if milder is None else milder,
            np.zeros(len(self), dtype=bool) if below is None else self.reached[:, below],
        )

    @property
    def courses(self) -> int:
        """How many courses the rows come from."""
        return len(np.unique(self.course))

    def events(self, outcome: int) -> int:
        """Courses that have the outcome at one index time or another."""
        hit = self.usable(outcome) & (self.label[:, outcome] == 1)
        return len(np.unique(self.course[hit]))


def words(texts: Iterable[str]) -> Words:
    """(n,) objects, those of one text the very same."""
    known: dict[str, str] = {}
    return np.array([known.setdefault(text, text) for text in texts], dtype=object)


def joined(parts: list[Table]) -> Table:
    """The rows of several tables under one another. The list is emptied, so that memory holds each column once."""
    columns = {name: [getattr(part, name) for part in parts] for name in Table.__slots__}
    parts.clear()
    held: dict[str, Any] = {name: np.concatenate(columns.pop(name)) for name in Table.__slots__}
    return Table(**held)


def fold_of_rows(patient: NDArray[np.int64], strata: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """(N,) fold of each row, whole patients dealt within strata; as data.split.patient_folds, once."""
    fold_of = np.empty(len(patient), dtype=np.int64)
    for number, fold in enumerate(patient_folds(patient.astype(object), strata, folds, repeats=1, seed=seed)):
        fold_of[fold.test] = number
    return fold_of


def spread_out(scores: Array, rows: NDArray[np.int64], n: int) -> Array:
    """(repeats, n) the scores (repeats, len(rows)) at their rows, NaN elsewhere."""
    found = np.full((len(scores), n), np.nan)
    found[:, rows] = scores
    return found
