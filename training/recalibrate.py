"""A version recalibrated on a centre's own courses: the same boosters, columns and evidence, another calibration.

What is learnt is one line per outcome, so that far fewer courses are enough than for training; see
docs/recalibration.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from data.tables import Cohort
from features.bundle import Bundle
from features.calibration import PRIOR_ALONE, Calibration
from features.catalogue import Catalogue
from features.errors import DataError, UsageError
from features.outcomes import OUTCOME_KEYS
from features.policy import Policy
from features.predict import Predictor, parts_of
from features.recalibration import UNCHANGED, Recalibration
from training.assemble import build_table
from training.config import Settings
from training.diagnose import Override
from training.evaluate import Result, as_served, judge
from training.level import spreads
from training.recalibration_facts import Record, about_of, card_of, seen
from training.recalibration_fit import Asked, Method, Scored, by_dosing, fit_line, moved, out_of_fold, policy
from training.recalibration_ranges import REMADE, Ranges, carried, remade
from training.table import Table, fold_of_rows
from training.train import Trained, data_facts, why_not, with_golden

Array = NDArray[np.float64]
#: How the parent's own results are named beside those of the "model".
BEFORE = "before"
#: Metrics that depend on the order of the scores alone.
_ORDER = frozenset({"auroc", "auprc"})


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. name: of the data. source: fingerprint of the whole cohort of which the training part came."""

    method: Method
    name: str
    settings: Settings
    source: str = ""
    overrides: Sequence[Override] = ()


@dataclass(frozen=True, slots=True)
class Local:
    """A version on a cohort's rows. log_odds: (N, outcomes). unsound: outcomes whose labels were taken out."""

    parent: Bundle
    table: Table
    log_odds: Array
    unsound: Sequence[str]

    def scored(self, place: int) -> Scored:
        """The rows of one outcome whose label is known."""
        rows, table = self.table.usable(place), self.table
        kept = (table.course[rows], table.dosing[rows], table.therapy[rows])
        return Scored(self.log_odds[rows, place], table.label[rows, place], *kept)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One outcome recalibrated. lines: by kind of DOSING.

    log_odds: (n,) of its usable rows, out of fold. ordered: (n,) those by which courses are put in order: of the line
    itself where it keeps the order, for folds that differ in their shifts would mix it up; else out of fold, too.
    """

    line: Recalibration
    lines: Mapping[str, Recalibration]
    log_odds: Array
    ordered: Array
    ranges: Ranges


def recalibrate(
    parent: Bundle, cohort: Cohort, request: Request, catalogue: Catalogue, progress: Callable[[str], None] = print
) -> Trained:
    """The parent with a line for each outcome that the cohort can judge; its results are before and after, out of fold.

    UsageError where the parent was trained or recalibrated on these very courses; DataError where no outcome can be
    judged. The same parent, cohort and request give the same bits.
    """
    if {cohort.fingerprint, request.source} & seen(parent.about):
        raise UsageError(
            "COHORT", "the version learnt from this very cohort", "recalibrate on courses that it has not seen"
        )
    with threadpool_limits(limits=1, user_api="blas"):
        return _recalibrate(parent, cohort, request, catalogue, progress)


def _recalibrate(
    parent: Bundle, cohort: Cohort, request: Request, catalogue: Catalogue, progress: Callable[[str], None]
) -> Trained:
    local = _local(parent, cohort, catalogue, request.settings.workers)
    progress(f"{len(cohort)} courses, {len(local.table)} rows")
    found: dict[int, Outcome] = {}
    left: dict[str, str] = {}
    for place, key in enumerate(OUTCOME_KEYS):
        why = why_not(local.table, place, _fewest(request.settings), local.unsound)
        if why:
            left[key] = why
            progress(f"{key}: {why}; left as it was")
            continue
        found[place] = _outcome(local, place, request)
        progress(f"{key}: {_said(found[place])}")
    if not found:
        raise DataError("events", "no outcome has enough courses to be recalibrated", "bring more courses")
    results = _results(local, found, request.settings)
    record = Record(request.method, data_facts(cohort, request.name, request.source), request.overrides)
    learnt = {OUTCOME_KEYS[place]: _learnt(local, place, one) for place, one in found.items()}
    about = about_of(parent, record, request.settings, learnt, left, results)
    return Trained(with_golden(_bundle(local, found, about), catalogue), tuple(results), len(local.table))


def _fewest(settings: Settings) -> Settings:
    """As many events as a recalibration needs, which are fewer than a training needs."""
    return replace(settings, fewest_events=int(policy()["fewest_events"]))


def _local(parent: Bundle, cohort: Cohort, catalogue: Catalogue, workers: int) -> Local:
    predictor = Predictor(parent, catalogue)
    table, unsound = build_table(cohort, parent.spec, predictor.prior, catalogue, workers)
    return Local(parent, table, predictor.log_odds(table.values, parts_of(table)), unsound)


def _outcome(local: Local, place: int, request: Request) -> Outcome:
    held, settings, key = local.scored(place), request.settings, OUTCOME_KEYS[place]
    width = spreads(np.unique(held.therapy).tolist(), local.parent.evidence, place)
    asked = Asked(request.method, settings, width)
    line = fit_line(held, asked)
    patient = local.table.patient[local.table.usable(place)]
    fold_of = fold_of_rows(patient, held.label.astype(np.int64), settings.folds, settings.seed)
    lines, log_odds = by_dosing(line, held), out_of_fold(held, fold_of, asked)
    ordered = moved(held, lines) if request.method.keeps_order else log_odds
    if why_not(local.table, place, settings, local.unsound):
        ranges = carried(local.parent.intervals.get(key), local.parent.policy.thresholds.get(key), line)
    else:
        ranges = remade(held, ordered, settings)
    return Outcome(line, lines, log_odds, ordered, ranges)


def _said(one: Outcome) -> str:
    own = "".join(f", {key} {shift:+.3f}" for key, shift in one.line.therapy_shift.items())
    return f"slope {one.line.slope:.3f}, shift {one.line.shift:+.3f}{own}; intervals and bands {one.ranges.how}"


def _learnt(local: Local, place: int, one: Outcome) -> dict[str, object]:
    """What the manifest says of one outcome."""
    return {
        "events": local.table.events(place),
        "courses": local.table.take(local.table.usable(place)).courses,
        "slope": one.line.slope,
        "shift": one.line.shift,
        "therapy_shift": dict(one.line.therapy_shift),
        "dosing": sorted(one.lines),
        "intervals_and_bands": one.ranges.how,
    }


def _results(local: Local, found: Mapping[int, Outcome], settings: Settings) -> list[Result]:
    """Each outcome as the version will be served and as its parent is, on the same rows; after is out of fold."""
    held = {name: _served(local, found, name) for name in ("log_odds", "ordered")}
    before = as_served(local.table, local.log_odds)
    results = []
    for place in found:
        after, ordered, then = (
            judge(local.table, place, {"model": scores[:, place][None]}, settings)
            for scores in (held["log_odds"], held["ordered"], before)
        )
        results += [_with_order(one, other) for one, other in zip(after, ordered, strict=True)]
        results += [replace(one, predictor=BEFORE) for one in then]
    return results


def _served(local: Local, found: Mapping[int, Outcome], name: str) -> Array:
    """(N, outcomes) as they would be served; name: of the log-odds of Outcome that take the parent's place."""
    log_odds = local.log_odds.copy()
    for place, one in found.items():
        log_odds[local.table.usable(place), place] = getattr(one, name)
    return as_served(local.table, log_odds)


def _with_order(result: Result, ordered: Result) -> Result:
    """The figures of the first, but those that depend on the order alone of the second."""
    by_order = {name: one for name, one in ordered.metrics.items() if name in _ORDER}
    return replace(result, metrics={**result.metrics, **by_order})


def _bundle(local: Local, found: Mapping[int, Outcome], about: Mapping[str, object]) -> Bundle:
    """The parent with what was found, golden answers still to come."""
    parent, by_key = local.parent, {OUTCOME_KEYS[place]: one for place, one in found.items()}
    ranges = {key: one.ranges for key, one in by_key.items()}
    tables = {key: one.interval for key, one in ranges.items() if one.interval is not None}
    lines = {key: _calibration(parent.calibration.get(key, PRIOR_ALONE), one) for key, one in by_key.items()}
    return replace(
        parent,
        calibration={**parent.calibration, **lines},
        intervals={**parent.intervals, **tables},
        policy=_policy(local, ranges),
        golden={},
        card=card_of(parent, about),
        about=about,
    )


def _calibration(before: Calibration, one: Outcome) -> Calibration:
    """The former calibration with the new lines after its own."""
    after = {kind: line.after(before.recalibration.get(kind, UNCHANGED)) for kind, line in one.lines.items()}
    return replace(before, recalibration={**before.recalibration, **after})


def _policy(local: Local, ranges: Mapping[str, Ranges]) -> Policy:
    """The parent's with the new bands.

    The cohort's therapies and indications count as known where every table is made of its courses: a therapy that is
    known takes its interval from the tables alone.
    """
    parent, table = local.parent.policy, local.table
    bands = {key: one.thresholds for key, one in ranges.items() if one.thresholds is not None}
    held = replace(parent, thresholds={**parent.thresholds, **bands})
    own = {key for key, one in ranges.items() if one.how == REMADE}
    if not own or set(local.parent.intervals) - own:
        return held
    labelled = ~np.isnan(table.label).all(axis=1)
    therapies = set(table.therapy[labelled].tolist()) & set(local.parent.evidence)
    indications = set(table.indication[labelled].tolist()) - {""}
    return replace(
        held,
        therapies=tuple(sorted({*parent.therapies, *therapies})),
        indications=tuple(sorted({*parent.indications, *indications})),
    )
