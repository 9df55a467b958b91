"""MLflow holds every run and every bundle, by number and by alias, and gives back nothing that was altered."""

import json
import os
import runpy
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from data.tables import Cohort
from features import bundle
from features.catalogue import Catalogue
from features.errors import BundleError, StoreError, UsageError
from features.golden import courses as golden_courses
from features.home import MODEL_NAME, Home
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor
from features.single import snapshots
from tests.postgres import postgresql
from tests.real_data import ROOT
from tests.training.conftest import TINY, Registry
from training import tracking
from training.evaluate import flat

pytestmark = pytest.mark.slow


@pytest.fixture
def client(registry: Registry) -> MlflowClient:
    with tracking.store(registry.home) as found:
        return found


@pytest.fixture
def run(registry: Registry, client: MlflowClient) -> Run:
    return client.get_run(registry.run_id)


def aliases(client: MlflowClient) -> dict[str, str]:
    return {key: str(number) for key, number in client.get_registered_model(MODEL_NAME).aliases.items()}


# A training run


def test_a_run_has_its_parameters(run: Run, registry: Registry, cohort: Cohort) -> None:
    held = run.data.params
    assert held["settings.rounds"] == str(TINY.rounds)
    assert {f"settings.{key}" for key in TINY.recipe()} <= set(held)
    assert held["data_fingerprint"] == cohort.fingerprint
    assert held["spec_fingerprint"] == registry.trained.bundle.spec.fingerprint
    assert held["courses"] == "300"
    fitted = [key for key in OUTCOME_KEYS if registry.trained.bundle.fitted(key)]
    assert held["outcomes_fitted"] == ", ".join(fitted)


def test_a_run_has_its_metrics(run: Run, registry: Registry) -> None:
    expected = flat(registry.trained.results)
    assert "crs_2plus.0h.model.auroc" in expected
    assert run.data.metrics == pytest.approx(expected)


def test_a_run_names_its_data_by_our_own_digest(run: Run, cohort: Cohort, cohort_folder: Path) -> None:
    (given,) = run.inputs.dataset_inputs
    assert given.dataset.digest == cohort.fingerprint[:36]
    assert given.dataset.name == "synthetic-tiny"
    assert json.loads(given.dataset.source)["uri"] == str(cohort_folder.resolve())


def test_a_run_is_tagged_and_ends_well(run: Run, registry: Registry) -> None:
    assert run.data.tags["bundle_digest"] == registry.digests[0]
    assert run.data.tags["synthetic"] == "true"
    assert run.info.status == "FINISHED"


def test_a_version_says_whether_it_learnt_from_synthetic_courses(client: MlflowClient) -> None:
    tags = [client.get_model_version(MODEL_NAME, number).tags for number in ("1", "2")]
    assert [held["synthetic"] for held in tags] == ["true", "false"]


def test_mlflow_has_no_advice_about_the_models_code() -> None:
    with warnings.catch_warnings(record=True) as said:
        runpy.run_path(str(tracking.MODEL_CODE))
    assert [str(one.message) for one in said] == []


def test_every_training_registers_a_version_and_the_latest_is_the_challenger(
    registry: Registry, client: MlflowClient
) -> None:
    assert [client.get_model_version(MODEL_NAME, number).tags["bundle_digest"] for number in ("1", "2")] == [
        *registry.digests
    ]
    assert aliases(client) == {"challenger": "2"}


def test_nothing_among_the_artifacts_is_a_pickle(registry: Registry) -> None:
    files = [path for path in registry.home.artifacts.rglob("*") if path.is_file()]
    assert any(path.name.startswith("model-crs_") for path in files)
    assert {path.suffix for path in files} <= {".json", ".html", ".ubj", ".txt", ".yaml", ".py", ".toml", ""}
    # Every pickle of protocol 2 or later begins so.
    assert not [path.name for path in files if path.read_bytes()[:1] == b"\x80"]


def test_nothing_of_a_course_goes_into_the_store(registry: Registry, cohort: Cohort) -> None:
    body = (registry.home.folder / "mlflow.db").read_bytes()
    assert not [name for name in map(str, cohort.course_ids) if name.encode() in body]


def test_a_run_without_a_bundle_keeps_its_documents_and_data(
    registry: Registry, client: MlflowClient, tmp_path: Path
) -> None:
    data = {"name": "ours", "fingerprint": "f" * 64, "folder": str(tmp_path)}
    long, documents = {"long": "x" * 900}, {"results.json": "[1]"}
    made = tracking.log_run(registry.home, "evaluate it", long, {"loss": 0.5}, documents, data=data)
    found = client.get_run(made)
    (given,) = found.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest, given.tags[0].value) == ("ours", "f" * 36, "evaluate")
    assert (len(found.data.params["long"]), found.data.metrics) == (500, {"loss": 0.5})
    assert Path(client.download_artifacts(made, "results.json", str(tmp_path))).read_text() == "[1]"


# Getting it back


@pytest.mark.parametrize(("which", "place"), [("1", 0), ("2", 1), ("challenger", 1)])
def test_a_bundle_is_fetched_by_number_and_by_alias(registry: Registry, tmp_path: Path, which: str, place: int) -> None:
    found = tracking.fetch(registry.home, which, tmp_path / "bundle")
    assert (found.version, found.digest) == (str(place + 1), registry.digests[place])
    assert bundle.read(tmp_path / "bundle").digest == registry.digests[place]


@pytest.mark.parametrize("which", ["9", "champion", "", "no such alias", "0"])
def test_a_version_that_is_not_there_is_one_clear_line(registry: Registry, tmp_path: Path, which: str) -> None:
    with pytest.raises(UsageError, match=r"^--version: there is no such version or alias; run `crs train` first$"):
        tracking.fetch(registry.home, which, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("name", ["manifest.json", "spec.json", "model-crs_2plus.ubj"])
def test_an_artifact_that_was_altered_on_disk_is_refused(registry: Registry, tmp_path: Path, name: str) -> None:
    (path,) = (found for found in registry.home.artifacts.rglob(name) if is_version_1(found.parent, registry))
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
        with pytest.raises(BundleError, match=name.replace(".", r"\.")):
            tracking.fetch(registry.home, "1", tmp_path / "bundle")
    finally:
        path.write_bytes(whole)
    assert not (tmp_path / "bundle").exists()
    assert tracking.fetch(registry.home, "1", tmp_path / "bundle").digest == registry.digests[0]


def is_version_1(folder: Path, registry: Registry) -> bool:
    return bundle.read(folder).digest == registry.digests[0]


def test_the_champions_alias_moves_and_the_challengers_goes_with_its_version(own_home: Callable[[], Home]) -> None:
    home = own_home()
    with tracking.store(home) as client:
        tracking.set_champion(home, "2")
        assert aliases(client) == {"champion": "2"}
        tracking.set_champion(home, "1")
        assert aliases(client) == {"champion": "1"}


def test_a_store_that_cannot_be_opened_is_one_line_without_its_url(tmp_path: Path) -> None:
    (tmp_path / "secret.db").write_bytes(b"no database " * 500)
    with (
        pytest.raises(StoreError, match=r"^MLflow: the store cannot be opened \(\w+\); check its URL$"),
        tracking.store(Home(tmp_path), f"sqlite:///{tmp_path}/secret.db"),
    ):
        pass


# Other processes


def python(code: str, *words: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=tempfile.gettempdir(),
    )


def test_four_processes_at_once_make_one_store_and_all_their_runs_are_in_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from features.home import Home; from training import tracking\n"
        "print(tracking.log_run(Home(Path(sys.argv[1])), sys.argv[2], {'a': 'b'}, {'m': 1.0}, {'r.json': '[]'}))\n"
    )
    home = Home(tmp_path / "fresh")
    started = [python(code, str(home.folder), f"run {number}") for number in range(4)]
    ended = [(*process.communicate(timeout=240), process.returncode) for process in started]
    assert [code for _, _, code in ended] == [0, 0, 0, 0], [err[-500:] for _, err, _ in ended]
    with tracking.store(home) as client:
        experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_id for run in runs} == {out.split()[-1] for out, _, _ in ended}
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_mlflow_itself_loads_the_registered_model_and_it_answers_alike(registry: Registry, tables: Catalogue) -> None:
    courses = list(golden_courses(tables))
    code = (
        "import json, sys, mlflow, pandas as pd\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "model = mlflow.pyfunc.load_model('models:/crs-risk/1')\n"
        "found = model.predict(pd.DataFrame({'course': json.load(sys.stdin)}))\n"
        "print(json.dumps([list(found.columns), found.values.tolist()]))\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, registry.home.mlflow_uri],
        input=json.dumps([json.dumps(one.to_json()) for one in courses]),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert process.returncode == 0, process.stderr[-1000:]
    names, found = json.loads(process.stdout.splitlines()[-1])
    expected = Predictor(registry.trained.bundle, tables).predict(snapshots(tables, courses)).probability
    assert names == list(OUTCOME_KEYS)
    assert np.isnan(expected).any()
    assert np.array_equal(np.array(found, dtype=float), expected, equal_nan=True)


# A PostgreSQL server


@pytest.fixture
def postgres() -> Iterator[str]:
    with postgresql() as server:
        yield server


def test_a_postgresql_server_by_url_holds_it_as_well(
    postgres: str, registry: Registry, cohort_folder: Path, tmp_path: Path
) -> None:
    assert postgres.startswith("postgresql://")
    home = Home(tmp_path / "home")
    logged = tracking.log_training(home, registry.trained, cohort_folder, postgres)
    assert (logged.version, logged.digest) == ("1", registry.digests[0])
    assert not (home.folder / "mlflow.db").exists()
    found = tracking.fetch(home, "challenger", tmp_path / "bundle", postgres)
    assert (found.digest, found.run_id) == (logged.digest, logged.run_id)
    tracking.set_champion(home, "1", postgres)
    with tracking.store(home, postgres) as client:
        assert aliases(client) == {"champion": "1"}
        assert client.get_run(logged.run_id).data.metrics == pytest.approx(flat(registry.trained.results))
    mlflow.set_tracking_uri(registry.home.mlflow_uri)
