"""What a home remembers of its own ledger: how it began, and the tree as it was signed last.

The file lies beside the signing key, so that who can write to the database alone cannot reach it. Nothing is signed,
and no ledger is opened for writing, that does not go on from there: a history that was written anew, its checkpoints
left out, never gets a signature. Only the records since are read for that. The file is written after the commit, so
a kill leaves an older one, which the ledger goes on from as well.
"""

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from audit.keys import read_key
from audit.note import PublicKey
from audit.store import Row, Writing
from audit.tree import Frontier
from features.errors import LedgerError
from features.home import Home

_LOGGER = logging.getLogger("crs_risk.audit")
NAME = "ledger.signed"
_REMEDY = f"restore the newer ledger, or read in docs/audit.md what keys/{NAME} is for"


@dataclass(frozen=True, slots=True)
class Mark:
    """first: the key that the ledger began with. frontier: the tree up to the checkpoint's own record, which is in it.

    last: the hash of that record.
    """

    first: PublicKey
    frontier: Frontier
    last: str

    def to_bytes(self) -> bytes:
        size, roots = self.frontier.size, self.frontier.to_bytes().hex()
        held = {"first": str(self.first), "last": self.last, "roots": roots, "size": size}
        return json.dumps(held, sort_keys=True).encode() + b"\n"

    @classmethod
    def from_bytes(cls, held: bytes) -> "Mark":
        """As to_bytes wrote it; ValueError where it is damaged."""
        try:
            body = json.loads(held)
            frontier = Frontier.from_bytes(body["size"], bytes.fromhex(body["roots"]))
            return cls(PublicKey.parse(body["first"]), frontier, str(body["last"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not what was signed last") from error

    def goes_on(self, leaves: Sequence[bytes]) -> Frontier:
        """The tree with those leaves, the first of which is the mark's own last one, behind it."""
        found = Frontier(self.frontier.size, list(self.frontier.roots))
        for leaf in leaves[1:]:
            found.append(leaf)
        return found


def read(home: Home) -> Mark | None:
    """What the home remembers; None where it does not yet. LedgerError where the file is damaged or cannot be read."""
    path = home.keys / NAME
    return read_key(path, Mark.from_bytes) if path.exists() else None


def check(home: Home, writing: Writing, frontier: Frontier, new: Sequence[Row] = ()) -> None:
    """LedgerError, which names a record, where the tree does not go on from what was signed last.

    new: records that are in the tree already and not yet in the database.
    """
    held = read(home)
    if held is None:
        return
    size, last = frontier.size - len(new), held.frontier.size - 1
    if size <= last:
        problem = f"the ledger ends at record {size - 1}, though it was signed up to this one" if size else "it is gone"
        raise LedgerError(f"record {last}", problem, _REMEDY)
    leaves = [*writing.leaves(last), *(row.hash for row in new)]
    if leaves[0].hex() != held.last:
        raise LedgerError(f"record {last}", "it is not the one up to which the ledger was signed", _REMEDY)
    if held.goes_on(leaves) != frontier:
        problem = "the ledger's tree does not go on from the one that was signed there"
        raise LedgerError(f"record {last}", problem, "run `crs audit verify`")


def check_first(home: Home, first: PublicKey) -> None:
    """LedgerError where the ledger does not begin with the key that this home's began with."""
    held = read(home)
    if held is not None and held.first != first:
        raise LedgerError("record 0", "it is not the key that this ledger began with", "run `crs audit verify`")


def keep(home: Home, made: Mark) -> None:
    """Remember what was signed, unless more is remembered already. One that cannot be written is told in the log.

    The record it is about is safe in the ledger, and the older mark still holds.
    """
    try:
        with _turn(home):
            held = read(home)
            if held is None or held.frontier.size < made.frontier.size:
                _replace(home, made.to_bytes())
    except (OSError, LedgerError) as error:
        _LOGGER.error("what was signed last could not be kept in keys/%s (%s)", NAME, type(error).__name__)


@contextlib.contextmanager
def _turn(home: Home) -> Iterator[None]:
    """One process or thread at a time."""
    number = os.open(home.keys / f".{NAME}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(number, "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace(home: Home, content: bytes) -> None:
    """A whole file or the one before, for its owner alone."""
    draft = home.keys / f".{NAME}.draft"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(home.keys / NAME)
