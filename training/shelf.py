"""What tasks share, written down once for all processes of this machine and read from there without a copy.

Arrays lie in one file of the temporary folder that has no name, so that nothing is left behind however a process ends;
the rest travels as a pickle that names their places. Only processes that were started with the file open can read it.
"""

import copyreg
import mmap
import pickle
import tempfile
import weakref
from dataclasses import dataclass
from io import BytesIO
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from features.errors import StoreError

#: Bytes from which an array is laid down; a smaller one travels in the pickle. Arrays begin at a multiple of ALIGNED.
LEAST_BYTES, ALIGNED = 65_536, 64
#: Kinds of numpy's types that are their bytes: numbers, truth and words of fixed width.
PLAIN = "biufUS"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an array lies. path: "" for the shelf's own file. offset: bytes. fortran: columns first."""

    path: str
    offset: int
    kind: str
    shape: tuple[int, ...]
    fortran: bool = False


class Shelf:
    """The writing side. An array is laid down once for as long as it lives, and cannot be changed from then on."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile(prefix="crs-shared-")  # noqa: SIM115 (open until `close`)
        self._end = 0
        self._laid: dict[int, tuple[weakref.ref[Any], Place]] = {}
        self._free: dict[int, list[int]] = {}

    def packed(self, shared: Any) -> bytes:
        """The pickle of `shared`, its large arrays on the shelf. StoreError where the temporary folder is full."""
        out = BytesIO()
        try:
            _Packer(out, self).dump(shared)
            self.file.flush()
        except OSError as error:
            raise StoreError(
                tempfile.gettempdir(), f"what processes share cannot be written there ({error.strerror})", "set TMPDIR"
            ) from error
        return out.getvalue()

    def place(self, array: NDArray[Any]) -> Place:
        """Where an array lies, laid down if it was not yet."""
        key, size = id(array), array.nbytes
        if key not in self._laid:
            place = self._lay(array)
            self._laid[key] = (weakref.ref(array, lambda _: self._forget(key, size)), place)
        return self._laid[key][1]

    def close(self) -> None:
        self.file.close()

    def _lay(self, array: NDArray[Any]) -> Place:
        free = self._free.get(array.nbytes)
        offset = free.pop() if free else self._grown(array.nbytes)
        self.file.seek(offset)
        self.file.write(array.ravel("K").view(np.uint8).data)
        # Whoever changed it would compute with other numbers than the processes that read the file.
        array.flags.writeable = False
        return Place("", offset, array.dtype.str, array.shape, not array.flags.c_contiguous)

    def _grown(self, size: int) -> int:
        offset = self._end
        self._end += -(-size // ALIGNED) * ALIGNED
        return offset

    def _forget(self, key: int, size: int) -> None:
        """An array is gone: its room serves the next one of its size."""
        self._free.setdefault(size, []).append(self._laid.pop(key)[1].offset)


def _read_only(held: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(held)


class _Plain(pickle.Pickler):
    """A pickler that knows the read-only mappings of the catalogue, too."""

    dispatch_table = copyreg.dispatch_table | {MappingProxyType: lambda one: (_read_only, (dict(one),))}

    def __init__(self, out: BytesIO) -> None:
        super().__init__(out, protocol=5)


class _Packer(_Plain):
    def __init__(self, out: BytesIO, shelf: Shelf) -> None:
        super().__init__(out)
        self.shelf = shelf

    def persistent_id(self, one: Any) -> Place | bytes | None:
        """None for what travels in this pickle; a pickle of its own for a column of texts, which is faster."""
        if type(one) not in (np.ndarray, np.memmap) or one.nbytes < LEAST_BYTES:
            return None
        if one.dtype.kind not in PLAIN:
            return to_bytes(one)
        if isinstance(one, np.memmap) and _whole(one):
            return Place(str(one.filename), one.offset, one.dtype.str, one.shape, not one.flags.c_contiguous)
        return self.shelf.place(one) if one.flags.forc else None


def _whole(file: "np.memmap[Any, Any]") -> bool:
    """Whether it is a memory map itself, not a part of one."""
    base: Any = file.base
    return isinstance(base, mmap.mmap) and bool(file.filename)


def unpacked(body: bytes, file: int) -> Any:
    """What was packed, its large arrays read-only maps of the shelf's open file, or of the files they come from."""
    return _Unpacker(BytesIO(body), file).load()


class _Unpacker(pickle.Unpickler):
    def __init__(self, body: BytesIO, file: int) -> None:
        super().__init__(body)
        self.file = file
        self._map: mmap.mmap | None = None

    def persistent_load(self, place: Place | bytes) -> NDArray[Any]:
        if isinstance(place, bytes):
            texts: NDArray[Any] = from_bytes(place)
            return texts
        order: Literal["C", "F"] = "F" if place.fortran else "C"
        if place.path:
            return np.memmap(place.path, np.dtype(place.kind), "r", place.offset, place.shape, order)
        self._map = self._map or mmap.mmap(self.file, 0, access=mmap.ACCESS_READ)
        return np.ndarray(place.shape, place.kind, self._map, place.offset, order=order)


def to_bytes(one: Any) -> bytes:
    """A task, or an answer, as it travels between processes of this machine."""
    out = BytesIO()
    _Plain(out).dump(one)
    return out.getvalue()


def from_bytes(body: bytes) -> Any:
    """What the other end of an inherited socket sent."""
    return pickle.loads(body)
