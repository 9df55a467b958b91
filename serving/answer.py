"""What an answer looks like. What is not known is left out; no field is ever null, and no probability is a guess.

Numbers are rounded here, at the edge, to six significant digits; probabilities keep every digit.
"""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from serving.missing import Missing
from serving.notes import Note
from serving.published import Published
from serving.reasons import Reason
from serving.score_shape import Score
from serving.symptom_shape import LookAlike, Pointer, SymptomShown


class Question(Struct, frozen=True):
    """What was asked, as understood. Hours are from the start, horizons in days from the infusion or latest dose.

    grading: the systems of the grades that the answers are about, as serving.provenance.grading tells them.
    """

    course: str
    hours_since_start: float
    hours_since_dose: float
    dose_number: int
    horizon_days: dict[str, int]
    grading: str
    therapy: str | UnsetType = UNSET
    indication: str | UnsetType = UNSET


class Interval(Struct, frozen=True):
    """A 95 % interval around a probability, which lies inside it.

    method: venn-abers (out-of-fold scores of the training data), published-rates (spread of the pooled rate), or both.
    """

    low: float
    high: float
    method: str


class Risk(Struct, frozen=True):
    """One outcome. status: evaluated | reached | horizon-over | not-evaluated; only the first has a probability.

    basis: "model" where local data moved it, "published-rate" where only evidence did. band: low | intermediate |
    high | unbanded. horizon_ends_hours: from the course's start, inclusive.
    """

    outcome: str
    label: str
    status: str
    horizon_ends_hours: float
    probability: float | UnsetType = UNSET
    interval: Interval | UnsetType = UNSET
    band: str | UnsetType = UNSET
    basis: str | UnsetType = UNSET
    published: Published | UnsetType = UNSET


class Change(Struct, frozen=True):
    """One outcome at the index time before. log_odds: by how much the answer's log-odds have risen since then."""

    outcome: str
    hours_since_start: float
    probability: float
    band: str
    log_odds: float


class Model(Struct, frozen=True):
    """Which model answered. bundle: SHA-256 of its manifest."""

    name: str
    version: str
    bundle: str
    trained_on: dict[str, Any]
    intended_use: str


class HazardShown(Struct, frozen=True):
    """What a reviewed in-vitro assay of this therapy showed in one format. It is no patient's risk; `is_not` says so.

    position: of the agent between the assay's negative (0) and positive (1) reference. responders: share of the donors,
    exact 95 % interval.
    """

    format: str
    hazard_class: str
    donors: int
    key_events: tuple[str, ...]
    limits: tuple[str, ...]
    reviewed_by: str
    reviewed_on: str
    is_not: str
    position: float | UnsetType = UNSET
    reference_positive: str | UnsetType = UNSET
    responders: tuple[float, float] | UnsetType = UNSET


class Answer(Struct, frozen=True):
    """The answer for one course at one index time."""

    prediction_id: str
    status: str
    question: Question
    model: Model
    not_evaluated: tuple[Note, ...] = ()
    risks: tuple[Risk, ...] = ()
    reasons: tuple[Reason, ...] = ()
    changes: tuple[Change, ...] = ()
    missing: tuple[Missing, ...] = ()
    cautions: tuple[Note, ...] = ()
    scores: tuple[Score, ...] = ()
    hazards: tuple[HazardShown, ...] = ()
    symptoms: tuple[SymptomShown, ...] = ()
    look_alikes: tuple[LookAlike, ...] = ()
    guidance: tuple[Pointer, ...] = ()


class Answers(Struct, frozen=True):
    """The answers of a batch, in the order of its requests."""

    answers: tuple[Answer, ...]


def rounded(value: float) -> float:
    """The number with six significant digits."""
    return float(f"{value:.6g}")
