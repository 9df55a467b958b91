"""THE row-builder: courses at their index times become rows, the same way for training and for a request.

Observations are grouped and summarised in one pass (features.groups); the summaries then fill the columns. Nothing
loops over analytes or courses.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features import scores
from features.catalogue import Catalogue
from features.course import DAY, HOUR, LATEST_SECONDS, Courses, Observations, Snapshots
from features.errors import DataError
from features.evidence import MITIGATIONS
from features.groups import GRADES, LOG_FLOOR, Grouper, Groups, taken
from features.outcomes import OUTCOMES
from features.prior import History, Prior, Timing
from features.spec import Spec, Stat

Ints = NDArray[np.int64]

#: Courses whose observations are sorted together: small enough to stay in the processor's cache.
_BLOCK = 8192
_STATS = (Stat.LAST, Stat.FIRST, Stat.WORST, Stat.CHANGE, Stat.AGE, Stat.SINCE_FIRST, Stat.BASELINE)
_FAMILY_OF = np.array([GRADES.index(one.event) for one in OUTCOMES])
_GRADE_OF = np.array([one.grade for one in OUTCOMES])
_SCORED = ("ldh", "creatinine", "crp", "platelets")


@dataclass(frozen=True, slots=True)
class Rows:
    """n rows in the order of the courses.

    values: (n, columns) float32, NaN where missing. prior: (n, outcomes) log-odds, NaN where nothing is published.
    hours: (n,) since the infusion or the latest dose. dosing: (n,) place in DOSING.
    evidence: (n,) position of the course's published rates in the prior, -1 where there are none.
    begun, reached: (n, outcomes) whether any grade, and whether the outcome's own grade or a worse one, was charted at
    or before the index time. therapy: (n,) catalogue keys.
    """

    values: NDArray[np.float32]
    prior: NDArray[np.float64]
    hours: NDArray[np.float64]
    dosing: Ints
    evidence: Ints
    begun: NDArray[np.bool_]
    reached: NDArray[np.bool_]
    therapy: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, places: Ints) -> "Rows":
        """The rows at those places, in that order."""
        return Rows(
            self.values[places],
            self.prior[places],
            self.hours[places],
            self.dosing[places],
            self.evidence[places],
            self.begun[places],
            self.reached[places],
            tuple(self.therapy[place] for place in places.tolist()),
        )


@dataclass(frozen=True, slots=True)
class _Members:
    """Columns that say whether a therapy or an indication is, or belongs to, another; (keys + 1, columns) flags."""

    columns: Ints
    place: dict[str, int]
    flags: NDArray[np.float32]

    @classmethod
    def of(cls, spec: Spec, kind: str) -> "_Members":
        columns = [place for place, column in enumerate(spec.columns) if column.kind == kind]
        named = [spec.columns[place].source for place in columns]
        known = [[float(name in wider) for name in named] for wider in spec.members.values()]
        flags = np.array([*known, [np.nan] * len(named)], dtype=np.float32).reshape(len(known) + 1, len(named))
        return cls(np.array(columns, dtype=np.int64), {key: place for place, key in enumerate(spec.members)}, flags)

    def put(self, block: NDArray[np.float32], keys: tuple[str, ...]) -> None:
        """Fill the columns of n courses; a key that the spec does not know stays missing."""
        if len(self.columns):
            block[:, self.columns] = self.flags[[self.place.get(key, -1) for key in keys]]


class RowBuilder:
    """Builds rows of one spec with one prior; made once, used for every batch and every request."""

    def __init__(self, spec: Spec, prior: Prior, catalogue: Catalogue) -> None:
        self.spec = spec
        self.prior = prior
        self._grouper = Grouper(spec, catalogue)
        self._score_place = np.full(self._grouper.codes, -1)
        self._score_place[[catalogue.code_position(code) for code in _SCORED]] = np.arange(len(_SCORED))
        self._stat_columns = np.array([self._positions(catalogue, stat) for stat in _STATS])
        self._prophylaxis = [catalogue.course_columns.index(name) for name in MITIGATIONS]
        self._course_from, self._course_to = self._course_positions(catalogue)
        self._members = [_Members.of(spec, kind) for kind in ("therapy", "indication")]
        self._named = {column.name: place for place, column in enumerate(spec.columns) if column.kind != "stat"}
        self._scores_wanted = any(column.kind == "score" for column in spec.columns)

    def _positions(self, catalogue: Catalogue, stat: Stat) -> Ints:
        """(codes,) column that holds this summary of each code, -1 where the spec has none."""
        where = np.full(self._grouper.codes, -1)
        for place, column in enumerate(self.spec.columns):
            if column.kind == "stat" and column.stat == stat:
                where[catalogue.code_position(column.source)] = place
        return where

    def _course_positions(self, catalogue: Catalogue) -> tuple[Ints, Ints]:
        pairs = [
            (catalogue.course_columns.index(column.source), place)
            for place, column in enumerate(self.spec.columns)
            if column.kind == "course"
        ]
        both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    def build(self, snapshots: Snapshots, workers: int = 1) -> Rows:
        """Rows of n courses at their index times, in the order of the courses.

        Observations stamped at or before the index time count, later ones do not, to the second; of several at one
        time the larger counts as the later. The result does not depend on the order of the observations.
        """
        n, outcomes = len(snapshots), len(OUTCOMES)
        if n and int(snapshots.index_seconds.max()) > LATEST_SECONDS:
            raise DataError("index time", f"later than {LATEST_SECONDS // DAY} days after the start", "ask earlier")
        rows = Rows(
            values=np.full((n, len(self.spec.columns)), np.nan, dtype=np.float32),
            prior=np.empty((n, outcomes)),
            hours=(snapshots.index_seconds - snapshots.dose_seconds) / HOUR,
            dosing=np.zeros(n, dtype=np.int64),
            evidence=np.full(n, -1),
            begun=np.zeros((n, outcomes), dtype=bool),
            reached=np.zeros((n, outcomes), dtype=bool),
            therapy=snapshots.courses.therapy,
        )
        if len(snapshots) <= _BLOCK:
            self._fill(snapshots, snapshots.observations, 0, len(snapshots), rows)
            return rows
        ordered = _by_course(snapshots.observations)
        edges = np.append(np.arange(0, len(snapshots), _BLOCK), len(snapshots))
        cuts = np.searchsorted(ordered.course, edges)
        with ThreadPoolExecutor(workers) as pool:
            jobs = [
                pool.submit(self._fill, snapshots, _slice(ordered, cuts[i], cuts[i + 1]), edges[i], edges[i + 1], rows)
                for i in range(len(edges) - 1)
            ]
            for job in jobs:
                job.result()
        return rows

    def _fill(self, snapshots: Snapshots, observations: Observations, start: int, stop: int, rows: Rows) -> None:
        """Fill rows start (inclusive) to stop (exclusive) from the observations of exactly those courses."""
        block = rows.values[start:stop]
        index = snapshots.index_seconds[start:stop]
        groups = self._grouper.group(observations, index, snapshots.dose_seconds[start:stop], start)
        self._put_stats(block, groups, index)
        self._put_scores(block, groups)
        if len(self._course_to):
            block[:, self._course_to] = snapshots.courses.numbers[start:stop, self._course_from]
        for members, keys in zip(self._members, (snapshots.courses.therapy, snapshots.courses.indication), strict=True):
            members.put(block, keys[start:stop])
        history = self._history(groups, index, snapshots.dose_seconds[start:stop])
        evidence = self._evidence_rows(snapshots.courses, start, stop)
        rows.evidence[start:stop] = evidence
        later = snapshots.dose_number[start:stop] > 1
        rows.dosing[start:stop] = np.where(self.prior.step_up(evidence) == 1, 1 + later, 0)
        rows.prior[start:stop] = self._put_time(block, snapshots, start, stop, evidence, history)
        worst = history.worst[:, _FAMILY_OF]
        rows.begun[start:stop] = worst > 0
        rows.reached[start:stop] = worst >= _GRADE_OF

    def _put_stats(self, block: NDArray[np.float32], groups: Groups, index: Ints) -> None:
        """Fill the summaries; `what` holds one line for each of _STATS."""
        what = np.empty((len(_STATS), len(groups.code)))
        what[0], what[1], what[2] = groups.last, groups.first, groups.worst
        what[3] = self._change(groups)
        at = index[groups.course]
        what[4] = (at - groups.last_seconds) / HOUR
        what[5] = (at - groups.first_seconds) / HOUR
        what[6] = groups.baseline
        column = self._stat_columns[:, groups.code]
        stat, group = np.nonzero(column >= 0)
        block[groups.course[group], column[stat, group]] = what[stat, group]

    def _change(self, groups: Groups) -> NDArray[np.float64]:
        """Last minus first; on the logarithmic scale for analytes that spread over decades."""
        ratio = np.log(np.maximum(groups.last, LOG_FLOOR)) - np.log(np.maximum(groups.first, LOG_FLOOR))
        return np.where(self._grouper.log[groups.code], ratio, groups.last - groups.first)

    def _put_scores(self, block: NDArray[np.float32], groups: Groups) -> None:
        if not self._scores_wanted:
            return
        place = self._score_place[groups.code]
        scored = np.flatnonzero(place >= 0)
        inputs = np.full((len(_SCORED), len(block)), np.nan)
        inputs[place[scored], groups.course[scored]] = groups.last_raw[scored]
        # Platelets or CRP of 0 have a logarithm, too, so that a worse value is never a missing one.
        ldh, creatinine, crp, platelets = np.maximum(inputs, LOG_FLOOR)
        if "easix_log2" in self._named:
            block[:, self._named["easix_log2"]] = scores.log2(scores.easix(ldh, creatinine, platelets))
        if "m_easix_log2" in self._named:
            block[:, self._named["m_easix_log2"]] = scores.log2(scores.m_easix(ldh, crp / 10.0, platelets))

    def _history(self, groups: Groups, index: Ints, dose: Ints) -> History:
        worst, hours = np.zeros((len(index), 2)), np.full((len(index), 2), np.nan)
        graded = np.flatnonzero(self._grouper.is_grade[groups.code])
        if len(graded):
            course = groups.course[graded]
            family = (groups.code[graded] == self._grouper.grades[1]).astype(np.int64)
            worst[course, family] = groups.worst[graded]
            hours[course, family] = (index[course] - np.maximum(groups.worst_seconds[graded], dose[course])) / HOUR
        return History(worst, hours)

    def _evidence_rows(self, courses: Courses, start: int, stop: int) -> Ints:
        """Where the published rates of each course stand: by therapy, indication and prophylaxis given."""
        given = courses.numbers[start:stop, self._prophylaxis] == 1
        return self.prior.rows(courses.therapy[start:stop], courses.indication[start:stop], given)

    def _put_time(
        self,
        block: NDArray[np.float32],
        snapshots: Snapshots,
        start: int,
        stop: int,
        rows: Ints,
        history: History,
    ) -> NDArray[np.float64]:
        """Fill the columns of time and therapy; returns the prior log-odds of the block."""
        index, dose = snapshots.index_seconds[start:stop], snapshots.dose_seconds[start:stop]
        timing = Timing((index - dose) / HOUR, snapshots.dose_number[start:stop])
        fractions = self.prior.fractions(rows, timing)
        columns = {
            "hours_since_start": index / HOUR,
            "hours_since_dose": timing.hours_since_dose,
            "dose_number": timing.dose_number,
            "step_up": self.prior.step_up(rows),
            "crs_onset_fraction": fractions[:, 0],
        }
        for name, what in columns.items():
            if name in self._named:
                block[:, self._named[name]] = what
        return self.prior.margins(rows, fractions, history, self.prior.within(rows, timing))


def _by_course(observations: Observations) -> Observations:
    course = observations.course
    if (course[1:] >= course[:-1]).all():
        return observations
    return taken(observations, np.argsort(course, kind="stable"))


def _slice(observations: Observations, start: int, stop: int) -> Observations:
    return Observations(
        observations.course[start:stop],
        observations.code[start:stop],
        observations.seconds[start:stop],
        observations.value[start:stop],
        observations.limit[start:stop],
    )
