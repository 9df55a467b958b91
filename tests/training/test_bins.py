"""A large table is binned once; what a fit is lent of it are its own rows alone."""

import gc
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pytest
import xgboost

from data.tables import Cohort
from features.catalogue import Catalogue
from tests.training.builders import FREE, QUICK, RISING, drawn, plan
from tests.training.builders import table as made_up_table
from tests.training.conftest import SMALL
from training import bins, cells, fit
from training import train as training
from training.bins import MANY_TREES, binned, let_go
from training.cells import Cells, Matrix
from training.cluster import on_cluster
from training.fit import Fitted, fit_outcome
from training.table import Table
from training.train import train

ASKED = {
    "objective": "binary:logistic",
    "base_score": 0.5,
    "max_depth": 5,
    "min_child_weight": 3.0,
    "colsample_bytree": 0.5,
    "nthread": 1,
    "seed": 4,
}
NAMES = list("abcdef")


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every table counts as large, a block is a few rows, and temporary files lie in a folder of the test."""
    monkeypatch.setattr(cells, "LARGE_CELLS", 1)
    for room in (bins, cells, fit):
        monkeypatch.setattr(room, "BLOCK_ROWS", 700)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were binned, each time."""
    rows: list[int] = []
    real = bins.binned_in_files

    def counted(held: Cells, *more: Any) -> xgboost.DMatrix:
        rows.append(len(held))
        return real(held, *more)

    monkeypatch.setattr(bins, "binned_in_files", counted)
    return rows


def some(seed: int, values: np.ndarray, rows: np.ndarray) -> Matrix:
    random = np.random.default_rng(seed)
    label = (random.random(len(rows)) < 1 / (1 + np.exp(-np.nan_to_num(values[rows, 0])))).astype(float)
    return Matrix(Cells(values, rows), label, random.normal(-0.5, 0.4, len(rows)), NAMES)


def drawn_values(n: int = 3000) -> np.ndarray:
    random = np.random.default_rng(9)
    values = random.normal(size=(n, len(NAMES))).astype(np.float32)
    values[random.random(values.shape) < 0.4] = np.nan
    return values


def grown(matrix: xgboost.DMatrix, asked: dict[str, Any] = ASKED) -> bytes:
    return bytes(xgboost.train(asked, matrix, 15).save_raw("ubj"))


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def fitted_table() -> Table:
    values = np.random.default_rng(1).normal(size=(900, 2))
    return made_up_table(drawn(1.5 * values[:, 0], 1), values)


def same(one: Fitted, other: Fitted) -> bool:
    return one.booster == other.booster and one.log_odds.tobytes() == other.log_odds.tobytes()


def test_rows_that_are_not_a_fits_own_change_no_bit_of_its_trees() -> None:
    values = drawn_values()
    own = some(1, values, np.flatnonzero(np.random.default_rng(3).random(len(values)) < 0.6))
    with binned(own, 15) as matrix:
        lent = grown(matrix)
        told = {"label": own.label, "base_margin": own.margin, "feature_names": NAMES}
        alone = xgboost.QuantileDMatrix(values[own.cells.rows], ref=matrix, nthread=1, **told)
        assert lent == grown(alone)
        assert lent != grown(alone, {**ASKED, "min_child_weight": 1.0})


def test_a_fit_of_many_trees_lays_its_own_rows_down_apart_and_grows_the_same_trees(
    made: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held, asked = fitted_table(), plan([FREE, RISING])
    together = fit_outcome(held, asked)
    assert made == [900]
    monkeypatch.setattr(bins, "MANY_TREES", asked.settings.rounds)
    apart = fit_outcome(held, asked)
    assert together.booster is not None
    assert same(together, apart)
    assert sum(made[1:4]) == 2 * 900
    let_go(held.values)
    assert left(tmp_path) == []


def test_bins_do_not_depend_on_what_they_were_lent_for_before(made: list[int]) -> None:
    values = drawn_values()
    first, second = (some(seed, values, np.arange(seed, len(values), 2)) for seed in (0, 1))
    found = []
    for one in (first, second, first):
        with binned(one, 15) as matrix:
            found.append(grown(matrix))
    assert found[0] == found[2] != found[1]
    assert made == [3000]


def test_fits_at_one_time_have_bins_of_their_own_and_the_same_bits(made: list[int]) -> None:
    values = drawn_values()
    asked = [some(seed, values, np.arange(seed % 3, len(values), 2)) for seed in range(6)]

    def model(one: Matrix) -> bytes:
        with binned(one, 15) as matrix:
            return grown(matrix)

    in_turn = [model(one) for one in asked]
    with binned(asked[0], 15), ThreadPoolExecutor(3) as pool:
        assert list(pool.map(model, asked)) == in_turn
    assert 2 <= len(made) <= 4


@pytest.mark.parametrize("workers", [2, 3])
def test_the_model_of_a_large_table_does_not_depend_on_the_workers(workers: int) -> None:
    one, more = (fit_outcome(fitted_table(), plan([FREE, RISING], replace(QUICK, workers=n))) for n in (1, workers))
    assert one.booster is not None
    assert same(one, more)


def test_the_model_of_a_large_table_is_the_same_on_a_cluster(tmp_path: Path) -> None:
    held = fitted_table()
    here = fit_outcome(held, plan([FREE, RISING]))
    cluster = distributed.LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None
    )
    with cluster, on_cluster(cluster.scheduler_address):
        there = fit_outcome(held, plan([FREE, RISING]))
    assert same(here, there)
    let_go(held.values)
    gc.collect()
    assert [name for name in left(tmp_path) if "bins" in name] == []


def test_a_large_table_is_binned_once_for_all_folds_and_outcomes(
    made: list[int], cohort: Cohort, tables: Catalogue, tmp_path: Path
) -> None:
    settings = replace(SMALL, interval_resamples=2, fewest_events=60)
    trained = train(cohort, "made-up", settings, tables, lambda _: None)
    assert len(trained.bundle.boosters) > 1
    assert made == [trained.table_rows]
    assert left(tmp_path) == []


def test_bins_are_removed_after_an_error(
    cohort: Cohort, tables: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def broken(*_: Any) -> None:
        seen.extend(left(tmp_path))
        raise RuntimeError

    monkeypatch.setattr(training, "_judged", broken)
    with pytest.raises(RuntimeError) as caught:
        train(cohort, "made-up", replace(SMALL, fewest_events=60), tables, lambda _: None)
    assert caught.tb is not None  # it holds the frames of the fit
    assert any("page" in name for name in seen)
    assert left(tmp_path) == []


@pytest.mark.parametrize("trees", [MANY_TREES - 1, MANY_TREES])
def test_an_error_while_bins_are_made_or_lent_leaves_no_file(
    trees: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = drawn_values()
    own = some(1, values, np.arange(2000))
    with pytest.raises(xgboost.core.XGBoostError), binned(own, trees) as matrix:
        xgboost.train({**ASKED, "objective": "no such thing"}, matrix, 2)
    let_go(values)
    assert left(tmp_path) == []

    def broken(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Cells, "present", broken)
    with pytest.raises(OSError, match="Input/output"), binned(own, trees):
        pass
    assert left(tmp_path) == []


def test_bins_go_with_their_table_but_not_with_the_copy_of_a_forked_process(tmp_path: Path) -> None:
    values = drawn_values()
    with binned(some(1, values, np.arange(2000)), 15):
        pass
    kept = left(tmp_path)
    assert kept
    bins._remove(os.getpid() + 1, id(values))
    assert left(tmp_path) == kept
    del values
    gc.collect()
    assert left(tmp_path) == []
