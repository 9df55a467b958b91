"""`crs shadow --compare`: champion and challenger on the same courses, by what became of them; into MLflow.

Both answered the same question at the same moment. Per outcome the difference challenger - champion of each figure,
with an interval over resampled patients: both are judged on the same resamples, so what they share falls out.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.access import accessed
from audit.events import Kind, Record
from audit.ledger import Ledger, open_ledger
from features.catalogue import Catalogue, load
from features.errors import LedgerError
from features.home import Home
from features.outcomes import OUTCOME_KEYS, OUTCOMES
from features.prior import log_odds
from training.evaluate import FEWEST
from training.flows import console
from training.metrics import Metric, auroc, brier, calibration_intercept, interval, log_loss, resamples
from training.monitoring_policy import MonitoringPolicy, monitoring_policy
from training.monitoring_rows import Joined, joined, rows_of

Array = NDArray[np.float64]

SEED = 1
_EDGE = 1e-6


def _off(label: Array, score: Array, weight: Array) -> float:
    """How far calibration in the large is off, either way."""
    return abs(calibration_intercept(label, score, weight))


#: Lower is better but for AUROC.
FIGURES: Mapping[str, Metric] = {"log_loss": log_loss, "brier": brier, "auroc": auroc, "calibration_off": _off}


@dataclass(frozen=True, slots=True)
class Pair:
    """The joined answers of one champion, and what one challenger said beside them; other: (n, outcomes)."""

    champion: tuple[str, str]
    challenger: tuple[str, str]
    joined: Joined
    other: Array
    asked: int


def compare(home: Home, uri: str | None) -> dict[str, Any]:
    """Compare the shadow that scored last with the champion it stood beside; returns what MLflow was told.

    It reads what the ledger holds of patients' courses, so that it is recorded as every look of `crs audit` is.
    LedgerError where no shadow has scored.
    """
    policy, now = monitoring_policy(), datetime.now(UTC)
    with open_ledger(home) as ledger:
        accessed(ledger, "shadow-compare")
        pair = pair_of(ledger, load(), now)
    body = judge(pair, policy)
    from training import tracking

    facts = {f"{who}_{name}": body[who][name] for who in ("champion", "challenger") for name in ("version", "digest")}
    name = f"shadow version {pair.challenger[0]} beside {pair.champion[0]}"
    run = tracking.log_run(home, name, facts, _metrics(body), {"shadow.json": json.dumps(body, indent=1)}, uri)
    _show(body)
    console.print(f"recorded in MLflow as run {run}")
    return body


def pair_of(ledger: Ledger, catalogue: Catalogue, until: datetime) -> Pair:
    """What the ledger holds of the shadow that scored last, beside the champion of that record."""
    last = ledger.last(Kind.SHADOW)
    if last is None:
        raise LedgerError("ledger", "no shadow has scored yet", "crs shadow --version N, then restart the service")
    digest, champion = str(last.body["bundle"]), str(last.body["champion"])
    said = {str(one.body["prediction_id"]): one for one in ledger.records(Kind.SHADOW) if _is(one, digest, champion)}
    asked = tuple(row for row in rows_of(ledger.records(Kind.PREDICTION), catalogue) if row.digest == champion)
    both = tuple(row for row in asked if row.prediction_id in said)
    held = joined(both, ledger.records(Kind.OUTCOME), until)
    other = [[_number(said[row.prediction_id], key) for key in OUTCOME_KEYS] for row in held.rows]
    return Pair(
        champion=(both[-1].version if both else "", champion),
        challenger=(str(last.body["version"]), digest),
        joined=held,
        other=np.array(other, dtype=np.float64).reshape(-1, len(OUTCOME_KEYS)),
        asked=len(asked),
    )


def _is(record: Record, digest: str, champion: str) -> bool:
    return bool(record.body["bundle"] == digest and record.body["champion"] == champion)


def _number(record: Record, key: str) -> float:
    return float(record.body["probabilities"].get(key, "nan"))


def judge(pair: Pair, policy: MonitoringPolicy) -> dict[str, Any]:
    """Every outcome's figures of both, and their paired differences, as plain JSON."""
    return {
        "champion": {"version": pair.champion[0], "digest": pair.champion[1]},
        "challenger": {"version": pair.challenger[0], "digest": pair.challenger[1]},
        "answers_of_champion": pair.asked,
        "rows": len(pair.joined),
        "courses": len(np.unique(pair.joined.groups())),
        "outcomes": [_outcome(pair, place, policy) for place in range(len(OUTCOMES))],
    }


def _outcome(pair: Pair, place: int, policy: MonitoringPolicy) -> dict[str, Any]:
    ours, theirs = pair.joined.probability[:, place], pair.other[:, place]
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    gap = log_odds(np.clip(theirs[both], _EDGE, 1 - _EDGE)) - log_odds(np.clip(ours[both], _EDGE, 1 - _EDGE))
    known = both & ~np.isnan(pair.joined.label[:, place])
    label, patient = pair.joined.label[known, place], pair.joined.groups(patients=True)[known]
    having, lacking = (len(np.unique(patient[label == value])) for value in (1, 0))
    found: dict[str, Any] = {
        "outcome": OUTCOME_KEYS[place],
        "scored": int(both.sum()),
        "mean_shift": float(gap.mean()) if len(gap) else None,
        "mean_gap": float(np.abs(gap).mean()) if len(gap) else None,
        "rows": int(known.sum()),
        "events": int(label.sum()),
        "figures": {},
    }
    if min(having, lacking) >= FEWEST:
        champion, challenger = (log_odds(np.clip(one[known], _EDGE, 1 - _EDGE)) for one in (ours, theirs))
        found["figures"] = differences(label, champion, challenger, patient, policy.bootstrap)
    return found


def differences(
    label: Array, champion: Array, challenger: Array, patient: NDArray[np.int64], draws: int
) -> dict[str, dict[str, Any]]:
    """Per figure: champion, challenger, and challenger - champion with its 95 % interval over resampled patients.

    label (n,); champion, challenger (n,) log-odds; patient (n,).
    """
    weights, once = resamples(patient, draws, SEED), np.ones(len(label))
    found = {}
    for name, metric in FIGURES.items():
        ours, theirs = metric(label, champion, once), metric(label, challenger, once)
        sample = np.array([metric(label, challenger, one) - metric(label, champion, one) for one in weights])
        found[name] = {
            "champion": ours,
            "challenger": theirs,
            "difference": asdict(interval(theirs - ours, sample)),
        }
    return found


def _metrics(body: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {"courses": float(body["courses"]), "rows": float(body["rows"])}
    for one in body["outcomes"]:
        found |= {f"{one['outcome']}.{key}": float(one[key]) for key in ("rows", "events", "scored")}
        for name, figure in one["figures"].items():
            place = f"{one['outcome']}.{name}"
            found |= {f"{place}.{who}": figure[who] for who in ("champion", "challenger")}
            found |= {f"{place}.difference.{end}": value for end, value in figure["difference"].items()}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _show(body: Mapping[str, Any]) -> None:
    console.print(
        f"version {body['challenger']['version']} in the shadow of version {body['champion']['version']}: "
        f"{body['rows']} questions about {body['courses']} courses, of {body['answers_of_champion']} answered"
    )
    for one in body["outcomes"]:
        head = f"{one['outcome']}: {one['events']} events in {one['rows']} questions with a known outcome"
        console.print(f"{head}; too few to compare" if not one["figures"] else head)
        for name, figure in one["figures"].items():
            shift = figure["difference"]
            console.print(
                f"  {name:<16} {figure['champion']:.4f} -> {figure['challenger']:.4f}, "
                f"difference {shift['value']:+.4f} ({shift['low']:+.4f} to {shift['high']:+.4f})"
            )
