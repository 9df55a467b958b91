"""Handing a registered bundle over to serving: into the BentoML model store, then one atomic change of live.json."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import bentoml
from bentoml._internal.models.model import ModelStore

from features import bundle, catalogue
from features.home import MODEL_NAME, Home, Live, read_previous, write_live
from features.predict import Predictor, verify_golden
from training import tracking

BUNDLE_FOLDER = "bundle"
#: Characters of the digest that name a bundle in the model store.
TAG_LENGTH = 16


def promote(home: Home, which: str, uri: str | None = None, progress: Callable[[str], None] = print) -> Live:
    """Serve a registered version from now on: a number or an alias such as "challenger".

    The bundle is verified, golden courses included, before anything changes. The live name moves last but for the
    champion's alias, so that a stop at any point leaves the former or the new bundle whole and live.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / BUNDLE_FOLDER
        registered = tracking.fetch(home, which, folder, uri)
        predictor = Predictor(bundle.read(folder, registered.digest), catalogue.load())
        progress(f"version {registered.version}: {verify_golden(predictor)} golden courses give their recorded answers")
        tag = _into_store(home, folder, registered.digest)
    live = Live(tag, registered.digest, registered.version)
    write_live(home, live)
    tracking.set_champion(home, registered.version, uri)
    return live


def rollback(home: Home, uri: str | None = None) -> Live:
    """Serve the bundle again that was live before the last promotion; StoreError where there is none."""
    live = read_previous(home)
    write_live(home, live)
    tracking.set_champion(home, live.version, uri)
    return live


def _into_store(home: Home, folder: Path, digest: str) -> str:
    """Copy a bundle into the BentoML model store under a tag made of its digest; one that is there already stays."""
    store = _model_store(home)
    tag = f"{MODEL_NAME}:{digest[:TAG_LENGTH]}"
    try:
        bentoml.models.get(tag, _model_store=store)
    except bentoml.exceptions.NotFound:
        with bentoml.models.create(tag, labels={"digest": digest[:63]}, _model_store=store) as model:
            shutil.copytree(folder, Path(model.path) / BUNDLE_FOLDER)
    return tag


def _model_store(home: Home) -> ModelStore:
    """The store of this deployment, whatever BENTOML_HOME said when bentoml was first imported."""
    folder = home.bentoml / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return ModelStore(str(folder))
