"""Issuers of tokens for the tests: keys made once, tokens with any part replaced, and a gatekeeper that trusts them."""

import asyncio
import functools
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from serving.refusal import RefusalError
from serving.trust.caller import Caller
from serving.trust.gatekeeper import Gatekeeper
from serving.trust.jwks import Key
from serving.trust.settings import Issuer, Trust

BASE = "https://crs.hospital.example"
EHR = "https://ehr.hospital.example"
MADE_FOR = f"{BASE}/predict"
#: Every algorithm, so that a test may use one that the settings do not list.
ANYTHING = jws.JWSRegistry(algorithms=list(jws.JWSRegistry.algorithms), strict_check_header=False)
LEFT_OUT = object()


@functools.cache
def key(kind: str = "P-384", name: str = "first") -> Key:
    """A key pair; the same for the same kind and name."""
    kid = {"kid": f"{kind}-{name}"}
    if kind == "RSA":
        return RSAKey.generate_key(2048, kid)
    return OKPKey.generate_key("Ed25519", kid) if kind == "Ed25519" else ECKey.generate_key(kind, kid)  # type: ignore[arg-type]


def public(*keys: Key) -> dict[str, Any]:
    """A JWK set without private parts."""
    return {"keys": [dict(one.as_dict(private=False)) for one in keys]}


def header(**changes: Any) -> dict[str, Any]:
    return _with({"alg": "ES384", "typ": "JWT", "kid": key().kid}, changes)


def claims(now: float | None = None, **changes: Any) -> dict[str, Any]:
    """As an EHR states them for one call; a change to LEFT_OUT takes a claim away."""
    at = int(time.time() if now is None else now)
    held = {"iss": EHR, "aud": MADE_FOR, "iat": at, "exp": at + 300, "jti": str(uuid.uuid4())}
    return _with(held, changes)


def _with(held: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**held, **changes}.items() if value is not LEFT_OUT}


def sign(stated: Any = None, head: Mapping[str, Any] | None = None, by: Key | OctKey | None = None) -> str:
    """A token of these claims (an EHR's by default); `head` as header()."""
    payload = msgspec.json.encode(claims() if stated is None else stated)
    found = dict(header() if head is None else head)
    return jws.serialize_compact(found, payload, by or key(), registry=ANYTHING)


def issuer(**changes: Any) -> Issuer:
    held = {"issuer": EHR, "keys": tuple(public(key())["keys"]), "roles": ("predict",)}
    return Issuer(**{**held, **changes})


def trust(*issuers: Issuer, **changes: Any) -> Trust:
    return Trust(public_url=BASE, issuers=issuers or (issuer(),), **changes)


def scope(
    token: str | None = None, path: str = "/predict", method: str = "POST", headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """An ASGI scope as uvicorn makes it."""
    stated = {**({} if token is None else {"authorization": f"Bearer {token}"}), **(headers or {})}
    shown = [(name.encode(), value.encode("latin-1")) for name, value in stated.items()]
    return {"type": "http", "path": path, "method": method, "headers": shown, "server": ("127.0.0.1", 3000)}


class Clock:
    """A monotonic clock that a test moves on."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Door:
    """A gatekeeper that is asked call by call."""

    keeper: Gatekeeper

    def admit(self, token: str | None, path: str = "/predict", **more: Any) -> Caller:
        return asyncio.run(self.keeper.admit(scope(token, path, **more)))

    def refused(self, token: str | None, path: str = "/predict", **more: Any) -> RefusalError:
        """The refusal of a call; AssertionError where it is admitted."""
        try:
            caller = self.admit(token, path, **more)
        except RefusalError as error:
            return error
        raise AssertionError(f"admitted: {caller}")


def door(folder: Path, settings: Trust | None = None, **more: Any) -> Door:
    return Door(Gatekeeper(settings or trust(), folder, **more))
