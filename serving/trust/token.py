"""One token: taken from the call, read, and checked by the key of its issuer. What is wrong is a code and no more."""

from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from msgspec import UNSET, Struct, UnsetType
from starlette.types import Scope

from serving.trust.jwks import Key, fits
from serving.trust.settings import Algorithm

#: Longest token, and longest header of one, in bytes.
LONGEST_TOKEN = 8192
LONGEST_HEADER = 2048


class UntrustedError(Exception):
    """Why a call is not admitted: a code for the log, never for the caller. `jti` only once the signature held."""

    def __init__(self, code: str, issuer: str = "", jti: str = "") -> None:
        super().__init__(code)
        self.code, self.issuer, self.jti = code, issuer, jti


class Header(Struct, frozen=True):
    alg: str
    kid: str
    typ: str
    jku: str = ""
    crit: Any = UNSET


class Claims(Struct, frozen=True):
    """Times are seconds since 1970. scope: words with spaces between them; UNSET where the token states none."""

    iss: str
    aud: str | list[str]
    exp: float
    iat: float
    jti: str
    nbf: float | UnsetType = UNSET
    sub: str = ""
    tenant: str = ""
    scope: str | UnsetType = UNSET


class Token:
    """A token that was read and not yet believed."""

    def __init__(self, raw: jws.CompactSignature, header: Header, claims: Claims) -> None:
        self._raw, self.header, self.claims = raw, header, claims

    def signed_by(self, key: Key, registry: jws.JWSRegistry) -> bool:
        """Whether the signature is the key's, by the algorithm that the header names."""
        try:
            return fits(key, self.header.alg) and jws.validate_compact(self._raw, key, registry=registry)
        except (JoseError, ValueError, TypeError):
            return False


def registry(algorithms: tuple[Algorithm, ...]) -> jws.JWSRegistry:
    """What joserfc may use: the listed algorithms and no other."""
    made = jws.JWSRegistry(algorithms=list(algorithms), strict_check_header=False)
    made.max_header_length, made.max_payload_length = LONGEST_HEADER, LONGEST_TOKEN
    return made


def presented(scope: Scope) -> bytes:
    """The bearer token of a call; UntrustedError where there is none, or more than one."""
    stated = [value for key, value in scope["headers"] if key == b"authorization"]
    if len(stated) != 1:
        raise UntrustedError("token-twice" if stated else "token-missing")
    scheme, _, token = stated[0].partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise UntrustedError("token-missing")
    if len(token) > LONGEST_TOKEN:
        raise UntrustedError("token-too-long")
    return bytes(token.strip())


def read(token: bytes, allowed: jws.JWSRegistry) -> Token:
    """Its header and claims; UntrustedError unless both have the form that is asked, by an allowed algorithm."""
    try:
        raw = jws.extract_compact(token, registry=allowed)
        header = msgspec.convert(raw.protected, Header)
    except (JoseError, ValueError, TypeError, RecursionError):
        raise UntrustedError("header-malformed") from None
    if header.alg not in (allowed.allowed or ()):
        raise UntrustedError("algorithm-not-allowed")
    if header.crit is not UNSET or not header.kid:
        raise UntrustedError("header-not-allowed")
    try:
        return Token(raw, header, msgspec.json.decode(raw.payload, type=Claims))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise UntrustedError("claims-malformed") from None
