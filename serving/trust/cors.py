"""Which web pages may call. An allow-list of origins, compared as a whole; a browser's cookies play no part."""

from urllib.parse import urlsplit

from starlette.types import Scope

from serving.trust.addresses import is_loopback
from serving.trust.settings import Trust

Headers = list[tuple[bytes, bytes]]

_ASKED = b"access-control-request-method"
_PRIVATE = b"access-control-request-private-network"
_SHOWN = b"retry-after, www-authenticate, x-crs-risk-mode, x-crs-risk-record"
_SECONDS_KEPT = b"600"


def headers(settings: Trust, scope: Scope) -> Headers:
    """What an answer says to a browser about the page that asked; nothing to others."""
    if not settings.cors.origins:
        return []
    vary = [(b"vary", b"origin")]
    origin = _header(scope, b"origin")
    if origin.decode("latin-1") not in settings.cors.origins:
        return vary
    return [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", _SHOWN), *vary]


def preflight(settings: Trust, scope: Scope, methods: tuple[str, ...]) -> Headers | None:
    """The answer to a browser that asks before it calls; None where this is no such question of an allowed page."""
    origin = _header(scope, b"origin").decode("latin-1")
    if scope["method"] != "OPTIONS" or not _header(scope, _ASKED) or origin not in settings.cors.origins:
        return None
    answer = [
        (b"access-control-allow-methods", ", ".join(methods).encode()),
        (b"access-control-allow-headers", b"authorization, content-type"),
        (b"access-control-max-age", _SECONDS_KEPT),
    ]
    return [*answer, (b"access-control-allow-private-network", b"true")] if _header(scope, _PRIVATE) else answer


def is_foreign(settings: Trust, scope: Scope) -> bool:
    """Whether a web page of an origin that is not allowed is calling: not listed, and not this service's own."""
    origin = _header(scope, b"origin").decode("latin-1")
    if not origin or origin in settings.cors.origins:
        return False
    return not (_same_origin(origin, settings.base) or (settings.development and _local(origin)))


def _same_origin(origin: str, base: str) -> bool:
    parts = urlsplit(base)
    return bool(base) and origin == f"{parts.scheme}://{parts.netloc}"


def _local(origin: str) -> bool:
    try:
        return is_loopback(urlsplit(origin).hostname or "")
    except ValueError:
        return False


def _header(scope: Scope, name: bytes) -> bytes:
    return next((bytes(value) for key, value in scope["headers"] if key == name), b"")
