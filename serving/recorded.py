"""No record, no answer: what is answered or refused stands in the ledger before a byte of it leaves.

The record's digest of the answer is taken of the answer without its receipt, which is its last field.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from anyio import to_thread

from audit import runtime
from audit.client import Client
from audit.events import Entry, Kind, Receipt
from audit.keys import keyed, pseudonym, tenant_key
from audit.prediction import Scored
from audit.receipts import with_receipt
from audit.settings import Settings
from audit.wire import SOCKET
from features.course import Event
from features.home import Home
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor
from serving.answerer import Answered, Answerer
from serving.intake import Intake
from serving.looked import Found
from serving.noted import note
from serving.trust.caller import Caller
from serving.turn import Turn

#: Taken before the index time, these change what an outcome says of the answer.
_TREATMENTS = frozenset({Event.TOCILIZUMAB.value, Event.CORTICOSTEROID.value})


class Appends(Protocol):
    """Whatever writes records: the ledger itself, or a way to its writer."""

    def append_all(self, entries: Sequence[Entry]) -> list[Receipt]: ...

    def ask(self, entries: Sequence[Entry], behind: int = 0) -> Awaitable[list[Receipt]]: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """The call that is being answered. given: the body's bytes. began: on the clock of time.perf_counter.

    patient: the caller's identifier of the patient, sources: of the resources that were read; "" and () where none is
    known. Only their keyed digests are recorded. hook: of a CDS Hooks call. more: what else the record holds, without
    names, record numbers or free text. now: what the clock said where reading the call depended on it; fetched: what
    was read from the caller's FHIR server. These two are for the vault alone.
    """

    route: str
    given: bytes
    began: float
    caller: Caller
    hook: str = ""
    patient: str = ""
    sources: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    now: datetime | None = None
    fetched: Mapping[str, Any] = field(default_factory=dict)


class Keeps(Protocol):
    """Seals what the vault keeps of a call."""

    def keep(self, asked: Asked, entries: Sequence[Entry]) -> list[Entry]: ...

    def comment(self, entry: Entry, patient: str, text: str) -> Entry: ...

    def digest(self, text: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Leaving:
    """An answer to one course that leaves once its record is on the disk. content: without the receipt."""

    content: bytes
    answered: Answered
    recording: Awaitable[list[Receipt]]

    async def receipt(self) -> Receipt:
        """Nothing may leave before this was awaited; LedgerError where the answer could not be recorded."""
        (receipt,) = await self.recording
        _note((self.answered,))
        return receipt

    async def told(self) -> bytes:
        """The answer with its receipt."""
        return with_receipt(self.content, await self.receipt())


#: The call that is being answered.
ASKED: ContextVar[Asked] = ContextVar("asked")
#: What is about to leave for it; set by the front, filled by the method that answers one course.
LEAVING: ContextVar[list[Leaving]] = ContextVar("leaving")


class Recorder:
    """Writes the records of answers and refusals. Safe to share between threads.

    keeper: seals the requests of answers, where the vault is on; without one none is kept.
    """

    def __init__(self, ledger: Appends, key: bytes, keeper: Keeps | None = None) -> None:
        self._ledger, self._key, self.keeper = ledger, key, keeper
        #: Of the courses that are answered one by one.
        self.turn = Turn()

    def answer(
        self,
        asked: Asked,
        intake: Intake,
        by: Answerer,
        written: Callable[[Answered], bytes] = lambda one: msgspec.json.encode(one.answer),
    ) -> Leaving:
        """The answer to one course as `written` makes it, its record asked for; LedgerError where none can be.

        For the event loop, within a turn, which it takes for the milliseconds of one course: threads that answer at
        the same time spend a third of it on handing the interpreter to each other.
        """
        answered = by.answered((intake,))
        content = written(answered[0])
        return Leaving(content, answered[0], self.ask(asked, answered, (content,), by))

    def ask(
        self, asked: Asked, answered: Sequence[Answered], contents: Sequence[bytes], by: Answerer
    ) -> Awaitable[list[Receipt]]:
        """Ask for records of answers under their prediction ids. contents: what is about to be sent for each."""
        entries = self.entries(asked, answered, contents, by)
        if self.keeper is None:
            return self._ledger.ask(entries, self.turn.waiting)
        return asyncio.ensure_future(self._sealed(self.keeper, asked, entries))

    async def _sealed(self, keeper: Keeps, asked: Asked, entries: list[Entry]) -> list[Receipt]:
        """The vault reads and writes files, and the loop does not wait for those."""
        return await self._ledger.ask(await to_thread.run_sync(keeper.keep, asked, entries))

    def answers(self, asked: Asked, intakes: Sequence[Intake], by: Answerer) -> bytes:
        """The answers to a batch, one record each, all or none; for a thread, so that nobody waits for it."""
        answered = by.answered(intakes)
        contents = [msgspec.json.encode(one.answer) for one in answered]
        entries = self.entries(asked, answered, contents, by)
        receipts = self._ledger.append_all(entries if self.keeper is None else self.keeper.keep(asked, entries))
        _note(answered)
        told = [with_receipt(content, receipt) for content, receipt in zip(contents, receipts, strict=True)]
        return b'{"answers":[' + b",".join(told) + b"]}"

    def entries(
        self, asked: Asked, answered: Sequence[Answered], contents: Sequence[bytes], by: Answerer
    ) -> list[Entry]:
        """What is recorded of answers."""
        call = self._call(asked)
        return [
            Entry(Kind.PREDICTION, {**call, **self._body(asked, one, content, by)}, one.answer.prediction_id)
            for one, content in zip(answered, contents, strict=True)
        ]

    def refusal(self, route: str, status: int, code: str, caller: Caller) -> Receipt:
        """Record that a call was refused: the code, and nothing of what was sent."""
        body = {"route": route, "status": status, "code": code, "caller": self._caller(caller)}
        return self._ledger.append_all([Entry(Kind.REFUSAL, body)])[0]

    def unscored(self, asked: Asked, code: str, content: bytes, event_id: str = "") -> Receipt:
        """Record that a call was answered without a prediction. content: what is about to be sent."""
        body = {**self._call(asked), "status": 200, "code": code, "response": keyed(self._key, content)}
        return self._ledger.append_all([Entry(Kind.REFUSAL, body, event_id)])[0]

    def reporter(self, caller: Caller) -> dict[str, str]:
        """Who reports something, without the token: the same report again is the same record."""
        return {name: text for name, text in self._caller(caller).items() if name != "token"}

    def _call(self, asked: Asked) -> dict[str, Any]:
        """What all records of one call share."""
        return {
            **asked.more,
            "route": asked.route,
            **({"hook": asked.hook} if asked.hook else {}),
            "caller": self._caller(asked.caller),
            "patient": self._name(asked, asked.patient),
            **({"sources": [self._name(asked, one) for one in asked.sources]} if asked.sources else {}),
            "request": keyed(self._key, asked.given),
            "runtime": runtime.digest(),
            "latency_ms": round((time.perf_counter() - asked.began) * 1e3, 3),
        }

    def _caller(self, caller: Caller) -> dict[str, str]:
        told = {
            "issuer": caller.issuer,
            "tenant": caller.tenant,
            "subject": pseudonym(self._key, caller.subject),
            "token": caller.jti_digest,
        }
        return {name: text for name, text in told.items() if text}

    def _name(self, asked: Asked, identifier: str) -> str:
        """What stands for a patient, a course or a resource of the caller's tenant."""
        return pseudonym(self._key, identifier, asked.caller.tenant)

    def _body(self, asked: Asked, answered: Answered, content: bytes, by: Answerer) -> dict[str, Any]:
        answer, course = answered.answer, answered.intake.course
        return {
            "status": answer.status,
            "course": self._name(asked, answered.intake.course_id),
            "therapy": course.therapy,
            "indication": course.indication,
            "hours_since_start": answer.question.hours_since_start,
            "hours_since_dose": answer.question.hours_since_dose,
            "dose_number": course.dose_number,
            **({"converted": answered.intake.converted} if answered.intake.converted else {}),
            "treated": any(one.code in _TREATMENTS and one.value > 0 for one in course.observations),
            **({"not_evaluated": [one.code for one in answer.not_evaluated]} if answer.not_evaluated else {}),
            "statuses": {risk.outcome: risk.status for risk in answer.risks if risk.status != "evaluated"},
            "bands": {risk.outcome: risk.band for risk in answer.risks if isinstance(risk.band, str)},
            "bundle": by.predictor.digest,
            "version": by.model.version,
            "columns": by.columns_id,
            "policy": by.policy_id,
            "response": keyed(self._key, content),
            **(_scored(answered.found, answered, by.predictor) if answered.found else {}),
        }


def _note(answered: Sequence[Answered]) -> None:
    """What is on the disk is noted for those who look at answers afterwards."""
    for one in answered:
        if one.found:
            note(one.answer.prediction_id, one.intake.course)


def _scored(found: Found, answered: Answered, by: Predictor) -> dict[str, Any]:
    """What the model was given and said; a probability only of the outcomes that the answer gives one for."""
    predicted, place = found.predicted, found.place
    evaluated = {risk.outcome for risk in answered.answer.risks if risk.status == "evaluated"}
    scored = Scored(
        rows=predicted.rows.take(np.array([place])),
        evidence=by.prior.key_of(int(predicted.rows.evidence[place])),
        raw=predicted.trees[place],
        log_odds=predicted.log_odds[place],
        probabilities=predicted.probability[place],
        low=predicted.low[place],
        high=predicted.high[place],
    )
    return scored.to_json(tuple(key in evaluated for key in OUTCOME_KEYS))


@cache
def recorder() -> Recorder:
    """The recorder of the deployment that CRS_RISK_HOME names."""
    home = Home.from_environment(os.environ)
    key = tenant_key(home)
    return Recorder(appends(), key, _keeper(home, key) if Settings.from_environment(os.environ).vault else None)


def _keeper(home: Home, key: bytes) -> Keeps:
    from serving.kept import Keeper

    return Keeper.of(home, key)


@cache
def appends() -> Appends:
    """The node's writer where there is one, else the ledger of the home itself."""
    path = os.environ.get(SOCKET)
    return Client(Path(path)) if path else _own()


def _own() -> Appends:
    from serving.records import records

    return records()
