"""Whether a ledger is whole: every record, the chain, the tree, the signatures, the columns, and the copies outside.

Nothing in the database is believed but the records' own bytes, and those only as far as a signed checkpoint holds them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from audit import manifest, mark, outside
from audit.events import NO_RECORD, Kind, stamp
from audit.growth import microseconds
from audit.keys import hands_over, has_signing_key, signing_key
from audit.ledger import Ledger
from audit.mark import Mark
from audit.note import Checkpoint, PublicKey, read
from audit.pulse import Pulse
from audit.reading import rows
from audit.store import Head, Row, stated_head
from audit.times import CLOCK_SLACK, Times
from audit.tree import Frontier, leaf_hash
from features.errors import LedgerError

#: Size -> name and note of a checkpoint that is held outside.
Copies = Mapping[int, tuple[str, str]]

#: Findings that are told one by one.
MOST_TOLD = 100


class Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record's own bytes, its body unread."""

    body: msgspec.Raw
    event_id: str
    kind: str
    previous: str
    sequence: int
    time: str


_WRITTEN = msgspec.json.Decoder(Written)
#: Kinds whose bodies hold a signature.
_SIGNED = frozenset({Kind.CHECKPOINT.value, Kind.KEY_ROTATED.value, Kind.MODEL_REGISTERED.value})


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and at which sequence."""

    code: str
    sequence: int
    problem: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """findings: what is wrong, in their order. remarks: what an auditor should know, though nothing is altered.

    signed: how many records the last good checkpoint holds; what came after it rests on the chain alone.
    """

    size: int
    root: str
    signed: int
    key: str
    last: datetime | None
    findings: tuple[Finding, ...]
    remarks: tuple[Finding, ...]

    @property
    def whole(self) -> bool:
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "last": self.last and stamp(self.last), "whole": self.whole}


def verify(ledger: Ledger, key: PublicKey | None = None) -> Verdict:
    """Check a ledger against itself, its copies outside and the signing key that its home holds, or that is given.

    So also against what the home remembers of it, which is read first: the ledger may grow meanwhile, the mark too.
    What is written meanwhile is not looked at: rows and head are those of one moment.
    """
    wanted = key or _own_key(ledger)
    check = Check(_copies(ledger, wanted), Pulse(ledger.settings.heartbeat), mark.read(ledger.home))
    with ledger.reading() as connection:
        head = stated_head(connection)
        for row in rows(connection):
            check.row(row)
    check.end(ledger.clock())
    if wanted is not None and str(wanted) not in check.signers:
        check.find("signer", check.size, "no checkpoint is signed by the key that is expected")
    if head is None or head != check.head():
        check.find("head", check.size, "the stored head does not fit the records")
    return check.verdict()


def check_rows(rows: Iterable[Row], copies: Copies | None = None, every: float = 1e9) -> Verdict:
    """Check rows by themselves. every: seconds between heartbeats."""
    check = Check(copies or {}, Pulse(every))
    for row in rows:
        check.row(row)
    check.end(None)
    return check.verdict()


def _copies(ledger: Ledger, wanted: PublicKey | None) -> Copies:
    """Checkpoints that were copied outside, of the expected key's ledger; without a key, of the one it says it is."""
    origin = wanted.name if wanted else _origin(ledger)
    return dict(outside.copies(ledger.home, ledger.settings, origin))


def _origin(ledger: Ledger) -> str:
    try:
        announced = ledger.last(Kind.KEY_ROTATED)
        return PublicKey.parse(announced.body["key"]).name if announced else ""
    except (LedgerError, ValueError, KeyError, TypeError, AttributeError):
        return ""  # that record is told of at its place


def _own_key(ledger: Ledger) -> PublicKey | None:
    return signing_key(ledger.home).key if has_signing_key(ledger.home) else None


@dataclass(slots=True)
class Check:
    """What has been seen so far. expected: the sequence of the next record.

    checkpoint: the size after the last one, and its time in microseconds.
    """

    copies: Copies
    pulse: Pulse
    mark: Mark | None = None
    frontier: Frontier = field(default_factory=Frontier)
    expected: int = 0
    previous: str = NO_RECORD
    times: Times = field(default_factory=Times)
    checkpoint: tuple[int, int] = (0, 0)
    key: PublicKey | None = None
    signed: int = 0
    uncopied: int = 0
    signers: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    remarks: list[Finding] = field(default_factory=list)

    @property
    def size(self) -> int:
        return self.frontier.size

    def head(self) -> Head:
        """Where a ledger of these records goes on."""
        return Head(self.frontier, self.previous, *self.checkpoint)

    def find(self, code: str, sequence: int, problem: str) -> None:
        if len(self.findings) < MOST_TOLD:
            self.findings.append(Finding(code, sequence, problem))

    def remark(self, code: str, sequence: int, problem: str) -> None:
        if problem and len(self.remarks) < MOST_TOLD:
            self.remarks.append(Finding(code, sequence, problem))

    def row(self, row: Row) -> None:
        """The next row."""
        if type(row.record) is not bytes:
            row = self._as_bytes(row)
        place, leaf = row.sequence, leaf_hash(row.record)
        if place != self.expected:
            gap = f"records {self.expected} to {place - 1} are missing" if place > self.expected else "out of its order"
            self.find("sequence", place, gap)
        if leaf != row.hash:
            self.find("altered", place, "its bytes do not have the hash that stands beside them")
        if place in self.copies:
            self._copy(place)
        try:
            self._written(row, _WRITTEN.decode(row.record))
        except (ValueError, TypeError, KeyError):
            self.find("unreadable", place, "its bytes are not those of a record")
        self.frontier.append(leaf)
        self.previous, self.expected = leaf.hex(), place + 1
        if self.mark is not None and self.mark.frontier.size == self.frontier.size:
            self._marked(self.mark)

    def _as_bytes(self, row: Row) -> Row:
        """A row of SQLite, which keeps a value of any type in any column."""
        self.find("altered", row.sequence, "it is not kept as bytes")
        return row._replace(record=str(row.record).encode(errors="surrogateescape"))

    def _written(self, row: Row, written: Written) -> None:
        place, time = row.sequence, datetime.fromisoformat(written.time)
        if written.sequence != place:
            self.find("sequence", place, f"the record calls itself number {written.sequence}")
        if written.previous != self.previous:
            self.find("chain", place, "it does not follow the record before it")
        if (written.kind, written.event_id, microseconds(time)) != (row.kind, row.event_id, row.microseconds):
            self.find("columns", place, "the columns beside it say something else")
        back = self.times.set_back(written.time)
        if back is not None:
            self.find("clock-back", place, f"it is {back.total_seconds():.0f} s older than a record before it")
        if written.kind in _SIGNED:
            self._signed(row, written)
        if not self.frontier.size and written.kind != Kind.KEY_ROTATED:
            self.find("key", place, "a ledger begins with the key that signs it")
        self.remark("silence", place, self.pulse.record(written.kind, time))

    def _signed(self, row: Row, written: Written) -> None:
        place, body = row.sequence, msgspec.json.decode(written.body)
        if written.kind == Kind.CHECKPOINT:
            self.checkpoint = (place + 1, row.microseconds)
            self._checkpoint(body["note"], place)
        elif written.kind == Kind.KEY_ROTATED:
            self._key(body, place)
        else:
            self._registered(body, place)

    def _checkpoint(self, note: str, place: int) -> None:
        """A checkpoint holds all records before it."""
        self.uncopied += place not in self.copies
        problem = self._disagrees(note, place)
        if problem:
            self.find("checkpoint", place, f"{problem}; nothing vouches for records {self.signed} to {place - 1}")
        else:
            self.signed = place
            self.signers.add(str(self.key))

    def _copy(self, place: int) -> None:
        name, note = self.copies[place]
        problem = self._disagrees(note, place)
        if problem:
            self.find("copy", place, f"{name}: {problem}")

    def _marked(self, held: Mark) -> None:
        if (held.frontier, held.last) != (self.frontier, self.previous):
            problem = f"keys/{mark.NAME}: the records up to here are not those that were signed"
            self.find("copy", held.frontier.size - 1, problem)

    def _disagrees(self, note: str, size: int) -> str:
        """Why a note does not vouch for the records so far, "" where it does."""
        try:
            stated = read(note, self.key)
        except ValueError as error:
            return str(error)
        if self.key is None or stated != Checkpoint(self.key.name, size, self.frontier.root()):
            return "its size, root or origin is not that of the records"
        return ""

    def _key(self, body: Mapping[str, str], place: int) -> None:
        """A ledger begins with a key; each later one is signed by the one before."""
        new, old = PublicKey.parse(body["key"]), self.key
        if self.size and not (old is not None and hands_over(old, new, body)):
            self.find("key", place, "the new key is not signed by the one before it")
        self.key = new

    def _registered(self, body: Mapping[str, Any], place: int) -> None:
        """A model's manifest is signed by the key in force, for model-signing, too, and names the record's bundle."""
        if "statement" not in body or self.key is None:
            return
        try:
            good = manifest.stated(body, self.key)["predicate"]["bundle"] == body["digest"]
        except manifest.DAMAGED:
            good = False
        if not good:
            problem = (
                "the manifest of its model is not signed by the key, of another bundle, or its signatures disagree"
            )
            self.find("manifest", place, problem)

    def end(self, now: datetime | None) -> None:
        """After the last row: what is gone behind it, and what is silent."""
        for held, (name, _) in sorted(self.copies.items()):
            if held == self.size:
                self._copy(held)
            elif held > self.size:
                self.find("tail", self.size, f"{name} holds {held} records: those from {self.size} on are gone")
        if self.mark is not None and self.mark.frontier.size > self.size:
            self.find("tail", self.size, f"keys/{mark.NAME} holds more: records from {self.size} on are gone")
        if self.uncopied:
            self.remark("no-copy", self.size, f"{self.uncopied} checkpoints have no copy outside")
        if now is None or not self.times.last:
            return
        self.remark("silence", self.size, self.pulse.end(now))
        if datetime.fromisoformat(self.times.last) - now > CLOCK_SLACK:
            self.find("clock-back", self.size - 1, "it lies in the future")

    def verdict(self) -> Verdict:
        return Verdict(
            size=self.size,
            root=self.frontier.root().hex(),
            signed=self.signed,
            key="" if self.key is None else str(self.key),
            last=datetime.fromisoformat(self.times.last) if self.times.last else None,
            findings=tuple(sorted(self.findings, key=lambda one: one.sequence)),
            remarks=tuple(self.remarks),
        )
