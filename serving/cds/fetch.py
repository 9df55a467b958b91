"""What the EHR did not send is read from its FHIR server: only from listed servers, only for this call.

No redirect is followed, no proxy of the environment used, nothing beyond the limits read, and the token is held no
longer than the call. What fails is simply not there; the caller decides what that means.
"""

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import msgspec

from features.fhir_walk import walk
from serving.members import check_once
from serving.refusal import RefusalError
from serving.trust import scan
from serving.trust.settings import Fhir, Limits
from serving.trust.sources import believed

_ACCEPT = {"accept": "application/fhir+json", "accept-encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Access:
    """Where to read, and the right to; for one call."""

    server: str
    token: str

    def __repr__(self) -> str:
        return "Access(...)"


@dataclass(frozen=True, slots=True)
class Fetched:
    """key -> what was read. unread: keys of which a further page could not be read."""

    held: Mapping[str, Any]
    unread: frozenset[str]


class Fetcher:
    """Reads by the settings of trust. Safe to share between calls."""

    def __init__(self, settings: Fhir, limits: Limits, ca_file: str = "") -> None:
        self.settings, self.limits, self.ca_file = settings, limits, ca_file
        self._servers = frozenset(one.rstrip("/") for one in settings.servers)

    def allowed(self, server: str) -> bool:
        """Whether the address stands on the list, to the letter but for a slash at its end."""
        return server.rstrip("/") in self._servers

    async def fetch(self, access: Access, queries: Mapping[str, str], pages: Iterable[tuple[str, str]]) -> Fetched:
        """The answers to queries (key -> address below the server), and the next pages of what was sent.

        All at once, within the time of the settings; what was not read by then is not there.
        """
        base = access.server.rstrip("/")
        wanted = [(key, f"{base}/{query}") for key, query in queries.items()] + list(pages)
        headers = {**_ACCEPT, "authorization": f"Bearer {access.token}"}
        session = httpx.AsyncClient(
            headers=headers,
            verify=self._tls,
            follow_redirects=False,
            trust_env=False,
            timeout=self.settings.timeout_seconds,
        )
        async with session as client:
            tasks = [asyncio.create_task(self._all_pages(client, base, address)) for _, address in wanted]
            try:
                if tasks:
                    await asyncio.wait(tasks, timeout=self.settings.timeout_seconds)
                found = [_result(task) for task in tasks]
            finally:  # also where the call itself was ended meanwhile
                _end(tasks)
                await asyncio.gather(*tasks, return_exceptions=True)
        return _together([key for key, _ in wanted], found)

    async def _all_pages(self, client: httpx.AsyncClient, base: str, address: str) -> tuple[list[Any], bool]:
        """The documents of one search, page after page; whether there are more."""
        documents: list[Any] = []
        waiting: list[str] = [address]
        while waiting and len(documents) < self.settings.pages:
            document = await self._read(client, base, waiting.pop())
            if document is None:
                return documents, True
            documents.append(document)
            waiting = [urljoin(f"{base}/", one) for one in next_pages(document)]
        return documents, bool(waiting)

    async def _read(self, client: httpx.AsyncClient, base: str, address: str) -> Any:
        """One document; None where it cannot be had, or lies elsewhere than below the server's address."""
        if not _below(base, address):
            return None
        try:
            async with client.stream("GET", address) as answer:
                content = await self._received(answer)
            scan.check(content, self.limits.depth, self.limits.entries)
            document = msgspec.json.decode(content)
            check_once(content)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError, RefusalError):
            return None
        failed = not isinstance(document, dict) or document.get("resourceType") in (None, "OperationOutcome")
        return None if failed else document

    async def _received(self, answer: httpx.Response) -> bytes:
        if answer.status_code != 200 or "content-encoding" in answer.headers:
            raise ValueError("not a FHIR answer")
        body = bytearray()
        async for part in answer.aiter_raw():
            body += part
            if len(body) > self.settings.bytes:
                raise ValueError("more than may be read")
        return bytes(body)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return believed(self.ca_file)


def next_pages(document: Any) -> list[str]:
    """Addresses of the next pages of a document's Bundles."""
    pages: list[str] = []
    for _ in walk(document, (), pages):
        pass
    return pages


def _below(base: str, address: str) -> bool:
    """Whether an address is of the same origin and under the same path; a dot segment leads nowhere."""
    try:
        own, other = urlsplit(base), urlsplit(address)
        same = (own.scheme, own.hostname, own.port) == (other.scheme, other.hostname, other.port)
    except ValueError:
        return False
    inside = other.path == own.path or other.path.startswith(f"{own.path.rstrip('/')}/")
    return same and inside and other.username is None and ".." not in other.path and "%2e" not in other.path.lower()


def _end(tasks: "Iterable[asyncio.Task[tuple[list[Any], bool]]]") -> None:
    for task in tasks:
        task.cancel()


def _result(task: "asyncio.Task[tuple[list[Any], bool]]") -> tuple[list[Any], bool]:
    """What a search found; nothing, where it is still under way when the time is over."""
    return task.result() if task.done() else ([], True)


def _together(keys: list[str], found: list[tuple[list[Any], bool]]) -> Fetched:
    held: dict[str, list[Any]] = {}
    for key, (documents, _) in zip(keys, found, strict=True):
        if documents:
            held.setdefault(key, []).extend(documents)
    unread = frozenset(key for key, (_, more) in zip(keys, found, strict=True) if more)
    return Fetched(
        {key: documents[0] if len(documents) == 1 else _nested(documents) for key, documents in held.items()}, unread
    )


def _nested(documents: list[Any]) -> dict[str, Any]:
    """Several documents as one: a Bundle may hold Bundles."""
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in documents]}
