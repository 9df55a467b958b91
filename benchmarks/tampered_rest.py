"""Tampering with what is no row of the ledger: files, copies, a model, the clock, the whole database.

Some bytes mean nothing: the last bits of a base64 text, the case of a hex digit, an unused page of a database. A change
of them is not found and need not be: what is read afterwards is, to the bit, what was read before. Such are counted.
"""

import json
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tampered import Field, Ground, said_of

from audit import manifest
from audit.events import Entry, Kind
from audit.ledger import opened
from audit.manifest import Model
from audit.note import PublicKey, read
from audit.settings import Settings
from audit.verify import verify
from features import bundle
from features.errors import BundleError, LedgerError
from features.home import Home
from tests.audit.builders import START, Clock, Deployment
from tests.audit.tampering import flipped
from tests.serving.builders import promote, trained_bundle

FILE_SAMPLES, MODEL_SAMPLES = 1000, 100
Check = Callable[[Ground, Path, random.Random], list[str]]


@dataclass(slots=True)
class Tally:
    """What was seen of one kind of harm."""

    name: str
    seen: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)

    def note(self, found: bool, what: str, harmless: bool = False) -> None:
        self.seen["found" if found else "without any effect" if harmless else "MISSED"] += 1
        if not found and not harmless:
            self.missed.append(f"{self.name}: {what}")

    def told(self) -> list[str]:
        print(f"{self.name}: {', '.join(f'{count} {name}' for name, count in self.seen.items())}", flush=True)
        return self.missed


def database_file(ground: Ground, scratch: Path, chosen: random.Random) -> list[str]:
    """Any byte of the database's file: found, or the file cannot be read, or all rows are what they were."""
    tally, spoilt = Tally("a byte of the database's file"), Field(ground, scratch)
    file = spoilt.home.ledger / "ledger.db"
    whole = file.read_bytes()
    used = [place for place, held in enumerate(whole) if held]  # most of a small database is free pages
    for place in chosen.sample(used, min(FILE_SAMPLES, len(used))):
        file.write_bytes(flipped(whole, place, chosen.randint(1, 255)))
        try:
            with spoilt.opened() as ledger:
                found = not verify(ledger).whole
                same = found or list(ledger.stored()) == ground.rows
        except LedgerError:
            found, same = True, False
        except Exception as error:  # noqa: BLE001 (whatever it is, it is a miss: a traceback names no place)
            found, same = False, False
            place = f"{place} {error!r}"  # type: ignore[assignment]
        tally.note(found, f"byte {place}", same)
    return tally.told()


def kept_requests(ground: Ground, scratch: Path, _: random.Random) -> list[str]:
    """Every byte of what the vault keeps and of the columns beside it, and a kept request taken away or exchanged."""
    tally, spoilt = Tally("a byte of a kept request, or all of it"), Field(ground, scratch)
    with closing(sqlite3.connect(ground.home / "ledger" / "ledger.db")) as database:
        held = database.execute("SELECT sequence, holder, key, sealed FROM ledger_kept ORDER BY sequence").fetchall()
    for sequence, holder, key, sealed in held:
        changes = [("sealed", flipped(sealed, place)) for place in range(len(sealed))]
        for name, text in (("holder", holder), ("key", key)):
            changes += [(name, flipped(text.encode(), place).decode()) for place in range(len(text))]
        changes += [("sealed", other[3]) for other in held if other[0] != sequence] + [("sealed", "text")]
        for name, value in changes:
            harm(spoilt, f"UPDATE ledger_kept SET {name} = ? WHERE sequence = ?", value, sequence)
            tally.note(kept_finding(spoilt, sequence), f"{name} of {sequence}")
        harm(spoilt, "DELETE FROM ledger_kept WHERE sequence = ?", sequence)
        tally.note(kept_finding(spoilt, sequence), f"{sequence} deleted")
    return tally.told()


def harm(spoilt: Field, statement: str, *values: Any) -> None:
    spoilt.restore()
    spoilt.database.execute(statement, values)
    spoilt.database.commit()


def kept_finding(spoilt: Field, sequence: int) -> bool:
    first = spoilt.verdict().findings[:1]
    return bool(first) and (first[0].code, first[0].sequence) == ("kept", sequence)


def copies(ground: Ground, scratch: Path, _: random.Random) -> list[str]:
    """Every byte of each copy of a checkpoint: found by both verifiers, or the note says, signed, what it said."""
    tally, spoilt = Tally("a byte of a checkpoint's copy"), Field(ground, scratch)
    for number, path in enumerate(sorted(spoilt.home.checkpoints.iterdir())):
        note = path.read_bytes()
        for place in range(len(note)):
            path.write_bytes(flipped(note, place))
            text = path.read_text(errors="replace")
            first = spoilt.verdict().findings[:1]
            notes = [*ground.notes[:number], text, *ground.notes[number + 1 :]]
            alone = said_of(export_of(ground), dataclass_with(ground, notes))
            named = bool(first) and first[0].sequence == ground.signed[number]
            tally.note(
                named and bool(alone), f"{path.name} {place}: {first} {alone}", same_note(note.decode(), text, ground)
            )
        path.write_bytes(note)
    return tally.told()


def same_note(note: str, changed: str, ground: Ground) -> bool:
    keys = [json.loads(row.record)["body"]["key"] for row in ground.rows if row.kind == Kind.KEY_ROTATED]
    return any(
        checkpoint(changed, key) is not None and checkpoint(changed, key) == checkpoint(note, key) for key in keys
    )


def checkpoint(note: str, key: str) -> Any:
    try:
        return read(note, PublicKey.parse(key))
    except ValueError:
        return None


def dataclass_with(ground: Ground, notes: list[str]) -> Ground:
    return Ground(ground.home, ground.rows, ground.signed, notes, ground.key, ground.receipts)


def export_of(ground: Ground) -> bytes:
    return b"".join(row.record + b"\n" for row in ground.rows)


def line_ends(ground: Ground, _: Path, __: random.Random) -> list[str]:
    """Every line's end of an export."""
    tally, whole = Tally("the end of a line of an export"), export_of(ground)
    for line, place in enumerate(place for place, byte in enumerate(whole) if byte == 10):
        said = said_of(flipped(whole, place), ground)
        tally.note(said.startswith(f"record {line}: "), f"line {line}: {said}")
    return tally.told()


def model_files(_: Ground, scratch: Path, chosen: random.Random) -> list[str]:
    """A bundle's files changed, taken, exchanged or joined by another: named by what promotes and serves, and reads."""
    home, held = Home(scratch / "home"), trained_bundle()
    folder, tally = promote(home, held), Tally("a model's file")
    with opened(home, Settings(), writes=False) as ledger:
        said = manifest.signed_statement(ledger, Model("1", held.digest))
    for names, change in swaps(folder, chosen):
        copy = scratch / "bundle"
        shutil.copytree(folder, copy)
        change(copy)
        for check in (lambda: manifest.check_files(said, copy), lambda: bundle.read(copy, held.digest)):  # noqa: B023
            try:
                check()
                tally.note(False, f"{names} by {check}")
            except BundleError as error:
                tally.note(error.place in names, f"{names}: {error}")
        shutil.rmtree(copy)
    return tally.told()


def swaps(folder: Path, chosen: random.Random) -> Iterator[tuple[tuple[str, ...], Callable[[Path], object]]]:
    """The files concerned, and what is done to a copy of the folder."""
    contents = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    for name, held in contents.items():
        for place in chosen.sample(range(len(held)), min(MODEL_SAMPLES, len(held))):
            spoilt = flipped(held, place, chosen.randint(1, 255))
            yield (name,), lambda copy, name=name, spoilt=spoilt: (copy / name).write_bytes(spoilt)
        yield (name,), lambda copy, name=name: (copy / name).unlink()
        yield (name,), lambda copy, name=name: (copy / name).write_bytes(b"")
        for other in sorted(one for one in contents if contents[one] != held):
            yield (name,), lambda copy, name=name, other=other: (copy / name).write_bytes(contents[other])
    yield ("added.bin",), lambda copy: (copy / "added.bin").write_bytes(b"x")


def clock(_: Ground, scratch: Path, chosen: random.Random) -> list[str]:
    """Set back by more than a second before each record of a small ledger, and 75 times in four of 5,000 records."""
    tally = Tally("the clock set back")
    amounts = (1.001, 2.0, 3600.0, 4e7)
    grounds = [(12, [place], amount) for place in range(1, 12) for amount in amounts]
    large = [(500, sorted(chosen.sample(range(1, 500), 75)), 10 ** chosen.uniform(0.01, 7)) for _ in range(4)]
    for number, (groups, places, amount) in enumerate(grounds + large):
        home = Home(scratch / str(number))
        expected, stood = set_back(home, groups, places, amount)
        found = [one.sequence for one in stood if one.code == "clock-back"]
        for place in expected:
            tally.note(place in found, f"{amount} s before {place}")
        said = said_of(export_of(Ground.of(home.folder)), Ground.of(home.folder))
        tally.note(said.startswith(f"record {expected[0]}: its time"), f"verifier: {said}")
        tally.note(found == expected, f"found {found}, not {expected}")
    small_steps(Home(scratch / "steps"), tally)
    return tally.told()


def small_steps(home: Home, tally: Tally) -> None:
    """Back by 0.9 s before each record: the second of them is more than a second older than the first of all."""
    steps, stood = set_back(home, 12, list(range(1, 12)), 0.9)
    found = [one.sequence for one in stood if one.code == "clock-back"]
    tally.note(found == steps[1:2], f"small steps: found {found}, not {steps[1:2]}")
    said = said_of(export_of(Ground.of(home.folder)), Ground.of(home.folder))
    tally.note(said.startswith(f"record {steps[1]}: its time"), f"small steps, verifier: {said}")


def set_back(home: Home, groups: int, places: list[int], seconds: float) -> tuple[list[int], tuple[Any, ...]]:
    """A ledger whose clock was set back before some groups of records; the first record of each, and the findings."""
    expected: list[int] = []
    deployment = Deployment(home, "", clock=Clock(START + timedelta(days=400_000)))
    with deployment.open() as ledger:
        for place in range(groups):
            deployment.clock.at -= timedelta(seconds=1 + seconds if place in places else 0)
            size = 10 if groups > 100 else 1
            receipts = ledger.append_all([Entry(Kind.HEARTBEAT, {"place": place})] * size)
            expected += [receipts[0].sequence] if place in places else []
        ledger.checkpoint()
        deployment.clock.at = datetime.max.replace(year=9000, tzinfo=START.tzinfo)
        return expected, verify(ledger).findings


def replaced(ground: Ground, scratch: Path, _: random.Random) -> list[str]:
    """Another ledger, an empty database and none, in the place of the one whose key and copies are here."""
    tally, spoilt = Tally("another database in its place"), Field(ground, scratch)
    file, other = spoilt.home.ledger / "ledger.db", Deployment(Home(scratch / "other"), "")
    with other.open() as ledger:
        ledger.append_all([Entry(Kind.HEARTBEAT, {})] * ground.size)
        ledger.checkpoint()
    shutil.copyfile(Ground.of(other.home.folder).home / "ledger" / "ledger.db", file)
    with spoilt.opened() as ledger:
        found = [(one.code, one.sequence) for one in verify(ledger).findings]
    tally.note(found[:1] == [("copy", 1)] and "signer" in dict(found), f"another ledger: {found}")
    alone = said_of(export_of(Ground.of(other.home.folder)), ground)
    tally.note(alone.startswith("record 1: "), f"another ledger: {alone}")
    for name in ("an empty file", "no file"):
        file.unlink()
        if name == "an empty file":
            file.touch()
        try:
            with opened(spoilt.home, Settings()):
                tally.note(False, name)
        except LedgerError as error:
            tally.note("held" in str(error), f"{name}: {error}")
    return tally.told()


CHECKS: tuple[Check, ...] = (database_file, kept_requests, copies, line_ends, model_files, clock, replaced)
