"""Memory that was freed is handed back to the system: glibc keeps what lies between things that are still held."""

import contextlib
import ctypes


def give_back() -> None:
    """Worth its milliseconds where much was just freed; does nothing without glibc."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
