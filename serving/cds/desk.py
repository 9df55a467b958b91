"""Answers the addresses of CDS Hooks and of FHIR: from the body of a call to what leaves, recorded before it does."""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TypeVar

import msgspec
from anyio import CapacityLimiter, to_thread
from msgspec import UNSET
from starlette.types import Scope

from audit.events import Receipt
from audit.ledger import Ledger
from features.catalogue import Catalogue
from features.errors import LedgerError
from serving import decode, refusal, risk_assessment
from serving.answerer import Answered, Answerer
from serving.cds import check, feedback, reading, state
from serving.cds.card import Card, Cards
from serving.cds.cards import Place, card_of, unclear_card
from serving.cds.fetch import Access, Fetched, Fetcher, next_pages
from serving.cds.form import Call
from serving.cds.services import BY_FEEDBACK_PATH, BY_PATH, KEYS, RISK_ASSESSMENT, prefetch, query
from serving.fhir_therapy import COURSE, NOT_CONCERNED
from serving.fhir_types import FhirRead
from serving.intake import Intake
from serving.log import LOGGER
from serving.operation_outcome import FHIR_JSON, JSON
from serving.own_codes import known
from serving.recorded import Asked, Recorder
from serving.trust.gatekeeper import Gatekeeper

Result = TypeVar("Result")
Content = tuple[bytes, Receipt | None]
#: Calls of one worker that are worked on at the same moment.
THREADS = 4
NOTHING_FETCHED = Fetched({}, frozenset())


@dataclass(frozen=True, slots=True)
class Told:
    """A call that was read and fits its service."""

    asked: Asked
    call: Call
    wanted: Mapping[str, str] = field(default_factory=dict)
    pages: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Course:
    """A call whose chart holds a course. written: what is sent of its answer."""

    asked: Asked
    intake: Intake
    written: Callable[[Answered], bytes]


@dataclass(frozen=True, slots=True)
class Unscored:
    """A call whose chart holds none, and what is sent. name: of the event that is recorded, "" for none."""

    asked: Asked
    status: str
    content: bytes
    name: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What leaves. headers: the place of its record in the ledger."""

    content: bytes
    media: bytes
    headers: list[tuple[bytes, bytes]]


class Desk:
    """Takes calls whose caller is known and whose bodies are within the limits."""

    def __init__(
        self,
        catalogue: Catalogue,
        answerer: Callable[[], Answerer],
        gatekeeper: Gatekeeper,
        recorder: Callable[[], Recorder],
        ledger: Callable[[], Ledger],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.catalogue, self.answerer, self.now = catalogue, answerer, now
        self.recorder, self.ledger = recorder, ledger
        self.settings = gatekeeper.settings
        self.codes = known(catalogue, self.settings.codes.file)
        self.fetcher = Fetcher(self.settings.fhir, self.settings.limits, self.settings.jwks.ca_file)

    async def reply(self, asked: Asked, scope: Scope) -> Sent:
        """The answer once it is recorded; a Refusal where there is none, 503 where it could not be recorded."""
        base = self.settings.base or _own_address(scope)
        try:
            async with asyncio.timeout(self.settings.hooks.seconds_to_answer):
                content, receipt = await self._content(asked, base)
        except TimeoutError:
            raise refusal.too_late() from None
        except LedgerError as error:
            LOGGER.error("%s", error)
            raise refusal.not_recorded() from None
        media = FHIR_JSON if asked.route == RISK_ASSESSMENT else JSON
        record = [(b"x-crs-risk-record", f"{receipt.sequence} {receipt.hash}".encode())] if receipt else []
        return Sent(content, media, record)

    async def _content(self, asked: Asked, base: str) -> Content:
        """base: the address by which links lead back to us."""
        if asked.route in BY_FEEDBACK_PATH:
            return await self._threaded(partial(self._feedback, asked))
        if asked.route == RISK_ASSESSMENT:
            read = await self._threaded(partial(self._question, asked))
        else:
            told = await self._threaded(partial(self._read, asked))
            fetched = await self._fetched(told)
            read = await self._threaded(partial(self._chart, told, fetched, base))
        if isinstance(read, Course):
            recorder = self.recorder()
            async with recorder.turn:
                leaving = recorder.answer(read.asked, read.intake, self.answerer(), read.written)
            return leaving.content, await leaving.receipt()
        return await self._threaded(partial(self._unscored, read))

    async def _threaded(self, work: Callable[[], Result]) -> Result:
        return await to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._threads)

    @cached_property
    def _threads(self) -> CapacityLimiter:
        return CapacityLimiter(THREADS)

    def _read(self, asked: Asked) -> Told:
        """The call, with what has to be fetched for it."""
        call = decode.hook_call(asked.given)
        service = BY_PATH[asked.route]
        check.check_call(call, service)
        templates, today = prefetch(self.codes, self.settings.hooks.days), self.now().date()
        wanted = {key: query(templates[key], call.context.patientId, today) for key in state.unsatisfied(call.prefetch)}
        pages = tuple((key, url) for key in KEYS if key in call.prefetch for url in next_pages(call.prefetch[key]))
        return Told(reading.called(asked, call, service), call, wanted, pages)

    async def _fetched(self, told: Told) -> Fetched:
        call = told.call
        if not (told.wanted or told.pages):
            return NOTHING_FETCHED
        if call.fhirAuthorization is UNSET or call.fhirServer is UNSET or not self.fetcher.allowed(call.fhirServer):
            return replace(NOTHING_FETCHED, unread=frozenset(key for key, _ in told.pages))
        access = Access(call.fhirServer, call.fhirAuthorization.access_token)
        return await self.fetcher.fetch(access, told.wanted, told.pages)

    def _chart(self, told: Told, fetched: Fetched, base: str) -> Course | Unscored:
        call = told.call
        held, now = reading.joined(call.prefetch, fetched.held), self.now()
        read = reading.course(self.codes, call, held, now)
        absent = state.unsatisfied(held)
        unread = fetched.unread.difference(absent)
        if read.status == NOT_CONCERNED:
            state.check_read(unread)
        place = Place(base, call.context.patientId, self.answerer().model.version, absent, bool(unread))
        asked = reading.with_sources(replace(told.asked, now=now, fetched=fetched.held), read, self.codes)
        if read.status == COURSE:
            card = partial(self._card, read, place)
            return Course(asked, reading.named_course(read, place.patient), card)
        unclear = None if read.status == NOT_CONCERNED else unclear_card(str(uuid.uuid4()), read, place)
        return Unscored(asked, read.status, _encoded(unclear), unclear.uuid if unclear else "")

    def _card(self, read: FhirRead, place: Place, answered: Answered) -> bytes:
        return _encoded(card_of(answered.answer, read, self.catalogue, place))

    def _unscored(self, read: Unscored) -> Content:
        return read.content, self.recorder().unscored(read.asked, read.status, read.content, read.name)

    def _feedback(self, asked: Asked) -> Content:
        request = decode.feedback_request(asked.given)
        times = check.check_feedback(request)
        by = feedback.By(BY_FEEDBACK_PATH[asked.route].id, self.recorder().reporter(asked.caller))
        return feedback.record(self.ledger(), request, times, by, self.recorder().keeper), None

    def _question(self, asked: Asked) -> Course | Unscored:
        question = risk_assessment.question(self.codes, decode.json_object(asked.given), self.now())
        read = question.read
        asked = reading.of_question(asked, question, self.codes)
        form = risk_assessment.Form(self.answerer().model, self.settings.fhir.probability, question)
        if read.status != COURSE:
            name = str(uuid.uuid4())
            return Unscored(asked, read.status, risk_assessment.without_answer(form, name), name)
        course = reading.named_course(read, reading.patient_of(question))
        return Course(asked, course, lambda one: risk_assessment.bundle(form, one.answer))


def _own_address(scope: Scope) -> str:
    """The address that a call came in by, where no public one is set; never what the caller says of it."""
    host, port = scope.get("server") or ("127.0.0.1", 3000)
    return f"{scope.get('scheme', 'http')}://{f'[{host}]' if ':' in host else host}:{port}"


def _encoded(card: Card | None) -> bytes:
    return msgspec.json.encode(Cards((card,) if card else ()))
