"""Where a deployment keeps its state, and how it names the promoted bundle."""

import json
import os
from pathlib import Path

import pytest

from features.errors import StoreError
from features.home import Home, Live, read_live, read_previous, write_live

OLD = Live("crs-risk:old", "a" * 64, "1")
NEW = Live("crs-risk:new", "b" * 64, "2")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "state")


def test_what_is_written_is_read(home: Home) -> None:
    write_live(home, OLD)
    write_live(home, NEW)
    assert read_live(home) == NEW
    assert [path.name for path in home.folder.iterdir()] == ["live.json"]


@pytest.mark.parametrize("stage", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_name(home: Home, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write_live(home, OLD)
    monkeypatch.setattr(os if stage == "fsync" else Path, stage, fails)
    with pytest.raises(OSError, match="No space left"):
        write_live(home, NEW)
    assert read_live(home) == OLD


def test_the_new_name_is_whole_before_it_takes_the_place_of_the_old(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_live(home, OLD)
    seen: list[tuple[str, dict[str, dict[str, str]]]] = []
    replace = Path.replace

    def watched(draft: Path, target: Path) -> Path:
        seen.append((read_live(home).version, json.loads(draft.read_text())))
        return replace(draft, target)

    monkeypatch.setattr(Path, "replace", watched)
    write_live(home, NEW)
    assert [(version, new["live"]["digest"]) for version, new in seen] == [("1", NEW.digest)]


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"3", b'{"tag": "x"}', b'{"tag": "x", "digest": "y"', b"\xff\xfe\x00"]
)
def test_a_damaged_file_is_named_in_one_line(home: Home, damage: bytes) -> None:
    write_live(home, OLD)
    home.live.write_bytes(damage)
    with pytest.raises(StoreError) as caught:
        read_live(home)
    assert str(caught.value).startswith("live.json: the file is damaged")
    assert "\n" not in str(caught.value)


def test_promoting_again_repairs_a_damaged_file(home: Home) -> None:
    write_live(home, OLD)
    home.live.write_bytes(b"{")
    write_live(home, NEW)
    assert read_live(home) == NEW


def test_the_promotion_before_is_remembered_until_another_one(home: Home) -> None:
    write_live(home, OLD)
    with pytest.raises(StoreError, match="no earlier promotion is on record"):
        read_previous(home)
    for _ in range(2):  # promoting what is live already forgets nothing
        write_live(home, NEW)
        assert read_previous(home) == OLD
    write_live(home, OLD)
    assert read_previous(home) == NEW


def test_without_a_promoted_model_the_error_says_what_to_do(home: Home) -> None:
    with pytest.raises(StoreError, match=r"no model is promoted yet; run `crs train`, then `crs promote`"):
        read_live(home)


def test_two_homes_share_nothing(tmp_path: Path) -> None:
    first, second = (Home.from_environment({"CRS_RISK_HOME": str(tmp_path / name)}) for name in ("a", "b"))
    write_live(first, OLD)
    with pytest.raises(StoreError):
        read_live(second)
    for place in ("live", "artifacts", "bentoml", "mlflow_uri"):
        assert str(tmp_path / "a") in str(getattr(first, place))
        assert str(tmp_path / "b") in str(getattr(second, place))


@pytest.mark.parametrize("environment", [{}, {"CRS_RISK_HOME": ""}])
def test_without_a_setting_state_lies_in_the_working_folder(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Home.from_environment(environment).folder == tmp_path.resolve() / ".crs-risk"
