"""A registered version, read and checked: from the model store where it was promoted, else from the registry."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from audit import manifest
from audit.events import Record
from audit.ledger import Ledger
from audit.manifest import Model
from audit.replay import stored_bundles
from features import bundle
from features.bundle import Bundle
from features.errors import BundleError
from features.home import BUNDLE_FOLDER

#: Writes the bundle of a version or alias to a folder that is not there yet; returns which version it is.
Fetch = Callable[[str, Path], Model]


@dataclass(frozen=True, slots=True)
class Opened:
    """A version with its bundle. registered: when, by the ledger; kind_of_change: as what."""

    model: Model
    bundle: Bundle
    registered: str
    kind_of_change: str


def opened(ledger: Ledger, which: str, fetch: Fetch) -> Opened:
    """A version by number or alias; its files are those of its signed manifest. BundleError where they are not.

    UsageError, by `fetch`, where there is no such version.
    """
    record = manifest.registered(ledger, which)
    if record is not None:
        digest = str(record.body["digest"])
        folder = dict(stored_bundles(ledger.home)).get(digest)
        if folder is not None:
            return _checked(ledger, Model(which, digest), folder)
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / BUNDLE_FOLDER
        return _checked(ledger, fetch(which, target), target)


def _checked(ledger: Ledger, model: Model, folder: Path) -> Opened:
    manifest.check(ledger, model, folder)
    record = manifest.registered(ledger, model.version)
    if record is None:
        raise BundleError("signed manifest", "the ledger does not know the version", "register it anew")
    return opened_as(record, bundle.read(folder, model.digest))


def opened_as(record: Record, held: Bundle) -> Opened:
    """The version that a registration names, with its bundle."""
    model = Model(str(record.body["version"]), str(record.body["digest"]))
    at = record.time.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Opened(model, held, at, str(record.body.get("kind_of_change", "")))
