"""The signed manifest of a bundle: an in-toto statement that names each of its files, in a DSSE envelope.

It is made when a version is registered and stands in that record of the ledger, outside the bundle, whose digest it
therefore does not change; beside it a second signature over the same files, for model-signing (audit.model_signature).
Before a bundle is promoted or served, both have to be good and agree, and its files have to be those that they name.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from audit import dsse, mark, model_signature
from audit.events import Kind, Record
from audit.keys import SigningKey, chain_of, model_key, signing_key
from audit.ledger import Ledger
from audit.model_signature import STATEMENT, ModelKey
from audit.note import PublicKey
from features import bundle
from features.bundle import MANIFEST, Bundle
from features.errors import BundleError

#: This project's own: the predicate of OpenSSF model-signing has no place for data, parent and code.
PREDICATE = "urn:crs-risk:bundle-manifest:1"
#: Where the statement names the public key, as PEM, of the signature for model-signing.
_MODEL_KEY = "model_signing_key"
SIGNATURE_FILE, KEY_FILE = "model.sig", "model-signing.pub"
#: What a registration that somebody made up can raise.
DAMAGED = (ValueError, KeyError, TypeError, AttributeError)
_DATA = ("name", "fingerprint", "source_fingerprint", "courses", "synthetic")


@dataclass(frozen=True, slots=True)
class Model:
    """A version by its number in MLflow and the digest of its bundle."""

    version: str
    digest: str


def statement(version: str, held: Bundle, kind_of_change: str, key: ModelKey | None = None) -> dict[str, Any]:
    """What is stated of a bundle. subject: each file, manifest.json among them, with its SHA-256.

    key: the one of the signature for model-signing, if there is to be one.
    """
    files = bundle.contents(held)
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": _sha256(files[name])}} for name in sorted(files)],
        "predicateType": PREDICATE,
        "predicate": {
            "name": str(held.about.get("name", "")),
            "version": version,
            "bundle": _sha256(files[MANIFEST]),
            "format": bundle.FORMAT,
            "parent": held.about.get("lineage", {}).get("parent"),
            "kind_of_change": kind_of_change,
            "data": list(data_of(held)),
            "spec_fingerprint": held.spec.fingerprint,
            "settings": held.about.get("settings", {}),
            "code_commit": held.about.get("code_commit", ""),
            "lock_digest": held.about.get("lock_digest", ""),
            "libraries": held.about.get("libraries", {}),
            **({_MODEL_KEY: key.pem} if key else {}),
        },
    }


def data_of(held: Bundle) -> Iterable[dict[str, Any]]:
    """The data that a bundle learnt from: those of its training, then those of each recalibration."""
    for use, one in (("training", held.about.get("trained_on", {})), *_recalibrations(held)):
        found = {key: one[key] for key in _DATA if one.get(key) is not None}
        if found:
            yield {"use": use, **found}


def _recalibrations(held: Bundle) -> list[tuple[str, Mapping[str, Any]]]:
    return [("recalibration", one["data"]) for one in held.about.get("recalibrations", ())]


def results_of(held: Bundle) -> list[dict[str, Any]]:
    """The results that a bundle carries: of its last recalibration, else of its training. None stands for undefined."""
    last = held.about.get("recalibrations", ({},))[-1]
    return [dict(one) for one in last.get("metrics", held.about.get("metrics", ()))]


def register(ledger: Ledger, version: str, held: Bundle, kind_of_change: str) -> None:
    """Record that MLflow holds a version, with its signed manifest; once, however often it is called.

    A registration that lacks one of the two signatures, or of another bundle under that number, is followed by a new
    one. As what the same bundle was registered first stands.
    """
    found, digest = registered(ledger, version), held.digest
    if found is not None and found.body["digest"] == digest:
        if found.body.keys() >= {"statement", "model_signature"}:
            return
        kind_of_change = str(found.body.get("kind_of_change") or kind_of_change)

    def body(signer: SigningKey) -> dict[str, Any]:
        private = model_key(ledger.home)
        said = statement(version, held, kind_of_change, ModelKey.of(private))
        head = {key: said["predicate"][key] for key in ("version", "name", "parent", "kind_of_change")}
        second = model_signature.sign(private, version, files_of(said))
        return {**head, "digest": digest, "statement": dsse.wrap(said, signer), "model_signature": second}

    after = "" if found is None else f"-{found.sequence}"
    ledger.append_signed(Kind.MODEL_REGISTERED, body, f"signed-{version}-{digest}{after}")


def registered(ledger: Ledger, version: str) -> Record | None:
    """The latest registration of a version; None where there is none."""
    return _latest(ledger, "version", version)


def registration_of(ledger: Ledger, digest: str) -> Record | None:
    """The latest registration of a bundle, under whatever number; None where there is none."""
    return _latest(ledger, "digest", digest)


def _latest(ledger: Ledger, name: str, value: str) -> Record | None:
    found = [one for one in ledger.records(Kind.MODEL_REGISTERED) if str(one.body[name]) == value]
    return found[-1] if found else None


def check_number(ledger: Ledger, model: Model) -> None:
    """BundleError where the ledger registered another bundle under that number, and MLflow's was changed since."""
    found = registered(ledger, model.version)
    if found is not None and found.body["digest"] != model.digest:
        problem = f"MLflow's version {model.version} is not the bundle that the ledger registered under that number"
        raise BundleError(MANIFEST, problem, "restore MLflow's store, or train again")


def check(ledger: Ledger, model: Model, folder: Path) -> dict[str, Any]:
    """The statement of a version, after the folder was found to hold the very files that it names.

    BundleError where the ledger has none, the ledger's key did not sign it, or a file is missing, altered or not named.
    """
    said = signed_statement(ledger, model)
    check_files(said, folder)
    return said


def signed_statement(ledger: Ledger, model: Model) -> dict[str, Any]:
    """The statement that the ledger holds of a version; BundleError where its signature is not good."""
    found = registered(ledger, model.version)
    if found is None or "statement" not in found.body:
        remedy = f"crs promote --version {model.version} makes one"
        raise BundleError("signed manifest", f"the ledger has none of version {model.version}", remedy)
    try:
        said = stated(found.body, _trusted_key(ledger, found))
        of = Model(str(said["predicate"]["version"]), str(said["predicate"]["bundle"]))
    except DAMAGED as error:
        problem = f"that of version {model.version} is not signed by the ledger's key, or its two signatures disagree"
        raise BundleError("signed manifest", problem, "run crs audit verify, and train again") from error
    if of != model or said.get("predicateType") != PREDICATE or said.get("_type") != STATEMENT:
        raise BundleError("signed manifest", f"that of version {model.version} is of another bundle", "train again")
    return said


def stated(body: Mapping[str, Any], key: PublicKey) -> dict[str, Any]:
    """The statement of a registration that the key signed; one of DAMAGED where it did not.

    The same where the key for model-signing that it names did not sign the same version with the same files. A
    registration of an earlier release has neither that key nor that signature.
    """
    said = dsse.unwrap(body["statement"], key)
    named = said["predicate"].get(_MODEL_KEY)
    if named is not None:
        second, version = body["model_signature"], str(said["predicate"]["version"])
        model_signature.check(second, ModelKey(named), version, files_of(said))
    elif "model_signature" in body:
        raise ValueError("no key is named for the second signature")
    return said


def files_of(said: Mapping[str, Any]) -> dict[str, str]:
    """Name and SHA-256 of each file that a statement names."""
    return {str(one["name"]): str(one["digest"]["sha256"]) for one in said["subject"]}


def documents(ledger: Ledger, model: Model) -> dict[str, str]:
    """File name -> text of a version's statement, its signature for model-signing and the key that checks that.

    BundleError where the ledger has none of them, or they are not good.
    """
    said, found = signed_statement(ledger, model), registered(ledger, model.version)
    if found is None or _MODEL_KEY not in said["predicate"]:
        problem = f"that of version {model.version} has no signature for model-signing"
        raise BundleError("signed manifest", problem, f"crs promote --version {model.version} makes one")
    held = {"manifest.dsse.json": found.body["statement"], SIGNATURE_FILE: found.body["model_signature"]}
    texts = {name: json.dumps(body, indent=1) + "\n" for name, body in held.items()}
    return {**texts, KEY_FILE: said["predicate"][_MODEL_KEY]}


def check_files(said: Mapping[str, Any], folder: Path) -> None:
    """BundleError, which names the first, where a folder's files are not those of a statement."""
    named = files_of(said)
    try:
        held = {path.name: _sha256(path.read_bytes()) if path.is_file() else "" for path in folder.iterdir()}
    except OSError as error:
        raise BundleError(folder.name, f"the bundle cannot be read ({error.strerror})", "restore the bundle") from error
    for name in sorted(named.keys() | held.keys()):
        if name not in held:
            raise BundleError(name, "the file is missing", "restore the bundle")
        if name not in named:
            raise BundleError(name, "the signed manifest does not name the file", "restore the bundle")
        if held[name] != named[name]:
            raise BundleError(name, "its bytes are not those of the signed manifest", "restore the bundle")


def _trusted_key(ledger: Ledger, record: Record) -> PublicKey:
    """The key that was in force at a record; ValueError where it is not one of this home's own.

    It is where the ledger begins with the key that the home remembers, each later one is signed by the one before it,
    and the home's own comes after it. That may be one before the last: a change of keys that was cut short is finished
    by the next who writes.
    """
    chain = [PublicKey.parse(one["key"]) for one in handed_on(ledger, record.sequence)]
    if signing_key(ledger.home).key not in chain:
        raise ValueError("the home's key is not one that took over")
    return chain[0]


def handed_on(ledger: Ledger, sequence: int) -> list[dict[str, Any]]:
    """Bodies of key records from the one in force at a record on.

    ValueError where any of the ledger's, those before it too, is not signed by the former, or the first is not the one
    that the home remembers: who can only write to the database could else hand over to the home's key, too.
    """
    records = list(ledger.records(Kind.KEY_ROTATED))
    chain, held = chain_of(records), mark.read(ledger.home)
    if held is not None and held.first != chain[0]:
        raise ValueError("the ledger does not begin with its key")
    first = max(place for place, one in enumerate(records) if one.sequence < sequence)
    return [dict(one.body) for one in records[first:]]


def _sha256(content: bytes) -> str:
    return sha256(content).hexdigest()
