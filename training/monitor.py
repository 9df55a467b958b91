"""`crs monitor`: what the ledger says of the version that answers, judged, and recorded in MLflow and the ledger."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit.events import Kind
from audit.ledger import Ledger, open_ledger
from data.tables import read_cohort
from features import bundle
from features.catalogue import Catalogue, load
from features.errors import BundleError, LedgerError, UsageError
from features.home import BUNDLE_FOLDER, MODEL_NAME, Home
from features.outcomes import OUTCOMES
from features.predict import Predictor
from training.flows import console
from training.monitoring_checks import TOO_FEW, Check, check_calibration, check_reported, overall
from training.monitoring_inputs import ANSWERS, INPUTS, MISSING, MIX, check_drift, of_cohort, of_rows, split
from training.monitoring_page import page
from training.monitoring_policy import MonitoringPolicy, monitoring_policy
from training.monitoring_rows import Joined, joined, rows_of

FORMAT = 1
#: Characters of a digest that name a bundle in the model store.
_TAG_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of `crs monitor`. since, until: such as 2026-01-31. reference: a cohort for the drift checks."""

    since: str = ""
    until: str = ""
    reference: Path | None = None
    out: Path | None = None
    report: Path | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """since: inclusive, None from the version's first answer; until: exclusive."""

    since: datetime | None
    until: datetime


def window(request: Request, now: datetime) -> Window:
    """UsageError where a day is none, or the end does not come after the start."""
    since = _day(request.since, "--since")
    until = _day(request.until, "--until") or now
    if since is not None and since >= until:
        raise UsageError("--since, --until", "the end does not come after the start", "name a later --until")
    return Window(since, until)


def _day(text: str, option: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError as error:
        raise UsageError(option, "not a day", "write it as 2026-01-31") from error
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)


def monitor(home: Home, request: Request, uri: str | None) -> dict[str, Any]:
    """Judge the version that answered last; returns the report, whose `verdict` is the worst of its checks."""
    asked = window(request, datetime.now(UTC))
    with open_ledger(home) as ledger:
        body = judge(home, ledger, asked, request.reference, monitoring_policy(), load())
        documents = {"monitoring.json": json.dumps(body, indent=1), "monitoring.html": page(body)}
        _write(request, documents)
        _record(home, ledger, body, documents, uri)
    _show(body)
    return body


def judge(
    home: Home, ledger: Ledger, asked: Window, reference: Path | None, policy: MonitoringPolicy, catalogue: Catalogue
) -> dict[str, Any]:
    """The report as plain JSON. LedgerError where there is no evaluated answer to judge."""
    every = rows_of(ledger.records(Kind.PREDICTION, asked.since, asked.until), catalogue)
    if not every:
        raise LedgerError("ledger", "there is no evaluated answer in that time", "serve first, or name other days")
    digest, version = every[-1].digest, every[-1].version
    own = tuple(row for row in every if row.digest == digest)
    held = joined(own, ledger.records(Kind.OUTCOME, until=asked.until), asked.until)
    began = (asked.since or own[0].time).timestamp()
    predictor = _predictor(home, digest, catalogue)
    checks = [
        check_reported(held, policy),
        *_drift(held, predictor, asked.until, reference, policy),
        *(check_calibration(held, place, began, policy) for place in range(len(OUTCOMES))),
    ]
    body = {
        "format": FORMAT,
        "made_on": f"{datetime.now(UTC):%Y-%m-%d}",
        "since": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        "until": asked.until.isoformat(timespec="seconds"),
        "model": {"name": MODEL_NAME, "version": version, "digest": digest},
        "other_versions": len({row.digest for row in every}) - 1,
        "answers": len(own),
        "rows": len(held),
        "courses": int(held.first.sum()),
        "verdict": overall(checks),
        "checks": [asdict(one) for one in checks],
        "policy": asdict(policy),
    }
    plain: dict[str, Any] = json.loads(json.dumps(_finite(body)))
    return plain


def _drift(
    held: Joined, predictor: Predictor | None, until: datetime, reference: Path | None, policy: MonitoringPolicy
) -> list[Check]:
    if predictor is None:
        text = "the model store does not hold this version, so the columns of its rows are not known"
        return [Check(name, TOO_FEW, text, {}) for name in (INPUTS, MISSING, MIX, ANSWERS)]
    spec = predictor.bundle.spec
    before, now = split(held, until.timestamp() - policy.window_days * 86_400, policy)
    known = of_rows(before, spec) if reference is None else of_cohort(read_cohort(reference), predictor)
    return check_drift(known, of_rows(now, spec), spec, policy)


def _predictor(home: Home, digest: str, catalogue: Catalogue) -> Predictor | None:
    """The version as the model store holds it; None where it does not, whole."""
    folder = home.bentoml / "models" / MODEL_NAME / digest[:_TAG_LENGTH] / BUNDLE_FOLDER
    try:
        return Predictor(bundle.read(folder, digest), catalogue)
    except BundleError:
        return None


def _finite(part: Any) -> Any:
    """The same with None for numbers that JSON does not have."""
    if isinstance(part, Mapping):
        return {key: _finite(one) for key, one in part.items()}
    if isinstance(part, list | tuple):
        return [_finite(one) for one in part]
    return None if isinstance(part, float) and not math.isfinite(part) else part


def _write(request: Request, documents: Mapping[str, str]) -> None:
    for path, name in ((request.out, "monitoring.json"), (request.report, "monitoring.html")):
        if path is not None:
            path.write_text(documents[name], encoding="utf-8")


def _record(home: Home, ledger: Ledger, body: Mapping[str, Any], documents: Mapping[str, str], uri: str | None) -> None:
    """A run in MLflow with the report, and a record in the ledger that names its digest."""
    from training import tracking

    facts = {name: str(body[name]) for name in ("since", "until", "verdict")}
    facts |= {"version": body["model"]["version"], "bundle_digest": body["model"]["digest"]}
    run = tracking.log_run(home, f"monitor version {facts['version']}", facts, _metrics(body), documents, uri)
    found = {
        **facts,
        "courses": body["courses"],
        "checks": {one["name"]: one["verdict"] for one in body["checks"]},
        "report_digest": hashlib.sha256(documents["monitoring.json"].encode()).hexdigest(),
        "run": run,
    }
    ledger.append(Kind.MONITORED, found)


def _metrics(body: Mapping[str, Any]) -> dict[str, float]:
    """What MLflow draws over time."""
    found: dict[str, float] = {"courses": float(body["courses"])}
    for one in body["checks"]:
        name = one["name"].replace(": ", ".").replace(" ", "_")
        numbers = one["numbers"]
        large = numbers.get("everyone") or {}
        cells = {"p": numbers.get("p"), "share": numbers.get("share"), "chance": numbers.get("chance_to_have_seen")}
        cells |= {key: large.get(key) for key in ("courses", "observed", "expected", "shift")}
        found |= {f"{name}.{key}": float(value) for key, value in cells.items() if value is not None}
    return found


def _show(body: Mapping[str, Any]) -> None:
    model = body["model"]
    console.print(f"version {model['version']}, bundle {model['digest'][:16]}: {body['courses']} courses")
    for one in body["checks"]:
        console.print(f"{one['verdict']:<17} {one['name']:<24} {one['text']}")
    console.print(f"verdict: {body['verdict']}")
