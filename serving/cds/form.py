# ruff: noqa: N815 (members are spelt as CDS Hooks spells them)
"""What a CDS Hooks call and a feedback look like. Members that are not named here are read over.

A member that is named here is never null; only a prefetch value may be, which says that there are no data.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

#: Form of an id in FHIR R4.
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9.-]{1,64}$")]
Uuid = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$")]
Text = Annotated[str, Meta(min_length=1, max_length=1000)]
Address = Annotated[str, Meta(min_length=1, max_length=1000, pattern=r"^https?://[!-~]+$")]
MOST_KEYS = 50
MOST_SELECTIONS = 500
MOST_FEEDBACK = 200
MOST_SUGGESTIONS = 100


class Authorization(Struct, frozen=True):
    """The right to read from the EHR's FHIR server, for this call alone. Its token is never written anywhere."""

    access_token: Annotated[str, Meta(pattern=r"^[!-~]{1,8192}$")]
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Meta(ge=0)]
    scope: Annotated[str, Meta(max_length=10_000)]
    subject: Text

    def __repr__(self) -> str:
        return "Authorization(...)"


class Context(Struct, frozen=True):
    """All that the hooks say; which of it a hook has to say stands in serving.cds.services."""

    patientId: Id
    userId: Text
    encounterId: Id | UnsetType = UNSET
    draftOrders: dict[str, Any] | UnsetType = UNSET
    selections: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=MOST_SELECTIONS)] | UnsetType = UNSET


class Call(Struct, frozen=True):
    """One call of a service. prefetch: key -> resource, Bundle, OperationOutcome or null."""

    hook: Text
    hookInstance: Uuid
    context: Context
    fhirServer: Address | UnsetType = UNSET
    fhirAuthorization: Authorization | UnsetType = UNSET
    prefetch: Annotated[dict[str, Any], Meta(max_length=MOST_KEYS)] = {}
    extension: dict[str, Any] | UnsetType = UNSET


class Accepted(Struct, frozen=True):
    """A suggestion that was taken."""

    id: Uuid


class Coding(Struct, frozen=True):
    code: Text
    system: Annotated[str, Meta(max_length=1000)] = ""


class OverrideReason(Struct, frozen=True):
    """Why a card was put aside. userComment is free text: it is counted and thrown away."""

    reason: Coding | UnsetType = UNSET
    userComment: str | UnsetType = UNSET


class Feedback(Struct, frozen=True):
    """What became of one card."""

    card: Uuid
    outcome: Literal["accepted", "overridden"]
    outcomeTimestamp: Annotated[str, Meta(min_length=1, max_length=40)]
    acceptedSuggestions: (
        Annotated[tuple[Accepted, ...], Meta(min_length=1, max_length=MOST_SUGGESTIONS)] | UnsetType
    ) = UNSET
    overrideReason: OverrideReason | UnsetType = UNSET


class FeedbackRequest(Struct, frozen=True):
    feedback: Annotated[tuple[Feedback, ...], Meta(min_length=1, max_length=MOST_FEEDBACK)]


#: Field names that may be repeated in an error's path.
HOOK_FIELDS = frozenset(
    name
    for kind in (Authorization, Context, Call, Accepted, Coding, OverrideReason, Feedback, FeedbackRequest)
    for name in kind.__struct_fields__
)
