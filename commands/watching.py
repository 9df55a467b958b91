"""The verbs after deployment: what became of predictions, monitoring, and a challenger in the shadow."""

from pathlib import Path
from typing import Annotated

import typer

from commands.options import check_out, group, home, tracking_uri

APP = group()
OUTCOMES = group("What became of predictions.")
#: Exit code of an alarm, and of a file of which rows were refused.
ALARM, REFUSED_ROWS = 10, 3


@OUTCOMES.command("import")
def outcomes_import(
    file: Annotated[Path, typer.Argument(help="A table (.csv or .parquet), see docs/monitoring.md.")],
) -> None:
    """Join outcomes to predictions by prediction_id, into the ledger. Example: crs outcomes import outcomes.csv

    Exit codes: 0 every row was taken; 3 rows were refused, the others were taken, or the file cannot be read.
    """
    from training import outcome_file

    if not outcome_file.run(home(), file):
        raise typer.Exit(REFUSED_ROWS)


@APP.command()
def monitor(
    since: Annotated[str, typer.Option(help="First day (UTC); the charts start here. The first answer if empty.")] = "",
    until: Annotated[str, typer.Option(help="Day (UTC) before which everything counts; now if empty.")] = "",
    reference: Annotated[
        Path | None, typer.Option(help="A cohort that drift is judged against; else the version's first courses.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the report as JSON, too.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report as a page (.html), too.")] = None,
) -> None:
    """Judge the version that answers: drift and calibration, see docs/monitoring.md. Example: crs monitor --out m.json

    Exit codes: 0 steady, watch or too few to judge; 10 an alarm; 7 the ledger has nothing to judge.
    """
    from training import monitor as monitoring
    from training.monitoring_checks import ALARM as ALARMED

    check_out(out)
    check_out(report, "--report")
    request = monitoring.Request(since, until, reference, out, report)
    if monitoring.monitor(home(), request, tracking_uri())["verdict"] == ALARMED:
        raise typer.Exit(ALARM)


@APP.command()
def shadow(
    version: Annotated[str, typer.Option(help="A version number or alias to score unseen beside the live one.")] = "",
    off: Annotated[bool, typer.Option("--off", help="Score none.")] = False,
    compare: Annotated[bool, typer.Option("--compare", help="Compare both by what became of the courses.")] = False,
) -> None:
    """Score a challenger unseen beside the live version. Example: crs shadow --version challenger"""
    from features.errors import UsageError

    if (bool(version) + off + compare) != 1:
        raise UsageError("--version, --off, --compare", "not exactly one of them", "name one")
    if compare:
        from training.shadow_compare import compare as compare_shadow

        compare_shadow(home(), tracking_uri())
        return
    from training import shadow as shadows

    if off:
        shadows.no_shadow(home())
    else:
        shadows.name_shadow(home(), version, tracking_uri())
