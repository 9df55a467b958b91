"""Everything a report says, as one JSON document: the page is drawn from it, and from nothing else."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data.attrition import attrition
from data.cohort import layers
from data.labels import label_layers
from data.tables import Cohort
from features.outcomes import OUTCOMES
from training.breadth import EVERYONE, HELD_BACK, TOO_FEW, WITHOUT_COUNTS, Cell, Sample
from training.curves import EDGES, SHARES, THRESHOLDS, decision_curve, histogram, precision_recall, roc
from training.designs import Design
from training.evaluate import ALL_TIMES, TREATED, UNTREATED, Result, to_json
from training.evaluation_policy import EvaluationPolicy
from training.participants import Counts, years
from training.shift import Shift
from training.subgroups import INDEX_TIME
from training.suppress import rounded

FORMAT = 1
#: Steps of the attrition that are shown, with what a reader calls them.
FLOW = {"asked": "asked", "at risk": "at risk", "labelled": "with a known outcome"}
#: A result's index time -> the axis and group of the cell that says whether its counts may be shown.
_TREATMENT = {TREATED: ("treated before", "treated before"), UNTREATED: ("treated before", "not treated before")}


@dataclass(frozen=True, slots=True)
class Judged:
    """What one evaluation found. model: name, version, digest and more, as texts. design_text: one or two sentences.

    demographics: as training.participants counts them. caution: why the figures may say nothing of new courses, or "".
    """

    design: Design
    design_text: str
    model: Mapping[str, str]
    cohort: Cohort
    cohort_name: str
    synthetic: bool
    samples: Sequence[Sample]
    cells: Sequence[Cell]
    results: Sequence[Result]
    effects: Mapping[str, Sequence[tuple[str, float]]]
    shifts: Sequence[Shift]
    demographics: Counts
    caution: str


def document(judged: Judged, settings: Mapping[str, Any], policy: EvaluationPolicy, made_on: str) -> dict[str, Any]:
    """The report's content as plain JSON; undefined numbers are null, small counts held back or rounded."""
    body = {
        "format": FORMAT,
        "title": f"{judged.model['name']} on {judged.cohort_name}",
        "made_on": made_on,
        "synthetic": judged.synthetic,
        "caution": judged.caution,
        "design": {"key": str(judged.design), "text": judged.design_text},
        "model": dict(judged.model),
        "cohort": _cohort(judged, policy.smallest_count),
        "settings": dict(settings),
        "policy": asdict(policy),
        "outcomes": [_outcome(sample, judged, policy) for sample in judged.samples],
        "not_judged": [one.label for one in OUTCOMES if one.key not in {each.outcome for each in judged.samples}],
        "attrition": flow(judged.cohort, policy.smallest_count),
        "effects": {key: [list(one) for one in found] for key, found in judged.effects.items()},
        "drift": [asdict(one) for one in judged.shifts],
    }
    plain: dict[str, Any] = json.loads(json.dumps(body), parse_constant=lambda _: None)
    return plain


def _cohort(judged: Judged, smallest: int) -> dict[str, Any]:
    cohort = judged.cohort
    return {
        "name": judged.cohort_name,
        "fingerprint": cohort.fingerprint,
        "courses": len(cohort),
        "patients": len(set(cohort.patient_ids)),
        "sites": len(set(cohort.sites) - {""}),
        "started": years(cohort, smallest),
        "demographics": judged.demographics,
    }


def _outcome(sample: Sample, judged: Judged, policy: EvaluationPolicy) -> dict[str, Any]:
    cells = [one for one in judged.cells if one.outcome == sample.outcome]
    label = next(one.label for one in OUTCOMES if one.key == sample.outcome)
    return {
        "key": sample.outcome,
        "label": label,
        "cells": [asdict(one) for one in sorted(cells, key=_order)],
        "curves": None if cells[0].note else curves(sample, policy.smallest_count),
        "comparison": exported([one for one in judged.results if one.outcome == sample.outcome], cells),
    }


def _order(cell: Cell) -> tuple[Any, ...]:
    """Everyone first, then axis by axis as judged; index times by number, not by letter."""
    return (
        cell.axis != EVERYONE,
        cell.axis,
        in_time(cell.group),
        cell.index_time != ALL_TIMES,
        in_time(cell.index_time),
    )


def in_time(name: str) -> tuple[Any, ...]:
    """Sorts "0h" before "24h" before "dose1+0h": by the numbers in a name, then by its letters."""
    return (name.startswith("dose"), *(f"{int(one):06d}" if one.isdigit() else one for one in re.split(r"(\d+)", name)))


def curves(sample: Sample, smallest: int) -> dict[str, Any]:
    """The curves of one outcome over all rows; those of the first repeat, where there are several."""
    label, score = sample.label, sample.scores[0]
    model, everyone = decision_curve(label, score)
    return {
        "roc": {"false_alerts": SHARES.tolist(), "found": roc(label, score).tolist()},
        "precision_recall": {"found": SHARES.tolist(), "ppv": precision_recall(label, score).tolist()},
        "decision": {"threshold": THRESHOLDS.tolist(), "model": model.tolist(), "treat_all": everyone.tolist()},
        "histogram": {"edges": EDGES.tolist(), "rows": histogram(score, smallest)},
    }


def exported(results: Iterable[Result], cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Results as JSON, without what their cells hold back: counts, and figures that counts could be worked out from.

    Counts of another predictor that has fewer rows than the model are left out: the difference could be small.
    """
    found = list(results)
    notes = {(one.outcome, one.axis, one.group): one.note for one in cells if one.index_time == ALL_TIMES}
    rows = {(one.outcome, one.index_time): one.rows for one in found if one.predictor == "model"}
    kept = []
    for result, body in zip(found, to_json(found), strict=True):
        note = notes.get((result.outcome, *_cell_of(result)), TOO_FEW)
        if note or result.rows != rows.get((result.outcome, result.index_time)):
            body |= {"rows": None, "events": None}
        if note == TOO_FEW:
            body["metrics"] = {}
        elif note == HELD_BACK:
            body["metrics"] = {name: one for name, one in body["metrics"].items() if name in WITHOUT_COUNTS}
        kept.append(body)
    return kept


def _cell_of(result: Result) -> tuple[str, str]:
    if result.index_time == ALL_TIMES:
        return EVERYONE, EVERYONE
    return _TREATMENT.get(result.index_time, (INDEX_TIME, result.index_time))


def flow(cohort: Cohort, smallest: int) -> list[dict[str, Any]]:
    """Courses at each step per outcome and index time, rounded to multiples of `smallest`."""
    asked = layers(cohort)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in attrition(cohort, asked, label_layers(cohort, asked)):
        if row.step in FLOW:
            place = found.setdefault(
                (row.outcome, row.index_time), {"outcome": row.outcome, "index_time": row.index_time}
            )
            place[FLOW[row.step]] = rounded(row.courses, smallest)
    return sorted(found.values(), key=lambda one: (one["outcome"], in_time(one["index_time"])))
