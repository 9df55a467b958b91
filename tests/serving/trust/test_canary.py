"""Every error path over real HTTP, with planted patients' values and tokens, and a look into all that comes out."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.serving.builders import EXAMPLE, Reply, Server, example, with_course
from tests.serving.test_service import BAD, CANARY, NUMBER
from tests.serving.trust.issuing import BASE, claims, header, key, sign
from tests.serving.trust.served import OTHER, failing_server, trusting_home
from tests.serving.trust.test_token import FAULTS
from tests.serving.trust.worker_that_fails import FAILS

pytestmark = pytest.mark.slow


class Watched:
    """A server, the answers it gave and the tokens it was sent."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.told: list[Reply] = []
        self.tokens: list[str] = []

    def call(
        self, path: str = "/predict", body: Any = b"", token: str | None = None, method: str = "POST", **headers: str
    ) -> tuple[int, str]:
        """Status and code of the answer."""
        stated = {"Authorization": f"Bearer {token}"} if token else {}
        self.tokens += [token] if token else []
        self.told.append(self.server.call(method, path, body, {**stated, **headers}))
        return self.told[-1].status, self.told[-1].json.get("error", {}).get("code", "")

    def signed(self, path: str = "/predict", body: Any = b"", **more: Any) -> tuple[int, str]:
        token = sign(claims(aud=BASE + path.split("?")[0], sub=CANARY, jti=f"{CANARY}-{len(self.tokens)}"))
        return self.call(path, body, token, **more)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("canary")
    server = failing_server(trusting_home(folder), folder)
    try:
        yield Watched(server.wait_until_ready())
    finally:
        server.stop()


def slowly(server: Server, token: str) -> bytes:
    """A call whose body stops in the middle; what came back."""
    head = (
        f"POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f'Content-Length: 100\r\n\r\n{{"course": "{CANARY}"'
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        line.sendall(head.encode())
        return line.recv(65_536)


def test_no_error_path_lets_a_patients_value_or_a_token_out(watched: Watched) -> None:
    assert watched.signed(body=with_course(id=CANARY)) == (200, "")
    for body, status, code in BAD:
        assert watched.signed(body=body) == (status, code)
    assert watched.signed(body=f'{{"{CANARY}": {"[" * 50}'.encode()) == (400, "too-deep")
    assert watched.signed(body=f'["{CANARY}",{"0," * 100_001}'.encode()) == (413, "too-many-entries")
    assert watched.signed(body=EXAMPLE, **{"Content-Type": f"text/{CANARY}"}) == (415, "media-type-not-accepted")
    assert watched.signed(body=EXAMPLE, **{"Content-Encoding": CANARY}) == (415, "media-type-not-accepted")
    assert watched.signed(f"/{CANARY}?mrn={CANARY}", EXAMPLE) == (404, "not-found")
    assert watched.signed(f"/predict?mrn={CANARY}", EXAMPLE) == (200, "")
    assert watched.signed(f"/predict?mrn={CANARY}", method="DELETE") == (405, "method-not-allowed")
    assert watched.signed(body=with_course(id=f"{FAILS}{CANARY}")) == (500, "internal-error")
    assert watched.signed("/grade", {"id": CANARY, "crs": {"temperature_c": NUMBER}})[0] == 422
    assert watched.call(body=example(), Origin=f"https://{CANARY}.example") == (403, "not-allowed")
    assert watched.signed("/outcomes", {"outcomes": [CANARY]}) == (403, "not-allowed")
    tokens_that_are_refused(watched)
    calls_that_are_too_many(watched)
    late = sign(claims(sub=CANARY))
    answer = slowly(watched.server, late)
    assert answer.startswith(b"HTTP/1.1 408 ")
    nothing_got_out(watched, answer, late)


def tokens_that_are_refused(watched: Watched) -> None:
    for make, _reason in FAULTS.values():
        assert watched.call(body=with_course(id=CANARY), token=make()) == (401, "not-signed-in")
    used = sign(claims(jti=CANARY))
    assert watched.call(body=EXAMPLE, token=used) == (200, "")
    assert watched.call(body=EXAMPLE, token=used) == (401, "not-signed-in")


def calls_that_are_too_many(watched: Watched) -> None:
    access = sign(claims(iss=OTHER, aud=BASE, sub=CANARY), header(kid=key(name="login").kid), key(name="login"))
    told = [watched.call(body=EXAMPLE, token=access) for _ in range(3)]
    assert told == [(200, ""), (200, ""), (429, "too-many-calls")]
    assert 1 <= int(watched.told[-1].headers["retry-after"]) <= 30


def nothing_got_out(watched: Watched, *more: Any) -> None:
    """Only an answer that was given may hold the course's id, which the caller had stated there."""
    server = watched.server
    errors = [one for one in watched.told if one.status >= 400]
    answers = b"".join(one.body + str(dict(one.headers)).encode() for one in errors) + more[0]
    metrics = server.call(
        "GET", "/metrics", headers={"Authorization": f"Bearer {sign(claims(aud=f'{BASE}/metrics'))}"}
    ).body
    disk = b"".join(path.read_bytes() for path in server.log.parent.rglob("*") if path.is_file())
    everything = answers + metrics + disk + server.printed.encode()
    assert b"POST /predict 500" in everything
    assert b"not-signed-in signature-wrong iss=https://ehr.hospital.example" in everything
    assert CANARY.encode() not in everything
    assert str(NUMBER).encode() not in everything
    assert b"Traceback" not in everything
    for token in (*watched.tokens, more[1]):
        for piece in token.split("."):
            assert len(piece) < 20 or piece.encode() not in everything


def test_every_refused_sign_in_is_answered_with_the_same_words(watched: Watched) -> None:
    told = []
    for make, _reason in FAULTS.values():
        watched.call(body=EXAMPLE, token=make())
        told.append(watched.told[-1])
    assert {one.status for one in told} == {401}
    assert {one.headers["www-authenticate"] for one in told} == {"Bearer"}
    assert len({one.body for one in told}) == 1
