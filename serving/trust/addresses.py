"""Which addresses a setting may name, and which addresses are this machine's alone."""

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

from features.errors import UsageError

_LOOPBACK_NAMES = ("localhost",)


def is_loopback(host: str) -> bool:
    """Whether an address, or the name localhost, is this machine's alone. No name is looked up."""
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def only_loopback(host: str) -> bool:
    """Whether every address that the name stands for is this machine's alone."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(is_loopback(str(one[4][0])) for one in found)


def check_exposed(host: str, development: bool) -> None:
    """UsageError where a service without sign-in would answer more than this machine."""
    if development and not only_loopback(host):
        raise UsageError(
            "--host",
            "without issuers in trust.toml nobody signs in, so the service answers this machine alone",
            "use 127.0.0.1, or set up trust as docs/trust.md says",
        )


def public_fault(address: str, needed: bool) -> str:
    """What is wrong with the public address; empty where it can be used."""
    if not address:
        return "it is needed where there are issuers: tokens are signed for it" if needed else ""
    return "" if _plain(address) else "expected https://HOST with an optional path, and nothing after it"


def key_address_fault(address: str) -> str:
    """What is wrong with an address of keys."""
    return "" if _plain(address, query=True) else "expected an https address (http on this machine alone)"


def origin_fault(origin: str) -> str:
    """What is wrong with an allowed origin: it is compared as a whole, and no pattern is understood."""
    fits = _plain(origin) and not urlsplit(origin).path and "*" not in origin
    return "" if fits else "expected scheme and host, such as https://ehr.example; no pattern and no path"


def _plain(address: str, query: bool = False) -> bool:
    """https to anywhere or http to this machine, without user, fragment or (unless allowed) query."""
    try:
        parts = urlsplit(address)
        safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        return safe and _bare(parts, query) and parts.port != 0 and address.isprintable() and " " not in address
    except ValueError:
        return False


def _bare(parts: SplitResult, query: bool) -> bool:
    return bool(parts.hostname) and parts.username is None and not parts.fragment and (query or not parts.query)
