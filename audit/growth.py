"""What one transaction adds to a ledger: records, and a checkpoint where one is due."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from audit.events import Entry, Kind, Receipt, encode
from audit.keys import SigningKey
from audit.note import Checkpoint, signed
from audit.settings import Settings
from audit.store import Head, Row
from audit.tree import leaf_hash

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Growth:
    """What one transaction adds."""

    head: Head
    time: datetime
    rows: list[Row] = field(default_factory=list)

    def add(self, entry: Entry) -> Receipt:
        """The next record."""
        sequence = self.head.frontier.size
        stored = encode(entry, sequence, self.time, self.head.previous)
        leaf = leaf_hash(stored)
        self.rows.append(Row(sequence, str(entry.kind), entry.event_id, microseconds(self.time), leaf, stored))
        self.head.frontier.append(leaf)
        self.head.previous = leaf.hex()
        return Receipt(sequence, self.head.previous)

    def due(self, settings: Settings) -> bool:
        """Whether a checkpoint is due."""
        waited = microseconds(self.time) - self.head.checkpoint_microseconds
        return (
            self.head.frontier.size - self.head.checkpoint_size >= settings.records
            or not 0 <= waited < settings.seconds * 1e6
        )

    def checkpoint(self, signer: SigningKey) -> str:
        """Add a checkpoint over everything before it; returns the signed note."""
        size = self.head.frontier.size
        note = signed(Checkpoint(signer.name, size, self.head.frontier.root()), signer)
        self.add(Entry(Kind.CHECKPOINT, {"note": note}))
        self.head.checkpoint_size = self.head.frontier.size
        self.head.checkpoint_microseconds = microseconds(self.time)
        return note


def microseconds(time: datetime) -> int:
    """Since 1970, UTC. In whole numbers: to divide two timedeltas takes three times as long."""
    passed = time - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds
