"""A bundle: plain files, whole or not at all, and refused if one byte is not what its manifest says."""

import ast
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features import bundle
from features.bundle import MANIFEST, Bundle
from features.errors import BundleError
from tests.builders import prior_only_bundle, trained_bundle

FEATURES = Path(bundle.__file__).parent
NAMES = [
    "calibration.json",
    "card.json",
    "golden.json",
    "intervals.json",
    "manifest.json",
    "model-crs_1plus.ubj",
    "model-crs_3plus.ubj",
    "model-icans_2plus.ubj",
    "policy.json",
    "spec.json",
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A written bundle that no test changes."""
    folder = tmp_path_factory.mktemp("bundles") / "trained"
    bundle.write(trained_bundle(), folder)
    return folder


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def refused(folder: Path, digest: str | None = None) -> str:
    """The one line with which reading is refused."""
    with pytest.raises(BundleError) as caught:
        bundle.read(folder, digest)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a file and write the manifest anew, as one who may write to the folder could."""
    body = json.loads(path.read_bytes())
    change(body)
    path.write_text(json.dumps(body), encoding="utf-8")
    sign_again(path.parent)


def sign_again(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["files"] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name != MANIFEST
    }
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


# Round trip


@pytest.mark.parametrize("build", [trained_bundle, prior_only_bundle])
def test_what_is_written_is_read(build: Callable[[], Bundle], tmp_path: Path) -> None:
    before = build()
    digest = bundle.write(before, tmp_path / "one")
    after = bundle.read(tmp_path / "one", digest)
    assert after.digest == before.digest == digest
    assert bundle.write(after, tmp_path / "two") == digest
    for name in ("evidence", "boosters", "calibration", "policy", "golden", "card"):
        assert getattr(after, name) == getattr(before, name)
    assert after.spec.columns == before.spec.columns
    assert {key: after.about[key] for key in before.about} == before.about


def test_the_digest_is_that_of_the_manifest_on_disk(written: Path) -> None:
    assert hashlib.sha256((written / MANIFEST).read_bytes()).hexdigest() == trained_bundle().digest


def test_the_folder_holds_these_files_and_the_manifest_names_each(written: Path) -> None:
    assert sorted(path.name for path in written.iterdir()) == NAMES
    assert sorted([*json.loads((written / MANIFEST).read_bytes())["files"], MANIFEST]) == NAMES


def test_files_are_plain_json_without_nan(written: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for path in written.glob("*.json"):
        json.loads(path.read_bytes(), parse_constant=refuse)


# Damage


@pytest.mark.parametrize("name", NAMES)
def test_one_changed_byte_anywhere_is_refused(name: str, copy: Path) -> None:
    digest, path = trained_bundle().digest, copy / name
    original = path.read_bytes()
    stride = max(1, len(original) // 60)
    for position in {*range(0, len(original), stride), len(original) - 1}:
        for flip in (0x01, 0x80):
            changed = bytearray(original)
            changed[position] ^= flip
            path.write_bytes(changed)
            assert refused(copy, digest).startswith(f"{name}: ")
    path.write_bytes(original)
    assert bundle.read(copy, digest).digest == digest


@pytest.mark.parametrize("name", [name for name in NAMES if name != MANIFEST])
@pytest.mark.parametrize("change", [lambda body: body[:-1], lambda body: body + b"\n", lambda _: b""])
def test_a_shorter_or_longer_file_is_refused_even_without_a_known_digest(
    name: str, change: Callable[[bytes], bytes], copy: Path
) -> None:
    (copy / name).write_bytes(change((copy / name).read_bytes()))
    assert refused(copy).startswith(f"{name}: the bytes do not match")


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_refused(name: str, copy: Path) -> None:
    (copy / name).unlink()
    assert refused(copy).startswith(f"{name}: the file ")


@pytest.mark.parametrize("name", ["model-icans_3plus.ubj", "extra.pkl", "note.txt"])
def test_a_file_too_many_is_refused(name: str, copy: Path) -> None:
    (copy / name).write_bytes(b"x")
    assert refused(copy).startswith(f"{name}: the file is not in the manifest")


def test_a_folder_too_many_is_refused(copy: Path) -> None:
    (copy / "more").mkdir()
    assert refused(copy).startswith("more: the file is not in the manifest")


def test_a_file_outside_the_folder_cannot_be_named(copy: Path) -> None:
    outside = copy.parent / "outside.json"
    outside.write_text("{}")
    manifest = json.loads((copy / MANIFEST).read_bytes())
    manifest["files"]["../outside.json"] = hashlib.sha256(b"{}").hexdigest()
    (copy / MANIFEST).write_text(json.dumps(manifest))
    assert refused(copy).startswith("../outside.json: the file is missing")


def test_another_digest_than_the_promoted_one_is_refused(written: Path) -> None:
    assert "not the one that was promoted" in refused(written, "0" * 64)


def test_a_bundle_signed_anew_has_another_digest(copy: Path) -> None:
    change_json(copy / "card.json", lambda body: body.update(name="other"))
    assert bundle.read(copy).digest != trained_bundle().digest
    assert "not the one that was promoted" in refused(copy, trained_bundle().digest)


@pytest.mark.parametrize("content", [b"", b"not json", b"\xff\xfe", b"[1, 2]", b"null", b'"text"'])
def test_a_manifest_that_is_no_manifest_is_refused(content: bytes, copy: Path) -> None:
    (copy / MANIFEST).write_bytes(content)
    assert refused(copy).startswith("manifest.json: ")


@pytest.mark.parametrize("listed", [None, [], "files"])
def test_a_manifest_without_a_list_of_files_is_refused(listed: object, copy: Path) -> None:
    manifest = json.loads((copy / MANIFEST).read_bytes())
    (copy / MANIFEST).write_text(json.dumps({**manifest, "files": listed}))
    assert "there is no list of files" in refused(copy)


@pytest.mark.parametrize("number", [0, 1, None, "2"])
def test_another_format_is_refused(number: object, copy: Path) -> None:
    manifest = json.loads((copy / MANIFEST).read_bytes())
    (copy / MANIFEST).write_text(json.dumps({**manifest, "format": number}))
    assert refused(copy).startswith("manifest.json: the format is not 2")


SHAPES = ("[]", "{}", "3", '{"crs_1plus": {"intercept": 0}}')


@pytest.mark.parametrize(
    ("name", "content"),
    [
        # No calibration at all is a whole file: every answer then comes from the prior.
        *(("calibration.json", shape) for shape in SHAPES if shape != "{}"),
        *(("policy.json", shape) for shape in SHAPES),
        *(("spec.json", shape) for shape in SHAPES),
    ],
)
def test_a_well_signed_file_of_another_shape_is_refused(name: str, content: str, copy: Path) -> None:
    (copy / name).write_text(content)
    sign_again(copy)
    assert "lacks a part" in refused(copy)


@pytest.mark.parametrize(
    "name", ["calibration.json", "golden.json", "intervals.json", "card.json", "policy.json", "spec.json"]
)
def test_a_well_signed_file_that_is_not_json_is_refused(name: str, copy: Path) -> None:
    (copy / name).write_text("{")
    sign_again(copy)
    assert refused(copy).startswith(f"{name}: the file is not JSON")


def test_columns_changed_under_a_good_signature_are_refused(copy: Path) -> None:
    change_json(copy / "spec.json", lambda body: body["columns"].reverse())
    assert refused(copy).startswith("spec.json: the columns do not match their fingerprint")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere").startswith("manifest.json: the file cannot be read")


# Writing


def test_a_folder_is_never_overwritten(copy: Path) -> None:
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    with pytest.raises(BundleError, match="never overwritten"):
        bundle.write(prior_only_bundle(), copy)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before


@pytest.mark.parametrize("failing", [1, 4, len(NAMES)])
def test_a_write_that_fails_half_way_leaves_nothing_behind(
    failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def full_disk(_: int) -> None:
        calls.append(1)
        if len(calls) == failing:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        bundle.write(trained_bundle(), tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_at_the_very_end_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(KeyboardInterrupt):
        bundle.write(trained_bundle(), tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


# No code in a bundle


def test_nothing_on_the_floor_names_a_pickle() -> None:
    names = set()
    for path in FEATURES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names |= {str(getattr(node, field, "")) for field in ("id", "attr", "module", "name")}
    words = {part for name in names for part in name.split(".")}
    assert "json" in words
    assert not words & {"pickle", "cPickle", "_pickle", "cloudpickle", "joblib", "dill", "marshal", "shelve"}
