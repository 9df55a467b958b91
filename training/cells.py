"""The cells that trees are grown on and asked of: rows of one large array, in memory or in a file, never copied whole.

XGBoost bins the cells of a small table from one copy. Those of a large table it is handed block by block and keeps
binned in files, so that memory stays bounded and less is needed; the bins, and so the trees, are the same.
"""

import mmap
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from features.predict import sum_of_leaves

Array = NDArray[np.float64]

#: From as many cells on they are handed over block by block.
LARGE_CELLS = 30_000_000
#: Rows of one block, which is also one page of bins in a file.
BLOCK_ROWS = 131_072


@dataclass(frozen=True, slots=True)
class Cells:
    """n rows of an array. values: (N, columns) float32, or a memory map of that. rows: (n,) positions, ascending."""

    values: NDArray[np.float32]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def in_a_file(self) -> bool:
        return isinstance(self.values, np.memmap)

    @property
    def large(self) -> bool:
        return self.in_a_file or self.values.shape[1] * len(self) >= LARGE_CELLS

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "Cells":
        """The named of the n rows."""
        return Cells(self.values, self.rows[which])

    def block(self, start: int, stop: int) -> NDArray[np.float32]:
        """A copy of rows start (inclusive) to stop (exclusive)."""
        found = np.asarray(self.values[self.rows[start:stop]])
        forget(self.values)
        return found

    def leaves(self, booster: xgboost.Booster) -> NDArray[np.float32]:
        """(n,) what the trees add to the log-odds."""
        starts = range(0, len(self), BLOCK_ROWS)
        blocks = [sum_of_leaves(booster, self.block(at, at + BLOCK_ROWS)) for at in starts]
        return np.concatenate(blocks) if blocks else np.empty(0, dtype=np.float32)


def forget(values: NDArray[np.float32]) -> None:
    """Give back the memory of a file's pages that were read; they are read again when they are needed."""
    held: mmap.mmap | None = getattr(values, "_mmap", None)
    if held is not None:
        held.madvise(mmap.MADV_DONTNEED)


class _Blocks(xgboost.DataIter):
    """Hands the rows to XGBoost in order, a block at a time."""

    def __init__(self, made: "Matrix", cache: str) -> None:
        super().__init__(cache_prefix=cache, release_data=True)
        self.made, self.at = made, 0

    def next(self, input_data: Callable[..., None]) -> bool:
        start, stop = self.at, self.at + BLOCK_ROWS
        if start >= len(self.made.cells):
            return False
        told = {"label": self.made.label[start:stop], "base_margin": self.made.margin[start:stop]}
        input_data(data=self.made.cells.block(start, stop), feature_names=self.made.names, **told)
        self.at = stop
        return True

    def reset(self) -> None:
        self.at = 0


@dataclass(frozen=True, slots=True)
class Matrix:
    """Cells with labels (n,), the log-odds (n,) that trees start from, and the names of the columns."""

    cells: Cells
    label: Array
    margin: Array
    names: list[str]

    def binned(self, beside: Path | None, like: xgboost.DMatrix | None = None) -> xgboost.DMatrix:
        """XGBoost's matrix on one thread. beside: a folder for bins, None for few cells. like: whose bins to use."""
        if beside is not None:
            # A folder of its own, so that two matrices do not meet.
            own = tempfile.mkdtemp(dir=beside)
            return xgboost.ExtMemQuantileDMatrix(_Blocks(self, f"{own}/bins"), ref=like, nthread=1)
        told: dict[str, Any] = {"label": self.label, "base_margin": self.margin, "feature_names": self.names}
        return xgboost.DMatrix(self.cells.block(0, len(self.cells)), nthread=1, **told)


@contextmanager
def folder_for(cells: Cells) -> Iterator[Path | None]:
    """A folder for the bins of many cells while a booster is fitted: beside the cells' own file, or where temporary
    files lie; None for few cells."""
    if not cells.large:
        yield None
        return
    file = getattr(cells.values, "filename", None)
    with tempfile.TemporaryDirectory(dir=Path(file).parent if file else None, prefix="crs-bins-") as folder:
        yield Path(folder)
