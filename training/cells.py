"""The cells that trees are grown on and asked of: rows of one large array, in memory or in a file, never copied whole.

XGBoost takes the cells of a small table from one copy. Those of a large table it is handed block by block, without what
is missing, most of a row, which takes half the time and bounded memory.
"""

import json
import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from features.predict import sum_of_leaves

Array = NDArray[np.float64]

#: From as many cells on they are handed over block by block.
LARGE_CELLS = 30_000_000
#: Rows of one block, which is also one page of bins in a file.
BLOCK_ROWS = 131_072
#: Rows that are judged at once after each tree.
JUDGED_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Cells:
    """n rows of an array. values: (N, columns) float32, or a memory map of that. rows: (n,) positions, ascending."""

    values: NDArray[np.float32]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def large(self) -> bool:
        many: bool = len(self) * self.values.shape[1] >= LARGE_CELLS
        return many

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "Cells":
        """The named of the n rows."""
        return Cells(self.values, self.rows[which])

    def block(self, start: int, stop: int) -> NDArray[np.float32]:
        """A copy of rows start (inclusive) to stop (exclusive)."""
        found = np.asarray(self.values[self.rows[start:stop]])
        forget(self.values)
        return found

    def present(self, start: int, stop: int) -> csr_matrix:
        """The same rows without what is missing; a zero that is there is kept."""
        block = self.block(start, stop)
        there = ~np.isnan(block)
        ends = np.cumsum(np.count_nonzero(there, axis=1))
        place = np.broadcast_to(np.arange(block.shape[1], dtype=np.int32), block.shape)[there]
        return csr_matrix((block[there], place, np.concatenate([[0], ends])), shape=block.shape)

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


@dataclass(frozen=True, slots=True)
class Matrix:
    """Cells with labels (n,), the log-odds (n,) that trees start from, and the names of the columns."""

    cells: Cells
    label: Array
    margin: Array
    names: list[str]

    def plain(self) -> xgboost.DMatrix:
        """XGBoost's matrix of few cells, on one thread."""
        told: dict[str, Any] = {"label": self.label, "base_margin": self.margin, "feature_names": self.names}
        return xgboost.DMatrix(self.cells.block(0, len(self.cells)), nthread=1, **told)

    def losses(self, booster: xgboost.Booster) -> Array:
        """(trees + 1,) summed log loss of the rows after none, one, two, ... of the booster's trees."""
        leaves = _leaf_values(booster)
        found = np.zeros(len(leaves) + 1)
        for start in range(0, len(self.cells), JUDGED_ROWS):
            found += self._losses(booster, leaves, start, start + JUDGED_ROWS)
        return found

    def _losses(self, booster: xgboost.Booster, leaves: list[Array], start: int, stop: int) -> Array:
        label, score = self.label[start:stop], self.margin[start:stop].copy()
        found = [log_loss(label, score)]
        if leaves:
            cells = xgboost.DMatrix(self.cells.present(start, stop), nthread=1)
            reached = booster.predict(cells, pred_leaf=True, validate_features=False).astype(np.int64)
            for own, leaf in zip(reached.reshape(len(label), -1).T, leaves, strict=True):
                score += leaf[own]
                found.append(log_loss(label, score))
        return np.array(found)


def _leaf_values(booster: xgboost.Booster) -> list[Array]:
    """What each tree adds at each of its nodes; of a node that is no leaf a number without meaning."""
    model = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]
    return [np.array(tree["split_conditions"], dtype=np.float64) for tree in model["trees"]]


def log_loss(label: Array, score: Array) -> float:
    """Summed over the rows; label 0 or 1, score log-odds, both (n,)."""
    return float(np.sum(np.logaddexp(0.0, score) - label * score))
