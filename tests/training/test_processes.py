"""Processes of this machine give what threads give, hold what they share once, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from data.tables import Cohort
from features.catalogue import Catalogue
from features.errors import ClusterError, DataError, StoreError
from tests.training import tasks
from tests.training.conftest import SMALL
from training import cells, cross_validation, here, shelf
from training.cluster import ROOT, in_turn, on_cluster, side_by_side
from training.cross_validation import out_of_fold_scores
from training.designs import recipe_for
from training.here import running, size_of
from training.processes import Processes
from training.shelf import Shelf
from training.train import train
from training.turns import AHEAD

QUICK = replace(SMALL, interval_resamples=2, bootstrap=2, fewest_events=60, workers=2)
HERE = os.getpid()


@pytest.fixture(scope="module")
def two() -> Iterator[Processes]:
    with closing(Processes(2)) as held:
        yield held


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """However small the work is, it goes to processes."""
    monkeypatch.setattr(here, "START_BYTES", 0)
    with on_cluster(""):
        yield


# The same, in threads and in processes


def test_results_come_in_order_from_processes_of_their_own(two: Processes) -> None:
    found = list(two.results(tasks.where, (), range(20)))
    assert [item for _, item in found] == list(range(20))
    assert HERE not in {process for process, _ in found}
    assert {process for process, _ in found} <= {one.process.pid for one in two._all}


@pytest.mark.slow
def test_a_bundle_and_folds_from_processes_have_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, cohort: Cohort, tables: Catalogue
) -> None:
    table, recipe, outcomes = recipe_for(cohort, tables, replace(QUICK, repeats=2), lambda _: None)
    bundle, scores = train(cohort, "made-up", QUICK, tables, lambda _: None), _folds(table, recipe, outcomes[:2])
    monkeypatch.setattr(here, "START_BYTES", 0)
    with on_cluster(""):
        there = train(cohort, "made-up", QUICK, tables, lambda _: None)
        assert running()
        assert _folds(table, recipe, outcomes[:2]) == scores
    assert there.bundle.digest == bundle.bundle.digest
    assert there.bundle.boosters
    assert there.results == bundle.results


def _folds(*asked: object) -> dict[tuple[int, str], bytes]:
    held = out_of_fold_scores(*asked)  # type: ignore[arg-type]
    return {(place, name): score.tobytes() for place, scores in held.items() for name, score in scores.items()}


@pytest.mark.parametrize(("large", "workers"), [(1, 1), (1 << 40, 2)])
def test_folds_come_side_by_side_but_those_of_a_large_table_in_turn(
    monkeypatch: pytest.MonkeyPatch, cohort: Cohort, tables: Catalogue, large: int, workers: int
) -> None:
    table, recipe, outcomes = recipe_for(cohort, tables, QUICK, lambda _: None)
    told: list[int] = []
    monkeypatch.setattr(cells, "LARGE_CELLS", large)
    monkeypatch.setattr(cross_validation, "side_by_side", lambda *asked: told.append(asked[3]) or _stop())
    with pytest.raises(StopIteration):
        out_of_fold_scores(table, recipe, outcomes)
    assert told == [workers]


def _stop() -> None:
    raise StopIteration


def test_libraries_run_on_one_thread_in_a_process(two: Processes) -> None:
    (found,) = two.results(tasks.threads_of_libraries, (), [0])
    assert found
    assert set(found) == {1}


def test_small_work_and_one_worker_stay_in_this_process() -> None:
    assert {process for process, _ in side_by_side(tasks.where, (), range(4), 2)} == {HERE}
    assert not running()


def test_large_work_goes_to_processes_that_end_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "START_BYTES", 80_000)
    table = np.arange(20_000.0).reshape(2, -1)
    with on_cluster(""):
        assert not running()
        held = side_by_side(tasks.rows, (table,), range(2), 2)
        assert np.array_equal(held, table)
        assert running()
        assert {process for process, _ in side_by_side(tasks.where, (), range(4), 1)} == {HERE}
    assert not running()


def test_processes_that_shared_much_end_with_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.zeros((2, 20_000))
    monkeypatch.setattr(here, "START_BYTES", table.nbytes)
    with on_cluster(""):
        for most, kept in ((table.nbytes, True), (table.nbytes - 1, False)):
            monkeypatch.setattr(here, "KEEP_BYTES", most)
            side_by_side(tasks.rows, (table,), range(2), 2)
            assert running() == kept


def test_less_work_goes_to_processes_that_run_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "GO_BYTES", 800)
    with on_cluster(""):
        for size in (100, 99):
            list(in_turn(tasks.where, (), range(2), 2, heavy=True))
            found = side_by_side(tasks.held_by, (np.zeros(size),), range(4), 2)
            assert (HERE in found) == (size < 100)


def test_heavy_work_goes_to_processes_however_little_it_shares() -> None:
    with on_cluster(""):
        found = list(in_turn(tasks.where, (), range(4), 2, heavy=True))
        assert [item for _, item in found] == list(range(4))
        assert HERE not in {process for process, _ in found}


def test_the_size_of_what_is_shared_counts_the_arrays_inside() -> None:
    held = tasks.Held(np.zeros(10), np.zeros(5), np.array(["abc"]))
    assert size_of((held, {"more": [np.zeros(2)]}, "text")) == 80 + 40 + 12 + 16


@pytest.mark.usefixtures("forced")
def test_a_task_runs_in_turn_what_it_would_have_run_side_by_side() -> None:
    for found in side_by_side(tasks.inside, (), [3, 3], 2):
        assert len(set(found)) == 1
        assert found[0][0] != HERE


def test_a_task_in_a_thread_runs_in_turn_what_it_would_have_run_side_by_side() -> None:
    for found in side_by_side(tasks.inside, (), [3, 3], 2):
        assert len(set(found)) == 1


def test_few_tasks_are_on_their_way_to_processes_at_a_time(two: Processes) -> None:
    begun = []

    def items() -> Iterator[int]:
        for one in range(50):
            begun.append(one)
            yield one

    results = two.results(tasks.where, (), items())
    next(results)
    assert len(begun) <= 2 * AHEAD + 1
    assert len(list(results)) == 49


# What is shared lies once


def test_a_large_array_inside_a_dataclass_is_read_where_it_lies(two: Processes) -> None:
    held = tasks.Held(np.arange(100_000.0), np.arange(5.0), np.array(["one", "three"]))
    for large, small in two.results(tasks.seen, (held,), [0, 0]):
        assert large == tasks.Seen(False, False, "ndarray", float(held.large.sum()))
        assert small.writeable
        assert small.total == 10.0
    lies = two._shelf.place(held.large)
    again = list(two.results(tasks.seen, (held,), [1]))
    assert again[0][0].total == float(held.large.sum()) + 1
    assert two._shelf.place(held.large) == lies


def test_rows_in_either_order_and_words_arrive_as_they_are() -> None:
    plain = np.random.default_rng(1).normal(size=(200, 300))
    words = np.full((100, 300), "24h")
    texts = np.array(["24h", "dose2+12h"] * 10_000, dtype=object)
    with closing(Shelf()) as held:
        for array in (plain, np.asfortranarray(plain), plain.T, words, texts, plain > 0, plain[:, ::2]):
            found = shelf.unpacked(held.packed(array), held.file.fileno())
            assert found.dtype == array.dtype
            assert found.shape == array.shape
            assert found.flags.f_contiguous == array.flags.f_contiguous
            assert np.array_equal(found, array)


def test_what_was_laid_down_cannot_be_changed_by_anybody(two: Processes) -> None:
    table = np.zeros((2, 50_000))
    with pytest.raises(ValueError, match="read-only"):
        list(two.results(tasks.spoil, (table,), [0]))
    with pytest.raises(ValueError, match="read-only"):
        table[0] = 1.0


def test_the_room_of_an_array_that_is_gone_serves_the_next() -> None:
    with closing(Shelf()) as held:
        for value in range(5):
            array = np.full(20_000, float(value))
            found = shelf.unpacked(held.packed([array]), held.file.fileno())
            assert found[0].tobytes() == array.tobytes()
            del array
        assert os.fstat(held.file.fileno()).st_size == 160_000


def test_a_memory_map_is_opened_by_name_and_not_copied(tmp_path: Path) -> None:
    np.arange(40_000.0).tofile(tmp_path / "cells")
    mapped = np.memmap(tmp_path / "cells", np.float64, "r", shape=(200, 200))
    with closing(Shelf()) as held:
        found = shelf.unpacked(held.packed((mapped,)), held.file.fileno())
        assert isinstance(found[0], np.memmap)
        assert np.array_equal(found[0], mapped)
        assert os.fstat(held.file.fileno()).st_size == 0
        part = shelf.unpacked(held.packed(mapped[50:150]), held.file.fileno())
        assert np.array_equal(part, mapped[50:150])


def test_read_only_mappings_travel_and_stay_so() -> None:
    found = shelf.from_bytes(shelf.to_bytes(MappingProxyType({"crp": (5.0, "mg/L")})))
    assert found == {"crp": (5.0, "mg/L")}
    assert type(found) is MappingProxyType


def test_a_full_temporary_folder_is_one_line() -> None:
    with closing(Shelf()) as held, Path("/dev/full").open("wb", buffering=0) as full:
        held.file.close()
        held.file = full  # type: ignore[assignment]
        with pytest.raises(StoreError, match=r"cannot be written there \(No space left on device\)"):
            held.packed(np.zeros(20_000))


# What goes wrong


def test_an_error_of_a_task_in_a_process_arrives_as_itself(two: Processes) -> None:
    with pytest.raises(DataError, match="courses: not as agreed; mend it") as found:
        list(two.results(tasks.refuse, (), [1]))
    assert (found.value.place, found.value.exit_code) == ("courses", 3)
    assert not two.running
    with pytest.raises(ZeroDivisionError) as other:
        list(two.results(tasks.divide, (), [1, 0, 2]))
    assert "in divide" in other.value.__notes__[0]
    assert list(two.results(tasks.divide, (), [1, 2])) == [1.0, 0.5]


def test_a_warning_that_is_an_error_here_is_one_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "warnoptions", ["error::UserWarning"])
    with closing(Processes(1)) as one, pytest.raises(UserWarning, match="not quite"):
        list(one.results(tasks.warn, (), [0]))


def test_a_process_that_was_killed_is_one_line_and_the_next_task_starts_anew(two: Processes) -> None:
    with pytest.raises(ClusterError, match=r"a local process ended before its task did \(SIGKILL\)") as found:
        list(two.results(tasks.die, (), [1]))
    assert "\n" not in str(found.value)
    assert len(list(two.results(tasks.where, (), range(3)))) == 3


SCRIPT = """
import sys
from tests.training import tasks
from training.cluster import in_turn
list(in_turn(tasks.sleep, (sys.argv[1],), range(8), 2, heavy=True))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_ended_leaves_no_process_and_no_file(tmp_path: Path, number: signal.Signals) -> None:
    notes, scratch = tmp_path / "notes", tmp_path / "scratch"
    notes.mkdir()
    scratch.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(notes)],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch)},
        stderr=subprocess.DEVNULL,
    ) as command:
        assert _soon(lambda: len(list(notes.iterdir())) == 2)
        begun = [int(one.name) for one in notes.iterdir()]
        assert all(_runs(one) for one in begun)
        command.send_signal(number)
    assert _soon(lambda: not any(_runs(one) for one in begun))
    assert len(list(notes.iterdir())) == 2
    assert list(scratch.iterdir()) == []


def _soon(true: Callable[[], bool]) -> bool:
    until = time.monotonic() + 60
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return true()


def _runs(process: int) -> bool:
    """Whether it is there and is no zombie, which only waits to be counted."""
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
