"""How deep and how large the JSON of a body is, before anything decodes it: a few passes over the bytes."""

import numpy as np
from numpy.typing import NDArray

from serving.refusal import too_deep, too_many_entries

#: Of each byte: by how much it nests deeper, and whether it begins an entry.
_STEP = np.zeros(256, np.int8)
_STEP[list(b"[{")], _STEP[list(b"]}")] = 1, -1
_ENTRY = np.zeros(256, np.bool_)
_ENTRY[list(b"[{,")] = True


def check(body: bytes, depth: int, entries: int) -> None:
    """Refusal where brackets nest deeper than `depth`, or commas and openings are more than `entries`."""
    outside = _outside_strings(body)
    deepest = int(np.cumsum(_STEP[outside], dtype=np.int32).max(initial=0))
    if deepest > depth:
        raise too_deep(depth)
    if int(np.count_nonzero(_ENTRY[outside])) > entries:
        raise too_many_entries(entries)


def _outside_strings(body: bytes) -> NDArray[np.uint8]:
    r"""(n,) bytes outside of strings. Of backslashes, pairs go first: one that is left stands before a quote.

    Up to the first mistake of a body that is not JSON this is exact, and no decoder reads on from there.
    """
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    seen = np.frombuffer(body, np.uint8)
    return seen[~np.logical_xor.accumulate(seen == ord('"'))]
