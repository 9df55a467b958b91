"""Settings are a closed type: what is misspelt, mistyped or unreadable is refused in one line."""

from dataclasses import replace
from pathlib import Path

import pytest

from features.errors import UsageError
from training.config import RANGES, Settings, from_mapping, read


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "settings.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_no_file_gives_the_defaults() -> None:
    assert read(None) == Settings()


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    path = written(tmp_path, "rounds = 7\nlearning_rate = 0.5\nl2_penalty = 3\n")
    assert read(path) == replace(Settings(), rounds=7, learning_rate=0.5, l2_penalty=3.0)
    assert type(read(path).l2_penalty) is float


def test_an_unknown_key_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"^mine\.toml: learning_rat: unknown setting; use one of .*learning_rate"):
        from_mapping({"learning_rat": 0.1}, "mine.toml")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"rounds": 10.0}, "rounds: expected a int"),
        ({"rounds": "10"}, "rounds: expected a int"),
        ({"learning_rate": "fast"}, "learning_rate: expected a float"),
        ({"learning_rate": [0.1]}, "learning_rate: expected a float"),
        ({"seed": {}}, "seed: expected a int"),
    ],
)
def test_a_wrong_type_is_named(body: dict[str, object], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        from_mapping(body, "mine.toml")


@pytest.mark.parametrize("text", ["rounds = ", "rounds == 3", b"# caf\xe9\nrounds = 3\n"])
def test_what_is_not_toml_is_refused(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(UsageError, match=r"settings\.toml: the settings file cannot be read as TOML"):
        read(written(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: the settings file cannot be opened; check the path"):
        read(tmp_path / "none.toml")


@pytest.mark.parametrize("text", ["test_share = 0.2\n", "", "test_share = 0.01\n"])
def test_settings_that_test_courses_chose_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"^settings\.toml: test_share: more than tuned_test_share 0: .*run crs tune"):
        read(written(tmp_path, f"{text}tuned_test_share = 0.0\n"))


@pytest.mark.parametrize("share", [0.2, 0.1, 0.0])
def test_settings_chosen_with_as_many_patients_locked_or_more_are_read(tmp_path: Path, share: float) -> None:
    path = written(tmp_path, f"test_share = {share}\ntuned_test_share = 0.2\n")
    assert read(path) == replace(Settings(), test_share=share)


@pytest.mark.parametrize("text", ['"none"', "true", "[0.2]"])
def test_a_share_of_tuning_that_is_no_number_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"settings\.toml: tuned_test_share: expected a float"):
        read(written(tmp_path, f"tuned_test_share = {text}\n"))


def test_settings_survive_their_json() -> None:
    changed = replace(Settings(), seed=5, rounds=9, intercept_sd=0.125)
    assert from_mapping(changed.to_json(), "json") == changed


def test_every_setting_has_a_range_that_holds_its_default() -> None:
    defaults = Settings().to_json()
    assert set(RANGES) == set(defaults)
    assert all(low <= defaults[key] <= high for key, (low, high) in RANGES.items())


@pytest.mark.parametrize(
    ("key", "value"), [("folds", 1), ("workers", 0), ("rounds", 0), ("alert_sensitivity", 0.0), ("learning_rate", -1.0)]
)
def test_a_setting_out_of_its_range_is_refused(key: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"settings: {key}"):
        from_mapping({key: value}, "settings")


def test_true_is_not_a_whole_number() -> None:
    with pytest.raises(UsageError, match="expected a int"):
        from_mapping({"rounds": True}, "settings")
