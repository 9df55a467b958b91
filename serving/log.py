"""One line per call, with its route, status and time; never an address, a body, or the text of a foreign exception."""

import json
import logging
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from features.errors import UsageError

LOGGER = logging.getLogger("crs_risk")
#: Names how lines are written: TEXT, which is the default, or JSON, one object per line.
VARIABLE = "CRS_RISK_LOG"
TEXT, JSON = "text", "json"


class Scrubbed(logging.Formatter):
    """One line per record. An exception is named by its type and place: its text may hold a patient's value."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return f"{self.formatTime(record)} {record.levelname} {record.name} {self.said(record)}"

    @staticmethod
    def said(record: logging.LogRecord) -> str:
        """What may be told of a record, on one line."""
        if record.exc_info and record.exc_info[1]:
            return failure(record.exc_info[1])
        if record.name.startswith(LOGGER.name) or record.levelno < logging.WARNING:
            return " ".join(record.getMessage().split())
        return f"a message from {Path(record.pathname).name} line {record.lineno} is withheld"


class ScrubbedJson(Scrubbed):
    """The same as one JSON object per line; of a call also its parts, which the record carries as `call`."""

    def format(self, record: logging.LogRecord) -> str:
        head = {"time": self.formatTime(record), "level": record.levelname, "logger": record.name}
        return json.dumps({**head, "message": self.said(record), **getattr(record, "call", {})})


def form(environment: Mapping[str, str]) -> str:
    """TEXT or JSON; UsageError for any other word."""
    word = environment.get(VARIABLE) or TEXT
    if word not in (TEXT, JSON):
        raise UsageError(VARIABLE, "not a form of log lines", f"use {TEXT} or {JSON}")
    return word


def configure(form: str = TEXT) -> None:
    """Send this product's lines and the warnings of its libraries to standard error, scrubbed.

    Call it once all libraries are imported: BentoML and others bring handlers of their own, which are taken away.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ScrubbedJson() if form == JSON else Scrubbed())
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
