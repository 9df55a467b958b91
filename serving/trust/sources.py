"""Where keys come from: a file beside the settings, or an address on the allow-list. Nothing else is ever fetched."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from serving.trust.jwks import Keys, parse
from serving.trust.settings import Jwks

#: Reads keys anew; OSError or ValueError where that fails.
Source = Callable[[], Awaitable[Keys]]


def from_file(path: Path, most: int) -> Source:
    """Keys of a file, read in a thread."""

    async def read() -> Keys:
        return parse(await asyncio.to_thread(_read, path, most))

    return read


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        body = file.read(most + 1)
    if len(body) > most:
        raise ValueError("more than a set of keys")
    return body


def from_address(address: str, settings: Jwks, tls: ssl.SSLContext) -> Source:
    """Keys of an address: no redirect, no proxy of the environment, no compression, a limit on size and time."""

    async def read() -> Keys:
        async with asyncio.timeout(settings.timeout_seconds):
            return parse(await _fetched(address, settings, tls))

    return read


async def _fetched(address: str, settings: Jwks, tls: ssl.SSLContext) -> bytes:
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    session = httpx.AsyncClient(
        headers=headers, verify=tls, follow_redirects=False, trust_env=False, timeout=settings.timeout_seconds
    )
    try:
        async with session as client, client.stream("GET", address) as answer:
            return await _received(answer, settings.bytes)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError("keys cannot be fetched") from error


async def _received(answer: httpx.Response, most: int) -> bytes:
    if answer.status_code != 200 or "content-encoding" in answer.headers:
        raise ValueError("not an answer with keys")
    body = bytearray()
    async for part in answer.aiter_raw():
        body += part
        if len(body) > most:
            raise ValueError("more than a set of keys")
    return bytes(body)


def believed(ca_file: str) -> ssl.SSLContext:
    """TLS with the system's authorities, and those of the file where one is named."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        context.load_verify_locations(ca_file)
    return context
