"""Classes the hazard that an assay shows, per assay format, with its stated limits. Formats are never pooled."""

from dataclasses import dataclass
from math import isnan

import pandas as pd

from data.assay_response import CytokineResponse, Responses, nothing, responses
from data.assay_statistics import Estimate, exact_fraction
from data.assay_suitability import Refused, Suitable, suitable
from data.assay_table import AGENT, Assay
from features.assay_evidence import HAZARD_CLASSES, NOT_CONCLUSIVE
from features.assay_facts import AssayFacts, AssayFormat

NEGATIVE, WEAK, MODERATE, STRONG = HAZARD_CLASSES


@dataclass(frozen=True, slots=True, eq=False)
class FormatHazard:
    """The hazard in one format.

    reason: why this class. donors: with agent and control on a usable plate. responders: fraction, exact interval.
    refused: plates left out. quality: full or limited. limits: sentences that stand beside the class wherever it is
    shown. concordant: yes, no, or "" where fewer than two formats of the assay are conclusive.
    """

    format: str
    hazard_class: str
    reason: str
    severity_cytokines: tuple[str, ...]
    donors: int
    plates: int
    refused: tuple[Refused, ...]
    responses: Responses
    responders: Estimate
    key_events: tuple[str, ...]
    quality: str
    limits: tuple[str, ...]
    concordant: str


def assess(assay: Assay, facts: AssayFacts) -> tuple[FormatHazard, ...]:
    """The hazard of the assay's agent in each format of the file, in the order of the formats' table."""
    parts = [(key, assay.wells[assay.wells["format"] == key]) for key in facts.formats]
    judged = [_Judged(key, wells, facts) for key, wells in parts if (wells["role"] == AGENT).any()]
    concordant = _concordant([one.hazard_class for one in judged])
    return tuple(one.result(concordant) for one in judged)


def _concordant(classes: list[str]) -> str:
    rose = {name != NEGATIVE for name in classes if name != NOT_CONCLUSIVE}
    conclusive = sum(name != NOT_CONCLUSIVE for name in classes)
    return "" if conclusive < 2 else "yes" if len(rose) == 1 else "no"


class _Judged:
    """One format's plates, judged."""

    def __init__(self, key: str, wells: pd.DataFrame, facts: AssayFacts) -> None:
        self.facts = facts
        self.format: AssayFormat = facts.formats[key]
        self.suitable: Suitable = suitable(wells, key, facts)
        used = self.suitable.wells
        self.plates = int(used["plate"].nunique())
        self.found = responses(used, key, facts) if self.plates else nothing()
        # Donors with a control of their own in a severity cytokine; where none was measured, those given the agent.
        self.donors = self.found.donors or int(used.loc[used["role"] == AGENT, "donor"].nunique())
        self.responders = exact_fraction(self.found.responders, self.found.donors, facts.numbers["confidence"])
        self.hazard_class, self.reason = classify(self.found, self.donors, self.format)

    def result(self, concordant: str) -> FormatHazard:
        rising = [one for one in self.found.cytokines if one.rises]
        events = {self.facts.cytokines[one.cytokine].key_event for one in rising}
        doubts = _doubts(self.suitable, self.found, self.facts)
        return FormatHazard(
            format=self.format.key,
            hazard_class=self.hazard_class,
            reason=self.reason,
            severity_cytokines=self.format.severity_cytokines,
            donors=self.donors,
            plates=self.plates,
            refused=self.suitable.refused,
            responses=self.found,
            responders=self.responders,
            key_events=tuple(sorted(events)) if self.hazard_class != NOT_CONCLUSIVE else (),
            quality="limited" if doubts or self.hazard_class == NOT_CONCLUSIVE else "full",
            limits=(
                *_why(self.hazard_class, self.reason),
                self.format.limit,
                *_of_responders(self.found, self.responders),
                *doubts,
            ),
            concordant=concordant,
        )


def classify(found: Responses, donors: int, format: AssayFormat) -> tuple[str, str]:
    """The hazard class of a format and the reason for it. Cuts on the position are inclusive."""
    if not donors:
        return NOT_CONCLUSIVE, "no plate could be used"
    if donors < format.minimum_donors:
        return NOT_CONCLUSIVE, f"{donors} donors where this format needs {format.minimum_donors}"
    if isnan(found.severity.value):
        wanted = ", ".join(format.severity_cytokines)
        return NOT_CONCLUSIVE, f"no scale in {wanted}: not measured, or the positive reference did not rise in it"
    rising = [one.cytokine for one in found.cytokines if one.rises]
    if not rising:
        return NEGATIVE, "no cytokine rose above the negative control"
    if not set(rising) & set(format.severity_cytokines):
        return WEAK, f"rose in {', '.join(rising)}, not in {', '.join(format.severity_cytokines)}"
    return _by_position(found.severity.value, format), f"rose in {', '.join(rising)}"


def _by_position(value: float, format: AssayFormat) -> str:
    if value >= format.strong_from:
        return STRONG
    return MODERATE if value >= format.moderate_from else WEAK


def _why(hazard_class: str, reason: str) -> tuple[str, ...]:
    return (f"Not conclusive: {reason}",) if hazard_class == NOT_CONCLUSIVE else ()


def _of_responders(found: Responses, fraction: Estimate) -> tuple[str, ...]:
    """What the number of donors leaves open, as a sentence."""
    if not found.donors:
        return ()
    if not found.responders:
        return (f"With {found.donors} silent donors up to {fraction.high:.0%} responders remain possible",)
    part = f"{found.responders} of {found.donors} donors respond ({fraction.low:.0%} to {fraction.high:.0%})"
    return (part if found.responders == found.donors else f"{part}: the mean over donors hides who does not",)


def _doubts(plates: Suitable, found: Responses, facts: AssayFacts) -> tuple[str, ...]:
    """What makes the quality limited, as sentences."""
    refused = [f"Plate {one.plate} was refused: {one.reason}" for one in plates.refused]
    bound = [facts.cytokines[one.cytokine].name for one in found.cytokines if _rests_on_limit(one)]
    limit = [f"{', '.join(bound)}: the figure rests on a limit of quantification"] if bound else []
    return (*refused, *plates.notes, *limit)


def _rests_on_limit(one: CytokineResponse) -> bool:
    return one.bound and one.rises
