"""A kept request read again, by the very reader, row-builder and record-maker of the service, and compared.

What it compares is all that reading decides; what the model says of the row is compared at level 1.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from audit.events import Entry, Record, plain
from audit.prediction import COMPUTED, array_of, vector_bytes
from audit.request import Request
from features import catalogue
from features.concepts import Concepts, concepts
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor
from serving import decode, kept, risk_assessment
from serving.answerer import Answerer
from serving.cds import reading
from serving.cds.services import BY_PATH, RISK_ASSESSMENT
from serving.fhir_therapy import COURSE
from serving.fhir_types import FhirRead
from serving.intake import Intake, take
from serving.recorded import Asked, Recorder
from serving.refusal import RefusalError
from serving.trust.caller import NOBODY, Caller

#: Of the call and the moment alone, or compared at level 1.
_NOT_READ = frozenset(
    ("caller", "runtime", "latency_ms", "response", "kept", "bands", "vector", "vector_packed", "prior", *COMPUTED)
)
#: The digest of what came is that of what is kept only where that is the very same.
_DIGEST = "request"
_MOST_LOADED = 4


class NotReadError(Exception):
    """A kept request gives no course any more; the text says why, without a value of it."""


class _Nowhere:
    """Stands in for the ledger: what is read again is recorded nowhere."""

    def append_all(self, entries: Sequence[Entry]) -> NoReturn:
        raise AssertionError(f"{len(entries)} records of what is only read again")

    def ask(self, entries: Sequence[Entry], behind: int = 0) -> NoReturn:
        raise AssertionError(f"{len(entries)} records of what is only read again, {behind} behind them")


class Again:
    """Reads kept requests of one home again. key: of its keyed digests. files: of a centre's own codes, of any time.

    DataError where one is not a list of codes.
    """

    def __init__(self, key: bytes, files: Iterable[Path] = ()) -> None:
        self._catalogue = catalogue.load()
        found = (concepts(self._catalogue, file) for file in (None, *files))
        self._codes = {one.digest: one for one in found}
        self._recorder = Recorder(_Nowhere(), key)
        self._answerer = lru_cache(_MOST_LOADED)(Answerer)

    def differences(self, request: Request, record: Record, predictor: Predictor) -> tuple[list[str], int]:
        """What reading decides otherwise than the record says, and how many numbers were compared.

        A chart is read by the very codes that the answer was read by, or not at all.
        """
        codes = self._codes.get(record.body.get("codes", ""))
        if codes is None:
            return ["read again: other codes"], 0
        try:
            asked, intake = self._read(request, codes, replace(NOBODY, tenant=record.body["caller"].get("tenant", "")))
        except NotReadError as error:
            return [f"read again: {error}"], 0
        by = self._answerer(predictor, str(record.body["version"]))
        answered = by.answered([intake])
        (entry,) = self._recorder.entries(asked, answered, [b""], by)
        again = json.loads(plain(entry.body))
        left_out = _NOT_READ if kept.is_exact(asked) else _NOT_READ | {_DIGEST}
        other = [name for name, held in record.body.items() if name not in left_out and again.get(name) != held]
        numbers, compared = _other_numbers(record.body, again, by.bundle.spec.names)
        return [f"read again: {one}" for one in (*other, *numbers)], compared

    def _read(self, request: Request, codes: Concepts, caller: Caller) -> tuple[Asked, Intake]:
        """The call and its course; NotReadError where today's reader finds none."""
        now = datetime.fromisoformat(request.now) if request.now else None
        asked = Asked(request.route, request.body, 0.0, caller, now=now, fetched=request.fetched)
        try:
            if now is None:
                return asked, take(self._catalogue, decode.predict_request(request.body))
            if request.route == RISK_ASSESSMENT:
                return _of_bundle(asked, codes, now)
            return _of_hook(asked, codes, now)
        except RefusalError as error:
            raise NotReadError(f"refused as {error.code}") from None


def _of_bundle(asked: Asked, codes: Concepts, now: datetime) -> tuple[Asked, Intake]:
    question = risk_assessment.question(codes, decode.json_object(asked.given), now)
    return reading.of_question(asked, question, codes), _course(question.read, reading.patient_of(question))


def _of_hook(asked: Asked, codes: Concepts, now: datetime) -> tuple[Asked, Intake]:
    call = decode.hook_call(asked.given)
    held = reading.joined(call.prefetch, asked.fetched)
    read = reading.course(codes, call, held, now)
    asked = reading.with_sources(reading.called(asked, call, BY_PATH[asked.route]), read, codes)
    return asked, _course(read, call.context.patientId)


def _course(read: FhirRead, patient: str) -> Intake:
    if read.status != COURSE:
        raise NotReadError(f"the reader says {read.status}")
    return reading.named_course(read, patient)


def _other_numbers(held: Mapping[str, Any], again: Mapping[str, Any], columns: Sequence[str]) -> tuple[list[str], int]:
    """Columns of the row and outcomes of the prior whose bits differ, and how many numbers were compared."""
    if "vector" not in held or "vector" not in again:
        return [], 0  # the status differs, or there was never a row
    rows = [np.frombuffer(vector_bytes(body), dtype="<u4") for body in (held, again)]
    if len(rows[0]) != len(columns):
        return ["the columns of the row"], 0
    priors = [array_of(body["prior"]).view(np.uint64) for body in (held, again)]
    other = [columns[place] for place in np.flatnonzero(rows[0] != rows[1]).tolist()]
    other += [f"prior of {OUTCOME_KEYS[place]}" for place in np.flatnonzero(priors[0] != priors[1]).tolist()]
    return other, len(columns) + len(OUTCOME_KEYS)
