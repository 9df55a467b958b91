"""`crs tune`: a settings file that is never worse than what was given, MLflow showing all of it, killed or not."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState
from typer.testing import CliRunner

import crs as command
from data import locked
from data.tables import Cohort
from features.errors import DataError, UsageError
from features.home import Home
from tests.real_data import ROOT
from tests.training.conftest import SMALL
from training import config, flows, search, tracking, tune
from training.diagnose import Override
from training.search_space import LOG, Bounds, Space
from training.tune import Request
from training.tuning_runs import PARENT, SEARCH, STATE, TRIAL

QUICK = replace(SMALL, folds=2)
TRIALS = 6
#: Nothing refuses the cohort; what somebody answers for is recorded all the same.
ANSWERED = (Override("label-copied", "a test"),)
#: Few and shallow trees, so that a fold takes a second.
SPACE = Space(
    max_depth=Bounds(1, 2),
    learning_rate=Bounds(0.01, 0.5, LOG),
    rounds=Bounds(2, 8, LOG),
    min_child_weight=Bounds(0.5, 20, LOG),
    l2_penalty=Bounds(0.1, 10, LOG),
    columns_per_tree=Bounds(0.1, 1),
)


def tuned(home: Home, folder: Path, out: Path, **asked: Any) -> config.Settings:
    """A small search in which the first trials are compared already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "FEWEST_TO_COMPARE", 2)
        return tune.tune(
            home, Request(folder, out, **{"trials": TRIALS, "overrides": ANSWERED, **asked}), QUICK, None, SPACE
        )


@dataclass(frozen=True)
class Done:
    """A search that nobody disturbed."""

    home: Home
    best: config.Settings
    document: bytes


@pytest.fixture(scope="module")
def done(cohort_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("tune")
    best = tuned(Home(folder / "home"), cohort_folder, folder / "settings.toml")
    assert sorted(path.name for path in folder.iterdir()) == ["home", "settings.toml"]
    return Done(Home(folder / "home"), best, (folder / "settings.toml").read_bytes())


@dataclass(frozen=True)
class Runs:
    """What MLflow holds: the runs of searches, and below each the runs of its trials by number."""

    searches: list[Any]
    trials: dict[int, Any]

    @classmethod
    def of(cls, home: Home) -> "Runs":
        with tracking.store(home) as client:
            experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
            assert experiment is not None
            held = client.search_runs([experiment.experiment_id])
        children = [run for run in held if PARENT in run.data.tags]
        numbers = [int(run.data.tags[TRIAL]) for run in children]
        assert len(numbers) == len(set(numbers))
        return cls([run for run in held if run not in children], dict(zip(numbers, children, strict=True)))


def trials_of(home: Home) -> list[tuple[object, ...]]:
    """All of a search's trials but the time of day."""
    runs = Runs.of(home)
    with search.opened(home, runs.searches[0].data.tags[SEARCH]) as study:
        return [(one.state, one.params, one.value, one.intermediate_values, one.user_attrs) for one in study.trials]


def test_the_written_settings_are_read_as_they_were_found(done: Done, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(done.document)
    assert config.read(tmp_path / "settings.toml") == done.best
    changed = {key for key, value in done.best.to_json().items() if value != QUICK.to_json()[key]}
    assert changed <= set(Space.__slots__)
    assert changed == set() or SPACE.place(done.best) != {}


def test_the_written_settings_lock_no_more_patients_than_the_search_did(done: Done, tmp_path: Path) -> None:
    text, path = done.document.decode(), tmp_path / "settings.toml"
    share = f"test_share = {QUICK.test_share}\n"
    assert text.count(share) == 2
    path.write_text(text.replace(f"\n{share}", f"\ntest_share = {QUICK.test_share + 0.1}\n"), encoding="utf-8")
    with pytest.raises(UsageError, match="test_share: more than tuned_test_share"):
        config.read(path)


def test_mlflow_shows_one_run_and_below_it_each_trial(done: Done, cohort_folder: Path) -> None:
    runs = Runs.of(done.home)
    (parent,) = runs.searches
    assert sorted(runs.trials) == list(range(1, TRIALS + 1))
    assert {run.data.tags[PARENT] for run in runs.trials.values()} == {parent.info.run_id}
    assert {run.info.status for run in (parent, *runs.trials.values())} == {"FINISHED"}
    (data,) = parent.inputs.dataset_inputs
    learnt = locked.read_training_part(cohort_folder, QUICK.test_share).cohort
    assert data.dataset.digest == learnt.fingerprint[:36]
    assert parent.data.params["data_fingerprint"] == learnt.fingerprint
    assert parent.data.params["settings.folds"] == "2"
    assert parent.data.tags["overrides"] == "label-copied: a test"
    best = runs.trials[int(parent.data.tags["best_trial"])]
    assert best.data.params["learning_rate"] == str(done.best.learning_rate)
    assert best.data.metrics["mean_log_loss"] == parent.data.metrics["best_log_loss"]
    assert parent.data.metrics["best_log_loss"] <= parent.data.metrics["given_log_loss"]
    assert runs.trials[1].data.metrics["mean_log_loss"] == parent.data.metrics["given_log_loss"]
    with tracking.store(done.home) as client:
        assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["settings.toml"]


def test_each_fold_is_logged_and_a_trial_that_was_given_up_says_so(done: Done) -> None:
    runs, held = Runs.of(done.home), trials_of(done.home)
    states = [state for state, *_ in held]
    assert states.count(TrialState.PRUNED) == int(runs.searches[0].data.tags["trials_pruned"]) > 0
    with tracking.store(done.home) as client:
        for number, (state, _, _, means, _) in enumerate(held, 1):
            run = runs.trials[number]
            assert run.data.tags[STATE] == ("pruned" if state is TrialState.PRUNED else "complete")
            logged = client.get_metric_history(run.info.run_id, "mean_log_loss")
            assert {one.step: one.value for one in logged} == means
            assert len(logged) == len(means)


@pytest.mark.slow
def test_a_search_that_is_complete_says_so_and_writes_the_same_file_again(
    done: Done, cohort_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "fold_losses", None)
    before = trials_of(done.home), sorted(run.info.run_id for run in Runs.of(done.home).trials.values())
    assert tuned(done.home, cohort_folder, tmp_path / "again.toml") == done.best
    assert (tmp_path / "again.toml").read_bytes() == done.document
    assert f"complete, {TRIALS} of {TRIALS} trials" in capsys.readouterr().out
    assert before == (trials_of(done.home), sorted(run.info.run_id for run in Runs.of(done.home).trials.values()))
    (parent,) = Runs.of(done.home).searches
    assert len(parent.inputs.dataset_inputs) == 1


@pytest.fixture
def killed(cohort_folder: Path, tmp_path: Path) -> Iterator[Home]:
    """A home in which a search in a process of its own was killed in its third trial."""
    words = ("home", str(cohort_folder), "settings.toml")
    code = (
        "import sys; from pathlib import Path; from features.home import Home\n"
        "from tests.training.test_tune import tuned\n"
        "home, folder, out = map(Path, sys.argv[1:]); tuned(Home(home.resolve()), folder, out)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = iter(process.stdout)
    assert any(line.startswith(f"trial 3 of {TRIALS}: 1 of {QUICK.folds} folds") for line in lines)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert not (tmp_path / "settings.toml").exists()
    return Home(tmp_path / "home")


@pytest.mark.parametrize(
    ("trials", "said"), [(1, "one trial, with the given"), (3, "3 trials, the first with the given")]
)
def test_a_new_search_says_how_many_trials_it_makes(
    trials: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with search.opened(Home(tmp_path / "home"), "new") as study:
        tune._say_where(study, "tune-1", trials)
    assert capsys.readouterr().out == f"tune-1: {said} settings\n"


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(
    done: Done, killed: Home, cohort_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {number: run.info.run_id for number, run in Runs.of(killed).trials.items()}
    (parent,) = Runs.of(killed).searches
    assert parent.info.status == "KILLED"
    assert tuned(killed, cohort_folder, tmp_path / "settings.toml") == done.best
    assert "goes on where it stopped, " in capsys.readouterr().out
    assert (tmp_path / "settings.toml").read_bytes() == done.document
    assert trials_of(killed) == trials_of(done.home)
    after = Runs.of(killed)
    assert [run.info.run_id for run in after.searches] == [parent.info.run_id]
    assert before.items() <= {number: run.info.run_id for number, run in after.trials.items()}.items()
    assert len(after.trials) == TRIALS
    assert {run.info.status for run in (*after.searches, *after.trials.values())} == {"FINISHED"}


# What it may see, and what it refuses


def test_no_locked_patient_is_ever_seen(
    cohort_folder: Path, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Cohort] = []

    def looks(cohort: Cohort, *_: object) -> None:
        seen.append(cohort)
        if len(seen) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(flows, "check_data", looks)
    monkeypatch.setattr(tune, "recipe_for", looks)
    with pytest.raises(KeyboardInterrupt):
        tuned(Home(tmp_path), cohort_folder, tmp_path / "settings.toml")
    taken = set(np.asarray(cohort.patient_ids)[locked.locked(cohort.patient_ids, QUICK.test_share)])
    assert len(taken) > 20
    for one in seen:
        assert set(one.patient_ids) == set(cohort.patient_ids) - taken


def test_another_space_seed_or_cohort_is_another_search() -> None:
    task = FakeTask(FakeRecipe(FakeSpec("a"), QUICK))
    names = {
        tune.search_name("f", task, SPACE),  # type: ignore[arg-type]
        tune.search_name("g", task, SPACE),  # type: ignore[arg-type]
        tune.search_name("f", task, replace(SPACE, rounds=Bounds(2, 9, LOG))),  # type: ignore[arg-type]
        tune.search_name("f", replace(task, recipe=FakeRecipe(FakeSpec("b"), QUICK)), SPACE),  # type: ignore[arg-type]
        *(
            tune.search_name("f", replace(task, recipe=FakeRecipe(FakeSpec("a"), changed)), SPACE)  # type: ignore[arg-type]
            for changed in (replace(QUICK, seed=1), replace(QUICK, folds=3), replace(QUICK, max_depth=2))
        ),
    }
    assert len(names) == 7
    same = FakeRecipe(FakeSpec("a"), replace(QUICK, workers=7))
    assert tune.search_name("f", replace(task, recipe=same), SPACE) in names  # type: ignore[arg-type]


@dataclass(frozen=True)
class FakeSpec:
    fingerprint: str


@dataclass(frozen=True)
class FakeRecipe:
    spec: FakeSpec
    settings: config.Settings


@dataclass(frozen=True)
class FakeTask:
    recipe: FakeRecipe


def test_nothing_is_written_where_time_runs_out_before_the_given_settings_are_judged(
    cohort_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"^--timeout: no trial was finished in that time; the same command goes on"):
        tuned(Home(tmp_path / "home"), cohort_folder, tmp_path / "settings.toml", minutes=1e-9)
    assert not (tmp_path / "settings.toml").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("tune", "none", "--timeout", "0"), "--timeout: no time at all"),
        (("tune", "none", "--override", "label-copied"), "--reason: 0 reasons for 1 overrides"),
        (("tune", "none", "--override", "label-copid", "--reason", "why"), "--override: not a code"),
        (("tune", "none", "--out", "no/such/folder/s.toml"), "--out: its folder does not exist"),
        (
            ("train", "--prior-only", "--override", "label-copied", "--reason", "why"),
            "--override: published rates alone",
        ),
        (("evaluate", "none", "--override", "label-copied", "--reason", "why"), "--override: a registered version is"),
    ],
)
def test_options_that_cannot_be_met_are_refused_before_any_work(
    words: tuple[str, ...], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRS_RISK_HOME", str(tmp_path / "home"))
    with pytest.raises(UsageError) as error:
        CliRunner().invoke(command.app, list(words), catch_exceptions=False)
    assert str(error.value).startswith(line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("--trials", "0"), ("--trials", "many"), ("--timeout", "soon")])
def test_options_of_the_wrong_kind_end_with_the_usage_code(words: tuple[str, ...]) -> None:
    assert CliRunner().invoke(command.app, ["tune", "none", *words]).exit_code == 2


def test_a_refused_cohort_is_not_searched_unless_somebody_answers_for_it(
    cohort_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Override, ...]] = []

    def refuses(*words: Any) -> None:
        given.append(words[-1])
        raise DataError("diagnose", "one finding refuses these data")

    monkeypatch.setattr(flows, "check_data", refuses)
    with pytest.raises(DataError, match="refuses these data"):
        tuned(Home(tmp_path / "home"), cohort_folder, tmp_path / "settings.toml")
    assert given == [ANSWERED]
    assert not (tmp_path / "home").exists()
