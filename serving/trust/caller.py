"""Who is calling, for whoever answers or records the call."""

import hashlib
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, get_args

Role = Literal["predict", "feedback", "outcomes", "audit-read"]
ROLES: frozenset[str] = frozenset(get_args(Role))


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed a call. Empty text where nothing was stated; `jti` is the token's own id, which is never written."""

    issuer: str
    subject: str
    tenant: str
    roles: frozenset[str]
    jti: str = field(default="", repr=False)

    @property
    def jti_digest(self) -> str:
        """SHA-256 of the token's id, in hex; empty where there was no token. This is what a log or a record holds."""
        return digest(self.jti) if self.jti else ""


def digest(jti: str) -> str:
    """SHA-256 of a token's id, in hex."""
    return hashlib.sha256(jti.encode("utf-8", "surrogatepass")).hexdigest()


#: Whoever calls a service without sign-in, which listens to this machine alone.
DEVELOPER = Caller("development", "", "", ROLES)
#: Whoever asks what is open to everybody.
NOBODY = Caller("", "", "", frozenset())
#: The caller of the request that is being answered.
CALLER: ContextVar[Caller] = ContextVar("caller", default=NOBODY)
