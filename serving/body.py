"""Reads a request's body up to a limit, and hands another one on in its place."""

import asyncio
from collections.abc import Iterable

from starlette.types import Message, Receive, Scope

from serving.refusal import too_large, too_slow_to_send, wrong_media

_JSON = "application/json"
#: What FHIR clients call their JSON, beside plain JSON.
FHIR_MEDIA = ("application/fhir+json", "application/json+fhir")
#: Seconds in which a body must have arrived.
READ_SECONDS = 30
#: Bytes of a body that is too long which are still received, to no use but the client's.
MOST_THROWN_AWAY = 64 << 20


def check_media(scope: Scope, others: tuple[str, ...] = ()) -> None:
    """Refusal 415 unless the body is declared as plain JSON (or not declared), or as one of the others."""
    media = _header(scope, b"content-type").split(";")[0].strip().lower()
    encoding = _header(scope, b"content-encoding").strip().lower()
    if media not in ("", _JSON, *others) or encoding not in ("", "identity"):
        raise wrong_media()


async def read(scope: Scope, receive: Receive, limit: int, seconds: float = READ_SECONDS) -> bytes:
    """The whole body; Refusal 413 if it is longer than `limit` bytes, 408 if it takes more than `seconds`.

    No more than `limit` bytes are held. The rest of a body that is too long is received and thrown away, up to a bound:
    many clients read no answer before they have sent everything.
    """
    try:
        async with asyncio.timeout(seconds):
            body = await _read(scope, receive, limit)
    except TimeoutError:
        raise too_slow_to_send() from None
    if body is None:
        raise too_large(limit)
    return body


async def _read(scope: Scope, receive: Receive, limit: int) -> bytes | None:
    """The body, or None where it is longer than `limit` bytes."""
    parts: list[bytes] = []
    size, more = 0, True
    if _stated(scope) > (limit if _waits_for_leave(scope) else MOST_THROWN_AWAY):
        return None
    while more and size <= MOST_THROWN_AWAY:
        part, more = await _part(receive)
        size += len(part)
        if size > limit:
            parts.clear()
        else:
            parts.append(part)
    return b"".join(parts) if size <= limit else None


async def _part(receive: Receive) -> tuple[bytes, bool]:
    """The next part of the body and whether more follows."""
    message = await receive()
    return message.get("body", b""), message["type"] == "http.request" and message.get("more_body", False)


def _stated(scope: Scope) -> int:
    """The length the client stated, 0 where it stated none."""
    text = _header(scope, b"content-length")
    return int(text[:20]) if text.isdigit() else 0


def _waits_for_leave(scope: Scope) -> bool:
    """Whether the client sends its body only once it is told to go on."""
    return "100-continue" in _header(scope, b"expect").lower()


def replaced(scope: Scope, receive: Receive, body: bytes) -> tuple[Scope, Receive]:
    """The same request with `body` instead of what was read."""
    headers = [
        *_without(scope, (b"content-length", b"transfer-encoding")),
        (b"content-length", str(len(body)).encode()),
    ]
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return {**scope, "headers": headers}, again


def _header(scope: Scope, name: bytes) -> str:
    found = (value for key, value in scope["headers"] if key == name)
    return str(next(found, b"").decode("latin-1"))


def _without(scope: Scope, names: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    return [(key, value) for key, value in scope["headers"] if key not in names]
