"""A stand-in EHR, a real service that trusts its key and lists its origin, and Debian's Chromium over both."""

import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from features.home import Home
from tests.browser.ehr_server import JWKS, Ehr, running
from tests.browser.window import Window
from tests.serving.builders import Server, free_port, promote
from tests.serving.learned import banded, learned_bundle

with warnings.catch_warnings():
    # BentoML uses what its own libraries have deprecated; that is not ours to mend.
    warnings.simplefilter("ignore")
    import bentoml.models  # noqa: F401

#: Columns that the served model reads; IL-6 was never measured of the stand-in patient.
READS = (("crp.last", 0.0, 200.0), ("ferritin.last", 50.0, 5000.0), ("il6.last", 1.0, 5000.0))
TRUST = """
public_url = "{service}"
[[issuers]]
issuer = "{ehr}"
jku = ["{ehr}{jwks}"]
roles = ["predict", "feedback"]
[open]
page = true
[cors]
origins = ["{ehr}"]
"""
#: No name but this machine's is looked up. No sandbox of its own: tests run as root, and open our own pages alone.
OPTIONS = ("--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost")
Open = Callable[..., Window]


@pytest.fixture(scope="module", autouse=True)
def chromium() -> str:
    """Its path; asked for first, so that nothing is started where there is none."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("SKIPPED: no chromium on this machine, so NO BROWSER TEST RUNS; apt-get install chromium")
    return path


@pytest.fixture(scope="module")
def _listening() -> Iterator[Ehr]:
    with running() as held:
        yield held


@pytest.fixture(scope="module")
def crs(tmp_path_factory: pytest.TempPathFactory, _listening: Ehr) -> Iterator[Server]:
    folder, port = tmp_path_factory.mktemp("browser"), free_port()
    home = Home(folder / "home")
    promote(home, banded(learned_bundle(READS, "crs_3plus"), "crs_3plus", 0.01, 0.02))
    service = f"http://127.0.0.1:{port}"
    home.trust.write_text(TRUST.format(service=service, ehr=_listening.origin, jwks=JWKS))
    started = Server.start(home, folder, port=port)
    try:
        yield started.wait_until_ready(180)
    finally:
        started.stop()


@pytest.fixture(scope="module")
def _ehr(_listening: Ehr, crs: Server) -> Ehr:
    """The EHR, told where the service is."""
    _listening.service = crs.url
    return _listening


@pytest.fixture
def ehr(_ehr: Ehr) -> Ehr:
    """With its patient two days after the infusion, whatever a test before has done."""
    _ehr.fhir.reset(day=2)
    return _ehr


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Ended with the module: while it runs, this thread has an event loop that other tests could stumble over."""
    with sync_playwright() as play, _launched(play.chromium.launch(executable_path=chromium, args=OPTIONS)) as held:
        yield held


@contextmanager
def _launched(browser: Browser) -> Iterator[Browser]:
    try:
        yield browser
    finally:
        browser.close()


@pytest.fixture(scope="module")
def visit(browser: Browser) -> Iterator[Open]:
    """Opens an address in a window of its own; width: of the window in CSS pixels."""
    contexts: list[BrowserContext] = []

    def opened(address: str, width: int = 1100) -> Window:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}))
        return Window.opened(contexts[-1], address)

    yield opened
    for one in contexts:
        one.close()


@pytest.fixture(scope="module")
def seen(visit: Open, _ehr: Ehr) -> Window:
    """The EHR's page with its card, for tests that only look."""
    _ehr.fhir.reset(day=2)
    return visit(_ehr.origin)


@pytest.fixture(scope="module")
def own(visit: Open, crs: Server) -> Window:
    """The service's own page, for tests that only look."""
    return visit(crs.url)
