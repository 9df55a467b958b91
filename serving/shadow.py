"""A challenger scored beside the champion: after the answer has left, in a thread of its own, into the ledger alone.

It never delays or changes an answer. What goes wrong is logged without any value and counted; what does not fit into
the queue is counted and left out.
"""

import os
import queue
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from audit.events import Entry, Kind
from features import bundle, catalogue
from features.errors import CrsRiskError
from features.home import Home, Live, read_live
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor, verify_golden
from features.shadow import read_shadow
from features.single import snapshots
from serving.configured import shadow_of
from serving.log import LOGGER, failure
from serving.noted import Noted
from serving.recorded import Appends, appends
from serving.started import started_with

#: Calls that may wait to be scored.
MOST_WAITING = 256
SCORED, FAILED, DROPPED = "scored", "failed", "dropped"
Count = Callable[[str, int], None]


class Shadow:
    """One challenger, verified, and the thread that scores with it. champion: digest of the bundle that answers."""

    def __init__(self, predictor: Predictor, version: str, champion: str, ledger: Appends, count: Count) -> None:
        self.predictor, self.version, self.champion = predictor, version, champion
        self._ledger, self._count = ledger, count
        self._waiting: queue.Queue[Sequence[Noted]] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def later(self, noted: Sequence[Noted]) -> None:
        """Score these courses when there is time; never waits."""
        if not noted:
            return
        try:
            self._waiting.put_nowait(noted)
        except queue.Full:
            self._count(DROPPED, len(noted))

    def finish(self) -> None:
        """Wait until everything that was handed over is done."""
        self._waiting.join()

    def _run(self) -> None:
        while True:
            noted = self._waiting.get()
            try:
                self._ledger.append_all(self.entries(noted))
                self._count(SCORED, len(noted))
            except Exception as error:  # noqa: BLE001 (the last stop: the answer has left, and nothing may follow)
                self._count(FAILED, len(noted))
                LOGGER.error("shadow: %s", failure(error))
            finally:
                self._waiting.task_done()

    def entries(self, noted: Sequence[Noted]) -> list[Entry]:
        """What the challenger says of these courses, as records."""
        found = self.predictor.predict(snapshots(self.predictor.catalogue, [course for _, course in noted]))
        digest = self.predictor.digest
        about = {"bundle": digest, "version": self.version, "champion": self.champion}
        return [
            Entry(
                Kind.SHADOW,
                {
                    **about,
                    "prediction_id": name,
                    "probabilities": _named(found.probability[place]),
                    "low": _named(found.low[place]),
                    "high": _named(found.high[place]),
                },
                f"{name}:{digest}",
            )
            for place, (name, _) in enumerate(noted)
        ]


def _named(values: Any) -> dict[str, float]:
    return {key: float(one) for key, one in zip(OUTCOME_KEYS, values, strict=True) if not np.isnan(one)}


def open_shadow(
    home: Home, ledger: Appends, count: Count, read: Callable[[Home], Live | None] = read_shadow
) -> Shadow | None:
    """The challenger that is named, verified like the champion; None where there is none or it cannot be used.

    A challenger that fails its check is no reason not to answer: it is logged and counted.
    """
    try:
        if (named := read(home)) is None:
            return None
        live = started_with(os.environ) or read_live(home)
        if named.digest == live.digest:
            return None
        return Shadow(_verified(home, named), named.version, live.digest, ledger, count)
    except CrsRiskError as error:
        LOGGER.error("shadow: %s", error)
        count(FAILED, 1)
        return None


def _verified(home: Home, named: Live) -> Predictor:
    from serving.store import bundle_folder

    predictor = Predictor(bundle.read(bundle_folder(home, named), named.digest), catalogue.load())
    verify_golden(predictor)
    return predictor


@cache
def loaded_shadow() -> Shadow | None:
    """The challenger of the deployment that CRS_RISK_HOME names; loaded and checked once per process."""
    return open_shadow(Home.from_environment(os.environ), appends(), counted, shadow_of)


def counted(result: str, courses: int) -> None:
    """Add to the counter that /metrics shows."""
    _counter().labels(result=result).inc(courses)


@cache
def _counter() -> Any:
    from bentoml.metrics import Counter

    return Counter(
        name="crs_risk_shadow_courses", documentation="Courses scored by the shadow, by result.", labelnames=["result"]
    )
