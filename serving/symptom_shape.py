"""What an answer says of symptoms, look-alikes and guidelines. No field is ever null."""

from msgspec import UNSET, Struct, UnsetType


class SymptomShown(Struct, frozen=True):
    """A symptom that was stated as present, hours from the start. reason: why it is a red flag.

    graded: ASTCT counts it, or the finding behind it, towards a grade.
    """

    symptom: str
    name: str
    points_to: str
    severity: str
    graded: bool
    red_flag: bool
    hours: float
    verified: str
    reason: str | UnsetType = UNSET


class Evidence(Struct, frozen=True):
    """A value that a rule read, and whether it meets the rule's test. limit: in the value's unit."""

    what: str
    value: float
    unit: str
    hours: float
    test: str
    limit: float
    holds: bool


class LookAlike(Struct, frozen=True):
    """What may look like CRS or ICANS. status: flagged | not-flagged | cannot-tell | to-consider (no rule).

    missing: inputs the rule lacks. unseen: what would tell it and no request can state.
    """

    key: str
    name: str
    resembles: str
    status: str
    source: str
    verified: str
    because: tuple[Evidence, ...] = ()
    missing: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    rule: str | UnsetType = UNSET


class Pointer(Struct, frozen=True):
    """Where a guideline speaks of a charted event; never an order. grade: left out for an event without grades."""

    event: str
    agents: tuple[str, ...]
    pointer: str
    guideline: str
    link: str
    source: str
    verified: str
    grade: int | UnsetType = UNSET
