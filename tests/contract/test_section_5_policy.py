"""Section 5 of the requirements where it rules out whole ways of failing: services, formats, versions, defaults."""

import ast
import io
import json
import pickle
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

import crs
from features import bundle, catalogue
from features.errors import BundleError, UsageError
from features.predict import Predictor
from serving.trust import reading
from tests.features.test_bundle import sign_again
from tests.serving.builders import TRAINED, trained_bundle
from tests.test_imports import ROOMS, ROOT, forbidden
from tests.test_repository import locked, text

#: What of BentoML is used: a service, its methods, its model store and counter. No dependency, runner or foreign bento.
OF_BENTOML = {
    "bentoml.service",
    "bentoml.api",
    "bentoml.Service",
    "bentoml.metrics.Counter",
    "bentoml.models.get",
    "bentoml.models.create",
    "bentoml.exceptions.NotFound",
    "bentoml.exceptions.BentoMLException",
    "bentoml._internal.context.server_context",
    "bentoml._internal.models.model.ModelStore",
}


def used(package: str) -> Iterator[str]:
    """Dotted names of that package which the product uses, imported or spelt out."""
    for path in (*(path for room in (*ROOMS, "commands") for path in (ROOT / room).rglob("*.py")), ROOT / "crs.py"):
        yield from used_in(path.read_text(encoding="utf-8"), package)


def used_in(source: str, package: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package:
            found |= {f"{node.module}.{one.name}" for one in node.names}
        elif isinstance(node, ast.Attribute) and re.fullmatch(rf"{package}(\.\w+)+", ast.unparse(node)):
            found.add(ast.unparse(node))
    return {one for one in found if not any(other.startswith(f"{one}.") for other in found)}


def test_line_5_1_4_there_is_one_service_and_nothing_depends_on_another() -> None:
    assert set(used("bentoml")) <= OF_BENTOML
    made = [
        path.name
        for path in (ROOT / "serving").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and any("bentoml.service" in ast.unparse(one) for one in node.decorator_list)
    ]
    assert made == ["service.py"]


@pytest.mark.parametrize(
    "line", ["other = bentoml.depends(Other)", "from bentoml import depends", "bentoml.import_bento('x')"]
)
def test_line_5_1_4_a_planted_dependency_or_foreign_bento_would_be_found(line: str) -> None:
    assert not used_in(f"import bentoml\n{line}\n", "bentoml") <= OF_BENTOML


def defaults(verb: str) -> dict[str, Any]:
    command: Any = typer.main.get_command(crs.app)
    return {one.name: one.default for one in command.commands[verb].params}


@pytest.mark.parametrize("verb", ["serve", "demo"])
def test_line_5_1_5_without_being_told_otherwise_it_listens_to_this_machine_alone(verb: str) -> None:
    assert defaults(verb)["host"] == "127.0.0.1"


# 5.2 known bad versions

#: Advisory -> package, and the first version without the fault.
FIXED = {
    "CVE-2025-27520": ("bentoml", "1.4.3"),
    "CVE-2025-32375": ("bentoml", "1.4.8"),
    "CVE-2024-9056": ("bentoml", "1.4.6"),
    "CVE-2026-27905": ("bentoml", "1.4.36"),
    "CVE-2026-2614": ("mlflow", "3.10.0"),
    "CVE-2026-0545": ("mlflow", "3.10.2"),
    "CVE-2025-10279": ("mlflow", "3.11.0"),
    "CVE-2026-4137": ("mlflow", "3.11.0"),
}


def parts(version: str) -> tuple[int, ...]:
    return tuple(int(one) for one in version.split("."))


def pinned(package: str) -> str:
    found = re.match(r"[^=]+==([0-9.]+)", locked()[package])
    assert found, package
    return found[1]


@pytest.mark.parametrize("advisory", FIXED)
def test_line_5_2_1_the_lock_holds_no_version_with_a_known_fault(advisory: str) -> None:
    package, fixed = FIXED[advisory]
    assert parts(pinned(package)) >= parts(fixed)
    assert f'"{package}=={pinned(package)}"' in text("pyproject.toml")  # no other version can be resolved


@pytest.mark.parametrize("package", ["mlflow", "mlflow-skinny", "mlflow-tracing"])
def test_line_5_2_5_every_part_of_mlflow_is_above_the_floor(package: str) -> None:
    assert parts(pinned(package)) >= (3, 11)


def test_line_5_2_1_versions_are_compared_by_number() -> None:
    assert parts("1.4.9") < parts("1.4.36") < parts("1.10.0")


def test_line_5_2_6_nothing_that_serves_can_reach_mlflow() -> None:
    """mlflow-skinny cannot open the embedded store, so the whole of it is installed; only training may import it."""
    assert forbidden(ROOT) == []
    assert {path.split("/")[0] for path in owners("mlflow")} == {"training"}


def owners(package: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if used_in(path.read_text(encoding="utf-8"), package)
    }


def test_line_5_2_7_no_model_is_loaded_by_mlflow() -> None:
    """Its files are fetched and read as a bundle; the models-from-code beside it are for MLflow's own users."""
    names = {one.rpartition(".")[2] for one in used("mlflow")}
    assert "log_model" in names
    assert not [one for one in names if one.startswith(("load_", "import_"))]


# 5.2 model formats


class Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return (Path.touch, (self.place,))


def zipped(body: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("model.pkl", body)
    return held.getvalue()


FORMATS: dict[str, Any] = {
    "protocol 0": lambda one: pickle.dumps(one, 0),
    "protocol 2": lambda one: pickle.dumps(one, 2),
    "protocol 5": lambda one: pickle.dumps(one, 5),
    "as joblib compresses": lambda one: zlib.compress(pickle.dumps(one)),
    "in an archive": lambda one: zipped(pickle.dumps(one)),
}
NAME = f"model-{TRAINED[0]}.ubj"


@pytest.mark.parametrize("named", FORMATS)
def test_line_5_2_8_a_pickle_under_a_models_name_is_refused_by_its_content_and_never_run(
    named: str, tmp_path: Path
) -> None:
    body = FORMATS[named](Planted(tmp_path / "planted"))
    bundle.write(replace(trained_bundle(), boosters={TRAINED[0]: body}), tmp_path / "bundle")  # well signed
    with pytest.raises(BundleError, match="not a model that XGBoost reads") as caught:
        Predictor(bundle.read(tmp_path / "bundle"), catalogue.load())
    assert caught.value.place == NAME
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "python_model.pkl", "model-crs_9plus.ubj"])
def test_line_5_2_8_a_file_that_no_bundle_has_is_refused_even_if_the_manifest_names_it(
    name: str, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    bundle.write(trained_bundle(), folder)
    (folder / name).write_bytes(pickle.dumps(Planted(tmp_path / "planted")))
    sign_again(folder)
    assert name in json.loads((folder / "manifest.json").read_bytes())["files"]
    with pytest.raises(BundleError, match="the file is none that a bundle has") as caught:
        bundle.read(folder)
    assert caught.value.place == name
    assert not (tmp_path / "planted").exists()


# 5.3 settings that cannot be loosened, and what an operator copies


def test_line_5_3_06_no_setting_lets_a_token_for_a_call_live_longer_than_five_minutes(tmp_path: Path) -> None:
    path = tmp_path / "trust.toml"
    assert reading.from_mapping({"tokens": {"longest_life_seconds": 300}}, path).tokens.longest_life_seconds == 300
    with pytest.raises(UsageError, match=r"tokens\.longest_life_seconds"):
        reading.from_mapping({"tokens": {"longest_life_seconds": 301}}, path)


@pytest.mark.parametrize(("days", "good"), [(0, True), (59, False), (60, True)])
def test_section_1_3_4_a_window_never_cuts_what_would_count(days: int, good: bool, tmp_path: Path) -> None:
    held = {"hooks": {"days": days}}
    if good:
        assert reading.from_mapping(held, tmp_path / "trust.toml").hooks.days == days
    else:
        with pytest.raises(UsageError, match=r"hooks\.days: expected 0, or 60 or more"):
            reading.from_mapping(held, tmp_path / "trust.toml")


def test_line_5_3_20_the_documented_unit_runs_without_rights_and_writes_to_its_home_alone() -> None:
    (unit,) = re.findall(r"```\n(\[Service\]\n.*?)```", text("docs/operations.md"), re.DOTALL)
    held = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line)
    assert held["User"] not in ("", "root")
    assert (held["NoNewPrivileges"], held["ProtectSystem"]) == ("yes", "strict")
    assert held["Environment"] == f"CRS_RISK_HOME={held['ReadWritePaths']}"
