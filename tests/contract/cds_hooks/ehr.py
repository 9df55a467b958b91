"""A stand-in EHR: a made-up patient from five days before CAR-T cells to three days after, and a FHIR server.

The server listens on loopback alone and lives in the test's own process. It belongs to nobody, and so does the patient.
"""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.serving import fhir_builders as fhir

Json = dict[str, Any]
PATIENT = "p1"
TOKEN = "CANARY-TOKEN-4711"
DAYS = range(-5, 4)
KINDS = {
    "patient": "Patient",
    "labs": "Observation",
    "vitals": "Observation",
    "conditions": "Condition",
    "meds": "MedicationRequest",
    "admin": "MedicationAdministration",
    "procedures": "Procedure",
}


def chart(day: float, now: datetime | None = None) -> list[Json]:
    """All that is charted when it is that day after the infusion now."""
    now = now or datetime.now(UTC)
    start = now - timedelta(days=day)

    def at(days: float) -> str:
        return (start + timedelta(days=days)).isoformat(timespec="seconds")

    found: list[tuple[float, Json]] = [
        (-400, fhir.diagnosis("c1", "C83.3", at(-400))),
        (-30, fhir.order("r1", "1987398", at(-30))),
        (0, fhir.infusion(at=at(0))),
        (2.1, fhir.diagnosis("c2", "D89.832", at(2.1))),
        (2.2, fhir.drug("m1", "612865", at(2.2))),
    ]
    for place in DAYS:
        found.append(
            (place - 0.1, fhir.result(f"crp{place}", "1988-5", 20.0 + 15 * max(place, 0), "mg/L", at(place - 0.1)))
        )
        found.append((place - 0.1, fhir.result(f"fer{place}", "2276-4", 600.0, "ng/mL", at(place - 0.1))))
        found.append((place - 0.1, fhir.result(f"plt{place}", "777-3", 120.0 - 10 * place, "10*3/uL", at(place - 0.1))))
        temperature = fhir.result(f"tmp{place}", "8310-5", 39.2 if place >= 2 else 36.8, "Cel", at(place - 0.05))
        found.append((place - 0.05, {**temperature, "category": [fhir.concept("x", "vital-signs")]}))
    return [fhir.patient(), *(one for when, one in found if when <= day)]


def prefetch(day: float, now: datetime | None = None) -> Json:
    """The chart by prefetch key, each search as a searchset."""
    held = chart(day, now)
    return {"patient": held[0], **{key: fhir.bundle(*select(held, key)) for key in KINDS if key != "patient"}}


def select(held: list[Json], key: str) -> list[Json]:
    """What the search of that key finds."""
    found = [one for one in held if one["resourceType"] == KINDS[key]]
    return [one for one in found if ("category" in one) == (key == "vitals")] if KINDS[key] == "Observation" else found


def call(hook: str | None = "patient-view", **changes: Any) -> Json:
    """A call of a service without any data; `changes` replace members, None leaves one out."""
    held = {"hook": hook, "hookInstance": str(uuid.uuid4()), "context": context(hook or ""), **changes}
    return {key: value for key, value in held.items() if value is not None}


def context(hook: str = "patient-view", **changes: Any) -> Json:
    held: Json = {"userId": "Practitioner/u1", "patientId": PATIENT}
    if hook.startswith("order"):
        held["draftOrders"] = fhir.bundle(draft())
    if hook == "order-select":
        held["selections"] = ["MedicationRequest/d1"]
    if hook == "encounter-start":
        held["encounterId"] = "e1"
    return {key: value for key, value in {**held, **changes}.items() if value is not None}


def draft(code: str = "1987398", **fields: Any) -> Json:
    """An order that is being made; axicabtagene ciloleucel by default."""
    return fhir.order("d1", code, "2026-01-01T00:00:00Z", **{"status": "draft", "authoredOn": None, **fields})


def authorization(**changes: Any) -> Json:
    held = {
        "access_token": TOKEN,
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "patient/*.read",
        "subject": "crs",
    }
    return {key: value for key, value in {**held, **changes}.items() if value is not None}


@dataclass
class StandIn:
    """The FHIR server. page: resources per page. Switches say what goes wrong; `asked` holds what it was asked for."""

    day: float = 3
    page: int = 1000
    refused: frozenset[str] = frozenset()
    redirected: frozenset[str] = frozenset()
    endless: bool = False
    foreign_pages: str = ""
    padding: int = 0
    seconds: float = 0.0
    asked: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    port: int = 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/fhir"

    def reset(self, **switches: Any) -> None:
        fresh = StandIn(**switches)
        for name in ("day", "page", "refused", "redirected", "endless", "foreign_pages", "padding", "seconds"):
            setattr(self, name, getattr(fresh, name))
        self.asked.clear()
        self.tokens.clear()

    def answer(self, target: str, token: str) -> tuple[int, Json, dict[str, str]]:
        self.asked.append(target)
        self.tokens.add(token)
        time.sleep(self.seconds)
        parts = urlsplit(target)
        kind, query = parts.path.removeprefix("/fhir/").split("/")[0], parse_qs(parts.query)
        if token != f"Bearer {TOKEN}" or kind in self.refused or not parts.path.startswith("/fhir/"):
            return 403, {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "forbidden"}]}, {}
        if kind in self.redirected:
            return 302, {}, {"Location": f"{self.base}/elsewhere{parts.path}"}
        if kind == "Patient":
            return 200, {**fhir.patient(), **({"text": {"div": "x" * self.padding}} if self.padding else {})}, {}
        return 200, self._search(kind, query, target), {}

    def _search(self, kind: str, query: dict[str, list[str]], target: str) -> Json:
        key = (
            "vitals"
            if "category" in query and kind == "Observation"
            else next(name for name, held in KINDS.items() if held == kind and name != "vitals")
        )
        found, first = select(chart(self.day), key), int(query.get("from", ["0"])[0])
        page = fhir.bundle(*found[first : first + self.page])
        more = first + self.page < len(found) or self.endless
        base = self.foreign_pages or f"http://127.0.0.1:{self.port}"
        after = f"{base}{target.split('&from=')[0]}&from={first + (0 if self.endless else self.page)}"
        return {**page, **({"link": [{"relation": "next", "url": after}]} if more else {})}


@contextmanager
def fhir_server() -> Iterator[StandIn]:
    """A running stand-in, stopped at the end."""
    held = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, headers = held.answer(self.path, self.headers.get("Authorization", ""))
            content = json.dumps(body).encode()
            try:
                self.send_response(status)
                for name, value in {"Content-Type": "application/fhir+json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        held.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield held
        finally:
            server.shutdown()
            thread.join(10)
