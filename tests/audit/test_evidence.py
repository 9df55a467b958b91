"""`crs audit verify` gives its verdict where nothing can be written; what shows records does not work there."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from audit.data_keys import DataKeys
from audit.events import Kind
from audit.verify import verify
from features.errors import LedgerError
from features.home import Home
from tests.audit.builders import START, Clock, Deployment, fill
from tests.serving.builders import ROOT

RECORDS = 5
#: The announced key, the records, and the checkpoint that the key's own record begins with.
SIZE = RECORDS + 2
SAID = "not recorded that it was verified: the ledger lies where nothing can be written\n"
_SEAL = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && echo sealed >&2 && exec "$@"'


def ledger_file(home: Home) -> Path:
    return home.ledger / "ledger.db"


def taken(folder: Path, with_log: bool) -> Home:
    """Evidence as somebody copied it: the database alone, or with a log that holds every record of it."""
    made = Deployment(Home(folder / "home"), "")
    home = Home(folder / "taken")
    with made.open() as ledger, closing(sqlite3.connect(ledger_file(made.home))) as reader:
        fill(ledger, RECORDS)
        reader.execute("BEGIN")  # while somebody reads, the log is not written back
        reader.execute("SELECT count(*) FROM ledger_records").fetchone()
        if with_log:
            shutil.copytree(made.home.folder, home.folder)
    if not with_log:
        shutil.copytree(made.home.folder, home.folder)
    (home.ledger / "ledger.db-shm").unlink(missing_ok=True)
    log = home.ledger / "ledger.db-wal"
    assert log.exists() == with_log
    return home


def later(home: Home) -> Deployment:
    """The same ledger at a later time."""
    return Deployment(home, "", clock=Clock(START + timedelta(hours=1)))


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    try:
        for one in folders:
            one.chmod(0o555)
        yield
    finally:
        for one in folders:
            one.chmod(0o755)


def sealed(home: Home, *words: str) -> "subprocess.CompletedProcess[str]":
    """Runs `crs audit` with all of the home read-only; for the superuser, whom rights do not stop, on such a mount."""
    command = [sys.executable, str(ROOT / "crs.py"), "audit", *words]
    options = {"env": {**os.environ, "CRS_RISK_HOME": str(home.folder)}, "capture_output": True, "text": True}
    if os.getuid() != 0:
        with without_rights(home.folder):
            return subprocess.run(command, **options)  # type: ignore[call-overload,no-any-return]
    done = subprocess.run(["unshare", "-m", "sh", "-c", _SEAL, str(home.folder), *command], **options)  # type: ignore[call-overload]
    if not done.stderr.startswith("sealed\n"):
        pytest.skip("SKIPPED: the superuser may not mount here, so nothing is read-only")
    done.stderr = done.stderr.removeprefix("sealed\n")
    return done  # type: ignore[no-any-return]


@pytest.mark.parametrize("with_log", [False, True], ids=["the database alone", "with a log"])
def test_a_whole_ledger_where_nothing_can_be_written_is_said_to_be_whole(tmp_path: Path, with_log: bool) -> None:
    done = sealed(taken(tmp_path, with_log), "verify")
    assert (done.returncode, done.stderr) == (0, SAID)
    assert f"{SIZE} in " in done.stdout
    assert done.stdout.endswith("the ledger is whole\n")


def test_a_vault_where_nothing_can_be_written_is_looked_at_too(tmp_path: Path) -> None:
    home = taken(tmp_path, with_log=False)
    with later(home).open() as ledger:
        DataKeys(home).prepare()
        ledger.append(Kind.CONFIG_CHANGED, {"vault": True})
    done = sealed(home, "verify")
    assert (done.returncode, done.stderr) == (0, SAID)
    assert "vault" not in done.stdout, done.stdout  # no remark of one that cannot be read


def test_a_record_that_was_altered_is_named_where_nothing_can_be_written(tmp_path: Path) -> None:
    home = taken(tmp_path, with_log=False)
    with closing(sqlite3.connect(ledger_file(home))) as connection, connection:
        connection.execute("DROP TRIGGER ledger_no_update")
        connection.execute("UPDATE ledger_records SET record = ? WHERE sequence = 4", (b"{}",))
    done = sealed(home, "verify")
    assert done.returncode == 7
    assert done.stderr.startswith("crs: record 4: altered: ")


def test_what_shows_records_is_refused_where_the_look_cannot_be_recorded(tmp_path: Path) -> None:
    home = taken(tmp_path, with_log=False)
    for words in (("show", "3"), ("export", "--out", str(tmp_path / "out")), ("versions",)):
        done = sealed(home, *words)
        assert (done.returncode, done.stdout) == (5, ""), words
        assert done.stderr == (
            "crs: CRS_RISK_HOME: the state folder cannot be made or written; name a folder that can be written\n"
        )


# The same without a mount: the file of shared memory is a link to where nothing is, so that SQLite cannot make it.


def without_shared_memory(home: Home) -> Deployment:
    (home.ledger / "ledger.db-shm").symlink_to(home.folder / "nowhere" / "file")
    return later(home)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    made = tmp_path / "temporary"
    made.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    return made


@pytest.mark.parametrize("with_log", [False, True], ids=["the database alone", "with a log"])
def test_every_record_is_read_where_sqlite_can_make_no_file(tmp_path: Path, place: Path, with_log: bool) -> None:
    home = taken(tmp_path, with_log)
    held = without_shared_memory(home)
    before = {path.name: path.read_bytes() for path in home.ledger.iterdir() if path.is_file()}
    with held.open(writes=False) as ledger:
        verdict = verify(ledger)
        assert len(list(place.iterdir())) == with_log  # a copy only where the log has to be read
    assert (verdict.whole, verdict.size) == (True, SIZE)
    assert list(place.iterdir()) == []
    assert {name: (home.ledger / name).read_bytes() for name in before} == before


def test_an_empty_log_holds_nothing_and_needs_no_copy(tmp_path: Path, place: Path) -> None:
    home = taken(tmp_path, with_log=False)
    (home.ledger / "ledger.db-wal").touch()
    with without_shared_memory(home).open(writes=False) as ledger:
        assert verify(ledger).size == SIZE
        assert list(place.iterdir()) == []


def test_a_copy_that_cannot_be_made_is_told_in_one_line_and_leaves_nothing(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = taken(tmp_path, with_log=True)
    held = without_shared_memory(home)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(LedgerError) as caught, held.open(writes=False):
        raise AssertionError
    assert str(caught.value) == (
        "ledger: nothing can be written beside it, and no copy be made to read its log (OSError); "
        "name a folder with room by TMPDIR"
    )
    assert list(place.iterdir()) == []
