"""The verbs that work on a file alone: grades of findings, hazard of an assay."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from commands.options import check_out, group

APP = group()


@APP.command()
def hazard(
    assay: Annotated[Path, typer.Argument(help="An assay file, see docs/in-vitro-hazard.md.")],
    therapy: Annotated[str, typer.Option(help="Key, name or alias of the therapy; a new key with --class and --name.")],
    therapy_class: Annotated[
        str, typer.Option("--class", help="Class of a therapy that is not in the catalogue.")
    ] = "",
    name: Annotated[str, typer.Option(help="Name of a therapy that is not in the catalogue.")] = "",
    reviewer: Annotated[str, typer.Option(help="Who answers for this reading; without it nothing is written.")] = "",
    out: Annotated[Path | None, typer.Option(help="Table of evidence to append the reviewed rows to.")] = None,
    therapies_out: Annotated[Path | None, typer.Option(help="Table to append a new therapy's row to.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Class the in-vitro hazard of a therapy per assay format. Example: crs hazard assay.csv --therapy tgn1412"""
    from data import hazard_report

    for path in (out, therapies_out):
        check_out(path)
    hazard_report.run(assay, therapy, therapy_class, name, reviewer, out, therapies_out, as_json)


@APP.command()
def grade(
    file: Annotated[Path, typer.Argument(help="A table (.csv) or the body of POST /grade (.json).")],
    scheme: Annotated[
        list[str] | None, typer.Option(help="Grade by this scheme; may be repeated. The file's own by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers of POST /grade as JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the grades as CSV, too.")] = None,
) -> None:
    """Grade CRS and ICANS from raw findings, see docs/grading.md. Example: crs grade cases.csv --out grades.csv

    Exit codes: 0 all cases were read, the ungradable ones included; 2 an option or scheme is wrong; 3 the file is.
    """
    from serving.grade_file import grade_file

    check_out(out)
    grade_file(file, scheme or (), as_json, out, print, lambda line: print(line, file=sys.stderr))
