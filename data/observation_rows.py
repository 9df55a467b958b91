"""The observations table: codes to analytes, values to canonical units, times to whole seconds."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.clock import row_seconds
from data.contract import check_columns, check_rows, observations_schema
from data.course_rows import CourseRows, rows_position
from data.report import RejectionReport
from data.sieve import Mask, Sieve, numbers, words
from features.catalogue import Analyte, Catalogue, fold_unit
from features.course import LATEST_SECONDS, LOOKBACK_SECONDS, Observations
from features.units import is_plausible

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ObservationRows:
    """Validated observations in file order, with what became of the rest."""

    observations: Observations
    report: RejectionReport


def observation_rows(raw: pd.DataFrame, courses: CourseRows, catalogue: Catalogue) -> ObservationRows:
    """Validate the observations table; a value with a comparator counts as the limit it states."""
    check_columns("observations", raw, catalogue)
    sieve = Sieve("observations", len(raw))
    codes, names = pd.factorize(words(raw["code"]))
    analytes = [catalogue.find_analyte(name) for name in names]
    course = rows_position(words(raw["course_id"]), courses.position, sieve)
    seconds = row_seconds(raw, course, courses.starts, sieve)
    sieve.reject("hours-missing", "hours", np.isnan(seconds))
    sieve.group(codes, [found.key if found else "" for found in analytes])
    known = np.array([found is not None for found in analytes], dtype=bool)
    sieve.reject("unknown-code", "code", ~_take(known, codes))
    value = _values(raw, sieve)
    limit = _limits(raw, sieve)
    value, limit = _canonical(codes, analytes, words(raw["unit"]), value, limit, sieve)
    _check_comparator(raw, sieve)
    check_period(seconds, sieve)
    positions = np.array([catalogue.code_position(found.key) if found else -1 for found in analytes], dtype=np.int16)
    return ObservationRows(_kept(course, _take(positions, codes), seconds, value, limit, sieve.kept), sieve.report())


def _take(table: NDArray, places: NDArray[np.int64]) -> NDArray:  # type: ignore[type-arg]
    return table[places] if len(places) else table[:0]


def _values(raw: pd.DataFrame, sieve: Sieve) -> Floats:
    value, wrong = numbers(raw["value"])
    sieve.reject("value-not-a-number", "value", wrong)
    sieve.reject("value-not-finite", "value", ~np.isfinite(value))
    return value


def _limits(raw: pd.DataFrame, sieve: Sieve) -> Floats:
    if "upper_limit" not in raw.columns:
        return np.full(len(raw), np.nan)
    limit, wrong = numbers(raw["upper_limit"])
    unusable = wrong | np.isinf(limit) | (limit <= 0)
    sieve.note("upper-limit-unusable", "upper_limit", unusable)
    return np.where(unusable, np.nan, limit)


def _canonical(
    codes: NDArray[np.int64],
    analytes: list[Analyte | None],
    unit: pd.Series,
    value: Floats,
    limit: Floats,
    sieve: Sieve,
) -> tuple[Floats, Floats]:
    """Values and limits in canonical units: one conversion per (code, unit) pair, then the plausible range."""
    units, spellings = pd.factorize(unit)
    value, limit = value.copy(), limit.copy()
    refused, negative, implausible = (np.zeros(len(value), dtype=bool) for _ in range(3))
    for code, spelling, rows in _pairs(codes, units, len(spellings), sieve.kept):
        analyte = analytes[code]
        assert analyte is not None  # rows of unknown codes left before
        negative[rows] = (value[rows] < 0) & (analyte.plausible_low >= 0)
        rule = analyte.units.get(fold_unit(spellings[spelling]))
        if rule is None:
            refused[rows] = True
            continue
        value[rows] = value[rows] * rule.factor + rule.offset
        limit[rows] = limit[rows] * rule.factor + rule.offset
        implausible[rows] = ~is_plausible(analyte, value[rows])
    sieve.reject("unit-not-accepted", "unit", refused)
    sieve.reject("value-negative", "value", negative)
    sieve.reject("value-implausible", "value", implausible)
    return value, limit


def _pairs(
    codes: NDArray[np.int64], units: NDArray[np.int64], spellings: int, kept: Mask
) -> list[tuple[int, int, NDArray[np.int64]]]:
    """(code, unit, rows) of every pair that occurs among the kept rows."""
    rows = np.flatnonzero(kept)
    pair = codes[rows] * max(spellings, 1) + units[rows]
    order = np.argsort(pair, kind="stable")
    found, first = np.unique(pair[order], return_index=True)
    groups = np.split(rows[order], first[1:]) if len(found) else []
    return [(int(one) // spellings, int(one) % spellings, group) for one, group in zip(found, groups, strict=True)]


def _check_comparator(raw: pd.DataFrame, sieve: Sieve) -> None:
    if "comparator" in raw.columns:
        comparator = words(raw["comparator"])
        check_rows(observations_schema(), pd.DataFrame({"comparator": comparator}), sieve)
        sieve.note("value-censored", "comparator", comparator.ne("").to_numpy())


def check_period(seconds: Floats, sieve: Sieve) -> None:
    """Leave out what lies outside the period the product looks at; an unknown time stays."""
    sieve.leave_unused("observation-too-old", "hours", seconds < -LOOKBACK_SECONDS)
    sieve.leave_unused("observation-too-late", "hours", seconds > LATEST_SECONDS)


def _kept(
    course: NDArray[np.int64], code: NDArray[np.int16], seconds: Floats, value: Floats, limit: Floats, kept: Mask
) -> Observations:
    return Observations(
        course=course[kept].astype(np.int32),
        code=code[kept].astype(np.int16),
        seconds=seconds[kept].astype(np.int32),
        value=value[kept] + 0.0,
        limit=limit[kept],
    )
