"""Two versions side by side: data, columns, settings, figures, bands, lineage, and the golden courses' answers."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from audit import manifest
from audit.versions import Opened
from features import catalogue
from features.bundle import Bundle
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor
from features.single import CourseInput, snapshots

#: Name of what is compared -> what the first and the second version have; None where one has nothing of that name.
Pairs = dict[str, tuple[Any, Any]]


def diff(first: Opened, second: Opened) -> dict[str, Any]:
    """Everything that can be compared, as JSON. Each pair is [first, second].

    "answers" holds the golden courses of both versions, each computed by both; one is "changed" where a probability
    differs in any bit, or a band does.
    """
    one, other = first.bundle, second.bundle
    answers = _answers(one, other)
    return {
        "versions": [asdict(first.model), asdict(second.model)],
        "same_bundle": first.model.digest == second.model.digest,
        "lineage": _unequal(_lineage(first), _lineage(second)),
        "descent": _descent(first, second),
        "data": _unequal(_data(one), _data(other)),
        "columns": _columns(one, other),
        "parameters": _unequal(dict(one.about.get("settings", {})), dict(other.about.get("settings", {}))),
        "metrics": _metrics(one, other),
        "policy": _unequal(_policy(one), _policy(other)),
        "answers": answers,
        "answers_changed": sum(held["changed"] for held in answers),
    }


def _unequal(first: Mapping[str, Any], second: Mapping[str, Any]) -> Pairs:
    names = [*first, *(name for name in second if name not in first)]
    pairs = {name: (first.get(name), second.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _lineage(opened: Opened) -> dict[str, Any]:
    about = opened.bundle.about
    facts = {key: about.get(key) for key in ("name", "code_commit", "lock_digest")}
    libraries = {f"library {name}": version for name, version in about.get("libraries", {}).items()}
    registered = {"registered": opened.registered, "kind_of_change": opened.kind_of_change}
    return {**registered, **about.get("lineage", {}), **facts, **libraries}


def _descent(first: Opened, second: Opened) -> str:
    parents = [one.bundle.about.get("lineage", {}).get("parent") for one in (first, second)]
    if parents[1] == first.model.digest:
        return "the second was made from the first"
    if parents[0] == second.model.digest:
        return "the first was made from the second"
    return "both were made from the same version" if parents[0] and parents[0] == parents[1] else "no direct descent"


def _data(held: Bundle) -> dict[str, Any]:
    """Facts of the training data, and of each recalibration's by its number."""
    found: dict[str, Any] = {}
    for number, one in enumerate(manifest.data_of(held)):
        use = one["use"] if number == 0 else f"{one['use']} {number}"
        found |= {f"{use}: {key}": value for key, value in one.items() if key != "use"}
    grading = held.about.get("trained_on", {}).get("grading", {})
    return found | {f"training: {event}": system for event, system in grading.items()}


def _columns(first: Bundle, second: Bundle) -> dict[str, Any]:
    one, other = ({held.name: asdict(held) for held in bundle.spec.columns} for bundle in (first, second))
    return {
        "fingerprints": (first.spec.fingerprint, second.spec.fingerprint),
        "counts": (len(one), len(other)),
        "left": [name for name in one if name not in other],
        "new": [name for name in other if name not in one],
        "changed": {
            name: _unequal(one[name], other[name]) for name in one if name in other and one[name] != other[name]
        },
    }


def _metrics(first: Bundle, second: Bundle) -> list[dict[str, Any]]:
    """One row per outcome, index time, predictor and metric: both estimates with their ends, None without one."""
    one, other = _estimates(first), _estimates(second)
    names = [*one, *(name for name in other if name not in one)]
    keys = ("outcome", "index_time", "predictor", "metric")
    return [{**dict(zip(keys, name, strict=True)), "pair": (one.get(name), other.get(name))} for name in names]


def _estimates(held: Bundle) -> dict[tuple[str, ...], Any]:
    return {
        (one["outcome"], one["index_time"], one["predictor"], name): found
        for one in manifest.results_of(held)
        for name, found in one["metrics"].items()
    }


def _policy(held: Bundle) -> dict[str, Any]:
    """Bands and intended use, flat: "crs_2plus: high_from"."""
    body = dict(held.policy.to_json())
    bands = {f"{key}: {name}": value for key, one in body.pop("thresholds").items() for name, value in one.items()}
    return {**bands, **body}


def _answers(first: Bundle, second: Bundle) -> list[dict[str, Any]]:
    inputs = list(_unique(held["input"] for bundle in (first, second) for held in bundle.golden.get("courses", ())))
    if not inputs:
        return []
    found = [_answered(bundle, inputs) for bundle in (first, second)]
    return [
        {"course": course, "outcomes": _paired(one, other), "changed": one != other}
        for course, one, other in zip(inputs, *found, strict=True)
    ]


def _unique(inputs: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    seen: list[Mapping[str, Any]] = []
    for one in inputs:
        if one not in seen:
            seen.append(one)
            yield one


def _answered(held: Bundle, inputs: list[Mapping[str, Any]]) -> list[dict[str, dict[str, Any]]]:
    """Per course and outcome: probability, None where the outcome is not evaluated, and band."""
    predictor = Predictor(held, catalogue.load())
    courses = [CourseInput.from_json(one) for one in inputs]
    found = predictor.predict(snapshots(predictor.catalogue, courses)).probability.tolist()
    return [
        {
            key: {"probability": None if math.isnan(value) else value, "band": held.policy.band(key, value)}
            for key, value in zip(OUTCOME_KEYS, row, strict=True)
        }
        for row in found
    ]


def _paired(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: {
            "probability": (one[key]["probability"], other[key]["probability"]),
            "band": (one[key]["band"], other[key]["band"]),
            "changed": one[key] != other[key],
        }
        for key in OUTCOME_KEYS
    }
