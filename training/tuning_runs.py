"""A search in MLflow: one run for the whole of it, and one below it for each trial. A mirror of what the search keeps.

Each call writes what is missing, so that a search that was killed anywhere is shown whole once it has gone on.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from features.home import Home
from training import tracking, unfinished
from training.config import Settings
from training.search import folds_of
from training.search_space import Space
from training.search_task import mean_loss

#: Tags by which a search's run and its trials are found again; trials count from 1 there, as on the console.
SEARCH, TRIAL, STATE = "search", "trial", "trial_state"
PARENT = "mlflow.parentRunId"
STATES = {TrialState.RUNNING: "running", TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}


@dataclass(frozen=True, slots=True)
class About:
    """What the run of a whole search says. study: the search's name.

    data: name and fingerprint of what is learnt from, and the cohort's folder. overrides: the data checks that somebody
    answered for, with the reasons; "" for none.
    """

    study: str
    title: str
    data: Mapping[str, str]
    settings: Settings
    space: Space
    overrides: str


@dataclass(frozen=True, slots=True)
class Mirror:
    """The runs of one search. finished: trials whose run says all there is. runs: trial, from 0 -> its run."""

    client: Any
    experiment: str
    parent: str
    runs: dict[int, str]
    finished: set[int]

    def show(self, trial: FrozenTrial) -> None:
        """Bring the run of a trial up to what the trial holds."""
        if trial.number in self.finished:
            return
        run = self._taken_up(trial) or self._begin(trial)
        self._log_folds(run, trial)
        self.client.set_tag(run, STATE, STATES[trial.state])
        if trial.state.is_finished():
            self.client.set_terminated(run)
            self.finished.add(trial.number)

    def _taken_up(self, trial: FrozenTrial) -> str | None:
        """The run of a trial that is there already, at work for this process; None where there is none."""
        run = self.runs.get(trial.number)
        if run is not None:
            for key, value in unfinished.tag().items():
                self.client.set_tag(run, key, value)
            self.client.update_run(run, status="RUNNING")
        return run

    def _begin(self, trial: FrozenTrial) -> str:
        tags = {PARENT: self.parent, TRIAL: str(trial.number + 1), STATE: STATES[TrialState.RUNNING]} | unfinished.tag()
        run = self.client.create_run(self.experiment, tags=tags, run_name=f"trial {trial.number + 1}").info.run_id
        self.runs[trial.number] = run
        return str(run)

    def _log_folds(self, run: str, trial: FrozenTrial) -> None:
        """Each setting; after each fold its own loss and the running mean, which comes last and so tells what is in."""
        for key, value in trial.user_attrs["settings"].items():
            self.client.log_param(run, key, str(value))
        folds = folds_of(trial.user_attrs)
        known = {one.step for one in self.client.get_metric_history(run, "mean_log_loss")}
        for fold in range(1, len(folds) + 1):
            if fold not in known:
                self.client.log_metric(run, "fold_log_loss", mean_loss(folds[fold - 1 : fold]), step=fold)
                self.client.log_metric(run, "mean_log_loss", mean_loss(folds[:fold]), step=fold)

    def end(self, best: FrozenTrial, given: FrozenTrial, counts: Mapping[str, int], document: str) -> None:
        """What came of the search so far. counts: state of trials -> how many. document: the settings file."""
        found = {"best_log_loss": best.value, "given_log_loss": given.value}
        for key, value in found.items():
            self.client.log_metric(self.parent, key, value)
        for key, value in {"best_trial": best.number + 1, **counts}.items():
            self.client.set_tag(self.parent, key, str(value))
        self.client.log_text(self.parent, document, "settings.toml")
        self.client.set_terminated(self.parent)


@contextmanager
def mirrored(home: Home, about: About, uri: str | None) -> Iterator[Mirror]:
    """The runs of a search, taken up again where there are some; errors as training.tracking.store."""
    with tracking.store(home, uri) as client:
        tags = {SEARCH: about.study} | ({"overrides": about.overrides} if about.overrides else {})
        parent = tracking.lasting_run(client, about.title, SEARCH, tags, about.data)
        for key, value in _parameters(about).items():
            client.log_param(parent, key, value)
        experiment = client.get_run(parent).info.experiment_id
        held = client.search_runs([experiment], f"tags.`{PARENT}` = '{parent}'")
        runs = {int(run.data.tags[TRIAL]) - 1: str(run.info.run_id) for run in held}
        over = {int(run.data.tags[TRIAL]) - 1 for run in held if run.info.status == "FINISHED"}
        yield Mirror(client, experiment, parent, runs, over)


def _parameters(about: About) -> dict[str, str]:
    space = {f"space.{key}": str(value) for key, value in about.space.to_json().items()}
    settings = {f"settings.{key}": str(value) for key, value in about.settings.recipe().items()}
    return {**settings, **space, "data_fingerprint": about.data["fingerprint"]}
