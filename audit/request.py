"""What the vault keeps of one call: all that is needed to read it again, and nothing of who was trusted to make it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """One call as it was read. route: where it came in. body: the bytes that came, or of a batch this course's.

    now: what the clock said where reading depends on it, ISO 8601. fetched: what was read from the caller's FHIR
    server, by prefetch key.
    """

    route: str
    body: bytes
    now: str = ""
    fetched: Mapping[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """A line of JSON, then the body as it came."""
        head = {"route": self.route, "now": self.now, "fetched": dict(self.fetched)}
        return json.dumps(head, separators=(",", ":")).encode() + b"\n" + self.body

    @classmethod
    def from_bytes(cls, held: bytes) -> "Request":
        """As to_bytes wrote it; ValueError, KeyError or TypeError where it did not."""
        head, _, body = held.partition(b"\n")
        return cls(body=body, **json.loads(head))

    def to_json(self) -> dict[str, Any]:
        """For a reader: the body parsed."""
        return {"route": self.route, "now": self.now, "fetched": dict(self.fetched), "body": json.loads(self.body)}
