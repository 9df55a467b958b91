"""A statement in a signed envelope: DSSE, with the ledger's Ed25519 key.

What is signed is the pre-authentication encoding (PAE): the type and the payload, each with its length, so that no
other text this key signs (a checkpoint, a change of keys) can be taken for a statement.
Source: https://github.com/secure-systems-lab/dsse, protocol.md of 1.0.0, read there; the tests hold its example.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from audit.events import plain
from audit.note import PublicKey, Signer

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def wrap(statement: Mapping[str, Any], signer: Signer) -> dict[str, Any]:
    """The envelope of a statement with one signature. keyid: name and id of the key, which only helps to find it."""
    payload = plain(statement)
    signature = signer.sign(pae(PAYLOAD_TYPE, payload))
    keyid = f"{signer.key.name}+{signer.key.id.hex()}"
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": keyid, "sig": base64.b64encode(signature).decode()}],
    }


def unwrap(envelope: Mapping[str, Any], key: PublicKey) -> dict[str, Any]:
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
