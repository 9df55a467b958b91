"""What goes into the vault of a call: all that reading it again needs, and never a token.

Of a CDS Hooks call the members that are read are kept and no other one, so that the right to read from the EHR's
server, which lies beside them, is not. Headers are never kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from msgspec import Raw, Struct

from audit.data_keys import DataKeys
from audit.events import Entry
from audit.keys import keyed
from audit.request import Request
from audit.vault import Vault
from features.home import Home
from serving.recorded import Asked

#: Members of a CDS Hooks call that its answer rests on.
CALL = ("hook", "hookInstance", "context", "fhirServer", "prefetch")
#: Stands for what a comment on a card came in by; its record names the service.
FEEDBACK = "feedback"
#: Tokens of fewer letters could be a part of anything else.
_LEAST_TOKEN = 16


class _Batch(Struct):
    """A batch, each request as the bytes that came."""

    requests: list[Raw]


_BATCH = msgspec.json.Decoder(_Batch)
_MEMBERS = msgspec.json.Decoder(dict[str, Raw])


@dataclass(frozen=True, slots=True)
class Keeper:
    """Seals what is kept of calls. key: of the deployment's keyed digests."""

    vault: Vault
    key: bytes

    @classmethod
    def of(cls, home: Home, key: bytes) -> "Keeper":
        """The keeper of a home; its vault is made where there is none. LedgerError where its key is gone."""
        keys = DataKeys(home)
        keys.prepare()
        return cls(Vault(keys), key)

    def keep(self, asked: Asked, entries: Sequence[Entry]) -> list[Entry]:
        """The entries of a call's answers, each with its request sealed; LedgerError where none can be."""
        return self.vault.keep(entries, contents(asked))

    def comment(self, entry: Entry, patient: str, text: str) -> Entry:
        """The entry of a feedback with its comment sealed for that patient, a pseudonym."""
        request = Request(FEEDBACK, msgspec.json.encode({"userComment": text}))
        return self.vault.keep([replace(entry, body={**entry.body, "patient": patient})], [request.to_bytes()])[0]

    def digest(self, text: str) -> str:
        """The keyed digest of a comment, by which the same report is known again."""
        return keyed(self.key, text.encode())


def contents(asked: Asked) -> list[bytes]:
    """What is kept of a call: one content per answer, in their order."""
    now = asked.now.isoformat() if asked.now else ""
    if asked.hook:
        return [_without_token(asked, now)]
    bodies = [bytes(one) for one in _BATCH.decode(asked.given).requests] if _is_batch(asked) else [asked.given]
    return [Request(asked.route, body, now).to_bytes() for body in bodies]


def is_exact(asked: Asked) -> bool:
    """Whether what is kept of a call are the very bytes that came."""
    return not (asked.hook or _is_batch(asked))


def _is_batch(asked: Asked) -> bool:
    return asked.route == "/predict_batch"


def _without_token(asked: Asked, now: str) -> bytes:
    """A CDS Hooks call without the right to read; one that a server repeats in its pages is cut out, too."""
    members: dict[str, Any] = _MEMBERS.decode(asked.given)
    body = msgspec.json.encode({name: members[name] for name in CALL if name in members})
    content = Request(asked.route, body, now, asked.fetched).to_bytes()
    token = _token(members)
    return content.replace(token, b"") if len(token) >= _LEAST_TOKEN else content


def _token(members: dict[str, Any]) -> bytes:
    if "fhirAuthorization" not in members:
        return b""
    held: str = msgspec.json.decode(members["fhirAuthorization"])["access_token"]
    return held.encode()
