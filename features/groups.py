"""Observations grouped by course and code, each group summarised, in one pass.

One sort on a whole-number key of course, code and second; then first, last and worst by position and by `reduceat`.
Nothing loops over analytes or courses.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.course import LATEST_SECONDS, LOOKBACK_SECONDS, Event, Observations
from features.spec import Rule, Spec

Ints = NDArray[np.int64]

#: Bits of the sort key that hold the second; the rest holds course and code.
_SECOND_BITS = (LOOKBACK_SECONDS + LATEST_SECONDS).bit_length()
#: A logarithm is taken of nothing smaller than this, and nothing is divided by less, so that no cell is infinite.
LOG_FLOOR = 1e-3
GRADES = (Event.CRS_GRADE, Event.ICANS_GRADE)
#: Events have no rule of their own: higher is worse, and the value stands.
_AS_IT_IS = Rule(1.0, False, np.nan, False)


@dataclass(frozen=True, slots=True)
class Groups:
    """One entry per (course, code) that has an observation at or before the index time; all (g,).

    first, last, worst: in the unit of the row. last_raw: in the analyte's canonical unit.
    """

    course: Ints
    code: Ints
    first: NDArray[np.float64]
    baseline: NDArray[np.float64]
    last: NDArray[np.float64]
    last_raw: NDArray[np.float64]
    worst: NDArray[np.float64]
    first_seconds: Ints
    last_seconds: Ints
    worst_seconds: Ints


class Grouper:
    """Groups by the rules of one spec; made once.

    codes: how many there are. grades: their positions, CRS then ICANS. is_grade, log: (codes,) flags.
    """

    def __init__(self, spec: Spec, catalogue: Catalogue) -> None:
        self.codes = len(catalogue.codes)
        rules = [spec.rules.get(code, _AS_IT_IS) for code in catalogue.codes]
        self._sign = np.array([rule.sign for rule in rules])
        self._per_limit = np.array([rule.per_upper_limit for rule in rules])
        self._default_limit = np.array([rule.upper_limit for rule in rules])
        self.log = np.array([rule.log_scale for rule in rules])
        self.grades = [catalogue.code_position(event) for event in GRADES]
        self.is_grade = np.isin(np.arange(self.codes), self.grades)

    def group(self, observations: Observations, index: Ints, dose: Ints, start: int) -> Groups:
        course = observations.course - np.int32(start)
        seen = observations.seconds <= index[course]
        seen &= observations.seconds >= -LOOKBACK_SECONDS
        if not seen.all():
            observations = taken(observations, seen)
            course = course[seen]
        key = course.astype(np.int64)
        key *= self.codes
        key += observations.code
        key <<= _SECOND_BITS
        key += observations.seconds
        key += LOOKBACK_SECONDS
        order = _order(key, observations)
        return self._summarise(key[order], taken(observations, order), dose[course[order]])

    def _summarise(self, key: Ints, ordered: Observations, dose: Ints) -> Groups:
        value, codes = self._scaled(ordered), ordered.code
        group = key >> _SECOND_BITS
        seconds = (key & ((1 << _SECOND_BITS) - 1)) - LOOKBACK_SECONDS
        begins = np.empty(len(key), dtype=bool)
        begins[:1] = True
        np.not_equal(group[1:], group[:-1], out=begins[1:])
        starts = np.flatnonzero(begins)
        ends = np.append(starts[1:], len(key))[: len(starts)] - 1
        course, code = np.divmod(group[starts], self.codes)
        signed = value * self._sign[codes]
        worst = np.maximum.reduceat(signed, starts) * self._sign[code] if len(starts) else value[:0]
        before = np.add.reduceat(seconds <= dose, starts) if len(starts) else starts
        return Groups(
            course=course,
            code=code,
            first=value[starts],
            baseline=np.where(before > 0, value[starts + np.maximum(before, 1) - 1], np.nan),
            last=value[ends],
            last_raw=ordered.value[ends],
            worst=worst,
            first_seconds=seconds[starts],
            last_seconds=seconds[ends],
            worst_seconds=self._worst_seconds(seconds, value, codes, starts, worst),
        )

    def _scaled(self, observations: Observations) -> NDArray[np.float64]:
        """(m,) values in the unit of the row: each over its own upper limit where laboratories differ."""
        place = np.flatnonzero(self._per_limit[observations.code])
        if not len(place):
            return observations.value
        limit = observations.limit[place]
        default = self._default_limit[observations.code[place]]
        value = observations.value.copy()
        value[place] /= np.maximum(np.where(np.isnan(limit), default, limit), LOG_FLOOR)
        return value

    def _worst_seconds(
        self,
        seconds: Ints,
        value: NDArray[np.float64],
        code: NDArray[np.int16],
        starts: Ints,
        worst: NDArray[np.float64],
    ) -> Ints:
        """When the worst grade was first charted; only grades are asked for, other groups keep their first second."""
        when = seconds[starts]
        graded = np.flatnonzero(self.is_grade[code])
        group = np.searchsorted(starts, graded, side="right") - 1
        hit = value[graded] == worst[group]
        # Of several assignments to one place the last one stands: backwards, that is the earliest.
        when[group[hit][::-1]] = seconds[graded[hit]][::-1]
        return when


def _order(key: Ints, observations: Observations) -> Ints:
    """Positions that sort by key; equal keys by value, then by limit with none stated first."""
    order = np.argsort(key)
    ordered = key[order]
    if not (ordered[1:] == ordered[:-1]).any():
        return order
    limit = np.where(np.isnan(observations.limit), -np.inf, observations.limit)
    return np.lexsort((limit, observations.value, key))


def taken(observations: Observations, which: NDArray[np.bool_] | Ints) -> Observations:
    return Observations(
        observations.course[which],
        observations.code[which],
        observations.seconds[which],
        observations.value[which],
        observations.limit[which],
    )
