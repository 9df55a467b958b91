"""A model version as one folder of plain files, addressed by the digest of its manifest. No pickle anywhere.

Reading is: parse, verify every file's SHA-256, then construct. The digest of a bundle is the SHA-256 of the bytes
of manifest.json, which holds the SHA-256 of every other file.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import BundleError
from features.outcomes import OUTCOME_KEYS
from features.policy import Policy
from features.prior import TherapyEvidence
from features.spec import Spec

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

FORMAT = 1
MANIFEST = "manifest.json"
_JSON_FILES = ("calibration.json", "policy.json", "spec.json", "golden.json", "card.json")


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the parts of an answer add up on the log-odds scale.

    log-odds = intercept + prior_slope x prior + the local shift of the therapy + weight(hours) x sum of the trees,
    + time_slope x elapsed(hours) while the event has not begun, + begun_shift once a milder grade is there.
    The trees' weight moves from early_slope at the infusion or dose to late_slope, by half its way in 17 hours.
    """

    intercept: float
    prior_slope: float
    time_slope: float
    begun_shift: float
    early_slope: float
    late_slope: float
    therapy_shift: Mapping[str, float] = field(default_factory=dict)

    def combine(self, parts: "Parts", trees: Array) -> Array:
        """(n,) log-odds of the answer."""
        shift = np.array([self.therapy_shift.get(key, 0.0) for key in parts.therapy])
        clock = np.where(parts.begun, self.begun_shift, self.time_slope * elapsed(parts.hours))
        known: Array = self.intercept + self.prior_slope * parts.prior + shift + clock
        return known + self.weight(parts.hours) * trees

    def weight(self, hours: Array) -> Array:
        """(n,) how far the trees are believed."""
        return self.late_slope + (self.early_slope - self.late_slope) * freshness(hours)


@dataclass(frozen=True, slots=True)
class Parts:
    """What is known of n rows of one outcome besides the trees; all (n,).

    prior: log-odds. hours: since the infusion or the latest dose. begun: whether any grade of the event was charted.
    therapy: catalogue keys.
    """

    prior: Array
    hours: Array
    begun: Flags
    therapy: NDArray[np.str_] | tuple[str, ...]


def elapsed(hours: Array) -> Array:
    """(n,) the clock as calibration sees it: ln(1 + half days since the infusion or the latest dose)."""
    return np.log1p(np.maximum(hours, 0.0) / 12.0)


def freshness(hours: Array) -> Array:
    """(n,) 1 at the infusion or dose, falling by a factor e each day."""
    return np.exp(-np.maximum(hours, 0.0) / 24.0)


PRIOR_ALONE = Calibration(0.0, 1.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything an answer depends on.

    boosters: outcome -> XGBoost model as UBJSON bytes; an outcome without one is answered from the prior.
    about: name, data and code fingerprints, seeds, settings, metrics, lineage (the manifest without its file list).
    """

    spec: Spec
    evidence: Mapping[str, TherapyEvidence]
    boosters: Mapping[str, bytes]
    calibration: Mapping[str, Calibration]
    policy: Policy
    golden: Mapping[str, Any]
    card: Mapping[str, Any]
    about: Mapping[str, Any]

    def fitted(self, outcome: str) -> bool:
        """Whether local data moved the outcome's answer, with trees or without; else its published rate stands."""
        return outcome in self.boosters or self.calibration.get(outcome, PRIOR_ALONE) != PRIOR_ALONE

    @property
    def digest(self) -> str:
        """The bundle's address: SHA-256 of its manifest's bytes, in hex."""
        return _sha256(_files(self)[MANIFEST])


def write(bundle: Bundle, folder: Path) -> str:
    """Write the bundle to a folder that does not exist yet, whole or not at all; returns its digest."""
    if folder.exists():
        raise BundleError(folder.name, "the folder exists already", "name a new one: a bundle is never overwritten")
    folder.parent.mkdir(parents=True, exist_ok=True)
    files = _files(bundle)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".bundle-"))
    try:
        for name, body in files.items():
            _write_synced(draft / name, body)
        draft.chmod(0o755)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return _sha256(files[MANIFEST])


def read(folder: Path, expected_digest: str | None = None) -> Bundle:
    """The bundle in a folder; BundleError in one line if any byte of it is not what its manifest says."""
    manifest_bytes = _bytes(folder, MANIFEST)
    if expected_digest and _sha256(manifest_bytes) != expected_digest:
        raise BundleError(MANIFEST, "the digest is not the one that was promoted", "promote the version again")
    manifest = _parse(MANIFEST, manifest_bytes)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleError(MANIFEST, f"the format is not {FORMAT}", "use a release that reads this format")
    files = _verified(folder, manifest)
    try:
        return _construct(manifest, files)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(folder.name, f"a file lacks a part this release needs ({type(error).__name__})") from error


def _verified(folder: Path, manifest: Mapping[str, Any]) -> dict[str, bytes]:
    listed = manifest.get("files")
    if not isinstance(listed, dict):
        raise BundleError(MANIFEST, "there is no list of files", "restore the bundle")
    present = {path.name for path in folder.iterdir()} - {MANIFEST}
    for name in sorted(present ^ set(listed)):
        problem = "is missing" if name in listed else "is not in the manifest"
        raise BundleError(name, f"the file {problem}", "restore the bundle")
    files = {name: _bytes(folder, name) for name in sorted(listed)}
    for name, body in files.items():
        if _sha256(body) != listed[name]:
            raise BundleError(name, "the bytes do not match the manifest's SHA-256", "restore the bundle")
    return files


def _construct(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> Bundle:
    parsed = {name: _parse(name, files[name]) for name in _JSON_FILES}
    boosters = {key: files[_model_name(key)] for key in OUTCOME_KEYS if _model_name(key) in files}
    return Bundle(
        spec=Spec.from_json(parsed["spec.json"]),
        evidence={one["key"]: _evidence(one) for one in parsed["spec.json"]["evidence"]},
        boosters=boosters,
        calibration={key: Calibration(**one) for key, one in parsed["calibration.json"].items()},
        policy=Policy.from_json(parsed["policy.json"]),
        golden=parsed["golden.json"],
        card=parsed["card.json"],
        about={key: value for key, value in manifest.items() if key not in ("files", "format")},
    )


def _files(bundle: Bundle) -> dict[str, bytes]:
    """Every file's bytes; the manifest, which names the others, comes last."""
    spec = {**bundle.spec.to_json(), "evidence": [asdict(one) for one in bundle.evidence.values()]}
    files = {
        "calibration.json": _canonical({key: asdict(one) for key, one in bundle.calibration.items()}),
        "policy.json": _canonical(bundle.policy.to_json()),
        "spec.json": _canonical(spec),
        "golden.json": _canonical(bundle.golden),
        "card.json": _canonical(bundle.card),
        **{_model_name(key): body for key, body in bundle.boosters.items()},
    }
    digests = {name: _sha256(body) for name, body in sorted(files.items())}
    manifest = {**bundle.about, "format": FORMAT, "spec_fingerprint": bundle.spec.fingerprint, "files": digests}
    return {**files, MANIFEST: _canonical(manifest)}


def _model_name(outcome: str) -> str:
    return f"model-{outcome}.ubj"


def _evidence(body: Mapping[str, Any]) -> TherapyEvidence:
    tuples = {key: {name: tuple(row) for name, row in body[key].items()} for key in ("rates", "patients")}
    return TherapyEvidence(**{**body, **tuples, "step_share": tuple(body["step_share"])})


def _canonical(body: Any) -> bytes:
    """JSON with sorted keys and no NaN, one form for one content."""
    return (json.dumps(body, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def _parse(name: str, body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise BundleError(name, "the file is not JSON", "restore the bundle") from error


def _bytes(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise BundleError(name, f"the file cannot be read ({error.strerror})", "restore the bundle") from error


def _write_synced(path: Path, body: bytes) -> None:
    with path.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
