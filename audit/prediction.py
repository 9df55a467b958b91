"""The record of one answer: all that a replay needs, and nothing that names a patient.

Numbers come back as the same bits. The row, and what the model said of each outcome, are written as bytes, NaN for what
is not there; the probabilities as decimal text that parses to the same 64-bit number, so that anybody can read them.
"""

import base64
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.events import plain
from features.outcomes import OUTCOME_KEYS
from features.policy import Policy
from features.prior import Prior
from features.rows import Rows

Array = NDArray[np.float64]
_VECTOR = np.dtype("<f4")
_NUMBER = np.dtype("<f8")
#: What a replay computes again, each an (outcomes,) array.
COMPUTED = ("raw", "log_odds", "probabilities", "low", "high")


@dataclass(frozen=True, slots=True)
class Scored:
    """What the model was given for one course and what it said. rows: one row. The arrays are (outcomes,).

    evidence: which published rates the row stands on, as features.prior names them.
    """

    rows: Rows
    evidence: tuple[str, ...]
    raw: Array
    log_odds: Array
    probabilities: Array
    low: Array
    high: Array

    def to_json(self, answered: tuple[bool, ...]) -> dict[str, Any]:
        """answered: which outcomes the answer gives a probability for; of the others it is not recorded."""
        rows = self.rows
        told = np.where(np.array(answered), 1.0, np.nan)
        return {
            **packed(rows.values[0]),
            "prior": _written(rows.prior[0]),
            "begun": _those(rows.begun[0]),
            "reached": _those(rows.reached[0]),
            "row_hours": float(rows.hours[0]),
            "dosing": int(rows.dosing[0]),
            "evidence": list(self.evidence),
            "raw": _written(self.raw),
            "log_odds": _written(self.log_odds),
            "probabilities": named(self.probabilities * told),
            "low": _written(self.low * told),
            "high": _written(self.high * told),
        }


def packed(values: NDArray[np.float32]) -> dict[str, Any]:
    """The row's exact bytes, NaN included. Most of a row is missing, so that its bytes shrink to a sixth."""
    body = zlib.compress(values.astype(_VECTOR, copy=False).tobytes())
    return {"vector": base64.b64encode(body).decode(), "vector_packed": "zlib"}


def vector_bytes(body: Mapping[str, Any]) -> bytes:
    """The row of a record as little-endian 32-bit floats; b"" where the course was not evaluated.

    Here and in what reads a record below: what a damaged one can raise is what audit.damage turns into one line.
    """
    held = base64.b64decode(body.get("vector") or "")
    return zlib.decompress(held) if body.get("vector_packed") == "zlib" else held


def rows_of(body: Mapping[str, Any], prior: Prior) -> Rows:
    """The one row that the model was given; KeyError where the record holds none. prior: of the recorded bundle."""
    return Rows(
        values=np.frombuffer(vector_bytes(body), dtype=_VECTOR).astype(np.float32)[None, :],
        prior=array_of(body["prior"])[None, :],
        hours=np.array([body["row_hours"]], dtype=np.float64),
        dosing=np.array([body["dosing"]], dtype=np.int64),
        evidence=np.array([prior.row_of(body["evidence"])], dtype=np.int64),
        begun=_flags(body["begun"])[None, :],
        reached=_flags(body["reached"])[None, :],
        therapy=(body["therapy"],),
    )


def array_of(written: str | Mapping[str, float]) -> Array:
    """(outcomes,) numbers of a record, given as bytes or by outcome; NaN where one is not there.

    ValueError where the bytes are of another count, or an outcome is not known: a comparison would pass it over.
    """
    if isinstance(written, str):
        found = np.frombuffer(base64.b64decode(written), dtype=_NUMBER).astype(np.float64)
        if found.shape != (len(OUTCOME_KEYS),):
            raise ValueError("not one number per outcome")
        return found
    if not written.keys() <= set(OUTCOME_KEYS):
        raise ValueError("not an outcome")
    return np.array([written.get(key, math.nan) for key in OUTCOME_KEYS], dtype=np.float64)


def readable(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a record with the numbers that are written as bytes told by outcome."""
    written = ("prior", *COMPUTED)
    return {key: named(array_of(value)) if key in written else value for key, value in body.items()}


def policy_id(policy: Policy) -> str:
    """SHA-256 of the bands and the intended use that an answer was given under."""
    return sha256(plain(policy.to_json())).hexdigest()


def named(values: Array) -> dict[str, float]:
    """Numbers by outcome; what is not there is left out."""
    return {key: value for key, value in zip(OUTCOME_KEYS, values.tolist(), strict=True) if not math.isnan(value)}


def _written(values: Array) -> str:
    """(outcomes,) numbers as base64 of their little-endian 64-bit bytes."""
    return base64.b64encode(values.astype(_NUMBER, copy=False).tobytes()).decode()


def _those(flags: NDArray[np.bool_]) -> list[str]:
    return [key for key, flag in zip(OUTCOME_KEYS, flags.tolist(), strict=True) if flag]


def _flags(keys: list[str]) -> NDArray[np.bool_]:
    return np.array([key in keys for key in OUTCOME_KEYS], dtype=np.bool_)
