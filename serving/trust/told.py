"""The settings of trust in words, with a look at every source of keys: what an operator checks before a start."""

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path

from features.catalogue import load
from serving.own_codes import known, own_tests, own_tokens
from serving.trust.keys import Issued, issued
from serving.trust.settings import Issuer, Trust


def told(settings: Trust) -> tuple[list[str], bool]:
    """One line per fact, and whether every source of keys could be read. Fetches from the allow-listed addresses."""
    if settings.development:
        return ["development mode: no issuers, nobody signs in, loopback only", *_codes(settings)], True
    sources = asyncio.run(_read(issued(settings).values()))
    lines = [f"public address {settings.base}", f"algorithms {', '.join(settings.tokens.algorithms)}"]
    for issuer in settings.issuers:
        lines += _issuer(issuer, sources[issuer.issuer])
    lines += _codes(settings)
    return lines, all(kids for held in sources.values() for kids in held.values())


async def _read(held: Iterable[Issued]) -> dict[str, dict[str, list[str]]]:
    """Issuer -> where its keys come from -> their ids, none where the source cannot be read."""
    found: dict[str, dict[str, list[str]]] = {}
    for one in held:
        sources = {"settings": one.own} if one.own else one.addresses
        for kept in sources.values():
            await kept.get("")
        found[one.issuer.issuer] = {name: sorted(kept.keys) for name, kept in sources.items()}
    return found


def _issuer(issuer: Issuer, sources: dict[str, list[str]]) -> Iterator[str]:
    yield f"issuer {issuer.issuer} ({issuer.kind}, {issuer.calls_per_minute} calls per minute)"
    for name, kids in sources.items():
        yield f"  keys from {name}: {', '.join(kids) or 'could not be read'}"
    yield f"  tenants: {', '.join(issuer.tenants) or 'none'}"
    yield f"  roles of all its tokens: {', '.join(issuer.roles) or 'none'}"
    for subject, roles in issuer.subjects.items():
        yield f"  roles of {subject}: {', '.join(roles)}"


def _codes(settings: Trust) -> Iterator[str]:
    if settings.codes.file:
        codes = known(load(), settings.codes.file)
        tests, asked = len(own_tests(codes)), len(own_tokens(codes))
        yield f"own codes {Path(settings.codes.file).name}: {len(codes.local)}, sha256 {codes.digest}"
        yield f"  of laboratory tests: {tests}, of which {asked} can stand in a search"
