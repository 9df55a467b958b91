"""One real service on loopback, and one stand-in FHIR server that it may read from, for all tests of the contract."""

import warnings
from collections.abc import Iterator
from dataclasses import replace

import pytest

from features.bundle import Bundle
from features.home import Home
from features.policy import Thresholds
from tests.contract.cds_hooks.ehr import StandIn, fhir_server
from tests.serving.builders import Server, promote, trained_bundle

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


def banded() -> Bundle:
    """The trained bundle; its cut-offs lie where a typical value of a test may lead to either side."""
    held = trained_bundle()
    thresholds = {key: Thresholds(0.5, 0.8, 0.9, 20.0, 0.4, 0.95, 30.0, 0.9, 0.2) for key in held.policy.thresholds}
    return replace(held, policy=replace(held.policy, thresholds=thresholds))


@pytest.fixture(scope="session")
def crs(tmp_path_factory: pytest.TempPathFactory, fhir: StandIn) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("crs")
    home = Home(folder / "home")
    promote(home, banded())
    home.trust.write_text(f'[fhir]\nservers = ["{fhir.base}"]\ntimeout_seconds = 2.0\nbytes = 200000\npages = 4\n')
    started = Server.start(home, folder)
    try:
        yield started.wait_until_ready(180)
    finally:
        started.stop()
