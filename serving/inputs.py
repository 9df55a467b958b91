"""What the model reads, as a clinician would name it: the groups of columns behind one reason or one missing input."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.course import COURSE_NUMBERS, Event
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor
from features.spec import Column, Range

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Group:
    """Columns that tell one thing. key: analyte, event or course column; else therapy, indication, time or a score.

    kind: lab | cytokine | vital | event | course | therapy | indication | time | score. unit: "" where there is none.
    """

    key: str
    name: str
    kind: str
    unit: str
    concept: str
    key_event: str


class Inputs:
    """The groups of one bundle's columns, and how much each matters to its trees."""

    def __init__(self, predictor: Predictor) -> None:
        spec, catalogue = predictor.bundle.spec, predictor.catalogue
        of_column = [_group(column, catalogue) for column in spec.columns]
        self.groups = tuple(dict.fromkeys(of_column))
        place = {group: position for position, group in enumerate(self.groups)}
        self.member = np.zeros((len(of_column), len(self.groups)))
        self.member[np.arange(len(of_column)), [place[group] for group in of_column]] = 1.0
        self.ranges = _ranges(spec.columns, spec.ranges)
        self.importance = dict(zip((group.key for group in self.groups), self._gain(predictor).tolist(), strict=True))

    def _gain(self, predictor: Predictor) -> Array:
        """(groups,) share of each outcome's gain that its trees draw from the group, summed over outcomes."""
        names, found = predictor.bundle.spec.names, np.zeros(len(self.groups))
        for key in OUTCOME_KEYS:
            booster = predictor.boosters.get(key)
            gain: Mapping[str, Any] = booster.get_score(importance_type="total_gain") if booster is not None else {}
            each = np.array([float(gain.get(name, 0.0)) for name in names]) @ self.member
            found += each / max(each.sum(), 1e-12)
        return found


def _ranges(columns: tuple[Column, ...], ranges: tuple[Range, ...]) -> Mapping[str, Range]:
    """Analyte or course column -> what its value held in training: the last value of an analyte."""
    if not ranges:
        return {}
    return {
        column.source: held
        for column, held in zip(columns, ranges, strict=True)
        if (column.kind == "course" or column.stat == "last") and held.present > 0
    }


def _group(column: Column, catalogue: Catalogue) -> Group:
    if column.kind == "stat" and column.source in catalogue.analytes:
        held = catalogue.analytes[column.source]
        return Group(held.key, held.name, held.kind, held.unit, held.concept, held.key_event)
    if column.kind == "stat":
        return Group(column.source, column.source.replace("_", " "), "event", "", "treatment and grades so far", "")
    if column.kind == "course":
        return course_group(column.source, catalogue)
    if column.kind == "score":
        name = {"easix": "EASIX", "m_easix": "modified EASIX"}.get(column.source, column.source)
        return Group(column.source, name, "score", "", "endothelial activation", "endothelial-activation")
    if column.kind in ("therapy", "indication"):
        return Group(column.kind, column.kind, column.kind, "", column.kind, "")
    if column.source == "schedule":
        return Group("therapy", "therapy", "therapy", "", "therapy", "")
    return Group("time", "time since the start or the latest dose", "time", "h", "time", "")


def course_group(key: str, catalogue: Catalogue) -> Group:
    """A fact of the course that does not change: a number, a flag or a comorbidity."""
    held = catalogue.comorbidities.get(key)
    name, unit = (held.name, "") if held else _NAMED.get(key, (key.replace("_", " "), ""))
    return Group(key, name, "course", unit, "comorbidity" if held else "patient", "")


#: Course columns whose key is no name: name and unit (UCUM).
_NAMED = {
    "age_years": ("age", "a"),
    "sex_male": ("male sex", ""),
    "ecog": ("ECOG performance status", ""),
    "prior_lines": ("prior lines of therapy", ""),
    "marrow_blasts_pct": ("blasts in the marrow", "%"),
    "dose_fraction": ("dose given as a fraction of the target", ""),
    "fludarabine_cyclophosphamide": ("lymphodepletion with fludarabine and cyclophosphamide", ""),
}


#: Course columns whose value is 0 or 1.
FLAGS = frozenset(name for name, ends in COURSE_NUMBERS.items() if ends == (0.0, 1.0))
GRADES = (Event.CRS_GRADE, Event.ICANS_GRADE)
