"""`crs evaluate`: a design on a cohort, in every group, to the console, MLflow, a page and its JSON."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from data.tables import Cohort, read_cohort
from features import bundle
from features.catalogue import load
from features.errors import UsageError
from features.home import Home
from features.predict import Predictor
from training import diagnose as checks
from training.breadth import Cell, Sample, judge_groups
from training.config import Settings
from training.cross_validation import judge_outcomes
from training.designs import Design, Predicted, Split, put_to_test
from training.diagnose import Override
from training.effects import mean_effects
from training.evaluate import Result, bundle_scores, flat, judge
from training.evaluation_policy import EvaluationPolicy, evaluation_policy
from training.flows import check_data, console, show_shortly
from training.overlap import caution, folders_of, trained_here
from training.participants import demographics
from training.report import page
from training.report_document import Judged, document, exported
from training.reporting_facts import learnt_text, of_evaluation
from training.shift import Shift, shifts
from training.subgroups import axes
from training.suppress import rounded
from training.train import is_synthetic, recipe_facts
from training.tripod import reporting


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of `crs evaluate`. version: of the external design. out: results as JSON. report: the page.

    overrides: data checks that somebody answers for; the designs that make models of the cohort look at the data first.
    """

    folder: Path
    design: Design
    split: Split
    version: str = "champion"
    out: Path | None = None
    report: Path | None = None
    derive_grades: bool = False
    overrides: tuple[Override, ...] = ()


def design_named(text: str, cross_validate: bool) -> Design:
    """UsageError for an unknown design, or one that `--cross-validate` contradicts."""
    if cross_validate and text not in ("", Design.INTERNAL):
        raise UsageError("--cross-validate", "it is the internal design", "leave out one of the two")
    try:
        return Design.INTERNAL if cross_validate else Design(text or Design.EXTERNAL)
    except ValueError as error:
        raise UsageError("--design", "not a design", f"use one of {', '.join(Design)}") from error


def cut_at(day: str) -> float | None:
    """Seconds since 1970 of the begin of a day (UTC) such as 2024-01-31; None for "". UsageError for another form."""
    try:
        return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() if day else None
    except ValueError as error:
        raise UsageError("--test-from", "not a day", "write it as 2024-01-31") from error


def evaluate(home: Home, request: Request, settings: Settings, uri: str | None) -> list[Result]:
    """Judge by one design; says so where a version is judged on a cohort that it learnt from, or may have learnt from.

    UsageError, before anything is read, where the files that are asked for cannot be written as asked.
    """
    files, cohort = files_of(request), _cohort(request)
    external = request.design is Design.EXTERNAL
    found = _version(home, request, cohort, settings, uri) if external else _recipe(request, cohort, settings)
    show_shortly(found.results)
    console.print("at the other index times: in MLflow, and in the files of --report and --out")
    judged = _judged(found, request, cohort, settings)
    body = document(judged, settings.to_json(), evaluation_policy(), f"{datetime.now(UTC):%Y-%m-%d}")
    body["trained_here"] = external and trained_here(found.about, cohort)
    body["reporting"] = reporting(of_evaluation(body, found.card, found.about, found.tested.spec))
    documents = _documents(body, exported(found.results, judged.cells))
    _write(files, documents)
    facts = {"data_fingerprint": cohort.fingerprint, "design": str(request.design)}
    facts |= {key: str(value) for key, value in settings.to_json().items()}
    facts |= {f"override.{one.code}": one.reason for one in request.overrides}
    from training import tracking

    data = {"name": request.folder.resolve().name, "fingerprint": cohort.fingerprint, "folder": str(request.folder)}
    run = tracking.log_run(home, found.run, facts, flat(found.results), documents, uri, data)
    console.print(f"recorded in MLflow as run {run}")
    return list(found.results)


def _cohort(request: Request) -> Cohort:
    """The cohort; where models are made of it, one that the data checks do not refuse, or that somebody answers for."""
    if request.design is Design.EXTERNAL:
        return read_cohort(request.folder, derive_grades=request.derive_grades)
    cohort, frames = checks.read(request.folder, request.derive_grades)
    check_data(cohort, frames, request.folder, request.overrides)
    return cohort


@dataclass(frozen=True, slots=True)
class Found:
    """What a design found. model: texts that name what was judged; card, about: as in a bundle. run: its name."""

    tested: Predicted
    results: Sequence[Result]
    model: Mapping[str, str]
    card: Mapping[str, Any]
    about: Mapping[str, Any]
    run: str
    effects: Mapping[str, Sequence[tuple[str, float]]]
    caution: str = ""

    @property
    def trained_on(self) -> Mapping[str, Any]:
        held: Mapping[str, Any] = self.about["trained_on"]
        return held


def _recipe(request: Request, cohort: Cohort, settings: Settings) -> Found:
    """The designs that make their models of the cohort itself."""
    name = request.folder.resolve().name
    tested, recipe = put_to_test(request.design, cohort, load(), settings, request.split, console.print)
    results = judge_outcomes(tested.table, recipe, tested.scores)
    card, about = recipe_facts(cohort, name, settings, request.overrides)
    model = {"name": "Recipe of CRS Risk", "code commit": str(about["code_commit"])}
    verb = "cross-validate" if request.design is Design.INTERNAL else f"evaluate {request.design}"
    return Found(tested, results, model, card, about, f"{verb} {name}", {})


def _version(home: Home, request: Request, cohort: Cohort, settings: Settings, uri: str | None) -> Found:
    """A registered version on the cohort."""
    from training import tracking

    with tempfile.TemporaryDirectory() as scratch:
        held = Path(scratch) / "bundle"
        registered = tracking.fetch(home, request.version, held, uri)
        predictor = Predictor(bundle.read(held), load())
    about, card = predictor.bundle.about, predictor.bundle.card
    folders = folders_of(home, about, registered.run_id, uri)
    doubt = caution(about, cohort, [request.folder.resolve().name], folders)
    if doubt:
        console.print(f"CAUTION: {doubt}")
    table, scores = bundle_scores(predictor, cohort, settings, truth_of(request.folder))
    results = [result for place, one in scores.items() for result in judge(table, place, one, settings)]
    model = {
        "name": f"Version {registered.version} ({about['name']})",
        "SHA-256 of the bundle": registered.digest,
        "trained on": learnt_text(about),
        "code commit": str(about["code_commit"]),
        "intended use": str(card["intended_use"]),
    }
    run = f"evaluate version {registered.version} on {request.folder.resolve().name}"
    rows = evaluation_policy().effect_rows
    effects = mean_effects(predictor, cohort, rows, settings.seed, settings.workers)
    tested = Predicted(Design.EXTERNAL, table, predictor.bundle.spec, scores)
    return Found(tested, results, model, card, about, run, effects, doubt)


def _judged(found: Found, request: Request, cohort: Cohort, settings: Settings) -> Judged:
    """What was found, in every group."""
    policy, tested = evaluation_policy(), found.tested
    groups = axes(tested.table, cohort, load(), policy.age_bands)
    every = [Sample.of(tested.table, place, one["model"], groups) for place, one in tested.scores.items()]
    samples = [one for one in every if len(one)]
    return Judged(
        design=request.design,
        design_text=design_text(tested, request.split, found, policy.smallest_count),
        model=found.model,
        cohort=cohort,
        cohort_name=request.folder.resolve().name,
        synthetic=is_synthetic(cohort) or bool(found.trained_on["synthetic"]),
        samples=samples,
        cells=[cell for one in samples for cell in _in_groups(one, settings, policy)],
        results=found.results,
        effects=found.effects,
        shifts=_shifts(tested, policy.smallest_count),
        demographics=demographics(groups, tested.table.patient, policy.smallest_count),
        caution=found.caution,
    )


def _in_groups(sample: Sample, settings: Settings, policy: EvaluationPolicy) -> list[Cell]:
    console.print(f"{sample.outcome}: judging {len(sample)} rows in their groups")
    return judge_groups(sample, settings, policy)


def design_text(tested: Predicted, split: Split, found: Found, smallest: int) -> str:
    """What was done, in words; numbers of courses rounded to multiples of `smallest`."""
    fits = "; ".join(f"{rounded(a, smallest)} trained, {rounded(b, smallest)} tested" for a, b in tested.courses)
    folds, source = found.about["settings"].get("folds", "?"), found.model.get("trained on", "")
    return {
        Design.INTERNAL: f"Internal validation: {folds} folds by patient, {split.repeats} times; every choice was made "
        "again inside each fold. Curves show the first repeat.",
        Design.TEMPORAL: f"Temporal validation: earlier courses trained, later ones tested ({fits}; rounded). No "
        "patient is on both sides.",
        Design.LEAVE_SITE_OUT: f"Each site in turn tested a model that had not seen it ({fits}; rounded). No patient "
        "is on both sides.",
        Design.EXTERNAL: f"A registered version, trained on {source}, was judged on this cohort as it is served.",
    }[tested.design]


def _shifts(tested: Predicted, smallest: int) -> list[Shift]:
    """How the tested rows differ from those that trained; [] where no one set of rows trained."""
    if tested.design in (Design.INTERNAL, Design.LEAVE_SITE_OUT):
        return []
    predicted = [~np.isnan(one["model"]).any(axis=0) for one in tested.scores.values()]
    if not predicted:
        return []
    return shifts(tested.spec, tested.table.values[np.logical_or.reduce(predicted)], smallest)


def truth_of(folder: Path) -> Path | None:
    """The side table of true risks of a synthetic cohort, if there is one."""
    found = [path for path in (folder / "truth.parquet", folder / "truth.csv") if path.exists()]
    return found[0] if found else None


#: What is kept of an evaluation: the results alone, the page, what it is drawn from, and the reporting items.
RESULTS, PAGE, DOCUMENT, ITEMS = "results.json", "report.html", "report.json", "tripod.json"


def _documents(body: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    kept = {RESULTS: list(results), DOCUMENT: body, ITEMS: body["reporting"]}
    texts = {name: json.dumps(one, indent=1, allow_nan=False) + "\n" for name, one in kept.items()}
    return {**texts, PAGE: page(body)}


def files_of(request: Request) -> dict[Path, str]:
    """Where each document goes: the results to `--out`; the page to `--report`, its JSON and tripod.json beside it.

    UsageError where the page is not named .html, or two documents would go into one file.
    """
    out, report = request.out, request.report
    if report is not None and report.suffix.lower() != ".html":
        raise UsageError("--report", "the page's name does not end in .html", "write --report FILE.html")
    places = [(out, RESULTS)] if out is not None else []
    if report is not None:
        places += [(report, PAGE), (report.with_suffix(".json"), DOCUMENT), (report.with_name(ITEMS), ITEMS)]
    if len({path.resolve() for path, _ in places}) < len(places):
        raise UsageError(
            "--out, --report",
            f"two documents would go into one file: a report writes FILE.html, FILE.json and {ITEMS}",
            "choose another name",
        )
    return dict(places)


def _write(files: Mapping[Path, str], documents: Mapping[str, str]) -> None:
    for path, name in files.items():
        path.write_text(documents[name], encoding="utf-8")
        console.print(str(path))
