"""A table in a file, read and binned a block at a time, gives the model that the same table in memory gives."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data import parts
from data.locked import locked, training_part
from data.parts import cohort_parts, drawn_frames, is_large, observation_rows
from data.synthetic import SyntheticCohort
from data.tables import TABLES, Cohort, read_cohort, read_frames, write_cohort
from features import bundle
from features.catalogue import Catalogue
from features.errors import DataError
from features.pooling import pool
from features.prior import Prior
from tests.training.builders import FREE, QUICK, RISING, drawn, plan
from tests.training.builders import table as made_up_table
from tests.training.conftest import SMALL
from tests.training.faults import Planted
from training import bins, cells, diagnose, fit, stream_flow
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
    with cohort_parts(cohort_folder, courses) as held:
        light, (found, streamed_spec, streamed_unsound) = stream(held, Prior(pool(tables)), tables, 1, tmp_path)
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
    assert re.search("the data checks looked at [0-9]+ courses, drawn by patient", capsys.readouterr().out)
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
    assert not is_large(cohort_folder)
    monkeypatch.setattr(parts, "LARGE_ROWS", 1000)
    assert is_large(cohort_folder)


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_drawn_tables_hold_all_rows_of_patients_drawn_by_name_who_are_not_locked(
    cohort_folder: Path, share: float
) -> None:
    whole, some = read_frames(cohort_folder), drawn_frames(cohort_folder, share, 60)
    patients = whole.courses["patient_id"].to_numpy()
    expected = whole.courses[locked(patients, share + 60 / len(patients)) & ~locked(patients, share)]
    assert some.courses.equals(expected.reset_index(drop=True))
    assert 40 < len(some.courses) < 80
    names = set(expected["course_id"])
    for found, table in ((some.observations, whole.observations), (some.events, whole.events)):
        assert found.equals(table[table["course_id"].isin(names)].reset_index(drop=True))
    # The draw reaches beyond the first courses by name.
    assert len(names - set(sorted(whole.courses["course_id"])[:60])) > 30


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_of_few_courses_all_that_are_not_locked_are_drawn(cohort_folder: Path, share: float) -> None:
    assert len(drawn_frames(cohort_folder, share, 300).courses) == len(
        training_part(read_frames(cohort_folder), share).courses
    )


@pytest.fixture
def leaking_late(made_up: SyntheticCohort, tmp_path: Path) -> Path:
    """A cohort on disk whose procalcitonin is the grade in all courses but the first fifty by name."""
    planted = Planted.of(made_up)
    late = planted.peak.sort_index().iloc[50:]
    planted = planted.measured("procalcitonin", 0.0, late, "ng/mL")
    write_cohort(tmp_path / "leaking", planted.courses, planted.observations, planted.events)
    return tmp_path / "leaking"


def test_streaming_stops_at_a_fault_that_the_first_courses_do_not_have(leaking_late: Path) -> None:
    with pytest.raises(DataError, match="label-copied"):
        train_streamed(leaking_late, "leaking", SMALL, courses=50)


def test_the_data_checks_draw_from_a_cohort_that_is_larger_than_memory(
    leaking_late: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(diagnose.read(leaking_late)[0]) == 300
    monkeypatch.setattr(parts, "LARGE_ROWS", 1000)
    monkeypatch.setattr(diagnose, "DRAWN_COURSES", 50)
    cohort, frames = diagnose.read(leaking_late)
    assert 30 < len(cohort) == len(frames.courses) < 70


@pytest.mark.parametrize("courses", [1000, 100])
@pytest.mark.parametrize("missing", ["courses.course_id", "courses.patient_id", "events.course_id"])
def test_a_table_without_its_ids_is_one_line(cohort_folder: Path, tmp_path: Path, missing: str, courses: int) -> None:
    held, (name, column) = read_frames(cohort_folder), missing.split(".")
    tables = {table: getattr(held, table) for table in TABLES}
    write_cohort(tmp_path / "nameless", **(tables | {name: tables[name].drop(columns=column)}))
    with pytest.raises(DataError) as refused:
        train_streamed(tmp_path / "nameless", "nameless", replace(SMALL, test_share=0.2), courses=courses)
    assert str(refused.value).startswith(f"{tmp_path}/nameless/{name}.parquet: {missing}: the column is missing")
