"""What is live changes in one step, only for a bundle that was verified, and can be taken back exactly."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features import bundle
from features.errors import BundleError, StoreError, UsageError
from features.home import MODEL_NAME, Home, Live, read_live, read_previous
from serving.store import bundle_folder, open_live
from tests.training.conftest import Registry
from training import promote as promotion
from training import tracking

pytestmark = pytest.mark.slow

OwnHome = Callable[[], Home]


def quiet(_: str) -> None:
    """Says nothing."""


def promote(home: Home, which: str) -> Live:
    return promotion.promote(home, which, progress=quiet)


def aliases(home: Home) -> dict[str, str]:
    with tracking.store(home) as client:
        return {key: str(number) for key, number in client.get_registered_model(MODEL_NAME).aliases.items()}


def stored(home: Home) -> list[str]:
    return sorted(path.name for path in (home.bentoml / "models" / MODEL_NAME).iterdir() if path.is_dir())


def test_a_promoted_version_is_live_whole_and_the_champion(own_home: OwnHome, registry: Registry) -> None:
    home = own_home()
    live = promote(home, "1")
    assert live == read_live(home) == Live(f"{MODEL_NAME}:{registry.digests[0][:16]}", registry.digests[0], "1")
    assert bundle.read(bundle_folder(home, live), registry.digests[0]).boosters == registry.trained.bundle.boosters
    assert open_live(home).predictor.digest == registry.digests[0]
    assert aliases(home) == {"champion": "1", "challenger": "2"}


def test_promoting_the_challenger_leaves_no_challenger(own_home: OwnHome) -> None:
    home = own_home()
    assert promote(home, "challenger").version == "2"
    assert aliases(home) == {"champion": "2"}


def test_promoting_twice_is_harmless(own_home: OwnHome) -> None:
    home = own_home()
    promote(home, "2")
    first = promote(home, "1")
    before, held = home.live.read_bytes(), stored(home)
    assert promote(home, "1") == first
    assert (home.live.read_bytes(), stored(home)) == (before, held)
    assert read_previous(home).version == "2"


def test_rollback_restores_the_one_before_exactly_and_back_again(own_home: OwnHome) -> None:
    home = own_home()
    first, second = promote(home, "1"), promote(home, "2")
    assert promotion.rollback(home) == first == read_live(home)
    assert aliases(home)["champion"] == "1"
    assert open_live(home).predictor.digest == first.digest
    assert promotion.rollback(home) == second == read_live(home)
    assert open_live(home).predictor.digest == second.digest
    assert aliases(home)["champion"] == "2"


def test_there_is_nothing_to_go_back_to_at_first(own_home: OwnHome) -> None:
    home = own_home()
    with pytest.raises(StoreError, match="no earlier promotion is on record"):
        promotion.rollback(home)
    promote(home, "1")
    with pytest.raises(StoreError, match="no earlier promotion is on record"):
        promotion.rollback(home)
    assert read_live(home).version == "1"


def test_a_version_that_is_not_there_changes_nothing(own_home: OwnHome) -> None:
    home = own_home()
    promote(home, "1")
    before = home.live.read_bytes()
    with pytest.raises(UsageError, match="--version"):
        promote(home, "9")
    assert home.live.read_bytes() == before


def test_a_bundle_that_no_longer_gives_its_answers_never_becomes_live(
    own_home: OwnHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = own_home()
    promote(home, "1")
    before, held = home.live.read_bytes(), stored(home)

    def differs(_: Any) -> int:
        raise BundleError("golden.json", "golden course 0 no longer gives its recorded answer on this machine")

    monkeypatch.setattr(promotion, "verify_golden", differs)
    with pytest.raises(BundleError, match="golden"):
        promote(home, "2")
    assert (home.live.read_bytes(), stored(home)) == (before, held)
    assert aliases(home)["champion"] == "1"


def test_an_altered_bundle_never_becomes_live(own_home: OwnHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens to it on the way from MLflow."""
    home = own_home()
    promote(home, "2")
    before, held = home.live.read_bytes(), stored(home)
    real = tracking.fetch

    def altered(home: Home, which: str, target: Path, uri: str | None = None) -> tracking.Registered:
        found = real(home, which, target, uri)
        body = bytearray((target / "model-crs_2plus.ubj").read_bytes())
        body[len(body) // 2] ^= 1
        (target / "model-crs_2plus.ubj").write_bytes(bytes(body))
        return found

    monkeypatch.setattr(tracking, "fetch", altered)
    with pytest.raises(BundleError, match=r"model-crs_2plus\.ubj: the bytes do not match"):
        promote(home, "1")
    assert (home.live.read_bytes(), stored(home)) == (before, held)


def test_a_stop_before_the_live_name_moves_leaves_the_former_live(
    own_home: OwnHome, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    home = own_home()
    promote(home, "2")

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(promotion, "write_live", stopped)
        with pytest.raises(KeyboardInterrupt):
            promote(home, "1")
    assert open_live(home).predictor.digest == registry.digests[1]
    assert aliases(home)["champion"] == "2"
    assert promote(home, "1").digest == open_live(home).predictor.digest == registry.digests[0]


def test_a_stop_while_the_store_is_written_leaves_no_half_bundle(
    own_home: OwnHome, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    home = own_home()
    promote(home, "2")

    def half(source: Path, target: Path) -> None:
        target.mkdir()
        (target / "manifest.json").write_bytes((source / "manifest.json").read_bytes())
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(promotion.shutil, "copytree", half)
        with pytest.raises(KeyboardInterrupt):
            promote(home, "1")
    assert open_live(home).predictor.digest == registry.digests[1]
    promote(home, "1")
    assert open_live(home).predictor.digest == registry.digests[0]


def test_a_stop_before_the_champions_alias_moves_is_mended_by_promoting_again(
    own_home: OwnHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = own_home()
    promote(home, "2")

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(tracking, "set_champion", stopped)
        with pytest.raises(KeyboardInterrupt):
            promote(home, "1")
    assert read_live(home).version == "1"
    promote(home, "1")
    assert aliases(home)["champion"] == "1"


def test_the_live_name_is_replaced_never_rewritten(own_home: OwnHome) -> None:
    """A reader holds either the former file or the new one: the file itself is never opened for writing."""
    home = own_home()
    promote(home, "2")
    before = home.live.read_bytes()
    with home.live.open("rb") as reader:
        promote(home, "1")
        assert reader.read() == before
    assert json.loads(home.live.read_bytes())["live"]["version"] == "1"
    assert sorted(path.name for path in home.folder.glob("live*")) == ["live.json"]


def test_promoting_again_repairs_a_damaged_copy_in_the_model_store(own_home: OwnHome) -> None:
    home = own_home()
    live = promote(home, "1")
    path = bundle_folder(home, live) / "spec.json"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(BundleError, match=r"spec\.json"):
        open_live(home)
    promote(home, "1")
    assert open_live(home).predictor.digest == live.digest


def test_a_damaged_or_missing_copy_is_not_gone_back_to(own_home: OwnHome) -> None:
    home = own_home()
    folder = bundle_folder(home, promote(home, "1"))
    promote(home, "2")
    before = home.live.read_bytes()
    (folder / "spec.json").write_bytes(b"{}")
    with pytest.raises(BundleError, match=r"spec\.json"):
        promotion.rollback(home)
    shutil.rmtree(folder.parent)
    with pytest.raises(StoreError, match="the earlier bundle is not there; promote its version instead"):
        promotion.rollback(home)
    assert home.live.read_bytes() == before
    assert aliases(home)["champion"] == "2"
