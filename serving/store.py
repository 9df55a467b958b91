"""The promoted bundle: named by live.json, held by the BentoML model store, checked by its bytes and its answers."""

import os
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
from serving.trust.gatekeeper import gatekeeper


def open_live(home: Home) -> Answerer:
    """The promoted bundle, ready to answer; StoreError where there is none, BundleError where it is not as promoted.

    The ledger has to name it as the latest that was made live; StoreError, or LedgerError without a ledger, otherwise.
    Its files have to be those of the signed manifest that the ledger holds; BundleError otherwise.
    """
    live = read_live(home)
    _check_standing(home, live)
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


@cache
def loaded() -> Answerer:
    """The bundle of the deployment that CRS_RISK_HOME names; loaded and checked once per process."""
    answerer = open_live(Home.from_environment(os.environ))
    answerer.standing = gatekeeper().cautions
    return answerer
