"""A patient or course that is there twice is found although one of the two is locked away."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from data.locked import locked
from data.tables import TABLES, read_frames, write_cohort
from features.errors import DataError
from features.home import Home
from tests.training.conftest import SMALL
from training import diagnose, flows, gate_flow, stream_flow, tune
from training.diagnose import Override
from training.gate_flow import Request
from training.stream_flow import train_streamed

SETTINGS = replace(SMALL, test_share=0.2)


@pytest.fixture
def one(cohort_folder: Path) -> str:
    """A locked patient who is not locked when spelled in capitals, or called by another name."""
    patients = read_frames(cohort_folder).courses["patient_id"]
    return next(
        name for name in patients if locked([name], 0.2)[0] and not locked([name.upper(), f"other {name}"], 0.2).any()
    )


def with_copy(cohort_folder: Path, folder: Path, patient: str, name: str) -> Path:
    """A cohort in which all that is held of that patient stands under another name, too."""
    held = read_frames(cohort_folder)
    own = set(held.courses.loc[held.courses["patient_id"].eq(patient), "course_id"])
    tables = {}
    for table in TABLES:
        frame = getattr(held, table)
        copy = frame[frame["course_id"].isin(own)].copy()
        copy["course_id"] = "copy of " + copy["course_id"]
        tables[table] = pd.concat([frame, copy.assign(patient_id=name) if table == "courses" else copy])
    write_cohort(folder, **tables)
    return folder


def ordinary(folder: Path, home: Path) -> None:
    flows.train(Home(home), folder, "twice", SETTINGS, None)


def streamed(folder: Path, home: Path) -> None:
    assert not home.exists()
    train_streamed(folder, "twice", SETTINGS, courses=100)


def tuned(folder: Path, home: Path) -> None:
    tune.tune(Home(home), tune.Request(folder, "twice", home / "best.toml", 1), SETTINGS, None)


@pytest.mark.parametrize("way", [ordinary, streamed, tuned])
@pytest.mark.parametrize(("spelled", "code"), [(str.upper, "same-patient"), ("other {}".format, "same-course")])
def test_who_is_there_twice_is_refused_although_one_is_locked(
    way: Callable[[Path, Path], None],
    spelled: Callable[[str], str],
    code: str,
    one: str,
    cohort_folder: Path,
    tmp_path: Path,
) -> None:
    folder = with_copy(cohort_folder, tmp_path / "twice", one, spelled(one))
    with pytest.raises(DataError, match=code):
        way(folder, tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_an_override_answers_for_who_is_there_twice(one: str, cohort_folder: Path, tmp_path: Path) -> None:
    folder = with_copy(cohort_folder, tmp_path / "twice", one, f"other {one}")
    part = flows.learnt_from(folder, 0.2, overrides=(Override("same-course", "a test of it"),))
    assert f"other {one}" in set(part.cohort.patient_ids)
    assert one not in set(part.cohort.patient_ids)


def test_the_gate_does_not_judge_where_a_locked_patient_may_have_been_learnt_from(
    own_home: Callable[[], Home], one: str, cohort_folder: Path, tmp_path: Path
) -> None:
    folder = with_copy(cohort_folder, tmp_path / "twice", one, f"other {one}")
    with pytest.raises(DataError, match="same-course"):
        gate_flow.gate(own_home(), Request("1", cohort=folder), lambda _: None)


def test_a_sound_cohort_is_looked_at_as_a_whole(cohort_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(diagnose, "check_lock", lambda courses, _: seen.append(len(courses)))
    monkeypatch.setattr(stream_flow, "train_cohort", lambda *_, **__: None)
    flows.learnt_from(cohort_folder, 0.2)
    train_streamed(cohort_folder, "sound", SETTINGS, courses=100)
    assert seen == [300, 300]
