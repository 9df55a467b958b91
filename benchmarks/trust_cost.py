"""What it costs to know who calls: one admission beside a bare check of its signature, in one run.

Bare: the signature alone, by `cryptography`, over bytes that are ready. joserfc: the token read and verified, no claim
looked at. Believe: all checks of a token, without the book of calls. Admit: the whole of it, the book on disk included.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc import jws
from joserfc.util import urlsafe_b64decode

from serving.trust import scan
from serving.trust.gatekeeper import Gatekeeper
from serving.trust.jwks import Key
from serving.trust.token import presented, read, registry
from tests.serving.trust.issuing import claims, header, issuer, key, public, scope, sign, trust

CALLS = 1000


def bare(token: str, by: Key) -> Callable[[], None]:
    """The check of that token's signature and nothing else."""
    signed, _, text = token.rpartition(".")
    signature, body = urlsafe_b64decode(text.encode()), signed.encode()
    secret = by.get_op_key("verify")
    if by.key_type == "RSA":
        return lambda: secret.verify(signature, body, padding.PKCS1v15(), hashes.SHA384())
    half = len(signature) // 2
    pair = (int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
    form = encode_dss_signature(*pair)
    return lambda: secret.verify(form, body, ec.ECDSA(hashes.SHA384()))


def spent(work: list[Callable[[], object]]) -> tuple[float, float]:
    """Median and 99th percentile in milliseconds."""
    times = []
    for one in work:
        began = time.perf_counter()
        one()
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times), statistics.quantiles(times, n=100)[-1]


async def awaited(work: list[Callable[[], Awaitable[object]]]) -> tuple[float, float]:
    times = []
    for one in work:
        began = time.perf_counter()
        await one()
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times), statistics.quantiles(times, n=100)[-1]


async def measure(algorithm: str, kind: str, folder: Path) -> None:
    by = key(kind)
    tokens = [sign(claims(), header(alg=algorithm, kid=by.kid), by) for _ in range(2 * CALLS)]
    held = issuer(keys=tuple(public(by)["keys"]), calls_per_minute=1_000_000, burst=1_000_000)
    keeper = Gatekeeper(trust(held), folder)
    allowed = registry(keeper.settings.tokens.algorithms)
    await keeper.admit(scope(sign(claims(), header(alg=algorithm, kid=by.kid), by)))

    def believe(token: str) -> Awaitable[None]:
        return keeper._believe(read(presented(scope(token)), allowed), "/predict")

    half = tokens[:CALLS]
    floor = spent([bare(token, by) for token in half])
    rows = {
        "bare signature": floor,
        "joserfc": spent([lambda token=token: jws.deserialize_compact(token, by, [algorithm]) for token in half]),
        "believe": await awaited([lambda token=token: believe(token) for token in half]),
        "admit": await awaited([lambda token=token: keeper.admit(scope(token)) for token in tokens[CALLS:]]),
    }
    for name, (median, worst) in rows.items():
        print(f"{algorithm:6} {name:15} p50 {median:7.3f} ms  p99 {worst:7.3f} ms  {median / floor[0]:5.2f} x bare")
    keeper.book.close()


def measure_scan() -> None:
    """The scan of a body beside its decoding."""
    import msgspec

    one = {"code": "crp", "value": 12.5, "unit": "mg/L", "hours": 23.25}
    for count in (50, 2000, 100_000):
        body = msgspec.json.encode({"observations": [one] * count})
        scanned = spent([lambda body=body: scan.check(body, 32, 10_000_000)] * 20)
        decoded = spent([lambda body=body: msgspec.json.decode(body)] * 20)
        print(f"scan of {len(body):9,} bytes  p50 {scanned[0]:7.3f} ms  {scanned[0] / decoded[0]:5.2f} x decoding")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for algorithm, kind in (("ES384", "P-384"), ("RS384", "RSA")):
            asyncio.run(measure(algorithm, kind, Path(folder) / kind))
    measure_scan()


if __name__ == "__main__":
    main()
