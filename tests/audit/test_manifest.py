"""Signed manifests: each file of a bundle by its digest, by the ledger's key alone, checked before it is served."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import dsse, manifest, mark, proof, verifier
from audit.events import Kind
from audit.keys import SigningKey
from audit.ledger import Ledger, open_ledger
from audit.manifest import Model
from audit.verify import verify
from features import bundle
from features.errors import BundleError
from features.home import Home, Live, read_live
from serving.store import open_live
from tests.audit.builders import Deployment
from tests.serving.builders import make_live, prior_bundle, promote, trained_bundle

FILES = sorted(bundle.contents(trained_bundle()))
MODEL = Model("1", trained_bundle().digest)


def forged(ledger: Ledger, signer: SigningKey, version: str = "1", **changed: Any) -> None:
    """A later registration of the same version, signed by somebody."""
    said = {**manifest.statement(version, trained_bundle(), "first"), **changed}
    body = {"version": version, "digest": MODEL.digest, "statement": dsse.wrap(said, signer)}
    ledger.append(Kind.MODEL_REGISTERED, body)


def test_the_encoding_that_is_signed_is_the_protocols_example() -> None:
    found = dsse.pae("http://example.com/HelloWorld", b"hello world")
    assert found == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert dsse.pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_the_statement_names_every_file_and_where_the_model_comes_from(ledger: Ledger, folder: Path) -> None:
    said = manifest.check(ledger, MODEL, folder)
    assert [one["name"] for one in said["subject"]] == sorted(path.name for path in folder.iterdir()) == FILES
    assert {one["name"]: one["digest"]["sha256"] for one in said["subject"]}["manifest.json"] == MODEL.digest
    assert said["predicate"]["data"] == [{"use": "training", "name": "random", "courses": 200, "synthetic": True}]
    assert said["predicate"]["spec_fingerprint"] == trained_bundle().spec.fingerprint
    assert (said["predicate"]["version"], said["predicate"]["parent"]) == ("1", None)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("at", [0, -1])
def test_one_flipped_byte_in_any_file_is_named(ledger: Ledger, folder: Path, name: str, at: int) -> None:
    body = bytearray((folder / name).read_bytes())
    body[at] ^= 1
    (folder / name).write_bytes(bytes(body))
    with pytest.raises(BundleError, match="its bytes are not those of the signed manifest") as caught:
        manifest.check(ledger, MODEL, folder)
    assert caught.value.place == name


def test_a_file_too_many_or_too_few_is_named(ledger: Ledger, folder: Path) -> None:
    (folder / "extra.bin").write_bytes(b"")
    with pytest.raises(BundleError, match=r"extra\.bin: the signed manifest does not name the file"):
        manifest.check(ledger, MODEL, folder)
    (folder / "extra.bin").unlink()
    (folder / "hidden").mkdir()
    with pytest.raises(BundleError, match="hidden: the signed manifest does not name the file"):
        manifest.check(ledger, MODEL, folder)
    (folder / "hidden").rmdir()
    (folder / "golden.json").unlink()
    with pytest.raises(BundleError, match=r"golden\.json: the file is missing"):
        manifest.check(ledger, MODEL, folder)


def test_a_statement_by_another_key_is_refused(ledger: Ledger, folder: Path) -> None:
    other = SigningKey(ledger.signer.name, Ed25519PrivateKey.generate())
    forged(ledger, other)
    with pytest.raises(BundleError, match="that of version 1 is not signed by the ledger's key"):
        manifest.check(ledger, MODEL, folder)
    found = verify(ledger)
    assert [(one.code, one.sequence) for one in found.findings] == [("manifest", found.size - 1)]


def test_a_ledger_that_announces_a_key_of_its_own_is_refused(ledger: Ledger, folder: Path) -> None:
    """Whoever can write to the database but has no key cannot make their own key count."""
    other = SigningKey(ledger.signer.name, Ed25519PrivateKey.generate())
    ledger.append(
        Kind.KEY_ROTATED, {"key": str(other.key), "signed_by": str(ledger.signer.key), "signature": "00" * 64}
    )
    record = ledger.last(Kind.KEY_ROTATED)
    assert record is not None
    with pytest.raises(ValueError, match="not signed by the one before"):
        manifest.handed_on(ledger, 1)
    with pytest.raises(BundleError, match="not signed by the ledger's key"):
        manifest.check(ledger, MODEL, folder)


def handed_back(ledger: Ledger, other: SigningKey) -> None:
    """A key of somebody else's, a registration by it, and the home's own key again, signed by that other one."""
    own = str(ledger.signer.key)
    ledger.append(Kind.KEY_ROTATED, {"key": str(other.key), "signed_by": own, "signature": "00" * 64})
    forged(ledger, other)
    signature = other.sign(own.encode()).hex()
    ledger.append(Kind.KEY_ROTATED, {"key": own, "signed_by": str(other.key), "signature": signature})


def test_a_key_that_hands_back_to_the_homes_own_does_not_count(ledger: Ledger, folder: Path) -> None:
    """Whoever can write to the database can sign the home's key, which is no secret, with a key of their own."""
    handed_back(ledger, SigningKey(ledger.signer.name, Ed25519PrivateKey.generate()))
    with pytest.raises(ValueError, match="not signed by the one before"):
        manifest.handed_on(ledger, ledger.records(Kind.MODEL_REGISTERED).__next__().sequence)
    with pytest.raises(BundleError, match="not signed by the ledger's key"):
        manifest.check(ledger, MODEL, folder)


def test_a_ledger_that_begins_with_a_key_of_somebody_elses_is_refused(ledger: Ledger, folder: Path) -> None:
    """Written anew from its first record on, which nobody signs; the home remembers which key it was."""
    manifest.check(ledger, MODEL, folder)
    path = ledger.home.keys / mark.NAME
    other = SigningKey(ledger.signer.name, Ed25519PrivateKey.generate())
    path.write_bytes(path.read_bytes().replace(str(ledger.signer.key).encode(), str(other.key).encode()))
    with pytest.raises(BundleError, match="not signed by the ledger's key"):
        manifest.check(ledger, MODEL, folder)


def test_nothing_is_served_after_a_forged_hand_over_and_back(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    promote(home, trained_bundle())
    with open_ledger(home) as ledger:
        handed_back(ledger, SigningKey(ledger.signer.name, Ed25519PrivateKey.generate()))
    with pytest.raises(BundleError, match="signed manifest: that of version 1 is not signed by the ledger's key"):
        open_live(home)


def test_the_statement_of_another_version_is_refused(ledger: Ledger, folder: Path) -> None:
    forged(ledger, ledger.signer, "2")
    body = dict(ledger.records(Kind.MODEL_REGISTERED).__next__().body)
    ledger.append(Kind.MODEL_REGISTERED, {**body, "version": "2", "digest": MODEL.digest})
    with pytest.raises(BundleError, match="that of version 2 is of another bundle"):
        manifest.check(ledger, Model("2", MODEL.digest), folder)
    with pytest.raises(BundleError, match="the ledger has none of version 3"):
        manifest.check(ledger, Model("3", MODEL.digest), folder)


def test_a_statement_stays_good_after_the_key_was_changed(ledger: Ledger, folder: Path) -> None:
    ledger.rotate_key()
    manifest.check(ledger, MODEL, folder)
    manifest.register(ledger, "2", prior_bundle(), "published-rates")
    assert manifest.signed_statement(ledger, Model("2", prior_bundle().digest))["predicate"]["version"] == "2"
    ledger.rotate_key()
    assert verify(ledger).whole
    made = proof.prove(ledger, 2)
    assert len(made["keys"]) == 3
    assert f"names the {len(FILES)} files" in verifier.check_proof(made)[2]


def test_registering_again_leaves_one_record_and_the_bundle_as_it_is(ledger: Ledger) -> None:
    before = trained_bundle().digest
    manifest.register(ledger, "1", trained_bundle(), "retrain")
    (only,) = ledger.records(Kind.MODEL_REGISTERED)
    assert only.body["kind_of_change"] == "first"
    assert trained_bundle().digest == before


def test_a_registration_without_a_manifest_is_followed_by_one_with_it(small: Deployment) -> None:
    with small.open() as ledger:
        ledger.append(Kind.MODEL_REGISTERED, {"version": "1", "digest": MODEL.digest})
        with pytest.raises(BundleError, match="crs promote --version 1 makes one"):
            manifest.signed_statement(ledger, MODEL)
        manifest.register(ledger, "1", trained_bundle(), "first")
        assert manifest.signed_statement(ledger, MODEL)["predicate"]["bundle"] == MODEL.digest


def test_another_bundle_under_a_registered_number_is_refused(ledger: Ledger) -> None:
    manifest.check_number(ledger, MODEL)
    with pytest.raises(BundleError, match="MLflow's version 1 is not the bundle that the ledger registered"):
        manifest.check_number(ledger, Model("1", prior_bundle().digest))


def test_nothing_is_served_without_a_good_manifest(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    promote(home, trained_bundle())
    assert open_live(home).predictor.digest == MODEL.digest
    with open_ledger(home) as ledger:
        forged(ledger, SigningKey(ledger.signer.name, Ed25519PrivateKey.generate()))
    with pytest.raises(BundleError, match="signed manifest: that of version 1 is not signed") as caught:
        open_live(home)
    assert "\n" not in str(caught.value)
    live = read_live(home)
    make_live(home, Live(live.tag, live.digest, "7"))
    with pytest.raises(BundleError, match="the ledger has none of version 7"):
        open_live(home)


# The stand-alone verifier


@pytest.fixture
def made(ledger: Ledger, tmp_path: Path) -> dict[str, Any]:
    """A proof of the registration."""
    shutil.copytree(
        promote(Home(tmp_path / "other"), trained_bundle()).parent, ledger.home.bentoml / "models/crs-risk/x"
    )
    return proof.prove(ledger, 2)


def test_a_proof_holds_the_statement_and_it_is_checked(made: dict[str, Any], ledger: Ledger) -> None:
    lines = verifier.check_proof(made, str(ledger.signer.key))
    assert lines[1] == f"the manifest of the model {MODEL.digest} is in the proof"
    assert lines[2] == f"the key signed the statement in record 2, which names the {len(FILES)} files of the model"


def test_an_exported_ledger_with_a_forged_statement_is_refused_at_its_record(ledger: Ledger, tmp_path: Path) -> None:
    proof.export(ledger, tmp_path / "good.ndjson")
    assert verifier.main(["ledger", str(tmp_path / "good.ndjson")]) == 0
    forged(ledger, SigningKey(ledger.signer.name, Ed25519PrivateKey.generate()))
    last = ledger.last(Kind.MODEL_REGISTERED)
    assert last is not None
    proof.export(ledger, tmp_path / "ledger.ndjson")
    lines = (tmp_path / "ledger.ndjson").read_bytes().splitlines()
    with pytest.raises(verifier.WrongError, match=f"record {last.sequence}: the statement .* is not signed by the key"):
        verifier.check_ledger(lines)
