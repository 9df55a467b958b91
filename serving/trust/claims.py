"""What a token says of itself, held against the settings and the clock. Pure: no key, no store."""

import math

from msgspec import UNSET

from serving.trust.caller import Caller
from serving.trust.settings import Issuer, Tokens
from serving.trust.token import Claims, Header

LONGEST_ID = 500
#: `typ` of the header, in small letters, per kind of token (CDS Hooks 2.0; RFC 9068).
#: Faults that a clock can be to blame for.
OF_TIME = frozenset({"expired", "issued-in-future", "not-yet-valid"})
_TYPES = {"cds-hooks": ("jwt",), "oauth2": ("jwt", "at+jwt", "application/at+jwt")}


def fault(header: Header, claims: Claims, issuer: Issuer, audience: str, settings: Tokens, now: float) -> str:
    """The code of the first thing that is wrong; empty where nothing is."""
    if header.typ.lower() not in _TYPES[issuer.kind]:
        return "type-not-allowed"
    if not 0 < len(claims.jti) <= LONGEST_ID or len(claims.sub) > LONGEST_ID:
        return "claims-malformed"
    if audience not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
        return "audience-wrong"
    if (claims.tenant not in issuer.tenants) if issuer.tenants else claims.tenant:
        return "tenant-not-allowed"
    return _time_fault(claims, issuer, settings, now)


def _time_fault(claims: Claims, issuer: Issuer, settings: Tokens, now: float) -> str:
    """Both ends of the skew are inclusive."""
    skew, begins = settings.clock_skew_seconds, now if claims.nbf is UNSET else claims.nbf
    if not all(math.isfinite(one) for one in (claims.exp, claims.iat, begins)):
        return "claims-malformed"
    if claims.exp + skew < now:
        return "expired"
    if claims.iat - skew > now:
        return "issued-in-future"
    if begins - skew > now:
        return "not-yet-valid"
    return "life-too-long" if claims.exp - claims.iat > longest_life(issuer, settings) else ""


def longest_life(issuer: Issuer, settings: Tokens) -> int:
    per_call = issuer.kind == "cds-hooks"
    return settings.longest_life_seconds if per_call else settings.longest_access_life_seconds


def audience(issuer: Issuer, base: str, path: str) -> str:
    """The address a token must be made for: of the very route (CDS Hooks), or of the service (OAuth 2)."""
    return base + path if issuer.kind == "cds-hooks" else base


def caller(claims: Claims, issuer: Issuer) -> Caller:
    """Who calls. Roles are what the settings grant; a stated scope narrows them and never adds one."""
    granted = issuer.granted(claims.sub)
    if claims.scope is not UNSET:
        named = {issuer.scopes.get(word, word if not issuer.scopes else "") for word in claims.scope.split()}
        granted &= named
    return Caller(claims.iss, claims.sub, claims.tenant, granted, claims.jti)
