"""`crs cohort`: make, check and convert cohorts."""

from pathlib import Path
from typing import Annotated

import typer

from commands.options import Derive, Folder, Format, Seed, group

APP = group("Make, check and convert cohorts.")


@APP.command("synth")
def cohort_synth(
    out: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    courses: Annotated[int, typer.Option(min=1)] = 2000,
    seed: Seed = 1,
    format: Format = "parquet",
) -> None:
    """Write a synthetic cohort with its true risks beside it. Example: crs cohort synth cohorts/synth --courses 2000"""
    from data.tables import check_new
    from training import flows

    check_new(out)
    flows.synthesise(out, courses, seed, format)


@APP.command("check")
def cohort_check(cohort: Folder, derive_grades: Derive = False) -> None:
    """Read a cohort, report what was rejected and how many courses are left. Example: crs cohort check cohorts/mine"""
    from training import flows

    flows.check(cohort, derive_grades)


@APP.command("convert")
def cohort_convert(
    mapping: Annotated[Path, typer.Argument(help="A mapping file, see docs/mapping-files.md.")],
    out: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    data: Annotated[Path | None, typer.Option(help="The folder that holds the extract the mapping names.")] = None,
    format: Format = "parquet",
) -> None:
    """Turn a site's own extract into a cohort. Example: crs cohort convert my.toml cohorts/mine --data DIR"""
    from data.tables import check_new
    from training import flows

    check_new(out)
    flows.convert(mapping, out, data, format)


@APP.command("import")
def cohort_import(
    kind: Annotated[str, typer.Argument(help="omop or fhir.")],
    source: Annotated[str, typer.Argument(help="A folder or zip, a FHIR file, or a postgresql:// URL of an OMOP CDM.")],
    out: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    concepts: Annotated[Path | None, typer.Option(help="A centre's own codes (CSV), see docs/sources.md.")] = None,
    exact_times: Annotated[
        bool, typer.Option("--exact-times", help="OMOP: midnight is a time, and never stands for a day.")
    ] = False,
    format: Format = "parquet",
) -> None:
    """Courses of an OMOP CDM or a FHIR Bulk export as a cohort. Example: crs cohort import omop cdm.zip cohorts/cdm"""
    from data import sources

    sources.run_import(kind, source, out, concepts, format, exact_times)


@APP.command("export")
def cohort_export(
    kind: Annotated[str, typer.Argument(help="omop or fhir.")],
    cohort: Folder,
    out: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
) -> None:
    """Write a cohort as OMOP CSV tables or FHIR NDJSON. Example: crs cohort export fhir cohorts/mine exports/mine"""
    from data import sources

    sources.run_export(kind, cohort, out)


@APP.command("rates")
def cohort_rates(
    cohort: Folder,
    minimum: Annotated[
        int | None, typer.Option(help="Fewer courses than this show no rate; 10 by default.", min=1)
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="A line per outcome and published cohort, with intervals.")
    ] = False,
) -> None:
    """Set a cohort's rates per product beside the published ones. Example: crs cohort rates cohorts/mine"""
    from data.product_rates import MINIMUM_COURSES, compare
    from data.product_rates_text import explained, short, table
    from data.tables import read_cohort
    from features.catalogue import load

    fewest = minimum or MINIMUM_COURSES
    rows = compare(read_cohort(cohort), load())
    if every:
        print(table(rows, fewest), explained(fewest), sep="\n\n")
        return
    print(short(rows, fewest))
    print("\nIn brackets: with how many of the published 95 % intervals that of the own rate overlaps.")
    print(f"--all shows each of them, and what the words mean: crs cohort rates {cohort} --all")


@APP.command("request")
def cohort_request(
    cohort: Folder,
    course_id: Annotated[str, typer.Argument(help="A course of that cohort.")],
    hours: Annotated[float, typer.Option(help="Hours since the start at which the question is asked.")] = 0.0,
) -> None:
    """Print a course as a question to POST /predict. Example: crs cohort request cohorts/mine c-17 --hours 24"""
    from training import flows

    flows.request(cohort, course_id, hours)
