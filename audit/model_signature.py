"""The signature of a bundle that OpenSSF's model-signing checks with its own command: a sigstore bundle, ECDSA P-256.

It names each file with its SHA-256 and nothing else; what the model is and where it comes from stands in the statement
of audit.manifest. That one names the public key of this one, so that only a key counts which the ledger's vouches for.
Source: model-signing 1.1.1 as installed (sign_ec_key.py, sign_sigstore_pb.py, signing.py, manifest.py), read there; in
the tests the tool itself has to accept what is written here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from audit import dsse
from features.home import MODEL_NAME

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://model_signing/signature/v1.0"
_ALGORITHM = "sha256"
_ECDSA = ec.ECDSA(hashes.SHA256())


@dataclass(frozen=True, slots=True)
class ModelKey:
    """A public key on P-256, as the text of its PEM file."""

    pem: str

    @classmethod
    def of(cls, private: ec.EllipticCurvePrivateKey) -> "ModelKey":
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return cls(private.public_key().public_bytes(serialization.Encoding.PEM, form).decode())

    @property
    def hint(self) -> str:
        """By which a signature names its key: SHA-256 of the PEM file, as sha256sum prints it."""
        return sha256(self.pem.encode()).hexdigest()

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature (DER) of the message is this key's; ValueError where the text is no such key."""
        try:
            key = serialization.load_pem_public_key(self.pem.encode())
        except UnsupportedAlgorithm as error:
            raise ValueError("not a key on P-256") from error
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("not a key on P-256")
        try:
            key.verify(signature, message, _ECDSA)
        except InvalidSignature:
            return False
        return True


def sign(private: ec.EllipticCurvePrivateKey, version: str, files: Mapping[str, str]) -> dict[str, Any]:
    """The sigstore bundle over a version's files. files: name -> SHA-256 in hex."""
    envelope = dsse.enveloped(_statement(version, files), lambda message: private.sign(message, _ECDSA))
    return {**_head(ModelKey.of(private)), "dsseEnvelope": envelope}


def check(held: Mapping[str, Any], key: ModelKey, version: str, files: Mapping[str, str]) -> None:
    """ValueError where a sigstore bundle is not by that key, or says anything else than this version and these files.

    The tool looks at the first signature alone, and leaves out of its look what `ignore_paths` names: so there is one
    signature, and nothing is ignored.
    """
    envelope = held["dsseEnvelope"]
    if {name: part for name, part in held.items() if name != "dsseEnvelope"} != _head(key):
        raise ValueError("not a bundle of this key")
    if len(envelope["signatures"]) != 1 or dsse.unwrap(envelope, key) != _statement(version, files):
        raise ValueError("not of these files")


def _head(key: ModelKey) -> dict[str, Any]:
    return {"mediaType": MEDIA_TYPE, "verificationMaterial": {"publicKey": {"hint": key.hint}, "tlogEntries": []}}


def _statement(version: str, files: Mapping[str, str]) -> dict[str, Any]:
    """As the tool states it. The subject's digest is over the files' digests in the order of their names.

    The tool puts the folder's name as the subject's and does not compare it.
    """
    names = sorted(files)
    over_all = sha256(b"".join(bytes.fromhex(files[name]) for name in names)).hexdigest()
    return {
        "_type": STATEMENT,
        "subject": [{"name": f"{MODEL_NAME}-{version}", "digest": {_ALGORITHM: over_all}}],
        "predicateType": PREDICATE,
        "predicate": {
            "serialization": {"method": "files", "hash_type": _ALGORITHM, "allow_symlinks": False},
            "resources": [{"name": name, "algorithm": _ALGORITHM, "digest": files[name]} for name in names],
        },
    }
