"""A statement in a signed envelope: DSSE.

What is signed is the pre-authentication encoding (PAE): the type and the payload, each with its length, so that no
other text the ledger's key signs (a checkpoint, a change of keys) can be taken for a statement.
Source: https://github.com/secure-systems-lab/dsse, protocol.md of 1.0.0, read there; the tests hold its example.
"""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from audit.events import plain
from audit.note import Signer

PAYLOAD_TYPE = "application/vnd.in-toto+json"


class Verifier(Protocol):
    """A public key of whatever kind."""

    def verifies(self, message: bytes, signature: bytes) -> bool: ...


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def wrap(statement: Mapping[str, Any], signer: Signer) -> dict[str, Any]:
    """The envelope of a statement with one signature. keyid: name and id of the key, which only helps to find it."""
    return enveloped(statement, signer.sign, f"{signer.key.name}+{signer.key.id.hex()}")


def enveloped(statement: Mapping[str, Any], sign: Callable[[bytes], bytes], keyid: str = "") -> dict[str, Any]:
    """The same by a key of any kind."""
    payload = plain(statement)
    signature = sign(pae(PAYLOAD_TYPE, payload))
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": keyid, "sig": base64.b64encode(signature).decode()}],
    }


def unwrap(envelope: Mapping[str, Any], key: Verifier) -> dict[str, Any]:
    """The statement of an envelope that the key signed; ValueError where it did not, or there is none."""
    try:
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [base64.b64decode(one["sig"], validate=True) for one in envelope["signatures"]]
        message = pae(envelope["payloadType"], payload)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not an envelope") from error
    if envelope["payloadType"] != PAYLOAD_TYPE or not any(key.verifies(message, one) for one in signatures):
        raise ValueError("not signed by the key")
    statement = json.loads(payload)
    if not isinstance(statement, dict):
        raise ValueError("not a statement")
    return statement
