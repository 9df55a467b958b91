"""`crs tune`: search settings by cross-validation on what may be learnt from, and write the best as TOML."""

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from time import monotonic

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from data.locked import TrainingPart
from features.catalogue import load
from features.errors import UsageError
from features.home import Home
from training import search
from training.config import TUNED_SHARE, Settings, from_mapping
from training.designs import recipe_for
from training.diagnose import Override
from training.flows import console, learnt_from
from training.search import Asked, best_of, settings_of
from training.search_space import Space, shipped
from training.search_task import Task
from training.tuning_runs import STATES, About, Mirror, mirrored

#: Libraries whose other versions would give other figures, so that another search is begun with them.
LIBRARIES = ("optuna", "xgboost-cpu", "numpy", "scipy")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of `crs tune`. trials: so many in all. minutes: stop before, None for never."""

    folder: Path
    out: Path
    trials: int = 30
    minutes: float | None = None
    derive_grades: bool = False
    overrides: tuple[Override, ...] = ()


def tune(home: Home, request: Request, settings: Settings, uri: str | None, space: Space | None = None) -> Settings:
    """Search on from where an equal search was left, and write the best settings; never worse than the given ones.

    DataError where a data check refuses the cohort and no override answers for it, or no outcome can be taught.
    UsageError where time runs out before the given settings are judged.
    """
    space, ends = space or shipped(), _ends(request.minutes)
    part = learnt_from(request.folder, settings.test_share, request.derive_grades, request.overrides)
    task = Task.of(*recipe_for(part.cohort, load(), settings, console.print))
    name = search_name(part.cohort.fingerprint, task, space)
    with search.opened(home, name) as study, mirrored(home, _about(request, name, part, settings, space), uri) as runs:
        _say_where(study, name, request.trials)
        whole = _search(study, task, Asked(space, request.trials, ends), runs)
        best = best_of(study, request.trials)
        if best is None:
            raise UsageError(
                "--timeout", "no trial was finished in that time", "the same command goes on; give it more"
            )
        found, counts = settings_of(best, settings), _counts(study, request.trials)
        document = settings_file(found, best, counts, name)
        write(request.out, document)
        runs.end(best, study.trials[0], counts, document)
    _say_what(request, best, study.trials[0], whole)
    return found


def _ends(minutes: float | None) -> float:
    return float("inf") if minutes is None else monotonic() + 60 * minutes


def search_name(fingerprint: str, task: Task, space: Space) -> str:
    """Equal for searches that would try the same settings on the same folds. fingerprint: of what is learnt from."""
    facts = {
        "data": fingerprint,
        "columns": task.recipe.spec.fingerprint,
        "settings": task.recipe.settings.recipe(),
        "space": space.to_json(),
        "rules": [search.DRAWN_EVENLY, search.FEWEST_TO_COMPARE],
        "libraries": {library: version(library) for library in LIBRARIES},
    }
    return f"tune-{sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]}"


def _about(request: Request, name: str, part: TrainingPart, settings: Settings, space: Space) -> About:
    called = request.folder.resolve().name
    data = {"name": called, "fingerprint": part.cohort.fingerprint, "folder": str(request.folder)}
    given = "; ".join(f"{one.code}: {one.reason}" for one in request.overrides)
    return About(name, f"tune {called}", data, settings, space, given)


def _say_where(study: Study, name: str, trials: int) -> None:
    held = study.trials[:trials]
    done = sum(one.state.is_finished() for one in held)
    if done == trials:
        console.print(f"{name}: complete, {done} of {trials} trials; ask for more --trials to go on")
    elif held:
        console.print(f"{name}: goes on where it stopped, {done} of {trials} trials are finished")
    else:
        many = f"{trials} trials, the first" if trials > 1 else "one trial,"
        console.print(f"{name}: {many} with the given settings")


def _search(study: Study, task: Task, asked: Asked, runs: Mirror) -> bool:
    """Search with every step shown here and in MLflow; False where time ran out."""
    for trial in study.trials:
        runs.show(trial)
    with _bar() as bar:
        board = Board(study, task, asked.trials, bar, bar.add_task("", total=asked.trials * task.folds))

        def watch(trial: FrozenTrial) -> None:
            runs.show(trial)
            board.show(trial)

        return search.run(study, task, asked, watch)


def _bar() -> Progress:
    """A bar at the bottom of a terminal; nothing elsewhere, where lines tell of each fold and trial."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


@dataclass(frozen=True, slots=True)
class Board:
    """What is told of a search on the console: a line for each finished trial, and the bar."""

    study: Study
    task: Task
    trials: int
    bar: Progress
    line: TaskID

    def show(self, trial: FrozenTrial) -> None:
        """Tell of a step; of a trial's end in a line."""
        folds = len(trial.intermediate_values)
        if trial.state.is_finished():
            self.bar.console.print(self._line(trial))
            folds = self.task.folds
        elif 0 < folds < self.task.folds and not self.bar.console.is_terminal:
            place = f"trial {trial.number + 1} of {self.trials}"
            self.bar.console.print(f"{place}: {folds} of {self.task.folds} folds")
        text = f"trial {trial.number + 1} of {self.trials}, {self._so_far()}"
        self.bar.update(self.line, completed=trial.number * self.task.folds + folds, description=text)

    def _line(self, trial: FrozenTrial) -> str:
        place = f"trial {trial.number + 1} of {self.trials}"
        if trial.state is TrialState.PRUNED:
            folds = f"{len(trial.intermediate_values)} of {self.task.folds} folds"
            return f"{place}: given up after {folds} at {trial.value:.5f}; {self._so_far()}"
        return f"{place}: mean log loss {trial.value:.5f}; {self._so_far()}"

    def _so_far(self) -> str:
        best = best_of(self.study, self.trials)
        return f"best so far {best.value:.5f} in trial {best.number + 1}" if best else "none finished yet"


def _counts(study: Study, trials: int) -> dict[str, int]:
    """State -> how many trials, of the first `trials`."""
    held = Counter(STATES[one.state] for one in study.trials[:trials])
    return {f"trials_{state}": held[state] for state in ("complete", "pruned")}


def settings_file(best: Settings, trial: FrozenTrial, counts: Mapping[str, int], name: str) -> str:
    """The settings as TOML, with where they come from; no time of day, so that the same search gives the same bytes."""
    body = best.to_json()
    from_mapping(body, "settings")
    body[TUNED_SHARE] = best.test_share
    head = (
        f"# crs tune: trial {trial.number + 1} of {sum(counts.values())}, mean log loss {trial.value!r}\n"
        f"# given up early: {counts['trials_pruned']}; search {name}\n"
    )
    return head + "".join(f"{key} = {value}\n" for key, value in body.items())


def write(out: Path, document: str) -> None:
    """Put the file in place by one renaming, so that a reader sees the old or the new one."""
    draft = out.with_name(f".{out.name}.draft")
    with draft.open("w", encoding="utf-8") as file:
        file.write(document)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(out)


def _say_what(request: Request, best: FrozenTrial, given: FrozenTrial, whole: bool) -> None:
    if not whole:
        console.print("the time is over; the same command goes on where it stopped")
    gain = f"{best.value:.5f}, the given settings {given.value:.5f}" if best.number else f"{best.value:.5f}, as given"
    console.print(f"mean log loss {gain}")
    console.print(
        f"{request.out}: the best settings; use them with crs train {request.folder} --settings {request.out}"
    )
