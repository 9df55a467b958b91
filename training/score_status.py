"""Which rows of a batch the service would not evaluate, and why: its guard, for many courses at once.

A test asks the service the same questions and compares every code and status.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.course import LATEST_SECONDS, LOOKBACK_SECONDS, Event, Snapshots
from features.outcomes import OUTCOMES
from features.predict import Predictor

Flags = NDArray[np.bool_]
Texts = NDArray[np.object_]
#: A course at which any grade of an event reaches this has ended.
FATAL_GRADE = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """n questions. therapy: (n,) catalogue keys, "" for what the catalogue does not know.

    over: (n, outcomes) whether the index time is at or after the end of the outcome's horizon.
    """

    snapshots: Snapshots
    therapy: tuple[str, ...]
    predictor: Predictor
    over: Flags

    @classmethod
    def of(cls, snapshots: Snapshots, predictor: Predictor) -> "Asked":
        catalogue = predictor.catalogue
        given = snapshots.courses.therapy
        found = {text: catalogue.find_therapy(text) for text in set(given)}
        known = {text: one.key if one else "" for text, one in found.items()}
        therapy = tuple(known[text] for text in given)
        stepped = _each(therapy, lambda one: catalogue.schedule(one) == "step-up")
        horizon = np.array([[one.horizon_seconds(kind) for one in OUTCOMES] for kind in (False, True)])
        ends = snapshots.dose_seconds[:, None] + horizon[stepped.astype(int)]
        return cls(snapshots, therapy, predictor, snapshots.index_seconds[:, None] >= ends)


def not_evaluated(asked: Asked) -> Texts:
    """(n,) the codes of serving.guard.not_evaluated, in its order with a space between them; "" where evaluated."""
    snapshots, therapy, held = asked.snapshots, asked.therapy, asked.predictor
    classes, lineage = held.catalogue.classes, held.catalogue.lineage
    checks = (
        ("therapy-unknown", _each(therapy, lambda one: not one)),
        (
            "therapy-class-not-evaluated",
            _each(therapy, lambda one: bool(one) and not classes[lineage(one)[0]].evaluated),
        ),
        ("no-published-evidence", _each(therapy, lambda one: bool(one) and one not in held.bundle.evidence)),
        ("index-before-start", snapshots.index_seconds < 0),
        ("course-ended", _ended(asked)),
        ("index-after-horizon", asked.over.all(axis=1) | (snapshots.index_seconds > LATEST_SECONDS)),
        ("age-not-evaluated", _age_is_outside(asked)),
    )
    found = [" ".join(code for code, holds in checks if holds[row]) for row in range(len(snapshots))]
    return np.array(found, dtype=object)


def statuses(asked: Asked, why: Texts, reached: Flags, probability: NDArray[np.float64]) -> Texts:
    """(n, outcomes) evaluated, reached, horizon-over or not-evaluated, as serving.answer.Risk."""
    refused = np.broadcast_to((why != "")[:, None], reached.shape)
    cases = [refused, reached, asked.over, np.isnan(probability)]
    return np.select(cases, ["not-evaluated", "reached", "horizon-over", "not-evaluated"], "evaluated").astype(object)


def _each(keys: tuple[str, ...], rule: Callable[[str], bool]) -> Flags:
    """(n,) a rule of the key, asked once for each different one."""
    known = {key: rule(key) for key in set(keys)}
    return np.array([known[key] for key in keys], dtype=bool)


def _ended(asked: Asked) -> Flags:
    """(n,) whether a death or a fatal grade was charted by the index time."""
    seen, at = asked.snapshots.observations, asked.predictor.catalogue.code_position
    fatal = np.isin(seen.code, [at(Event.CRS_GRADE), at(Event.ICANS_GRADE)]) & (seen.value >= FATAL_GRADE)
    known = (seen.seconds <= asked.snapshots.index_seconds[seen.course]) & (seen.seconds >= -LOOKBACK_SECONDS)
    found = np.zeros(len(asked.snapshots), dtype=bool)
    found[seen.course[(fatal | (seen.code == at(Event.DEATH))) & known]] = True
    return found


def _age_is_outside(asked: Asked) -> Flags:
    """(n,) whether a known age is outside the intended use."""
    courses, policy = asked.snapshots.courses, asked.predictor.bundle.policy
    age = courses.numbers[:, courses.columns.index("age_years")]
    return (age < policy.age_low) | (age > policy.age_high)
