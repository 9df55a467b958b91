"""What stands before BentoML: known addresses only, a limit on bodies, our own checks, security headers, one log line.

BentoML logs the values of inputs it refuses and has no limit on bodies, so it only ever sees a request that was
checked here; the checked request travels beside it.
"""

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import cached_property, partial

import msgspec
from anyio import to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from audit.ledger import Ledger
from features.catalogue import Catalogue
from features.errors import LedgerError
from serving import body, grade, page, refusal
from serving.answerer import Answerer
from serving.api import BODY_LIMITS
from serving.cds import services
from serving.cds.desk import Desk
from serving.decode import batch_request, grade_request, outcomes_request, predict_request
from serving.grade import GradeCase
from serving.intake import Intake, take, take_batch
from serving.log import LOGGER, failure
from serving.noted import NOTED, Noted
from serving.operation_outcome import told
from serving.outcome_form import OutcomesRequest
from serving.ready import Readiness, ask_writer
from serving.recorded import ASKED, LEAVING, Asked, Leaving, Recorder, recorder
from serving.records import records
from serving.refusal import RefusalError
from serving.sending import Held, Watched, reply
from serving.shadow import Shadow
from serving.trust import scan
from serving.trust.caller import CALLER, NOBODY
from serving.trust.gatekeeper import Gatekeeper, gatekeeper

#: Address -> the method it takes; HEAD goes where GET goes.
ROUTES = {
    "/": "GET",
    "/page.css": "GET",
    "/model": "GET",
    "/predict": "POST",
    "/predict_batch": "POST",
    "/grade": "POST",
    "/outcomes": "POST",
    "/livez": "GET",
    "/readyz": "GET",
    "/healthz": "GET",
    "/metrics": "GET",
    "/docs.json": "GET",
    "/schema.json": "GET",
    services.DISCOVERY: "GET",
    **dict.fromkeys(services.BODY_LIMITS, "POST"),
}
#: What BentoML is handed in place of a checked body: the least that fits the method's signature.
STAND_INS = {
    "/predict": b'{"course":{},"hours_since_start":0}',
    "/predict_batch": b'{"requests":[]}',
    "/grade": b"{}",
    "/outcomes": b'{"outcomes":[]}',
}
_QUIET = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})
#: Bodies above this many bytes are checked in a thread, so that a long check holds nobody else up.
_CHECKED_AT_ONCE = 64 << 10
_PASSED = "crs_risk.passed"

#: What the methods behind answer where a record could not be written.
NOT_RECORDED = 507
#: For one call, turn and all; BentoML keeps to it, too.
SECONDS_TO_ANSWER = 30
#: Status from behind -> what is said instead.
_BEHIND = {504: refusal.too_slow, NOT_RECORDED: refusal.not_recorded}
#: Refusals that cost the caller nothing stand in the log alone, so that nobody can fill the ledger with them.
_UNRECORDED = frozenset({401, 429})
#: Addresses whose refusals are recorded.
_RECORDED = frozenset((*BODY_LIMITS, *services.BODY_LIMITS))

#: The courses of the request that is being answered, in their order.
CHECKED: ContextVar[tuple[Intake, ...]] = ContextVar("checked")
#: The findings of the request to grade that is being answered.
FOUND: ContextVar[GradeCase] = ContextVar("found")
#: The outcomes of the request that is being recorded.
REPORTED: ContextVar[OutcomesRequest] = ContextVar("reported")


class Front:
    """ASGI middleware around the BentoML application."""

    def __init__(
        self,
        app: ASGIApp,
        catalogue: Callable[[], Catalogue],
        answerer: Callable[[], Answerer],
        gatekeeper: Callable[[], Gatekeeper] = gatekeeper,
        recorder: Callable[[], Recorder] = recorder,
        shadow: Callable[[], Shadow | None] = lambda: None,
        ledger: Callable[[], Ledger] = records,
        ask_writer: Callable[[], None] = ask_writer,
    ) -> None:
        self.app = app
        self.catalogue = catalogue
        self.answerer = answerer
        self.gatekeeper = gatekeeper
        self.recorder = recorder
        self.shadow = shadow
        self.ledger = ledger
        self.ask_writer = ask_writer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or _PASSED in scope:
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer({**scope, _PASSED: True}, receive, Watched(send, self.gatekeeper().headers(scope)))
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _answer(self, scope: Scope, receive: Receive, send: Watched) -> None:
        began = time.perf_counter()
        note = ""
        try:
            await self._route(scope, receive, send)
        except RefusalError as refused:
            error = await self._told(scope, refused)
            note = f" {error.code} {error.reason}".rstrip()
            content, media = told(scope["path"], error)
            await reply(send, error.http_status, content, media, [*_allow(scope, error), *error.headers])
        except Exception as error:  # the last stop: what went wrong is logged without its text, and answered as 500
            note = f" {failure(error)}"
            if send.status:
                raise
            await reply(send, 500, *told(scope["path"], refusal.internal()))
        finally:
            _log(scope, send.status, time.perf_counter() - began, note)

    async def _told(self, scope: Scope, error: RefusalError) -> RefusalError:
        """The refusal once it is recorded, or what is said where it could not be."""
        if scope["path"] not in _RECORDED or error.http_status >= 500 or error.http_status in _UNRECORDED:
            return error
        if CALLER.get() is NOBODY:  # refused before it was asked who calls
            return error
        try:
            record = partial(self.recorder().refusal, scope["path"], error.http_status, error.code, CALLER.get())
            await to_thread.run_sync(record)
        except LedgerError:
            return refusal.not_recorded()
        return error

    async def _route(self, scope: Scope, receive: Receive, send: Watched) -> None:
        path = scope["path"]
        hooks = self.gatekeeper().settings.hooks
        if path not in ROUTES or not services.is_enabled(path, hooks):
            raise refusal.not_found()
        if (leave := self.gatekeeper().preflight(scope, _methods(path))) is not None:
            await reply(send, 200, b"", b"text/plain", leave)
            return
        if scope["method"] not in _methods(path):
            raise refusal.wrong_method(ROUTES[path])
        caller = await self.gatekeeper().admit(scope)
        CALLER.set(caller)
        with self.gatekeeper().working_for(caller):
            await self._admitted(scope, receive, send)

    async def _admitted(self, scope: Scope, receive: Receive, send: Watched) -> None:
        path = scope["path"]
        if path == services.DISCOVERY:
            hooks = self.gatekeeper().settings.hooks
            await reply(send, 200, services.discovery(self._desk.codes, hooks))
        elif path in services.BODY_LIMITS:
            await self._at_desk(scope, receive, send)
        elif path in BODY_LIMITS:
            await self._predict(scope, receive, send)
        elif path in ("/", "/page.css", "/model"):
            await self._own_page(path, send)
        elif path == "/readyz" and not await to_thread.run_sync(self._readiness.look):
            raise refusal.not_ready()
        else:
            await self.app(scope, receive, send)

    @cached_property
    def _readiness(self) -> Readiness:
        return Readiness(self.answerer, self.ask_writer)

    async def _own_page(self, path: str, send: Watched) -> None:
        if path == "/model":
            await reply(send, 200, msgspec.json.encode(self.answerer().facts))
        elif path == "/":
            await reply(send, 200, page.index(self.answerer()), b"text/html; charset=utf-8")
        else:
            await reply(send, 200, page.style(), b"text/css; charset=utf-8")

    async def _predict(self, scope: Scope, receive: Receive, send: Watched) -> None:
        body.check_media(scope)
        path, began = scope["path"], time.perf_counter()
        given = await self._body(scope, receive, BODY_LIMITS[path])
        if path == "/grade":
            FOUND.set(grade.take(grade_request(given)))
        elif path == "/outcomes":
            REPORTED.set(outcomes_request(given))
        else:
            CHECKED.set(await self._check(path, given))
        ASKED.set(Asked(path, given, began, CALLER.get()))
        scope, receive = body.replaced(scope, receive, STAND_INS[path])
        held, noted, leaving = Held(), list[Noted](), list[Leaving]()
        NOTED.set(noted)
        LEAVING.set(leaving)
        await self._behind(scope, receive, held)
        if held.refused or not (held.messages or leaving):
            leaving.clear()
            raise _BEHIND.get(held.refused, refusal.internal)()
        if leaving:
            await reply(send, 200, await _recorded(leaving.pop()))
        else:
            await held.leave(send)
        if (shadow := self.shadow()) is not None:
            shadow.later(noted)

    async def _behind(self, scope: Scope, receive: Receive, held: Held) -> None:
        """BentoML's part: one course in its turn, all else at once. Refusal 504 where its turn does not come.

        The turn is taken here, where whoever has come in is counted: behind BentoML's layers few are seen to wait.
        """
        if scope["path"] != "/predict":
            await self.app(scope, receive, held)
            return
        try:
            async with asyncio.timeout(SECONDS_TO_ANSWER), self.recorder().turn:
                await self.app(scope, receive, held)
        except TimeoutError:
            raise refusal.too_slow() from None

    @cached_property
    def _desk(self) -> Desk:
        return Desk(self.catalogue(), self.answerer, self.gatekeeper(), self.recorder, self.ledger)

    async def _at_desk(self, scope: Scope, receive: Receive, send: Watched) -> None:
        """A call of CDS Hooks or FHIR: answered here, by the same answerer and into the same ledger."""
        body.check_media(scope, body.FHIR_MEDIA)
        path, began = scope["path"], time.perf_counter()
        given = await self._body(scope, receive, services.BODY_LIMITS[path])
        noted = list[Noted]()
        NOTED.set(noted)
        sent = await self._desk.reply(Asked(path, given, began, CALLER.get()), scope)
        await reply(send, 200, sent.content, sent.media, sent.headers)
        if (shadow := self.shadow()) is not None:
            shadow.later(noted)

    async def _body(self, scope: Scope, receive: Receive, limit: int) -> bytes:
        """The body, no larger, deeper or slower than the settings allow; Refusal 400, 408 or 413."""
        limits = self.gatekeeper().limits
        given = await body.read(scope, receive, min(limit, limits.bytes), limits.seconds_to_send)
        measure = partial(scan.check, given, limits.depth, limits.entries_on(scope["path"]))
        if len(given) <= _CHECKED_AT_ONCE:
            measure()
        else:
            await to_thread.run_sync(measure)
        return given

    async def _check(self, path: str, given: bytes) -> tuple[Intake, ...]:
        check = partial(checked, self.catalogue(), path, given)
        return check() if len(given) <= _CHECKED_AT_ONCE else await to_thread.run_sync(check)


async def _recorded(leaving: Leaving) -> bytes:
    """The answer with its receipt, waited for only now: the ledger writes while BentoML ends its part of the call."""
    try:
        return await leaving.told()
    except LedgerError as error:
        LOGGER.error("%s", error)
        raise refusal.not_recorded() from None


def checked(catalogue: Catalogue, path: str, given: bytes) -> tuple[Intake, ...]:
    """The courses in a body; Refusal where it cannot be used."""
    if path == "/predict":
        return (take(catalogue, predict_request(given)),)
    return take_batch(catalogue, batch_request(given))


def _methods(path: str) -> tuple[str, ...]:
    return ("GET", "HEAD") if ROUTES[path] == "GET" else ("POST",)


def _allow(scope: Scope, error: RefusalError) -> list[tuple[bytes, bytes]]:
    return [(b"allow", ", ".join(_methods(scope["path"])).encode())] if error.http_status == 405 else []


def _log(scope: Scope, status: int, seconds: float, note: str) -> None:
    """An address or method that is not ours is not repeated: it may hold anything."""
    path, method = scope["path"], scope["method"]
    if path in _QUIET and status < 400:
        return
    place = path if path in ROUTES else "(unknown address)"
    verb = method if method in ("GET", "HEAD", "POST") else "(other method)"
    call = {"method": verb, "route": place, "status": status, "ms": round(seconds * 1e3, 1), "note": note.strip()}
    LOGGER.info("%s %s %d %.1f ms%s", verb, place, status, seconds * 1e3, note, extra={"call": call})
