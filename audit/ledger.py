"""The ledger: typed records, appended and never changed, each naming the hash of the one before.

`append` returns once the record is on the disk. Several processes may append to one ledger; the service does so
through one writer (audit.writer), which commits what arrives together in one transaction.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit import kept, keys, mark, outside, store
from audit.events import ConflictError, Entry, Kind, Receipt, Record, decode, plain
from audit.growth import Growth
from audit.keys import (
    SigningKey,
    chain_of,
    draft_signing_key,
    has_signing_key,
    make_signing_key,
    signing_key,
    take_over,
)
from audit.mark import Mark
from audit.note import Checkpoint, PublicKey, read
from audit.reading import Reading
from audit.settings import Settings
from audit.store import Head, Store, TakenError, Writing
from audit.vault import holder_of
from features.errors import LedgerError
from features.home import Home, make_folder

Clock = Callable[[], datetime]


def now() -> datetime:
    return datetime.now(UTC)


def open_ledger(home: Home, uri: str | None = None, writes: bool = True) -> contextlib.AbstractContextManager["Ledger"]:
    """The ledger of a deployment; made, with its keys, on first use by one who writes.

    uri: a PostgreSQL URL, else what CRS_RISK_LEDGER_URI names, else SQLite under the home. LedgerError where it cannot
    be used, or there is none to read.
    """
    settings = Settings.from_environment(os.environ)
    return opened(home, settings, settings.uri if uri is None else uri, writes)


@contextlib.contextmanager
def opened(
    home: Home, settings: Settings, uri: str = "", writes: bool = True, clock: Clock = now
) -> Iterator["Ledger"]:
    """The same with settings that were read already."""
    held = Store(uri, None if uri else _file(home, writes), writes)
    try:
        ledger = Ledger(home, held, settings, clock)
        if writes:
            ledger.begin()
        yield ledger
    finally:
        held.close()


def _file(home: Home, writes: bool) -> Path:
    path = home.ledger / "ledger.db"
    if writes:
        make_folder(home.ledger)
    elif not path.exists():
        raise LedgerError("ledger", "there is none in this home yet", "train, promote or serve first")
    return path


class Ledger(Reading):
    """One ledger. Safe to share between threads."""

    def __init__(self, home: Home, held: Store, settings: Settings, clock: Clock) -> None:
        super().__init__(held)
        self.home, self.settings, self.clock = home, settings, clock
        self._signer: SigningKey | None = None
        # The key that the ledger began with, and the last record of a key that was looked at.
        self._first: PublicKey | None = None
        self._announced: bytes | None = None

    def begin(self) -> None:
        """Make what is missing; a new ledger begins with a record that announces its key.

        LedgerError where it is not this home's ledger as it was signed last, going on, with the keys that the home's
        own handed over to; or where there is none although checkpoints of one are there: it was taken away.
        """
        self._store.create()
        made = None
        with self._store.writing() as writing:
            head = writing.head()
            if head is None:
                made = self._first_record(writing)
            else:
                mark.check(self.home, writing, head.frontier)
                self._current(writing)
        self._hand_out(made)
        announced, signed_last = self.last(Kind.KEY_ROTATED), self.last(Kind.CHECKPOINT)
        assert announced is not None  # every ledger begins with one
        if signed_last is None or signed_last.sequence < announced.sequence:
            self.checkpoint()  # a rotation was cut short: what a key has not signed it does not vouch for

    def _first_record(self, writing: Writing) -> "Signed | None":
        key = signing_key(self.home) if has_signing_key(self.home) else make_signing_key(self.home)
        outside.check_none(self.home, self.settings, key.name)
        mark.check(self.home, writing, Head.empty().frontier)
        self._signer, self._first = key, key.key
        return self._grow(writing, [Entry(Kind.KEY_ROTATED, {"key": str(key.key)}, str(key.key))])[1]

    @property
    def signer(self) -> SigningKey:
        if self._signer is None:
            raise LedgerError("ledger", "it was opened for reading", "open it for writing")
        return self._signer

    def append(self, kind: Kind, body: Mapping[str, Any], event_id: str = "") -> Receipt:
        """Record one event; on the disk when this returns. LedgerError where that is not sure.

        The same kind and event_id with the same body again is the same event: the first receipt comes back. With
        another body it is a LedgerError.
        """
        return self.append_all([Entry(kind, body, event_id)])[0]

    def append_signed(
        self, kind: Kind, body_by: Callable[[SigningKey], Mapping[str, Any]], event_id: str = ""
    ) -> Receipt:
        """Record one event whose body holds a signature, made by the key that is in force at that very record.

        Where an event of that kind and id is recorded already, that record stands and its receipt comes back.
        """
        return self.append_made(kind, lambda writing: body_by(self._current(writing)), event_id)

    def append_made(self, kind: Kind, body_by: Callable[[Writing], Mapping[str, Any]], event_id: str = "") -> Receipt:
        """Record one event whose body is made within its transaction, with whatever else is done in it.

        Where an event of that kind and id is recorded already, that record stands and nothing else is done.
        """
        self.signer  # noqa: B018 (LedgerError where it was opened for reading)
        try:
            with self._store.writing() as writing:
                receipts, made = self._grow(writing, [Entry(kind, body_by(writing), event_id)])
        except TakenError:
            held = self.find(event_id, kind)
            assert held is not None  # nothing is ever deleted
            return Receipt(held.sequence, held.hash)
        self._hand_out(made)
        return receipts[0]

    def append_all(self, entries: Sequence[Entry]) -> list[Receipt]:
        """Record events in one transaction, all or none; their receipts in that order."""
        self.signer  # noqa: B018 (LedgerError where it was opened for reading)
        try:
            with self._store.writing() as writing:
                receipts, made = self._grow(writing, entries)
        except TakenError:
            with self._store.writing() as writing:
                receipts, made = self._grow_around(writing, entries)
        self._hand_out(made)
        return receipts

    def ask(self, entries: Sequence[Entry], behind: int = 0) -> Awaitable[list[Receipt]]:  # noqa: ARG002 (as the client)
        """The same from an event loop, which goes on meanwhile."""
        return asyncio.ensure_future(asyncio.to_thread(self.append_all, entries))

    def _grow_around(self, writing: Writing, entries: Sequence[Entry]) -> "tuple[list[Receipt], Signed | None]":
        """Add what is new, and find the receipts of the rest."""
        known: dict[tuple[str, str], Record] = {}
        new: dict[tuple[str, str], Entry] = {}
        nameless = [one for one in entries if not one.event_id]
        for one in entries:
            name = (one.event_id, str(one.kind))
            stored = store.event(writing.connection, *name) if one.event_id else None
            held = new.get(name)
            if stored is not None:
                known[name] = decode(stored)
                _same(known[name].body, one)
            elif one.event_id and held is not None:
                _same(held.body, one)
            elif one.event_id:
                new[name] = one
        receipts, made = self._grow(writing, [*new.values(), *nameless]) if new or nameless else ([], None)
        told = {name: Receipt(one.sequence, one.hash) for name, one in known.items()}
        told |= dict(zip(new, receipts, strict=False))
        rest = iter(receipts[len(new) :])
        return [told[one.event_id, str(one.kind)] if one.event_id else next(rest) for one in entries], made

    def _grow(self, writing: Writing, entries: Sequence[Entry]) -> "tuple[list[Receipt], Signed | None]":
        """Add records, and a checkpoint if one is due, which comes back, too (None where none was)."""
        found = writing.head()
        growth = Growth(found or Head.empty(), self.clock())
        receipts = [growth.add(one) for one in entries]
        made = self._sign(writing, growth, self._current(writing)) if growth.due(self.settings) else None
        writing.add(growth.rows)
        writing.set_head(growth.head, new=found is None)
        pairs = zip(receipts, entries, strict=True)
        kept.add(
            writing.connection,
            [(place.sequence, holder_of(one.body, one.event_id), one.kept) for place, one in pairs if one.kept],
        )
        return receipts, made

    def _sign(self, writing: Writing, growth: Growth, signer: SigningKey) -> "Signed":
        """Add a checkpoint; LedgerError where the ledger does not go on from what was signed last."""
        mark.check(self.home, writing, growth.head.frontier, growth.rows)
        assert self._first is not None  # known before the key that signs is
        note = growth.checkpoint(signer)
        return Signed(note, Mark(self._first, growth.head.frontier, growth.head.previous))

    def _hand_out(self, made: "Signed | None") -> None:
        """After the commit: remember what was signed, and copy the note outside."""
        if made is not None:
            mark.keep(self.home, made.mark)
            outside.write(self.home, self.settings, self.signer.name, made.note)

    def checkpoint(self) -> Checkpoint:
        """Sign the ledger as it is now, whether or not it is due, and copy the note outside."""
        with self._store.writing() as writing:
            growth = Growth(writing.head() or Head.empty(), self.clock())
            made = self._sign(writing, growth, self._current(writing))
            writing.add(growth.rows)
            writing.set_head(growth.head, new=False)
        self._hand_out(made)
        return read(made.note)

    def rotate_key(self) -> PublicKey:
        """Announce a new signing key, signed by the old one, which is destroyed; so is the key for model-signing."""
        with self._store.writing() as writing:
            growth = Growth(writing.head() or Head.empty(), self.clock())
            old = self._current(writing)
            new = draft_signing_key(self.home, old.name)
            signature = old.sign(str(new.key).encode()).hex()
            body = {"key": str(new.key), "signed_by": str(old.key), "signature": signature}
            growth.add(Entry(Kind.KEY_ROTATED, body, str(new.key)))
            made = self._sign(writing, growth, new)  # the new key vouches for all that was before it
            keys.drop_model_key(self.home)  # while nothing else is registered; the next registration makes another
            writing.add(growth.rows)
            writing.set_head(growth.head, new=False)
        self._signer = take_over(self.home, new.key)
        self._hand_out(made)
        return new.key

    def _current(self, writing: Writing) -> SigningKey:
        """The key that the ledger announced last, which another process may have done a moment ago.

        LedgerError where any of its keys is not signed by the one before it, or the first is not this home's.
        """
        announced = store.latest(writing.connection, str(Kind.KEY_ROTATED))
        if announced is not None and announced != self._announced:
            chain = _chain(writing)
            mark.check_first(self.home, chain[0])
            self._signer = take_over(self.home, chain[-1], self._signer)
            self._first, self._announced = chain[0], announced
        return self.signer


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint: its note, and the ledger with the checkpoint's own record."""

    note: str
    mark: Mark


def _chain(writing: Writing) -> list[PublicKey]:
    try:
        return chain_of(map(decode, store.every(writing.connection, str(Kind.KEY_ROTATED))))
    except (ValueError, KeyError, TypeError) as error:
        problem = str(error) if "of record" in str(error) else "a key that it announces cannot be read"
        raise LedgerError("ledger", problem, "run `crs audit verify`") from error


def _same(body: Mapping[str, Any], again: Entry) -> None:
    if plain(body) != plain(again.body):
        raise ConflictError(
            f"{again.kind} record", "that event is recorded already with another content", "give it a name of its own"
        )
