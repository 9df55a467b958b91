"""The canonical cohort: three tables in a folder, read and validated, or written whole."""

from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.clock import MICROSECONDS, UNKNOWN_START
from data.course_rows import CourseRows, Words, course_rows, step_up
from data.derived_grades import Derived, derive, no_open_grades
from data.event_rows import event_rows, took_place
from data.files import FORMATS, Format, find_table, read_table, write_table
from data.observation_rows import observation_rows
from data.report import RejectionReport, check_share
from features.catalogue import Catalogue, load
from features.course import Courses, Event, Observations
from features.errors import DataError, UsageError

TABLES = ("courses", "observations", "events")
#: Largest fraction of a table's rows that may be rejected before the whole cohort is refused.
ALLOWED_REJECTED = 0.2
#: Where the rejected rows are judged elsewhere, or every row may be rejected.
ANY_SHARE = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """The three canonical tables as they came. folder: whose files errors name, None where there are none."""

    courses: pd.DataFrame
    observations: pd.DataFrame
    events: pd.DataFrame
    folder: Path | None = None

    def cohort(
        self,
        allowed_rejected: float = ALLOWED_REJECTED,
        derive_grades: bool = False,
        catalogue: Catalogue | None = None,
    ) -> "Cohort":
        """The cohort of these tables; as read_cohort."""
        tables = (self.courses, self.observations, self.events)
        with naming_files(self.folder):
            return cohort_from_frames(*tables, allowed_rejected, catalogue, derive_grades)


def read_frames(folder: Path, named: Path | None = None) -> Frames:
    """The tables of a folder, not yet checked. DataError if one is missing or cannot be read.

    named: the folder that errors name, where these tables are a part of its.
    """
    courses, observations, events = (read_table(find_table(folder, table)) for table in TABLES)
    return Frames(courses, observations, events, named or folder)


@contextmanager
def naming_files(folder: Path | None) -> Iterator[None]:
    """An error about a table, or a column of it, names its file, too."""
    try:
        yield
    except DataError as error:
        table = error.place.split(".")[0]
        if folder is None or table not in TABLES:
            raise
        raise type(error)(f"{find_table(folder, table)}: {error.place}", error.problem, error.remedy) from error


def check_columns(table: str, columns: Container[str], *needed: str) -> None:
    """DataError where one of those columns of that table is missing."""
    for name in needed:
        if name not in columns:
            raise DataError(f"{table}.{name}", "the column is missing", "see docs/cohort-format.md")


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """n validated courses in the order of course_id; the order of rows in the files changes nothing.

    observations: analytes and the timed events (by Event code) that took place, sorted by course, code name, time,
    value, limit.
    events: course (position), seconds (NaN = a peak grade whose time is unknown), event, grading, value, detail.
    open_grades: course (position), seconds, event, least, most: from when a derived grade is known only as at least
    `least`; no rows where grades were charted.
    start_time: (n,) datetime64[us] UTC, NaT where not stated. follow_up_seconds: (n,) int64 from the start.
    step_up: (n,) whether the schedule is step-up. fingerprint: sha256 hex over all of this but the report.
    """

    courses: Courses
    observations: Observations
    events: pd.DataFrame
    open_grades: pd.DataFrame
    course_ids: Words
    patient_ids: Words
    sites: Words
    start_time: NDArray[np.datetime64]
    follow_up_seconds: NDArray[np.int64]
    step_up: NDArray[np.bool_]
    report: RejectionReport
    fingerprint: str

    def __len__(self) -> int:
        return len(self.courses)


def read_cohort(
    folder: Path,
    allowed_rejected: float = ALLOWED_REJECTED,
    catalogue: Catalogue | None = None,
    derive_grades: bool = False,
) -> Cohort:
    """Read and validate a folder of courses, observations and events (CSV or Parquet).

    DataError if a table is missing, unreadable or breaks its contract as a whole, or if more than `allowed_rejected`
    (a fraction) of a table's rows is rejected. Other losses stand in the cohort's report. derive_grades: grade CRS from
    vitals and treatments where the cohort charted no CRS grade, see data.derived_grades.
    """
    return read_frames(folder).cohort(allowed_rejected, derive_grades, catalogue)


def cohort_from_frames(
    courses: pd.DataFrame,
    observations: pd.DataFrame,
    events: pd.DataFrame,
    allowed_rejected: float = ALLOWED_REJECTED,
    catalogue: Catalogue | None = None,
    derive_grades: bool = False,
) -> Cohort:
    """The cohort of three canonical frames; as read_cohort."""
    facts = catalogue or load()
    rows = course_rows(courses, facts)
    seen = observation_rows(observations, rows, facts)
    charted = event_rows(events, rows, facts)
    report = rows.report + seen.report + charted.report
    check_share(report, allowed_rejected)
    if not len(rows.courses):
        raise DataError("courses", "no course is left after the checks", "see the rejection report")
    graded = Derived(charted.events, no_open_grades(), RejectionReport())
    if derive_grades:
        graded = derive(rows.courses, seen.observations, charted.events, facts)
    return _cohort(rows, seen.observations, graded, report + graded.report, facts)


def _cohort(
    rows: CourseRows, seen: Observations, graded: Derived, report: RejectionReport, catalogue: Catalogue
) -> Cohort:
    order = ["course", "seconds", "event", "value", "grading", "detail"]
    events = graded.events.sort_values(order).reset_index(drop=True)
    observations = _in_order(_with_events(seen, events, catalogue), catalogue)
    dosed = np.zeros(len(rows.courses), dtype=bool)
    doses = events["event"].eq(Event.STEP_DOSE.value) & took_place(events)
    dosed[events.loc[doses, "course"].to_numpy()] = True
    in_steps = step_up(rows.courses, dosed, catalogue)
    return Cohort(
        courses=rows.courses,
        observations=observations,
        events=events,
        open_grades=graded.open_grades,
        course_ids=rows.course_ids,
        patient_ids=rows.patient_ids,
        sites=rows.sites,
        start_time=np.where(rows.starts == UNKNOWN_START, np.datetime64("NaT"), rows.starts.astype("datetime64[us]")),
        follow_up_seconds=rows.follow_up_seconds,
        step_up=in_steps,
        report=report,
        fingerprint=_fingerprint(rows, observations, events, graded.open_grades, catalogue),
    )


def _with_events(seen: Observations, events: pd.DataFrame, catalogue: Catalogue) -> Observations:
    """The results and the timed events; what was charted as not given is no event to a row, as to a label."""
    timed = events[events["seconds"].notna() & took_place(events)]
    codes = timed["event"].map({event.value: catalogue.code_position(event.value) for event in Event})
    return Observations(
        course=np.concatenate([seen.course, timed["course"].to_numpy(dtype=np.int32)]),
        code=np.concatenate([seen.code, codes.to_numpy(dtype=np.int16)]),
        seconds=np.concatenate([seen.seconds, timed["seconds"].to_numpy(dtype=np.int32)]),
        value=np.concatenate([seen.value, timed["value"].to_numpy(dtype=np.float64)]),
        limit=np.concatenate([seen.limit, np.full(len(timed), np.nan)]),
    )


def _in_order(seen: Observations, catalogue: Catalogue) -> Observations:
    """Sorted by course, name of the code (not its place in the catalogue, which may change), time, value and limit."""
    order = np.lexsort((seen.limit, seen.value, seen.seconds, _name_rank(catalogue)[seen.code], seen.course))
    return Observations(seen.course[order], seen.code[order], seen.seconds[order], seen.value[order], seen.limit[order])


def _name_rank(catalogue: Catalogue) -> NDArray[np.int16]:
    return np.argsort(np.argsort(np.array(catalogue.codes))).astype(np.int16)


def _fingerprint(
    rows: CourseRows, seen: Observations, events: pd.DataFrame, open_grades: pd.DataFrame, catalogue: Catalogue
) -> str:
    """sha256 hex over the canonical content, NaN in one form; independent of row order, format and catalogue order."""
    names = np.array(catalogue.codes)[np.unique(seen.code)].tolist()
    place = np.zeros(len(catalogue.codes), dtype="<i2")
    place[[catalogue.code_position(name) for name in sorted(names)]] = np.arange(len(names))
    courses = rows.courses
    texts = (rows.course_ids, rows.patient_ids, rows.sites, courses.therapy, courses.indication, courses.columns)
    lists = (*texts, events["event"], events["grading"], sorted(names))
    total = sha256(repr([list(map(str, one)) for one in lists]).encode())
    arrays = (courses.numbers, rows.starts, rows.follow_up_seconds, seen.course, place[seen.code], seen.seconds)
    for array in (*arrays, seen.value, seen.limit, *(events[name] for name in ("course", "seconds", "value"))):
        total.update(_bytes(np.asarray(array)))
    # Only where they say something, so that a cohort without them keeps the fingerprint it had.
    if events["detail"].ne("").any():
        total.update(repr(list(events["detail"])).encode())
    for name in open_grades.columns.drop("event") if len(open_grades) else ():
        total.update(_bytes(open_grades[name].to_numpy(dtype=np.float64)))
    return total.hexdigest()


def _bytes(array: NDArray) -> bytes:  # type: ignore[type-arg]
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.nan, array).astype("<f8")
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).tobytes()


def write_cohort(
    folder: Path,
    courses: pd.DataFrame,
    observations: pd.DataFrame,
    events: pd.DataFrame,
    format: Format = "parquet",
    extra: Mapping[str, pd.DataFrame] | None = None,
    overwrite: bool = False,
) -> None:
    """Write the three tables, and side tables of any name, into a new folder: all of it or nothing.

    UsageError if the folder cannot be made, exists, is not empty and `overwrite` is not set, or the format is unknown.
    """
    if format not in FORMATS:
        raise UsageError("format", "not a format of cohort tables", f"use {' or '.join(FORMATS)}")
    check_new(folder, overwrite)
    temporary = _beside(folder)
    try:
        for name, frame in {**dict(zip(TABLES, (courses, observations, events), strict=True)), **(extra or {})}.items():
            write_table(frame, temporary / f"{name}.{format}")
        _put_in_place(temporary, folder)
    finally:
        rmtree(temporary, ignore_errors=True)


def check_new(folder: Path, overwrite: bool = False) -> None:
    """UsageError if a cohort cannot be written there: a file, or, without `overwrite`, a folder that is not empty."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}", "a file of that name exists", "choose a new folder")
    if folder.exists() and not overwrite and any(folder.iterdir()):
        raise UsageError(f"{folder}", "the folder exists", "choose a new one, or ask for it to be overwritten")


def _beside(folder: Path) -> Path:
    """A new hidden folder on the same disk, so that the cohort is put in place by one renaming."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise UsageError(f"{folder}", "the folder cannot be made", "choose a place that can be written") from error


def _put_in_place(temporary: Path, folder: Path) -> None:
    temporary.chmod(0o755)
    if not folder.exists():
        temporary.rename(folder)
        return
    old = folder.with_name(f".{folder.name}-old")
    rmtree(old, ignore_errors=True)
    folder.rename(old)
    temporary.rename(folder)
    rmtree(old)


def utc_seconds(cohort: Cohort) -> NDArray[np.float64]:
    """(n,) start time in seconds since 1970 UTC, NaN where not stated."""
    known = ~np.isnat(cohort.start_time)
    return np.where(known, cohort.start_time.astype("datetime64[us]").astype(np.int64) / MICROSECONDS, np.nan)
