"""The locked test set: who is locked depends on the patient's name alone, and nothing of a locked patient trains."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import locked
from data.sieve import words
from data.synthetic import SyntheticCohort, generate, write
from data.tables import Cohort, Frames, read_cohort, write_cohort
from features.errors import DataError
from tests.data import frames as built

NAMES = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=60)
SHARES = st.floats(0, 0.5)


@given(NAMES, SHARES, SHARES)
@settings(max_examples=80, deadline=None)
def test_a_larger_share_locks_every_patient_of_a_smaller_one(names: list[str], one: float, other: float) -> None:
    few, many = locked.locked(names, min(one, other)), locked.locked(names, max(one, other))
    assert (few <= many).all()
    assert not locked.locked(names, 0.0).any()


@given(NAMES, SHARES, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_who_is_locked_depends_on_the_name_alone(names: list[str], share: float, random: object) -> None:
    known = dict(zip(names, locked.locked(names, share).tolist(), strict=True))
    shuffled = [*names, *names]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert locked.locked(shuffled, share).tolist() == [known[name] for name in shuffled]
    for name in names:
        assert locked.locked([name], share).tolist() == [known[name]]


def test_the_rule_is_the_first_eight_bytes_of_sha_256() -> None:
    digest = sha256(b"crs-risk test set 1:p-17").digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    assert locked.locked(["p-17"], np.nextafter(position, 1)).tolist() == [True]
    assert locked.locked(["p-17"], position).tolist() == [False]
    # Known answers: were they ever to change, courses that tested would train.
    assert locked.locked([f"p{number}" for number in range(12)], 0.2).nonzero()[0].tolist() == [0, 1, 2, 3, 4, 8]


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("prefix", ["", "synthetic-p", "MRN 00"])
def test_the_share_is_met_within_sampling_error(share: float, prefix: str) -> None:
    found = locked.locked([f"{prefix}{number}" for number in range(20_000)], share).mean()
    assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / 20_000)


# Tables


@pytest.fixture(scope="module")
def made_up() -> SyntheticCohort:
    """120 courses of 60 patients."""
    cohort = generate(120, 3)
    courses = cohort.courses.assign(patient_id=[f"p{row // 2}" for row in range(120)])
    return SyntheticCohort(courses, cohort.observations, cohort.events, cohort.truth)


@pytest.fixture(scope="module")
def folder(made_up: SyntheticCohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("locked") / "cohort"
    write(path, made_up)
    return path


def held(made_up: SyntheticCohort) -> Frames:
    return Frames(made_up.courses, made_up.observations, made_up.events)


@given(share=SHARES)
@settings(max_examples=15, deadline=None)
def test_each_row_is_in_one_part_and_no_patient_in_both(made_up: SyntheticCohort, share: float) -> None:
    both = locked.training_part(held(made_up), share), locked.test_part(held(made_up), share)
    for name in ("courses", "observations", "events"):
        parts = [getattr(part, name) for part in both]
        assert sum(map(len, parts)) == len(getattr(made_up, name))
        assert not set(parts[0]["course_id"]) & set(parts[1]["course_id"])
    assert not set(both[0].courses["patient_id"]) & set(both[1].courses["patient_id"])


def test_a_share_of_none_leaves_the_very_same_tables(made_up: SyntheticCohort) -> None:
    frames = held(made_up)
    assert locked.training_part(frames, 0.0) is frames
    assert len(locked.test_part(frames, 0.0).courses) == 0


def test_no_locked_patients_course_is_in_what_training_reads(folder: Path) -> None:
    whole, part = read_cohort(folder), locked.read_training_part(folder, 0.3)
    taken = set(np.asarray(whole.patient_ids)[locked.locked(whole.patient_ids, 0.3)])
    assert len(taken) > 5
    assert not taken & set(part.cohort.patient_ids)
    assert set(whole.patient_ids) == taken | set(part.cohort.patient_ids)
    assert part.locked_courses == len(whole) - len(part.cohort)
    assert (part.source_fingerprint, part.source_report) == (whole.fingerprint, whole.report)
    assert part.cohort.fingerprint != whole.fingerprint
    assert set(locked.read_test_part(folder, 0.3).patient_ids) == taken


def test_the_training_part_is_the_cohort_of_the_others_alone(folder: Path, tmp_path: Path) -> None:
    part = locked.read_training_part(folder, 0.3)
    write_cohort(tmp_path / "others", part.frames.courses, part.frames.observations, part.frames.events)
    assert read_cohort(tmp_path / "others").fingerprint == part.cohort.fingerprint


def test_without_a_locked_part_the_whole_cohort_trains(folder: Path) -> None:
    part = locked.read_training_part(folder, 0.0)
    assert part.locked_courses == 0
    assert part.cohort.fingerprint == part.source_fingerprint == read_cohort(folder).fingerprint


def test_numbers_as_names_are_locked_alike_in_both_formats(tmp_path: Path) -> None:
    ids = [f"c{number}" for number in range(40)]
    table = built.courses(*ids).assign(patient_id=range(100, 140))
    parts: list[Cohort] = []
    for form, names in (("csv", table["patient_id"]), ("parquet", table["patient_id"].astype(float))):
        courses = table.assign(patient_id=names)
        write_cohort(tmp_path / form, courses, built.observations(), built.events(), form)  # type: ignore[arg-type]
        parts.append(locked.read_test_part(tmp_path / form, 0.3))
    assert list(parts[0].patient_ids) == list(parts[1].patient_ids)
    assert len(parts[0]) > 3
    assert locked.locked(words(table["patient_id"]), 0.3).sum() == len(parts[0])


@pytest.mark.parametrize("who", ["no", "every"])
def test_a_part_without_a_patient_is_one_clear_line(tmp_path: Path, who: str) -> None:
    names = pd.Series([f"p{number}" for number in range(50)])
    inside = locked.locked(names, 0.3) == (who == "every")
    ids = [f"c{number}" for number in range(inside.sum())]
    courses = built.courses(*ids).assign(patient_id=names[inside].to_numpy())
    write_cohort(tmp_path / "cohort", courses, built.observations(), built.events())
    for read in (locked.read_training_part, locked.read_test_part):
        with pytest.raises(DataError, match=rf"^courses\.patient_id: {who} patient falls into .* share 0\.3; bring"):
            read(tmp_path / "cohort", 0.3)
