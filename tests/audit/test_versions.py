"""`crs audit bom` and `crs audit diff`: what a version is made of, and what changed between two."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from audit import manifest, model_verbs
from audit.bom import bom
from audit.diff import diff
from audit.events import Kind
from audit.ledger import open_ledger
from audit.manifest import Model
from audit.versions import Opened, opened
from features import bundle
from features.bundle import Bundle
from features.errors import BundleError
from features.home import Home
from features.outcomes import OUTCOME_KEYS
from tests.serving.builders import GOLDEN_COURSES, prior_bundle, promote, trained_bundle

ESTIMATE = {"value": 0.8, "low": 0.7, "high": None}
OTHER_ESTIMATE = {"value": 0.75, "low": 0.65, "high": 0.85}


def result(metrics: dict[str, Any], predictor: str = "model") -> dict[str, Any]:
    place = {"outcome": "crs_2plus", "index_time": "all", "predictor": predictor}
    return {**place, "rows": 100, "events": 20, "metrics": metrics}


def parent() -> Bundle:
    about = {
        **trained_bundle().about,
        "metrics": [result({"auroc": ESTIMATE}), result({"auroc": OTHER_ESTIMATE}, "prior")],
        "settings": {"rounds": 200, "seed": 7},
        "libraries": {"numpy": "2.1.0", "xgboost-cpu": "3.0.0"},
        "code_commit": "a" * 40,
        "lock_digest": "b" * 64,
    }
    about["trained_on"] = {**about["trained_on"], "fingerprint": "f" * 64}
    return replace(trained_bundle(), about=about)


def child() -> Bundle:
    """Other bands, one setting and a data set more."""
    held = parent()
    high = {key: replace(one, intermediate_from=0.99, high_from=0.999) for key, one in held.policy.thresholds.items()}
    last = {
        "data": {"name": "own", "courses": 50, "fingerprint": "e" * 64},
        "metrics": [result({"auroc": OTHER_ESTIMATE})],
    }
    about = {
        **held.about,
        "settings": {"rounds": 300, "seed": 7},
        "lineage": {"parent": held.digest, "change": "recalibration"},
        "recalibrations": [last],
    }
    return replace(held, policy=replace(held.policy, thresholds=high), about=about)


def of(held: Bundle, version: str = "1") -> Opened:
    return Opened(Model(version, held.digest), held, "2026-03-01T12:00:00Z", "first")


def pairs(held: Any) -> Any:
    return json.loads(json.dumps(held))


@pytest.mark.parametrize("held", [prior_bundle(), trained_bundle(), parent(), child()])
def test_every_bill_of_materials_is_valid_by_the_strict_schema(held: Bundle) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom(of(held)))) is None


def test_the_schema_would_refuse_an_unknown_key() -> None:
    spoilt = bom(of(parent()))
    spoilt["metadata"]["component"]["modelCard"]["of_ours"] = 1
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(spoilt)) is not None


def test_the_bill_names_the_model_its_files_its_data_and_its_libraries() -> None:
    made = bom(of(child(), "4"))
    model = made["metadata"]["component"]
    assert (model["type"], model["version"]) == ("machine-learning-model", "4")
    assert model["hashes"] == [{"alg": "SHA-256", "content": child().digest}]
    assert [one["name"] for one in model["components"]] == sorted(bundle.contents(child()))
    data = [one for one in made["components"] if one["type"] == "data"]
    assert [one["name"] for one in data] == ["random", "own"]
    assert [one["bom-ref"] for one in data] == [f"data:training:{'f' * 64}", f"data:recalibration:{'e' * 64}"]
    libraries = {one["name"]: one["version"] for one in made["components"] if one["type"] == "library"}
    assert libraries == {"numpy": "2.1.0", "xgboost-cpu": "3.0.0"}
    assert {"name": "crs-risk:parent", "value": parent().digest} in model["properties"]


def test_figures_stand_in_the_model_card_with_the_ends_that_are_defined() -> None:
    def told(held: Bundle) -> Any:
        return bom(of(held))["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]

    same = {"type": "auroc", "slice": "crs_2plus, all"}
    assert told(parent()) == [{**same, "value": "0.8"}]
    assert told(child()) == [
        {**same, "value": "0.75", "confidenceInterval": {"lowerBound": "0.65", "upperBound": "0.85"}}
    ]


def test_the_same_version_has_the_same_bill() -> None:
    assert bom(of(parent())) == bom(of(parent()))
    assert bom(of(parent()))["serialNumber"] != bom(of(child()))["serialNumber"]


def test_a_version_beside_itself_differs_in_nothing() -> None:
    found = diff(of(parent()), of(parent()))
    assert found["same_bundle"]
    assert [found[name] for name in ("lineage", "data", "parameters", "policy")] == [{}] * 4
    assert (found["columns"]["left"], found["columns"]["new"], found["columns"]["changed"]) == ([], [], {})
    assert (found["answers_changed"], len(found["answers"])) == (0, len(GOLDEN_COURSES))


def test_a_difference_is_told_by_value() -> None:
    found = pairs(diff(of(parent()), of(child(), "2")))
    assert found["descent"] == "the second was made from the first"
    assert found["parameters"] == {"rounds": [200, 300]}
    assert found["data"]["recalibration 1: name"] == [None, "own"]
    assert found["lineage"]["parent"] == [None, parent().digest]
    assert found["policy"] == {"crs_2plus: intermediate_from": [0.1, 0.99], "crs_2plus: high_from": [0.4, 0.999]}
    own = [one for one in found["metrics"] if one["predictor"] == "model"]
    assert [one["pair"] for one in own] == [[ESTIMATE, OTHER_ESTIMATE]]


def test_answers_that_change_are_told_by_band_and_by_probability() -> None:
    found = pairs(diff(of(parent()), of(child())))
    assert found["answers_changed"] == len(GOLDEN_COURSES)
    for one in found["answers"]:
        assert {key for key, held in one["outcomes"].items() if held["changed"]} == {"crs_2plus"}
        assert one["outcomes"]["crs_2plus"]["band"] == ["high", "low"]
        assert one["outcomes"]["crs_2plus"]["probability"][0] == one["outcomes"]["crs_2plus"]["probability"][1]
        assert list(one["outcomes"]) == list(OUTCOME_KEYS)
    other = pairs(diff(of(prior_bundle()), of(trained_bundle())))
    changed = [one["outcomes"]["crs_2plus"]["probability"] for one in other["answers"]]
    recorded = [
        [float.fromhex(one["answer"]["probability"][OUTCOME_KEYS.index("crs_2plus")]) for one in held.golden["courses"]]
        for held in (prior_bundle(), trained_bundle())
    ]
    assert changed == [list(pair) for pair in zip(*recorded, strict=True)]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Versions 1 and 2 in the model store, version 3 registered alone."""
    found = Home(tmp_path / "home")
    promote(found, parent(), "1")
    promote(found, child(), "2")
    with open_ledger(found) as ledger:
        manifest.register(ledger, "3", prior_bundle(), "published-rates")
    return found


def fetch(which: str, folder: Path) -> Model:
    """What MLflow would give for version 3."""
    assert which == "3"
    return Model(which, bundle.write(prior_bundle(), folder))


def test_a_version_that_was_never_promoted_is_taken_from_the_registry(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    model_verbs.diff(home, "1", "3", True, fetch)
    assert json.loads(capsys.readouterr().out)["versions"][1]["digest"] == prior_bundle().digest


def test_a_swapped_file_of_a_version_is_named_and_nothing_is_compared(home: Home) -> None:
    with open_ledger(home) as ledger:
        assert opened(ledger, "1", fetch).bundle.digest == parent().digest
        for path in home.bentoml.glob("models/crs-risk/*/bundle/golden.json"):
            path.write_bytes(path.read_bytes() + b" ")
        with pytest.raises(BundleError, match=r"golden\.json: its bytes are not those of the signed manifest"):
            opened(ledger, "1", fetch)


def test_the_verbs_print_files_and_tables_and_are_recorded(
    crs_audit: Callable[..., str], home: Home, tmp_path: Path
) -> None:
    crs_audit("bom", "--version", "2", "--out", tmp_path / "bom.json")
    made = json.loads((tmp_path / "bom.json").read_text())
    assert made["metadata"]["component"]["hashes"][0]["content"] == child().digest
    assert json.loads(crs_audit("bom", "--version", 2)) == made
    shown = crs_audit("diff", 1, 2)
    for told in ("version 1", "rounds", "the second was made from the first", "0.800 (0.700 to ?)", "high -> low"):
        assert told in shown
    assert "2 of 2 golden courses are answered otherwise" in shown
    assert json.loads(crs_audit("diff", 1, 2, "--json"))["parameters"] == {"rounds": [200, 300]}
    with open_ledger(home, writes=False) as ledger:
        verbs = [one.body["verb"] for one in ledger.records(Kind.ACCESS)]
    assert verbs == ["bom", "bom", "diff", "diff"]
