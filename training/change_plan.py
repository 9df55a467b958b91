"""The change plan: what each kind of change of the served model has to show, a closed type read from a reviewed file.

The file ships with the product (change-plan.toml). Its SHA-256 stands in every verdict; a verdict by another plan lets
nothing be promoted.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from features.errors import UsageError
from training import checkout
from training.diagnose_findings import CODES

PLAN = Path(__file__).with_name("change-plan.toml")
#: Where a number of the plan comes from; the plan states no clinical fact.
SOURCE = "policy of this project"


class Change(StrEnum):
    """Kinds of change of what is served."""

    FIRST = "first-model"
    RETRAIN = "retrain"
    RECALIBRATION = "recalibration"
    PUBLISHED = "published-rates"
    DEMONSTRATION = "demonstration"


class Criterion(StrEnum):
    """What is looked at; an item of the plan names those that it requires, the others are reported."""

    GOLDEN = "golden-answers"
    USE = "intended-use"
    SPEC = "specification"
    DATA = "data-checks"
    SYNTHETIC = "synthetic"
    TEST_SET = "test-set"
    LOOKS = "test-looks"
    COVERAGE = "coverage"
    CEILING = "ceiling"
    LOG_LOSS_OVERALL = "log-loss-overall"
    LOG_LOSS = "log-loss"
    AUROC_OVERALL = "auroc-overall"
    AUROC = "auroc"
    PUBLISHED_OVERALL = "published-overall"
    PUBLISHED = "published"
    BASE_RATE_OVERALL = "base-rate-overall"
    BASE_RATE = "base-rate"
    SCORE = "auroc-score"
    SLOPE = "slope"
    INTERCEPT = "intercept"
    ICI = "ici"
    SUBGROUP = "subgroup"


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers by which criteria are judged; each is explained by its note in the plan.

    most_looks: None where the plan states no limit; the only number that may be left out.
    """

    seed: int
    draws: int
    calibration_draws: int
    confidence: float
    fewest_courses: int
    fewest_events: int
    fewest_group_events: int
    log_loss_overall: float
    log_loss: float
    auroc_overall: float
    auroc: float
    auroc_score: float
    published_overall: float
    published: float
    base_rate_overall: float
    base_rate: float
    slope_low: float
    slope_high: float
    intercept: float
    ici: float
    group_log_loss: float
    ceiling_start: float
    ceiling: float
    approvals: int
    most_looks: int | None = None


#: What a number may be, both ends inclusive; any other lies from 0 to 1.
RANGES: Mapping[str, tuple[float, float]] = {
    "seed": (0, 2**31 - 1),
    "draws": (1, 100_000),
    "calibration_draws": (1, 100_000),
    "confidence": (0.5, 0.999),
    "fewest_courses": (1, 1_000_000),
    "fewest_events": (1, 1_000_000),
    "fewest_group_events": (1, 1_000_000),
    "slope_high": (1, 100),
    "intercept": (0, 100),
    "ceiling_start": (0.5, 1),
    "ceiling": (0.5, 1),
    "approvals": (2, 10),
    "most_looks": (0, 1_000_000),
}


@dataclass(frozen=True, slots=True)
class Item:
    """What one kind of change has to show. approvers: names that may approve it besides people, synthetic only."""

    what: str
    required: frozenset[Criterion]
    numbers: Numbers
    synthetic_only: bool = False
    approvers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangePlan:
    """digest: SHA-256 of the file's bytes, which `text` is in UTF-8. committed: as training.checkout says of them.

    overrides: codes of data checks that an override may answer for.
    """

    title: str
    digest: str
    overrides: frozenset[str]
    items: Mapping[Change, Item]
    text: str
    committed: bool | None


def read(path: Path | None = None) -> ChangePlan:
    """The plan in a file, by default the shipped one; UsageError for what is unknown, missing or of another type."""
    path = path or PLAN
    try:
        held = path.read_bytes()
        text = held.decode("utf-8")
        body = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(path.name, "the change plan cannot be read as TOML", "see docs/promotion.md") from error
    at = _At(path.name)
    at.closed(body, {"title", "numbers", "overrides", "item"})
    numbers = at.below("numbers").numbers(body["numbers"], whole=True)
    items = at.below("item")
    items.closed(body["item"], set(Change))
    found = {kind: items.below(kind).item(body["item"][kind], numbers) for kind in Change}
    return ChangePlan(
        title=at.text(body, "title"),
        digest=sha256(held).hexdigest(),
        overrides=at.overrides(body["overrides"]),
        items=found,
        text=text,
        committed=checkout.committed(path, held),
    )


def shipped_text(digest: str) -> str | None:
    """The text of the shipped plan if its SHA-256 is this; None where the file is another by now, or is not there."""
    try:
        held = PLAN.read_bytes()
    except OSError:
        return None
    return held.decode("utf-8") if sha256(held).hexdigest() == digest else None


@dataclass(frozen=True, slots=True)
class _At:
    """A place in the file, which errors name."""

    place: str

    def below(self, key: str) -> "_At":
        return _At(f"{self.place}: {key}" if ":" not in self.place else f"{self.place}.{key}")

    def closed(self, body: Any, required: set[Any], optional: frozenset[str] = frozenset()) -> None:
        """UsageError unless it is a table of these keys."""
        if not isinstance(body, dict):
            raise UsageError(self.place, "expected a table", "see docs/promotion.md")
        wanted = {str(key) for key in required}
        for key in sorted(body.keys() ^ wanted):
            if key not in wanted and key not in optional:
                known = ", ".join(sorted(wanted | optional))
                raise UsageError(self.below(key).place, "unknown key", f"use one of {known}")
            if key in wanted:
                raise UsageError(
                    self.below(key).place, "is missing", "the plan states everything; see docs/promotion.md"
                )

    def text(self, body: Mapping[str, Any], key: str) -> str:
        value = body[key]
        if not isinstance(value, str) or not value.strip():
            raise UsageError(self.below(key).place, "expected a text")
        return value

    def texts(self, body: Mapping[str, Any], key: str, known: frozenset[str] | None) -> tuple[str, ...]:
        """A list of texts, each once, all of them known where it is stated what is."""
        values = body[key]
        if not isinstance(values, list) or not all(isinstance(one, str) and one.strip() for one in values):
            raise UsageError(self.below(key).place, "expected a list of texts")
        if len(set(values)) < len(values):
            raise UsageError(self.below(key).place, "a text stands twice", "name each once")
        for one in values if known is not None else ():
            if one not in known:  # type: ignore[operator]
                raise UsageError(
                    self.below(key).place, f"unknown: {one}", f"use one of {', '.join(sorted(known or ()))}"
                )
        return tuple(values)

    def sourced(self, body: Mapping[str, Any]) -> None:
        """UsageError unless note and source are given, and the source is what the plan's numbers come from."""
        self.text(body, "note")
        if self.text(body, "source") != SOURCE:
            raise UsageError(self.below("source").place, "the plan states policy, no facts", f'write "{SOURCE}"')

    def numbers(self, body: Any, whole: bool) -> dict[str, float]:
        """Name -> value; all of them, or (whole is false) some that replace others."""
        types = {field.name: field.type for field in fields(Numbers)}
        self.closed(body, set(types) - {"most_looks"} if whole else set(), frozenset(types))
        return {key: self.below(key).number(one, types[key] is not float) for key, one in body.items()}

    def number(self, body: Any, integer: bool) -> float:
        self.closed(body, {"value", "note", "source"})
        self.sourced(body)
        value = body["value"]
        if type(value) is not int and (integer or type(value) is not float):
            raise UsageError(self.place, "expected a whole number" if integer else "expected a number")
        low, high = RANGES.get(self.place.rsplit(".", 1)[-1], (0, 1))
        if not low <= value <= high:
            raise UsageError(self.place, f"expected {low:g} to {high:g}")
        return int(value) if integer else float(value)

    def overrides(self, body: Any) -> frozenset[str]:
        at = self.below("overrides")
        at.closed(body, {"allowed", "note", "source"})
        at.sourced(body)
        return frozenset(at.texts(body, "allowed", frozenset(CODES)))

    def item(self, body: Any, shared: Mapping[str, float]) -> Item:
        self.closed(body, {"what", "required"}, frozenset({"numbers", "synthetic_only", "approvers"}))
        own = self.below("numbers").numbers(body.get("numbers", {}), whole=False)
        required = self.texts(body, "required", frozenset(Criterion))
        only = body.get("synthetic_only", False)
        if not isinstance(only, bool):
            raise UsageError(self.below("synthetic_only").place, "expected true or false")
        approvers = self.texts(body, "approvers", None) if "approvers" in body else ()
        if approvers and not (only and Criterion.SYNTHETIC in required):
            problem = "names that are nobody's may approve synthetic models only"
            raise UsageError(self.below("approvers").place, problem, 'require "synthetic" and set synthetic_only')
        numbers = Numbers(**{**shared, **own})  # type: ignore[arg-type]
        if Criterion.LOOKS in required and numbers.most_looks is None:
            raise UsageError(self.below("required").place, f"{Criterion.LOOKS} without a limit", "state most_looks")
        return Item(self.text(body, "what"), frozenset(map(Criterion, required)), numbers, only, approvers)
