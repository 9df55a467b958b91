"""Which settings a service was started with, by digest, and a worker that read others records so before it answers.

The bundle is told to each worker (serving.started). trust.toml, a centre's own codes and shadow.json are files that a
worker reads for itself when it starts, which may be long after the others did.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from audit.events import Entry, Kind
from features import catalogue
from features.errors import StoreError
from features.home import Home, Live
from features.shadow import read_shadow
from serving.own_codes import known
from serving.trust import reading
from serving.trust.settings import Trust

#: Holds the digests for a worker; set by serving.run alone.
VARIABLE = "CRS_RISK_STARTED_WITH_SETTINGS"
#: Stands for a shadow.json that is damaged: no challenger is used then.
UNREADABLE = "unreadable"


def at_start(home: Home, environment: Mapping[str, str]) -> dict[str, str]:
    """What a service that starts now goes by; "" for what is not set. UsageError where a file is not understood.

    trust, codes: SHA-256 of the files. shadow: the digest of the challenger's bundle.
    """
    return _digests(*reading.held(reading.named(home, environment)), lambda: read_shadow(home))


def told(settings: Mapping[str, str]) -> dict[str, str]:
    """What a worker finds in its environment."""
    return {VARIABLE: json.dumps(dict(settings))}


def changes(environment: Mapping[str, str], trust: Trust, digest: str) -> list[Entry]:
    """What has to be recorded before this worker answers: what it read otherwise than its service did at the start.

    trust, digest: the settings that it goes by, and of their file. Nothing outside of a worker.
    """
    if not environment.get(VARIABLE):
        return []
    home = Home.from_environment(environment)
    changed = _changed(_started(environment), _digests(trust, digest, lambda: shadow_of(home)))
    return [Entry(Kind.CONFIG_CHANGED, {"what": "worker", "changed": changed})] if changed else []


@cache
def shadow_of(home: Home) -> Live | None:
    """The challenger that shadow.json named when this process first read it; StoreError where it is damaged."""
    return read_shadow(home)


def _digests(trust: Trust, digest: str, shadow: Callable[[], Live | None]) -> dict[str, str]:
    return {"trust": digest, "codes": known(catalogue.load(), trust.codes.file).digest, "shadow": _shadow(shadow)}


def _shadow(read: Callable[[], Live | None]) -> str:
    try:
        named = read()
    except StoreError:
        return UNREADABLE
    return named.digest if named else ""


def _started(environment: Mapping[str, str]) -> dict[str, Any]:
    try:
        return dict(json.loads(environment[VARIABLE]))
    except (ValueError, TypeError) as error:
        raise StoreError(VARIABLE, "it names no settings", "leave it to crs serve") from error


def _changed(old: Mapping[str, Any], new: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Name -> digest at the service's start and that of now, of those that differ."""
    return {name: {"old": old.get(name), "new": one} for name, one in new.items() if old.get(name) != one}
