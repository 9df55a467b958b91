"""Folders for as long as a process works: they hold sockets, bins, and rows of patients.

A process that is killed outright cannot remove its own; the next one that makes a folder for the same purpose does.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType


class Scratch:
    """A new folder that only this user can enter, removed by close() or at the end of a `with`.

    purpose: a word that names it. beside: the folder it is made in, the system's for temporary files where none is
    given. OSError where it cannot be made.
    """

    def __init__(self, purpose: str, beside: Path | None = None) -> None:
        root, prefix = beside or Path(tempfile.gettempdir()), f"crs-risk-{purpose}-"
        for left in root.glob(f"{prefix}*"):
            _remove_left(left)
        self.folder, self._lock = _locked(root, prefix)

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Path:
        return self.folder

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def _locked(root: Path, prefix: str) -> tuple[Path, int]:
    """A new folder and the open file whose lock says that it is in use: the lock goes with the process."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            with contextlib.suppress(OSError):  # a file system without locks, where nobody removes what is left
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)  # somebody took it for one that was left, in the moment before it was locked


def _remove_left(folder: Path) -> None:
    """Remove a folder of this user's that nobody uses."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass
    finally:
        os.close(lock)
