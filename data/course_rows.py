"""The courses table: from a raw frame to validated columnar courses, in the order of course_id."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.clock import UNKNOWN_START, instants, seconds_from_hours
from data.contract import check_columns, check_rows, courses_schema
from data.report import REMEDIES, RejectionReport
from data.sieve import Sieve, numbers, words
from features.catalogue import Catalogue
from features.course import Courses
from features.errors import DataError

Words = NDArray[np.object_]
SEX = {"": np.nan, "F": 0.0, "M": 1.0}


@dataclass(frozen=True, slots=True)
class CourseRows:
    """Validated courses sorted by course_id. starts: (n,) microseconds since 1970 UTC, UNKNOWN_START where not known.

    position: course_id -> place in the arrays; -1 for a course whose own row was rejected.
    """

    courses: Courses
    course_ids: Words
    patient_ids: Words
    sites: Words
    starts: NDArray[np.int64]
    follow_up_seconds: NDArray[np.int64]
    position: dict[str, int]
    report: RejectionReport


def course_rows(raw: pd.DataFrame, catalogue: Catalogue) -> CourseRows:
    """Validate the courses table. DataError if it is empty, repeats a course_id or leaves a therapy empty."""
    check_columns("courses", raw, catalogue)
    if raw.empty:
        raise DataError("courses", "the table has no rows", "give one row per treatment course")
    sieve = Sieve("courses", len(raw))
    frame = _frame(raw, catalogue, sieve)
    _check_identity(frame)
    starts = _starts(raw, sieve)
    check_rows(courses_schema(catalogue), frame, sieve)
    _note_names(frame, catalogue, sieve)
    return _sorted(frame, starts, catalogue, sieve)


def _frame(raw: pd.DataFrame, catalogue: Catalogue, sieve: Sieve) -> pd.DataFrame:
    text = {name: _text(raw, name) for name in ("course_id", "patient_id", "site", "therapy", "indication")}
    values: dict[str, NDArray[np.float64]] = {
        name: _number(raw, name, sieve) for name in ("follow_up_hours", *catalogue.course_columns)
    }
    if "sex" in raw.columns:
        sex = words(raw["sex"]).str.upper()
        sieve.note("sex-unknown", "sex", ~sex.isin(SEX).to_numpy())
        values["sex_male"] = np.array([SEX.get(word, np.nan) for word in sex], dtype=np.float64)
    return pd.DataFrame({**text, **values})


def _text(raw: pd.DataFrame, name: str) -> pd.Series:
    return words(raw[name]) if name in raw.columns else pd.Series([""] * len(raw), dtype="str")


def _number(raw: pd.DataFrame, name: str, sieve: Sieve) -> NDArray[np.float64]:
    if name not in raw.columns:
        return np.full(len(raw), np.nan)
    values, wrong = numbers(raw[name])
    sieve.reject("value-not-a-number", name, wrong)
    return values


def _check_identity(frame: pd.DataFrame) -> None:
    twice = frame["course_id"].ne("") & frame["course_id"].duplicated(keep=False)
    if twice.any():
        same = frame["course_id"].eq(frame["course_id"][twice].iloc[0])
        problem = f"{int(twice.sum())} rows share a course_id with another (first at {_rows(same, 2)})"
        raise DataError("courses.course_id", problem, "one row per course")
    empty = frame["therapy"].eq("")
    if empty.any():
        problem = f"the therapy is empty in {int(empty.sum())} rows (first at {_rows(empty)})"
        raise DataError("courses.therapy", problem, "a risk without a therapy has no meaning")


def _rows(mask: pd.Series, most: int = 1) -> str:
    """The first rows of a mask, counted from 1 without the header."""
    return f"data row {' and '.join(str(place + 1) for place in np.flatnonzero(mask)[:most])}"


def _starts(raw: pd.DataFrame, sieve: Sieve) -> NDArray[np.int64]:
    if "start_time" not in raw.columns:
        return np.full(len(raw), UNKNOWN_START)
    times, missing, without, unreadable = instants(raw["start_time"])
    sieve.reject("time-without-offset", "start_time", without)
    sieve.reject("time-not-readable", "start_time", unreadable)
    return np.where(missing | without | unreadable, UNKNOWN_START, times)


def _note_names(frame: pd.DataFrame, catalogue: Catalogue, sieve: Sieve) -> None:
    """Give therapy and indication their catalogue keys in place; unknown texts stay as written and are counted."""
    for column, find in (("therapy", catalogue.find_therapy), ("indication", catalogue.find_indication)):
        found = {text: find(text) for text in frame[column].unique()}
        unknown = [text for text, row in found.items() if text and row is None]
        near = _nearest(unknown, catalogue.therapies) if column == "therapy" else ""
        sieve.note(f"{column}-unknown", column, frame[column].isin(unknown).to_numpy(), near)
        frame[column] = frame[column].map({text: row.key if row else text for text, row in found.items()})
    sieve.note("indication-missing", "indication", frame["indication"].eq("").to_numpy())


def _nearest(unknown: Iterable[str], known: Iterable[str]) -> str:
    """The keys that misspelt names may stand for, as what to do; "" where none is near."""
    keys = list(known)
    near = [one for text in unknown for one in get_close_matches(text.lower().replace(" ", "-"), keys, n=1, cutoff=0.8)]
    found = ", ".join(sorted(set(near)))
    return f"did you mean {found}? {REMEDIES['therapy-unknown']}" if found else ""


def _sorted(frame: pd.DataFrame, starts: NDArray[np.int64], catalogue: Catalogue, sieve: Sieve) -> CourseRows:
    ids = frame["course_id"].to_numpy(dtype=object)
    order = np.array(sorted(np.flatnonzero(sieve.kept), key=lambda row: ids[row]), dtype=np.int64)
    kept = frame.iloc[order]
    position = dict.fromkeys(ids.tolist(), -1) | {name: place for place, name in enumerate(ids[order])}
    return CourseRows(
        courses=Courses(
            therapy=tuple(kept["therapy"]),
            indication=tuple(kept["indication"]),
            numbers=kept[list(catalogue.course_columns)].to_numpy(dtype=np.float64) + 0.0,
            columns=catalogue.course_columns,
        ),
        course_ids=ids[order],
        patient_ids=kept["patient_id"].to_numpy(dtype=object),
        sites=kept["site"].to_numpy(dtype=object),
        starts=starts[order],
        follow_up_seconds=seconds_from_hours(kept["follow_up_hours"].to_numpy()).astype(np.int64),
        position=position,
        report=sieve.report(),
    )


def step_up(courses: Courses, dosed_in_steps: NDArray[np.bool_], catalogue: Catalogue) -> NDArray[np.bool_]:
    """(n,) whether the schedule is step-up: by the therapy's class, or by charted step doses where that is unknown."""
    known = {text: _schedule(text, catalogue) for text in set(courses.therapy)}
    stepped = np.array([known[text] == "step-up" for text in courses.therapy], dtype=bool)
    unknown = np.array([known[text] == "" for text in courses.therapy], dtype=bool)
    return stepped | (unknown & dosed_in_steps)


def _schedule(text: str, catalogue: Catalogue) -> str:
    """The schedule of the therapy's root class, "" where the therapy is unknown.

    The root's, not the nearest class's, because features.prior reads the root's: labels and published rates must count
    the horizon from the same dose.
    """
    found = catalogue.find_therapy(text)
    return catalogue.schedule(found.key) if found else ""


def rows_position(names: pd.Series, position: dict[str, int], sieve: Sieve) -> NDArray[np.int64]:
    """(rows,) position of each row's course; rows of unknown or rejected courses leave the table, and stand at 0."""
    unknown = max(position.values(), default=0) + 1
    places = names.map(position).fillna(unknown).to_numpy(dtype=np.int64)
    sieve.reject("course-id-missing", "course_id", names.eq("").to_numpy())
    sieve.reject("orphan-course", "course_id", places == unknown)
    sieve.reject("course-rejected", "course_id", places == -1)
    return np.where((places < 0) | (places == unknown), 0, places)
