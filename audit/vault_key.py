"""The vault key: the one key that the vault's data keys are encrypted under, in a file for its owner alone."""

import contextlib
import hmac
import secrets
from hashlib import sha256
from pathlib import Path

from audit.keys import read_key, write_once
from features.errors import LedgerError
from features.home import Home

_FILE, _NEXT = "vault.key", "vault.key.next"
_BYTES = 32
_NAME = b"crs-risk/vault-key"
_DIGITS = 16


def name(key: bytes) -> str:
    """By which the database says which key is in force; it says nothing of the key."""
    return hmac.new(key, _NAME, sha256).hexdigest()[:_DIGITS]


def make(home: Home) -> bytes:
    """The key; made where there is none."""
    write_once(home.keys / _FILE, secrets.token_bytes(_BYTES).hex().encode() + b"\n")
    return _held(home.keys / _FILE)


def named(home: Home, wanted: str) -> bytes:
    """The key of that name; LedgerError where it is gone. A change that was cut short left it beside the old one."""
    own, beside = home.keys / _FILE, home.keys / _NEXT
    for path in (own, beside, own):  # it may be put into its place between two looks
        if (held := _held_or_none(path)) is not None and name(held) == wanted:
            return held
    _held(own)  # says so where it is not there
    raise LedgerError(f"keys/{_FILE}", "it is not the key of this vault", "restore it from a backup")


def draft(home: Home) -> bytes:
    """A key that will take over; one that was left behind is thrown away."""
    beside = home.keys / _NEXT
    beside.unlink(missing_ok=True)
    write_once(beside, secrets.token_bytes(_BYTES).hex().encode() + b"\n")
    return _held(beside)


def settle(home: Home, key: bytes) -> None:
    """Put the key in force into its place, where a draft holds it; the old one is destroyed."""
    beside = home.keys / _NEXT
    with contextlib.suppress(FileNotFoundError):
        if _held_or_none(beside) == key:
            beside.replace(home.keys / _FILE)


def _held_or_none(path: Path) -> bytes | None:
    return _held(path) if path.exists() else None


def _held(path: Path) -> bytes:
    return read_key(path, _parsed)


def _parsed(held: bytes) -> bytes:
    key = bytes.fromhex(held.decode("ascii"))
    if len(key) != _BYTES:
        raise ValueError("not a key of this length")
    return key
