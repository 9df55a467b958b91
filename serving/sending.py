"""What leaves by ASGI: whole answers, security headers on each of them, and errors of BentoML held back."""

from starlette.types import Message, Send

from serving.trust.cors import Headers

_SECURITY = [
    (b"content-security-policy", b"default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


class Held:
    """Holds an answer back until it may leave, and an error that BentoML made for ever, so that all have one shape."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.refused = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self.refused = message["status"]
        self.messages.append(message)

    async def leave(self, send: Send) -> None:
        for message in self.messages:
            await send(message)


class Watched:
    """Adds the security headers and remembers the status; 0 until one was sent."""

    def __init__(self, send: Send, more: Headers) -> None:
        self._send = send
        self._headers = [*_SECURITY, *more]
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
        await self._send(message)


async def reply(
    send: Send,
    status: int,
    content: bytes,
    media: bytes = b"application/json",
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    """One whole answer."""
    shown = [(b"content-type", media), (b"content-length", str(len(content)).encode()), *(headers or ())]
    await send({"type": "http.response.start", "status": status, "headers": shown})
    await send({"type": "http.response.body", "body": content})
