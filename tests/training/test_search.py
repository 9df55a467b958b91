"""The search of settings: the given ones first, bounds kept, hopeless trials given up, and a kill changes nothing."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from features.errors import CatalogueError, DataError, StoreError
from features.home import Home
from tests.training.builders import CRS_2, FREE, QUICK, columns, drawn, table
from training import search, search_space, search_task
from training.config import RANGES, Settings
from training.cross_validation import cross_validate_outcomes
from training.evaluate import ALL_TIMES, Recipe
from training.search import Asked, best_of, folds_of, propose, settings_of
from training.search_space import LOG, Bounds, Space
from training.search_task import Task, mean_loss

#: Few trees, so that a fold takes a hundredth of a second.
SPACE = Space(
    max_depth=Bounds(1, 3),
    learning_rate=Bounds(0.01, 0.5, LOG),
    rounds=Bounds(2, 12, LOG),
    min_child_weight=Bounds(0.5, 20, LOG),
    l2_penalty=Bounds(0.1, 10, LOG),
    columns_per_tree=Bounds(0.5, 1),
)


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture(scope="module", autouse=True)
def soon() -> Iterator[None]:
    """Trials are compared, and drawn by what was found, after a few of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "DRAWN_EVENLY", 4)
        patch.setattr(search, "FEWEST_TO_COMPARE", 3)
        yield


@pytest.fixture(scope="module")
def task() -> Task:
    """200 courses at hour 0 of which one column tells the risk; two outcomes."""
    from features.catalogue import load
    from features.pooling import pool

    tables = load()
    values = np.random.default_rng(3).normal(60, 10, 200)
    held = table(drawn((values - 60) / 8), values[:, None])
    return Task.of(held, Recipe(columns(FREE), pool(tables), tables, QUICK), [CRS_2 - 1, CRS_2])


@contextmanager
def study_in(folder: Path) -> Iterator[Study]:
    with search.opened(Home(folder), "tune-test") as study:
        yield study


def searched(folder: Path, task: Task, trials: int = 9) -> list[FrozenTrial]:
    with study_in(folder) as study:
        assert search.run(study, task, Asked(SPACE, trials), lambda _: None)
        return study.trials


@pytest.fixture(scope="module")
def trials(task: Task, tmp_path_factory: pytest.TempPathFactory) -> list[FrozenTrial]:
    """A search that nobody disturbed."""
    return searched(tmp_path_factory.mktemp("search"), task)


@pytest.fixture
def remembered(task: Task, trials: list[FrozenTrial], monkeypatch: pytest.MonkeyPatch) -> None:
    """Folds that the undisturbed search judged are looked up, not fitted again."""
    known: dict[tuple[Settings, int], dict[str, object]] = {
        (settings_of(one, QUICK), fold): dict(losses)
        for one in trials
        for fold, losses in enumerate(folds_of(one.user_attrs))
    }
    assert known[QUICK, 0] == search_task.fold_losses(task, QUICK, 0)
    monkeypatch.setattr(search, "fold_losses", lambda _, settings, fold: known[settings, fold])


def told(held: list[FrozenTrial]) -> list[tuple[object, ...]]:
    """All of the trials that does not depend on the clock."""
    return [(one.number, one.state, one.params, one.value, one.intermediate_values, one.user_attrs) for one in held]


# The space


def test_the_shipped_bounds_are_sourced_and_allowed_and_hold_the_defaults() -> None:
    space = search_space.shipped()
    assert [name for name, _ in space] == list(Space.__slots__)
    for name, bounds in space:
        low, high = RANGES[name]
        assert low <= bounds.low <= getattr(Settings(), name) <= bounds.high <= high
    assert space.place(Settings()) == {name: getattr(Settings(), name) for name, _ in space}


def test_settings_outside_the_space_have_no_place_in_it() -> None:
    assert SPACE.place(replace(QUICK, rounds=13)) == {}


@pytest.mark.parametrize("bounds", [(2, 1), (0, 1, LOG), (1, 2, "square")])
def test_bounds_that_are_none_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"low|scale"):
        Bounds(*bounds)


@pytest.mark.parametrize(
    ("name", "low", "high"), [("max_depth", 0, 3), ("max_depth", 1.5, 3), ("learning_rate", 0.1, 2)]
)
def test_bounds_that_settings_do_not_allow_are_refused(name: str, low: float, high: float) -> None:
    lines = {one: search_space.Line(one, bounds.low, bounds.high, bounds.scale, "s", "no", "") for one, bounds in SPACE}
    with pytest.raises(CatalogueError, match=rf"tuning_space\.csv: {name} is"):
        search_space.of({**lines, name: search_space.Line(name, low, high, "linear", "s", "no", "")})


@given(st.integers(0, 2**31 - 1), st.integers(1, 999))
@settings(max_examples=25, deadline=None)
def test_every_proposal_keeps_the_bounds_and_is_a_setting(seed: int, number: int) -> None:
    drawn = propose(seed, number, [], SPACE)
    assert SPACE.place(replace(QUICK, **drawn)) == drawn == propose(seed, number, [], SPACE)
    assert {type(drawn[name]) for name in ("max_depth", "rounds")} == {int}
    assert {len(f"{drawn['learning_rate']:.6g}".strip("0.")) <= 3} == {True}


# The trials


def test_the_first_trial_has_the_given_settings_and_so_the_best_is_never_worse(
    trials: list[FrozenTrial],
) -> None:
    assert settings_of(trials[0], QUICK) == QUICK
    assert trials[0].state is TrialState.COMPLETE
    best = min(one.value for one in trials if one.state is TrialState.COMPLETE and one.value is not None)
    assert best <= trials[0].value
    assert len({tuple(one.params.values()) for one in trials}) == len(trials)


def test_a_trials_loss_is_that_of_the_same_settings_cross_validated(trials: list[FrozenTrial], task: Task) -> None:
    chosen = next(one for one in trials[1:] if one.state is TrialState.COMPLETE)
    recipe = replace(task.recipe, settings=replace(settings_of(chosen, QUICK), repeats=1, bootstrap=0))
    results = cross_validate_outcomes(task.table, recipe, task.outcomes)
    losses = [
        one.metrics["log_loss"].value for one in results if (one.predictor, one.index_time) == ("model", ALL_TIMES)
    ]
    assert len(losses) == 2
    assert chosen.value == pytest.approx(np.mean(losses), abs=1e-12)


def test_the_running_mean_after_each_fold_is_kept(trials: list[FrozenTrial], task: Task) -> None:
    for one in trials:
        folds = folds_of(one.user_attrs)
        assert one.intermediate_values == {step: mean_loss(folds[:step]) for step in range(1, len(folds) + 1)}
        assert one.value == one.intermediate_values[len(folds)]
        assert (one.state is TrialState.COMPLETE) == (len(folds) == task.folds)


def test_a_trial_is_given_up_where_it_is_worse_than_most_and_nowhere_else(
    trials: list[FrozenTrial], task: Task
) -> None:
    states = [one.state for one in trials]
    assert states[: search.FEWEST_TO_COMPARE] == [TrialState.COMPLETE] * search.FEWEST_TO_COMPARE
    assert TrialState.PRUNED in states
    for one in trials:
        for step, value in one.intermediate_values.items():
            reached = [
                other.intermediate_values[step] for other in trials[: one.number] if step in other.intermediate_values
            ]
            hopeless = len(reached) >= search.FEWEST_TO_COMPARE and value > np.median(reached)
            last = step == len(one.intermediate_values)
            assert (hopeless and step < task.folds) == (last and one.state is TrialState.PRUNED)


def test_a_hard_fold_is_no_reason_to_give_up_and_an_easy_first_one_no_excuse() -> None:
    study = optuna.create_study(pruner=search.Hopeless())
    easy_then_hard = {1: 0.1, 2: 0.5}
    for _ in range(search.FEWEST_TO_COMPARE):
        study.add_trial(reporting(TrialState.COMPLETE, easy_then_hard))
    for after, given_up in ((0.5, False), (0.51, True)):
        study.add_trial(reporting(TrialState.RUNNING, {1: 0.1, 2: after}))
        assert search.Hopeless().prune(study, study.trials[-1]) is given_up


def reporting(state: TrialState, values: Mapping[int, float]) -> FrozenTrial:
    value = values[2] if state is TrialState.COMPLETE else None
    space = {"x": FloatDistribution(0, 1)}
    return create_trial(
        state=state, value=value, params={"x": 0.5}, distributions=space, intermediate_values=dict(values)
    )


# Again, and after a stop


def test_the_same_search_gives_the_same_trials_and_another_seed_others(
    trials: list[FrozenTrial], task: Task, tmp_path: Path
) -> None:
    assert told(searched(tmp_path / "again", task)) == told(trials)
    other = replace(task, recipe=replace(task.recipe, settings=replace(QUICK, seed=QUICK.seed + 1)))
    found = searched(tmp_path / "other", other, 3)
    assert [one.params for one in found[1:]] != [one.params for one in trials[1:3]]


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize("stop", [0, 2, 13])
def test_a_search_that_ends_anywhere_goes_on_as_if_it_had_not(
    stop: int, trials: list[FrozenTrial], task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[tuple[float, int]] = []
    judge = search.fold_losses

    def fails(task: Task, settings: Settings, fold: int) -> dict[str, list[float]]:
        if len(judged) == stop:
            raise KilledError
        judged.append((settings.learning_rate, fold))
        return judge(task, settings, fold)

    monkeypatch.setattr(search, "fold_losses", fails)
    with pytest.raises(KilledError):
        searched(tmp_path, task)
    stop = -1
    assert told(searched(tmp_path, task)) == told(trials)
    # No fold was judged twice.
    assert len(judged) == len(set(judged)) == sum(len(one.intermediate_values) for one in trials)


@pytest.mark.usefixtures("remembered")
def test_a_trial_that_was_put_down_but_not_ended_is_taken_up_with_its_settings(
    trials: list[FrozenTrial], task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> FrozenTrial:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Study, "tell", dies)
        with pytest.raises(KilledError):
            searched(tmp_path, task)
    with study_in(tmp_path) as study:
        (left,) = study.trials
        assert (left.state, len(left.intermediate_values)) == (TrialState.RUNNING, task.folds)
    assert told(searched(tmp_path, task)) == told(trials)


@pytest.mark.usefixtures("remembered")
def test_more_trials_go_on_from_those_there_are(trials: list[FrozenTrial], task: Task, tmp_path: Path) -> None:
    assert told(searched(tmp_path, task, 4)) == told(trials[:4])
    assert told(searched(tmp_path, task)) == told(trials)
    with study_in(tmp_path) as study:
        few = best_of(study, 2)
        assert few is not None
        assert few.number < 2


def test_without_time_nothing_is_begun_and_within_it_a_fold_is_ended(task: Task, tmp_path: Path) -> None:
    with study_in(tmp_path) as study:
        assert not search.run(study, task, Asked(SPACE, 3, monotonic()), lambda _: None)
        assert best_of(study, 3) is None
        assert [len(one.intermediate_values) for one in study.trials] == [0]


def test_two_searches_at_once_in_one_state_folder_are_refused(tmp_path: Path) -> None:
    with (
        study_in(tmp_path),
        pytest.raises(StoreError, match=r"^tune: another search is at work in this state folder; wait until it ends$"),
        study_in(tmp_path),
    ):
        pass


def test_a_damaged_store_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "tuning.db").write_text("not a database" * 100)
    with pytest.raises(StoreError, match=r"^tuning\.db: the store of searches cannot be opened"), study_in(tmp_path):
        pass


def test_nothing_to_teach_is_an_error(task: Task) -> None:
    with pytest.raises(DataError, match="no outcome has enough events"):
        Task.of(task.table, task.recipe, [])
