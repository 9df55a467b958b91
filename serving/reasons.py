"""Why an answer is what it is: its parts in log-odds, grouped as a clinician would name them. They add up to it."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
from msgspec import UNSET, Struct, UnsetType
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.outcomes import OUTCOME_KEYS
from features.predict import Explanation
from features.single import CourseInput, Observed
from serving.inputs import Group, Inputs

Array = NDArray[np.float64]

#: Inputs named per outcome; the rest are one reason together, so that the sum stays exact.
MOST_NAMED = 8
#: Effects smaller than this (log-odds) are not named alone.
SMALLEST = 1e-6


class Reference(Struct, frozen=True):
    """The reference range, canonical units. stated_by: request (its own upper limit) or default (the catalogue's)."""

    stated_by: str
    low: float | UnsetType = UNSET
    high: float | UnsetType = UNSET


class Reason(Struct, frozen=True):
    """One part of an outcome's log-odds. The effects of an outcome add up to the log-odds of its probability.

    kind: published-rate (the prior, always first) | input | other-inputs | local-level | time | recalibration |
    grade-order.
    observed: the latest value at measured_hours from the start, in unit. key_event: of the CRS adverse-outcome pathway.
    """

    outcome: str
    kind: str
    what: str
    name: str
    effect: float
    concept: str | UnsetType = UNSET
    observed: float | UnsetType = UNSET
    unit: str | UnsetType = UNSET
    measured_hours: float | UnsetType = UNSET
    reference: Reference | UnsetType = UNSET
    key_event: str | UnsetType = UNSET


class Seen:
    """What was observed of one course, by input, for its reasons."""

    def __init__(self, catalogue: Catalogue, course: CourseInput, held: Mapping[str, Observed]) -> None:
        self.catalogue, self.numbers, self.latest = catalogue, course.numbers, held

    def reason(self, outcome: str, group: Group, effect: float) -> Reason:
        """The reason of one input, with what was observed of it."""
        one = self.latest.get(group.key)
        number = self.numbers.get(group.key)
        return Reason(
            outcome=outcome,
            kind="input",
            what=group.key,
            name=group.name,
            effect=effect,
            concept=group.concept,
            observed=one.value if one else UNSET if number is None else number,
            unit=group.unit or UNSET,
            measured_hours=one.seconds / 3600 if one else UNSET,
            reference=self._reference(group.key, one) if one else UNSET,
            key_event=group.key_event or UNSET,
        )

    def _reference(self, key: str, one: Observed) -> Reference | UnsetType:
        held = self.catalogue.analytes.get(key)
        if held is None:
            return UNSET
        low = UNSET if math.isnan(held.reference_low) else held.reference_low
        if not math.isnan(one.limit):
            return Reference("request", low, one.limit)
        high = UNSET if math.isnan(held.reference_high) else held.reference_high
        return UNSET if low is UNSET and high is UNSET else Reference("default", low, high)


def reasons(
    inputs: Inputs, explained: Explanation, place: int, seen: Seen, evaluated: NDArray[np.bool_]
) -> tuple[Reason, ...]:
    """The reasons of every evaluated outcome of the course at `place` of an explanation, the published rate first."""
    each = explained.columns[place] @ inputs.member
    return tuple(
        reason
        for outcome in np.flatnonzero(evaluated).tolist()
        for reason in _of_outcome(inputs, explained, place, outcome, each[outcome], seen)
    )


def _of_outcome(
    inputs: Inputs, explained: Explanation, place: int, outcome: int, effects: Array, seen: Seen
) -> Iterable[Reason]:
    key = OUTCOME_KEYS[outcome]
    yield Reason(
        key,
        "published-rate",
        "prior",
        "published rate of this therapy at this time",
        _at(explained.prior, place, outcome),
    )
    order = np.argsort(-np.abs(effects), kind="stable")[:MOST_NAMED].tolist()
    named = [one for one in order if abs(effects[one]) > SMALLEST]
    yield from (seen.reason(key, inputs.groups[one], float(effects[one])) for one in named)
    rest = float(effects.sum() - effects[named].sum())
    plain = (
        ("other-inputs", "all other inputs together", rest),
        ("local-level", "level of the training data beside the published rate", _at(explained.level, place, outcome)),
        (
            "time",
            "time since the start or the latest dose, beside what the published rate says of it",
            _at(explained.clock, place, outcome),
        ),
        ("recalibration", "recalibration at this centre", _at(explained.recalibration, place, outcome)),
        ("grade-order", "a worse grade is never likelier than a milder one", _at(explained.order, place, outcome)),
    )
    yield from (Reason(key, kind, kind, name, effect) for kind, name, effect in plain if abs(effect) > 1e-12)


def _at(values: Array, place: int, outcome: int) -> float:
    return float(values[place, outcome])
