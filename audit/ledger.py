"""The ledger: typed records, appended and never changed, each naming the hash of the one before.

`append` returns once the record is on the disk. Several processes may append to one ledger; the service does so
through one writer (audit.writer), which commits what arrives together in one transaction.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit import kept, keys, outside, store
from audit.events import ConflictError, Entry, Kind, Receipt, Record, decode, plain
from audit.growth import Growth
from audit.keys import SigningKey, draft_signing_key, has_signing_key, make_signing_key, signing_key, take_over
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

    def begin(self) -> None:
        """Make what is missing; a new ledger begins with a record that announces its key.

        LedgerError where there is no ledger although checkpoints of one are there: it was taken away.
        """
        self._store.create()
        note = ""
        with self._store.writing() as writing:
            if writing.head() is None:
                key = signing_key(self.home) if has_signing_key(self.home) else make_signing_key(self.home)
                outside.check_none(self.home, self.settings, key.name)
                self._signer = key
                _, note = self._grow(writing, [Entry(Kind.KEY_ROTATED, {"key": str(key.key)}, str(key.key))])
        if note:
            outside.write(self.home, self.settings, self.signer.name, note)
        announced = self.last(Kind.KEY_ROTATED)
        assert announced is not None  # every ledger begins with one
        self._signer = take_over(self.home, PublicKey.parse(announced.body["key"]))
        signed_last = self.last(Kind.CHECKPOINT)
        if signed_last is None or signed_last.sequence < announced.sequence:
            self.checkpoint()  # a rotation was cut short: what a key has not signed it does not vouch for

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
        signer = self.signer
        try:
            with self._store.writing() as writing:
                receipts, note = self._grow(writing, [Entry(kind, body_by(writing), event_id)])
        except TakenError:
            held = self.find(event_id, kind)
            assert held is not None  # nothing is ever deleted
            return Receipt(held.sequence, held.hash)
        if note:
            outside.write(self.home, self.settings, signer.name, note)
        return receipts[0]

    def append_all(self, entries: Sequence[Entry]) -> list[Receipt]:
        """Record events in one transaction, all or none; their receipts in that order."""
        signer = self.signer
        try:
            with self._store.writing() as writing:
                receipts, note = self._grow(writing, entries)
        except TakenError:
            with self._store.writing() as writing:
                receipts, note = self._grow_around(writing, entries)
        if note:
            outside.write(self.home, self.settings, signer.name, note)
        return receipts

    def ask(self, entries: Sequence[Entry], behind: int = 0) -> Awaitable[list[Receipt]]:  # noqa: ARG002 (as the client)
        """The same from an event loop, which goes on meanwhile."""
        return asyncio.ensure_future(asyncio.to_thread(self.append_all, entries))

    def _grow_around(self, writing: Writing, entries: Sequence[Entry]) -> tuple[list[Receipt], str]:
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
        receipts, note = self._grow(writing, [*new.values(), *nameless]) if new or nameless else ([], "")
        told = {name: Receipt(one.sequence, one.hash) for name, one in known.items()}
        told |= dict(zip(new, receipts, strict=False))
        rest = iter(receipts[len(new) :])
        return [told[one.event_id, str(one.kind)] if one.event_id else next(rest) for one in entries], note

    def _grow(self, writing: Writing, entries: Sequence[Entry]) -> tuple[list[Receipt], str]:
        """Add records, and a checkpoint if one is due, whose note comes back, too ("" where none was)."""
        found = writing.head()
        growth = Growth(found or Head.empty(), self.clock())
        receipts = [growth.add(one) for one in entries]
        note = growth.checkpoint(self._current(writing)) if growth.due(self.settings) else ""
        writing.add(growth.rows)
        writing.set_head(growth.head, new=found is None)
        pairs = zip(receipts, entries, strict=True)
        kept.add(
            writing.connection,
            [(place.sequence, holder_of(one.body, one.event_id), one.kept) for place, one in pairs if one.kept],
        )
        return receipts, note

    def checkpoint(self) -> Checkpoint:
        """Sign the ledger as it is now, whether or not it is due, and copy the note outside."""
        with self._store.writing() as writing:
            growth = Growth(writing.head() or Head.empty(), self.clock())
            note = growth.checkpoint(self._current(writing))
            writing.add(growth.rows)
            writing.set_head(growth.head, new=False)
        outside.write(self.home, self.settings, self.signer.name, note)
        return read(note)

    def rotate_key(self) -> PublicKey:
        """Announce a new signing key, signed by the old one, which is destroyed; so is the key for model-signing."""
        old = self.signer
        new = draft_signing_key(self.home, old.name)
        signature = old.sign(str(new.key).encode()).hex()
        body = {"key": str(new.key), "signed_by": str(old.key), "signature": signature}
        with self._store.writing() as writing:
            growth = Growth(writing.head() or Head.empty(), self.clock())
            growth.add(Entry(Kind.KEY_ROTATED, body, str(new.key)))
            keys.drop_model_key(self.home)  # while nothing else is registered; the next registration makes another
            note = growth.checkpoint(new)  # the new key vouches for all that was before it
            writing.add(growth.rows)
            writing.set_head(growth.head, new=False)
        self._signer = take_over(self.home, new.key)
        outside.write(self.home, self.settings, new.name, note)
        return new.key

    def _current(self, writing: Writing) -> SigningKey:
        """The key that the ledger announced last, which another process may have done a moment ago."""
        announced = store.latest(writing.connection, str(Kind.KEY_ROTATED))
        if announced is not None:
            self._signer = take_over(self.home, PublicKey.parse(decode(announced).body["key"]), self.signer)
        return self.signer


def _same(body: Mapping[str, Any], again: Entry) -> None:
    if plain(body) != plain(again.body):
        raise ConflictError(
            f"{again.kind} record", "that event is recorded already with another content", "give it a name of its own"
        )
