"""The search behind `crs tune`: trials one after the other, each judged fold by fold, the hopeless ones given up.

Nothing is drawn from a running state: the settings of a trial follow from the seed, its number and the trials before
it, and every step is kept as soon as it is done. So a search that was killed goes on, and ends as if it had not been.
"""

import fcntl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from features.errors import StoreError
from features.home import Home, make_folder
from training.config import Settings
from training.search_space import LOG, Bounds, Space, is_whole
from training.search_task import Losses, Task, fold_losses, mean_loss

#: The first trials are drawn evenly from the space; the later ones by what the earlier found. Policy of this project.
DRAWN_EVENLY = 10
#: No trial is given up before so many others have passed the same fold. Policy of this project.
FEWEST_TO_COMPARE = 5
Watch = Callable[[FrozenTrial], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """How far to search. trials: so many in all, earlier ones counted. ends: time.monotonic() at which to stop."""

    space: Space
    trials: int
    ends: float = float("inf")

    @property
    def over(self) -> bool:
        return monotonic() >= self.ends


class Hopeless(BasePruner):
    """Gives a trial up if its running mean is worse than the median of the earlier ones after the same folds.

    Optuna's own median rule looks at the best mean that a trial had so far. Folds differ in difficulty: after an easy
    first fold it would never give a trial up.
    """

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial is given up after its last reported fold."""
        step = trial.last_step
        earlier = [one for one in study.get_trials(deepcopy=False) if one.number < trial.number]
        reached = [one.intermediate_values[step] for one in earlier if step in one.intermediate_values]
        if step is None or len(reached) < FEWEST_TO_COMPARE:
            return False
        return bool(trial.intermediate_values[step] > np.median(reached))


@contextmanager
def opened(home: Home, name: str) -> Iterator[Study]:
    """The search of that name in the deployment's state, new or as it was left.

    StoreError where another search is at work in the same state, or the store cannot be used.
    """
    make_folder(home.folder)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with home.tuning.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError("tune", "another search is at work in this state folder", "wait until it ends") from error
        storage, study = _study(home, name)
        try:
            yield study
        finally:
            storage.engine.dispose()


def _study(home: Home, name: str) -> tuple[RDBStorage, Study]:
    try:
        storage = RDBStorage(f"sqlite:///{home.tuning}")
        study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True, pruner=Hopeless())
    except Exception as error:
        problem = f"the store of searches cannot be opened ({type(error).__name__})"
        raise StoreError(home.tuning.name, problem, "move it away to begin anew") from error
    return storage, study


def run(study: Study, task: Task, asked: Asked, watch: Watch) -> bool:
    """Judge trials until all are finished; False where time ran out before. watch: told of each step of each trial."""
    for number in range(asked.trials):
        trial = _taken_up(study, task, asked.space, number)
        if not trial.state.is_finished():
            if asked.over:
                return False
            watch(trial)
            # The only handle that Optuna gives of a trial that another process began.
            if not _judge(study, Trial(study, trial._trial_id), task, asked, watch):
                return False
    return True


def _taken_up(study: Study, task: Task, space: Space, number: int) -> FrozenTrial:
    """The trial of that number: as it was left, or a new one, put down with its settings in one step."""
    if number == len(study.get_trials(deepcopy=False)):
        given = task.recipe.settings
        place = propose(given.seed, number, study.trials, space) if number else space.place(given)
        settings = replace(given, **place) if number else given
        distributions = {name: one for name, one in _distributions(space).items() if name in place}
        held = {"settings": settings.recipe()}
        study.add_trial(
            create_trial(state=TrialState.RUNNING, params=place, distributions=distributions, user_attrs=held)
        )
    return study.get_trials(deepcopy=False)[number]


def settings_of(trial: FrozenTrial, given: Settings) -> Settings:
    """The settings that a trial judges: the given ones in trial 0, else with what the trial changes."""
    return replace(given, **trial.params) if trial.number else given


def propose(seed: int, number: int, earlier: Sequence[FrozenTrial], space: Space) -> dict[str, Any]:
    """The settings of a trial: a function of the seed, its number and the finished trials before it."""
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    study = optuna.create_study(sampler=TPESampler(seed=own, n_startup_trials=DRAWN_EVENLY, constant_liar=False))
    study.add_trials([one for one in earlier if one.state.is_finished() and one.params])
    drawn = study.ask(fixed_distributions=_distributions(space)).params
    return {name: _kind(name)(bounds.rounded(drawn[name])) for name, bounds in space}


def _kind(name: str) -> type[int] | type[float]:
    return int if is_whole(name) else float


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    return {name: _distribution(name, bounds) for name, bounds in space}


def _distribution(name: str, bounds: Bounds) -> BaseDistribution:
    log = bounds.scale == LOG
    if is_whole(name):
        return IntDistribution(int(bounds.low), int(bounds.high), log=log)
    return FloatDistribution(bounds.low, bounds.high, log=log)


def _judge(study: Study, trial: Trial, task: Task, asked: Asked, watch: Watch) -> bool:
    """Judge one trial fold by fold, from where it was left; False where time ran out before it was finished."""
    settings = settings_of(_frozen(study, trial), task.recipe.settings)
    for fold in range(1, task.folds + 1):
        if fold_name(fold) not in trial.user_attrs:
            if asked.over:
                return False
            trial.set_user_attr(fold_name(fold), fold_losses(task, settings, fold - 1))
        if fold not in _frozen(study, trial).intermediate_values:
            trial.report(mean_loss(folds_of(trial.user_attrs)), fold)
        watch(_frozen(study, trial))
        if fold < task.folds and trial.should_prune():
            watch(study.tell(trial.number, state=TrialState.PRUNED))
            return True
    watch(study.tell(trial.number, mean_loss(folds_of(trial.user_attrs))))
    return True


def _frozen(study: Study, trial: Trial) -> FrozenTrial:
    return study.get_trials(deepcopy=False)[trial.number]


def fold_name(fold: int) -> str:
    """Under which a trial keeps what a fold found; folds count from 1."""
    return f"fold {fold}"


def folds_of(kept: Mapping[str, Any]) -> list[Losses]:
    """What a trial has found so far, fold by fold. kept: its user attributes."""
    names = (fold_name(fold) for fold in range(1, len(kept) + 1))
    return [kept[name] for name in names if name in kept]


def best_of(study: Study, trials: int) -> FrozenTrial | None:
    """The complete trial of least loss among the first `trials`, the earliest of equals; None without one."""
    complete = [one for one in study.trials[:trials] if one.state is TrialState.COMPLETE]
    return min(complete, key=lambda one: (one.value, one.number), default=None)
