"""`crs diagnose`: the findings of a cohort, or of an extract before anything of it is refused, as a table or JSON."""

import json
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data.mapping import convert_extract, read_mapping
from data.tables import ANY_SHARE, Cohort, Frames
from features.catalogue import load
from features.errors import UsageError
from training.diagnose import check_findings, diagnose, read, to_json
from training.diagnose_findings import SEVERITIES, Finding


def run(
    console: Console,
    folder: Path | None,
    mapping: Path | None,
    extract: Path | None,
    as_json: bool,
    out: Path | None,
    derive_grades: bool,
) -> None:
    """Print the findings, and write them where asked; DataError (exit code 3) where one refuses the data.

    folder: a cohort; or mapping and extract: a site's file as its mapping reads it. UsageError for neither or both.
    """
    cohort, frames = _read(folder, mapping, extract, derive_grades)
    findings = diagnose(cohort, frames, load())
    document = json.dumps(to_json(findings), indent=1)
    if out is not None:
        out.write_text(document + "\n", encoding="utf-8")
    if as_json:
        console.print_json(document)
    else:
        console.print(table(findings))
        console.print(f"{len(cohort)} courses: {counted(findings)}")
    check_findings(findings)


def _read(
    folder: Path | None, mapping: Path | None, extract: Path | None, derive_grades: bool
) -> tuple[Cohort, Frames]:
    if (folder is None) == (mapping is None):
        raise UsageError(
            "COHORT", "neither or both of a cohort and a mapping", "name a cohort, or --mapping with --data"
        )
    if folder is not None:
        return read(folder, derive_grades)
    if mapping is None or extract is None:
        raise UsageError("--data", "no extract given", "name the file that the mapping describes")
    tables = convert_extract(extract, read_mapping(mapping))
    frames = Frames(tables.courses, tables.observations, tables.events)
    return frames.cohort(ANY_SHARE, derive_grades), frames


def table(findings: Iterable[Finding]) -> Table:
    """One line per finding."""
    grid = Table(box=None, pad_edge=False)
    for title in ("severity", "code", "where", "rows"):
        grid.add_column(title, no_wrap=True)
    for title in ("why", "what to do"):
        grid.add_column(title, overflow="fold")
    for one in findings:
        grid.add_row(one.severity, one.code, f"{one.table}.{one.column}", str(one.rows), one.why, one.what_to_do)
    return grid


def counted(findings: Iterable[Finding]) -> str:
    """How many findings of each severity."""
    found = [one.severity for one in findings]
    return ", ".join(f"{found.count(severity)} {severity}" for severity in SEVERITIES)
