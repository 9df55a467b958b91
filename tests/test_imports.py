"""Imports between the rooms run one way, and heavy libraries stay in the files that own them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("features", "data", "training", "serving", "audit")
ARROWS = {
    "serving": {"audit", "features"},
    "training": {"data", "audit", "features"},
    "data": {"features"},
    "audit": {"features"},
    "features": set(),
}
#: Libraries and the files that may import them: a room, or one file of a room.
OWNERS = {
    "mlflow": ("training/tracking.py", "training/mlflow_model.py"),
    "bentoml": ("serving/", "training/promote.py"),
    "xgboost": ("features/predict.py", "training/", "serving/", "audit/", "data/"),
    "pandas": ("data/", "training/", "audit/"),
    "sklearn": ("data/", "training/", "serving/", "audit/"),
    "dask": ("training/cluster.py",),
    "distributed": ("training/cluster.py",),
    "duckdb": ("data/omop_files.py",),
    # Between processes of one machine, over a pair of sockets that nobody else can reach; nothing is stored so.
    "pickle": ("training/shelf.py",),
    "cloudpickle": (),
    "joblib": (),
}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported top-level package, and whether it is inside a function."""

    package: str
    line: int
    lazy: bool


def imports(path: Path) -> Iterator[Import]:
    """Every import of a file, those inside functions and by name included."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    ]
    inside = {id(child) for function in functions for child in ast.walk(function)}
    for node in ast.walk(tree):
        for name in _names(node):
            yield Import(name.split(".")[0], getattr(node, "lineno", 0), id(node) in inside)


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""] if node.level == 0 else []
    if isinstance(node, ast.Call) and ast.unparse(node.func) in (
        "import_module",
        "importlib.import_module",
        "__import__",
    ):
        return [str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant)]
    return []


def forbidden(root: Path) -> list[str]:
    """`file:line package` of every import that breaks a rule, over all rooms, crs.py and commands/ below `root`."""
    found = []
    for path in sorted(path for room in ROOMS for path in (root / room).rglob("*.py")):
        place = path.relative_to(root).as_posix()
        room = place.split("/")[0]
        for one in imports(path):
            strange_room = one.package in ROOMS and one.package not in ARROWS[room] | {room}
            strange_library = one.package in OWNERS and not place.startswith(OWNERS[one.package])
            if strange_room or strange_library or one.package in ("crs", "commands", "tests", "benchmarks"):
                found.append(f"{place}:{one.line} {one.package}")
    for path in (*root.glob("crs.py"), *sorted(root.glob("commands/*.py"))):
        place = path.relative_to(root).as_posix()
        found += [f"{place}:{one.line} {one.package}" for one in imports(path) if one.package in ROOMS and not one.lazy]
    return found


def test_imports_between_the_rooms_run_one_way() -> None:
    assert forbidden(ROOT) == []


def test_the_walk_sees_the_rooms_it_judges() -> None:
    seen = {one.package for one in imports(ROOT / "features" / "predict.py")}
    assert {"xgboost", "numpy", "features"} <= seen


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("features/x.py", "import data.tables"),
        ("features/x.py", "from training import fit"),
        ("features/x.py", "import pandas as pd"),
        ("features/x.py", "import xgboost"),
        ("features/x.py", "from sklearn.isotonic import IsotonicRegression"),
        ("features/x.py", "import numpy, mlflow"),
        ("features/x.py", "def f():\n    import bentoml"),
        ("features/deep/x.py", "from audit.ledger import Ledger"),
        ("features/x.py", "import pickle"),
        ("serving/x.py", "import training.fit"),
        ("serving/x.py", "from data import tables"),
        ("serving/x.py", "import mlflow"),
        ("serving/x.py", "import pandas"),
        ("audit/x.py", "from serving import api"),
        ("audit/x.py", "import mlflow"),
        ("data/x.py", "import training"),
        ("data/x.py", "import duckdb"),
        ("data/x.py", "import importlib\nimportlib.import_module('audit.ledger')"),
        ("training/fit.py", "import mlflow"),
        ("training/x.py", "import bentoml"),
        ("training/fit.py", "def f():\n    import dask"),
        ("serving/x.py", "from distributed import Client"),
        ("training/x.py", "from serving import api"),
        ("training/x.py", "import crs"),
        ("training/x.py", "from commands import models"),
        ("crs.py", "from training import fit"),
        ("commands/models.py", "from training import fit"),
    ],
)
def test_a_planted_import_is_caught(tmp_path: Path, place: str, line: str) -> None:
    planted = tmp_path / place
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text(f"import json\n{line}\n", encoding="utf-8")
    assert [one.split(":")[0] for one in forbidden(tmp_path)] == [place]


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("features/predict.py", "import xgboost"),
        ("training/tracking.py", "import mlflow"),
        ("data/omop_files.py", "import duckdb"),
        ("training/mlflow_model.py", "import mlflow"),
        ("training/promote.py", "import bentoml"),
        ("training/cluster.py", "import distributed"),
        ("serving/x.py", "import bentoml\nfrom audit import ledger\nfrom serving import api"),
        ("training/x.py", "import data, audit, features, pandas, sklearn"),
        ("crs.py", "def train():\n    from training import fit"),
        ("commands/models.py", "def train():\n    from training import fit"),
    ],
)
def test_an_import_along_an_arrow_passes(tmp_path: Path, place: str, line: str) -> None:
    planted = tmp_path / place
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text(f"{line}\n", encoding="utf-8")
    assert forbidden(tmp_path) == []
