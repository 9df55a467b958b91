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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from features.calibration import PRIOR_ALONE, Calibration
from features.errors import BundleError
from features.evidence import TherapyEvidence
from features.interval import IntervalTable
from features.outcomes import OUTCOME_KEYS
from features.policy import Policy
from features.spec import Spec

FORMAT = 2
MANIFEST = "manifest.json"
_JSON_FILES = ("calibration.json", "intervals.json", "policy.json", "spec.json", "golden.json", "card.json")


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything an answer depends on.

    boosters: outcome -> XGBoost model as UBJSON bytes; an outcome without one is answered from the prior.
    intervals: outcome -> Venn-Abers table, for outcomes that data moved.
    about: name, data and code fingerprints, seeds, settings, metrics, lineage (the manifest without its file list).
    """

    spec: Spec
    evidence: Mapping[str, TherapyEvidence]
    boosters: Mapping[str, bytes]
    calibration: Mapping[str, Calibration]
    intervals: Mapping[str, IntervalTable]
    policy: Policy
    golden: Mapping[str, Any]
    card: Mapping[str, Any]
    about: Mapping[str, Any]

    def fitted(self, outcome: str) -> bool:
        """Whether local data moved the outcome's answer, with trees or without; else its published rate stands."""
        return any(self.moved(outcome))

    def moved(self, outcome: str) -> tuple[bool, ...]:
        """For each kind of DOSING, whether local data moved the outcome's answers."""
        return self.calibration.get(outcome, PRIOR_ALONE).moved

    @property
    def digest(self) -> str:
        """The bundle's address: SHA-256 of its manifest's bytes, in hex."""
        return _sha256(_files(self)[MANIFEST])


def contents(bundle: Bundle) -> dict[str, bytes]:
    """Every file of the bundle by its name, manifest.json among them, as `write` writes them."""
    return _files(bundle)


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
    for name in sorted(set(listed) - _KNOWN):
        raise BundleError(name, "the file is none that a bundle has", "restore the bundle: nothing else is ever read")
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
        evidence={one["key"]: TherapyEvidence.from_json(one) for one in parsed["spec.json"]["evidence"]},
        boosters=boosters,
        calibration={key: Calibration.from_json(one) for key, one in parsed["calibration.json"].items()},
        intervals={key: IntervalTable.from_json(one) for key, one in parsed["intervals.json"].items()},
        policy=Policy.from_json(parsed["policy.json"]),
        golden=parsed["golden.json"],
        card=parsed["card.json"],
        about={key: value for key, value in manifest.items() if key not in ("files", "format")},
    )


def _files(bundle: Bundle) -> dict[str, bytes]:
    """Every file's bytes; the manifest, which names the others, comes last."""
    spec = {**bundle.spec.to_json(), "evidence": [asdict(one) for one in bundle.evidence.values()]}
    files = {
        "calibration.json": _canonical({key: one.to_json() for key, one in bundle.calibration.items()}),
        "intervals.json": _canonical({key: asdict(one) for key, one in bundle.intervals.items()}),
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


#: All that a bundle may hold beside its manifest.
_KNOWN = frozenset((*_JSON_FILES, *map(_model_name, OUTCOME_KEYS)))


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
