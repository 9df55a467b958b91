"""Where a deployment keeps its state, and which promoted bundle it serves.

Two deployments on one machine never meet: everything lies under one folder.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from features.errors import StoreError

#: The name of the model in MLflow's registry and in the BentoML model store.
MODEL_NAME = "crs-risk"
#: The part of a stored or recorded model that is the bundle's folder.
BUNDLE_FOLDER = "bundle"
VARIABLE = "CRS_RISK_HOME"


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds a deployment's state."""

    folder: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Home":
        """CRS_RISK_HOME, or ./.crs-risk where it is not set."""
        return cls(Path(environment.get(VARIABLE) or ".crs-risk").resolve())

    @property
    def mlflow_uri(self) -> str:
        """MLflow's SQLite store."""
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        """MLflow's artifact folder."""
        return self.folder / "artifacts"

    @property
    def bentoml(self) -> Path:
        """BentoML's home, which holds its model store."""
        return self.folder / "bentoml"

    @property
    def tuning(self) -> Path:
        """The searches of `crs tune`, so that one that was stopped goes on."""
        return self.folder / "tuning.db"

    @property
    def live(self) -> Path:
        """The file that names the promoted bundle."""
        return self.folder / "live.json"

    @property
    def shadow(self) -> Path:
        """The file that names the version scored beside the live one."""
        return self.folder / "shadow.json"

    @property
    def trust(self) -> Path:
        """The settings of who may call, unless another file is named."""
        return self.folder / "trust.toml"

    @property
    def calls(self) -> Path:
        """The folder of what the workers share about calls: tokens already used, and how often each issuer called."""
        return self.folder / "calls"

    @property
    def ledger(self) -> Path:
        """The folder of the audit ledger, with its socket while the service runs."""
        return self.folder / "ledger"

    @property
    def keys(self) -> Path:
        """The folder of the signing key and the tenant key."""
        return self.folder / "keys"

    @property
    def checkpoints(self) -> Path:
        """Where the ledger's signed checkpoints are copied to, unless another folder is named."""
        return self.folder / "checkpoints"


def make_folder(folder: Path) -> Path:
    """Make a folder of a deployment's state if it is not there; StoreError where it cannot be made or written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable() from error
    if not writable(folder):
        raise _unusable()
    return folder


def check_writable(home: Home) -> None:
    """StoreError where the state folder cannot be written, or not be made; nothing is made."""
    nearest = next(path for path in (home.folder, *home.folder.parents) if os.path.exists(path))
    if not writable(nearest):
        raise _unusable()


def writable(folder: Path) -> bool:
    """Whether a folder is there in which files can be made."""
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)


def _unusable() -> StoreError:
    return StoreError(VARIABLE, "the state folder cannot be made or written", "name a folder that can be written")


@dataclass(frozen=True, slots=True)
class Live:
    """The promoted bundle: its tag in the BentoML model store, its digest, and its version in MLflow's registry."""

    tag: str
    digest: str
    version: str


def read_live(home: Home) -> Live:
    """Which bundle is promoted; StoreError where none is, or the file is damaged or cannot be read."""
    live = _read(home)["live"]
    if live is None:
        raise StoreError("live.json", "no model is promoted yet", "run `crs train`, then `crs promote`")
    return live


def read_previous(home: Home) -> Live:
    """Which other bundle was promoted before the one that is live; StoreError where there was none."""
    previous = _read(home)["previous"]
    if previous is None:
        raise StoreError("live.json", "no earlier promotion is on record", "promote a version instead")
    return previous


def write_live(home: Home, live: Live) -> None:
    """Name the promoted bundle, and remember the one before: one atomic replacement, so a reader sees old or new.

    StoreError where the state folder cannot be written; OSError where the disk fails on the way.
    """
    held = _remembered(home)
    previous = held["previous"] if held["live"] == live else held["live"]
    make_folder(home.folder)
    draft = home.live.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as file:
        json.dump({"live": asdict(live), "previous": previous and asdict(previous)}, file, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(home.live)


def _remembered(home: Home) -> dict[str, Live | None]:
    """What the file names; nothing where it is damaged, so that promoting again repairs it."""
    try:
        return _read(home)
    except StoreError:
        return {"live": None, "previous": None}


def _read(home: Home) -> dict[str, Live | None]:
    try:
        body = json.loads(home.live.read_text(encoding="utf-8"))
        return {key: Live(**body[key]) if body[key] else None for key in ("live", "previous")}
    except FileNotFoundError:
        return {"live": None, "previous": None}
    except OSError as error:
        raise StoreError("live.json", "the file cannot be read", f"check the folder that {VARIABLE} names") from error
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError("live.json", "the file is damaged", "promote the version again") from error
