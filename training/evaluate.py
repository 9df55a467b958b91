"""How well predictions did, per outcome and index time, beside what any model has to beat."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.tables import Cohort
from features import bundle
from features.catalogue import Catalogue
from features.evidence import TherapyEvidence
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor, coherent, log_odds_of, parts_of
from features.prior import sigmoid
from features.spec import Spec
from training import baselines
from training.assemble import build_table
from training.cluster import side_by_side
from training.config import Settings
from training.fit import Plan, all_cells
from training.level import spreads
from training.metrics import METRICS, NEAR, Estimate, Metric, drawn_once, estimate
from training.table import Table

Array = NDArray[np.float64]

#: Fewer patients with, or without, the outcome than this, and a group gets counts but no metrics.
FEWEST = 5
#: Groups of more rows than the first are resampled a quarter as often, of more than the second a sixteenth: their
#: intervals are narrow anyway.
LARGE, VERY_LARGE = 5000, 100_000
#: Baselines are compared by these alone.
COMPARED = ("auroc", "log_loss", "brier")
ALL_TIMES = "all"
#: Treatment changes what would have come, so that treated courses are judged apart, too.
TREATED, UNTREATED = "all, treated before", "all, not treated before"


@dataclass(frozen=True, slots=True)
class Result:
    """One predictor on one outcome at one index time, or at all of them ("all" and its two parts by treatment)."""

    outcome: str
    index_time: str
    predictor: str
    rows: int
    events: int
    metrics: Mapping[str, Estimate]


def judge(table: Table, outcome: int, scores: Mapping[str, Array], settings: Settings) -> list[Result]:
    """Metrics of each predictor on one outcome; scores: predictor -> (repeats, N) log-odds, NaN where absent."""
    known = NEAR if all_cells(table).large else METRICS
    shared = (outcome, table.label[:, outcome], table.patient, scores, settings, known)
    found = side_by_side(_judge_group, shared, _groups(table, table.usable(outcome)), settings.workers)
    return [one for group in found for one in group]


def _groups(table: Table, usable: NDArray[np.bool_]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Each index time, all of them, and all apart by whether the course was treated before the index time."""
    groups = [(name, usable & (table.index_name == name)) for name in sorted(set(table.index_name[usable].tolist()))]
    groups.append((ALL_TIMES, usable))
    if (usable & table.treated).any():
        groups += [(TREATED, usable & table.treated), (UNTREATED, usable & ~table.treated)]
    return groups


def _judge_group(
    outcome: int,
    labels: Array,
    patient: NDArray[np.int64],
    scores: Mapping[str, Array],
    settings: Settings,
    known: Mapping[str, Metric],
    asked: tuple[str, NDArray[np.bool_]],
) -> list[Result]:
    """Every predictor in one group. labels, patient: (N,). asked: name of the group, its rows (N,)."""
    (name, group), draw = asked, drawn_once()
    found = []
    for predictor, score in scores.items():
        rows = group & ~np.isnan(score).any(axis=0)
        label, names = labels[rows], _metrics_of(predictor)
        events = int(label.sum())
        metrics: dict[str, Estimate] = {}
        if of_rarer_kind(label, patient[rows]) >= FEWEST:
            draws = settings.bootstrap // fewer(len(label))
            metrics = estimate(label, score[:, rows], patient[rows], draws, settings.seed, names, known, draw)
        found.append(Result(OUTCOME_KEYS[outcome], name, predictor, len(label), events, metrics))
    return found


def of_rarer_kind(label: Array, patient: NDArray[np.int64]) -> int:
    """Patients with the outcome or patients without it, whichever are fewer; label, patient: (n,) rows."""
    return min(len(np.unique(patient[label == kind])) for kind in (0, 1))


def fewer(rows: int) -> int:
    """By how much fewer resamples a group of so many rows gets."""
    if rows > VERY_LARGE:
        return 16
    return 4 if rows > LARGE else 1


def _metrics_of(predictor: str) -> Iterable[str]:
    if predictor in baselines.SCORES:
        return ("auroc",)
    return METRICS if predictor == "model" else COMPARED


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is made: everything but the data."""

    spec: Spec
    evidence: Mapping[str, TherapyEvidence]
    catalogue: Catalogue
    settings: Settings

    def plan(self, table: Table, outcome: int, seed: int) -> Plan:
        keys = sorted(set(table.therapy.tolist()))
        width = spreads(keys, self.evidence, outcome)
        return Plan(outcome, self.spec, width, self.settings, seed)


def judge_bundle(
    folder: Path, cohort: Cohort, catalogue: Catalogue, settings: Settings, truth: Path | None = None
) -> list[Result]:
    """A bundle on a cohort; beside it the published rate and scores and, for a synthetic cohort, the true risk."""
    predictor = Predictor(bundle.read(folder), catalogue)
    table, scores = bundle_scores(predictor, cohort, settings, truth)
    return [result for place, one in scores.items() for result in judge(table, place, one, settings)]


def bundle_scores(
    predictor: Predictor, cohort: Cohort, settings: Settings, truth: Path | None = None
) -> tuple[Table, dict[int, dict[str, Array]]]:
    """The cohort's rows, and outcome -> predictor -> (1, N) log-odds, for each outcome that has a label."""
    table, _ = build_table(cohort, predictor.bundle.spec, predictor.prior, predictor.catalogue, settings.workers)
    known = true_risk(table, cohort, truth) if truth else {}
    beside, served = published(table, predictor.bundle.spec), _as_served(predictor, table)
    scores: dict[int, dict[str, Array]] = {}
    for place, key in enumerate(OUTCOME_KEYS):
        if table.usable(place).any():
            own = {"model": served[:, place][None], "published_rate": table.prior[:, place][None]}
            risk = {"true_risk": known[key][None]} if known else {}
            scores[place] = {**own, **beside, **risk}
    return table, scores


def _as_served(predictor: Predictor, table: Table) -> Array:
    """(N, outcomes) log-odds of the probabilities as they are answered: coherent across grades."""
    return as_served(table, predictor.log_odds(table.values, parts_of(table)))


def as_served(table: Table, log_odds: Array) -> Array:
    """(N, outcomes) log-odds of the probabilities that come of these once they are coherent across grades."""
    return log_odds_of(coherent(np.where(table.reached, 1.0, sigmoid(log_odds))))


def true_risk(table: Table, cohort: Cohort, truth: Path) -> dict[str, Array]:
    """Outcome -> (N,) log-odds of the true risk of a synthetic cohort, NaN where the outcome is not at risk."""
    read = pd.read_parquet if truth.suffix == ".parquet" else pd.read_csv
    known = read(truth).set_index(["outcome", "course_id", "index"])["risk"]
    ids = np.asarray(cohort.course_ids, dtype=object)[table.course]
    found = {}
    for key in OUTCOME_KEYS:
        rows = pd.MultiIndex.from_arrays([np.full(len(table), key), ids, table.index_name])
        found[key] = log_odds_of(known.reindex(rows).to_numpy(dtype=np.float64))
    return found


def published(table: Table, spec: Spec) -> dict[str, Array]:
    """The published scores whose inputs the table has, (1, N) each, NaN where one is missing."""
    held = {name: baselines.published_score(table, spec, name) for name in baselines.SCORES}
    return {name: score[None] for name, score in held.items() if score is not None and not np.isnan(score).all()}


def to_json(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Results as JSON: an undefined bound is null."""
    body = json.loads(json.dumps([asdict(one) for one in results]), parse_constant=lambda _: None)
    return list(body)


def flat(results: Iterable[Result]) -> dict[str, float]:
    """Metric name -> value, for a tracker: "crs_2plus.24h.model.auroc"; undefined ones are left out."""
    return {
        f"{one.outcome}.{one.index_time}.{one.predictor}.{name}".replace("+", "-plus-").replace(", ", " "): found.value
        for one in results
        for name, found in one.metrics.items()
        if math.isfinite(found.value)
    }
