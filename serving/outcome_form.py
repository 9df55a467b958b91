"""What a body of POST /outcomes and its answer look like. The fields' meaning and rules stand in audit.outcome."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from serving.api import MOST_COURSES, Text


class OutcomeForm(Struct, frozen=True, forbid_unknown_fields=True):
    """One prediction's outcome. null or absent means not known; hours are from the course's start."""

    prediction_id: Text
    complete: bool = False
    hours: float | None = None
    known_at: Text | None = None
    crs_grade: int | None = None
    crs_grading: Text | None = None
    crs_onset_hours: float | None = None
    crs_worst_hours: float | None = None
    icans_grade: int | None = None
    icans_grading: Text | None = None
    icans_onset_hours: float | None = None
    icans_worst_hours: float | None = None
    tocilizumab: bool | None = None
    tocilizumab_hours: float | None = None
    corticosteroid: bool | None = None
    corticosteroid_hours: float | None = None


class OutcomesRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Outcomes of many predictions at once."""

    outcomes: Annotated[tuple[OutcomeForm, ...], Meta(min_length=1, max_length=MOST_COURSES)]


class Place(Struct, frozen=True):
    """Where the record stands in the ledger."""

    sequence: int
    hash: str


class Fault(Struct, frozen=True):
    """Why one outcome was refused, in the shape of every error."""

    code: str
    path: str
    problem: str
    remedy: str


class OutcomeShown(Struct, frozen=True):
    """What became of one outcome, in the request's order. status: recorded | already-recorded | corrected | refused.

    prediction_id is repeated only where the ledger knows it.
    """

    status: str
    prediction_id: str | UnsetType = UNSET
    record: Place | UnsetType = UNSET
    error: Fault | UnsetType = UNSET


class OutcomesAnswer(Struct, frozen=True):
    """The answer to POST /outcomes."""

    outcomes: tuple[OutcomeShown, ...]
    recorded: int
    refused: int


#: Field names that may be repeated in an error's path.
OUTCOME_FIELDS = frozenset((*OutcomeForm.__struct_fields__, *OutcomesRequest.__struct_fields__))
