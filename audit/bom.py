"""The bill of materials of a model (ML-BOM): CycloneDX 1.6 JSON with the model, its data and its libraries.

Source: CycloneDX 1.6 JSON schema, by which the tests check every document.
"""

import uuid
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from audit import manifest
from audit.versions import Opened
from features import bundle
from features.bundle import Bundle
from features.home import MODEL_NAME
from features.outcomes import OUTCOME_KEYS, OUTCOMES

#: The predictor among the results that is the model itself; the others are what it has to beat.
_OWN = "model"
_TASK = "risk of cytokine release syndrome and neurotoxicity within a horizon"


def bom(opened: Opened) -> dict[str, Any]:
    """The document. It holds nothing but what the bundle and its registration say, so the same again is the same."""
    data, libraries = list(_data(opened.bundle)), list(_libraries(opened.bundle))
    model = _model(opened, [one["bom-ref"] for one in data])
    below = [one["bom-ref"] for one in (*data, *libraries)]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'crs-risk:{opened.model.digest}')}",
        "version": 1,
        "metadata": {"timestamp": opened.registered, "component": model},
        "components": [*data, *libraries],
        "dependencies": [{"ref": model["bom-ref"], "dependsOn": below}, *({"ref": one} for one in below)],
    }


def _model(opened: Opened, data: list[str]) -> dict[str, Any]:
    held, model = opened.bundle, opened.model
    about = held.about
    facts = {
        "parent": about.get("lineage", {}).get("parent") or "none",
        "kind_of_change": opened.kind_of_change,
        "spec_fingerprint": held.spec.fingerprint,
        "code_commit": about.get("code_commit", ""),
        "lock_digest": about.get("lock_digest", ""),
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{model.digest}",
        "name": MODEL_NAME,
        "version": model.version,
        "description": str(about.get("name", "")),
        "hashes": [_hash(model.digest)],
        "modelCard": _card(held, data),
        "properties": [*_properties(facts), *_properties(about.get("settings", {}), "settings:")],
        "components": [_file(name, body) for name, body in sorted(bundle.contents(held).items())],
    }


def _file(name: str, body: bytes) -> dict[str, Any]:
    digest = sha256(body).hexdigest()
    return {"type": "file", "bom-ref": f"file:{name}:{digest}", "name": name, "hashes": [_hash(digest)]}


def _card(held: Bundle, data: list[str]) -> dict[str, Any]:
    outputs = [{"format": f"probability of {one.key}, 0 to 1"} for one in OUTCOMES]
    limits = [f"{key}: the published rate stands" for key in OUTCOME_KEYS if not held.fitted(key)]
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": _TASK,
            "architectureFamily": "gradient-boosted trees" if held.boosters else "published rates",
            "modelArchitecture": "XGBoost per outcome on top of a published rate, calibrated",
            "datasets": [{"ref": one} for one in data],
            "inputs": [{"format": f"{len(held.spec.columns)} numbers, the columns of spec.json"}],
            "outputs": outputs,
        },
        "quantitativeAnalysis": {"performanceMetrics": list(_metrics(held))},
        "considerations": {"useCases": [held.policy.intended_use], "technicalLimitations": limits},
    }


def _metrics(held: Bundle) -> Iterator[dict[str, Any]]:
    """The model's own figures, each with its interval; slice: outcome and index time."""
    for one in manifest.results_of(held):
        for name, found in one["metrics"].items() if one["predictor"] == _OWN else ():
            if found["value"] is not None:
                place = f"{one['outcome']}, {one['index_time']}"
                yield {"type": name, "value": str(found["value"]), "slice": place, **_interval(found)}


def _interval(found: Mapping[str, Any]) -> dict[str, Any]:
    if found["low"] is None or found["high"] is None:
        return {}
    return {"confidenceInterval": {"lowerBound": str(found["low"]), "upperBound": str(found["high"])}}


def _data(held: Bundle) -> Iterator[dict[str, Any]]:
    for one in manifest.data_of(held):
        yield {
            "type": "data",
            "bom-ref": f"data:{one['use']}:{one.get('fingerprint', one.get('name', ''))}",
            "name": str(one.get("name", "unnamed")),
            "data": [{"type": "dataset", "name": str(one.get("name", "unnamed")), "classification": "patients' data"}],
            "properties": _properties(one),
        }


def _libraries(held: Bundle) -> Iterator[dict[str, Any]]:
    """What the model was made with, by the versions that the bundle names, which are those of the lock it names."""
    for name, version in sorted(held.about.get("libraries", {}).items()):
        purl = f"pkg:pypi/{name}@{version}"
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _hash(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}


def _properties(facts: Mapping[str, Any], prefix: str = "") -> list[dict[str, str]]:
    return [{"name": f"crs-risk:{prefix}{name}", "value": str(value)} for name, value in sorted(facts.items())]
