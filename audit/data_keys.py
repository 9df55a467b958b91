"""The vault's data keys, one per patient, each encrypted under the vault key, in a small database of their own.

It lies in keys/, apart from what the keys open: SQLite that overwrites what it deletes, with no log beside it. Each
call opens it anew and holds no key longer, so that a key that was destroyed is used by nobody.
"""

import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit import vault_key
from features.errors import LedgerError
from features.home import Home, make_folder

FILE = "vault.db"
KEY_ID_BYTES = 16
_KEY_BITS = 256
_NONCE_BYTES = 12
#: Seconds to wait for another process that is writing.
_BUSY_SECONDS = 5.0
#: vault: which key is in force. data_keys: encrypted. ended: destroyed, with an erasure to be finished in the ledger.
_TABLES = (
    "CREATE TABLE IF NOT EXISTS vault (id INTEGER PRIMARY KEY CHECK (id = 1), key TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS data_keys (holder TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, hidden BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS ended (id TEXT PRIMARY KEY, holder TEXT NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class DataKey:
    """One holder's key. id: random, in hex; it says nothing of the key."""

    id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DataKeys:
    """The data keys of one home. Safe to share between threads and processes."""

    home: Home

    @property
    def path(self) -> Path:
        return self.home.keys / FILE

    @property
    def made(self) -> bool:
        """Whether there ever was a vault here."""
        return self.path.exists() and self.path.stat().st_size > 0

    def prepare(self) -> None:
        """Make what is missing; LedgerError where it cannot be made, or the vault key was lost."""
        try:
            make_folder(self.home.keys).chmod(0o700)
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))
        except OSError as error:
            raise _unusable() from error
        with self._writing() as connection:
            for statement in _TABLES:
                connection.execute(statement)
            if connection.execute("SELECT key FROM vault").fetchone() is None:
                connection.execute("INSERT INTO vault VALUES (1, ?)", (vault_key.name(vault_key.make(self.home)),))
            self._vault_key(connection)

    def of(self, holders: Sequence[str]) -> list[DataKey]:
        """The key of each holder; made where there is none. `prepare` has been called."""
        with self._reading() as connection:
            found = self._those(connection, holders)
        if len(found) < len(set(holders)):
            with self._writing() as connection:
                found = self._those(connection, holders)
                for holder in set(holders) - found.keys():
                    found[holder] = self._new(connection, holder)
        return [found[holder] for holder in holders]

    def held(self, key_id: str) -> DataKey | None:
        """The key of that id; None where it was destroyed, or there never was one."""
        if not self.made:
            return None
        with self._reading() as connection:
            row = connection.execute("SELECT holder, hidden FROM data_keys WHERE id = ?", (key_id,)).fetchone()
            return None if row is None else DataKey(key_id, _shown(self._vault_key(connection), key_id, *row))

    def end(self, holder: str) -> None:
        """Destroy a holder's key, and remember that its erasure is to be finished in the ledger."""
        with self._writing() as connection:
            connection.execute("INSERT INTO ended SELECT id, holder FROM data_keys WHERE holder = ?", (holder,))
            connection.execute("DELETE FROM data_keys WHERE holder = ?", (holder,))

    def ended(self) -> list[tuple[str, str]]:
        """Id and holder of each key whose erasure is not finished."""
        if not self.made:
            return []
        with self._reading() as connection:
            return [(str(key), str(holder)) for key, holder in connection.execute("SELECT id, holder FROM ended")]

    def finished(self, key_id: str) -> None:
        """Forget a key that was destroyed and whose erasure is on record."""
        with self._writing() as connection:
            connection.execute("DELETE FROM ended WHERE id = ?", (key_id,))

    def renew(self) -> int:
        """Encrypt all data keys under a new vault key, which takes the old one's place; how many they are.

        What a stopped call left behind is taken up: until the file is in its place, the one beside it counts.
        """
        with self._writing() as connection:
            old = self._vault_key(connection)
            vault_key.settle(self.home, old)
            new = vault_key.draft(self.home)
            rows = connection.execute("SELECT id, holder, hidden FROM data_keys").fetchall()
            for key_id, holder, hidden in rows:
                again = _hidden(new, key_id, holder, _shown(old, key_id, holder, hidden))
                connection.execute("UPDATE data_keys SET hidden = ? WHERE id = ?", (again, key_id))
            connection.execute("UPDATE vault SET key = ?", (vault_key.name(new),))
        vault_key.settle(self.home, new)
        return len(rows)

    def _those(self, connection: sqlite3.Connection, holders: Sequence[str]) -> dict[str, DataKey]:
        key = self._vault_key(connection)
        found = {}
        for holder in set(holders):
            row = connection.execute("SELECT id, hidden FROM data_keys WHERE holder = ?", (holder,)).fetchone()
            if row is not None:
                found[holder] = DataKey(row[0], _shown(key, row[0], holder, row[1]))
        return found

    def _new(self, connection: sqlite3.Connection, holder: str) -> DataKey:
        made = DataKey(secrets.token_hex(KEY_ID_BYTES), AESGCM.generate_key(_KEY_BITS))
        hidden = _hidden(self._vault_key(connection), made.id, holder, made.secret)
        connection.execute("INSERT INTO data_keys VALUES (?, ?, ?)", (holder, made.id, hidden))
        return made

    def _vault_key(self, connection: sqlite3.Connection) -> bytes:
        """The vault key in force, which the database names."""
        row = connection.execute("SELECT key FROM vault").fetchone()
        if row is None:
            raise _unusable()
        return vault_key.named(self.home, row[0])

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._transaction("BEGIN")

    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._transaction("BEGIN IMMEDIATE")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        """Committed, and on the disk, when it ends without an error; undone when it is closed with one."""
        try:
            with closing(sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
                connection.execute("PRAGMA secure_delete=ON")
                connection.execute("PRAGMA synchronous=EXTRA")
                connection.execute(begin)
                yield connection
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise _unusable() from error


def _hidden(vault: bytes, key_id: str, holder: str, secret: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(vault).encrypt(nonce, secret, f"{key_id} {holder}".encode())


def _shown(vault: bytes, key_id: str, holder: str, hidden: bytes) -> bytes:
    try:
        return AESGCM(vault).decrypt(hidden[:_NONCE_BYTES], hidden[_NONCE_BYTES:], f"{key_id} {holder}".encode())
    except (InvalidTag, ValueError) as error:
        raise LedgerError(f"keys/{FILE}", "a data key in it was altered", "restore it from a backup") from error


def _unusable() -> LedgerError:
    return LedgerError(f"keys/{FILE}", "it cannot be used", "check its disk and rights, or restore it from a backup")
