"""The verbs that both `crs` and MLproject call: read, do, report. Each prints what it did and where it left it."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table as Grid

from data import synthetic
from data.attrition import attrition
from data.cohort import layers
from data.files import Format
from data.labels import label_layers, mixed_grading
from data.mapping import convert_extract, read_mapping
from data.rates import observed_rates
from data.request import request_body
from data.tables import Cohort, cohort_from_frames, read_cohort, write_cohort
from features.catalogue import load
from features.errors import DataError, UsageError
from features.home import Home
from training import diagnose as checks
from training import diagnose_report
from training.config import Settings, from_mapping
from training.cross_validation import cross_validate_outcomes
from training.designs import recipe_for
from training.diagnose import Override
from training.evaluate import ALL_TIMES, Result
from training.train import Trained, prior_only
from training.train import train as train_cohort

#: Characters to a line where the output is no terminal, so that no column is cut.
WIDE = 180
console = Console(soft_wrap=True, highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDE)
#: What `crs tune` compares, as changes of the given settings: shallower, slower and deeper trees.
CANDIDATES: tuple[dict[str, Any], ...] = (
    {},
    {"max_depth": 2},
    {"max_depth": 2, "learning_rate": 0.015, "columns_per_tree": 0.2},
    {"max_depth": 4, "min_child_weight": 20.0},
)


def demo_settings() -> Settings:
    """Settings of the demo: fewer resamples, so that it answers within minutes."""
    return Settings(bootstrap=40, rounds=200, learning_rate=0.08)


def synthesise(out: Path, courses: int, seed: int, format: str) -> None:
    """Write a synthetic cohort and, beside it, its true risks."""
    cohort = synthetic.generate(courses, seed)
    synthetic.write(out, cohort, _format(format))
    console.print(f"{out}: {courses} SYNTHETIC courses, {len(cohort.observations)} observations, true risks in truth.*")


def check(folder: Path, derive_grades: bool = False) -> None:
    """Read a cohort and print its rejection report and its attrition; derive_grades as in data.tables.read_cohort."""
    cohort = read_cohort(folder, derive_grades=derive_grades)
    console.print(cohort.report.text())
    asked = layers(cohort)
    grid = _grid("step", "outcome", "index time", "courses")
    for row in attrition(cohort, asked, label_layers(cohort, asked)):
        grid.add_row(row.step, row.outcome, row.index_time, str(row.courses))
    console.print(grid)
    _show_rates(cohort)
    for event, systems in mixed_grading(cohort).items():
        console.print(f"{event}: graded by several systems ({', '.join(systems)}); they do not compare")
    console.print(f"{len(cohort)} courses; fingerprint {cohort.fingerprint}")


def _show_rates(cohort: Cohort) -> None:
    """Peak grades and onset per therapy, as charted."""
    grid = _grid("event", "therapy", "courses", ">= 1", ">= 2", ">= 3", "median onset, h")
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
) -> str:
    """Check the data, train on them, record it in MLflow as the challenger; returns the registered version.

    DataError where a data check refuses the cohort and no override answers for it.
    """
    cohort, frames = checks.read(folder, derive_grades)
    if cohort.report.findings:
        console.print(cohort.report.text())
    findings = checks.diagnose(cohort, frames, load())
    console.print(f"data checks: {diagnose_report.counted(findings)}; crs diagnose {folder} shows them")
    checks.check_findings(findings, overrides)
    trained = train_cohort(cohort, name, settings, load(), console.print, overrides)
    return _record(home, trained, folder, uri)


def train_prior_only(home: Home, settings: Settings, uri: str | None) -> str:
    """Register a bundle of published rates alone."""
    bundle = prior_only(load(), "prior-only", settings)
    return _record(home, Trained(bundle, (), 0), Path("."), uri)


def _record(home: Home, trained: Trained, source: Path, uri: str | None) -> str:
    from training import tracking

    show(result for result in trained.results if result.index_time in ("0h", "all"))
    registered = tracking.log_training(home, trained, source, uri)
    console.print(f"registered as version {registered.version} (challenger), bundle {registered.digest[:16]}")
    console.print(f"next: crs promote --version {registered.version}")
    console.print(f"MLflow UI: {mlflow_command(home, uri)}")
    return registered.version


def mlflow_command(home: Home, uri: str | None) -> str:
    """How to look at the runs."""
    return f"mlflow ui --backend-store-uri {uri or home.mlflow_uri} --host 127.0.0.1 --port 5000"


def promote(home: Home, which: str, uri: str | None) -> None:
    """Serve a registered version from now on."""
    from training import promote as promotion

    live = promotion.promote(home, which, uri, console.print)
    console.print(f"version {live.version} is live: {live.tag}, bundle {live.digest[:16]}")


def rollback(home: Home, uri: str | None) -> None:
    """Serve what was live before."""
    from training import promote as promotion

    live = promotion.rollback(home, uri)
    console.print(f"version {live.version} is live again: {live.tag}, bundle {live.digest[:16]}")


def _cross_validated(cohort: Cohort, settings: Settings) -> list[Result]:
    table, recipe, outcomes = recipe_for(cohort, load(), settings, console.print)
    return cross_validate_outcomes(table, recipe, outcomes)


def tune(home: Home, folder: Path, settings: Settings, out: Path, uri: str | None) -> Settings:
    """Compare a few settings by patient-grouped cross-validation and write the best as TOML."""
    from training import tracking

    cohort = read_cohort(folder)
    tried = [replace(settings, **change) for change in CANDIDATES]
    losses = []
    for number, candidate in enumerate(tried):
        results = _cross_validated(cohort, replace(candidate, repeats=1, bootstrap=0))
        loss = _mean_loss(results)
        losses.append(loss)
        facts = {key: str(value) for key, value in candidate.to_json().items()}
        tracking.log_run(home, f"tune {number}", facts, {"mean_log_loss": loss}, {}, uri)
        console.print(f"candidate {number + 1} of {len(tried)}: mean log loss {loss:.5f}")
    best = tried[int(np.argmin(losses))]
    out.write_text(_toml(best), encoding="utf-8")
    console.print(f"{out}: the best settings; use them with crs train {folder} --settings {out}")
    return best


def _mean_loss(results: Iterable[Result]) -> float:
    """Mean log loss of the model over the outcomes, all index times together."""
    judged = (one for one in results if one.predictor == "model" and one.index_time == ALL_TIMES)
    found = [one.metrics["log_loss"].value for one in judged if one.metrics]
    if not found:
        raise DataError("events", "no outcome has enough events to compare settings", "bring more courses")
    return float(np.mean(found))


def _toml(settings: Settings) -> str:
    body = settings.to_json()
    from_mapping(body, "settings")
    return "".join(f"{key} = {value}\n" for key, value in body.items())


def show(results: Iterable[Result]) -> None:
    """The results as a table: rows, events, and each metric with its interval."""
    grid = _grid("outcome", "index time", "predictor", "rows", "events", "AUROC", "log loss", "slope", "ICI")
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


def _grid(*titles: str) -> Grid:
    grid = Grid(box=None, pad_edge=False)
    for title in titles:
        grid.add_column(title, no_wrap=True)
    return grid


def _format(format: str) -> Format:
    if format not in ("parquet", "csv"):
        raise UsageError("--format", "not a format of cohort tables", "use parquet or csv")
    return "parquet" if format == "parquet" else "csv"
