"""`crs hazard`: reads an assay, shows the hazard per format, and writes reviewed rows where a reviewer is named."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from math import isfinite
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from data.assay_statistics import Estimate
from data.assay_table import Assay, read_assay
from data.evidence_rows import THERAPY_COLUMNS, append, evidence_rows, therapy_of, with_therapy, write_table
from data.hazard import FormatHazard, assess
from features.assay_evidence import as_csv
from features.assay_facts import AssayFacts
from features.assay_prior import HAZARD_NOT_RISK
from features.catalogue import load
from features.errors import UsageError

#: Characters to a line where the output is no terminal, so that no column is cut.
WIDE = 180
console = Console(soft_wrap=True, highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDE)


def run(
    path: Path,
    therapy: str,
    therapy_class: str = "",
    name: str = "",
    reviewer: str = "",
    out: Path | None = None,
    therapies_out: Path | None = None,
    as_json: bool = False,
) -> None:
    """Read and judge an assay of a therapy (key or name); print it; write what was asked for."""
    catalogue = load()
    assay = read_assay(path, catalogue.assay_facts)
    key, of_class, new_row = therapy_of(catalogue, therapy, therapy_class, name, assay.sha256)
    if therapies_out and not new_row:
        raise UsageError("--therapies-out", f"{key} is in the catalogue already", "leave it out")
    therapies = with_therapy(therapies_out, new_row) if therapies_out else []
    hazards = assess(assay, catalogue.assay_facts)
    said = _write(hazards, key, of_class, assay, reviewer, out, catalogue.assay_facts)
    if therapies_out:
        write_table(therapies_out, THERAPY_COLUMNS, therapies)
        said = f"{said} Row for therapies.csv written to {therapies_out}."
    if as_json:
        console.print_json(json.dumps(_body(hazards, key, of_class, assay, new_row, said), allow_nan=False))
    else:
        _show(hazards, key, assay, new_row, catalogue.assay_facts)
        console.print(said)


def _write(
    hazards: Sequence[FormatHazard],
    key: str,
    of_class: str,
    assay: Assay,
    reviewer: str,
    out: Path | None,
    facts: AssayFacts,
) -> str:
    """Append the rows where both a reviewer and a file are named; a sentence that says what was done."""
    if not reviewer:
        return "Nothing was written: name --reviewer and --out to add this to a table of evidence."
    if out is None:
        return "Nothing was written: name --out, the table to add this to."
    append(out, evidence_rows(hazards, key, of_class, assay.sha256, reviewer, date.today()), facts)
    written = ", ".join(one.format for one in hazards)
    return f"Written to {out}, reviewed by {' '.join(reviewer.split())}: formats {written}."


def _show(hazards: Sequence[FormatHazard], key: str, assay: Assay, new_row: list[str], facts: AssayFacts) -> None:
    console.print(f"{key}: assay of {assay.agent}, sha256 {assay.sha256[:12]}")
    for one in hazards:
        _show_format(one, facts)
    console.print(HAZARD_NOT_RISK)
    if new_row:
        console.print(f"Not in the catalogue; its row for therapies.csv:\n{as_csv([new_row]).rstrip()}")


def _show_format(one: FormatHazard, facts: AssayFacts) -> None:
    console.print(f"\n{facts.formats[one.format].name}: {one.hazard_class.upper()} ({one.reason})")
    found = one.responses
    if found.cytokines:
        named = ", ".join(facts.cytokines[key].name for key in one.severity_cytokines)
        scale = f"0 = {found.reference_negative}, 1 = {found.reference_positive}"
        console.print(f"  position in {named}: {_figure(found.severity)} ({scale})")
        console.print(f"  responders: {found.responders} of {found.donors} donors, {_figure(one.responders)}")
        console.print(_grid(one, facts))
    for sentence in one.limits:
        console.print(f"  - {sentence}")


def _grid(one: FormatHazard, facts: AssayFacts) -> Grid:
    grid = Grid(
        "cytokine", "hours", "dose", "fold (interval)", "adjusted p", "rises", "responders", "position", "beyond limit"
    )
    for reply in one.responses.cytokines:
        grid.add_row(
            facts.cytokines[reply.cytokine].name,
            f"{reply.hours:g}",
            f"{reply.concentration:g}",
            _figure(reply.fold),
            f"{reply.p_value:.4f}",
            "yes" if reply.rises else "no",
            f"{reply.responders}/{reply.donors}",
            _figure(reply.position),
            f"{reply.censored:.0%}{' at limit' if reply.bound else ''}",
        )
    return grid


def _figure(one: Estimate) -> str:
    if not isfinite(one.value):
        return "no scale"
    return f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})" if isfinite(one.low) else f"{one.value:.2f}"


def _body(
    hazards: Sequence[FormatHazard], key: str, of_class: str, assay: Assay, new_row: list[str], said: str
) -> dict[str, Any]:
    """The report as plain JSON; what is unknown is null."""
    body = {
        "therapy": key,
        "therapy_class": of_class,
        "agent": assay.agent,
        "assay_sha256": assay.sha256,
        "hazard_not_risk": HAZARD_NOT_RISK,
        "formats": [asdict(one) for one in hazards],
        "therapies_row": new_row or None,
        "written": said,
    }
    plain: dict[str, Any] = _plain(body)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
