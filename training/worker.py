"""One local process: does the tasks that `training.processes` sends it, until the asker is gone.

python -m training.worker SOCKET FILE        both inherited, by number
"""

import os
import sys
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from features.errors import CrsRiskError
from training.shelf import from_bytes, to_bytes, unpacked
from training.turns import alone


def run(line: Connection, file: int) -> None:
    """Answer each task with (True, result) or (False, error); never returns."""
    asked: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(line, asked), daemon=True).start()
    tasks = Tasks(file)
    while True:
        line.send_bytes(tasks.answer(asked.get()))


def _listen(line: Connection, asked: "SimpleQueue[bytes]") -> None:
    """Take in tasks while others are worked on; with nobody left to answer, end in the middle of one."""
    try:
        while True:
            asked.put(line.recv_bytes())
    except (EOFError, OSError):
        os._exit(1)


@dataclass(slots=True)
class Tasks:
    """What one process does. file: the shelf's. shared: of the call whose tasks come now."""

    file: int
    shared: tuple[Any, ...] = ()

    def answer(self, body: bytes) -> bytes:
        """(True, result) or (False, error), as it travels."""
        try:
            packed, work, item = from_bytes(body)
            if packed is not None:
                self.shared = unpacked(packed, self.file)
            return to_bytes((True, alone(work, self.shared, item)))
        except Exception as error:  # noqa: BLE001 (it is raised where the task was asked for)
            if not isinstance(error, CrsRiskError):
                error.add_note(f"in a local process:\n{traceback.format_exc()}")
            return to_bytes((False, error))


if __name__ == "__main__":
    run(Connection(int(sys.argv[1])), int(sys.argv[2]))
