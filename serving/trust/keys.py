"""Keys of the issuers, kept for a while and read anew when one is not known: an issuer rotates without a restart."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from serving.log import LOGGER
from serving.trust.jwks import Key, Keys, strict
from serving.trust.settings import Issuer, Jwks, Trust
from serving.trust.sources import Source, believed, from_address, from_file

Clock = Callable[[], float]


class Kept:
    """The keys of one source. It is asked at most once per interval, whoever asks for whatever key."""

    def __init__(self, source: Source, settings: Jwks, name: str, clock: Clock = time.monotonic) -> None:
        self.source, self.settings, self.name, self.clock = source, settings, name, clock
        self.keys: Keys = {}
        self.read_at = self.tried_at = float("-inf")
        self._one_at_a_time = asyncio.Lock()

    async def get(self, kid: str) -> Key | None:
        """The key of that id; None where the source has none, or could not be read for too long."""
        if kid not in self.keys or self._age() > self.settings.kept_seconds:
            await self._renew(kid)
        return self.keys.get(kid) if self._age() <= self.settings.stale_seconds else None

    def _age(self) -> float:
        return self.clock() - self.read_at

    async def _renew(self, kid: str) -> None:
        """Read anew, unless it was tried a moment ago. Who has a key goes on with it while another reads."""
        if kid in self.keys and self._one_at_a_time.locked():
            return
        async with self._one_at_a_time:
            if self.clock() - self.tried_at >= self.settings.interval_seconds:
                self.tried_at = self.clock()
                await self._read()

    async def _read(self) -> None:
        try:
            self.keys = await self.source()
            self.read_at = self.clock()
        except (OSError, ValueError) as error:
            LOGGER.warning("keys of %s could not be read (%s)", self.name, type(error).__name__)


class Issued:
    """The keys of one issuer: its own, or those of its allowed addresses."""

    def __init__(self, issuer: Issuer, own: Kept | None, addresses: dict[str, Kept]) -> None:
        self.issuer, self.own, self.addresses = issuer, own, addresses

    def known_address(self, jku: str) -> bool:
        """Whether a token may name that address of keys; none named is always allowed."""
        return not jku or jku in self.issuer.jku

    async def get(self, kid: str, jku: str) -> Key | None:
        """The key by which a token with these header fields is checked. `jku` is on the allow-list, or empty."""
        kept = self.own or self.addresses[jku or self.issuer.jku[0]]
        return await kept.get(kid)


def issued(settings: Trust, clock: Clock = time.monotonic) -> dict[str, Issued]:
    """Issuer -> where its keys come from. Nothing is read yet."""
    tls = believed(settings.jwks.ca_file) if any(one.jku for one in settings.issuers) else None
    found: dict[str, Issued] = {}
    for issuer in settings.issuers:
        own = _own(issuer, settings.jwks, clock)
        addresses = (
            {}
            if own or not tls
            else {
                jku: Kept(from_address(jku, settings.jwks, tls), settings.jwks, issuer.issuer, clock)
                for jku in issuer.jku
            }
        )
        found[issuer.issuer] = Issued(issuer, own, addresses)
    return found


def _own(issuer: Issuer, settings: Jwks, clock: Clock) -> Kept | None:
    if issuer.jwks_file:
        return Kept(from_file(Path(issuer.jwks_file), settings.bytes), settings, issuer.issuer, clock)
    return Kept(_inline(issuer), settings, issuer.issuer, clock) if issuer.keys else None


def _inline(issuer: Issuer) -> Source:
    keys = strict(issuer, issuer.issuer)

    async def read() -> Keys:
        return keys

    return read
