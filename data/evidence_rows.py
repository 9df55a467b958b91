"""Turns the hazard of an assay into reviewed catalogue rows, and appends them to a table of that shape."""

import csv
import os
from collections.abc import Sequence
from dataclasses import fields
from datetime import date
from math import isnan
from pathlib import Path

from data.assay_statistics import Estimate
from data.hazard import FormatHazard
from features.assay_evidence import AssayEvidence, as_csv, cells, check_evidence
from features.assay_facts import AssayFacts
from features.catalogue import Catalogue, Therapy
from features.catalogue_joins import fold_name
from features.catalogue_tables import read
from features.errors import UsageError

COLUMNS = [item.name for item in fields(AssayEvidence)]
#: Joined from another table, so no column of therapies.csv.
THERAPY_COLUMNS = [item.name for item in fields(Therapy) if not item.metadata.get("joined")]


def therapy_of(
    catalogue: Catalogue, key: str, therapy_class: str, name: str, digest: str
) -> tuple[str, str, list[str]]:
    """The therapy's key, its class, and its row for therapies.csv, which is empty if the catalogue has it already.

    UsageError where the therapy is unknown and no known class and name are given, or where they contradict it.
    """
    known = catalogue.find_therapy(key)
    if isinstance(known, Therapy):
        if therapy_class and therapy_class != known.therapy_class:
            raise UsageError("--class", f"{known.key} is of the class {known.therapy_class}", "leave --class out")
        return known.key, known.therapy_class, []
    if known is not None:
        raise UsageError("--therapy", "this names a class", "name one therapy")
    if not therapy_class or not name.strip():
        raise UsageError(
            "--therapy", "not in the catalogue", "give --class and --name to get its row for therapies.csv"
        )
    if therapy_class not in catalogue.classes:
        raise UsageError("--class", "no such class", "use a key of features/tables/therapy_classes.csv")
    return key, therapy_class, _therapy_row(_new_key(key), " ".join(name.split()), therapy_class, digest)


def _new_key(key: str) -> str:
    if not key or key != "-".join(key.lower().split()) or not fold_name(key).isalnum():
        raise UsageError("--therapy", "not a key", "use small letters and figures with hyphens, such as new-agent-1")
    return key


def _therapy_row(key: str, name: str, therapy_class: str, digest: str) -> list[str]:
    stated = {"key": key, "name": name, "therapy_class": therapy_class, "approved": "no", "verified": "no"}
    stated |= {"source": f"in-vitro assay, sha256 {digest}"}
    return [stated.get(column, "") for column in THERAPY_COLUMNS]


def evidence_rows(
    hazards: Sequence[FormatHazard], therapy: str, therapy_class: str, digest: str, reviewer: str, on: date
) -> tuple[AssayEvidence, ...]:
    """One row per format, signed by the reviewer; UsageError where the name is empty."""
    name = " ".join(reviewer.split())
    if not name:
        raise UsageError("--reviewer", "no name", "name the person who answers for this reading")
    return tuple(_row(one, therapy, therapy_class, digest, name, on) for one in hazards)


def _row(one: FormatHazard, therapy: str, therapy_class: str, digest: str, reviewer: str, on: date) -> AssayEvidence:
    found = one.responses
    measured = {reply.cytokine: reply.position for reply in found.cytokines}
    return AssayEvidence(
        therapy=therapy,
        therapy_class=therapy_class,
        format=one.format,
        hazard_class=one.hazard_class,
        severity_cytokines=one.severity_cytokines,
        position=_short(found.severity.value),
        position_low=_short(found.severity.low),
        position_high=_short(found.severity.high),
        positions=tuple(_position(key, place) for key, place in measured.items() if not isnan(place.value)),
        reference_positive=found.reference_positive,
        reference_negative=found.reference_negative,
        responder_fraction=_short(one.responders.value),
        responder_low=_short(one.responders.low),
        responder_high=_short(one.responders.high),
        donors=one.donors,
        formats_concordant=one.concordant,
        key_events=one.key_events,
        quality=one.quality,
        limits=tuple(sentence.replace(";", ",") for sentence in one.limits),
        assay_sha256=digest,
        reviewed_by=reviewer,
        reviewed_on=on.isoformat(),
        source=f"in-vitro assay, sha256 {digest[:12]}",
        verified="partly",
    )


def _short(value: float) -> float:
    return round(value, 4)


def _position(cytokine: str, place: Estimate) -> str:
    figures = (figure for figure in (place.value, place.low, place.high) if not isnan(figure))
    return " ".join([cytokine, *(f"{figure:.4f}" for figure in figures)])


def append(path: Path, rows: Sequence[AssayEvidence], facts: AssayFacts) -> None:
    """Add rows to a table of assay evidence, which is made if it is not there: all of them or none.

    UsageError where the therapy, format and assay stand there already; CatalogueError where the table is damaged.
    """
    held = read(path, AssayEvidence) if path.exists() else ()
    check_evidence(path.name, held, facts)
    known = {(row.therapy, row.format, row.assay_sha256) for row in held}
    for row in rows:
        if (row.therapy, row.format, row.assay_sha256) in known:
            problem = f"{row.therapy} in {row.format} with this assay stands there already"
            raise UsageError(path.name, problem, "nothing was written")
    write_table(path, COLUMNS, [list(cells(row).values()) for row in (*held, *rows)])


def with_therapy(path: Path, row: Sequence[str]) -> list[list[str]]:
    """The lines of a table shaped as therapies.csv, empty if it is not there, with one more; nothing is written yet.

    UsageError where the therapy stands there already.
    """
    held = read(path, Therapy) if path.exists() else ()
    if row[0] in {one.key for one in held}:
        raise UsageError(path.name, f"{row[0]} stands there already", "leave --therapies-out out")
    lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))[1:] if path.exists() else []
    return [*lines, list(row)]


def write_table(path: Path, columns: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Write a whole table in one replacement, so that a reader sees the old one or the new."""
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("w", encoding="utf-8", newline="") as file:
        file.write(as_csv([columns, *lines]))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
