"""The Merkle tree of RFC 6962 over records: its root, and proofs that a record or an earlier tree is part of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256

HASH_BYTES = 32
_EMPTY = sha256(b"").digest()


def leaf_hash(record: bytes) -> bytes:
    """The hash of a record's bytes."""
    return sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two hashes."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(slots=True)
class Frontier:
    """A tree that grows to the right: of its `size` leaves only the roots of whole subtrees, the largest first."""

    size: int = 0
    roots: list[bytes] = field(default_factory=list)

    def append(self, leaf: bytes) -> None:
        """Add a leaf's hash."""
        size = self.size
        while size & 1:
            leaf = node_hash(self.roots.pop(), leaf)
            size >>= 1
        self.roots.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The root of the tree as it is."""
        if not self.roots:
            return _EMPTY
        found = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            found = node_hash(left, found)
        return found

    def to_bytes(self) -> bytes:
        return b"".join(self.roots)

    @classmethod
    def from_bytes(cls, size: int, held: bytes) -> "Frontier":
        """As to_bytes wrote it; ValueError where the length does not fit the size."""
        if size < 0 or len(held) != HASH_BYTES * size.bit_count():
            raise ValueError("a frontier of another size")
        return cls(size, [held[start : start + HASH_BYTES] for start in range(0, len(held), HASH_BYTES)])


#: The hash of the whole subtree over leaves start (inclusive) to end (exclusive).
Subtree = Callable[[int, int], bytes]


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def over(leaves: list[bytes]) -> Subtree:
    """Subtrees of leaf hashes that are held in memory."""
    return lambda start, end: root_of(leaves[start:end])


def inclusion(place: int, size: int, subtree: Subtree) -> list[bytes]:
    """The audit path of leaf `place` in the tree of the first `size` leaves, from the leaf upwards."""
    start, end, path = 0, size, list[bytes]()
    while end - start > 1:
        middle = start + _split(end - start)
        if place < middle:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(start, middle))
            start = middle
    return path[::-1]


def consistency(earlier: int, size: int, subtree: Subtree) -> list[bytes]:
    """The proof that the tree of the first `earlier` leaves, at least one, is a part of that of the first `size`."""
    start, end, path, whole = 0, size, list[bytes](), True
    while earlier != end:
        middle = start + _split(end - start)
        if earlier <= middle:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(start, middle))
            start, whole = middle, False
    return ([] if whole else [subtree(start, end)]) + path[::-1]


def _split(size: int) -> int:
    """The largest power of two below size, which is at least 2."""
    return 1 << (size - 1).bit_length() - 1
