"""What is live: activation of an approved bundle, roll-back, and what a stop on the way left open.

The order is fixed, so that a stop at any point is either before the change or can be finished: the bundle is verified
and copied into the BentoML model store; the ledger records the activation; live.json changes in one atomic step; the
champion's alias in MLflow follows. What the ledger says is what has to be live; `settle` brings the others to it, tags
included.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import bentoml
from bentoml._internal.models.model import ModelStore

from audit import manifest
from audit.events import Kind, Record
from audit.ledger import Ledger, open_ledger
from audit.standing import activation_of, live_of, standing
from features import bundle, catalogue
from features.bundle import Bundle
from features.errors import BundleError, StoreError
from features.home import BUNDLE_FOLDER, MODEL_NAME, Home, Live, make_folder, read_live, read_previous, write_live
from features.predict import Predictor, verify_golden
from training import model_events, tracking, verdict_mirror, versions
from training.change_plan import Change
from training.model_events import Approval

#: Characters of the digest that name a bundle in the model store.
TAG_LENGTH = 16
Progress = Callable[[str], None]


@contextmanager
def turn(home: Home) -> Iterator[None]:
    """One verb at a time changes what is live; another waits."""
    make_folder(home.folder)
    with (home.folder / "promote.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def settle(home: Home, ledger: Ledger, uri: str | None = None, progress: Progress = print) -> Live | None:
    """Finish what a stop left open, by the ledger; returns what is live, None where nothing was ever activated.

    StoreError where the model store lost the bundle.
    """
    record = standing(ledger)
    if record is None:
        return None
    live = live_of(record)
    if _named(home) != live:
        progress(f"finishing an earlier change: version {live.version} becomes live")
        _switch(home, ledger, record)
    if versions.champion(home, uri) != live.version:
        versions.make_champion(home, live.version, record.time, uri)
    _show(home, ledger, record, uri, progress)
    return live


def _show(home: Home, ledger: Ledger, record: Record, uri: str | None, progress: Progress) -> None:
    """What people see in MLflow of what is live. A fault there is told: it must keep nobody from rolling back."""
    version = live_of(record).version
    try:
        if verdict_mirror.heal(home, ledger, record, uri):
            progress(f"version {version} is live and its tags in MLflow did not say why: they do again, by the ledger")
    except (StoreError, OSError):
        progress(f"version {version} is live; MLflow cannot show why, and the next verb tries again")


def _switch(home: Home, ledger: Ledger, record: Record) -> None:
    """Bring live.json to a record; what was live stays known as the one before, by the ledger if the file is gone."""
    _check_served(home, ledger, live_of(record))
    before = activation_of(ledger, str(record.body["previous"]))
    held = _named(home)
    if before is not None and (held is None or held.digest != before.body["digest"]):
        write_live(home, live_of(before))
    write_live(home, live_of(record))


def _named(home: Home) -> Live | None:
    """What live.json names; None where there is none, or the file is damaged: the ledger knows."""
    try:
        return read_live(home)
    except StoreError:
        return None


def made_by_demonstration(ledger: Ledger, live: Live) -> bool:
    """Whether what is live was last activated by the demonstration, and not approved by people."""
    verdict = model_events.activated_on(ledger, live.digest)
    return verdict is not None and verdict.body["kind_of_change"] == Change.DEMONSTRATION


def live_model(home: Home, live: Live) -> Predictor:
    """The champion as it is served; BundleError where the model store's copy is not what was activated."""
    return Predictor(bundle.read(stored(home, live), live.digest), catalogue.load())


def activate(
    home: Home,
    ledger: Ledger,
    held: Bundle,
    verdict: Record,
    given: list[Approval],
    reason: str,
    uri: str | None = None,
    progress: Progress = print,
) -> Live:
    """Serve a version that was judged and approved: see the order at the head of this file."""
    version = str(verdict.body["version"])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / BUNDLE_FOLDER
        digest = bundle.write(held, folder)
        golden = _verified(folder, str(verdict.body["digest"]))
        manifest.check(ledger, manifest.Model(version, digest), folder)
        progress(f"version {version}: {golden} golden courses give their recorded answers")
        live = Live(_into_store(home, folder, digest), digest, version)
    before = standing(ledger)
    previous = str(before.body["digest"]) if before else ""
    ledger.append(Kind.MODEL_ACTIVATED, model_events.activation(live, previous, reason, verdict, given))
    settle(home, ledger, uri, lambda _: None)
    return live


def place(home: Home, which: str, uri: str | None = None, progress: Progress = print) -> Live:
    """Verify a registered version, golden courses included, and copy it to the model store; nothing becomes live."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / BUNDLE_FOLDER
        registered = tracking.fetch(home, which, folder, uri)
        golden = _verified(folder, registered.digest)
        progress(f"version {registered.version}: {golden} golden courses give their recorded answers")
        return Live(_into_store(home, folder, registered.digest), registered.digest, registered.version)


def repair(home: Home, live: Live, uri: str | None = None) -> None:
    """Put what is live into the model store again if its copy is damaged or gone."""
    if not _holds(home, live.tag, live.digest):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / BUNDLE_FOLDER
            tracking.fetch(home, live.version, folder, uri)
            _into_store(home, folder, live.digest)


def rollback(home: Home, by: str, reason: str, uri: str | None = None, progress: Progress = print) -> Live:
    """Serve the bundle again that was live before; StoreError where there is none.

    It is verified where it lies, golden courses included, before anything changes. UsageError without name or reason.
    """
    given = {"by": model_events.one_line("--by", by), "reason": model_events.one_line("--reason", reason)}
    with turn(home), open_ledger(home) as ledger:
        current = settle(home, ledger, uri, progress)
        if current is None:
            raise StoreError("ledger", "no earlier promotion is on record", "promote a version instead")
        live = read_previous(home)
        if activation_of(ledger, live.digest) is None:
            raise StoreError("live.json", "the ledger does not know the earlier bundle", "promote its version instead")
        _check_served(home, ledger, live)
        body = {"version": live.version, "digest": live.digest, "tag": live.tag, "previous": current.digest, **given}
        ledger.append(Kind.MODEL_ROLLED_BACK, body)
        settle(home, ledger, uri, lambda _: None)
    return live


def _check_served(home: Home, ledger: Ledger, live: Live) -> None:
    """BundleError where the store's copy is not what was activated, or not what its signed manifest names."""
    folder = stored(home, live)
    _verified(folder, live.digest)
    manifest.check(ledger, manifest.Model(live.version, live.digest), folder)


def _verified(folder: Path, digest: str) -> int:
    """How many golden courses give their recorded answers; BundleError where a byte or an answer differs."""
    return verify_golden(Predictor(bundle.read(folder, digest), catalogue.load()))


def stored(home: Home, live: Live) -> Path:
    """Where the model store keeps a bundle; StoreError where it does not."""
    try:
        return Path(bentoml.models.get(live.tag, _model_store=_model_store(home)).path) / BUNDLE_FOLDER
    except bentoml.exceptions.BentoMLException as error:
        remedy = f"promote its version instead: crs promote --version {live.version}"
        raise StoreError("model store", "the earlier bundle is not there", remedy) from error


def _into_store(home: Home, folder: Path, digest: str) -> str:
    """Copy a bundle into the BentoML model store under a tag made of its digest.

    One that is there already stays if it is whole; a damaged one is replaced.
    """
    tag = f"{MODEL_NAME}:{digest[:TAG_LENGTH]}"
    if not _holds(home, tag, digest):
        with bentoml.models.create(tag, labels={"digest": digest[:63]}, _model_store=_model_store(home)) as model:
            shutil.copytree(folder, Path(model.path) / BUNDLE_FOLDER)
    return tag


def _holds(home: Home, tag: str, digest: str) -> bool:
    """Whether the store has the bundle, whole; a damaged copy, or what a stop left of one, is removed."""
    try:
        model = bentoml.models.get(tag, _model_store=_model_store(home))
        bundle.read(Path(model.path) / BUNDLE_FOLDER, digest)
    except bentoml.exceptions.NotFound:
        return False
    except (BundleError, bentoml.exceptions.BentoMLException):
        shutil.rmtree(home.bentoml / "models" / tag.replace(":", "/"))
        return False
    return True


def _model_store(home: Home) -> ModelStore:
    """The store of this deployment, whatever BENTOML_HOME said when bentoml was first imported."""
    folder = home.bentoml / "models"
    make_folder(folder)
    return ModelStore(str(folder))
