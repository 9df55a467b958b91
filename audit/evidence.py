"""How a ledger on SQLite is opened for reading, also where nothing can be written: evidence on a read-only mount.

SQLite reads a database with a write-ahead log only where a file of shared memory lies beside it, or can be made there.
Whoever writes to it keeps that file there, so where there is none the database stands still.
"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from features.errors import LedgerError
from features.scratch import Scratch

#: The part of an error's number that says its kind.
_KIND = 0xFF


class Opened:
    """The address by which SQLite reads a file, and the copy that is read in its place where one is needed.

    LedgerError where it cannot be made.
    """

    def __init__(self, file: Path) -> None:
        file = file.resolve()  # as SQLite does: a link's log lies beside what it leads to
        self._copy: Scratch | None = None
        self.address = address(file, "mode=ro")
        if _can_be_opened(self.address):
            return
        log = file.with_name(f"{file.name}-wal")
        if log.exists() and log.stat().st_size:
            self._copy = _copied(file, log)
            self.address = address(self._copy.folder / file.name, "mode=ro")
        else:
            self.address = address(file, "mode=ro", "immutable=1")

    def close(self) -> None:
        """Remove the copy."""
        if self._copy is not None:
            self._copy.close()


def address(file: Path, *options: str) -> str:
    """The address of a database of SQLite."""
    return f"file:{quote(str(file))}" + ("?" + "&".join(options) if options else "")


def _can_be_opened(place: str) -> bool:
    """False where what has to lie beside the database cannot be made; any other fault is told by whoever reads it."""
    try:
        with closing(sqlite3.connect(place, uri=True)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as error:
        return getattr(error, "sqlite_errorcode", 0) & _KIND != sqlite3.SQLITE_CANTOPEN
    return True


def _copied(*files: Path) -> Scratch:
    """A folder with copies, for as long as they are read."""
    try:
        made = Scratch("ledger")
        try:
            for one in files:
                shutil.copyfile(one, made.folder / one.name)
        except OSError:
            made.close()
            raise
    except OSError as error:
        problem = f"nothing can be written beside it, and no copy be made to read its log ({type(error).__name__})"
        raise LedgerError("ledger", problem, "name a folder with room by TMPDIR") from error
    return made
