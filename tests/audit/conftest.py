"""Fixtures of the ledger's tests: a home of its own, on SQLite and on a real PostgreSQL server."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

import crs
from audit import manifest
from audit.database import address
from audit.ledger import Ledger, open_ledger
from features import bundle
from features.errors import CrsRiskError
from features.home import Home
from tests.audit.builders import Deployment
from tests.postgres import postgresql
from tests.serving.builders import trained_bundle


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with postgresql() as server:
        yield server


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


@pytest.fixture
def short() -> Iterator[Path]:
    """A short path: that of a socket has about a hundred letters."""
    with tempfile.TemporaryDirectory(prefix="crs-") as made:
        yield Path(made)


@pytest.fixture
def crs_audit(home: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs `crs audit` with words; returns what it printed, raises what it raised."""
    monkeypatch.setenv("CRS_RISK_HOME", str(home.folder))

    def run(*words: object) -> str:
        done = CliRunner().invoke(crs.app, ["audit", *map(str, words)])
        if isinstance(done.exception, CrsRiskError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    return run


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """One that holds a registration of `trained_bundle`."""
    with open_ledger(Home(tmp_path / "home")) as held:
        manifest.register(held, "1", trained_bundle(), "first")
        yield held


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of `trained_bundle`."""
    bundle.write(trained_bundle(), tmp_path / "bundle")
    return tmp_path / "bundle"
