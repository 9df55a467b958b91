"""`crs cohort import` and `crs cohort export`: read, check, write, report."""

import json
import sys
from pathlib import Path

from rich.console import Console

from data.export import CODES_FILE, check_exportable, write_whole
from data.export_fhir import write_fhir
from data.export_omop import write_omop
from data.fhir_bulk import read_fhir
from data.files import FORMATS, Format
from data.omop import read_omop
from data.report import RejectionReport
from data.source_cohort import Tables, canonical
from data.source_frames import Source
from data.source_report import SourceReport
from data.tables import Cohort, check_new, cohort_from_frames, read_cohort, write_cohort
from features.catalogue import Catalogue, load
from features.concepts import concepts
from features.errors import UsageError

WIDE = 180
console = Console(soft_wrap=True, highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDE)
REPORT_FILE = "source-report.json"
KINDS = ("omop", "fhir")


def run_import(
    kind: str, place: str, out: Path, codes: Path | None = None, format: str = "parquet", exact_times: bool = False
) -> SourceReport:
    """Read a source, write its courses as a cohort and what became of every row beside it; print the same.

    Where the source holds no course, only the report is written. place: folder, zip, file or postgresql:// URL.
    """
    _check_kind(kind)
    form = next((one for one in FORMATS if one == format), None)
    if form is None:
        raise UsageError("--format", "not a format of cohort tables", f"use {' or '.join(FORMATS)}")
    check_new(out)
    catalogue = load()
    source = read_source(kind, place, catalogue, codes, exact_times)
    tables = canonical(source, catalogue)
    cohort = cohort_of(tables, catalogue)
    report = source_report(kind, source, tables, cohort)
    _write(out, tables, cohort, report, form)
    if cohort is not None:
        console.print(cohort.report.text())
    console.print(report.text())
    console.print(f"{out}: {f'fingerprint {cohort.fingerprint}' if cohort else f'{REPORT_FILE} only'}")
    return report


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise UsageError("KIND", "not a kind of source", f"use {' or '.join(KINDS)}")


def read_source(
    kind: str, place: str, catalogue: Catalogue, codes: Path | None = None, exact_times: bool = False
) -> Source:
    """The source of that kind; errors as read_omop and read_fhir."""
    known = concepts(catalogue, codes)
    return read_omop(place, known, exact_times) if kind == "omop" else read_fhir(Path(place), known)


def cohort_of(tables: Tables, catalogue: Catalogue) -> Cohort | None:
    """The validated cohort, None where there is no course. Rows rejected stand in its report."""
    if tables.courses.empty:
        return None
    return cohort_from_frames(tables.courses, tables.observations, tables.events, catalogue=catalogue)


def source_report(kind: str, source: Source, tables: Tables, cohort: Cohort | None) -> SourceReport:
    return SourceReport(
        kind=kind,
        people=len(source.people),
        courses_found=len(tables.courses),
        courses_kept=len(cohort) if cohort else 0,
        observations=len(tables.observations),
        events=len(tables.events),
        tally=tables.tally,
    )


def _write(out: Path, tables: Tables, cohort: Cohort | None, report: SourceReport, format: Format) -> None:
    checks = cohort.report if cohort else RejectionReport()
    findings = [{"kind": one.kind, "rule": one.rule, "table": one.table, "rows": one.rows} for one in checks.findings]
    text = json.dumps({**report.to_json(), "checks": findings}, indent=1, sort_keys=True) + "\n"
    if cohort is None:
        write_whole(out, lambda folder: _put(folder, text))
        return
    write_cohort(out, tables.courses, tables.observations, tables.events, format)
    _put(out, text)


def _put(folder: Path, text: str) -> None:
    (folder / REPORT_FILE).write_text(text, encoding="utf-8")


def run_export(kind: str, cohort_folder: Path, out: Path) -> None:
    """Write a cohort as an OMOP or FHIR export in a new folder, and say what it could not hold."""
    _check_kind(kind)
    check_new(out)
    catalogue = load()
    cohort = read_cohort(cohort_folder, catalogue=catalogue)
    export(kind, cohort, out, catalogue)
    for reason, count in check_exportable(cohort, catalogue).items():
        console.print(f"not written: {reason}, {count}")
    console.print(f"{out}: {len(cohort)} courses; import it with --concepts {out / CODES_FILE}")


def export(kind: str, cohort: Cohort, out: Path, catalogue: Catalogue) -> None:
    """The export alone. DataError if a course has no start time."""
    check_exportable(cohort, catalogue)
    write = write_omop if kind == "omop" else write_fhir
    write_whole(out, lambda folder: write(folder, cohort, catalogue))
