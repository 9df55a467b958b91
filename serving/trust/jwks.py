"""Public keys of an issuer, from the JSON of RFC 7517. Private and shared keys are never taken."""

import json
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from features.errors import UsageError
from serving.trust.settings import Issuer

Key = ECKey | RSAKey | OKPKey
#: Key id -> key.
Keys = dict[str, Key]

#: Fewest bits of an RSA key (NIST SP 800-131A).
FEWEST_RSA_BITS = 2048
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "Ed25519": "Ed25519"}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})


def parse(body: bytes) -> Keys:
    """The usable keys of a JWK set; ValueError where it is none. A key that is not usable is left out."""
    try:
        listed = json.loads(body)["keys"]
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("not a JWK set") from error
    if not isinstance(listed, list):
        raise ValueError("not a JWK set")
    found: Keys = {}
    for one in listed:
        if isinstance(one, dict) and not fault(one) and one["kid"] not in found:
            found[one["kid"]] = _imported(one)
    return found


def strict(issuer: Issuer, where: str) -> Keys:
    """The keys that an issuer's settings hold; UsageError where one of them cannot be used."""
    listed = _listed(issuer, where)
    for place, one in enumerate(listed):
        if problem := fault(one) if isinstance(one, dict) else "not a JSON object":
            raise UsageError(f"{where}: key {place}", problem, "see docs/trust.md")
    found = {one["kid"]: _imported(one) for one in listed}
    if not found or len(found) < len(listed):
        raise UsageError(where, "there is no key, or two have one kid", "see docs/trust.md")
    return found


def _listed(issuer: Issuer, where: str) -> list[Any]:
    if issuer.keys:
        return list(issuer.keys)
    try:
        listed = json.loads(Path(issuer.jwks_file).read_bytes())["keys"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{where}.jwks_file", "it cannot be read as a JWK set", "see docs/trust.md") from error
    return listed if isinstance(listed, list) else []


def fault(one: dict[str, Any]) -> str:
    """Why a key cannot be used; empty where it can."""
    if not isinstance(one.get("kid"), str) or not one["kid"]:
        return "it has no kid"
    if _PRIVATE & one.keys() or one.get("kty") not in ("EC", "RSA", "OKP"):
        return "only public keys of type EC, RSA and OKP are taken, none that is private or shared"
    if one.get("use", "sig") != "sig" or "verify" not in one.get("key_ops", ["verify"]):
        return "it is not for signatures"
    if one["kty"] == "RSA" and len(str(one.get("n", ""))) * 6 < FEWEST_RSA_BITS:
        return f"an RSA key needs {FEWEST_RSA_BITS} bits or more"
    try:
        _imported(one)
    except (JoseError, ValueError, TypeError, KeyError):
        return "it cannot be read"
    return ""


def _imported(one: dict[str, Any]) -> Key:
    key = JWKRegistry.import_key(one)
    if not isinstance(key, Key):
        raise ValueError("not a public key")
    return key


def fits(key: Key, algorithm: str) -> bool:
    """Whether the key is of the kind, and of the curve, that the algorithm asks for."""
    if key.alg not in (None, algorithm):
        return False
    if algorithm in _CURVES:
        return not isinstance(key, RSAKey) and key.curve_name == _CURVES[algorithm]
    return isinstance(key, RSAKey)
