"""One small synthetic cohort, one tiny model trained on it, and one MLflow home, each made once."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

# MLflow and BentoML read these when they are imported; the tests import them after this file.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")

from data import synthetic
from data.synthetic import SyntheticCohort
from data.tables import Cohort, cohort_from_frames
from features import catalogue
from features.catalogue import Catalogue
from features.home import Home
from training.config import Settings
from training.train import Trained, prior_only, train

#: As little as still goes through every step.
TINY = Settings(folds=3, rounds=12, learning_rate=0.2, min_child_weight=4.0, fewest_events=40, bootstrap=4, workers=1)
SMALL = replace(TINY, rounds=6, bootstrap=0)


@pytest.fixture(scope="session")
def tables() -> Catalogue:
    return catalogue.load()


@pytest.fixture(scope="session")
def made_up() -> SyntheticCohort:
    """300 synthetic courses with their true risks."""
    return synthetic.generate(300, 7)


@pytest.fixture(scope="session")
def cohort(made_up: SyntheticCohort) -> Cohort:
    return cohort_from_frames(made_up.courses, made_up.observations, made_up.events)


@pytest.fixture(scope="session")
def cohort_folder(made_up: SyntheticCohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort") / "synthetic"
    synthetic.write(folder, made_up)
    return folder


@pytest.fixture(scope="session")
def trained(cohort: Cohort, tables: Catalogue) -> Trained:
    return train(cohort, "synthetic-tiny", TINY, tables, lambda _: None)


@dataclass(frozen=True)
class Registry:
    """A home whose MLflow holds version 1, trained, and version 2, published rates alone."""

    home: Home
    trained: Trained
    digests: tuple[str, str]
    run_id: str


@pytest.fixture(scope="session")
def registry(
    trained: Trained, cohort_folder: Path, tables: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> Registry:
    from training import tracking

    home = Home(tmp_path_factory.mktemp("registry") / "home")
    first = tracking.log_training(home, trained, cohort_folder)
    rates = Trained(prior_only(tables, "prior-only", TINY), (), 0)
    second = tracking.log_training(home, rates, Path("."))
    return Registry(home, trained, (first.digest, second.digest), first.run_id)


@pytest.fixture
def own_home(registry: Registry, tmp_path: Path) -> Callable[[], Home]:
    """A copy of the registry's home; the artifacts, which are only read, stay where they are."""

    def copy() -> Home:
        shutil.copytree(registry.home.folder, tmp_path / "home", ignore=shutil.ignore_patterns("artifacts"))
        return Home(tmp_path / "home")

    return copy
