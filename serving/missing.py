"""What an answer lacks: each input absent or stale, what was assumed, and whether knowing it could change a band.

The question is put to the model itself: the course is scored again with each typical value that the input had in
training, stamped at the index time, through the same row-builder.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from msgspec import UNSET, Struct, UnsetType
from numpy.typing import NDArray

from features.evidence import MITIGATIONS
from features.outcomes import OUTCOME_KEYS
from features.policy import Policy
from features.predict import Predictor
from features.single import CourseInput, Observed
from serving.inputs import FLAGS, Group, Inputs, course_group
from serving.what_if import Change

Array = NDArray[np.float64]

#: Absent or stale inputs that are scored again, the most informative ones first; more would cost the answer its speed.
MOST_TRIED = 8


class Swing(Struct, frozen=True):
    """How far one outcome's probability could move; bands: those it could fall into, the present one included."""

    outcome: str
    lowest: float
    highest: float
    bands: tuple[str, ...]


class Missing(Struct, frozen=True):
    """An input the model knows and did not get, or got too long ago.

    status: absent | stale. assumed: what the answer rests on instead. could_change_band: whether a typical value would
    put any outcome into another band; left out where the input was not tried. largest: the outcome that could move
    most.
    """

    what: str
    name: str
    status: str
    assumed: str
    unit: str | UnsetType = UNSET
    age_hours: float | UnsetType = UNSET
    could_change_band: bool | UnsetType = UNSET
    largest: Swing | UnsetType = UNSET


ABSENT = "nothing: the answer is that of courses for which it was not known"
STALE = "the last value still holds"
NOT_GIVEN = "not given: the published rate is the one without it"


@dataclass(frozen=True, slots=True)
class Lacking:
    """An input that is absent or stale, and the facts to try for it; age_hours: NaN where it is absent."""

    group: Group
    age_hours: float
    changes: tuple[Change, ...]


class Lacks:
    """What courses may lack for one bundle; made once."""

    def __init__(self, predictor: Predictor, inputs: Inputs) -> None:
        self.catalogue, self.policy, self.inputs = predictor.catalogue, predictor.bundle.policy, inputs
        self.rules, self.evidence = predictor.bundle.spec.rules, predictor.bundle.evidence
        asked = {group.key: group for group in inputs.groups if group.kind in ("lab", "cytokine", "vital", "course")}
        # The published rate itself reads these, whatever the trees do.
        asked |= {name: course_group(name, self.catalogue) for name in MITIGATIONS}
        # What prevents CRS moves the published rate itself: it comes first.
        order = sorted(
            asked.values(),
            key=lambda group: (group.key not in MITIGATIONS, -inputs.importance.get(group.key, 0.0), group.key),
        )
        self.groups = tuple(order)
        self._changes = {group.key: self._typical(group) for group in order}

    def of(self, course: CourseInput, latest: Mapping[str, Observed]) -> tuple[Lacking, ...]:
        """What this course lacks, the most informative first; only the first MOST_TRIED have facts to try."""
        found = [one for group in self.groups if (one := self._lacking(group, course, latest))]
        matters = [self._matters(one.group, course) for one in found]
        tried = [place for place, told in enumerate(matters) if told and found[place].changes][:MOST_TRIED]
        return tuple(
            one if place in tried else Lacking(one.group, one.age_hours, ()) for place, one in enumerate(found)
        )

    def _lacking(self, group: Group, course: CourseInput, latest: Mapping[str, Observed]) -> Lacking | None:
        if group.kind == "course":
            return None if group.key in course.numbers else Lacking(group, math.nan, self._changes[group.key])
        seen = latest.get(group.key)
        if seen is None:
            return Lacking(group, math.nan, self._changes[group.key])
        age = (course.index_seconds - seen.seconds) / 3600
        stale = age > self.catalogue.analytes[group.key].stale_hours
        return Lacking(group, age, self._changes[group.key]) if stale else None

    def _matters(self, group: Group, course: CourseInput) -> bool:
        """Whether the trees read it, or the published rate of this therapy is known under it."""
        if group.key in MITIGATIONS and group.key in self._mitigated(course.therapy):
            return True
        return bool(self.inputs.importance.get(group.key, 0.0) > 0)

    def _mitigated(self, therapy: str) -> Collection[str]:
        held = self.evidence.get(therapy)
        return held.mitigated if held else ()

    def _typical(self, group: Group) -> tuple[Change, ...]:
        """The facts to try: no and yes for a flag; the typical values of training for a number."""
        if group.kind == "course":
            column = self.catalogue.course_columns.index(group.key)
            return tuple(Change(-1, column, value) for value in self._values(group.key, group.key in FLAGS))
        rule, code = self.rules[group.key], self.catalogue.code_position(group.key)
        scale = rule.upper_limit if rule.per_upper_limit else 1.0
        return tuple(Change(code, -1, value * scale) for value in self._values(group.key, False))

    def _values(self, key: str, flag: bool) -> tuple[float, ...]:
        if flag or key in self.catalogue.comorbidities:
            return 0.0, 1.0
        held = self.inputs.ranges.get(key)
        return tuple(dict.fromkeys(held.typical)) if held else ()


def told(lacking: Sequence[Lacking], tried: Array, now: Array, policy: Policy) -> tuple[Missing, ...]:
    """What is missing, that which could change a band first, then by how far it could move a probability.

    tried: (tries, outcomes) probability with each fact tried, in their order. now: (outcomes,), NaN where not
    evaluated.
    """
    tries = [len(one.changes) for one in lacking]
    starts = np.cumsum([0, *tries]).tolist()
    spans = [_span(tried[start : start + k], now) if k else None for start, k in zip(starts, tries, strict=False)]
    found = [
        _untried(one.group) if span is None and math.isnan(one.age_hours) else _missing(one, span, policy)
        for one, span in zip(lacking, spans, strict=True)
    ]
    return tuple(sorted(found, key=_rank))


def _rank(one: Missing) -> tuple[bool, float]:
    width = one.largest.highest - one.largest.lowest if one.largest is not UNSET else -1.0
    return one.could_change_band is not True, -width


def _span(tried: Array, now: Array) -> list[tuple[int, float, float]]:
    """For each evaluated outcome its place and the lowest and highest probability of what was tried and what is."""
    lowest, highest = np.minimum(tried.min(axis=0), now).tolist(), np.maximum(tried.max(axis=0), now).tolist()
    return [(place, low, high) for place, (low, high) in enumerate(zip(lowest, highest, strict=True)) if low == low]


@cache
def _untried(group: Group) -> Missing:
    """An absent input that was not tried: always said in the same words."""
    return Missing(group.key, group.name, "absent", _assumed(group), group.unit or UNSET)


def _assumed(group: Group) -> str:
    return NOT_GIVEN if group.key in MITIGATIONS else ABSENT


def _missing(one: Lacking, span: list[tuple[int, float, float]] | None, policy: Policy) -> Missing:
    absent = math.isnan(one.age_hours)
    swings = [(policy.bands(OUTCOME_KEYS[place], low, high), place, low, high) for place, low, high in span or ()]
    largest = max(swings, key=lambda swing: (len(swing[0]), swing[3] - swing[2]), default=None)
    return Missing(
        what=one.group.key,
        name=one.group.name,
        status="absent" if absent else "stale",
        assumed=_assumed(one.group) if absent else STALE,
        unit=one.group.unit or UNSET,
        age_hours=UNSET if absent else round(one.age_hours, 6),
        could_change_band=UNSET if span is None else largest is not None and len(largest[0]) > 1,
        largest=Swing(OUTCOME_KEYS[largest[1]], largest[2], largest[3], largest[0]) if largest else UNSET,
    )
