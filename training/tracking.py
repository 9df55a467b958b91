"""MLflow: every run with its parameters, metrics, data and bundle, and every bundle as a registered version.

The store is SQLite and a folder under the deployment's home, or any store that MLflow knows, given by URL.
MLflow is a mirror for people: what is served is the bundle, whose digest is checked against the promotion.
Its switches are environment variables that it reads when imported, so `crs` sets them first (see `quiet`).
"""

import fcntl
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.data.filesystem_dataset_source import FileSystemDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from features import bundle
from features.errors import StoreError, UsageError
from features.home import BUNDLE_FOLDER, MODEL_NAME, Home, make_folder
from features.outcomes import OUTCOME_KEYS
from training import unfinished
from training.evaluate import flat
from training.run_facts import LONGEST, learnt_from, origin, overridden, parameters, verb
from training.train import Trained, metrics_json

EXPERIMENT = "crs-risk"
CHAMPION, CHALLENGER = "champion", "challenger"
#: A file that MLflow runs to make the registered model; nothing of it is pickled.
MODEL_CODE = Path(__file__).with_name("mlflow_model.py")
#: What MLflow says although the model comes with an explicit signature and takes JSON documents.
NEEDLESS_ADVICE = ".*An input example was not provided"


@dataclass(frozen=True, slots=True)
class Registered:
    """A bundle that MLflow holds: run id, registered version, digest of its manifest."""

    run_id: str
    version: str
    digest: str


@contextmanager
def store(home: Home, uri: str | None = None) -> Iterator[MlflowClient]:
    """MLflow's client on the deployment's store, which is created and migrated once, under a lock.

    Runs that a killed process left open are marked, see training.unfinished. StoreError where the store cannot be used.
    """
    make_folder(home.folder)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    mlflow.set_tracking_uri(_with_driver(uri) if uri else home.mlflow_uri)
    try:
        with ExitStack() as block:
            with (home.folder / "mlflow.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                client = _opened(home)
                block.enter_context(unfinished.at_work(client, _experiment(client), home.folder / "at-work"))
            yield client
    except MlflowException as error:
        raise StoreError("MLflow", _first_line(error), "check the tracking store") from error


def _with_driver(uri: str) -> str:
    """A plain PostgreSQL URL with the driver that is installed; SQLAlchemy would look for another one."""
    return uri.replace("postgresql://", "postgresql+psycopg2://", 1) if uri.startswith("postgresql://") else uri


def _opened(home: Home) -> MlflowClient:
    try:
        client = MlflowClient()
        if client.get_experiment_by_name(EXPERIMENT) is None:
            client.create_experiment(EXPERIMENT, artifact_location=home.artifacts.as_uri())
    except Exception as error:
        raise StoreError("MLflow", f"the store cannot be opened ({type(error).__name__})", "check its URL") from error
    return client


def log_training(home: Home, trained: Trained, source: Path, uri: str | None = None) -> Registered:
    """Record a training or recalibration with its bundle, and register the bundle as the challenger.

    source: the cohort's folder, recorded as where the data came from. Only promotion makes a champion, never this.
    """
    about = trained.bundle.about
    with store(home, uri) as client, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / BUNDLE_FOLDER
        digest = bundle.write(trained.bundle, folder)
        with _started(client, f"{verb(about)} {about['name']}") as run:
            mlflow.log_params(parameters(trained))
            mlflow.log_metrics(flat(trained.results))
            mlflow.log_input(_dataset(learnt_from(about), source), context="training")
            tags = {"bundle_digest": digest, **origin(about), **overridden(about)}
            mlflow.set_tags(tags)
            mlflow.log_text(metrics_json(trained), "metrics.json")
            logged = _log_model(folder)
        found = mlflow.register_model(logged, MODEL_NAME, tags={**tags, "name": str(about["name"])})
        client.set_registered_model_alias(MODEL_NAME, CHALLENGER, found.version)
    return Registered(run.info.run_id, str(found.version), digest)


def _started(client: MlflowClient, name: str) -> mlflow.ActiveRun:
    return mlflow.start_run(experiment_id=_experiment(client), run_name=name, tags=unfinished.tag())


def _log_model(folder: Path) -> str:
    """Log the bundle as a model that MLflow can load by code; returns its URI."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", NEEDLESS_ADVICE, UserWarning)
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(MODEL_CODE),
            artifacts={BUNDLE_FOLDER: str(folder)},
            signature=_signature(),
            pip_requirements=[f"{name}=={version(name)}" for name in ("crs-risk", "numpy", "xgboost-cpu")],
        )
    return str(info.model_uri)


def _signature() -> ModelSignature:
    """In: one JSON course a row, as features.single.CourseInput. Out: a probability per outcome."""
    inputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, "course")]
    outputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.double, key) for key in OUTCOME_KEYS]
    return ModelSignature(Schema(inputs), Schema(outputs))


def _dataset(data: Mapping[str, str], source: Path) -> "_Cohort":
    """The cohort by our own digest over all of it; MLflow's digest would leave out late rows."""
    return _Cohort(_Folder(str(source.resolve())), name=data["name"], digest=data["fingerprint"][:36])


class _Cohort(MetaDataset):
    """A cohort as MLflow's dataset."""

    @property
    def profile(self) -> None:
        """Nothing of the patients goes into the store."""
        return None


class _Folder(FileSystemDatasetSource):
    """A cohort's folder as MLflow's source of data."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    @property
    def uri(self) -> str:
        return self._uri

    @staticmethod
    def _get_source_type() -> str:
        return "folder"

    def load(self, dst_path: str | None = None) -> str:  # noqa: ARG002 - the folder is local already
        return self._uri

    @staticmethod
    def _can_resolve(raw_source: object) -> bool:
        return isinstance(raw_source, str)

    @classmethod
    def _resolve(cls, raw_source: str) -> "_Folder":
        return cls(raw_source)

    def to_dict(self) -> dict[str, str]:
        return {"uri": self._uri}

    @classmethod
    def from_dict(cls, source_dict: dict[str, str]) -> "_Folder":
        return cls(source_dict["uri"])


def _experiment(client: MlflowClient) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    assert found is not None  # `store` made it
    return str(found.experiment_id)


def lasting_run(client: MlflowClient, name: str, key: str, tags: Mapping[str, str], data: Mapping[str, str]) -> str:
    """The run whose tag `key` is as in `tags`, at work again, or a new one; returns its id.

    data: name, fingerprint and folder of the cohort, which is the run's dataset.
    """
    experiment = _experiment(client)
    found = client.search_runs([experiment], f"tags.{key} = '{tags[key]}'", max_results=1)
    run = found[0] if found else client.create_run(experiment, tags={**tags, **unfinished.tag()}, run_name=name)
    run_id = str(run.info.run_id)
    with mlflow.start_run(run_id=run_id):
        mlflow.set_tags({key: value[:LONGEST] for key, value in tags.items()} | unfinished.tag())
        mlflow.log_input(_dataset(data, Path(data["folder"])), context=name.split()[0])
    client.update_run(run_id, status="RUNNING")
    return run_id


def log_run(
    home: Home,
    name: str,
    facts: Mapping[str, str],
    metrics: Mapping[str, float],
    documents: Mapping[str, str],
    uri: str | None = None,
    data: Mapping[str, str] | None = None,
) -> str:
    """Record a run that makes no bundle, such as an evaluation; returns its id.

    documents: file name -> text. data: as `lasting_run` takes it, where the run looked at a cohort.
    """
    with store(home, uri) as client, _started(client, name) as run:
        mlflow.log_params({key: value[:LONGEST] for key, value in facts.items()})
        mlflow.log_metrics(dict(metrics))
        if data is not None:
            mlflow.log_input(_dataset(data, Path(data["folder"])), context=name.split()[0])
        for file, text in documents.items():
            mlflow.log_text(text, file)
        return str(run.info.run_id)


def fetch(home: Home, which: str, target: Path, uri: str | None = None) -> Registered:
    """Copy a registered bundle to a new folder; `which` is a version number or an alias.

    UsageError where there is no such version. The folder's digest is checked against the registered one.
    """
    with store(home, uri) as client:
        found = version_of(client, which)
        with tempfile.TemporaryDirectory() as scratch:
            local = mlflow.artifacts.download_artifacts(
                artifact_uri=f"models:/{MODEL_NAME}/{found.version}", dst_path=scratch
            )
            held = Path(local) / "artifacts" / BUNDLE_FOLDER
            digest = bundle.write(bundle.read(held, found.tags["bundle_digest"]), target)
    return Registered(str(found.run_id), str(found.version), digest)


def set_champion(home: Home, number: str, uri: str | None = None) -> None:
    """Move the champion's alias to a version."""
    with store(home, uri) as client:
        client.set_registered_model_alias(MODEL_NAME, CHAMPION, number)
        # Some stores give a version as a number, some as text.
        if str(client.get_registered_model(MODEL_NAME).aliases.get(CHALLENGER)) == number:
            client.delete_registered_model_alias(MODEL_NAME, CHALLENGER)


def version_of(client: MlflowClient, which: str) -> ModelVersion:
    """A version by number or alias; UsageError where there is none."""
    try:
        if which.isdigit():
            return client.get_model_version(MODEL_NAME, which)
        return client.get_model_version_by_alias(MODEL_NAME, which)
    except MlflowException as error:
        raise UsageError("--version", "there is no such version or alias", "run `crs train` first") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
