"""Ready is who can answer: a model that was verified, and a ledger that can be written."""

import pytest

from features.errors import BundleError, LedgerError
from serving.ready import KEPT_SECONDS, Readiness


class Watched:
    """A ledger that is asked, and a clock; both as the test says."""

    def __init__(self) -> None:
        self.asked, self.broken, self.at = 0, False, 0.0

    def ask(self) -> None:
        self.asked += 1
        if self.broken:
            raise LedgerError("ledger", "the disk is full")


def test_it_is_ready_while_the_ledger_can_be_written_and_again_once_it_can() -> None:
    held = Watched()
    ready = Readiness(lambda: None, held.ask, lambda: held.at)
    told = []
    for held.broken in (False, True, False):
        told.append(ready.look())
        held.at += KEPT_SECONDS
    assert told == [True, False, True]


def test_the_ledger_is_asked_once_in_two_seconds_whoever_asks() -> None:
    held = Watched()
    ready = Readiness(lambda: None, held.ask, lambda: held.at)
    for _ in range(100):
        ready.look()
    held.at = KEPT_SECONDS - 0.001
    ready.look()
    assert held.asked == 1
    held.at = KEPT_SECONDS
    ready.look()
    assert held.asked == 2


def test_without_a_verified_model_nothing_is_ready() -> None:
    def no_model() -> None:
        raise BundleError("manifest.json", "the digest is not the one that was promoted")

    with pytest.raises(BundleError):
        Readiness(no_model, lambda: None).look()
