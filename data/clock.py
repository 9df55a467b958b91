"""Times of a table in whole seconds from the course's start."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.sieve import Mask, Sieve, numbers, words
from features.course import whole_seconds

OFFSET = r"(?:[Zz]|[+-]\d\d:?\d\d)$"
MICROSECONDS = 1_000_000


def seconds_from_hours(hours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole seconds, NaN where not known. Rounded up: nothing is ever seen earlier than it was stamped."""
    return whole_seconds(hours) + 0.0  # no negative zero, which would change the fingerprint


def instants(column: pd.Series) -> tuple[NDArray[np.int64], Mask, Mask, Mask]:
    """Microseconds since 1970 in UTC, and where the time is: missing; without an offset; not readable."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return _microseconds(column), column.isna().to_numpy(), *_nowhere(column)
    text = words(column)
    missing = text.eq("").to_numpy()
    without = ~missing & ~text.str.contains(OFFSET).to_numpy(dtype=bool)
    times = pd.to_datetime(text.where(~(missing | without), None), utc=True, format="ISO8601", errors="coerce")
    unreadable = times.isna().to_numpy() & ~missing & ~without
    return _microseconds(times), missing, without, unreadable


def _nowhere(column: pd.Series) -> tuple[Mask, Mask]:
    return np.zeros(len(column), dtype=bool), np.zeros(len(column), dtype=bool)


def _microseconds(times: pd.Series) -> NDArray[np.int64]:
    stamped: NDArray[np.int64] = times.dt.tz_convert("UTC").dt.as_unit("us").astype("int64").to_numpy(dtype=np.int64)
    return stamped


def row_seconds(
    frame: pd.DataFrame, course: NDArray[np.int64], starts: NDArray[np.int64], sieve: Sieve
) -> NDArray[np.float64]:
    """(rows,) seconds of each row from its course's start, NaN where the table states no time.

    course: (rows,) position of the row's course, any value where it has none. starts: (courses,) microseconds
    since 1970, the smallest int64 where not known. Rejects rows whose time cannot be read.
    """
    if "time" not in frame.columns:
        hours, wrong = numbers(frame["hours"])
        sieve.reject("value-not-a-number", "hours", wrong)
        sieve.reject("value-not-finite", "hours", np.isinf(hours))
        return seconds_from_hours(np.where(np.isfinite(hours), hours, np.nan))
    times, missing, without, unreadable = instants(frame["time"])
    sieve.reject("time-without-offset", "time", without)
    sieve.reject("time-not-readable", "time", unreadable)
    start = starts[course]
    sieve.reject("start-time-missing", "time", ~missing & (start == UNKNOWN_START))
    unknown = missing | without | unreadable | (start == UNKNOWN_START)
    elapsed = np.where(unknown, 0, times) - np.where(unknown, 0, start)
    return np.where(unknown, np.nan, -(-elapsed // MICROSECONDS).astype(np.float64) + 0.0)


UNKNOWN_START = np.iinfo(np.int64).min
