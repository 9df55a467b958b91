"""What must hold before a socket opens: settings that are understood, and sign-in wherever others can call."""

import os
import sqlite3
from pathlib import Path

from features.errors import StoreError
from features.home import VARIABLE as HOME
from features.home import Home
from serving.trust import reading
from serving.trust.addresses import check_exposed
from serving.trust.book import CallBook
from serving.trust.settings import Trust


def settle(home: Home, host: str, file: Path | None = None) -> Trust:
    """The settings that the service will run by, named to its workers; UsageError where it must not start so.

    file: stated on the command line; else what the environment or the home holds.
    """
    path = file.resolve() if file else reading.named(home, os.environ)
    settings = reading.read(path)
    check_exposed(host, settings.development)
    os.environ.pop(reading.VARIABLE, None)
    if path:
        os.environ[reading.VARIABLE] = str(path)
    return settings


def prepare(home: Home, settings: Trust) -> None:
    """Make what the workers share ready; StoreError where it cannot be written."""
    if settings.development:
        return
    book = CallBook(home.calls, settings.tokens.most_remembered)
    try:
        book.begin_anew()
    except (sqlite3.Error, OSError) as error:
        remedy = f"check the folder that {HOME} names, or remove the file while nothing serves"
        raise StoreError("calls/calls.db", f"it cannot be used ({type(error).__name__})", remedy) from error
    finally:
        book.close()
