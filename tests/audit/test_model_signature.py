"""The signature for OpenSSF's model-signing: the tool itself takes it, and it never says anything but the statement."""

import base64
import json
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from model_signing import hashing, signing, verifying

from audit import dsse, manifest, model_signature, proof, verifier
from audit.events import Kind
from audit.keys import model_key
from audit.ledger import Ledger, open_ledger
from audit.manifest import KEY_FILE, SIGNATURE_FILE, Model
from audit.model_signature import ModelKey
from audit.verify import verify
from features import bundle
from features.errors import BundleError, LedgerError, UsageError
from features.home import Home
from serving.store import open_live
from tests.audit.builders import Deployment
from tests.serving.builders import prior_bundle, promote, trained_bundle

MODEL = Model("1", trained_bundle().digest)
FILES = sorted(bundle.contents(trained_bundle()))
DIGESTS = {name: sha256(body).hexdigest() for name, body in bundle.contents(trained_bundle()).items()}
#: As the verb prints the command: every file counts, those of git, too.
EVERY_FILE = {"paths": (), "ignore_git_paths": False}


def written(folder: Path, ledger: Ledger, model: Model = MODEL) -> Path:
    """A version's signature and key as files."""
    folder.mkdir()
    for name, body in manifest.documents(ledger, model).items():
        (folder / name).write_text(body)
    return folder


def tool_checks(files: Path, papers: Path) -> None:
    """What `model_signing verify key` does; ValueError, or InvalidSignature, where the tool refuses."""
    tool = verifying.Config().use_elliptic_key_verifier(public_key=papers / KEY_FILE)
    tool.set_hashing_config(hashing.Config().set_ignored_paths(**EVERY_FILE)).verify(files, papers / SIGNATURE_FILE)


# What the tool says


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path / "home")
    promote(found, trained_bundle())
    return found


def test_the_tools_own_command_accepts_the_bundle_in_the_model_store_as_the_verb_says(
    crs_audit: Callable[..., str], home: Home, tmp_path: Path
) -> None:
    told = crs_audit("manifest", "--version", "1", "--out", tmp_path / "signed").splitlines()
    assert sorted(path.name for path in (tmp_path / "signed").iterdir()) == [
        "manifest.dsse.json",
        "model-signing.pub",
        "model.sig",
    ]
    with open_ledger(home, writes=False) as ledger:
        record = manifest.registered(ledger, "1")
    assert record is not None
    assert [line for line in told if line.split() == ["registered", "in", "record", str(record.sequence)]]
    words = shlex.split(told[-1])
    assert (words[:3], Path(words[3]).is_relative_to(home.bentoml)) == (["model_signing", "verify", "key"], True)

    def checked() -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=120)

    good = checked()
    assert (good.returncode, good.stdout) == (0, "Verification succeeded\n"), good.stderr
    with (Path(words[3]) / "card.json").open("ab") as file:
        file.write(b" ")
    bad = checked()
    assert bad.returncode == 1
    # How the tool quotes a name depends on the bytes of the digests beside it.
    assert "Hash mismatch for 'card.json'" in bad.stderr.replace("\\", "")


def test_the_tool_names_a_file_that_was_changed_added_or_taken(ledger: Ledger, folder: Path, tmp_path: Path) -> None:
    papers = written(tmp_path / "papers", ledger)
    tool_checks(folder, papers)
    for name in FILES:
        body = (folder / name).read_bytes()
        (folder / name).write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
        with pytest.raises(ValueError, match=rf"Hash mismatch for \\*'{name}"):
            tool_checks(folder, papers)
        (folder / name).unlink()
        with pytest.raises(ValueError, match=rf"Missing files in model 'bundle': {name}"):
            tool_checks(folder, papers)
        (folder / name).write_bytes(body)
    for extra in ("extra.bin", ".gitattributes"):
        (folder / extra).write_bytes(b"")
        with pytest.raises(ValueError, match=rf"Extra files found in model 'bundle': {extra}"):
            tool_checks(folder, papers)
        (folder / extra).unlink()
    tool_checks(folder, papers)


def test_the_tool_refuses_another_key_and_a_changed_signature(ledger: Ledger, folder: Path, tmp_path: Path) -> None:
    papers = written(tmp_path / "papers", ledger)
    good = (papers / KEY_FILE).read_text()
    (papers / KEY_FILE).write_text(ModelKey.of(ec.generate_private_key(ec.SECP256R1())).pem)
    with pytest.raises(ValueError, match="Key mismatch"):
        tool_checks(folder, papers)
    (papers / KEY_FILE).write_text(good)
    held = json.loads((papers / SIGNATURE_FILE).read_text())
    said = base64.b64decode(held["dsseEnvelope"]["payload"]).replace(b"crs-risk-1", b"crs-risk-2")
    held["dsseEnvelope"]["payload"] = base64.b64encode(said).decode()
    (papers / SIGNATURE_FILE).write_text(json.dumps(held))
    with pytest.raises(InvalidSignature):
        tool_checks(folder, papers)


def test_the_tool_would_write_the_same_but_for_the_name_of_the_subject(
    ledger: Ledger, folder: Path, tmp_path: Path
) -> None:
    tool = signing.Config().use_elliptic_key_signer(private_key=ledger.home.keys / "model-signing.key")
    tool.set_hashing_config(hashing.Config().set_ignored_paths(**EVERY_FILE)).sign(folder, tmp_path / "model.sig")
    theirs = json.loads((tmp_path / "model.sig").read_text())
    ours = json.loads(manifest.documents(ledger, MODEL)[SIGNATURE_FILE])
    payloads = [json.loads(base64.b64decode(one["dsseEnvelope"].pop("payload"))) for one in (ours, theirs)]
    assert [one["subject"][0].pop("name") for one in payloads] == ["crs-risk-1", "bundle"]
    assert payloads[0] == payloads[1]
    assert [len(one["dsseEnvelope"]["signatures"].pop().pop("sig")) > 80 for one in (ours, theirs)] == [True, True]
    assert ours == theirs


# The two signatures of a registration cannot disagree


Spoil = Callable[[dict[str, Any], ec.EllipticCurvePrivateKey], dict[str, Any]]


def resigned(private: ec.EllipticCurvePrivateKey, said: dict[str, Any]) -> dict[str, Any]:
    """A sigstore bundle over a statement of somebody's choice."""
    held = model_signature.sign(private, "1", DIGESTS)
    sign: Callable[[bytes], bytes] = lambda message: private.sign(message, model_signature._ECDSA)  # noqa: E731
    return {**held, "dsseEnvelope": dsse.enveloped(said, sign)}


def payload(held: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.b64decode(held["dsseEnvelope"]["payload"]))
    return found


def ignoring(held: dict[str, Any], private: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    said = payload(held)
    said["predicate"]["serialization"]["ignore_paths"] = ["card.json"]
    return resigned(private, said)


def twice(held: dict[str, Any], private: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    first = model_signature.sign(private, "2", DIGESTS)["dsseEnvelope"]["signatures"]
    envelope = {**held["dsseEnvelope"], "signatures": first + held["dsseEnvelope"]["signatures"]}
    return {**held, "dsseEnvelope": envelope}


SPOILT: dict[str, Spoil] = {
    "another key": lambda *_: model_signature.sign(ec.generate_private_key(ec.SECP256R1()), "1", DIGESTS),
    "another version": lambda _, private: model_signature.sign(private, "2", DIGESTS),
    "another digest": lambda _, private: model_signature.sign(private, "1", {**DIGESTS, "card.json": "0" * 64}),
    "a file less": lambda _, private: model_signature.sign(private, "1", dict(list(DIGESTS.items())[1:])),
    "a file that is not looked at": ignoring,
    "a signature before it": twice,
    "another hint": lambda held, _: {
        **held,
        "verificationMaterial": {"publicKey": {"hint": "0" * 64}, "tlogEntries": []},
    },
    "another type": lambda held, _: {**held, "mediaType": "application/json"},
    "another member": lambda held, _: {**held, "messageSignature": {}},
    "nothing": lambda *_: {},
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_registration_whose_signatures_disagree_is_refused_and_found(ledger: Ledger, folder: Path, how: str) -> None:
    record = manifest.registered(ledger, "1")
    assert record is not None
    spoilt = SPOILT[how](dict(record.body["model_signature"]), model_key(ledger.home))
    ledger.append(Kind.MODEL_REGISTERED, {**record.body, "model_signature": spoilt})
    with pytest.raises(BundleError, match=r"that of version 1 is not signed .*, or its two signatures disagree"):
        manifest.check(ledger, MODEL, folder)
    found = verify(ledger)
    assert [(one.code, one.sequence) for one in found.findings] == [("manifest", found.size - 1)]


def test_a_signature_alone_or_a_named_key_alone_is_refused(ledger: Ledger, folder: Path) -> None:
    """Neither can be left out, nor put beside a statement that names no key."""
    record = manifest.registered(ledger, "1")
    assert record is not None
    bare = dsse.wrap(manifest.statement("1", trained_bundle(), "first"), ledger.signer)
    without = {name: part for name, part in record.body.items() if name != "model_signature"}
    for body in ({**record.body, "statement": bare}, without):
        ledger.append(Kind.MODEL_REGISTERED, body)
        with pytest.raises(BundleError, match="its two signatures disagree"):
            manifest.check(ledger, MODEL, folder)
    assert [one.code for one in verify(ledger).findings] == ["manifest", "manifest"]


def test_nothing_is_served_whose_second_signature_is_not_good(home: Home) -> None:
    assert open_live(home).predictor.digest == MODEL.digest
    with open_ledger(home) as ledger:
        record = manifest.registered(ledger, "1")
        assert record is not None
        other = SPOILT["another key"]({}, model_key(home))
        ledger.append(Kind.MODEL_REGISTERED, {**record.body, "model_signature": other})
    with pytest.raises(BundleError, match="its two signatures disagree") as caught:
        open_live(home)
    assert "\n" not in str(caught.value)


@given(st.dictionaries(st.text("abcxyz.-_", min_size=1), st.binary(max_size=9), min_size=1, max_size=6))
def test_a_signature_is_good_for_its_own_files_alone(files: dict[str, bytes]) -> None:
    private = ec.derive_private_key(7, ec.SECP256R1())
    digests = {name: sha256(body).hexdigest() for name, body in files.items()}
    held = json.loads(json.dumps(model_signature.sign(private, "3", digests)))
    key = ModelKey.of(private)
    model_signature.check(held, key, "3", dict(reversed(digests.items())))
    for other in ({**digests, "new": "0" * 64}, dict(list(digests.items())[1:])):
        with pytest.raises(ValueError, match="not of these files"):
            model_signature.check(held, key, "3", other)
    spoilt = held["dsseEnvelope"]["signatures"][0]
    spoilt["sig"] = base64.b64encode(base64.b64decode(spoilt["sig"])[:-1]).decode()
    with pytest.raises(ValueError, match="not signed by the key"):
        model_signature.check(held, key, "3", digests)


# Registrations of earlier releases


def test_a_registration_without_the_second_signature_stays_good_and_gets_one_when_it_is_promoted_again(
    small: Deployment, folder: Path, tmp_path: Path
) -> None:
    with small.open() as ledger:
        said = manifest.statement("1", trained_bundle(), "first")
        head = {"version": "1", "digest": MODEL.digest, "kind_of_change": "first"}
        ledger.append(Kind.MODEL_REGISTERED, {**head, "statement": dsse.wrap(said, ledger.signer)})
        assert manifest.check(ledger, MODEL, folder) == said
        assert verify(ledger).whole
        with pytest.raises(BundleError, match="no signature for model-signing; crs promote --version 1 makes one"):
            manifest.documents(ledger, MODEL)
        manifest.register(ledger, "1", trained_bundle(), "retrain")
        kinds = [one.body["kind_of_change"] for one in ledger.records(Kind.MODEL_REGISTERED)]
        assert kinds == ["first", "first"]
        tool_checks(folder, written(tmp_path / "papers", ledger))
        assert verify(ledger).whole


# The key


def test_the_key_is_for_its_owner_alone_and_one_for_all_versions(ledger: Ledger) -> None:
    path = ledger.home.keys / "model-signing.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    manifest.register(ledger, "2", prior_bundle(), "published-rates")
    keys = {manifest.documents(ledger, one)[KEY_FILE] for one in (MODEL, Model("2", prior_bundle().digest))}
    assert keys == {ModelKey.of(model_key(ledger.home)).pem}


def test_a_change_of_keys_destroys_it_and_leaves_former_signatures_good(
    ledger: Ledger, folder: Path, tmp_path: Path
) -> None:
    before = model_key(ledger.home)
    ledger.rotate_key()
    assert not (ledger.home.keys / "model-signing.key").exists()
    manifest.register(ledger, "2", prior_bundle(), "published-rates")
    second = Model("2", prior_bundle().digest)
    bundle.write(prior_bundle(), tmp_path / "second")
    first_papers, second_papers = written(tmp_path / "1", ledger), written(tmp_path / "2", ledger, second)
    assert (first_papers / KEY_FILE).read_text() == ModelKey.of(before).pem != (second_papers / KEY_FILE).read_text()
    tool_checks(folder, first_papers)
    tool_checks(tmp_path / "second", second_papers)
    manifest.check(ledger, MODEL, folder)
    manifest.check(ledger, second, tmp_path / "second")
    assert verify(ledger).whole


def test_losing_the_key_loses_nothing(ledger: Ledger, folder: Path, tmp_path: Path) -> None:
    (ledger.home.keys / "model-signing.key").unlink()
    tool_checks(folder, written(tmp_path / "papers", ledger))
    manifest.check(ledger, MODEL, folder)
    manifest.register(ledger, "2", prior_bundle(), "published-rates")
    assert verify(ledger).whole


@pytest.mark.parametrize(
    "held",
    [
        b"nothing of the kind\n",
        ModelKey.of(ec.derive_private_key(7, ec.SECP256R1())).pem.encode(),
    ],
)
def test_a_damaged_key_is_one_line_and_nothing_is_registered(ledger: Ledger, held: bytes) -> None:
    (ledger.home.keys / "model-signing.key").write_bytes(held)
    with pytest.raises(LedgerError, match=r"keys/model-signing\.key: it is damaged"):
        manifest.register(ledger, "2", prior_bundle(), "published-rates")
    assert manifest.registered(ledger, "2") is None


def test_a_proof_of_the_registration_names_the_key_file(ledger: Ledger, tmp_path: Path) -> None:
    papers = written(tmp_path / "papers", ledger)
    printed = sha256((papers / KEY_FILE).read_bytes()).hexdigest()
    lines = verifier.check_proof(proof.prove(ledger, 2), str(ledger.signer.key))
    assert f"it names the key file for model-signing, SHA-256 {printed}" in lines
    assert json.loads((papers / SIGNATURE_FILE).read_text())["verificationMaterial"]["publicKey"]["hint"] == printed


# The verb


def test_a_version_outside_the_model_store_is_written_with_its_files(
    crs_audit: Callable[..., str], home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from commands import audit

    with open_ledger(home) as ledger:
        manifest.register(ledger, "2", prior_bundle(), "published-rates")
    fetched = lambda _: lambda which, target: Model(which, bundle.write(prior_bundle(), target))  # noqa: E731
    monkeypatch.setattr(audit, "_fetch", fetched)
    told = crs_audit("manifest", "--version", "2", "--out", tmp_path / "signed")
    assert str(tmp_path / "signed" / "bundle") in told.splitlines()[-1]
    tool_checks(tmp_path / "signed" / "bundle", tmp_path / "signed")
    with pytest.raises(UsageError, match="--out: it exists already"):
        crs_audit("manifest", "--version", "2", "--out", tmp_path / "signed")
    with open_ledger(home, writes=False) as ledger:
        access = ledger.last(Kind.ACCESS)
    assert access is not None
    assert access.body["verb"] == "manifest"
