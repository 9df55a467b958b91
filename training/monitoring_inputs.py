"""Drift of a deployed version's inputs and answers: recent courses against a reference, one row per course.

The reference is the first courses that the version itself answered, as the ledger holds them, or a cohort that is
named. No bundle holds patients' values, and its quantiles mix all times of asking; ledger and cohort are like for like.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.cohort import layers
from data.locked import locked
from data.tables import Cohort
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor
from features.spec import Spec
from training.monitoring_checks import ALARM, SEED, STEADY, TOO_FEW, WATCH, Check
from training.monitoring_drift import Drift, deals, missing_drift, mix_drift, value_drift
from training.monitoring_policy import MonitoringPolicy
from training.monitoring_rows import Joined, Row

Array = NDArray[np.float64]

#: Columns of a row that hold what was observed; the others follow from therapy and time.
OBSERVED = ("course", "stat", "score")
#: Columns named in a report.
MOST_NAMED = 10
INPUTS, MISSING, MIX, ANSWERS = "drift: inputs", "drift: what is known", "drift: case mix", "drift: answers"


@dataclass(frozen=True, slots=True)
class Sample:
    """n courses, one row each. values: (n, columns) of the spec. answers: (n, outcomes) probabilities, NaN unknown."""

    values: Array
    answers: Array
    landmark: NDArray[np.str_]
    therapy: NDArray[np.str_]
    indication: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, which: NDArray[Any]) -> "Sample":
        return Sample(
            self.values[which],
            self.answers[which],
            self.landmark[which],
            self.therapy[which],
            self.indication[which],
        )


def of_rows(rows: Sequence[Row], spec: Spec) -> Sample:
    """Rows of the ledger; one whose vector is not of this spec is left out."""
    width = len(spec.columns)
    held = [(row, vector(row.vector, width)) for row in rows]
    kept = [(row, found) for row, found in held if found is not None]
    return Sample(
        np.array([found for _, found in kept], dtype=np.float64).reshape(-1, width),
        np.array([row.probability for row, _ in kept], dtype=np.float64).reshape(-1, len(OUTCOME_KEYS)),
        *(_texts(getattr(row, name) for row, _ in kept) for name in ("landmark", "therapy", "indication")),
    )


def _texts(found: Any) -> NDArray[np.str_]:
    return np.array(list(found), dtype=str)


def vector(stored: bytes, width: int) -> Array | None:
    """The columns of a recorded row, little-endian floats of 4 or 8 bytes; None where it has another width."""
    if not width or len(stored) not in (4 * width, 8 * width):
        return None
    return np.frombuffer(stored, dtype="<f4" if len(stored) == 4 * width else "<f8").astype(np.float64)


def of_cohort(cohort: Cohort, predictor: Predictor) -> Sample:
    """Every course of a cohort at its first index time; answers of patients that did not train the version."""
    layer = layers(cohort)[0]
    found = predictor.predict(layer.snapshots)
    seen = _trained(cohort, predictor)[layer.course]
    return Sample(
        found.rows.values.astype(np.float64),
        np.where(seen[:, None], np.nan, found.probability),
        layer.name.astype(str),
        _texts(layer.snapshots.courses.therapy),
        _texts(layer.snapshots.courses.indication),
    )


def _trained(cohort: Cohort, predictor: Predictor) -> NDArray[np.bool_]:
    """Which courses trained the version: those of a cohort of the same fingerprint, but for the locked patients'."""
    about = predictor.bundle.about
    data = about.get("trained_on") or {}
    if cohort.fingerprint not in (data.get("fingerprint"), data.get("source_fingerprint")):
        return np.zeros(len(cohort), dtype=bool)
    share = float((about.get("settings") or {}).get("test_share", 0.0))
    return ~locked(cohort.patient_ids, share)


def split(joined: Joined, since: float, policy: MonitoringPolicy) -> tuple[list[Row], list[Row]]:
    """First answers of courses before that moment, at most the policy's first ones, and from it on."""
    rows = [row for row, first in zip(joined.rows, joined.first, strict=True) if first]
    before = [row for row in rows if row.time.timestamp() < since]
    return before[: policy.most_reference], [row for row in rows if row.time.timestamp() >= since]


def check_drift(reference: Sample, recent: Sample, spec: Spec, policy: MonitoringPolicy) -> list[Check]:
    """The four checks of drift; their p-values are corrected for being four (Holm 1979)."""
    before, now = _alike(reference, recent, policy)
    if len(now) < policy.fewest_recent or len(before) < policy.fewest_reference:
        numbers = {"reference": len(before), "recent": len(now)}
        text = f"{len(now)} recent courses against {len(before)} asked at the same times are too few"
        return [Check(name, TOO_FEW, text, numbers) for name in (INPUTS, MISSING, MIX, ANSWERS)]
    found = _drifts(before, now, spec, policy)
    adjusted = holm([one.p for one in found.values()])
    pairs = zip(found.items(), adjusted, strict=True)
    return [_check(name, one, p, policy) for (name, one), p in pairs]


def _alike(reference: Sample, recent: Sample, policy: MonitoringPolicy) -> tuple[Sample, Sample]:
    """The courses asked about at times that both have; of a large reference evenly spread ones."""
    shared = np.intersect1d(reference.landmark, recent.landmark)
    before = np.flatnonzero(np.isin(reference.landmark, shared))
    if len(before) > policy.most_reference:
        before = before[np.linspace(0, len(before) - 1, policy.most_reference).astype(int)]
    return reference.take(before), recent.take(np.isin(recent.landmark, shared))


def _drifts(before: Sample, now: Sample, spec: Spec, policy: MonitoringPolicy) -> dict[str, Drift]:
    recent = np.arange(len(before) + len(now)) >= len(before)
    dealt = deals(recent, np.concatenate([before.landmark, now.landmark]), policy.permutations, SEED)
    places = [place for place, column in enumerate(spec.columns) if column.kind in OBSERVED]
    names = [spec.names[place] for place in places]
    values = np.concatenate([before.values, now.values])[:, places]
    therapy, indication = (
        np.concatenate([getattr(one, name) for one in (before, now)]) for name in ("therapy", "indication")
    )
    groups = [(one, therapy == one) for one in np.unique(therapy)]
    groups += [(one or "indication unknown", indication == one) for one in np.unique(indication)]
    answers = np.concatenate([before.answers, now.answers])
    return {
        INPUTS: value_drift(names, values, recent, dealt),
        MISSING: missing_drift(names, values, recent, dealt),
        MIX: mix_drift([str(name) for name, _ in groups], np.column_stack([one for _, one in groups]), recent, dealt),
        ANSWERS: value_drift(OUTCOME_KEYS, answers, recent, dealt),
    }


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values that hold for all of them together, in the order given."""
    order = np.argsort(p, kind="stable")
    scaled = np.array(p)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    found: list[float] = adjusted.tolist()
    return found


def _check(name: str, found: Drift, p: float, policy: MonitoringPolicy) -> Check:
    verdict = ALARM if p <= policy.drift_alarm else WATCH if p <= policy.drift_watch else STEADY
    named = [one for one in found.moved if one.p <= policy.drift_watch][:MOST_NAMED]
    what = f"; furthest: {', '.join(one.column for one in named[:3])}" if named and verdict != STEADY else ""
    compared = f"{found.recent} recent courses against {found.reference}"
    text = f"{compared}, {found.columns} columns: p {p:.3f}{what}" if found.columns else f"{compared}: nothing varies"
    numbers = {
        "reference": found.reference,
        "recent": found.recent,
        "columns": found.columns,
        "p": p,
        "p_of_this_check": found.p,
        "p_largest": found.p_largest,
        "p_mean": found.p_mean,
        "moved": [asdict(one) for one in found.moved[:MOST_NAMED]],
    }
    return Check(name, verdict, text, numbers)
