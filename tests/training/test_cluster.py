"""The same tasks on a cluster and here give the same bits, and a cluster that fails says so in one line."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pytest

from data.tables import Cohort
from features.catalogue import Catalogue
from features.errors import ClusterError, DataError, UsageError
from tests.training.conftest import SMALL
from training import cluster
from training.cluster import code_fingerprint, compare, facts, in_turn, on_cluster, side_by_side
from training.cross_validation import out_of_fold_scores
from training.designs import recipe_for
from training.train import train

QUICK = replace(SMALL, interval_resamples=2, bootstrap=2, fewest_events=60)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A scheduler and two workers of one thread in this process, on 127.0.0.1."""
    with _cluster(2) as held:
        yield held.scheduler_address


def _cluster(workers: int, processes: bool = False) -> Any:
    return distributed.LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=workers,
        threads_per_worker=1,
        processes=processes,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    )


def plus(base: int, item: int) -> int:
    return base + item


def refuse(_: int) -> None:
    raise DataError("courses", "not as agreed", "mend it")


def slow_pid(seconds: float, _: int) -> int:
    time.sleep(seconds)
    return os.getpid()


# The same, here and there


def test_results_come_in_order_here_and_on_a_cluster(address: str) -> None:
    here = side_by_side(plus, (10,), range(25), 2)
    with on_cluster(address):
        assert side_by_side(plus, (10,), range(25), 2) == here == list(range(10, 35))
    assert side_by_side(plus, (10,), [], 1) == []


def test_a_bundle_fitted_on_a_cluster_has_the_same_digest(address: str, cohort: Cohort, tables: Catalogue) -> None:
    here = train(cohort, "made-up", QUICK, tables, lambda _: None)
    with on_cluster(address):
        there = train(cohort, "made-up", QUICK, tables, lambda _: None)
    assert here.bundle.boosters
    assert there.bundle.digest == here.bundle.digest
    assert there.results == here.results


def test_cross_validation_on_a_cluster_gives_the_same_bits(address: str, cohort: Cohort, tables: Catalogue) -> None:
    table, recipe, outcomes = recipe_for(cohort, tables, replace(QUICK, repeats=2), lambda _: None)
    here = out_of_fold_scores(table, recipe, outcomes[:1])
    with on_cluster(address):
        there = out_of_fold_scores(table, recipe, outcomes[:1])
    for place, scores in here.items():
        assert set(scores) == set(there[place])
        for name, score in scores.items():
            assert score.tobytes() == there[place][name].tobytes(), name


def test_what_tasks_share_is_sent_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    real = distributed.Client.scatter

    def watched(self: Any, data: Any, **told: Any) -> Any:
        sent.append(len(data))
        return real(self, data, **told)

    monkeypatch.setattr(distributed.Client, "scatter", watched)
    large = np.zeros(1000)
    with on_cluster(address):
        for _ in range(3):
            assert side_by_side(_total, (large, 2.0), range(4), 1) == [0.0, 2.0, 4.0, 6.0]
    assert len(sent) == 2


def _total(held: np.ndarray, factor: float, item: int) -> float:
    return float(held.sum()) + factor * item


def test_few_tasks_are_on_their_way_at_a_time() -> None:
    begun = []

    def items() -> Iterator[int]:
        for one in range(50):
            begun.append(one)
            yield one

    results = in_turn(plus, (0,), items(), 2)
    assert next(results) == 0
    assert len(begun) <= 2 * cluster.AHEAD + 1
    assert list(results) == list(range(1, 50))


@contextmanager
def _workers(count: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler here, and workers in processes of their own that can be killed."""
    with _cluster(0) as held:
        words = [sys.executable, "-m", "dask", "worker", held.scheduler_address]
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
        begun = [
            subprocess.Popen([*words, *options], cwd=cluster.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for _ in range(count)
        ]
        try:
            until = time.monotonic() + 60
            while len(held.scheduler.workers) < count and time.monotonic() < until:
                time.sleep(0.1)
            yield held.scheduler_address, begun
        finally:
            for one in begun:
                one.kill()
                one.wait()


# What goes wrong is one line


def test_an_error_of_a_task_arrives_as_itself(address: str) -> None:
    with on_cluster(address), pytest.raises(DataError, match="courses: not as agreed; mend it") as found:
        side_by_side(refuse, (), [1], 1)
    assert (found.value.place, found.value.exit_code) == ("courses", 3)


def test_a_cluster_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.3)
    with pytest.raises(ClusterError, match="no scheduler answers there") as found, on_cluster("tcp://127.0.0.1:9"):
        pass
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("address", ["127.0.0.1:8786", "http://127.0.0.1:8786", "tcp://127.0.0.1", "tcp://a b:1"])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="not the address of a Dask scheduler"), on_cluster(address):
        pass


def test_a_scheduler_without_workers_is_one_line() -> None:
    with (
        _cluster(0) as held,
        pytest.raises(ClusterError, match="the scheduler has no workers"),
        on_cluster(held.scheduler_address),
    ):
        pass


def test_a_worker_that_runs_another_library_or_other_code_is_named(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    own = facts()
    compare(own, dict(own), "worker")
    with pytest.raises(ClusterError, match=r"worker tcp://x runs xgboost-cpu 1\.0\.0, and this process"):
        compare(own, {**own, "xgboost-cpu": "1.0.0"}, "worker tcp://x")
    with pytest.raises(ClusterError, match="runs code abc, and this process"):
        compare(own, {**own, "code": "abc"}, "worker tcp://x")
    monkeypatch.setattr(cluster._Dask, "__init__", _as_of_another_release)
    with pytest.raises(ClusterError, match=r"worker tcp://.* runs code"), on_cluster(address):
        pass


def _as_of_another_release(self: Any, client: Any) -> None:
    self.client, self.own, self._sent = client, {**facts(), "code": "0" * 64}, {}


def test_the_fingerprint_of_the_code_follows_every_byte_and_name(tmp_path: Path) -> None:
    file = tmp_path / "training" / "x.py"
    file.parent.mkdir()
    file.write_text("a = 1\n")
    first = code_fingerprint(tmp_path)
    assert code_fingerprint(tmp_path) == first
    file.write_text("a = 2\n")
    second = code_fingerprint(tmp_path)
    file.rename(file.with_name("y.py"))
    assert len({first, second, code_fingerprint(tmp_path)}) == 3


@pytest.mark.slow
def test_a_killed_worker_changes_no_result_and_none_left_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 2.0)
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.5)
    with _workers(2) as (address, processes), on_cluster(address):
        results = in_turn(slow_pid, (0.2,), range(12), 1)
        first = next(results)
        assert first in {one.pid for one in processes}
        processes[0].kill()
        assert len(list(results)) == 11
        later = in_turn(slow_pid, (0.3,), range(6), 1)
        assert next(later) == processes[1].pid
        processes[1].kill()
        with pytest.raises(ClusterError, match="the cluster was lost on the way"):
            list(later)
