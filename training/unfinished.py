"""Runs of a process that ended without closing them, such as one that was killed, are marked KILLED by the next verb.

Every block that writes to MLflow has a name. Its runs carry the name as a tag from the moment they are made, and a file
of that name stays locked as long as the process lives: the operating system lets go of it however the process ends. A
file that nobody holds therefore names runs that nobody works on. Runs that another home wrote to the same store have no
file here and are left alone.
"""

import fcntl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from features.home import make_folder

#: The tag that holds a block's name.
WORKER = "worker"
#: Blocks of this process, the innermost last. A process could lock its own files again, so it leaves these alone.
_mine: list[str] = []


def tag() -> dict[str, str]:
    """What a run made now is tagged with; nothing outside a block."""
    return {WORKER: _mine[-1]} if _mine else {}


@contextmanager
def at_work(client: Any, experiment: str, folder: Path) -> Iterator[None]:
    """Mark what dead processes left in an experiment, name this block, and mark what it leaves open itself.

    To be entered by one process at a time.
    """
    make_folder(folder)
    mark_dead(client, experiment, folder)
    path = folder / uuid.uuid4().hex
    with path.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        _mine.append(path.name)
        try:
            yield
        finally:
            _mine.remove(path.name)
            _mark(client, experiment, path.name)
            path.unlink(missing_ok=True)


def mark_dead(client: Any, experiment: str, folder: Path) -> None:
    """Mark the open runs of every block whose process has ended, and their half-logged models."""
    for path in sorted(set(folder.iterdir()) - {folder / name for name in _mine}):
        with path.open("w") as file:
            if _is_free(file):
                _mark(client, experiment, path.name)
                path.unlink(missing_ok=True)


def _is_free(file: TextIO) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _mark(client: Any, experiment: str, name: str) -> None:
    for run in client.search_runs([experiment], f"tags.{WORKER} = '{name}' and attributes.status = 'RUNNING'"):
        run_id = str(run.info.run_id)
        for model in client.search_logged_models([experiment], f"source_run_id = '{run_id}'"):
            if model.status == "PENDING":
                client.finalize_logged_model(model.model_id, "FAILED")
        client.set_terminated(run_id, "KILLED")
