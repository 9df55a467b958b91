"""The verbs that both `crs` and MLproject call: read, do, report. Each prints what it did and where it left it."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from data import synthetic
from data.attrition import attrition
from data.cohort import layers
from data.files import Format
from data.labels import label_layers, mixed_grading
from data.locked import TrainingPart, read_training_part
from data.mapping import convert_extract, read_mapping
from data.rates import observed_rates
from data.request import request_body
from data.tables import Cohort, Frames, cohort_from_frames, read_cohort, write_cohort
from features.catalogue import load
from features.errors import UsageError
from features.home import Home
from training import attrition_text, diagnose_report
from training import diagnose as checks
from training.config import Settings
from training.diagnose import Override
from training.evaluate import Result
from training.train import Trained, prior_only
from training.train import train as train_cohort

#: Characters to a line where the output is no terminal, so that no column is cut.
WIDE = 180
#: Index times that the console shows; those of single infusions, of the first dose, and all together.
SHOWN = ("0h", "dose1+0h", "all")
console = Console(soft_wrap=True, highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDE)


def demo_settings() -> Settings:
    """Settings of the demo: fewer resamples, so that it answers within minutes."""
    return Settings(bootstrap=40, rounds=200, learning_rate=0.08)


def synthesise(out: Path, courses: int, seed: int, format: str) -> None:
    """Write a synthetic cohort and, beside it, its true risks."""
    cohort = synthetic.generate(courses, seed)
    synthetic.write(out, cohort, _format(format))
    console.print(f"{out}: {courses} SYNTHETIC courses, {len(cohort.observations)} observations, true risks in truth.*")


def check(folder: Path, derive_grades: bool = False) -> None:
    """Read a cohort and print its attrition and, last, what was rejected; derive_grades as data.tables.read_cohort."""
    cohort = read_cohort(folder, derive_grades=derive_grades)
    asked = layers(cohort)
    steps = attrition(cohort, asked, label_layers(cohort, asked))
    console.print(*attrition_text.of_cohort(steps), sep="\n")
    console.print(attrition_text.of_questions(steps))
    _show_rates(cohort)
    for event, systems in mixed_grading(cohort).items():
        console.print(f"{event}: graded by several systems ({', '.join(systems)}); they do not compare")
    console.print(cohort.report.text())
    console.print(f"{len(cohort)} courses; fingerprint {cohort.fingerprint}")


def _show_rates(cohort: Cohort) -> None:
    """Peak grades and onset per therapy, as charted."""
    grid = empty_table("event", "therapy", "courses", ">= 1", ">= 2", ">= 3", "median onset, h")
    for one in observed_rates(cohort):
        cells = [str(one.reached[grade]) for grade in (1, 2, 3)]
        grid.add_row(one.event, one.therapy, str(one.courses), *cells, f"{one.onset_hours:.0f}")
    console.print(grid)


def request(folder: Path, course_id: str, hours: float) -> None:
    """Print one course of a cohort as the body of POST /predict, as it was known at that many hours."""
    console.print_json(json.dumps(request_body(read_cohort(folder), course_id, hours)))


def convert(mapping_file: Path, out: Path, data: Path | None, format: str) -> None:
    """Turn a site's extract into a cohort, checked before a byte is written."""
    mapping = read_mapping(mapping_file)
    extract = _extract(data, mapping_file)
    tables = convert_extract(extract, mapping)
    cohort = cohort_from_frames(tables.courses, tables.observations, tables.events)
    write_cohort(out, tables.courses, tables.observations, tables.events, _format(format))
    console.print((tables.report + cohort.report).text())
    console.print(f"{out}: {len(cohort)} courses; fingerprint {cohort.fingerprint}")


def _extract(data: Path | None, mapping_file: Path) -> Path:
    """The extract: `data` itself, or the one table in it."""
    if data is None:
        raise UsageError(
            "--data", "no extract given", f"name the file, or its folder, that {mapping_file.name} describes"
        )
    if not data.is_dir():
        return data
    found = sorted(path for path in data.iterdir() if path.suffix in (".xlsx", ".csv", ".parquet"))
    if len(found) != 1:
        raise UsageError("--data", f"{len(found)} tables in the folder", "name the file itself")
    return found[0]


def diagnose(
    folder: Path | None, mapping: Path | None, data: Path | None, as_json: bool, out: Path | None, derive_grades: bool
) -> None:
    """Print what the data checks find; errors as training.diagnose_report.run."""
    extract = _extract(data, mapping) if mapping is not None else None
    diagnose_report.run(console, folder, mapping, extract, as_json, out, derive_grades)


def train(
    home: Home,
    folder: Path,
    name: str,
    settings: Settings,
    uri: str | None,
    derive_grades: bool = False,
    overrides: Sequence[Override] = (),
    step: bool = True,
) -> str:
    """Check the data, train on them, record it in MLflow as the challenger; returns the registered version.

    step: say which command comes next. DataError where a data check refuses the cohort and no override answers for it.
    """
    part = learnt_from(folder, settings.test_share, derive_grades, overrides)
    trained = train_cohort(part.cohort, name, settings, load(), console.print, overrides, part.source_fingerprint)
    return record(home, trained, folder, uri, step)


def learnt_from(
    folder: Path, share: float, derive_grades: bool = False, overrides: Sequence[Override] = ()
) -> TrainingPart:
    """The courses of a cohort that may be learnt from, checked; says what was rejected and how many are locked.

    DataError where a data check refuses them, or where the whole cohort has a patient or a course twice, and no
    override answers for it.
    """
    part = read_training_part(folder, share, derive_grades, checks.across_the_lock(overrides))
    if part.source_report.findings:
        console.print(part.source_report.text())
    if share:
        console.print(
            f"locked test set: {part.locked_courses} courses are kept away (test_share {share:g}); "
            f"{len(part.cohort)} are left to learn from"
        )
    check_data(part.cohort, part.frames, folder, overrides)
    return part


def check_data(cohort: Cohort, frames: Frames, folder: Path, overrides: Sequence[Override]) -> None:
    """Say what the data checks find; DataError where one refuses the cohort and no override answers for it."""
    findings = checks.diagnose(cohort, frames, load())
    console.print(f"data checks: {diagnose_report.counted(findings)}; crs diagnose {folder} shows them")
    checks.check_findings(findings, overrides)


def train_prior_only(home: Home, settings: Settings, uri: str | None) -> str:
    """Register a bundle of published rates alone."""
    bundle = prior_only(load(), "prior-only", settings)
    return record(home, Trained(bundle, (), 0), Path("."), uri)


def record(home: Home, trained: Trained, source: Path, uri: str | None, step: bool = True) -> str:
    """Show how a new bundle did and register it as the challenger; returns its version."""
    from audit.ledger import open_ledger
    from audit.standing import standing
    from training import tracking
    from training.model_events import documents, register
    from training.versions import add_document

    show_shortly(trained.results)
    registered = tracking.log_training(home, trained, source, uri)
    with open_ledger(home) as ledger:
        register(ledger, registered.version, trained.bundle, first=standing(ledger) is None)
        papers = documents(ledger, registered.version, trained.bundle)
    for file, text in papers.items():
        add_document(home, registered, file, text, uri)
    console.print(f"registered as version {registered.version} (challenger), bundle {registered.digest[:16]}")
    if step:
        console.print(f"next: crs gate --version {registered.version}")
    console.print(f"MLflow UI: {mlflow_command(home, uri)}")
    return registered.version


def mlflow_command(home: Home, uri: str | None) -> str:
    """How to look at the runs, without MLflow's usage figures."""
    where = f"--backend-store-uri {uri or home.mlflow_uri} --host 127.0.0.1 --port 5000"
    return f"MLFLOW_DISABLE_TELEMETRY=true mlflow ui {where}"


def show_shortly(results: Iterable[Result]) -> None:
    """The results at the start and over all index times; nothing where nothing was fitted."""
    shown = [one for one in results if one.index_time.split(",")[0] in SHOWN]
    if shown:
        show(shown)


def show(results: Iterable[Result]) -> None:
    """The results as a table: rows, events, and each metric with its interval."""
    grid = empty_table("outcome", "index time", "predictor", "rows", "events", "AUROC", "log loss", "slope", "ICI")
    for one in results:
        cells = [_cell(one, name) for name in ("auroc", "log_loss", "calibration_slope", "ici")]
        grid.add_row(one.outcome, one.index_time, one.predictor, str(one.rows), str(one.events), *cells)
    console.print(grid)


def _cell(result: Result, name: str) -> str:
    if not result.metrics:
        return "too few"
    if name not in result.metrics:
        return ""
    found = result.metrics[name]
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def empty_table(*titles: str) -> Grid:
    """An empty table with these titles."""
    found = Grid(box=None, pad_edge=False)
    for title in titles:
        found.add_column(title, no_wrap=True)
    return found


def _format(format: str) -> Format:
    if format not in ("parquet", "csv"):
        raise UsageError("--format", "not a format of cohort tables", "use parquet or csv")
    return "parquet" if format == "parquet" else "csv"
