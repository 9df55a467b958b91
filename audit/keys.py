"""The keys of a deployment: one that signs checkpoints, one for model-signing, one that makes pseudonyms.

They are made on first use, readable by their owner alone. Whoever holds the tenant key can tell whether a record is
about a patient whose identifier they know; nobody else can.
"""

import contextlib
import hmac
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.events import Record
from audit.note import PublicKey
from features.errors import LedgerError, StoreError
from features.home import Home, make_folder

Held = TypeVar("Held")

_SIGNING, _NEXT, _TENANT, _MODEL = "ledger.key", "ledger.key.next", "tenant.key", "model-signing.key"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key that signs checkpoints. name: the ledger's origin, the same for all keys it ever has."""

    name: str
    private: Ed25519PrivateKey

    @property
    def key(self) -> PublicKey:
        raw = self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return PublicKey(self.name, raw)

    def sign(self, message: bytes) -> bytes:
        return self.private.sign(message)

    def to_bytes(self) -> bytes:
        """The name on the first line, then the 32 bytes in hex."""
        raw = self.private.private_bytes_raw()
        return f"{self.name}\n{raw.hex()}\n".encode()

    @classmethod
    def from_bytes(cls, held: bytes) -> "SigningKey":
        """As to_bytes wrote it; ValueError where it is damaged."""
        name, raw = held.decode("ascii").split()
        return cls(name, Ed25519PrivateKey.from_private_bytes(bytes.fromhex(raw)))

    @classmethod
    def new(cls, name: str) -> "SigningKey":
        return cls(name, Ed25519PrivateKey.generate())


def has_signing_key(home: Home) -> bool:
    return (home.keys / _SIGNING).exists()


def signing_key(home: Home) -> SigningKey:
    """The key that signs; LedgerError where there is none, or the file is damaged or cannot be read."""
    return read_key(home.keys / _SIGNING, SigningKey.from_bytes)


def make_signing_key(home: Home) -> SigningKey:
    """The key that signs; made, with a name for a new ledger, where there is none."""
    made = SigningKey.new(f"crs-risk/{secrets.token_hex(8)}")
    write_once(home.keys / _SIGNING, made.to_bytes())
    return signing_key(home)


def draft_signing_key(home: Home, name: str) -> SigningKey:
    """A key that will take over once the ledger announces it; a draft that was left behind is thrown away."""
    (home.keys / _NEXT).unlink(missing_ok=True)
    made = SigningKey.new(name)
    write_once(home.keys / _NEXT, made.to_bytes())
    return made


def take_over(home: Home, announced: PublicKey, held: SigningKey | None = None) -> SigningKey:
    """The signing key after the ledger announced `announced`: the draft takes the place of the old one if it is it.

    held: the key that the caller has, which needs no look at the files where it is the announced one. LedgerError where
    the home has no such key: somebody else announced it, or the files are of another time.
    """
    if held is not None and held.key == announced:
        return held
    draft = home.keys / _NEXT
    # Another process may move the draft at the same moment; what counts is what lies there afterwards.
    with contextlib.suppress(FileNotFoundError):
        if signing_key(home).key != announced and SigningKey.from_bytes(draft.read_bytes()).key == announced:
            draft.replace(home.keys / _SIGNING)
    found = signing_key(home)
    if found.key != announced:
        problem = "it is not the key that the ledger announced last"
        raise LedgerError(f"keys/{_SIGNING}", problem, "run `crs audit verify`, or restore the key from a backup")
    return found


def chain_of(records: Iterable[Record]) -> list[PublicKey]:
    """The keys that a ledger announced, from its first record on; all of its key records are to be given.

    ValueError, which names the record, where one is not signed by the one before it.
    """
    found: list[PublicKey] = []
    for one in records:
        try:
            new = PublicKey.parse(one.body["key"])
            good = not found or hands_over(found[-1], new, one.body)
        except (ValueError, KeyError, TypeError, AttributeError):
            good = False
        if not good:
            raise ValueError(f"the key of record {one.sequence} is not signed by the one before it")
        found.append(new)
    return found


def hands_over(old: PublicKey, new: PublicKey, body: Mapping[str, Any]) -> bool:
    """Whether the body of a key record is signed by the key before it. KeyError or ValueError where it is damaged."""
    named = (new.name, body["signed_by"]) == (old.name, str(old))
    return named and old.verifies(body["key"].encode(), bytes.fromhex(body["signature"]))


def model_key(home: Home) -> ec.EllipticCurvePrivateKey:
    """The key on P-256 that signs bundles for model-signing, a PEM file; made where there is none.

    Losing it loses nothing: each signature's public half is in the ledger, and the next registration makes a new key.
    """
    path = home.keys / _MODEL
    if not path.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        form, plainly = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        write_once(path, made.private_bytes(serialization.Encoding.PEM, form, plainly))
    return read_key(path, _on_p256)


def drop_model_key(home: Home) -> None:
    """Destroy the key for model-signing: the next registration is signed by a new one."""
    (home.keys / _MODEL).unlink(missing_ok=True)


def _on_p256(held: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        found = serialization.load_pem_private_key(held, None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("a password, or a key of another kind") from error
    if not isinstance(found, ec.EllipticCurvePrivateKey) or not isinstance(found.curve, ec.SECP256R1):
        raise ValueError("not a key on P-256")
    return found


def tenant_key(home: Home) -> bytes:
    """The 32 bytes that key pseudonyms and digests; made where there are none."""
    path = home.keys / _TENANT
    if not path.exists():
        write_once(path, secrets.token_bytes(32).hex().encode() + b"\n")
    return held_tenant_key(home)


def held_tenant_key(home: Home) -> bytes:
    """The same, never made: a new one would fit nothing that was recorded. LedgerError where it is not there."""
    return read_key(home.keys / _TENANT, lambda held: bytes.fromhex(held.decode("ascii")))


def pseudonym(key: bytes, identifier: str, tenant: str = "") -> str:
    """The keyed digest of a patient's or course's identifier, in hex; "" for none.

    tenant: whose identifier it is, "" where callers state none: two tenants may use the same one for two patients.
    """
    head = b"tenant\x00" + tenant.encode() + b"\x00id\x00" if tenant else b"id\x00"
    return keyed(key, head + identifier.encode()) if identifier else ""


def keyed(key: bytes, content: bytes) -> str:
    """HMAC-SHA256 in hex: nobody without the key can test a guess against it."""
    return hmac.new(key, content, sha256).hexdigest()


def read_key(path: Path, parse: Callable[[bytes], Held]) -> Held:
    """What a key file holds."""
    try:
        return parse(path.read_bytes())
    except FileNotFoundError as error:
        raise LedgerError(f"keys/{path.name}", "the file is not there", "restore it from a backup") from error
    except (OSError, ValueError) as error:
        raise LedgerError(f"keys/{path.name}", "it is damaged or cannot be read", "restore it from a backup") from error


def write_once(path: Path, content: bytes) -> None:
    """Write a file for its owner alone, whole or not at all; one that is there already stands."""
    try:
        make_folder(path.parent).chmod(0o700)
        draft = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
        number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # Another process may have been faster: its key is as good, and the same for all.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    except (OSError, StoreError) as error:
        raise LedgerError(f"keys/{path.name}", "it cannot be written", "check the state folder") from error
