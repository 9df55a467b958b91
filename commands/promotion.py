"""The verbs that decide what is served: judge, approve, promote, roll back."""

from pathlib import Path
from typing import Annotated

import typer

from commands.options import group, home, tracking_uri

APP = group()
Version = Annotated[str, typer.Option(help="A version number, or challenger.")]
Courses = Annotated[
    Path | None, typer.Option(help="Cohort whose locked courses test; by default where the version's data lay.")
]


@APP.command()
def gate(
    version: Version = "challenger",
    cohort: Courses = None,
    plan: Annotated[
        Path | None, typer.Option(help="Another change plan, to try it; only the shipped one counts.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Judge a version against what is live and record the verdict. Example: crs gate --version 2

    Exit codes: 0 it passes; 2 an option is wrong; 9 it is refused or cannot be judged.
    """
    from training import promotion_verbs

    promotion_verbs.gate(home(), version, cohort, plan, as_json, tracking_uri())


@APP.command()
def approve(
    by: Annotated[str, typer.Option(help="Who approves.")],
    role: Annotated[str, typer.Option(help="As what.")],
    meaning: Annotated[str, typer.Option(help="What the approval means.")],
    version: Version = "challenger",
) -> None:
    """Approve a version that passes. Example: crs approve --version 2 --by "A Name" --role owner --meaning reviewed

    Exit codes: 0 it is recorded; 2 an option is wrong, or this person has approved already; 9 it does not pass.
    """
    from training import promotion_verbs

    promotion_verbs.approve(home(), version, by, role, meaning, tracking_uri())


@APP.command()
def promote(version: Version = "challenger", cohort: Courses = None) -> None:
    """Serve a version from now on that passes and that two people have approved. Example: crs promote --version 2

    Exit codes: 0 it is live; 2 an option is wrong; 4 the bundle is damaged; 9 it is refused, cannot be judged, or is
    not approved yet. Judges first where that was not done.
    """
    from training import promotion_verbs

    promotion_verbs.promote_version(home(), version, cohort, tracking_uri())


@APP.command()
def rollback(
    by: Annotated[str, typer.Option(help="Who decides it.")],
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")],
) -> None:
    """Serve again what was live before the last promotion. Example: crs rollback --by "A Name" --reason "alerts"

    Exit codes: 0 it is live again; 2 an option is wrong; 5 there is no earlier one.
    """
    from training import promotion_verbs

    promotion_verbs.rollback(home(), by, reason, tracking_uri())
