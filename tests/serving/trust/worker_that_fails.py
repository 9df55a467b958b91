"""A server whose worker fails on one kind of course, with a message that holds the id of the course. For tests only.

With a home and a port it is the whole server; with three numbers it is one of its workers.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

from features.home import Home
from serving import run, worker
from serving.answerer import Answerer

FAILS = "fails-"
OURS = "tests.serving.trust.worker_that_fails"


def fail_on_some() -> None:
    """Every way to an answer looks for the course first."""
    looked = Answerer._look

    def look(self: Answerer, intake: Any) -> Any:
        if intake.course_id.startswith(FAILS):
            raise ValueError(f"no answer for {intake.course_id}")
        return looked(self, intake)

    Answerer._look = look  # type: ignore[method-assign]


def whole(home: Path, port: int) -> None:
    started = subprocess.Popen

    class Popen(started):  # type: ignore[misc, valid-type]
        def __init__(self, command: list[str], **settings: Any) -> None:
            super().__init__([OURS if word == "serving.worker" else word for word in command], **settings)

    run.subprocess.Popen = Popen  # type: ignore[attr-defined]
    run.serve(Home(home), "127.0.0.1", port, 1, print)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        whole(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        fail_on_some()
        sys.exit(worker.main(*(int(text) for text in sys.argv[1:])))
