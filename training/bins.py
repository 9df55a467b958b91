"""XGBoost's matrix of the cells that a booster is grown on: of few cells their own, of a large table one for all fits.

The cells of a large table are binned once, block by block and into files, so that memory stays bounded. Every fit on
that table is then lent those bins with its own labels and starting log-odds, and with weight 0 for the rows that are
not its own: they add nothing to any sum that a tree is grown by, so that the trees are bit for bit those of the same
cuts without these rows. Bins are cuts of single columns and know no label, but those of a fold know the cells of the
rows that judge it: docs/adr/0021-dask-and-streaming.md has what that comes to.
"""

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock

import numpy as np
import xgboost
from numpy.typing import NDArray

from features.scratch import Scratch
from training.cells import BLOCK_ROWS, Cells, Matrix
from training.memory import give_back

Values = NDArray[np.float32]

#: Trees from which it pays to lay a fit's own rows down apart: they are binned again, by the same cuts and without
#: looking for any, which takes as long as some 200 trees lose by passing over the other rows.
MANY_TREES = 200


@contextmanager
def binned(made: Matrix, trees: int) -> Iterator[xgboost.DMatrix]:
    """The matrix of those rows on one thread, for one fit of so many trees.

    The bins of a large table stay for the next one: until the end of `kept`, or until the table goes.
    """
    if not made.cells.large:
        yield made.plain()
    elif trees < MANY_TREES:
        with _lent(made.cells.values) as matrix:
            matrix.set_info(feature_names=made.names, **_told(made))
            yield matrix
    else:
        with _apart(made) as matrix:
            matrix.set_info(feature_names=made.names, label=made.label, base_margin=made.margin)
            yield matrix


@contextmanager
def _apart(made: Matrix) -> Iterator[xgboost.DMatrix]:
    """Bins of the matrix's own rows, by the cuts of the whole table."""
    with _lent(made.cells.values) as whole:
        own = _Bins.of(made.cells, whole)
    try:
        yield own.matrix
    finally:
        own.close()


@contextmanager
def kept(values: Values) -> Iterator[None]:
    """Within it the bins of a table serve one fit after the other; at its end, and after an error, they are removed."""
    try:
        yield
    finally:
        let_go(values)


def let_go(values: Values) -> None:
    """Remove the bins of a table and their files, if it has any; the next fit makes new ones."""
    _remove(*_key(values))


def _told(made: Matrix) -> dict[str, NDArray[np.float32]]:
    """Label, start and weight of every row of the table: those of rows that are not the matrix's own count nothing."""
    found = {name: np.zeros(len(made.cells.values), dtype=np.float32) for name in ("label", "base_margin", "weight")}
    for name, own in (("label", made.label), ("base_margin", made.margin), ("weight", 1.0)):
        found[name][made.cells.rows] = own
    return found


@dataclass(frozen=True, slots=True)
class _Bins:
    """A matrix of cells, and the folder of its files."""

    matrix: xgboost.DMatrix
    files: Scratch

    @classmethod
    def of(cls, cells: Cells, cuts: xgboost.DMatrix | None = None) -> "_Bins":
        """The folder lies beside the cells' own file, or where temporary files do. cuts: whose are used."""
        file = getattr(cells.values, "filename", None)
        files = Scratch("bins", Path(file).parent if file else None)
        try:
            return cls(binned_in_files(cells, files.folder, cuts), files)
        except BaseException:
            files.close()
            raise

    def close(self) -> None:
        # Said outright, for whoever caught an error may hold the matrix still; it removes its own files.
        self.matrix.__del__()
        self.files.close()


def binned_in_files(cells: Cells, folder: Path, cuts: xgboost.DMatrix | None = None) -> xgboost.DMatrix:
    """Without labels; the folder is empty and has to outlive the matrix. cuts: a matrix whose cuts are used."""
    made = xgboost.ExtMemQuantileDMatrix(_Blocks(cells, folder), nthread=1, ref=cuts)
    give_back()
    return made


class _Blocks(xgboost.DataIter):
    """Hands the rows to XGBoost in order, a block at a time, as often as it asks. folder: an empty one for the bins."""

    def __init__(self, cells: Cells, folder: Path) -> None:
        super().__init__(cache_prefix=f"{folder}/bins", release_data=True)
        self.cells, self.at = cells, 0

    def next(self, input_data: Callable[..., None]) -> bool:
        start, stop = self.at, self.at + BLOCK_ROWS
        if start >= len(self.cells):
            return False
        input_data(data=self.cells.present(start, stop))
        self.at = stop
        return True

    def reset(self) -> None:
        self.at = 0


#: Bins that no fit uses just now, by process and table. A process that was forked off leaves those of its parent alone.
_IDLE: dict[tuple[int, int], list[_Bins]] = {}
#: Taken again by its holder where a table happens to go meanwhile.
_LOCK = RLock()


@contextmanager
def _lent(values: Values) -> Iterator[xgboost.DMatrix]:
    """Bins of the table for one fit: those that are idle, or new ones where others are in use."""
    held = _taken(values) or _Bins.of(Cells(values, np.arange(len(values))))
    try:
        yield held.matrix
    finally:
        with _LOCK:
            idle = _IDLE.get(_key(values))
            if idle is not None:
                idle.append(held)
        if idle is None:
            held.close()


def _key(values: Values) -> tuple[int, int]:
    return os.getpid(), id(values)


def _taken(values: Values) -> _Bins | None:
    """Idle bins of the table, if there are any. From now on bins are kept for it, until it goes."""
    with _LOCK:
        if _key(values) not in _IDLE:
            _IDLE[_key(values)] = []
            weakref.finalize(values, _remove, *_key(values))
        idle = _IDLE[_key(values)]
        return idle.pop() if idle else None


def _remove(process: int, place: int) -> None:
    """Called in a process that was forked off, it leaves the files to whom they belong."""
    if process == os.getpid():
        with _LOCK:
            held = _IDLE.pop((process, place), [])
        for one in held:
            one.close()
