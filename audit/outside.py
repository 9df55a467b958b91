"""Copies of signed checkpoints outside the ledger: in a folder, and at an address if one is named.

A copy that somebody else holds is what finds a cut tail or a replaced database. One that cannot be written is told in
the log and stands in no record: `verify` says which checkpoints have no copy.
"""

import logging
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from audit.note import read
from audit.settings import Settings
from features.errors import LedgerError, StoreError
from features.home import Home, make_folder

_LOGGER = logging.getLogger("crs_risk.audit")
_POST_SECONDS = 10.0


def folder(home: Home, settings: Settings) -> Path:
    """Where copies lie."""
    return settings.folder or home.checkpoints


def write(home: Home, settings: Settings, origin: str, note: str) -> None:
    """Copy a note outside. A copy that fails is logged: the record it is about is safe in the ledger."""
    place = folder(home, settings) / _name(origin, read(note).size)
    try:
        make_folder(place.parent)
        draft = place.with_suffix(".draft")
        draft.write_text(note, encoding="utf-8")
        draft.replace(place)
    except (OSError, StoreError) as error:
        _LOGGER.error("a checkpoint could not be copied to its folder (%s)", type(error).__name__)
    if settings.url:
        threading.Thread(target=_post, args=(settings.url, note), daemon=True).start()


def _post(url: str, note: str) -> None:
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    try:
        asked = urllib.request.Request(url, note.encode(), headers, method="POST")
        with urllib.request.urlopen(asked, timeout=_POST_SECONDS):
            pass
    except (OSError, ValueError) as error:
        _LOGGER.error("a checkpoint could not be sent to its address (%s)", type(error).__name__)


def copies(home: Home, settings: Settings, origin: str) -> Iterator[tuple[int, tuple[str, str]]]:
    """Size, name and content of each copy that says it is of that ledger; what is no checkpoint at all is passed by."""
    for path in sorted(folder(home, settings).glob(f"{_stem(origin)}-*.checkpoint")):
        size = path.stem.rpartition("-")[2]
        if size.isdecimal():
            yield int(size), (path.name, path.read_text(encoding="utf-8", errors="replace"))


def check_none(home: Home, settings: Settings, origin: str) -> None:
    """LedgerError where copies of this origin's checkpoints are there although the ledger is new."""
    sizes = [size for size, _ in copies(home, settings, origin)]
    if sizes:
        raise LedgerError(
            "ledger", f"it is empty, but a checkpoint says that it held {max(sizes)} records", "restore the ledger"
        )


def _stem(origin: str) -> str:
    return origin.replace("/", "-")


def _name(origin: str, size: int) -> str:
    """Sorts by size; one folder may hold the copies of several ledgers."""
    return f"{_stem(origin)}-{size:012d}.checkpoint"
