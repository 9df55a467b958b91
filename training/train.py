"""From a cohort to a bundle: fit, calibrate, choose bands, judge, and put it all into one folder."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from data.tables import Cohort
from features import golden
from features.bundle import Bundle
from features.calibration import PRIOR_ALONE
from features.catalogue import Catalogue
from features.course import Event
from features.interval import IntervalTable
from features.outcomes import OUTCOME_KEYS, OUTCOMES
from features.policy import Policy, Thresholds
from features.pooling import pool
from features.predict import Predictor
from features.prior import Prior, sigmoid
from features.spec import Spec, full
from training import baselines, checkout
from training.assemble import assemble
from training.bands import thresholds
from training.bins import kept
from training.card_counts import TOO_FEW, exported, keys_seen, uncounted, with_outcome
from training.config import Settings
from training.diagnose import Override
from training.evaluate import Recipe, Result, judge, published
from training.fit import Fitted, fit_outcome, milder_signal
from training.memory import give_back
from training.reporting_facts import of_training
from training.table import Table, fold_of_rows, spread_out
from training.tripod import reporting
from training.venn_abers import interval_table

INTENDED_USE = (
    "Informs clinicians about the risk of CRS and ICANS of patients who are about to receive, or have just received, "
    "CAR-T or TCR-T cells or a T-cell engager. It does not replace clinical judgement and directs no treatment."
)
#: Rule of the cohort's report under which grades derived from vitals and treatments are counted.
DERIVED_GRADES = "grade-derived"
#: What is said of a grading system whose grades were derived so.
DERIVED_TEXT = "derived from charted signs"
#: Course ids of the synthetic cohort begin so; what is trained on them is called synthetic everywhere.
SYNTHETIC_PREFIX = "synthetic-"
#: Years of age, both inclusive, inside the intended use: children and adults alike.
AGES = (0.0, 110.0)
#: What the manifest says of no training data.
NO_DATA = {"name": "none", "courses": 0, "synthetic": False, "fingerprint": "", "source_fingerprint": "", "grading": {}}

Array = NDArray[np.float64]
Progress = Callable[[str], None]
#: As from training.assemble.assemble.
Made = tuple[Table, Spec, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Trained:
    """A bundle, and how its out-of-fold predictions did."""

    bundle: Bundle
    results: tuple[Result, ...]
    table_rows: int


def train(
    cohort: Cohort,
    name: str,
    settings: Settings,
    catalogue: Catalogue,
    progress: Progress = print,
    overrides: Sequence[Override] = (),
    source: str = "",
    made: Made | None = None,
) -> Trained:
    """Train every outcome that has enough events; the others are answered from their published rates.

    overrides: data checks that somebody answers for; they are recorded, not looked at. source: fingerprint of the whole
    cohort that this one is the training part of; by default it is whole itself. made: the table of the cohort, where it
    was built already.

    Linear algebra runs on one thread, so that the same data give the same bits whatever the number of cores.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        table = made or assemble(cohort, Prior(pool(catalogue)), catalogue, settings.workers)
        give_back()
        with kept(table[0].values):
            return _train(cohort, name, settings, catalogue, progress, overrides, source, table)


def _train(
    cohort: Cohort,
    name: str,
    settings: Settings,
    catalogue: Catalogue,
    progress: Progress,
    overrides: Sequence[Override],
    source: str,
    made: Made,
) -> Trained:
    evidence, (table, spec, unsound) = pool(catalogue), made
    progress(f"{len(cohort)} courses, {len(table)} rows of {len(spec.columns)} columns")
    recipe = Recipe(spec, evidence, catalogue, settings)
    models: dict[int, Fitted] = {}
    results: list[Result] = []
    left_out = {key: why_not(table, place, settings, unsound) for place, key in enumerate(OUTCOME_KEYS)}
    for place, key in enumerate(OUTCOME_KEYS):
        if left_out[key]:
            progress(f"{key}: {left_out[key]}; the published rate answers")
            continue
        models[place] = fit_outcome(table, recipe.plan(table, place, settings.seed), milder_signal(models, place))
        give_back()
        results += _judged(table, recipe, place, models[place])
        give_back()
        progress(f"{key}: {table.events(place)} courses with the outcome, {models[place].rounds} trees")
    fitted = {OUTCOME_KEYS[place]: one for place, one in models.items()}
    about = _about(name, settings, data_facts(cohort, name, source), results, overrides)
    card = _card(about, table, {key: why for key, why in left_out.items() if why}, spec)
    bundle = _bundle(table, recipe, fitted, about, card)
    return Trained(bundle, tuple(results), len(table))


def prior_only(catalogue: Catalogue, name: str, settings: Settings) -> Bundle:
    """A bundle without any training data: the published rates alone, and it says so."""
    evidence = pool(catalogue)
    about = _about(name, settings, NO_DATA, [])
    policy = Policy(INTENDED_USE, {}, (), (), *AGES)
    return with_golden(
        Bundle(full(catalogue), evidence, {}, {}, {}, policy, {}, _card(about, None, {}), about), catalogue
    )


def why_not(table: Table, outcome: int, settings: Settings, unsound: Collection[str]) -> str:
    """Why an outcome cannot be fitted or judged on a table, for the house alone; empty where it can.

    unsound: outcomes whose labels were taken out, because follow-up is too short or one class is empty.
    """
    if OUTCOME_KEYS[outcome] in unsound:
        return (
            "labels are one-sided (follow-up is shorter than the horizon for most courses, one class is empty, or the "
            "grade of too many courses is open)"
        )
    known = table.usable(outcome)
    without = len(np.unique(table.course[known & (table.label[:, outcome] == 0)]))
    if min(table.events(outcome), without) < settings.fewest_events:
        return f"{table.events(outcome)} courses with the outcome and {without} without, {TOO_FEW}"
    return ""


def _judged(table: Table, recipe: Recipe, outcome: int, fitted: Fitted) -> list[Result]:
    rows, settings = fitted.rows, recipe.settings
    label = table.label[rows, outcome].astype(np.int64)
    fold_of = fold_of_rows(table.patient[rows], label, settings.folds, settings.seed)
    scores = {
        "model": fitted.log_odds,
        **baselines.out_of_fold(table, rows, fold_of, outcome),
        "published_rate": table.prior[rows, outcome],
        **{name: score[0, rows] for name, score in published(table, recipe.spec).items()},
    }
    known = {name: score for name, score in scores.items() if not np.isnan(score).all()}
    return judge(
        table, outcome, {name: spread_out(one[None], rows, len(table)) for name, one in known.items()}, settings
    )


def data_facts(cohort: Cohort, name: str, source: str = "") -> dict[str, Any]:
    """What the manifest says of the training data. synthetic: whether any course was, so that the warning stays.

    source: fingerprint of the whole cohort, of which `cohort` is the part that trains.
    """
    return {
        "name": name,
        "courses": len(cohort),
        "synthetic": is_synthetic(cohort),
        "fingerprint": cohort.fingerprint,
        "source_fingerprint": source or cohort.fingerprint,
        "grading": {event.value: _grading(cohort, event) for event in (Event.CRS_GRADE, Event.ICANS_GRADE)},
    }


def is_synthetic(cohort: Cohort) -> bool:
    """Whether any course was made up."""
    return any(one.startswith(SYNTHETIC_PREFIX) for one in cohort.course_ids)


def _grading(cohort: Cohort, event: Event) -> str:
    """The grading system of an event's labels."""
    charted = cohort.events.loc[cohort.events["event"].eq(event.value), "grading"]
    systems = sorted({system or "not stated" for system in charted})
    stated = f"mixed: {', '.join(systems)}" if len(systems) > 1 else systems[0] if systems else "not stated"
    derived = event is Event.CRS_GRADE and cohort.report.count(DERIVED_GRADES) > 0
    return f"{stated}, {DERIVED_TEXT}" if derived else stated


def _bundle(
    table: Table,
    recipe: Recipe,
    fitted: Mapping[str, Fitted],
    about: Mapping[str, Any],
    card: Mapping[str, Any],
) -> Bundle:
    held = {key: _thresholds(table, key, one, recipe.settings) for key, one in fitted.items()}
    labelled = ~np.isnan(table.label).all(axis=1)
    learnt = sorted(set(table.therapy[labelled].tolist()) & set(recipe.evidence))
    indications = sorted(set(table.indication[labelled].tolist()) - {""})
    bundle = Bundle(
        spec=recipe.spec,
        evidence=recipe.evidence,
        boosters={key: one.booster for key, one in fitted.items() if one.booster is not None},
        calibration={key: fitted[key].calibration if key in fitted else PRIOR_ALONE for key in OUTCOME_KEYS},
        intervals={key: _interval(table, key, one, recipe.settings) for key, one in fitted.items()},
        policy=Policy(INTENDED_USE, held, tuple(learnt), tuple(indications), *AGES),
        golden={},
        card=card,
        about=about,
    )
    return with_golden(bundle, recipe.catalogue)


def _thresholds(table: Table, key: str, one: Fitted, settings: Settings) -> Thresholds:
    """The bands of one outcome, from its out-of-fold scores."""
    label = table.label[one.rows, OUTCOME_KEYS.index(key)]
    return thresholds(label, sigmoid(one.log_odds), table.course[one.rows], settings)


def _interval(table: Table, key: str, one: Fitted, settings: Settings) -> IntervalTable:
    """How sure the probabilities of one outcome are, from its out-of-fold scores."""
    label = table.label[one.rows, OUTCOME_KEYS.index(key)]
    return interval_table(one.log_odds, label, table.course[one.rows], settings.interval_resamples, settings.seed)


def with_golden(bundle: Bundle, catalogue: Catalogue) -> Bundle:
    """The bundle with the exact answers of its golden courses."""
    record = golden.record(Predictor(bundle, catalogue))
    parts = {name: getattr(bundle, name) for name in Bundle.__slots__}
    return Bundle(**{**parts, "golden": record})


def _about(
    name: str,
    settings: Settings,
    data: Mapping[str, Any],
    results: list[Result],
    overrides: Sequence[Override] = (),
) -> dict[str, Any]:
    """How the bundle came to be, for its manifest; no time of day, so that the same run gives the same digest."""
    return {
        "name": name,
        "trained_on": dict(data),
        "overrides": [one.to_json() for one in overrides],
        "settings": settings.recipe(),
        "metrics": exported(results),
        "code_commit": checkout.commit(),
        "lock_digest": checkout.lock_digest(),
        "libraries": {library: version(library) for library in ("numpy", "xgboost-cpu", "scikit-learn", "pandas")},
        "lineage": {"parent": None},
    }


def recipe_facts(
    cohort: Cohort, name: str, settings: Settings, overrides: Sequence[Override] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The card and the manifest's facts of a recipe that is judged on a cohort and leaves no bundle."""
    about = _about(name, settings, data_facts(cohort, name), [], overrides)
    return _card(about, None, {}), about


def _card(
    about: Mapping[str, Any], table: Table | None, left_out: Mapping[str, str], spec: Spec | None = None
) -> dict[str, Any]:
    """What a reader wants to know of a model; "reporting" holds the items of training.tripod."""
    data = about["trained_on"]
    events = {key: with_outcome(table, place) for place, key in enumerate(OUTCOME_KEYS)} if table else {}
    card: dict[str, Any] = {
        "name": about["name"],
        "intended_use": INTENDED_USE,
        "outcomes": {one.key: one.label for one in OUTCOMES},
        "trained_on": data,
        "data_checks_overridden": about["overrides"],
        "courses_with_outcome": {key: count for key, count in events.items() if key not in left_out},
        "outcomes_not_fitted": {key: uncounted(why) for key, why in left_out.items()},
        "warning": "trained on SYNTHETIC courses: not for clinical use" if data["synthetic"] else "",
        "external_validation": "unknown",
    }
    if table is not None:
        card |= {"therapies": keys_seen(table.therapy), "indications": keys_seen(table.indication)}
    return {**card, "reporting": reporting(of_training(card, about, spec))}


def metrics_json(trained: Trained) -> str:
    """The results as a JSON document, counts rounded as in the manifest."""
    return json.dumps(exported(trained.results), indent=1)
