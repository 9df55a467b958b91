"""`crs train --stream`: as `crs train`, of a cohort that is larger than memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from data.locked import training_part
from data.parts import check_parts, drawn_frames, frame_parts
from data.report import RejectionReport
from data.tables import ANY_SHARE, Cohort, Frames
from features.catalogue import load
from features.errors import UsageError
from features.home import Home
from features.pooling import pool
from features.prior import Prior
from features.scratch import Scratch
from training import diagnose as checks
from training import flows
from training.config import Settings
from training.diagnose import Override
from training.stream import stream
from training.train import Trained
from training.train import train as train_cohort

#: Courses of one part while training.
PART_COURSES = 20_000


def check_grades(derive_grades: bool) -> None:
    """UsageError where grades would be derived: whether any grade was charted is asked of a whole cohort."""
    if derive_grades:
        raise UsageError("--stream", "grades are not derived of a cohort in parts", "leave out one of the two options")


def train(
    home: Home, folder: Path, name: str, settings: Settings, uri: str | None, overrides: Sequence[Override] = ()
) -> str:
    """Check the data, train on all parts, record and register; returns the version.

    Scratch files lie where temporary files do, and need room for the tables once more and for every row of the table.
    """
    trained = train_streamed(folder, name, settings, overrides)
    return flows.record(home, trained, folder, uri)


def train_streamed(
    folder: Path, name: str, settings: Settings, overrides: Sequence[Override] = (), courses: int = PART_COURSES
) -> Trained:
    """Errors as training.flows.train; the data checks see about so many courses, drawn from all of them."""
    catalogue = load()
    _check(folder, settings.test_share, overrides, courses)
    evidence = Prior(pool(catalogue))
    with Scratch("stream") as scratch, frame_parts(folder, courses) as parts:
        kept = _kept(folder, parts, settings.test_share, overrides)
        cohort, made = stream(kept, evidence, catalogue, settings.workers, scratch)
        if cohort.report.findings:
            flows.console.print(cohort.report.text())
        return train_cohort(cohort, name, settings, catalogue, flows.console.print, overrides, made=made)


def _check(folder: Path, share: float, overrides: Sequence[Override], courses: int) -> None:
    """The data checks on courses drawn from the whole cohort; DataError as training.flows.check_data."""
    frames = drawn_frames(folder, share, courses)
    cohort = frames.cohort(ANY_SHARE)
    flows.check_data(cohort, frames, folder, overrides)
    flows.console.print(f"the data checks looked at {len(cohort)} courses, drawn by patient from the whole cohort")


def _kept(folder: Path, parts: Iterator[Frames], share: float, overrides: Sequence[Override]) -> Iterator[Cohort]:
    """The parts without the courses of locked patients; DataError at last where a patient or course is there twice."""
    reports: list[RejectionReport] = []
    courses: list[pd.DataFrame] = []
    away = 0
    for part in parts:
        whole, frames = part.cohort(ANY_SHARE), training_part(part, share)
        courses.append(checks.marks(whole, part, load()))
        away += len(part.courses) - len(frames.courses)
        if not len(frames.courses):
            continue
        cohort = frames.cohort(ANY_SHARE) if share else whole
        reports.append(cohort.report)
        yield cohort
    check_parts(reports, folder)
    checks.check_lock(pd.concat(courses), overrides)
    flows.console.print(f"locked test set: {away} courses are kept away (test_share {share:g})")
