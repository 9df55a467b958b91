"""What an answer looks like. What is not known is left out; no field is ever null, and no probability is a guess.

Numbers are rounded here, at the edge, to six significant digits; probabilities keep every digit.
"""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from serving.guard import Note
from serving.published import Published


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
    band: str | UnsetType = UNSET
    basis: str | UnsetType = UNSET
    published: Published | UnsetType = UNSET


class Missing(Struct, frozen=True):
    """An input the model knows and did not get."""

    what: str
    name: str
    unit: str


class Input(Struct, frozen=True):
    """A value that a score used; hours from the start."""

    what: str
    value: float
    unit: str
    hours: float


class Score(Struct, frozen=True):
    """A published score, computed from the latest values; it is not a probability."""

    name: str
    value: float
    inputs: tuple[Input, ...]
    source: str


class Model(Struct, frozen=True):
    """Which model answered. bundle: SHA-256 of its manifest."""

    name: str
    version: str
    bundle: str
    trained_on: dict[str, Any]
    intended_use: str


class Answer(Struct, frozen=True):
    """The answer for one course at one index time."""

    prediction_id: str
    status: str
    question: Question
    model: Model
    not_evaluated: tuple[Note, ...] = ()
    risks: tuple[Risk, ...] = ()
    reasons: tuple[Any, ...] = ()
    missing: tuple[Missing, ...] = ()
    cautions: tuple[Note, ...] = ()
    scores: tuple[Score, ...] = ()


class Answers(Struct, frozen=True):
    """The answers of a batch, in the order of its requests."""

    answers: tuple[Answer, ...]


def rounded(value: float) -> float:
    """The number with six significant digits."""
    return float(f"{value:.6g}")
