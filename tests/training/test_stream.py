"""A table in a file, read and binned a block at a time, gives the model that the same table in memory gives."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.parts import cohort_parts, observation_rows
from data.tables import Cohort, read_cohort
from features import bundle
from features.catalogue import Catalogue
from features.errors import DataError
from features.pooling import pool
from features.prior import Prior
from tests.training.builders import FREE, QUICK, RISING, drawn, plan
from tests.training.builders import table as made_up_table
from tests.training.conftest import SMALL
from training import bins, cells, fit, stream_flow
from training.assemble import Seen, assemble
from training.bins import let_go
from training.cells import Cells
from training.fit import fit_outcome
from training.stream import stream
from training.stream_flow import train_streamed
from training.table import Table
from training.train import train


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table counts as large, and a block is a few rows."""
    monkeypatch.setattr(cells, "LARGE_CELLS", 1)
    for room in (bins, cells, fit):
        monkeypatch.setattr(room, "BLOCK_ROWS", 150)


def table(n: int = 700) -> Table:
    """Rows whose columns have five values, all of which occur in each fold: then every fold's cuts are those
    of the table."""
    values = np.random.default_rng(1).normal(size=(n, 2)).round().clip(-2, 2)
    values[::5, 1] = np.nan
    return made_up_table(drawn(1.5 * values[:, 0], 1), values)


def in_a_file(held: Table, folder: Path) -> Table:
    path = folder / "cells.f32"
    np.ascontiguousarray(held.values).tofile(path)
    return replace(held, values=np.memmap(path, np.float32, "r", shape=held.values.shape))


@pytest.mark.parametrize("where", ["memory", "file"])
def test_cells_handed_over_in_blocks_give_the_same_bits(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    whole = fit_outcome(table(), plan([FREE, RISING], replace(QUICK, workers=2)))
    request.getfixturevalue("small_blocks")
    held = table() if where == "memory" else in_a_file(table(), tmp_path)
    blocks = fit_outcome(held, plan([FREE, RISING], replace(QUICK, workers=2)))
    assert whole.booster is not None
    assert blocks.booster == whole.booster
    assert blocks.calibration == whole.calibration
    assert np.array_equal(blocks.log_odds, whole.log_odds)
    assert np.array_equal(blocks.signal, whole.signal)
    let_go(held.values)
    assert [path.name for path in tmp_path.iterdir()] == (["cells.f32"] if where == "file" else [])


def test_a_block_is_a_copy_of_its_rows(tmp_path: Path) -> None:
    held = in_a_file(table(), tmp_path)
    some = Cells(held.values, np.arange(0, 700, 3)).take(np.arange(234) % 2 == 0)
    assert np.array_equal(some.block(2, 5), table().values[[12, 18, 24]], equal_nan=True)
    assert len(some) == 117


@pytest.mark.parametrize(("rows", "large"), [(cells.LARGE_CELLS // 2 - 1, False), (cells.LARGE_CELLS // 2, True)])
def test_cells_are_many_by_their_number_alone(rows: int, large: bool) -> None:
    assert Cells(table().values, np.zeros(rows, dtype=np.int64)).large is large


@pytest.mark.parametrize("courses", [1000, 70])
def test_a_streamed_table_is_the_table_of_the_whole_cohort_bit_for_bit(
    cohort_folder: Path, cohort: Cohort, tables: Catalogue, tmp_path: Path, courses: int
) -> None:
    expected, spec, unsound = assemble(cohort, Prior(pool(tables)), tables, 1)
    with cohort_parts(cohort_folder, courses) as parts:
        light, (found, streamed_spec, streamed_unsound) = stream(parts, Prior(pool(tables)), tables, 1, tmp_path)
    for name in Table.__slots__:
        one, other = getattr(found, name), getattr(expected, name)
        same = one.tolist() == other.tolist() if one.dtype == object else one.tobytes() == other.tobytes()
        assert same, name
    assert (streamed_spec, streamed_unsound) == (spec, unsound)
    assert (light.course_ids == cohort.course_ids).all()
    assert len(light.observations) == 0
    assert (light.fingerprint == cohort.fingerprint) == (courses == 1000)


@pytest.mark.usefixtures("small_blocks")
def test_a_bundle_trained_by_streaming_is_the_ordinary_one_but_for_the_fingerprint(
    cohort_folder: Path, tables: Catalogue, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = replace(SMALL, interval_resamples=2, fewest_events=60, test_share=0.0)
    streamed = train_streamed(cohort_folder, "made-up", settings, courses=100).bundle
    assert "the data checks looked at the first 100 courses" in capsys.readouterr().out
    ordinary = train(read_cohort(cohort_folder), "made-up", settings, tables, lambda _: None).bundle
    files, expected = (json.loads(bundle._files(one)["manifest.json"]) for one in (streamed, ordinary))
    assert files["files"].keys() == expected["files"].keys()
    for name in expected["files"].keys() - {"card.json"}:
        assert files["files"][name] == expected["files"][name], name
    assert files["metrics"] == expected["metrics"]
    assert files["trained_on"]["fingerprint"] != expected["trained_on"]["fingerprint"]


def test_locked_patients_are_in_no_part(cohort_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counted(cohort: Cohort, *_: object, **__: object) -> None:
        seen.append(len(cohort))

    monkeypatch.setattr(stream_flow, "train_cohort", counted)
    for share in (0.0, 0.2):
        train_streamed(cohort_folder, "made-up", replace(SMALL, test_share=share), courses=100)
    assert seen[0] == 300
    assert 200 < seen[1] < 280


def test_what_was_seen_in_parts_is_what_was_seen_in_all() -> None:
    values = table().values
    whole, parts = (
        Seen.of(values),
        Seen.nothing(2) + Seen.of(values[:1]) + Seen.of(values[1:300]) + Seen.of(values[300:]),
    )
    for name in Seen.__slots__:
        assert np.array_equal(getattr(whole, name), getattr(parts, name), equal_nan=True), name


def test_no_course_to_learn_from_is_one_line(tables: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no course is left"):
        stream([], Prior(pool(tables)), tables, 1, tmp_path)


def test_a_cohort_is_large_by_its_observations(cohort_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert observation_rows(cohort_folder) > 1000
    assert not stream_flow.is_large(cohort_folder)
    monkeypatch.setattr(stream_flow, "LARGE_ROWS", 1000)
    assert stream_flow.is_large(cohort_folder)
