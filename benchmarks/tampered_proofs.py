"""Tampering with a proof, which whoever hands it over may have put together: not good, whatever was done to it."""

import base64
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tampered import Field, Ground
from tampered_rest import Check, Tally

from audit import dsse, proof, verifier
from audit.events import NO_RECORD, Entry, Kind, encode
from audit.keys import SigningKey
from audit.ledger import opened
from audit.note import Checkpoint, signed
from audit.settings import Settings
from audit.tree import inclusion, leaf_hash, over, root_of
from tests.audit.builders import START
from tests.audit.tampering import flipped

Proof = dict[str, Any]
PARTS = ("record", "path")


def made(ground: Ground, scratch: Path) -> Proof:
    """The proof of an answer, with the registration of its model and two keys; the ground knows the first of them."""
    spoilt = Field(ground, scratch)
    (digest,) = {json.loads(row.record)["body"]["digest"] for row in ground.rows if row.kind == Kind.MODEL_REGISTERED}
    with opened(spoilt.home, Settings()) as ledger:
        place = ledger.append(Kind.PREDICTION, {"bundle": digest}, "of the model").sequence
        return proof.prove(ledger, place)


def problem_of(held: Any, key: str) -> str:
    """What the verifier says against a proof; "" where it is good."""
    try:
        verifier.check_proof(held, key)
    except verifier.WrongError as error:
        return str(error)
    return ""


def flips(ground: Ground, scratch: Path, chosen: random.Random) -> list[str]:
    """Every byte of a proof's file, by three amounts: not good, or no JSON any more."""
    tally, whole = Tally("a byte of a proof's file"), json.dumps(made(ground, scratch)).encode()
    if problem_of(json.loads(whole), ground.key):
        tally.note(False, "the proof as it was made")
    for spot in range(len(whole)):
        for bits in (1, 0x20, chosen.randint(1, 255)):
            try:
                held = json.loads(flipped(whole, spot, bits))
            except ValueError:
                held = None
            tally.note(held is None or problem_of(held, ground.key) != "", f"byte {spot} by {bits}")
    return tally.told()


def put_together(ground: Ground, scratch: Path, _: random.Random) -> list[str]:
    """Parts left out, emptied, exchanged, and made by somebody with a key of their own: not good, in one line."""
    tally, whole = Tally("a proof put together anew"), made(ground, scratch)
    for name, held in (*left_out(whole), *exchanged(whole), *forged(whole, ground.key)):
        said = problem_of(json.loads(json.dumps(held)), ground.key)
        tally.note(said != "" and "\n" not in said, f"{name}: {said or 'good'}")
    return tally.told()


def left_out(whole: Proof) -> Iterator[tuple[str, Proof]]:
    for name in whole:
        yield f"without {name}", {one: whole[one] for one in whole if one != name}
        # That the model store lacked the bundle is what a manifest of None says, and the verifier repeats it.
        nothing = ("", [], {}) if name == "manifest" else ("", [], {}, None)
        yield from ((f"{name} emptied", {**whole, name: empty}) for empty in nothing)
    for place in range(len(whole["keys"])):
        keys = [one for at, one in enumerate(whole["keys"]) if at != place]
        yield f"without key {place}", {**whole, "keys": keys}


def exchanged(whole: Proof) -> Iterator[tuple[str, Proof]]:
    """Each part in the place of each other, whole, its record alone and its path alone."""
    parts = {("record", 0): {name: whole[name] for name in PARTS}, ("registration", 0): whole["registration"]}
    parts |= {("keys", place): one for place, one in enumerate(whole["keys"])}
    for into, held in parts.items():
        for source, other in parts.items():
            if into != source:
                for names in (PARTS, *((name,) for name in PARTS)):
                    changed = {**held, **{name: other[name] for name in names}}
                    yield f"{names} of {source} as {into}", put(whole, into, changed)


def put(whole: Proof, into: tuple[str, int], part: Proof) -> Proof:
    name, place = into
    if name == "record":
        return {**whole, **part}
    if name == "registration":
        return {**whole, name: part}
    return {**whole, name: [*whole[name][:place], part, *whole[name][place + 1 :]]}


def forged(whole: Proof, first: str) -> Iterator[tuple[str, Proof]]:
    """By somebody with a key of their own, under the ledger's name. first: the key that the auditor kept."""
    own, true = SigningKey.new(first.split("+")[0]), whole["key"]
    record = json.loads(whole["registration"]["record"])
    said = json.loads(base64.b64decode(record["body"]["statement"]["payload"]))
    said["predicate"]["model_signing_key"] = "SOMEBODY'S"
    record["body"]["statement"] = dsse.wrap(said, own)
    registration = {**whole["registration"], "record": json.dumps(record, sort_keys=True, separators=(",", ":"))}
    yield "a registration by an own key", {**whole, "registration": registration}
    announced = {"key": str(own.key)}, {"key": true, "signature": own.sign(true.encode()).hex()}
    lines = {
        "an own key alone": announced[:1],
        "an own key that signs the true one": announced,
        "the first key, an own one after it": ({"key": first}, {"key": str(own.key), "signature": "00" * 64}),
        "an own key, the first, the true": (announced[0], {"key": first, "signature": own.sign(first.encode()).hex()}),
        "the first key alone": ({"key": first},),
    }
    for name, bodies in lines.items():
        entries = [Entry(Kind.KEY_ROTATED, body) for body in bodies]
        held = of_own([*entries, Entry(Kind.MODEL_REGISTERED, record["body"]), answer(whole)], own)
        yield name, held
        yield f"{name}, the true checkpoint", {**held, "checkpoint": whole["checkpoint"], "key": true}
        yield f"{name}, the true record", {**whole, "keys": held["keys"], "registration": held["registration"]}


def answer(whole: Proof) -> Entry:
    return Entry(Kind.PREDICTION, json.loads(whole["record"])["body"])


def of_own(entries: list[Entry], own: SigningKey) -> Proof:
    """A proof of the last of some records, all of it as it should be, under a checkpoint of somebody's own."""
    records, previous = list[bytes](), NO_RECORD
    for place, one in enumerate(entries):
        records.append(encode(one, place, START, previous))
        previous = leaf_hash(records[-1]).hex()
    leaves = [leaf_hash(one) for one in records]
    size = len(leaves)
    parts = [
        {"record": one.decode(), "path": [step.hex() for step in inclusion(place, size, over(leaves))]}
        for place, one in enumerate(records)
    ]
    note = signed(Checkpoint(own.key.name, size, root_of(leaves)), own)
    carried = {"registration": parts[-2], "keys": parts[:-2], "key": str(own.key), "checkpoint": note, "manifest": None}
    return {"format": proof.FORMAT, **parts[-1], **carried}


PROOFS: tuple[Check, ...] = (flips, put_together)
