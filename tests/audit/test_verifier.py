"""The stand-alone verifier: it shares nothing with the service, and agrees with it."""

import ast
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import manifest, proof, verifier
from audit.events import Kind
from audit.keys import signing_key
from audit.verifier import WrongError, check_ledger, check_proof, signed_by
from features.home import Home
from tests.audit.builders import Deployment, fill
from tests.audit.tampering import flipped
from tests.serving.builders import prior_bundle

FILE = Path(verifier.__file__)


@pytest.fixture
def lines(small: Deployment) -> list[bytes]:
    """An exported ledger with a change of keys."""
    with small.open() as ledger:
        fill(ledger, 4)
        ledger.checkpoint()
        ledger.rotate_key()
        fill(ledger, 6)
        ledger.append(Kind.HEARTBEAT, {})
        proof.export(ledger, small.home.folder / "ledger.ndjson")
    return (small.home.folder / "ledger.ndjson").read_bytes().splitlines()


@pytest.fixture
def notes(small: Deployment, lines: list[bytes]) -> list[str]:
    assert lines
    return [path.read_text() for path in sorted(small.home.checkpoints.iterdir())]


def test_it_needs_python_and_nothing_else() -> None:
    tree = ast.parse(FILE.read_text())
    named = {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
    named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in named} <= sys.stdlib_module_names


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80), st.integers(0, 63))
def test_its_signatures_are_those_of_a_library(seed: bytes, message: bytes, at: int) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = key.public_key().public_bytes_raw(), key.sign(message)
    assert signed_by(public, message, signature)
    assert not signed_by(public, message + b"x", signature)
    assert not signed_by(public, message, signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :])


def test_the_first_vector_of_rfc_8032_holds() -> None:
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    signature = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert signed_by(public, b"", signature)


def test_a_whole_export_is_good_by_either_key_and_by_its_copies(
    small: Deployment, lines: list[bytes], notes: list[str]
) -> None:
    first = json.loads(lines[0])["body"]["key"]
    last = str(signing_key(small.home).key)
    assert first != last
    for key in (first, last):
        assert check_ledger(lines, key, notes)[0].startswith(f"{len(lines)} records follow one another")


def test_a_foreign_key_is_not_good(lines: list[bytes], tmp_path: Path) -> None:
    other = Deployment(Home(tmp_path / "other"), "")
    with other.open() as ledger:
        foreign = str(ledger.signer.key)
    with pytest.raises(WrongError, match="no checkpoint is signed by the key"):
        check_ledger(lines, foreign)


def damaged(lines: list[bytes]) -> dict[str, tuple[list[bytes], int]]:
    """Name -> what was done, and the record that has to be named."""
    return {
        "deleted": (lines[:3] + lines[4:], 3),
        "inserted": (lines[:3] + lines[2:], 3),
        "swapped": ([*lines[:3], lines[4], lines[3], *lines[5:]], 3),
        "changed": ([*lines[:3], lines[3].replace(b'"place":1', b'"place":7'), *lines[4:]], 4),
        "no JSON": ([*lines[:3], b"{", *lines[4:]], 3),
        "key cut off": (lines[1:], 0),
    }


@pytest.mark.parametrize("name", ["deleted", "inserted", "swapped", "changed", "no JSON", "key cut off"])
def test_what_was_done_to_an_export_is_found_at_its_place(lines: list[bytes], name: str) -> None:
    spoilt, place = damaged(lines)[name]
    assert spoilt != lines
    with pytest.raises(WrongError, match=f"^record {place}: "):
        check_ledger(spoilt)


@pytest.mark.parametrize("name", ["digest", "statement", "note", "body", "kind"])
def test_a_record_that_lacks_what_its_kind_needs_is_named(small: Deployment, name: str) -> None:
    """A registration without its digest once ended the check without a place."""
    with small.open() as ledger:
        manifest.register(ledger, "1", prior_bundle(), "first")
        ledger.checkpoint()
        whole = [row.record for row in ledger.stored()]
    place = 1 if name == "note" else 2
    spoilt = whole[place].replace(f'"{name}":'.encode(), f'"{name[1:]}":'.encode(), 1)
    assert spoilt != whole[place]
    with pytest.raises(WrongError, match=f"^record ({place}|{place + 1}): "):
        check_ledger([*whole[:place], spoilt, *whole[place + 1 :]])


def test_a_cut_tail_is_found_by_a_copy_or_by_a_receipt(lines: list[bytes], notes: list[str]) -> None:
    check_ledger(lines[:5])
    with pytest.raises(WrongError, match="the ledger ends here"):
        check_ledger(lines[:5], checkpoints=notes)
    with pytest.raises(WrongError, match="the ledger ends here"):
        check_ledger(lines[:5], receipts=[(9, "0" * 64)])
    with pytest.raises(WrongError, match="not the one of the receipt"):
        check_ledger(lines, receipts=[(2, "0" * 64)])


def test_a_flipped_byte_of_an_export_is_found_at_its_record_or_the_next(lines: list[bytes]) -> None:
    chosen = random.Random(7)
    for place, line in enumerate(lines[:-3]):
        for at in chosen.sample(range(len(line)), 12):
            spoilt = flipped(line, at)
            with pytest.raises(WrongError, match=f"^record ({place}|{place + 1}): "):
                check_ledger([*lines[:place], spoilt, *lines[place + 1 :]])


def test_every_record_can_be_proved_by_itself(small: Deployment, lines: list[bytes]) -> None:
    with small.open() as ledger:
        for sequence in range(len(lines)):
            made = json.loads(json.dumps(proof.prove(ledger, sequence)))
            assert check_proof(made)[0].startswith(f"record {sequence} (")
            assert check_proof(made, made["key"])[-1] == "the key is the expected one"


Spoil = Callable[[dict[str, str | list[str]]], None]
SPOILS: dict[str, Spoil] = {
    "record": lambda made: made.update(record=str(made["record"]).replace('"place":1', '"place":2')),
    "path": lambda made: made.update(path=["00" * 32, *made["path"][1:]]),
    "short path": lambda made: made.update(path=list(made["path"][1:])),
    "root": lambda made: made.update(checkpoint=str(made["checkpoint"]).replace("\n", "\n1", 1)),
}


@pytest.mark.parametrize("name", list(SPOILS))
def test_a_spoilt_proof_is_not_good(small: Deployment, name: str) -> None:
    with small.open() as ledger:
        fill(ledger, 5)
        made = proof.prove(ledger, 3)
    check_proof(made)
    SPOILS[name](made)
    with pytest.raises(WrongError):
        check_proof(made)


def test_a_proof_by_another_key_than_the_expected_one_is_not_good(small: Deployment) -> None:
    with small.open() as ledger:
        made = proof.prove(ledger, 0)
    with pytest.raises(WrongError, match="another key"):
        check_proof(made, "crs-risk/x+00000000+AA==")


def test_it_runs_as_one_file_far_from_the_repository(small: Deployment, lines: list[bytes], tmp_path: Path) -> None:
    alone = tmp_path / "verifier.py"
    alone.write_bytes(FILE.read_bytes())
    spoilt = tmp_path / "spoilt.ndjson"
    spoilt.write_bytes(b"\n".join(lines[:3] + lines[4:]) + b"\n")

    def run(file: Path) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-I", str(alone), "ledger", str(file)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    good, bad = run(small.home.folder / "ledger.ndjson"), run(spoilt)
    assert (good.returncode, good.stdout.splitlines()[0]) == (0, "GOOD")
    assert (bad.returncode, bad.stdout) == (1, "NOT GOOD: record 3: it does not follow the record before it\n")
    assert run(tmp_path / "none").returncode == 2
