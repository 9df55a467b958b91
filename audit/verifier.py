#!/usr/bin/env python3
"""Checks a proof or an exported ledger of CRS Risk. One file, nothing but Python's standard library.

    python verifier.py proof PROOF.json [--key KEY]
    python verifier.py ledger LEDGER.ndjson [--key KEY] [--checkpoint FILE ...] [--record SEQUENCE:HASH ...]

KEY is the line that `crs audit key` printed, now or before the key was changed; without it, the key that the file names
is believed. A checkpoint is a copy that was kept outside; a record is the receipt of an answer. Exit code 0: all of it
holds. 1: something does not, and the first line says what and where. 2: the call or a file cannot be read. Nothing here
is shared with the service.
"""

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

Point = tuple[int, int, int, int]
Receipts = Sequence[tuple[int, str]]
moment = datetime.fromisoformat
BELIEVED = "the key was not given and is believed: "
FORMAT = "crs-risk proof 2"
FIELDS = {"format", "record", "path", "registration", "keys", "key", "checkpoint", "manifest"}

# Ed25519, RFC 8032 section 5.1.7: verification only, on public data, so that its timing does not matter.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
ZERO = (0, 1, 1, 0)


def add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(number: int, p: Point) -> Point:
    result = ZERO
    while number:
        if number & 1:
            result = add(result, p)
        p = add(p, p)
        number >>= 1
    return result


def decompressed(raw: bytes) -> Point | None:
    """The point of 32 bytes, None where they are none."""
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if len(raw) != 32 or y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


BASE = decompressed((4 * pow(5, P - 2, P) % P).to_bytes(32, "little")) or ZERO


def signed_by(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature is good."""
    a, r = decompressed(public), decompressed(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or len(signature) != 64 or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    p, q = times(s, BASE), add(r, times(k, a))
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


class WrongError(Exception):
    """What does not hold, and where."""


def sha256(*parts: bytes) -> bytes:
    """A leaf's hash is of a zero byte and the record, a node's of a one byte and the two below it."""
    return hashlib.sha256(b"".join(parts)).digest()


def exact(text: str) -> bytes:
    """The bytes of a base64 text; ValueError where it is not the one text that stands for them."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("not base64")
    return raw


def key_of(line: str) -> tuple[str, bytes]:
    """Name and 32 bytes of a public key's line."""
    name, shown, body = line.strip().split("+", 2)
    raw = exact(body)
    if len(raw) != 33 or raw[0] != 1 or sha256(name.encode(), b"\n", raw)[:4].hex() != shown:
        raise ValueError("not a key")
    return name, raw[1:]


def checkpoint_of(note: str, key: str) -> tuple[int, bytes]:
    """Size and root of a signed note; WrongError where the key did not sign it."""
    name, public = key_of(key)
    text, _, lines = note.partition("\n\n")
    origin, size, root = text.split("\n")
    mark = sha256(name.encode(), b"\n\x01", public)[:4]
    for line in lines.split("\n"):
        signer, _, body = line.rpartition(" ")
        if signer == f"— {name}" and name == origin:
            held = exact(body)
            if held[:4] == mark and signed_by(public, (text + "\n").encode(), held[4:]):
                return int(size), exact(root)
    raise WrongError("the checkpoint is not signed by the key")


def root_by_path(leaf: bytes, place: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to, RFC 9162 section 2.1.3.2."""
    if not 0 <= place < size:
        raise WrongError(f"record {place} does not lie in a tree of {size}")
    first, last = place, size - 1
    for one in path:
        if last == 0:
            raise WrongError("the inclusion proof is too long")
        if first & 1 or first == last:
            leaf = sha256(b"\x01", one, leaf)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            leaf = sha256(b"\x01", leaf, one)
        first, last = first >> 1, last >> 1
    if last:
        raise WrongError("the inclusion proof is too short")
    return leaf


def check_proof(proof: dict[str, Any], key: str | None = None) -> list[str]:
    """Check a proof; returns what it proves as lines of text.

    Each record that it carries has to be in the ledger that its one checkpoint signs: the proven one, the changes of
    keys from the first on, and the registration of the model that the proven one names. WrongError where one is missing
    or does not fit: nothing that a proof lacks is passed over.
    """
    with readable("the proof"):
        if proof["format"] != FORMAT:
            raise WrongError(f"the proof is not of the form {FORMAT!r}: have it made anew with crs audit prove")
        if proof.keys() != FIELDS:
            raise WrongError(f"the proof lacks, or has besides: {', '.join(sorted(FIELDS ^ proof.keys()))}")
    with readable("the checkpoint"):
        tree = checkpoint_of(proof["checkpoint"], proof["key"])
    held = included({name: proof[name] for name in ("record", "path")}, tree, "the record")
    line = line_of(proof["keys"], tree)
    trust = trusted(key, proof["key"], [one for _, one in line])
    about = f"record {held['sequence']} ({held['kind']}, {held['time']})"
    with readable(f"record {held['sequence']}"):
        model = model_lines(proof, held, tree, line)
    return [f"{about} is in the signed ledger of {tree[0]} records", *model, trust]


def included(one: dict[str, Any], tree: tuple[int, bytes], what: str) -> dict[str, Any]:
    """A record whose path leads to the root of a tree, given as size and root."""
    with readable(what):
        if one.keys() != {"record", "path"} or any(step != step.lower() or len(step) != 64 for step in one["path"]):
            raise ValueError("other fields, or other hashes")
        record, path = one["record"].encode(), [bytes.fromhex(step) for step in one["path"]]
        held = parsed(record)
        if not leads(sha256(b"\x00", record), held["sequence"], tree, path):
            raise WrongError(f"{what}: record {held['sequence']} is not part of the ledger that the checkpoint signs")
    return held


def leads(leaf: bytes, place: int, tree: tuple[int, bytes], path: Sequence[bytes]) -> bool:
    try:
        return root_by_path(leaf, place, tree[0], path) == tree[1]
    except WrongError:
        return False


def line_of(carried: Sequence[dict[str, Any]], tree: tuple[int, bytes]) -> list[tuple[int, str]]:
    """Place and text of each key that a ledger announced, from its first record on, each signed by the one before."""
    line = list[tuple[int, str]]()
    with readable("the keys"):
        for number, one in enumerate(carried):
            held = included(one, tree, f"key {number}")
            place, (last, old) = held["sequence"], line[-1] if line else (-1, None)
            if held["kind"] != "key.rotated" or place <= last or (old is None and place > 0):
                raise WrongError(f"record {place}: it is not the next change of keys")
            line.append((place, handed_over(held["body"], old, place)))
    return line


def trusted(expected: str | None, last: str, line: Sequence[str]) -> str:
    """Why the checkpoint's key counts: it is the expected one, or one to which that handed over, old signing new."""
    if last not in line[-1:]:
        raise WrongError("the keys: the checkpoint's is not the last of them")
    if not expected:
        return BELIEVED + last
    if expected.strip() not in line:
        raise WrongError("the keys: the expected one is another key than the checkpoint's, and did not hand over to it")
    return "the key is the expected one" if expected.strip() == last else f"the expected key handed over to {last}"


def model_lines(
    proof: dict[str, Any], held: dict[str, Any], tree: tuple[int, bytes], line: Sequence[tuple[int, str]]
) -> list[str]:
    """What its registration says of the model that a record names; none where it names none."""
    digest, carried = held["body"].get("bundle", held["body"].get("digest")), proof["registration"]
    own = held["kind"] == "model.registered"
    if (carried is None) != (own or not digest):
        raise WrongError(f"record {held['sequence']}: the registration of its model is missing, or of no use")
    if not digest:
        if proof["manifest"] is not None:
            raise WrongError(f"record {held['sequence']}: a manifest is there, but it names no model")
        return []
    named = held if own else included(carried, tree, "the registration")
    where = f"record {named['sequence']}"
    with readable(where):
        if (named["kind"], named["body"].get("digest")) != ("model.registered", digest):
            raise WrongError(f"{where}: it is not the registration of the model {digest}")
        return statement_lines(proof["manifest"], named, [one for place, one in line if place < named["sequence"]][-1])


def statement_lines(manifest: str | None, named: dict[str, Any], key: str) -> list[str]:
    """What a registration, which is in the signed ledger, says of a model's files. key: the one in force there."""
    where, digest = f"record {named['sequence']}", named["body"]["digest"]
    body = b"" if manifest is None else exact(manifest)
    if manifest is not None and sha256(body).hex() != digest:
        raise WrongError("the manifest is not that of the model which the record names")
    what = "is not in the proof" if manifest is None else "is in the proof"
    lines = [f"the manifest of the model {digest} {what}"]
    if "statement" not in named["body"]:
        return [*lines, f"{where} registers the model without a signed statement of its files"]
    files = files_of(named["body"]["statement"], key, digest, f"{where}: ")
    if body and files != {**json.loads(body)["files"], "manifest.json": digest}:
        raise WrongError(f"{where}: the manifest and the signed statement do not name the same files")
    lines.append(f"the key signed the statement in {where}, which names the {len(files)} files of the model")
    return [*lines, *model_signing_key(named["body"]["statement"])]


def files_of(envelope: dict[str, Any], key: str, digest: str, where: str = "") -> dict[str, str]:
    """Name and SHA-256 of each file that a signed statement (DSSE, in-toto) names; it has to be of that model."""
    try:
        kind, payload = envelope["payloadType"].encode(), exact(envelope["payload"])
        signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
        signatures = [exact(one["sig"]) for one in envelope["signatures"]]
        good = any(signed_by(key_of(key)[1], signed, one) for one in signatures)
        what = "of another model" if good else "not signed by the key"
        files = {one["name"]: one["digest"]["sha256"] for one in json.loads(payload)["subject"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WrongError(f"{where}the statement of the model's files is damaged") from error
    if not good or files.get("manifest.json") != digest:
        raise WrongError(f"{where}the statement of the model's files is {what}")
    return files


def model_signing_key(envelope: dict[str, Any]) -> list[str]:
    """A line on the key that a statement, which was found good, names for OpenSSF's model-signing; none without one."""
    named = json.loads(base64.b64decode(envelope["payload"]))["predicate"].get("model_signing_key", "")
    return [f"it names the key file for model-signing, SHA-256 {sha256(named.encode()).hex()}"] if named else []


class Tree:
    """roots: of whole subtrees, from the left."""

    def __init__(self) -> None:
        self.size, self.roots = 0, list[bytes]()

    def append(self, leaf: bytes) -> None:
        size = self.size
        while size & 1:
            leaf, size = sha256(b"\x01", self.roots.pop(), leaf), size >> 1
        self.roots.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        found = self.roots[-1] if self.roots else sha256()
        for left in self.roots[-2::-1]:
            found = sha256(b"\x01", left, found)
        return found


def check_ledger(
    lines: Iterable[bytes], key: str | None = None, checkpoints: Sequence[str] = (), receipts: Receipts = ()
) -> list[str]:
    """Check an exported ledger, a record a line; returns what holds as lines of text."""
    tree, previous, time, signed = Tree(), "0" * 64, "", 0
    newest = float("-inf")
    now: str | None = None
    signers: set[str] = set()
    copies = [(note, int(note.split("\n")[1])) for note in checkpoints]
    kept = dict(receipts)
    for record in lines:
        place = tree.size
        check_copies(copies, now, tree)
        with readable(f"record {place}"):
            held = parsed(record)
            if held["sequence"] != place or held["previous"] != previous:
                raise WrongError(f"record {place}: it does not follow the record before it")
            at = moment(held["time"]).timestamp()
            if at < newest - 1:  # not the record before it alone: small steps back add up
                raise WrongError(f"record {place}: its time is before that of a record before it")
            if held["kind"] == "key.rotated":
                now = handed_over(held["body"], now, place)
            elif held["kind"] == "checkpoint":
                signers.add(agrees(held["body"]["note"], now, tree, "the checkpoint"))
                signed = place
            elif held["kind"] == "model.registered" and "statement" in held["body"]:
                files_of(held["body"]["statement"], now or "", held["body"]["digest"], f"record {place}: ")
        leaf = sha256(b"\x00", record)
        if kept.get(place, leaf.hex()) != leaf.hex():
            raise WrongError(f"record {place}: it is not the one of the receipt")
        tree.append(leaf)
        previous, time, newest = leaf.hex(), held["time"], max(newest, at)
    check_copies(copies, now, tree)
    most = max([size for _, size in copies] + [place + 1 for place in kept], default=0)
    if most > tree.size:
        raise WrongError(f"record {tree.size}: the ledger ends here, but there were {most} records")
    if now is None or (key and key.strip() not in signers):
        raise WrongError(f"record {tree.size}: no checkpoint is signed by the key that is expected")
    return [
        f"{tree.size} records follow one another; the last is of {time}",
        f"a signed checkpoint vouches for the first {signed}",
        "the key is the expected one" if key else BELIEVED + now.strip(),
    ]


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Whatever a record, or a part of a proof, lacks, it is told at its place."""
    try:
        yield
    except (ValueError, KeyError, IndexError, AttributeError, TypeError, RecursionError) as error:
        raise WrongError(f"{what}: it cannot be read") from error


def parsed(record: bytes) -> dict[str, Any]:
    held: dict[str, Any] = json.loads(record)
    if held.keys() == {"sequence", "previous", "kind", "time", "body", "event_id"} and moment(held["time"]):
        return held
    raise ValueError("other fields")


def check_copies(copies: Sequence[tuple[str, int]], key: str | None, tree: Tree) -> None:
    for note in [note for note, size in copies if size == tree.size]:
        agrees(note, key, tree, "the checkpoint that was kept outside")


def agrees(note: str, key: str | None, tree: Tree, what: str) -> str:
    """The key that signed the note, which has to be over exactly the records so far."""
    try:
        found = None if key is None else checkpoint_of(note, key)
    except (WrongError, ValueError, IndexError) as error:
        raise WrongError(f"record {tree.size}: {what} is damaged, or not signed by the key") from error
    if key is None or found != (tree.size, tree.root()):
        raise WrongError(f"record {tree.size}: {what} signs other records than those before it")
    return key.strip()


def handed_over(body: dict[str, Any], old: str | None, place: int) -> str:
    """The new key, which the old one has to sign."""
    try:
        new = str(body["key"])
        good = old is None or signed_by(key_of(old)[1], new.encode(), bytes.fromhex(body["signature"]))
        if good and key_of(new)[0] == key_of(old or new)[0]:
            return new
        raise ValueError("not handed over")
    except (ValueError, KeyError, TypeError) as error:
        raise WrongError(f"record {place}: the new key is damaged, or not signed by the one before it") from error


def main(words: Sequence[str] | None = None) -> int:
    asked = argparse.ArgumentParser(description="Checks a proof or an exported ledger of CRS Risk.")
    asked.add_argument("what", choices=["proof", "ledger"])
    asked.add_argument("file")
    asked.add_argument("--key", help="the line that `crs audit key` printed")
    asked.add_argument("--checkpoint", action="append", default=[], help="a checkpoint that was kept outside")
    asked.add_argument("--record", action="append", default=[], help="the receipt of an answer, SEQUENCE:HASH")
    given = asked.parse_args(words)
    try:
        with Path(given.file).open("rb") as file:
            if given.what == "proof":
                told = check_proof(json.load(file), given.key)
            else:
                notes = [Path(path).read_text(encoding="utf-8") for path in given.checkpoint]
                receipts = [(int(one.split(":")[0]), one.split(":")[1]) for one in given.record]
                told = check_ledger((line.rstrip(b"\n") for line in file), given.key, notes, receipts)
    except WrongError as error:
        print(f"NOT GOOD: {error}")
        return 1
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        print(f"cannot be read: {type(error).__name__}", file=sys.stderr)
        return 2
    print("\n".join(["GOOD", *told]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
