"""Folders for as long as a process works."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from features.errors import UsageError
from features.scratch import Scratch

HOLDER = """
import sys, time
from pathlib import Path
from features.scratch import Scratch
folder = Scratch("rows", Path(sys.argv[1])).folder
(folder / "part.csv").write_text("CANARY")
print(folder, flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> "subprocess.Popen[str]":
    """A process that holds a folder with a file."""
    return subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)


def folder_of(holder: "subprocess.Popen[str]") -> Path:
    assert holder.stdout is not None
    return Path(holder.stdout.readline().strip())


def killed(holder: "subprocess.Popen[str]") -> None:
    holder.send_signal(signal.SIGKILL)
    holder.communicate()


def test_what_a_killed_process_left_goes_when_the_next_one_begins_and_not_before_it_is_dead(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    left = folder_of(holder)
    with Scratch("rows", tmp_path) as own:
        assert (left / "part.csv").exists()
        killed(holder)
        assert (left / "part.csv").exists()
        with Scratch("rows", tmp_path):
            assert not left.exists()
            assert own.exists()
    assert list(tmp_path.iterdir()) == []


def test_folders_of_another_purpose_and_what_a_link_leads_to_are_left_alone(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    left = folder_of(holder)
    killed(holder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "crs-risk-bins-link").symlink_to(elsewhere)
    (tmp_path / "crs-risk-bins-file").write_text("")
    with Scratch("bins", tmp_path):
        assert left.exists()
        assert elsewhere.exists()


def fails(beside: Path) -> None:
    with Scratch("rows", beside) as folder:
        (folder / "file").write_text("")
        raise UsageError("--x", "no", "y")


def test_only_its_owner_can_enter_it_and_an_error_removes_it(tmp_path: Path) -> None:
    with Scratch("rows", tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
    with pytest.raises(UsageError):
        fails(tmp_path)
    assert list(tmp_path.iterdir()) == []
    made = Scratch("rows", tmp_path)
    made.close()
    made.close()
    assert not made.folder.exists()


def test_many_at_once_each_keep_their_own(tmp_path: Path) -> None:
    kept: list[bool] = []

    def run() -> None:
        for _ in range(40):
            with Scratch("rows", tmp_path) as folder:
                (folder / "file").write_text("")
                with Scratch("rows", tmp_path):
                    kept.append((folder / "file").exists())

    threads = [threading.Thread(target=run) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert kept == [True] * 160
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_serves_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_file: int, _how: int) -> None:
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr("features.scratch.fcntl.flock", none)
    with Scratch("rows", tmp_path) as folder, Scratch("rows", tmp_path):
        assert folder.exists()
    assert not folder.exists()
