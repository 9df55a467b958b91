"""Reads trust.toml: known keys only, of the right type, and settings that fit together. One line per mistake."""

import re
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from features.catalogue import load
from features.errors import UsageError
from features.home import Home
from serving.own_codes import known
from serving.trust import jwks
from serving.trust.addresses import key_address_fault, origin_fault, public_fault
from serving.trust.settings import Issuer, Trust

VARIABLE = "CRS_RISK_TRUST"
_PLACE = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`$", re.DOTALL)
_REMEDY = "see docs/trust.md"
#: Results of 30 days before a start count until 30 days after it.
FEWEST_DAYS = 60


def named(home: Home, environment: Mapping[str, str]) -> Path | None:
    """The settings file: the one CRS_RISK_TRUST names, or trust.toml in the home; None where there is neither."""
    stated = environment.get(VARIABLE)
    if stated:
        return Path(stated).resolve()
    return home.trust if home.trust.exists() else None


def settled(environment: Mapping[str, str]) -> Trust:
    """The settings of the deployment that the environment names."""
    return read(named(Home.from_environment(environment), environment))


def read(path: Path | None) -> Trust:
    """The settings of a file; UsageError for anything in it that is not understood. None: development mode."""
    return held(path)[0]


def held(path: Path | None) -> tuple[Trust, str]:
    """The same, and the SHA-256 of the very bytes that were read; "" without a file."""
    if path is None:
        return Trust(), ""
    try:
        content = path.read_bytes()
        body = tomllib.loads(content.decode("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(path.name, "the settings of trust cannot be read as TOML", _REMEDY) from error
    return from_mapping(body, path), sha256(content).hexdigest()


def from_mapping(body: dict[str, Any], path: Path) -> Trust:
    """The settings in a parsed file. Files it names are looked for beside it."""
    try:
        found = msgspec.convert(body, Trust)
    except msgspec.ValidationError as error:
        raise _misfit(str(error), path.name) from None
    settings = msgspec.structs.replace(found, issuers=tuple(_resolved(one, path.parent) for one in found.issuers))
    if found.jwks.ca_file:
        held = msgspec.structs.replace(found.jwks, ca_file=str(path.parent / found.jwks.ca_file))
        settings = msgspec.structs.replace(settings, jwks=held)
    if found.codes.file:
        beside = msgspec.structs.replace(found.codes, file=str(path.parent / found.codes.file))
        settings = msgspec.structs.replace(settings, codes=beside)
    _check(settings, path.name)
    return settings


def _misfit(message: str, file: str) -> UsageError:
    """msgspec's message as one of ours. A settings file holds no patient's value, so its keys may be named."""
    found = _PLACE.search(message)
    place = f"{file}: {found.group(1)}" if found and found.group(1) else file
    problem = message[: found.start()] if found else message
    if unknown := _UNKNOWN.match(problem):
        return UsageError(place, f"unknown setting {unknown.group(1)}", _REMEDY)
    return UsageError(place, problem[:1].lower() + problem[1:].replace("`", ""), _REMEDY)


def _resolved(issuer: Issuer, folder: Path) -> Issuer:
    if not issuer.jwks_file:
        return issuer
    return msgspec.structs.replace(issuer, jwks_file=str(folder / issuer.jwks_file))


def _check(settings: Trust, file: str) -> None:
    """What one key alone cannot tell."""
    _refuse(f"{file}: public_url", public_fault(settings.public_url, needed=not settings.development))
    for origin in settings.cors.origins:
        _refuse(f"{file}: cors.origins", origin_fault(origin))
    for server in settings.fhir.servers:
        _refuse(f"{file}: fhir.servers", public_fault(server, needed=True))
    short = 0 < settings.hooks.days < FEWEST_DAYS
    _refuse(f"{file}: hooks.days", f"expected 0, or {FEWEST_DAYS} or more: older results count, too" if short else "")
    if settings.jwks.ca_file and not Path(settings.jwks.ca_file).is_file():
        raise UsageError(f"{file}: jwks.ca_file", "there is no such file", _REMEDY)
    _check_codes(settings, file)
    names = [one.issuer for one in settings.issuers]
    for place, issuer in enumerate(settings.issuers):
        where = f"{file}: issuers[{place}]"
        _refuse(f"{where}.issuer", "the same issuer stands twice" if names.count(issuer.issuer) > 1 else "")
        _check_issuer(issuer, where)


def _check_codes(settings: Trust, file: str) -> None:
    try:
        known(load(), settings.codes.file)
    except UsageError as error:
        raise UsageError(f"{file}: {error.place}", error.problem, error.remedy) from error


def _check_issuer(issuer: Issuer, where: str) -> None:
    _refuse(where, _keys_fault(issuer))
    for address in issuer.jku:
        _refuse(f"{where}.jku", key_address_fault(address))
    if not issuer.roles and not issuer.subjects:
        raise UsageError(where, "it has neither roles nor subjects, so none of its tokens could do anything", _REMEDY)
    if issuer.jwks_file or issuer.keys:
        jwks.strict(issuer, where)


def _keys_fault(issuer: Issuer) -> str:
    if issuer.jwks_file and issuer.keys:
        return "it has jwks_file and keys; name one of them"
    return "" if issuer.jwks_file or issuer.keys or issuer.jku else "it has neither jwks_file nor keys nor jku"


def _refuse(place: str, fault: str) -> None:
    if fault:
        raise UsageError(place, fault, _REMEDY)
