"""The verbs of a model: check the data, train, tune, judge."""

from pathlib import Path
from typing import Annotated

import typer

from commands.options import Cluster, Derive, Folder, Overrides, Reasons, Settings, check_out, group, home, tracking_uri

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
    stream: Annotated[
        bool | None, typer.Option(help="Build rows in a file; by itself for very large Parquet cohorts.")
    ] = None,
    cluster: Cluster = "",
) -> None:
    """Check the data, train, judge and register a model. Example: crs train cohorts/mine"""
    from data.parts import is_large
    from features.errors import UsageError
    from training import config, diagnose, flows, stream_flow
    from training.cluster import on_cluster

    answered_for = diagnose.overrides(override or (), reason or ())
    if prior_only and answered_for:
        raise UsageError("--override", "published rates alone have no data to check", "leave it out")
    if prior_only:
        flows.train_prior_only(home(), config.read(settings), tracking_uri())
    elif cohort is None:
        raise UsageError("COHORT", "no cohort given", "name a cohort's folder, or use --prior-only")
    else:
        called, chosen = name or cohort.resolve().name, config.read(settings)
        with on_cluster(cluster):
            if stream or (stream is None and not derive_grades and is_large(cohort)):
                stream_flow.check_grades(derive_grades)
                stream_flow.train(home(), cohort, called, chosen, tracking_uri(), answered_for)
            else:
                flows.train(home(), cohort, called, chosen, tracking_uri(), derive_grades, answered_for)


@APP.command()
def recalibrate(
    cohort: Folder,
    version: Annotated[str, typer.Option(help="The registered version or alias to recalibrate.")] = "champion",
    method: Annotated[str, typer.Option(help="in-the-large, slope or per-therapy.")] = "in-the-large",
    name: Annotated[str, typer.Option(help="What to call the data; the folder's name by default.")] = "",
    settings: Settings = None,
    derive_grades: Derive = False,
    override: Annotated[list[str] | None, typer.Option(help="Go on although this data check refuses.")] = None,
    reason: Annotated[list[str] | None, typer.Option(help="Why; one per --override. It is recorded.")] = None,
) -> None:
    """Bring a version's risks to your own courses without training. Example: crs recalibrate cohorts/mine"""
    from training import config, diagnose, recalibration_flow
    from training.recalibration_fit import method_named

    asked = recalibration_flow.Request(
        folder=cohort,
        version=version,
        method=method_named(method),
        name=name or cohort.resolve().name,
        settings=config.read(settings) if settings else None,
        derive_grades=derive_grades,
        overrides=diagnose.overrides(override or (), reason or ()),
    )
    recalibration_flow.recalibrate(home(), asked, tracking_uri())


@APP.command()
def tune(
    cohort: Folder,
    settings: Settings = None,
    out: Annotated[Path, typer.Option(help="Where the best settings are written.")] = Path("settings.toml"),
    trials: Annotated[int, typer.Option(help="Settings to try in all, the given ones first.", min=1, max=1000)] = 30,
    timeout: Annotated[float | None, typer.Option(help="Stop after so many minutes; ask again to go on.")] = None,
    derive_grades: Derive = False,
    override: Overrides = None,
    reason: Reasons = None,
    cluster: Cluster = "",
) -> None:
    """Search settings by cross-validation, going on where a search stopped. Example: crs tune cohorts/mine"""
    from features.errors import UsageError
    from training import config, diagnose

    check_out(out)
    if timeout is not None and not timeout > 0:
        raise UsageError("--timeout", "no time at all", "give minutes above 0")
    answered_for, chosen = diagnose.overrides(override or (), reason or ()), config.read(settings)
    from training import tune as tuning
    from training.cluster import on_cluster

    request = tuning.Request(cohort, out, trials, timeout, derive_grades, answered_for)
    with on_cluster(cluster):
        tuning.tune(home(), request, chosen, tracking_uri())


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
    override: Overrides = None,
    reason: Reasons = None,
    cluster: Cluster = "",
) -> None:
    """Judge a model, or the recipe, on a cohort. Example: crs evaluate cohorts/mine --design temporal"""
    from features.errors import UsageError
    from training import config, diagnose, evaluation_flow
    from training.cluster import on_cluster
    from training.designs import Design, Split

    chosen, asked = config.read(settings), evaluation_flow.design_named(design, cross_validate)
    answered_for = diagnose.overrides(override or (), reason or ())
    if answered_for and asked is Design.EXTERNAL:
        raise UsageError("--override", "a registered version is judged without data checks", "leave it out")
    split = Split(repeats or chosen.repeats, test_share, evaluation_flow.cut_at(test_from))
    check_out(out)
    check_out(report, "--report")
    request = evaluation_flow.Request(cohort, asked, split, version, out, report, derive_grades, answered_for)
    with on_cluster(cluster):
        evaluation_flow.evaluate(home(), request, chosen, tracking_uri())


@APP.command()
def score(
    cohort: Folder,
    out: Annotated[Path, typer.Option(help="Parquet file to write; it appears whole or not at all.")],
    version: Annotated[str, typer.Option(help="A registered version or alias.")] = "",
    live: Annotated[
        bool, typer.Option("--live", help="The version that is promoted; the same as naming none.")
    ] = False,
    index_hours: Annotated[
        str, typer.Option(help="Hours since the start, such as 0,24,48; the index times of training by default.")
    ] = "",
    chunk: Annotated[int, typer.Option(help="Courses that are read and scored at a time.", min=1)] = 5000,
    workers: Annotated[int, typer.Option(help="Chunks side by side, in threads or local processes.", min=1)] = 1,
    cluster: Cluster = "",
) -> None:
    """Score every course of a cohort as the service would. Example: crs score cohorts/mine --out scores.parquet"""
    from features.errors import UsageError
    from training import score as scoring
    from training.cluster import on_cluster

    if live and version:
        raise UsageError("--live", "a version is named, too", "leave out one of the two")
    check_out(out)
    request = scoring.Request(cohort, out, version, scoring.parse_hours(index_hours), chunk, workers)
    with on_cluster(cluster):
        rows = scoring.score(home(), request, tracking_uri())
    print(f"{out}: {rows} rows, one per course and index time")
