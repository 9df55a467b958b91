"""The verbs of a model: check the data, train, tune, judge, promote."""

from pathlib import Path
from typing import Annotated

import typer

from commands.options import Derive, Folder, Settings, check_out, group, home, tracking_uri

APP = group()


@APP.command()
def diagnose(
    cohort: Annotated[Path | None, typer.Argument(help="A cohort; or use --mapping and --data.")] = None,
    mapping: Annotated[Path | None, typer.Option(help="A mapping file: look at the extract before conversion.")] = None,
    data: Annotated[Path | None, typer.Option(help="The extract that the mapping describes, or its folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the findings as JSON, too.")] = None,
    derive_grades: Derive = False,
) -> None:
    """Look for leaks and faults in the data, see docs/diagnose.md. Example: crs diagnose cohorts/mine

    Exit codes: 0 nothing is refused; 2 an option is wrong; 3 a finding refuses the data, or they cannot be read.
    """
    from training import flows

    check_out(out)
    flows.diagnose(cohort, mapping, data, as_json, out, derive_grades)


@APP.command()
def train(
    cohort: Annotated[Path | None, typer.Argument(help="A cohort; not needed with --prior-only.")] = None,
    name: Annotated[str, typer.Option(help="What to call the data; the folder's name by default.")] = "",
    settings: Settings = None,
    prior_only: Annotated[
        bool, typer.Option("--prior-only", help="A bundle of published rates, without any data.")
    ] = False,
    derive_grades: Derive = False,
    override: Annotated[list[str] | None, typer.Option(help="Train although this data check refuses.")] = None,
    reason: Annotated[list[str] | None, typer.Option(help="Why; one per --override. It is recorded.")] = None,
) -> None:
    """Check the data, train, judge and register a model. Example: crs train cohorts/mine"""
    from features.errors import UsageError
    from training import config, diagnose, flows

    answered_for = diagnose.overrides(override or (), reason or ())
    if prior_only:
        flows.train_prior_only(home(), config.read(settings), tracking_uri())
    elif cohort is None:
        raise UsageError("COHORT", "no cohort given", "name a cohort's folder, or use --prior-only")
    else:
        called = name or cohort.resolve().name
        flows.train(home(), cohort, called, config.read(settings), tracking_uri(), derive_grades, answered_for)


@APP.command()
def tune(
    cohort: Folder,
    settings: Settings = None,
    out: Annotated[Path, typer.Option(help="Where the best settings are written.")] = Path("settings.toml"),
) -> None:
    """Compare a few settings by patient-grouped cross-validation. Example: crs tune cohorts/mine --out settings.toml"""
    from training import config, flows

    check_out(out)
    flows.tune(home(), cohort, config.read(settings), out, tracking_uri())


@APP.command()
def evaluate(
    cohort: Folder,
    version: Annotated[str, typer.Option(help="A registered version or alias to judge on this cohort.")] = "champion",
    design: Annotated[
        str,
        typer.Option(
            help="internal, temporal, leave-site-out or external (a registered version); external by default."
        ),
    ] = "",
    cross_validate: Annotated[bool, typer.Option("--cross-validate", help="The same as --design internal.")] = False,
    test_share: Annotated[
        float, typer.Option(help="Temporal: share of the courses, the latest, that test.", min=0.01, max=0.99)
    ] = 0.25,
    test_from: Annotated[str, typer.Option(help="Temporal: courses of this day or later test instead.")] = "",
    repeats: Annotated[int | None, typer.Option(help="Repeats of the cross-validation; 5 by default.", min=1)] = None,
    settings: Settings = None,
    out: Annotated[Path | None, typer.Option(help="Write the results as JSON, too.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page (.html), its JSON and tripod.json there.")] = None,
    derive_grades: Derive = False,
) -> None:
    """Judge a model, or the recipe, on a cohort. Example: crs evaluate cohorts/mine --design temporal"""
    from training import config, evaluation_flow
    from training.designs import Split

    chosen, asked = config.read(settings), evaluation_flow.design_named(design, cross_validate)
    split = Split(repeats or chosen.repeats, test_share, evaluation_flow.cut_at(test_from))
    check_out(out)
    check_out(report, "--report")
    request = evaluation_flow.Request(cohort, asked, split, version, out, report, derive_grades)
    evaluation_flow.evaluate(home(), request, chosen, tracking_uri())


@APP.command()
def promote(version: Annotated[str, typer.Option(help="A version number, or challenger.")] = "challenger") -> None:
    """Serve a registered version from now on. Example: crs promote --version 2"""
    from training import flows

    flows.promote(home(), version, tracking_uri())


@APP.command()
def rollback() -> None:
    """Serve the bundle again that was live before the last promotion. Example: crs rollback"""
    from training import flows

    flows.rollback(home(), tracking_uri())
