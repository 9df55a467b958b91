"""Fixtures of the service's tests."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from features import catalogue
from features.bundle import Bundle
from features.catalogue import Catalogue
from features.home import Home
from features.predict import Predictor
from serving.answerer import Answerer
from serving.decode import predict_request
from serving.intake import take
from tests.serving.builders import Server, prior_bundle, promote, trained_bundle

with warnings.catch_warnings():
    # BentoML uses what its own libraries have deprecated; that is not ours to mend.
    warnings.simplefilter("ignore")
    import bentoml.models  # noqa: F401

Ask = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="session")
def tables() -> Catalogue:
    return catalogue.load()


def asking(bundle: Bundle) -> Ask:
    """Answers a request body from that bundle, without a server."""
    answerer = Answerer(Predictor(bundle, catalogue.load()), "7")

    def ask(body: dict[str, Any]) -> dict[str, Any]:
        intake = take(answerer.catalogue, predict_request(msgspec.json.encode(body)))
        decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answerer.answer([intake])[0]))
        return decoded

    return ask


@pytest.fixture(scope="session")
def ask_prior() -> Ask:
    """Answers a request body from published rates alone, without a server."""
    return asking(prior_bundle())


@pytest.fixture(scope="session")
def ask_trained() -> Ask:
    """Answers a request body with one trained outcome, without a server."""
    return asking(trained_bundle())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server with one trained outcome, in a process of its own."""
    folder = tmp_path_factory.mktemp("server")
    home = Home(folder / "home")
    promote(home, trained_bundle())
    started = Server.start(home, folder)
    try:
        yield started.wait_until_ready()
    finally:
        started.stop()
