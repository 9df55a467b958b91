"""Made-up training tables and plans. No row describes a person."""

import tomllib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features import catalogue, spec
from features.calibration import Parts
from features.evidence import policy
from features.outcomes import OUTCOME_KEYS
from features.spec import Spec
from training import change_plan
from training.config import Settings
from training.fit import Plan
from training.table import Table

Array = NDArray[np.float64]

AXI = "axicabtagene-ciloleucel"
CRS_2 = OUTCOME_KEYS.index("crs_2plus")
#: A column that may push both ways, one that may only raise the risk, and one that may only lower it.
FREE, RISING, FALLING = "age_years", "crp.last", "platelets.last"
QUICK = Settings(
    folds=3,
    rounds=12,
    learning_rate=0.3,
    min_child_weight=2.0,
    l2_penalty=1.0,
    bootstrap=4,
    interval_resamples=3,
    workers=1,
)


def columns(*names: str) -> Spec:
    """The shipped columns of these names, in catalogue order."""
    return spec.full(catalogue.load()).keep(names)


def plan(names: Sequence[str], settings: Settings = QUICK, seed: int = 1, outcome: int = CRS_2) -> Plan:
    return Plan(outcome, columns(*names), {AXI: policy()["between_centre_sd"]}, settings, seed)


def table(label: Array, values: NDArray[Any], patient: NDArray[np.int64] | None = None, **changed: Any) -> Table:
    """N rows at hour 0, one course each, whose published log-odds are 0; label (N,) stands for every outcome."""
    n, shape = len(label), (len(label), len(OUTCOME_KEYS))
    own = np.arange(n, dtype=np.int64)
    held = {
        "values": np.asarray(values, dtype=np.float32).reshape(n, -1),
        "prior": np.zeros(shape),
        "label": np.repeat(np.asarray(label, dtype=np.float64)[:, None], shape[1], axis=1),
        "patient": own if patient is None else patient,
        "course": own,
        "index_name": np.full(n, "0h"),
        "hours": np.zeros(n),
        "begun": np.zeros(shape, dtype=bool),
        "reached": np.zeros(shape, dtype=bool),
        "treated": np.zeros(n, dtype=bool),
        "dosing": np.zeros(n, dtype=np.int64),
        "therapy": np.full(n, AXI),
        "indication": np.full(n, "lbcl"),
    }
    return Table(**{**held, **changed})


def parts(n: int, prior: Array | None = None, hours: float = 0.0) -> Parts:
    """n rows of one infused therapy at one time, nothing begun."""
    none, never = np.zeros(n), np.zeros(n, dtype=bool)
    start = none if prior is None else prior
    return Parts(start, np.full(n, hours), never, np.zeros(n, dtype=np.int64), np.full(n, AXI), none, never)


def drawn(log_odds: Array, seed: int = 5) -> Array:
    """(n,) labels that come with exactly these log-odds."""
    return (np.random.default_rng(seed).random(len(log_odds)) < 1 / (1 + np.exp(-log_odds))).astype(np.float64)


def plan_text(required: Sequence[str] = ("golden-answers",), **numbers: float) -> str:
    """The shipped change plan with other numbers, and with these criteria alone required of every kind of change."""
    body = tomllib.loads(change_plan.PLAN.read_text(encoding="utf-8"))
    lines = ['title = "plan for tests"']
    for name, one in body["numbers"].items():
        lines += [f"[numbers.{name}]", f"value = {numbers.get(name, one['value'])}"]
        lines += ['note = "for tests"', f'source = "{change_plan.SOURCE}"']
    lines += ["[overrides]", "allowed = []", 'note = "none"', f'source = "{change_plan.SOURCE}"']
    for name, item in body["item"].items():
        lines += [f"[item.{name}]", 'what = "for tests"', f"required = {list(required)}"]
        if "approvers" in item:
            lines[-1] = f"required = {[*required, 'synthetic']}"
            lines += ["synthetic_only = true", f"approvers = {item['approvers']}"]
    return "\n".join(lines).replace("'", '"') + "\n"
