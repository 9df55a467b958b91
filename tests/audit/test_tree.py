"""The tree of RFC 6962, against an implementation that others wrote."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree, verify_inclusion

from audit.tree import Frontier, consistency, inclusion, leaf_hash, node_hash, over, root_of
from audit.verifier import WrongError, root_by_path

RECORDS = st.lists(st.binary(max_size=12), min_size=1, max_size=70)


def oracle(records: list[bytes]) -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for one in records:
        tree.append_entry(one)
    return tree


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert Frontier().root() == sha256(b"").digest()


@settings(max_examples=60, deadline=None)
@given(RECORDS)
def test_every_root_on_the_way_is_that_of_rfc_6962(records: list[bytes]) -> None:
    tree, frontier = oracle(records), Frontier()
    for size, one in enumerate(records, start=1):
        frontier.append(leaf_hash(one))
        assert frontier.root() == tree.get_root(size)
        assert Frontier.from_bytes(size, frontier.to_bytes()).root() == frontier.root()
        assert len(frontier.roots) == size.bit_count()


@settings(max_examples=60, deadline=None)
@given(RECORDS, st.data())
def test_an_inclusion_proof_leads_to_the_root_and_is_the_one_that_others_make(
    records: list[bytes], data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, len(records)))
    place = data.draw(st.integers(0, size - 1))
    leaves = [leaf_hash(one) for one in records]
    path = inclusion(place, size, over(leaves))
    assert root_by_path(leaves[place], place, size, path) == root_of(leaves[:size])
    theirs = oracle(records).prove_inclusion(place + 1, size)
    assert [leaves[place], *path] == list(theirs.path)
    verify_inclusion(leaves[place], root_of(leaves[:size]), theirs)


def roots_by_path(earlier: int, size: int, root: bytes, path: list[bytes]) -> tuple[bytes, bytes]:
    """The two roots that a consistency proof leads to, as RFC 9162 section 2.1.4.2 has it."""
    held = [root, *path] if earlier & (earlier - 1) == 0 else path
    first, last = earlier - 1, size - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    old = new = held[0]
    for one in held[1:]:
        if first & 1 or first == last:
            old, new = node_hash(one, old), node_hash(one, new)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            new = node_hash(new, one)
        first, last = first >> 1, last >> 1
    assert last == 0
    return old, new


@settings(max_examples=60, deadline=None)
@given(RECORDS, st.data())
def test_a_consistency_proof_leads_to_both_roots(records: list[bytes], data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(records)))
    earlier = data.draw(st.integers(1, size))
    leaves = [leaf_hash(one) for one in records]
    path = consistency(earlier, size, over(leaves))
    old, new = oracle(records).get_root(earlier), oracle(records).get_root(size)
    assert earlier != size or path == []
    assert earlier == size or roots_by_path(earlier, size, old, path) == (old, new)


@settings(max_examples=60, deadline=None)
@given(RECORDS, st.data())
def test_a_proof_of_another_record_place_or_size_does_not_lead_to_the_root(
    records: list[bytes], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(records) - 1))
    leaves = [leaf_hash(bytes([at]) + one) for at, one in enumerate(records)]
    root, path = root_of(leaves), inclusion(place, len(leaves), over(leaves))
    assert root_by_path(leaf_hash(b"other record"), place, len(leaves), path) != root
    for wrong in set(range(len(leaves))) - {place}:
        try:
            assert root_by_path(leaves[place], wrong, len(leaves), path) != root
        except WrongError as error:
            assert "proof" in str(error)  # noqa: PT017


@pytest.mark.parametrize(("size", "held"), [(-1, b""), (1, b""), (2, b"x" * 31), (3, b"x" * 32), (0, b"x" * 32)])
def test_a_frontier_of_another_length_is_refused(size: int, held: bytes) -> None:
    with pytest.raises(ValueError, match="another size"):
        Frontier.from_bytes(size, held)
