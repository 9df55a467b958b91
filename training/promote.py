"""Handing a registered bundle over to serving: into the BentoML model store, then one atomic change of live.json."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import bentoml
from bentoml._internal.models.model import ModelStore

from features import bundle, catalogue
from features.errors import BundleError, StoreError
from features.home import BUNDLE_FOLDER, MODEL_NAME, Home, Live, make_folder, read_previous, write_live
from features.predict import Predictor, verify_golden
from training import tracking

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
        golden = _verified(folder, registered.digest)
        progress(f"version {registered.version}: {golden} golden courses give their recorded answers")
        tag = _into_store(home, folder, registered.digest)
    live = Live(tag, registered.digest, registered.version)
    write_live(home, live)
    tracking.set_champion(home, registered.version, uri)
    return live


def rollback(home: Home, uri: str | None = None) -> Live:
    """Serve the bundle again that was live before the last promotion; StoreError where there is none.

    It is verified where it lies, golden courses included, before anything changes.
    """
    live = read_previous(home)
    try:
        held = bentoml.models.get(live.tag, _model_store=_model_store(home))
    except bentoml.exceptions.NotFound as error:
        raise StoreError("model store", "the earlier bundle is not there", "promote its version instead") from error
    _verified(Path(held.path) / BUNDLE_FOLDER, live.digest)
    write_live(home, live)
    tracking.set_champion(home, live.version, uri)
    return live


def _verified(folder: Path, digest: str) -> int:
    """How many golden courses give their recorded answers; BundleError where a byte or an answer differs."""
    return verify_golden(Predictor(bundle.read(folder, digest), catalogue.load()))


def _into_store(home: Home, folder: Path, digest: str) -> str:
    """Copy a bundle into the BentoML model store under a tag made of its digest.

    One that is there already stays if it is whole; a damaged one is replaced.
    """
    store = _model_store(home)
    tag = f"{MODEL_NAME}:{digest[:TAG_LENGTH]}"
    if not _holds(store, tag, digest):
        with bentoml.models.create(tag, labels={"digest": digest[:63]}, _model_store=store) as model:
            shutil.copytree(folder, Path(model.path) / BUNDLE_FOLDER)
    return tag


def _holds(store: ModelStore, tag: str, digest: str) -> bool:
    """Whether the store has the bundle, whole; a damaged copy is removed."""
    try:
        bundle.read(Path(bentoml.models.get(tag, _model_store=store).path) / BUNDLE_FOLDER, digest)
    except bentoml.exceptions.NotFound:
        return False
    except BundleError:
        bentoml.models.delete(tag, _model_store=store)
        return False
    return True


def _model_store(home: Home) -> ModelStore:
    """The store of this deployment, whatever BENTOML_HOME said when bentoml was first imported."""
    folder = home.bentoml / "models"
    make_folder(folder)
    return ModelStore(str(folder))
