"""The contract of the three canonical tables: columns, types and ranges, checked by pandera."""

from difflib import get_close_matches

import numpy as np
import pandas as pd
import pandera.pandas as pandera
from numpy.typing import NDArray
from pandera.errors import SchemaErrors

from data.sieve import Sieve
from features.catalogue import Catalogue
from features.course import COURSE_NUMBERS, Event
from features.errors import DataError
from features.grading_types import GRADINGS

GRADES = (Event.CRS_GRADE.value, Event.ICANS_GRADE.value)
COMPARATORS = ("", "<", ">")
FLAG = (0.0, 1.0)
#: A longer follow-up than a century is a slip of the unit.
MOST_HOURS = 24.0 * 365 * 100

#: table -> its required columns. `hours` may be replaced by `time`.
REQUIRED: dict[str, tuple[str, ...]] = {
    "courses": ("course_id", "patient_id", "therapy", "indication", "follow_up_hours"),
    "observations": ("course_id", "hours", "code", "value", "unit"),
    "events": ("course_id", "hours", "event", "value"),
}
OPTIONAL: dict[str, tuple[str, ...]] = {
    "courses": ("site", "start_time", "sex"),
    "observations": ("time", "comparator", "upper_limit"),
    "events": ("time", "grading", "detail"),
}


def known_columns(table: str, catalogue: Catalogue) -> tuple[str, ...]:
    """All columns the table may have, required ones first."""
    numbers = catalogue.course_columns if table == "courses" else ()
    return (*REQUIRED[table], *OPTIONAL[table], *numbers)


def check_columns(table: str, frame: pd.DataFrame, catalogue: Catalogue) -> None:
    """DataError naming the first column that is unknown, missing, or given twice."""
    known, given = known_columns(table, catalogue), [str(name) for name in frame.columns]
    _check_separator(table, given)
    for name in given:
        if name not in known:
            raise DataError(f"{table}.{name}", "unknown column", _suggestion(name, known))
        if given.count(name) > 1:
            raise DataError(f"{table}.{name}", "the column is there twice", "keep one of them")
    for name in REQUIRED[table]:
        if name not in given and not (name == "hours" and "time" in given):
            raise DataError(f"{table}.{name}", "required column missing", f"{table} needs {', '.join(REQUIRED[table])}")
    for one, other in (("hours", "time"), ("sex", "sex_male")):
        if one in given and other in given:
            raise DataError(f"{table}.{other}", f"both {one} and {other} are given", "keep one of them")


def _check_separator(table: str, given: list[str]) -> None:
    if len(given) == 1 and (";" in given[0] or "\t" in given[0]):
        raise DataError(table, "the header is one column", "separate columns by commas and write decimals with a point")


def _suggestion(name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name.strip().lower(), known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else "leave it out; docs/cohort-format.md lists the columns"


def check_rows(schema: pandera.DataFrameSchema, frame: pd.DataFrame, sieve: Sieve) -> None:
    """Reject the rows that break a column's rule; the frame's index must be 0..n-1."""
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        for (column, rule), rows in cases.groupby(["column", "check"], sort=False, dropna=False)["index"]:
            sieve.reject(str(rule), str(column), _mask(len(frame), rows))


def _mask(length: int, rows: pd.Series) -> NDArray[np.bool_]:
    mask = np.zeros(length, dtype=bool)
    mask[rows.to_numpy(dtype=np.int64)] = True
    return mask


def _filled(rule: str) -> pandera.Column:
    return pandera.Column(str, pandera.Check.ne("", error=rule))


def _listed(allowed: tuple[str, ...], rule: str) -> pandera.Column:
    return pandera.Column(str, pandera.Check.isin(allowed, error=rule))


def _number(low: float, high: float) -> pandera.Column:
    allowed = pandera.Check.in_range(low, high, error="column-out-of-range")
    flag = pandera.Check.isin((low, high), error="column-out-of-range")
    return pandera.Column(float, flag if (low, high) == FLAG else allowed, nullable=True)


def courses_schema(catalogue: Catalogue) -> pandera.DataFrameSchema:
    """courses after its numbers were read: flags 0 or 1, numbers within COURSE_NUMBERS, NaN where not known."""
    numbers = {name: _number(*COURSE_NUMBERS.get(name, FLAG)) for name in catalogue.course_columns}
    # An empty follow-up breaks the same rule as one out of range.
    followed = pandera.Check.in_range(0, MOST_HOURS, error="follow-up-unusable", ignore_na=False)
    fixed = {
        "course_id": _filled("course-id-missing"),
        "patient_id": _filled("patient-missing"),
        "follow_up_hours": pandera.Column(float, followed, nullable=True),
    }
    return pandera.DataFrameSchema({**fixed, **numbers})


def observations_schema() -> pandera.DataFrameSchema:
    """observations after its numbers were read."""
    return pandera.DataFrameSchema({"comparator": _listed(COMPARATORS, "comparator-unknown")})


def events_schema() -> pandera.DataFrameSchema:
    """events after its numbers were read."""
    known = tuple(event.value for event in Event)
    return pandera.DataFrameSchema(
        {"event": _listed(known, "event-unknown"), "grading": _listed(("", *GRADINGS), "grading-unknown")}
    )
