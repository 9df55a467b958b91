"""The promoted bundle: named by live.json, held by the BentoML model store, checked by its bytes and its answers."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from audit import manifest
from audit.ledger import open_ledger
from audit.standing import live_of, standing
from features import bundle, catalogue
from features.errors import StoreError
from features.home import BUNDLE_FOLDER, Home, Live, read_live
from features.predict import Predictor, verify_golden
from serving.answerer import Answerer
from serving.started import started_with
from serving.trust.gatekeeper import gatekeeper


def open_live(home: Home) -> Answerer:
    """The promoted bundle, ready to answer; as `live_now` and `open_named` raise."""
    return open_named(home, live_now(home))


def live_now(home: Home) -> Live:
    """Which bundle is to be served by a service that starts now; StoreError where none is promoted.

    The ledger has to name it as the latest that was made live; StoreError, or LedgerError without a ledger, otherwise.
    """
    live = read_live(home)
    _check_standing(home, live)
    return live


def open_named(home: Home, live: Live) -> Answerer:
    """That bundle, ready to answer; StoreError where it is not in the store, BundleError where it is not as promoted.

    Its files have to be those of the signed manifest that the ledger holds; BundleError otherwise.
    """
    folder = bundle_folder(home, live)
    answerer = open_folder(folder, live.version, live.digest)
    with open_ledger(home, writes=False) as ledger:
        manifest.check(ledger, manifest.Model(live.version, live.digest), folder)
    return answerer


def _check_standing(home: Home, live: Live) -> None:
    """Nothing is served that did not come through the gate, or that a stopped promotion left half done."""
    with open_ledger(home, writes=False) as ledger:
        record = standing(ledger)
    if record is None or live_of(record) != live:
        problem = "the ledger's latest activation does not name this bundle"
        wanted = f"crs promote --version {live_of(record).version} finishes it" if record else "promote a version"
        raise StoreError("live.json", problem, wanted)


def open_folder(folder: Path, version: str, digest: str | None = None) -> Answerer:
    """Read, verify, construct, then re-score the golden courses."""
    predictor = Predictor(bundle.read(folder, digest), catalogue.load())
    verify_golden(predictor)
    return Answerer(predictor, version)


def bundle_folder(home: Home, live: Live) -> Path:
    """Where the model store keeps the bundle of that tag."""
    from bentoml.exceptions import BentoMLException
    from bentoml.models import get

    try:
        model = Path(get(live.tag, _model_store=_model_store(home)).path)
    except (BentoMLException, ValueError, OSError) as error:
        raise StoreError("model store", "the promoted model is not there", "promote the version again") from error
    return model / BUNDLE_FOLDER


def _model_store(home: Home):  # type: ignore[no-untyped-def]
    """The store of this deployment, whatever BENTOML_HOME said when bentoml was first imported."""
    from bentoml._internal.models.model import ModelStore

    folder = home.bentoml / "models"
    if not folder.is_dir():
        raise StoreError("model store", "there is no model store in this home", "run `crs train`, then `crs promote`")
    return ModelStore(str(folder))


def open_served(environment: Mapping[str, str]) -> Answerer:
    """In a worker the bundle that its service was started with, whatever was promoted since; elsewhere the live one.

    StoreError where that bundle has left the store: another one in its place would be a change that no record tells of.
    """
    home, started = Home.from_environment(environment), started_with(environment)
    if started is None:
        return open_live(home)
    try:
        return open_named(home, started)
    except StoreError as error:
        problem = f"version {started.version}, which this service was started with, is not there any more"
        raise StoreError(error.place, problem, "start the service again") from error


@cache
def loaded() -> Answerer:
    """The bundle of the deployment that CRS_RISK_HOME names; loaded and checked once per process."""
    answerer = open_served(os.environ)
    answerer.standing = gatekeeper().cautions
    return answerer
