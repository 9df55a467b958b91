"""What a published score looks like in an answer. What is not known is left out."""

from msgspec import UNSET, Struct, UnsetType

from serving.notes import Note

#: Said with every score.
NOT_A_RISK = "not a calibrated probability of CRS"


class Input(Struct, frozen=True):
    """A value that a score used, in the score's own unit; hours from the start."""

    what: str
    value: float
    unit: str
    hours: float


class Gap(Struct, frozen=True):
    """An input that a score lacks. why: one of WHYS in serving.score_inputs."""

    what: str
    why: str


class About(Struct, frozen=True):
    """What a score was made for, in words; `verified` is of the score's definition."""

    formula: str
    population: str
    outcome: str
    time_point: str
    threshold: str
    validation: str
    against: str
    input_age: str
    is_not: str = NOT_A_RISK


class MadeFor(Struct, frozen=True):
    """For whom, for what and when a score was made; GET /model tells the rest."""

    population: str
    outcome: str
    time_point: str
    threshold: str
    is_not: str = NOT_A_RISK


class Score(Struct, frozen=True):
    """A published score. status: computed | not-computed, which names what is missing and has no value.

    value: without a unit unless one is given; log2 where the score is used so. result: a class or verdict by the
    published threshold. points: per item. at_least: lower limit of a score that lacks items. met, known: criteria.
    probability_map: what the paper prints next to this score, for its own population and outcome.
    """

    name: str
    status: str
    source: str
    verified: str
    value: float | UnsetType = UNSET
    unit: str | UnsetType = UNSET
    log2: float | UnsetType = UNSET
    result: str | UnsetType = UNSET
    at_least: float | UnsetType = UNSET
    points: dict[str, float] | UnsetType = UNSET
    met: int | UnsetType = UNSET
    known: int | UnsetType = UNSET
    probability_map: str | UnsetType = UNSET
    inputs: tuple[Input, ...] = ()
    missing: tuple[Gap, ...] = ()
    notes: tuple[Note, ...] = ()
    made_for: MadeFor | UnsetType = UNSET
