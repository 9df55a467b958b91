# ruff: noqa: N815 (members are spelt as CDS Hooks spells them)
"""The cards of CDS Hooks 2.0 as they leave: nothing in them is null or empty."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

#: A summary has fewer characters than this.
SUMMARY_LENGTH = 140
CODES = "urn:crs-risk:override-reason"


class Source(Struct, frozen=True):
    label: str
    url: str


class Link(Struct, frozen=True):
    label: str
    url: str
    type: str = "absolute"


class Coding(Struct, frozen=True):
    code: str
    display: str
    system: str = CODES


class Action(Struct, frozen=True):
    """type is always create: nothing is ever changed or taken away."""

    description: str
    resource: dict[str, Any]
    type: str = "create"


class Suggestion(Struct, frozen=True):
    label: str
    uuid: str
    actions: tuple[Action, ...]


class Card(Struct, frozen=True):
    """uuid: the prediction's id. selectionBehavior stands beside suggestions and never without them."""

    uuid: str
    summary: str
    indicator: str
    detail: str
    source: Source
    links: tuple[Link, ...]
    overrideReasons: tuple[Coding, ...]
    suggestions: tuple[Suggestion, ...] | UnsetType = UNSET
    selectionBehavior: str | UnsetType = UNSET


class Cards(Struct, frozen=True):
    """The answer to a call. cards: () says that the patient is not concerned, and nothing else does."""

    cards: tuple[Card, ...]


OVERRIDE_REASONS = (
    Coding("known", "The risk is known and the plan takes it into account"),
    Coding("not-planned", "The therapy is not planned any more"),
    Coding("data-wrong", "Data that the card rests on are wrong or out of date"),
    Coding("not-helpful", "The card does not help here"),
)
OVERRIDE_CODES = frozenset(one.code for one in OVERRIDE_REASONS)

#: Indicator by the highest band of the outcomes that were evaluated. Policy of this project, verified: no.
#: high is the band that was chosen for few and likely alerts, so it is worth a look: warning. intermediate is wide by
#: choice (it is where few events are missed), so it informs and does not alarm. critical is never used: EHRs may stop
#: the user at such a card, and no study has shown that a stop on a predicted risk helps a patient.
INDICATORS = {"high": "warning", "intermediate": "info", "low": "info", "unbanded": "info"}
RISING = ("unbanded", "low", "intermediate", "high")
INFO = "info"
