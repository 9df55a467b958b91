"""A proof may be put together by an attacker: nothing in it counts but what its checkpoint signs."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from audit import dsse, manifest, proof, verifier
from audit.events import NO_RECORD, Entry, Kind, encode
from audit.keys import SigningKey
from audit.ledger import Ledger
from audit.note import Checkpoint, signed
from audit.tree import inclusion, leaf_hash, over, root_of
from audit.verifier import FIELDS, WrongError, check_ledger, check_proof
from features import bundle
from features.errors import LedgerError
from features.home import BUNDLE_FOLDER, MODEL_NAME, Home
from tests.audit.builders import START, Deployment
from tests.audit.tampering import flipped
from tests.serving.builders import prior_bundle, trained_bundle

DIGEST, FILES = prior_bundle().digest, bundle.contents(prior_bundle())
Made = dict[str, Any]


@pytest.fixture
def held(small: Deployment) -> Iterator[Ledger]:
    """Two keys, two models, an answer of the first model by the second key; that model lies in the model store."""
    folder = small.home.bentoml / "models" / MODEL_NAME / "tag" / BUNDLE_FOLDER
    folder.parent.mkdir(parents=True)
    bundle.write(prior_bundle(), folder)
    with small.open() as ledger:
        manifest.register(ledger, "1", prior_bundle(), "first")
        ledger.rotate_key()
        manifest.register(ledger, "2", trained_bundle(), "retrain")
        ledger.append(Kind.PREDICTION, {"bundle": DIGEST, "probability": 0.5}, "answer")
        yield ledger


def of_answer(ledger: Ledger) -> Made:
    record = ledger.find("answer")
    assert record is not None
    return proof.prove(ledger, record.sequence)


def keys_of(ledger: Ledger) -> list[str]:
    return [str(one.body["key"]) for one in ledger.records(Kind.KEY_ROTATED)]


def other_key(ledger: Ledger) -> SigningKey:
    """Somebody else's, under the ledger's own name."""
    return SigningKey.new(ledger.signer.name)


# What a good one says


def test_a_proof_carries_the_registration_and_every_change_of_keys_under_one_checkpoint(held: Ledger) -> None:
    made = of_answer(held)
    assert made.keys() == FIELDS
    assert json.loads(made["registration"]["record"])["body"]["digest"] == DIGEST
    carried = [json.loads(one["record"]) for one in made["keys"]]
    assert [(one["kind"], one["body"]["key"]) for one in carried] == [("key.rotated", key) for key in keys_of(held)]
    named = json.loads(base64.b64decode(json.loads(made["registration"]["record"])["body"]["statement"]["payload"]))
    pem = named["predicate"]["model_signing_key"]
    assert check_proof(json.loads(json.dumps(made)), made["key"])[1:] == [
        f"the manifest of the model {DIGEST} is in the proof",
        f"the key signed the statement in record 2, which names the {len(FILES)} files of the model",
        f"it names the key file for model-signing, SHA-256 {sha256(pem.encode()).hexdigest()}",
        "the key is the expected one",
    ]


def test_a_proof_of_the_registration_itself_needs_no_other(held: Ledger) -> None:
    made, answer = proof.prove(held, 2), of_answer(held)
    assert made["registration"] is None
    assert check_proof(made)[1:4] == check_proof(answer)[1:4]


def test_what_the_model_store_and_an_early_registration_lack_is_said(small: Deployment) -> None:
    with small.open() as ledger:
        ledger.append(Kind.MODEL_REGISTERED, {"version": "1", "digest": DIGEST})
        ledger.append(Kind.PREDICTION, {"bundle": DIGEST}, "answer")
        made = of_answer(ledger)
    assert made["manifest"] is None
    assert check_proof(made)[1:3] == [
        f"the manifest of the model {DIGEST} is not in the proof",
        "record 2 registers the model without a signed statement of its files",
    ]


def test_a_record_of_a_model_that_was_never_registered_is_not_proved(small: Deployment) -> None:
    with small.open() as ledger:
        ledger.append(Kind.PREDICTION, {"bundle": DIGEST}, "answer")
        with pytest.raises(LedgerError, match="record 2: the ledger has no registration of the model that it names"):
            of_answer(ledger)
        manifest.register(ledger, "1", prior_bundle(), "first")
        assert check_proof(of_answer(ledger))[0].startswith("record 2 (prediction, ")


@pytest.mark.parametrize("spoilt", [{"body": [1]}, {"kind": "none"}, {"time": "x"}])
def test_a_damaged_record_is_one_line(small: Deployment, held: Ledger, spoilt: Made) -> None:
    record = held.find("answer")
    assert record is not None
    with small.engine().begin() as connection:
        connection.execute(sa.text("DROP TRIGGER ledger_no_update"))
        stored = json.loads(held.bytes_at(record.sequence) or b"")
        changed = {"record": json.dumps({**stored, **spoilt}).encode(), "place": record.sequence}
        connection.execute(sa.text("UPDATE ledger_records SET record = :record WHERE sequence = :place"), changed)
    with pytest.raises(LedgerError, match=rf"^record {record.sequence}: it, or a record that its proof needs, is dam"):
        proof.prove(held, record.sequence)


# What somebody without the key can put together


def forged_registration(made: Made, signer: SigningKey) -> Made:
    """The carried registration with false digests and another key for model-signing, signed by somebody."""
    record = json.loads(made["registration"]["record"])
    said = json.loads(base64.b64decode(record["body"]["statement"]["payload"]))
    for one in said["subject"]:
        if one["name"] != "manifest.json":
            one["digest"]["sha256"] = "ab" * 32
    said["predicate"]["model_signing_key"] = "SOMEBODY'S PEM"
    record["body"]["statement"] = dsse.wrap(said, signer)
    return {**made["registration"], "record": json.dumps(record, sort_keys=True, separators=(",", ":"))}


def announced(made: Made, key: str, signature: bytes) -> Made:
    """A change of keys that nobody recorded, on the path of a true one."""
    record = {**json.loads(made["keys"][-1]["record"]), "body": {"key": key, "signature": signature.hex()}}
    return {**made["keys"][-1], "record": json.dumps(record, sort_keys=True, separators=(",", ":"))}


def test_a_statement_by_a_key_of_ones_own_that_signs_the_true_key_is_not_good(held: Ledger) -> None:
    """It once was: a key that anybody made was believed if it 'handed over' to the true one."""
    made, own = of_answer(held), other_key(held)
    backwards = [announced(made, str(own.key), b""), announced(made, made["key"], own.sign(made["key"].encode()))]
    forged = {**made, "manifest": None, "registration": forged_registration(made, own)}
    for keys in (backwards, made["keys"]):
        with pytest.raises(WrongError, match="is not part of the ledger that the checkpoint signs"):
            check_proof({**forged, "keys": keys}, made["key"])


def by_hand(signer: SigningKey, *entries: tuple[Kind, Made]) -> Made:
    """A proof of the last of some records, under a checkpoint that is truly signed, whatever stands in them."""
    records, leaves = list[bytes](), list[bytes]()
    for place, (kind, body) in enumerate(entries):
        records.append(encode(Entry(kind, body), place, START, leaves[-1].hex() if leaves else NO_RECORD))
        leaves.append(leaf_hash(records[-1]))
    size = len(leaves)

    def carried(place: int) -> Made:
        path = inclusion(place, size, over(leaves))
        return {"record": records[place].decode(), "path": [one.hex() for one in path]}

    places = {kind: [at for at, one in enumerate(entries) if one[0] is kind] for kind, _ in entries}
    return {
        "format": proof.FORMAT,
        **carried(size - 1),
        "registration": carried(places[Kind.MODEL_REGISTERED][-1]),
        "keys": [carried(place) for place in places[Kind.KEY_ROTATED]],
        "key": str(signer.key),
        "checkpoint": signed(Checkpoint(signer.key.name, size, root_of(leaves)), signer),
        "manifest": None,
    }


def test_a_key_that_was_written_into_the_ledger_makes_no_proof_good() -> None:
    """The true key signs over all of it, so that the paths are good; not so the signatures between the keys."""
    true, own = SigningKey.new("crs-risk/0"), SigningKey.new("crs-risk/0")
    first = (Kind.KEY_ROTATED, {"key": str(true.key)})
    handed = (Kind.KEY_ROTATED, {"key": str(own.key), "signature": true.sign(str(own.key).encode()).hex()})
    claimed = (Kind.KEY_ROTATED, {"key": str(own.key), "signature": "00" * 64})
    back = (Kind.KEY_ROTATED, {"key": str(true.key), "signature": own.sign(str(true.key).encode()).hex()})
    said = dsse.wrap(manifest.statement("1", prior_bundle(), "first"), own)
    model = (Kind.MODEL_REGISTERED, {"version": "1", "digest": DIGEST, "statement": said})
    answer = (Kind.PREDICTION, {"bundle": DIGEST})
    # Where the true key did hand over, and was handed back to, the statement counts.
    told = check_proof(by_hand(true, first, handed, model, back, answer), str(true.key))
    assert told[2] == f"the key signed the statement in record 2, which names the {len(FILES)} files of the model"
    with pytest.raises(WrongError, match=r"^record 1: the new key is damaged, or not signed by the one before it$"):
        check_proof(by_hand(true, first, claimed, model, back, answer), str(true.key))
    with pytest.raises(WrongError, match=r"^the keys: the checkpoint's is not the last of them$"):
        check_proof(by_hand(true, first, handed, model, answer), str(true.key))
    with pytest.raises(WrongError, match=r"^record 1: the statement of the model's files is not signed by the key$"):
        check_proof(by_hand(true, first, model, answer), str(true.key))


def test_a_line_of_keys_counts_in_one_direction_alone() -> None:
    """Old signs new. A key of anybody's that 'hands over' to the true one says nothing."""
    true, own = SigningKey.new("crs-risk/0"), SigningKey.new("crs-risk/0")
    over_to = lambda old, new: {"key": str(new.key), "signature": old.sign(str(new.key).encode()).hex()}  # noqa: E731
    model = (Kind.MODEL_REGISTERED, {"version": "1", "digest": DIGEST})
    backwards = (Kind.KEY_ROTATED, {"key": str(own.key)}), (Kind.KEY_ROTATED, over_to(own, true)), model
    forwards = (Kind.KEY_ROTATED, {"key": str(true.key)}), (Kind.KEY_ROTATED, over_to(own, own)), model
    answer = (Kind.PREDICTION, {"bundle": DIGEST})
    with pytest.raises(WrongError, match=r"^the checkpoint is not signed by the key$"):
        check_proof({**by_hand(own, *backwards, answer), "key": str(true.key)}, str(true.key))
    with pytest.raises(WrongError, match=r"^the keys: the checkpoint's is not the last of them$"):
        check_proof(by_hand(own, *backwards, answer), str(true.key))
    with pytest.raises(WrongError, match=r"^record 1: the new key is damaged, or not signed by the one before it$"):
        check_proof(by_hand(own, *forwards, answer), str(true.key))


def test_a_statement_by_another_key_in_a_signed_ledger_is_not_good(held: Ledger) -> None:
    said, own = manifest.statement("1", prior_bundle(), "first"), other_key(held)
    body = {"version": "1", "digest": DIGEST, "statement": dsse.wrap(said, own)}
    place = held.append(Kind.MODEL_REGISTERED, body).sequence
    with pytest.raises(WrongError, match=f"^record {place}: the statement of the model's files is not signed by the k"):
        check_proof(of_answer(held))


def test_a_manifest_of_other_files_than_the_statement_is_not_good(held: Ledger) -> None:
    said = manifest.statement("1", prior_bundle(), "first")
    said["subject"][0]["digest"]["sha256"] = "ab" * 32
    body = {"version": "1", "digest": DIGEST, "statement": dsse.wrap(said, held.signer)}
    place = held.append(Kind.MODEL_REGISTERED, body).sequence
    with pytest.raises(WrongError, match=f"^record {place}: the manifest and the signed statement do not name the sam"):
        check_proof(of_answer(held))


@pytest.mark.parametrize("name", sorted(FIELDS - {"format"}))
def test_a_proof_that_lacks_a_part_is_not_good(held: Ledger, name: str) -> None:
    made = of_answer(held)
    with pytest.raises(WrongError, match=f"^the proof lacks, or has besides: {name}$"):
        check_proof({one: made[one] for one in made if one != name})
    for empty in ([], "", {}) if name == "manifest" else (None, [], "", {}):
        with pytest.raises(WrongError):
            check_proof({**made, name: empty})


SPOILS: dict[str, tuple[str, Callable[[Made], Any]]] = {
    "no registration": ("registration of its model is missing", lambda made: made.update(registration=None)),
    "no first key": ("it is not the next change of keys", lambda made: made["keys"].pop(0)),
    "no last key": ("the checkpoint's is not the last of them", lambda made: made["keys"].pop()),
    "a key twice": ("it is not the next change of keys", lambda made: made["keys"].append(made["keys"][-1])),
    "a record for a key": ("it is not the next change of keys", lambda made: made["keys"].append(one_of(made))),
    "path of a key": ("is not part of", lambda made: made["keys"][1].update(path=made["keys"][0]["path"])),
    "path of the registration": ("is not part of", lambda made: made["registration"].update(path=made["path"])),
    "path of the record": ("is not part of", lambda made: made.update(path=made["registration"]["path"])),
    "short path": ("is not part of", lambda made: made["registration"]["path"].pop()),
    "long path": ("is not part of", lambda made: made["registration"]["path"].append("00" * 32)),
    "the answer as its registration": ("not the registration", lambda made: made.update(registration=one_of(made))),
    "another manifest": (
        "is not that of the model",
        lambda made: made.update(manifest=base64.b64encode(b"{}").decode()),
    ),
    "a field too many": ("has besides: more", lambda made: made.update(more="")),
    "a field too many in a part": ("cannot be read", lambda made: made["registration"].update(more="")),
}


def one_of(made: Made) -> Made:
    return {name: made[name] for name in ("record", "path")}


@pytest.mark.parametrize("name", list(SPOILS))
def test_a_part_that_does_not_fit_is_named(held: Ledger, name: str) -> None:
    made = json.loads(json.dumps(of_answer(held)))
    problem, spoil = SPOILS[name]
    spoil(made)
    with pytest.raises(WrongError, match=problem) as caught:
        check_proof(made)
    assert "\n" not in str(caught.value)


def test_the_registration_of_another_model_is_not_good(held: Ledger) -> None:
    made, other = of_answer(held), manifest.registered(held, "2")
    assert other is not None
    of_other = proof.prove(held, other.sequence)
    assert of_other["checkpoint"] == made["checkpoint"]
    with pytest.raises(WrongError, match=f"^record {other.sequence}: it is not the registration of the model {DIGEST}"):
        check_proof({**made, "registration": one_of(of_other)})
    with pytest.raises(WrongError, match="the registration of its model is missing, or of no use"):
        check_proof({**of_other, "registration": made["registration"]})


def test_a_flip_of_any_byte_of_a_proof_is_not_good(held: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    made, key = json.dumps(of_answer(held)).encode(), str(held.signer.key)
    monkeypatch.setattr(verifier, "signed_by", cache(verifier.signed_by))  # the same signatures, over and over
    assert check_proof(json.loads(made), key)[-1] == "the key is the expected one"
    good = []
    for at in range(len(made)):
        for bits in (1, 0x20):
            try:
                spoilt = json.loads(flipped(made, at, bits))
            except ValueError:
                continue  # "cannot be read", exit code 2
            with suppress(WrongError):
                good.append((at, bits, check_proof(spoilt, key)))
    assert good == []


def test_a_base64_text_that_only_decodes_to_the_same_bytes_is_not_good() -> None:
    """Bits that base64 leaves out could else be changed unseen."""
    assert verifier.exact("QQ==") == base64.b64decode("QR==") == b"A"
    with pytest.raises(ValueError, match="not base64"):
        verifier.exact("QR==")


def test_a_proof_of_the_earlier_form_has_to_be_made_anew(
    held: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = of_answer(held)
    old = {name: made[name] for name in ("record", "path", "checkpoint", "key")}
    file = tmp_path / "proof.json"
    file.write_text(json.dumps({"format": "crs-risk proof 1", **old, "manifest": "", "statement_keys": []}))
    assert verifier.main(["proof", str(file)]) == 1
    said = capsys.readouterr().out
    assert said == "NOT GOOD: the proof is not of the form 'crs-risk proof 2': have it made anew with crs audit prove\n"


# Which key an auditor may have kept


def test_every_key_that_was_ever_printed_finds_a_proof_good(held: Ledger) -> None:
    held.rotate_key()
    first, second, third = keys_of(held)
    for sequence in range(held.append(Kind.HEARTBEAT, {}).sequence):
        made = proof.prove(held, sequence)
        assert made["key"] == third
        assert check_proof(made, third)[-1] == "the key is the expected one"
        for kept in (first, second):
            assert check_proof(made, f"{kept}\n")[-1] == f"the expected key handed over to {third}"


def test_a_proof_from_before_a_change_of_keys_is_good_by_the_keys_of_then(held: Ledger) -> None:
    made = of_answer(held)
    held.rotate_key()
    first, second, third = keys_of(held)
    assert check_proof(made, second)[-1] == "the key is the expected one"
    assert check_proof(made, first)[-1] == f"the expected key handed over to {second}"
    with pytest.raises(
        WrongError, match="the expected one is another key than the checkpoint's, and did not hand over"
    ):
        check_proof(made, third)


def test_a_key_that_is_not_in_the_line_is_not_good(held: Ledger) -> None:
    with pytest.raises(
        WrongError, match="the expected one is another key than the checkpoint's, and did not hand over"
    ):
        check_proof(of_answer(held), str(other_key(held).key))


# The clock


def test_a_clock_that_goes_back_in_small_steps_is_found_in_an_export() -> None:
    """Compared with the record before it alone, a clock went back by minutes without a word."""
    key, lines, previous = str(SigningKey.new("crs-risk/0").key), list[bytes](), NO_RECORD
    for place in range(6):
        entry = Entry(Kind.HEARTBEAT, {}) if place else Entry(Kind.KEY_ROTATED, {"key": key})
        lines.append(encode(entry, place, START - timedelta(seconds=place * 0.4), previous))
        previous = leaf_hash(lines[-1]).hex()
    assert check_ledger(lines[:3])[0].startswith("3 records follow one another")
    with pytest.raises(WrongError, match=r"^record 3: its time is before that of a record before it$"):
        check_ledger(lines)


# The export that an auditor takes away


@pytest.fixture
def home(small: Deployment) -> Home:
    """For `crs_audit`."""
    return small.home


@pytest.mark.usefixtures("held")
def test_the_newest_copy_is_good_for_an_export_that_was_made_last(
    crs_audit: Callable[..., str], home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A verb that signs a checkpoint after the export makes a copy of more records than the export holds."""
    export = tmp_path / "ledger.ndjson"

    def checked() -> int:
        newest = max(home.checkpoints.iterdir())
        return verifier.main(["ledger", str(export), "--key", crs_audit("key").strip(), "--checkpoint", str(newest)])

    crs_audit("export", "--out", export)
    crs_audit("prove", "answer", "--out", tmp_path / "proof.json")
    assert checked() == 0
    crs_audit("export", "--format", "parquet", "--out", tmp_path / "ledger.parquet")
    assert checked() == 1
    assert "the ledger ends here" in capsys.readouterr().out
    crs_audit("export", "--out", export)
    assert checked() == 0
