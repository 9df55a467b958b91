"""Whether what somebody holds is what was recorded: an answer as it was received, or a request as it was sent.

The record has keyed digests of both, so it is the bytes that are compared: text that means the same is not the same.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from audit.events import Receipt, Record
from audit.keys import keyed
from audit.receipts import without_receipt
from features.errors import LedgerError, UsageError

SAME, OTHER = "the same bytes as recorded", "not what was recorded"
ANSWER, REQUEST = "answer", "request"
#: What -> the digest of it in a record.
_DIGESTS = {ANSWER: "response", REQUEST: "request"}
_BATCH = "/predict_batch"
#: Routes whose answers hold their receipt; others send it as the header X-CRS-Risk-Record.
_INSIDE = ("/predict", _BATCH)


class _Answers(Struct):
    """The answers of a batch, each as the bytes that came."""

    answers: list[Raw]


_ANSWERS = msgspec.json.Decoder(_Answers)
#: How every answer of a course begins.
_NAME = re.compile(rb'\{"prediction_id":"([^"\\]*)"')
_NAME_KEY = b'"prediction_id":'
#: Of a file that is compared; no body is as long.
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Compared:
    """same: whether its bytes, and those of a receipt in it, are what was recorded. note: more of it."""

    what: str
    same: bool
    note: str

    @property
    def told(self) -> str:
        return f"{SAME if self.same else OTHER} ({self.note})"

    def to_json(self) -> dict[str, Any]:
        return {"same": self.same, "told": SAME if self.same else OTHER, "note": self.note}


@dataclass(frozen=True, slots=True)
class Handed:
    """The bytes of what is to be compared. answer: one, or a whole batch of them; request: the whole body."""

    answer: bytes | None = None
    request: bytes | None = None

    @classmethod
    def from_files(cls, answer: Path | None, request: Path | None) -> "Handed":
        """UsageError where one cannot be read."""
        return cls(_bytes(answer, "--answer"), _bytes(request, "--sent"))

    def __bool__(self) -> bool:
        return self.answer is not None or self.request is not None

    def compared(self, record: Record, key: bytes) -> list[Compared]:
        """Each with the record; UsageError where the record has no digest of it. key: of the keyed digests."""
        found = []
        if self.answer is not None:
            found.append(_answer(self.answer, record, _digest(record, ANSWER), key))
        if self.request is not None:
            found.append(_request(self.request, record, _digest(record, REQUEST), key))
        return found


def refuse_other(record: Record, compared: list[Compared]) -> None:
    """LedgerError, which names the first that is not what was recorded."""
    for one in compared:
        if not one.same:
            raise LedgerError(f"record {record.sequence}", f"the {one.what} is {one.told}", "see docs/audit.md")


def _bytes(file: Path | None, option: str) -> bytes | None:
    if file is None:
        return None
    try:
        with file.open("rb") as opened:
            held = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(option, "the file cannot be read", "name the file that holds the bytes") from error
    if len(held) > _MOST_BYTES:
        raise UsageError(
            option, f"the file is longer than {_MOST_BYTES >> 20} MiB", "name the file that holds the bytes"
        )
    return held


def _digest(record: Record, what: str) -> str:
    found = record.body.get(_DIGESTS[what])
    if not found:
        problem = f"record {record.sequence} ({record.kind}) holds no digest of an {ANSWER} or a {REQUEST}"
        raise UsageError("ID", problem, "name the record of an answer")
    return str(found)


def _request(given: bytes, record: Record, digest: str, key: bytes) -> Compared:
    note = "the whole body"
    if record.body.get("route") == _BATCH:
        note += " of the batch, which is all that can be compared"
    return Compared(REQUEST, keyed(key, given) == digest, note)


def _answer(given: bytes, record: Record, digest: str, key: bytes) -> Compared:
    given, route = given.strip(), str(record.body.get("route", ""))
    batch = _batch(given) if route == _BATCH else None
    parts = [given] if batch is None else [one for one in batch if _name(one) == record.event_id]
    if len(parts) != 1:
        return Compared(ANSWER, False, f"the batch holds {len(parts)} answers of that prediction")
    content, receipt = without_receipt(parts[0]) if route in _INSIDE else (parts[0], None)
    same = keyed(key, content) == digest
    own = receipt is None or receipt == Receipt(record.sequence, record.hash)
    if not same and _name(content) not in ("", record.event_id):
        return Compared(ANSWER, False, "it names another prediction")
    note = _of_receipt(receipt, own, route) + ("" if batch is None else "; the batch's other answers were not compared")
    return Compared(ANSWER, same and own, note if same else f"other bytes; {note}")


def _batch(given: bytes) -> list[bytes] | None:
    """The answers of a batch, each as its bytes stand there; None where it is not written as one was answered.

    JSON with a key more or twice, or white space between, could show a reader something else than what is cut out here.
    """
    try:
        answers = [bytes(one) for one in _ANSWERS.decode(given).answers]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    whole = b'{"answers":[' + b",".join(answers) + b"]}"
    return answers if whole == given and all(_name(one) for one in answers) else None


def _name(answer: bytes) -> str:
    """The prediction that an answer names, "" for none, or more than one: a card or a Bundle names it elsewhere."""
    found = _NAME.match(answer)
    return found[1].decode("utf-8", "replace") if found and answer.count(_NAME_KEY) == 1 else ""


def _of_receipt(receipt: Receipt | None, own: bool, route: str) -> str:
    if route not in _INSIDE:
        return "its receipt came as a header, which is no part of the file"
    if receipt is None:
        return "no receipt stands in it"
    return "its receipt is that of this record" if own else "its receipt is not that of this record"
