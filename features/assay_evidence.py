"""What cytokine release assays said of a therapy: one reviewed row per assay file and format.

Evidence of a therapy, never of a patient. The formats are never pooled: what one shows another may miss.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from io import StringIO
from math import isfinite, isnan
from pathlib import Path

from features import catalogue_joins as joins
from features.assay_facts import AssayFacts
from features.catalogue_tables import read
from features.catalogue_types import KEY_EVENTS

NOT_CONCLUSIVE = "not-conclusive"
#: From the least to the worst; `not-conclusive` is a state of its own and never means negative.
HAZARD_CLASSES = ("negative", "weak", "moderate", "strong")
EVIDENCE_TABLE = "therapy_evidence.csv"


@dataclass(frozen=True, slots=True)
class AssayEvidence:
    """What one assay file showed of one therapy in one format, reviewed by a named person.

    position: where the agent stands on the ln scale from the plate's negative (0) to its positive reference (1), in the
    severity cytokines; it may lie outside; NaN where unknown. positions: "cytokine mean low high" of each cytokine.
    responder_fraction: of the donors, in a severity cytokine, with its exact interval. limits: sentences to show.
    formats_concordant: yes or no, "" where fewer than two formats of the file are conclusive.
    """

    therapy: str
    therapy_class: str
    format: str
    hazard_class: str
    severity_cytokines: tuple[str, ...]
    position: float
    position_low: float
    position_high: float
    positions: tuple[str, ...]
    reference_positive: str
    reference_negative: str
    responder_fraction: float
    responder_low: float
    responder_high: float
    donors: int
    formats_concordant: str
    key_events: tuple[str, ...]
    quality: str
    limits: tuple[str, ...]
    assay_sha256: str
    reviewed_by: str
    reviewed_on: str
    source: str
    verified: str

    def __post_init__(self) -> None:
        _one_of("hazard_class", self.hazard_class, (*HAZARD_CLASSES, NOT_CONCLUSIVE))
        _one_of("formats_concordant", self.formats_concordant, ("", "yes", "no"))
        _one_of("quality", self.quality, ("full", "limited"))
        _rising("position_low, position, position_high", self.position_low, self.position, self.position_high)
        _rising("0, responders, 1", 0, self.responder_low, self.responder_fraction, self.responder_high, 1)
        if strange := set(self.key_events) - set(KEY_EVENTS):
            raise ValueError(f"key_events names unknown {', '.join(sorted(strange))}")
        if len(self.assay_sha256) != 64 or set(self.assay_sha256) - set("0123456789abcdef"):
            raise ValueError("assay_sha256 must be 64 hexadecimal digits")
        if not self.reviewed_by or not self.limits or self.donors < 0:
            raise ValueError("reviewed_by and limits must be given, and donors not be negative")
        date.fromisoformat(self.reviewed_on)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(word or 'empty' for word in allowed)}")


def _rising(name: str, *values: float) -> None:
    known = [value for value in values if not isnan(value)]
    if known != sorted(known) or not all(map(isfinite, known)):
        raise ValueError(f"{name} must not decrease")


def read_evidence(path: Path, facts: AssayFacts, therapies: Mapping[str, object]) -> tuple[AssayEvidence, ...]:
    """The rows of a reviewed table of assay evidence, which may have none. CatalogueError names file and line."""
    rows = read(path, AssayEvidence)
    joins.check_known(path.name, "therapy", (row.therapy for row in rows), therapies)
    check_evidence(path.name, rows, facts)
    return rows


def check_evidence(table: str, rows: Iterable[AssayEvidence], facts: AssayFacts) -> None:
    """CatalogueError if a row names an unknown format or stands twice."""
    held = tuple(rows)
    joins.check_known(table, "format", (row.format for row in held), facts.formats)
    joins.check_unique(table, ((row.therapy, row.format, row.assay_sha256) for row in held))


def cells(row: AssayEvidence) -> dict[str, str]:
    """The row as the text cells of its table, in order of the columns; the inverse of reading it."""
    return {name: _cell(getattr(row, name)) for name in AssayEvidence.__slots__}


def _cell(value: object) -> str:
    if isinstance(value, tuple):
        return ";".join(value)
    if isinstance(value, float):
        return "" if isnan(value) else repr(value)
    return str(value)


def as_csv(rows: Iterable[Iterable[str]]) -> str:
    """Lines of a table, with the quoting its reader expects."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
