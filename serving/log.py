"""One line per call, with its route, status and time; never an address, a body, or the text of a foreign exception."""

import logging
import sys
import time
import traceback
from pathlib import Path

LOGGER = logging.getLogger("crs_risk")


class Scrubbed(logging.Formatter):
    """One line per record. An exception is named by its type and place: its text may hold a patient's value."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        head = f"{self.formatTime(record)} {record.levelname} {record.name}"
        if record.exc_info and record.exc_info[1]:
            return f"{head} {failure(record.exc_info[1])}"
        if record.name.startswith(LOGGER.name) or record.levelno < logging.WARNING:
            return f"{head} {' '.join(record.getMessage().split())}"
        return f"{head} a message from {Path(record.pathname).name} line {record.lineno} is withheld"


def configure() -> None:
    """Send this product's lines and the warnings of its libraries to standard error, scrubbed.

    Call it once all libraries are imported: BentoML and others bring handlers of their own, which are taken away.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Scrubbed())
    for one in logging.root.manager.loggerDict.values():
        if isinstance(one, logging.Logger):
            one.handlers[:] = []
            one.propagate = True
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    LOGGER.setLevel(logging.INFO)


def failure(error: BaseException) -> str:
    """The type of an error and the place where it came up."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
