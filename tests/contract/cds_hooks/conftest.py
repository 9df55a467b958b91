"""One real service on loopback, and one stand-in FHIR server that it may read from, for all tests of the contract."""

import warnings
from collections.abc import Iterator

import pytest

from features.home import Home
from tests.contract.cds_hooks.ehr import StandIn, fhir_server
from tests.serving.builders import Server, promote
from tests.serving.learned import banded, learned_bundle

with warnings.catch_warnings():
    # BentoML uses what its own libraries have deprecated; that is not ours to mend.
    warnings.simplefilter("ignore")
    import bentoml.models  # noqa: F401


@pytest.fixture(scope="session")
def fhir() -> Iterator[StandIn]:
    with fhir_server() as held:
        yield held


@pytest.fixture(autouse=True)
def _as_it_began(request: pytest.FixtureRequest) -> None:
    """What one test switches on in the FHIR server is switched off for the next."""
    if "fhir" in request.fixturenames:
        request.getfixturevalue("fhir").reset()


#: Columns that the served model reads; IL-6 and fibrinogen were never measured of the stand-in patient.
READS = (("crp.last", 0.0, 200.0), ("ferritin.last", 50.0, 5000.0), ("il6.last", 1.0, 5000.0))


@pytest.fixture(scope="session")
def crs(tmp_path_factory: pytest.TempPathFactory, fhir: StandIn) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("crs")
    home = Home(folder / "home")
    promote(home, banded(learned_bundle(READS, "crs_3plus"), "crs_3plus", 0.01, 0.03))
    home.trust.write_text(f'[fhir]\nservers = ["{fhir.base}"]\ntimeout_seconds = 2.0\nbytes = 200000\npages = 4\n')
    started = Server.start(home, folder)
    try:
        yield started.wait_until_ready(180)
    finally:
        started.stop()
