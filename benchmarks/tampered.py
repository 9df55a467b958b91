"""One ledger to tamper with behind the product's back, and what both verifiers then say of it."""

import shutil
import sqlite3
import sys
import tempfile
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from audit import verifier
from audit.events import Kind
from audit.ledger import Ledger, opened
from audit.settings import Settings
from audit.store import Head, Row
from audit.tree import Frontier
from audit.vault_check import with_vault
from audit.verify import Verdict, verify
from features.errors import LedgerError
from features.home import Home

LATER = datetime(2100, 1, 1, tzinfo=UTC)
INSERT = f"INSERT INTO ledger_records ({', '.join(Row._fields)}) VALUES (?, ?, ?, ?, ?, ?)"
#: The same key, message and signature come again with every tampering; the answer to them is the same.
verifier.signed_by = lru_cache(1 << 14)(verifier.signed_by)


@dataclass(frozen=True, slots=True)
class Expected:
    """Sequences of which the first finding has to name one. by_verify: empty where only a receipt can tell.

    by_verifier: of the stand-alone verifier on the export; empty where the export is as it was.
    """

    by_verify: frozenset[int]
    by_verifier: frozenset[int]


#: May be gone already, where a ledger is read again.
_GUARDS = (
    "TRIGGER IF EXISTS ledger_no_update",
    "TRIGGER IF EXISTS ledger_no_delete",
    "TRIGGER IF EXISTS ledger_no_replace",
    "INDEX IF EXISTS ledger_by_event",
)


@dataclass(frozen=True, slots=True)
class Ground:
    """A ledger as it was. signed: the sequences of its checkpoints; notes: their copies outside; key: its first key.

    receipts: of the records from the last checkpoint on, which no signature covers.
    """

    home: Path
    rows: list[Row]
    signed: tuple[int, ...]
    notes: list[str]
    key: str
    receipts: list[tuple[int, str]]

    @classmethod
    def of(cls, home: Path) -> "Ground":
        """Read a ledger; what guards it is dropped, and it is one file from then on."""
        with closing(sqlite3.connect(home / "ledger" / "ledger.db", isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode=DELETE")
            for guard in _GUARDS:
                database.execute(f"DROP {guard}")
        with opened(Home(home), Settings(), writes=False) as ledger:
            rows = list(ledger.stored())
            (first, *_) = ledger.records(Kind.KEY_ROTATED)
        places = tuple(row.sequence for row in rows if row.kind == Kind.CHECKPOINT)
        notes = [path.read_text() for path in sorted((home / "checkpoints").iterdir())]
        receipts = [(row.sequence, row.hash.hex()) for row in rows[places[-1] :]]
        return cls(home, rows, places, notes, str(first.body["key"]), receipts)

    @property
    def size(self) -> int:
        return len(self.rows)

    def after(self, place: int) -> int:
        """The first checkpoint behind a record; 0 where there is none."""
        return next((one for one in self.signed if one > place), 0)

    def vouched(self, place: int, *found: int) -> Expected:
        """What is found at one of these places where a checkpoint stands behind it, else only by its receipt."""
        if self.after(place) == 0:
            return Expected(frozenset(), frozenset({place}))
        return Expected(frozenset(found), frozenset(found))


class Field:
    """Where one process does its harm: a home of its own, whose database is a fresh copy each time."""

    def __init__(self, ground: Ground, scratch: Path) -> None:
        self.ground, self.home = ground, Home(scratch / "home")
        shutil.copytree(ground.home, self.home.folder)
        self._whole = sqlite3.connect(":memory:")
        self.database = sqlite3.connect(self.home.ledger / "ledger.db")
        self.database.execute("PRAGMA synchronous=OFF")
        self.database.backup(self._whole)
        self._ledger = ExitStack().enter_context(self.opened())

    def restore(self) -> None:
        """The database as it was, page by page."""
        self._whole.backup(self.database)

    def opened(self) -> AbstractContextManager[Ledger]:
        return opened(self.home, Settings(), writes=False, clock=lambda: LATER)

    def signs(self) -> bool:
        """Whether a service that is started on a copy of the ledger as it is now would sign it."""
        with tempfile.TemporaryDirectory(dir=self.home.folder.parent) as made:
            home = Home(Path(made, "home"))
            shutil.copytree(self.home.folder, home.folder)
            try:
                with opened(home, Settings(), clock=lambda: LATER) as ledger:
                    ledger.checkpoint()
            except LedgerError:
                return False
        return True

    def judge(self, expected: Expected, place: int) -> str:
        missed = ""
        if expected.by_verify:
            first = self.verdict().findings[:1]
            named = first and (first[0].sequence in expected.by_verify or f"records {place} to " in first[0].problem)
            missed = "" if named else f"verify: {first}; "
        if expected.by_verifier:
            said = self.alone()
            named = any(said.startswith(f"record {one}: ") for one in expected.by_verifier)
            missed += "" if named else f"verifier: {said or 'good'}"
        return missed

    def verdict(self) -> Verdict:
        return with_vault(self._ledger, verify(self._ledger))

    def alone(self) -> str:
        """What the stand-alone verifier says of an export; "" where it is good."""
        records = self.database.execute("SELECT record FROM ledger_records ORDER BY sequence")
        return said_of(b"".join(record + b"\n" for (record,) in records), self.ground)

    def put(self, place: int, **columns: Any) -> None:
        names = ", ".join(f"{name} = ?" for name in columns)
        statement = f"UPDATE ledger_records SET {names} WHERE sequence = ?"
        self.database.execute(statement, (*columns.values(), place))
        self.database.commit()

    def run(self, *statements: str) -> None:
        for one in statements:
            self.database.execute(one)
        self.database.commit()

    def replace(self, rows: list[Row]) -> None:
        """Other rows, and the head that fits them."""
        frontier = Frontier()
        for row in rows:
            frontier.append(row.hash)
        last = [row for row in rows if row.kind == Kind.CHECKPOINT][-1:]
        head = Head(frontier, rows[-1].hash.hex(), *((last[0].sequence + 1, last[0].microseconds) if last else (0, 0)))
        self.database.execute("DELETE FROM ledger_records")
        self.database.executemany(INSERT, rows)
        names = ", ".join(f"{name} = ?" for name in head.columns())
        self.database.execute(f"UPDATE ledger_head SET {names}", tuple(head.columns().values()))
        self.database.commit()


def said_of(export: bytes, ground: Ground) -> str:
    """What the stand-alone verifier says of an exported ledger, with its copies and receipts; "" where it is good."""
    lines = export.split(b"\n")
    try:
        verifier.check_ledger(lines[:-1] if not lines[-1] else lines, ground.key, ground.notes, ground.receipts)
    except verifier.WrongError as error:
        return str(error)
    except (ValueError, IndexError) as error:
        return f"cannot be read ({type(error).__name__})"
    return ""
