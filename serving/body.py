"""Reads a request's body up to a limit, and hands another one on in its place."""

from collections.abc import Iterable

from starlette.types import Message, Receive, Scope

from serving.refusal import too_large, wrong_media

_JSON = "application/json"


def check_media(scope: Scope) -> None:
    """Refusal 415 unless the body is declared as plain JSON (or not declared)."""
    media = _header(scope, b"content-type").split(";")[0].strip().lower()
    encoding = _header(scope, b"content-encoding").strip().lower()
    if media not in ("", _JSON) or encoding not in ("", "identity"):
        raise wrong_media()


async def read(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body; Refusal 413 as soon as it is known to be longer than `limit` bytes."""
    stated = _header(scope, b"content-length")
    if stated.isdigit() and int(stated) > limit:
        raise too_large(limit)
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise too_large(limit)
        parts.append(part)
        more = message["type"] == "http.request" and message.get("more_body", False)
    return b"".join(parts)


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
