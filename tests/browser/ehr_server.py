"""A stand-in EHR with a page for a browser: the page, the EHR's public key, and its FHIR server, all of one origin.

It listens on loopback alone and lives in the test's own process. The page's key is handed to it, as the public sandbox
of CDS Hooks ships its own: it opens nothing but the service of the same test.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.contract.cds_hooks.ehr import PATIENT, TOKEN, StandIn
from tests.serving.trust.issuing import key, public

PAGE = Path(__file__).parent / "ehr"
MEDIA = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript"}
JWKS = "/.well-known/jwks.json"


@dataclass
class Ehr:
    """The running EHR. service: the address that its page calls; day: the patient's, after the infusion."""

    service: str = ""
    fhir: StandIn = field(default_factory=lambda: StandIn(day=2))

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.fhir.port}"

    @property
    def unlisted(self) -> str:
        """The same page under an origin that the service does not list."""
        return f"http://localhost:{self.fhir.port}"

    @property
    def settings(self) -> dict[str, Any]:
        """What the page reads before it begins."""
        own = {"service": self.service, "issuer": self.origin, "jku": f"{self.origin}{JWKS}"}
        chart = {"fhir": self.fhir.base, "fhir_token": TOKEN, "patient": PATIENT, "user": "Practitioner/u1"}
        return {**own, **chart, "key": key().as_dict(private=True)}

    def file(self, path: str) -> tuple[int, str, bytes]:
        """Status, media type and content of an address of the page."""
        if path in ("/settings.json", JWKS):
            return 200, "application/json", json.dumps(public(key()) if path == JWKS else self.settings).encode()
        name = PAGE / (path.removeprefix("/") or "index.html")
        if name.parent != PAGE or not name.is_file():
            return 404, "text/plain", b""
        return 200, MEDIA[name.suffix], name.read_bytes()

    def search(self, path: str, form: str, token: str) -> tuple[int, str, bytes]:
        """The same for its FHIR server. form: of a search by POST, "" for what is read by GET."""
        target = f"{path.removesuffix('/_search')}?{form}" if form else path
        status, body, _ = self.fhir.answer(target, token)
        return status, "application/fhir+json", json.dumps(body).encode()

    @property
    def policy(self) -> str:
        """Its page runs its own scripts alone and calls the service and itself."""
        return (
            "default-src 'none'; base-uri 'none'; form-action 'none'; script-src 'self'; style-src 'self'; "
            f"img-src data:; connect-src 'self' {self.service}"
        )


@contextmanager
def running() -> Iterator[Ehr]:
    """An EHR that answers, stopped at the end."""
    held = Ehr()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def _answer(self, form: str) -> None:
            token = self.headers.get("Authorization", "")
            is_fhir = self.path.startswith("/fhir/")
            status, media, content = held.search(self.path, form, token) if is_fhir else held.file(self.path)
            self.send_response(status)
            self.send_header("Content-Type", media)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Security-Policy", held.policy)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        held.fhir.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield held
        finally:
            server.shutdown()
            thread.join(10)
