"""Whether a file is as committed is git's to say; without git or a repository it is not known, and nothing fails."""

import subprocess
from pathlib import Path

import pytest

from training import checkout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository whose one commit holds plan.toml, in a folder."""
    folder = tmp_path / "repository" / "folder"
    folder.mkdir(parents=True)
    (folder / "plan.toml").write_bytes(b"a = 1\r\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "plan"]):
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "core.autocrlf=false"]
        subprocess.run(["git", "-C", str(folder.parent), *who, *words], check=True)
    return folder


def test_the_bytes_of_the_latest_commit_are_committed_and_no_others(repository: Path) -> None:
    path = repository / "plan.toml"
    assert checkout.committed(path, path.read_bytes()) is True
    path.write_bytes(b"a = 1\n")
    assert checkout.committed(path, path.read_bytes()) is False
    subprocess.run(["git", "-C", str(repository), "add", "."], check=True)
    assert checkout.committed(path, path.read_bytes()) is False


def test_a_file_that_was_never_committed_is_not(repository: Path) -> None:
    path = repository / "other.toml"
    path.write_text("a = 1")
    assert checkout.committed(path, path.read_bytes()) is False


def test_of_a_file_that_is_left_out_on_purpose_it_is_not_known(repository: Path) -> None:
    (repository / ".gitignore").write_text("installed\n")
    path = repository / "installed" / "plan.toml"
    path.parent.mkdir()
    path.write_bytes(b"a = 1")
    assert checkout.committed(path, b"a = 1") is None


def test_a_hook_of_another_repository_changes_nothing(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "other")], check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert checkout.committed(repository / "plan.toml", b"a = 1\r\n") is True


def test_outside_a_repository_it_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert checkout.committed(tmp_path / "plan.toml", b"a = 1") is None


def test_without_git_it_is_not_known_and_neither_is_the_commit(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert checkout.committed(repository / "plan.toml", b"a = 1\r\n") is None
    assert checkout.commit() == "unknown"
