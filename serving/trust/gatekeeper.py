"""Who may call: the one object that the front asks."""

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path

from starlette.types import Scope

from features.home import Home
from serving import refusal
from serving.log import LOGGER
from serving.notes import DEVELOPMENT_MODE, Note
from serving.trust import claims, cors, keys, reading, roles, token
from serving.trust.addresses import is_loopback
from serving.trust.book import CallBook, FullError
from serving.trust.caller import CALLER, DEVELOPER, NOBODY, Caller, digest
from serving.trust.clocks import Clocks
from serving.trust.settings import Limits, Trust
from serving.trust.token import Token, UntrustedError

#: Seconds for which a used token is remembered beyond its end.
_MARGIN_SECONDS = 60
_BUSY_SECONDS = 5
#: What a proxy adds to a call of somebody else.
_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip"})


class Gatekeeper:
    """Admits calls by the settings of trust. folder: where the workers share what they know of calls.

    digest: SHA-256 of the file that the settings were read from, "" for none.
    """

    def __init__(
        self,
        settings: Trust,
        folder: Path,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        digest: str = "",
    ) -> None:
        self.settings, self.now, self.digest = settings, now, digest
        self.book = CallBook(folder, settings.tokens.most_remembered)
        self._issuers = {one.issuer: one for one in settings.issuers}
        self._issued = keys.issued(settings, monotonic)
        self._registry = token.registry(settings.tokens.algorithms)
        self._clocks = Clocks(settings.tokens, monotonic)
        self._working: Counter[str] = Counter()

    @property
    def development(self) -> bool:
        return self.settings.development

    @property
    def limits(self) -> Limits:
        return self.settings.limits

    @property
    def cautions(self) -> tuple[Note, ...]:
        """What every answer has to say of the way it was asked."""
        return (DEVELOPMENT_MODE,) if self.development else ()

    async def admit(self, scope: Scope) -> Caller:
        """Who is calling; a Refusal where nobody, or somebody who may not.

        401 and 403 tell no reason; the log tells a code, and the issuer and a digest of the token's id where believed.
        429: the issuer calls too often. 503: it cannot be told whether a token was used before, so none is taken.
        """
        if cors.is_foreign(self.settings, scope):
            raise refusal.forbidden("origin-not-allowed")
        if self.development:
            return _developer(scope)
        if roles.is_open(scope["path"], self.settings.open):
            return NOBODY
        try:
            return await self._admit(scope)
        except UntrustedError as error:
            raise refusal.not_signed_in(_told(error.code, error.issuer, error.jti)) from None

    async def _admit(self, scope: Scope) -> Caller:
        path = scope["path"]
        shown = token.read(token.presented(scope), self._registry)
        await self._believe(shown, path)
        caller = claims.caller(shown.claims, self._issuers[shown.claims.iss])
        await self._count(shown, caller)
        CALLER.set(caller)  # known from here on, so that a refusal for a missing role is put down to somebody
        if roles.needed(path) not in caller.roles:
            raise refusal.forbidden(_told("role-missing", caller.issuer, caller.jti))
        return caller

    async def _believe(self, shown: Token, path: str) -> None:
        """UntrustedError unless a known issuer signed the token for this address and this time."""
        header, stated = shown.header, shown.claims
        issuer = self._issuers.get(stated.iss)
        if issuer is None:
            raise UntrustedError("issuer-unknown")
        if not roles.takes_access_tokens(path) and issuer.kind != "cds-hooks":
            raise UntrustedError("kind-not-allowed", issuer.issuer)
        audience = claims.audience(issuer, self.settings.base, path)
        now = self.now()
        fault = claims.fault(header, stated, issuer, audience, self.settings.tokens, now)
        if fault and fault not in claims.OF_TIME:
            raise UntrustedError(fault, issuer.issuer)
        issued = self._issued[issuer.issuer]
        if not issued.known_address(header.jku):
            raise UntrustedError("jku-not-allowed", issuer.issuer)
        key = await issued.get(header.kid, header.jku)
        if key is None:
            raise UntrustedError("key-unknown", issuer.issuer)
        if not shown.signed_by(key, self._registry):
            raise UntrustedError("signature-wrong", issuer.issuer)
        self._clocks.see(stated, now)
        if fault:
            raise UntrustedError(fault, issuer.issuer)

    async def _count(self, shown: Token, caller: Caller) -> None:
        """One call more of this issuer; UntrustedError where a token for one call was used before."""
        issuer = self._issuers[caller.issuer]
        if self._working[issuer.issuer] >= issuer.calls_at_once:
            raise refusal.too_many_calls(1.0, _told("calls-at-once", caller.issuer))
        ends = shown.claims.exp + self.settings.tokens.clock_skew_seconds + _MARGIN_SECONDS
        try:
            verdict = await self.book.admit(issuer, caller.jti if issuer.kind == "cds-hooks" else "", ends)
        except (sqlite3.Error, OSError, FullError) as error:
            raise refusal.busy(
                _told(f"calls-not-counted {type(error).__name__}", caller.issuer), _BUSY_SECONDS
            ) from None
        if verdict.wait:
            raise refusal.too_many_calls(verdict.wait, _told("", caller.issuer))
        if not verdict.new:
            raise UntrustedError("replayed", caller.issuer, caller.jti)

    @contextmanager
    def working_for(self, caller: Caller) -> Iterator[None]:
        """A call that is under way; while an issuer has as many as it may, `admit` takes no further one of it."""
        self._working[caller.issuer] += 1
        try:
            yield
        finally:
            self._working[caller.issuer] -= 1

    def headers(self, scope: Scope) -> cors.Headers:
        """What each answer carries: for the browser, for TLS, and the mode where nobody signs in."""
        return [*cors.headers(self.settings, scope), *self._always]

    def preflight(self, scope: Scope, methods: tuple[str, ...]) -> cors.Headers | None:
        """The answer to a browser that asks before it calls, if this is such a question of an allowed page."""
        return cors.preflight(self.settings, scope, methods)

    @cached_property
    def _always(self) -> cors.Headers:
        if self.development:
            return [(b"x-crs-risk-mode", b"development")]
        strict = self.settings.hsts_seconds and self.settings.base.startswith("https:")
        return [(b"strict-transport-security", f"max-age={self.settings.hsts_seconds}".encode())] if strict else []


def _developer(scope: Scope) -> Caller:
    """Anybody on this machine; a call by another address or through a proxy is refused, whoever opened the socket."""
    host = (scope.get("server") or ("", None))[0] or ""
    if not is_loopback(host) and (":" in host or host.replace(".", "").isdigit()):
        raise refusal.not_signed_in("development-off-loopback")
    if any(name in _FORWARDED for name, _ in scope["headers"]):
        raise refusal.not_signed_in("development-behind-a-proxy")
    return DEVELOPER


def _told(code: str, issuer: str, jti: str = "") -> str:
    """What the log may hold of a refused call. A token's id is text from elsewhere: a part of its digest is told."""
    parts = (code, f"iss={issuer}" if issuer else "", f"jti=sha256:{digest(jti)[:16]}" if jti else "")
    return " ".join(part for part in parts if part)


@cache
def gatekeeper() -> Gatekeeper:
    """The gatekeeper of the deployment that the environment names; UsageError where its settings are not understood."""
    home = Home.from_environment(os.environ)
    settings, content = reading.held(reading.named(home, os.environ))
    made = Gatekeeper(settings, home.calls, digest=content)
    if made.development:
        LOGGER.warning("development mode: nobody signs in, and only this machine is answered")
    return made
