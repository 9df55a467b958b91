"""Requests sealed so that destroying one small key makes all of a patient's unreadable, and the ledger stays whole.

AES-256-GCM with a data key per holder. The name of the record and the holder are bound in, so that what is sealed
cannot be opened as another record's. What is sealed is one version byte, the id of the data key, a random nonce, and
the ciphertext with its tag.
"""

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.data_keys import KEY_ID_BYTES, DataKey, DataKeys
from audit.events import Entry

_VERSION = b"\x01"
_NONCE_BYTES = 12
_BOUND = b"crs-risk/vault/1"
#: The member of a record's body that names what is kept of it.
DIGEST = "kept"


class SealError(Exception):
    """What was to be opened is not what was sealed, or not with that key, or of another record."""


@dataclass(frozen=True, slots=True)
class Vault:
    """Seals entries with the data keys of a deployment. No key outlives a call."""

    keys: DataKeys

    def keep(self, entries: Sequence[Entry], contents: Sequence[bytes]) -> list[Entry]:
        """The entries, each with its content sealed and named in its body; LedgerError where no key can be had."""
        keys = self.keys.of([holder_of(one.body, one.event_id) for one in entries])
        return [_with(one, content, key) for one, content, key in zip(entries, contents, keys, strict=True)]


def holder_of(body: Mapping[str, Any], event_id: str) -> str:
    """Whose request a record is of: the patient's pseudonym, else the course's, else the answer's own name."""
    return str(body.get("patient") or body.get("course") or event_id)


def _with(entry: Entry, content: bytes, key: DataKey) -> Entry:
    sealed = seal(content, key, entry.event_id, holder_of(entry.body, entry.event_id))
    return replace(entry, body={**entry.body, DIGEST: digest(sealed)}, kept=sealed)


def seal(content: bytes, key: DataKey, event_id: str, holder: str) -> bytes:
    """The content, compressed and encrypted for one record of one holder."""
    nonce = os.urandom(_NONCE_BYTES)
    hidden = AESGCM(key.secret).encrypt(nonce, zlib.compress(content), _bound(event_id, holder))
    return _VERSION + bytes.fromhex(key.id) + nonce + hidden


def unseal(sealed: bytes, key: DataKey, event_id: str, holder: str) -> bytes:
    """The content again; SealError where a bit of it, its key, its record or its holder is another."""
    start = len(_VERSION) + KEY_ID_BYTES
    nonce, hidden = sealed[start : start + _NONCE_BYTES], sealed[start + _NONCE_BYTES :]
    if sealed[:1] != _VERSION or key_of(sealed) != key.id or len(nonce) != _NONCE_BYTES:
        raise SealError
    try:
        return zlib.decompress(AESGCM(key.secret).decrypt(nonce, hidden, _bound(event_id, holder)))
    except InvalidTag as error:
        raise SealError from error


def key_of(sealed: bytes) -> str:
    """The id of the data key that something was sealed with, in hex."""
    return sealed[len(_VERSION) : len(_VERSION) + KEY_ID_BYTES].hex()


def digest(sealed: bytes) -> str:
    """What the record says of what is kept. The nonce is random, so that no guess at a content can be tested."""
    return sha256(sealed).hexdigest()


def _bound(event_id: str, holder: str) -> bytes:
    return b"\x00".join((_BOUND, event_id.encode(), holder.encode()))
