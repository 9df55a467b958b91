"""A run that its process left open is marked as killed, and a run that somebody works on is left alone."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from features.home import Home
from tests.real_data import ROOT
from training import tracking, unfinished

pytestmark = pytest.mark.slow

#: Opens a run with half a model in the home that it is told, says their ids, and waits to be killed.
AT_WORK = """
import sys, time
from pathlib import Path
from features.home import Home
from training import tracking, unfinished
with tracking.store(Home(Path(sys.argv[1]))) as client:
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    run = client.create_run(experiment, tags=unfinished.tag()).info.run_id
    model = client.create_logged_model(experiment, name="half", source_run_id=run).model_id
    print(run, model, flush=True)
    time.sleep(300)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("unfinished") / "home")


@contextmanager
def somebody(home: Home) -> Iterator[tuple["subprocess.Popen[str]", str, str]]:
    """A process that has a run open, with the run's id and that of its half-logged model."""
    process = subprocess.Popen(
        [sys.executable, "-c", AT_WORK, str(home.folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tempfile.gettempdir(),
    )
    try:
        assert process.stdout is not None
        run, model = process.stdout.readline().split()
        yield process, run, model
    finally:
        process.kill()
        process.communicate()


def run_of(home: Home, run_id: str) -> Run:
    with tracking.store(home) as client:
        return client.get_run(run_id)


def begun(client: MlflowClient) -> str:
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    assert experiment is not None
    return str(client.create_run(experiment.experiment_id, tags=unfinished.tag()).info.run_id)


def names_in(home: Home) -> list[str]:
    return [path.name for path in (home.folder / "at-work").iterdir()]


def test_only_when_its_process_was_killed_is_a_run_marked_so(home: Home) -> None:
    with somebody(home) as (process, run_id, model):
        assert run_of(home, run_id).info.status == "RUNNING"
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = run_of(home, run_id)
        assert (found.info.status, found.info.end_time is not None) == ("KILLED", True)
        assert str(mlflow.get_logged_model(model).status) == "FAILED"
    assert names_in(home) == []


def test_what_a_block_leaves_open_is_marked_at_its_end_and_what_it_closed_is_not(home: Home) -> None:
    made: list[str] = []

    def interrupted() -> None:
        with tracking.store(home) as client:
            made.extend((begun(client), begun(client)))
            client.set_terminated(made[1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [run_of(home, one).info.status for one in made] == ["KILLED", "FINISHED"]
    assert names_in(home) == []


def test_a_block_within_a_block_leaves_the_outer_ones_runs_alone(home: Home) -> None:
    with tracking.store(home) as outer:
        first = begun(outer)
        assert run_of(home, first).info.status == "RUNNING"
        second = begun(outer)
        assert outer.get_run(first).data.tags["worker"] == outer.get_run(second).data.tags["worker"]
        assert outer.get_run(second).info.status == "RUNNING"


def test_outside_a_block_nothing_is_tagged() -> None:
    assert unfinished.tag() == {}
