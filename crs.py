"""The one command: parses arguments, nothing more. Each verb calls the room that does the work."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
cohort_app = typer.Typer(no_args_is_help=True, help="Make, check and convert cohorts.")
app.add_typer(cohort_app, name="cohort")

Folder = Annotated[Path, typer.Argument(help="A cohort: a folder with courses, observations and events.")]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)]
Settings = Annotated[Path | None, typer.Option(help="TOML file with training settings, see docs/training.md.")]
Format = Annotated[str, typer.Option(help="parquet or csv.")]
Derive = Annotated[
    bool, typer.Option("--derive-grades", help="Grade CRS from vitals and treatments if no grade was charted.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.", min=0)]


def main() -> None:
    """Run a verb; an error of ours becomes one line and its own exit code."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    from features.errors import CrsRiskError

    try:
        app()
    except CrsRiskError as error:
        print(f"crs: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        print(f"crs: {_named(error)}", file=sys.stderr)
        sys.exit(1)


def _named(error: OSError) -> str:
    """The kind of a system's error and the name of its file, if it has one; never the message, which may hold more."""
    name = error.filename if isinstance(error.filename, str) else ""
    return f"{Path(name).name}: {type(error).__name__}" if name else type(error).__name__


@app.command()
def demo(
    courses: Annotated[int, typer.Option(help="Synthetic courses to train on.", min=200)] = 2000,
    seed: Seed = 1,
    host: Host = "127.0.0.1",
    port: Port = 3000,
    once: Annotated[
        bool, typer.Option("--once", help="Ask one question over HTTP, print the answer and stop.")
    ] = False,
) -> None:
    """Synthetic cohort, training, MLflow, promotion, service: the whole of it. Example: crs demo --port 3000"""
    from data import synthetic
    from features.home import make_folder
    from serving import run
    from training import flows

    run.check_address(host, port)
    home = _home()
    # The name tells the tables apart, so that a later release does not train on an earlier one's cohort.
    cohort = make_folder(home.folder) / f"synthetic-{courses}-{seed}-{synthetic.version()}"
    if not cohort.exists():
        flows.synthesise(cohort, courses, seed, "parquet")
    version = flows.train(home, cohort, "synthetic-demo", flows.demo_settings(), _tracking_uri())
    flows.promote(home, version, _tracking_uri())
    _serve(home, host, port, workers=1, once=once)


@cohort_app.command("synth")
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


@cohort_app.command("check")
def cohort_check(cohort: Folder, derive_grades: Derive = False) -> None:
    """Read a cohort, report what was rejected and how many courses are left. Example: crs cohort check cohorts/mine"""
    from training import flows

    flows.check(cohort, derive_grades)


@cohort_app.command("convert")
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


@cohort_app.command("import")
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


@cohort_app.command("export")
def cohort_export(
    kind: Annotated[str, typer.Argument(help="omop or fhir.")],
    cohort: Folder,
    out: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
) -> None:
    """Write a cohort as OMOP CSV tables or FHIR NDJSON. Example: crs cohort export fhir cohorts/mine exports/mine"""
    from data import sources

    sources.run_export(kind, cohort, out)


@cohort_app.command("rates")
def cohort_rates(
    cohort: Folder,
    minimum: Annotated[
        int | None, typer.Option(help="Fewer courses than this show no rate; 10 by default.", min=1)
    ] = None,
) -> None:
    """Set a cohort's rates per product beside the published ones. Example: crs cohort rates cohorts/mine"""
    from data.product_rates import MINIMUM_COURSES, compare
    from data.product_rates_text import explained, table
    from data.tables import read_cohort
    from features.catalogue import load

    fewest = minimum or MINIMUM_COURSES
    print(table(compare(read_cohort(cohort), load()), fewest), explained(fewest), sep="\n\n")


@cohort_app.command("request")
def cohort_request(
    cohort: Folder,
    course_id: Annotated[str, typer.Argument(help="A course of that cohort.")],
    hours: Annotated[float, typer.Option(help="Hours since the start at which the question is asked.")] = 0.0,
) -> None:
    """Print a course as a question to POST /predict. Example: crs cohort request cohorts/mine c-17 --hours 24"""
    from training import flows

    flows.request(cohort, course_id, hours)


@app.command()
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
        _check_out(path)
    hazard_report.run(assay, therapy, therapy_class, name, reviewer, out, therapies_out, as_json)


@app.command()
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

    _check_out(out)
    flows.diagnose(cohort, mapping, data, as_json, out, derive_grades)


@app.command()
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
        flows.train_prior_only(_home(), config.read(settings), _tracking_uri())
    elif cohort is None:
        raise UsageError("COHORT", "no cohort given", "name a cohort's folder, or use --prior-only")
    else:
        called = name or cohort.resolve().name
        flows.train(_home(), cohort, called, config.read(settings), _tracking_uri(), derive_grades, answered_for)


@app.command()
def tune(
    cohort: Folder,
    settings: Settings = None,
    out: Annotated[Path, typer.Option(help="Where the best settings are written.")] = Path("settings.toml"),
) -> None:
    """Compare a few settings by patient-grouped cross-validation. Example: crs tune cohorts/mine --out settings.toml"""
    from training import config, flows

    _check_out(out)
    flows.tune(_home(), cohort, config.read(settings), out, _tracking_uri())


@app.command()
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
    _check_out(out)
    _check_out(report, "--report")
    request = evaluation_flow.Request(cohort, asked, split, version, out, report, derive_grades)
    evaluation_flow.evaluate(_home(), request, chosen, _tracking_uri())


@app.command()
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

    _check_out(out)
    grade_file(file, scheme or (), as_json, out, print, lambda line: print(line, file=sys.stderr))


@app.command()
def promote(version: Annotated[str, typer.Option(help="A version number, or challenger.")] = "challenger") -> None:
    """Serve a registered version from now on. Example: crs promote --version 2"""
    from training import flows

    flows.promote(_home(), version, _tracking_uri())


@app.command()
def rollback() -> None:
    """Serve the bundle again that was live before the last promotion. Example: crs rollback"""
    from training import flows

    flows.rollback(_home(), _tracking_uri())


@app.command()
def serve(
    host: Host = "127.0.0.1", port: Port = 3000, workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1
) -> None:
    """Serve the promoted bundle until stopped. Example: crs serve --port 3000 --workers 2"""
    _serve(_home(writes=False), host, port, workers)


def _serve(home: Any, host: str, port: int, workers: int, once: bool = False) -> None:
    from serving import announce, run

    run.serve(home, host, port, workers, on_ready=announce.once if once else announce.address)


def _home(writes: bool = True) -> Any:
    """The deployment's state; StoreError before any work where a verb that writes to it could not."""
    from features.home import Home, check_writable

    home = Home.from_environment(os.environ)
    if writes:
        check_writable(home)
    return home


def _check_out(out: Path | None, option: str = "--out") -> None:
    """UsageError before any work where the results could not be written in the end."""
    from features.errors import UsageError

    if out is None:
        return
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK | os.X_OK):
        raise UsageError(option, "its folder does not exist or cannot be written", "make the folder first")
    if out.is_dir():
        raise UsageError(option, "it is a folder", "name a file")


def _tracking_uri() -> str | None:
    return os.environ.get("CRS_RISK_MLFLOW_URI") or None


if __name__ == "__main__":
    main()
