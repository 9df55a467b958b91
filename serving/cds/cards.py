"""From an answer to a card, and the card that says why there is no answer."""

from dataclasses import dataclass

from msgspec import UNSET

from features.catalogue import Catalogue
from serving import notes
from serving.answer import Answer
from serving.cds import words
from serving.cds.card import INDICATORS, INFO, OVERRIDE_REASONS, Card, Link, Source
from serving.cds.orders import suggestions
from serving.cds.plain import plain
from serving.fhir_types import FhirRead

_LINK = "CRS Risk: the model, its data and its limits"
_UNCLEAR = {
    "therapy": "Several T-cell-engaging therapies are ordered at one time, so which one is meant is not clear.",
    "start": "An order for a T-cell-engaging therapy is completed, and when it was given is not charted.",
    "time": "A T-cell-engaging therapy is charted, and its time or its status does not tell when, or whether, it was "
    "given.",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Of whom and for whom a card is made. base: our public address. patient: the EHR's id.

    absent: keys of the prefetch without data; unread: there are more results than were read.
    """

    base: str
    patient: str
    version: str
    absent: tuple[str, ...] = ()
    unread: bool = False

    def source(self, synthetic: bool = False) -> Source:
        """EHRs show it beside the summary, so it says what no reader may miss."""
        warning = " (trained on SYNTHETIC data, not for use with patients)" if synthetic else ""
        return Source(f"CRS Risk, version {plain(self.version)}{warning}", self.page)

    @property
    def page(self) -> str:
        return f"{self.base}/"


def card_of(answer: Answer, read: FhirRead, catalogue: Catalogue, place: Place) -> Card:
    """The card of an answer, evaluated or not."""
    offered = suggestions(answer, catalogue, place.patient)
    evaluated = answer.status == "evaluated"
    synthetic = any(note.code == notes.SYNTHETIC.code for note in answer.cautions)
    return Card(
        uuid=answer.prediction_id,
        summary=words.summary(answer),
        indicator=INDICATORS[words.highest_band(answer)] if evaluated else INFO,
        detail=words.detail(answer, catalogue, read, place.absent, place.unread),
        source=place.source(synthetic),
        links=(Link(_LINK, place.page),),
        overrideReasons=OVERRIDE_REASONS,
        suggestions=offered or UNSET,
        selectionBehavior="any" if offered else UNSET,
    )


def unclear_card(uuid: str, read: FhirRead, place: Place) -> Card:
    """The card where a therapy is there, and which one or since when is not clear: concerned, and not evaluated."""
    why = [_UNCLEAR[one] for one in read.missing if one in _UNCLEAR]
    return Card(
        uuid=uuid,
        summary="CRS and ICANS risk not evaluated; the detail says what is not clear.",
        indicator=INFO,
        detail="\n".join(("**Not evaluated**, which does not mean a low risk:", *(f"- {one}" for one in why))),
        source=place.source(),
        links=(Link(_LINK, place.page),),
        overrideReasons=OVERRIDE_REASONS,
    )
