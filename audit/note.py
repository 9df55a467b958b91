"""Checkpoints as signed notes (C2SP signed-note and tlog-checkpoint): origin, size and root, and who signed them.

Source: https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint, read there.
"""

import base64
import binascii
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

_ED25519 = b"\x01"
_DASH = "— "


class Signer(Protocol):
    """Whoever can sign for a key."""

    @property
    def key(self) -> "PublicKey": ...
    def sign(self, message: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public part of a signing key. name: the ledger's origin. raw: 32 bytes."""

    name: str
    raw: bytes

    @property
    def id(self) -> bytes:
        """The four bytes by which a signature line names its key."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.raw).digest()[:4]

    def __str__(self) -> str:
        """The key as one line, as verifiers of signed notes take it."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.raw).decode()}"

    @classmethod
    def parse(cls, line: str) -> "PublicKey":
        """As __str__ wrote it; ValueError where the line is none, or its parts do not belong together."""
        name, _, rest = line.strip().partition("+")
        shown, _, body = rest.partition("+")
        held = base64.b64decode(body, validate=True)
        found = cls(name, held[1:])
        if held[:1] != _ED25519 or len(found.raw) != 32 or found.id.hex() != shown:
            raise ValueError("not an Ed25519 key of a signed note")
        return found

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature of the message is this key's."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A ledger's origin, how many records it held, and the root of the tree over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def signed(checkpoint: Checkpoint, signer: Signer) -> str:
    """The checkpoint as a note with one signature."""
    text = checkpoint.text()
    signature = base64.b64encode(signer.key.id + signer.sign(text.encode())).decode()
    return f"{text}\n{_DASH}{signer.key.name} {signature}\n"


def read(note: str, key: PublicKey | None = None) -> Checkpoint:
    """The checkpoint of a note, its signature checked where a key is given; ValueError where anything is wrong."""
    text, found, lines = note.partition("\n\n")
    parts = text.split("\n")
    if not found or len(parts) < 3 or not parts[1].isdecimal():
        raise ValueError("not a checkpoint")
    root = base64.b64decode(parts[2], validate=True)
    checkpoint = Checkpoint(parts[0], int(parts[1]), root)
    if len(root) != 32 or checkpoint.text() != text + "\n":
        raise ValueError("not a checkpoint")
    if key is not None and not any(_verifies(key, text + "\n", line) for line in lines.split("\n")):
        raise ValueError("not signed by the key")
    return checkpoint


def _verifies(key: PublicKey, text: str, line: str) -> bool:
    name, _, body = line.removeprefix(_DASH).partition(" ")
    try:
        held = base64.b64decode(body, validate=True)
    except binascii.Error:
        return False
    known = line.startswith(_DASH) and name == key.name and held[:4] == key.id
    return known and key.verifies(text.encode(), held[4:])
