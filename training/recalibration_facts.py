"""What a recalibrated bundle says of itself: its manifest's facts and its card, the parent's and its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from features.bundle import Bundle
from training import checkout
from training.card_counts import exported, told, uncounted
from training.config import Settings
from training.diagnose import Override
from training.evaluate import Result
from training.recalibration_fit import Method
from training.reporting_facts import data_of, of_training, updating
from training.tripod import reporting

CHANGE = "recalibration"
#: How a parent without training data is called.
RATES = "published rates alone"


@dataclass(frozen=True, slots=True)
class Record:
    """One recalibration. data: as the manifest tells of training data."""

    method: Method
    data: Mapping[str, Any]
    overrides: Sequence[Override]


def about_of(
    parent: Bundle,
    record: Record,
    settings: Settings,
    learnt: Mapping[str, Mapping[str, object]],
    left: Mapping[str, str],
    results: Sequence[Result],
) -> dict[str, Any]:
    """The manifest's facts: those of the training stay as they were, and each recalibration so far stands in a list.

    learnt, left: outcome -> its line, or why it was left as it was.
    """
    before = parent.about
    overrides = [one.to_json() for one in record.overrides]
    one = {
        "parent": parent.digest,
        "method": str(record.method),
        "data": dict(record.data),
        "overrides": overrides,
        "settings": settings.recipe(),
        "outcomes": {key: dict(held) for key, held in learnt.items()},
        "left_as_they_were": dict(left),
        "metrics": exported(results),
    }
    return {
        **before,
        "name": f"{before['name']}, recalibrated on {record.data['name']}",
        "trained_on": _trained_on(before["trained_on"], record.data),
        "overrides": [*before["overrides"], *overrides],
        "recalibrations": [*before.get("recalibrations", []), one],
        "code_commit": checkout.commit(),
        "lock_digest": checkout.lock_digest(),
        "libraries": {name: version(name) for name in before["libraries"]},
        "lineage": {
            "parent": parent.digest,
            "change": CHANGE,
            "method": str(record.method),
            "cohort": record.data["fingerprint"],
            "courses": record.data["courses"],
        },
    }


def _trained_on(before: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """The parent's data; synthetic once any course was, so that the warning stays.

    A parent without data says so, and takes the grading from the courses that it was recalibrated on.
    """
    held = {**before, "synthetic": bool(before["synthetic"] or data["synthetic"])}
    return held if before["courses"] else {**held, "name": RATES, "grading": data["grading"]}


def seen(about: Mapping[str, Any]) -> frozenset[str]:
    """Fingerprints of every cohort that a version learnt from, and of the whole cohorts of which those were a part."""
    held = {one.get(name, "") for one in data_of(about) for name in ("fingerprint", "source_fingerprint")}
    return frozenset(held - {""})


def card_of(parent: Bundle, about: Mapping[str, Any]) -> dict[str, Any]:
    """The parent's card with what was recalibrated; its reporting items filled anew."""
    synthetic = about["trained_on"]["synthetic"]
    card = {
        **parent.card,
        "name": about["name"],
        "trained_on": about["trained_on"],
        "data_checks_overridden": about["overrides"],
        "recalibrations": [_shown(one) for one in about["recalibrations"]],
        "warning": "trained or recalibrated on SYNTHETIC courses: not for clinical use" if synthetic else "",
    }
    facts = {**of_training(card, about, parent.spec), "updating": updating(about)}
    return {**card, "reporting": reporting(facts)}


def _shown(one: Mapping[str, Any]) -> dict[str, Any]:
    """A recalibration as the card tells it, without small counts; settings and metrics stand in the manifest."""
    held = {key: value for key, value in one.items() if key not in ("settings", "metrics")}
    left = {key: uncounted(why) for key, why in one["left_as_they_were"].items()}
    return {**held, "left_as_they_were": left, "outcomes": {key: _told(line) for key, line in one["outcomes"].items()}}


def _told(line: Mapping[str, Any]) -> dict[str, Any]:
    events = line["events"]
    return {**line, "events": told(events, events, line["courses"] - events)}
