"""The locked test set: patients whose courses no training and no tuning ever sees, kept for champion and challenger.

Whether a patient is locked is a function of the patient's name alone: no list is kept, a patient stays locked when the
cohort grows, and all courses of a patient lie on one side. A larger share holds all patients of a smaller one.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.report import RejectionReport
from data.sieve import words
from data.tables import ANY_SHARE, Cohort, Frames, check_columns, naming_files, read_frames
from features.errors import DataError

#: Hashed before each name. It never changes: another text would lock other patients.
SALT = "crs-risk test set 1:"
#: Is shown a whole cohort before a part of it is locked away, and may raise.
Look = Callable[[Cohort, Frames], None]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPart:
    """What may be learnt from a cohort.

    cohort, frames: the courses of patients who are not locked. locked_courses: how many others there are.
    source_report, source_fingerprint: of the whole cohort.
    """

    cohort: Cohort
    frames: Frames
    locked_courses: int
    source_report: RejectionReport
    source_fingerprint: str


def locked(patient_ids: Iterable[str], share: float) -> NDArray[np.bool_]:
    """(n,) whether each patient is locked at this share (0 inclusive to 1 exclusive of the patients; 0 locks none)."""
    names = [str(name) for name in patient_ids]
    known = {name: _position(name) < share for name in set(names)}
    return np.array([known[name] for name in names], dtype=bool)


def _position(name: str) -> float:
    """A number from 0 to 1, evenly spread over names: the first eight bytes of SHA-256, big endian."""
    return float(int.from_bytes(sha256(f"{SALT}{name}".encode()).digest()[:8], "big") / 2**64)


def training_part(frames: Frames, share: float) -> Frames:
    """The rows of all courses but those of locked patients; the very same frames where the share is 0."""
    return _of_courses(frames, share, False) if share else frames


def test_part(frames: Frames, share: float) -> Frames:
    """The rows of the courses of locked patients; no row where the share is 0."""
    return _of_courses(frames, share, True)


def _of_courses(frames: Frames, share: float, wanted: bool) -> Frames:
    """The rows whose course is, or is not, a locked patient's; rows of no known course are in neither part.

    DataError where a column of ids is missing.
    """
    with naming_files(frames.folder):
        check_columns("courses", frames.courses, "course_id", "patient_id")
        check_columns("observations", frames.observations, "course_id")
        check_columns("events", frames.events, "course_id")
    kept = locked(words(frames.courses["patient_id"]), share) == wanted
    own = frames.courses[kept].reset_index(drop=True)
    names = set(words(own["course_id"]))
    return Frames(own, _rows(frames.observations, names), _rows(frames.events, names), frames.folder)


def _rows(table: pd.DataFrame, courses: set[str]) -> pd.DataFrame:
    return table[words(table["course_id"]).isin(courses).to_numpy()].reset_index(drop=True)


def read_training_part(
    folder: Path, share: float, derive_grades: bool = False, look: Look = lambda *_: None
) -> TrainingPart:
    """Read a cohort and keep what may be learnt from; errors as data.tables.read_cohort.

    look: is shown the whole cohort before a part of it is locked away. DataError where no patient, or every patient,
    falls into a test set of a share above 0.
    """
    frames = read_frames(folder)
    whole = frames.cohort(derive_grades=derive_grades)
    if not share:
        return TrainingPart(whole, frames, 0, whole.report, whole.fingerprint)
    look(whole, frames)
    source = (_locked_courses(whole, share), whole.report, whole.fingerprint)
    # Two whole cohorts need not stand in memory side by side.
    del whole
    part = training_part(frames, share)
    return TrainingPart(part.cohort(ANY_SHARE, derive_grades), part, *source)


def read_test_part(folder: Path, share: float, derive_grades: bool = False, look: Look = lambda *_: None) -> Cohort:
    """The courses of a cohort's locked patients alone; errors as read_training_part, and DataError at a share of 0."""
    frames = read_frames(folder)
    whole = frames.cohort(derive_grades=derive_grades)
    _locked_courses(whole, share)
    look(whole, frames)
    return test_part(frames, share).cohort(ANY_SHARE, derive_grades)


def _locked_courses(whole: Cohort, share: float) -> int:
    """How many courses are locked; DataError where one part has none."""
    taken = locked(whole.patient_ids, share)
    if taken.all() or not taken.any():
        who = "every" if taken.all() else "no"
        problem = f"{who} patient falls into the locked test set of share {share:g}"
        raise DataError(
            "courses.patient_id", problem, "bring more patients or choose another test_share (0 locks none)"
        )
    return int(taken.sum())
