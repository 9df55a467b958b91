"""Tasks for local processes, which import this file and so nothing heavy."""

import os
import signal
import threading
import time
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

from features.errors import DataError
from training.cluster import side_by_side


@dataclass(frozen=True, slots=True)
class Held:
    """As a table holds its columns."""

    large: NDArray[np.float64]
    small: NDArray[np.float64]
    words: NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Seen:
    """How an array lies in the process of a task."""

    own: bool
    writeable: bool
    kind: str
    total: float


def where(item: int) -> tuple[int, int]:
    return os.getpid(), item


def held_by(_: NDArray[np.float64], __: int) -> int:
    return os.getpid()


def seen(held: Held, item: int) -> list[Seen]:
    parts = (held.large, held.small)
    return [Seen(one.flags.owndata, one.flags.writeable, type(one).__name__, float(one.sum()) + item) for one in parts]


def rows(table: NDArray[np.float64], item: int) -> NDArray[np.float64]:
    return table[item]


def spoil(table: NDArray[np.float64], item: int) -> None:
    table[item] = 0.0


def inside(item: int) -> list[tuple[int, int]]:
    """Process and thread of tasks that a task runs itself."""
    return side_by_side(thread, (), range(item), 2)


def thread(_: int) -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def threads_of_libraries(_: int) -> list[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return [int(one["num_threads"]) for one in threadpool_info()]


def refuse(_: int) -> None:
    raise DataError("courses", "not as agreed", "mend it")


def divide(item: int) -> float:
    return 1 / item


def warn(_: int) -> None:
    warnings.warn("not quite", UserWarning, stacklevel=1)


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(folder: str, item: int) -> None:
    """Leave a note of the process, and stay."""
    with open(f"{folder}/{os.getpid()}", "w") as file:
        file.write(str(item))
    time.sleep(600)
