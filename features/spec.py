"""The ordered columns of a row: what each means, which way it may push, and the range it was trained in."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Analyte, Catalogue
from features.course import Event
from features.errors import BundleError

FORMAT = 1


class Stat(StrEnum):
    """A summary of one analyte's observations at or before the index time.

    BASELINE is the last value at or before the infusion or the latest dose. AGE and SINCE_FIRST are hours.
    """

    LAST = "last"
    FIRST = "first"
    BASELINE = "baseline"
    WORST = "worst"
    CHANGE = "change"
    AGE = "age"
    SINCE_FIRST = "since_first"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the row.

    name: unique; "code.stat" for a summary of observations.
    kind: "time" | "evidence" | "therapy" | "indication" | "course" | "stat" | "score".
    unit: of the value in the row.
    monotone: +1 if a higher value never lowers the risk, -1 if it never raises it, else 0.
    """

    name: str
    kind: str
    source: str
    stat: str
    unit: str
    concept: str
    monotone: int


@dataclass(frozen=True, slots=True)
class Range:
    """What a column held in the training rows: 1st and 99th percentile, the share of rows that had it, and what is
    typical of it: 10th percentile, median and 90th percentile."""

    low: float
    high: float
    present: float
    typical: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Rule:
    """How one analyte is summarised: the worse direction (+1 high, -1 low), and the scale of the row.

    upper_limit: the default upper limit of normal; the row holds multiples of it, or of the observation's own, where
    `per_upper_limit`. log_scale: a change is a difference of natural logarithms.
    """

    sign: float
    per_upper_limit: bool
    upper_limit: float
    log_scale: bool


@dataclass(frozen=True, slots=True)
class Spec:
    """The columns in order, and the facts by which they are filled.

    rules: code -> how the analyte is summarised. members: therapy, class or indication key -> that key and every wider
    one it belongs to.
    """

    columns: tuple[Column, ...]
    rules: Mapping[str, Rule]
    members: Mapping[str, tuple[str, ...]]
    ranges: tuple[Range, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all but the ranges; two specs with one fingerprint build the same row."""
        return hashlib.sha256(json.dumps(self._facts(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def _facts(self) -> dict[str, Any]:
        return {
            "columns": [asdict(column) for column in self.columns],
            "rules": _rules_json(self.rules),
            "members": {key: list(wider) for key, wider in self.members.items()},
        }

    def keep(self, names: Iterable[str]) -> "Spec":
        """The same columns in the same order, without those not named."""
        wanted = set(names)
        return replace(self, columns=tuple(column for column in self.columns if column.name in wanted), ranges=())

    def with_ranges(self, values: NDArray[np.float32]) -> "Spec":
        """Remember what the training rows, (n, columns), held."""
        return replace(self, ranges=tuple(_range(values[:, position]) for position in range(values.shape[1])))

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            **self._facts(),
            "ranges": [asdict(one) for one in self.ranges],
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Spec":
        """Parse, check, then construct; BundleError where the stored fingerprint is not that of the columns."""
        spec = cls(
            tuple(Column(**column) for column in body["columns"]),
            {code: Rule(**{**one, "upper_limit": _number(one["upper_limit"])}) for code, one in body["rules"].items()},
            {key: tuple(wider) for key, wider in body["members"].items()},
            tuple(Range(**{**one, "typical": tuple(one["typical"])}) for one in body["ranges"]),
        )
        if body["format"] != FORMAT or body["fingerprint"] != spec.fingerprint:
            raise BundleError("spec.json", "the columns do not match their fingerprint", "restore the bundle")
        return spec


def _range(values: NDArray[np.float32]) -> Range:
    known = values[~np.isnan(values)]
    if not len(known):
        return Range(0.0, 0.0, 0.0, (0.0, 0.0, 0.0))
    low, tenth, middle, ninetieth, high = np.quantile(known.astype(np.float64), [0.01, 0.1, 0.5, 0.9, 0.99]).tolist()
    return Range(low, high, len(known) / len(values), (tenth, middle, ninetieth))


def full(catalogue: Catalogue) -> Spec:
    """Every column that the catalogue allows, in catalogue order."""
    columns = [
        *_time_columns(),
        *(_member_column("therapy", key) for key in (*catalogue.classes, *catalogue.therapies)),
        *(_member_column("indication", key) for key in _with_groups(catalogue)),
        *(_course_column(name) for name in catalogue.course_columns),
        *(_stat_column(analyte, stat) for analyte in catalogue.analytes.values() for stat in _ANALYTE_STATS),
        *(_event_column(event, stat) for event, stats in _EVENT_STATS.items() for stat in stats),
        Column("easix_log2", "score", "easix", "", "log2", "endothelial activation score", 1),
        Column("m_easix_log2", "score", "m_easix", "", "log2", "endothelial activation score", 1),
    ]
    rules = {key: _rule(analyte) for key, analyte in catalogue.analytes.items()}
    return Spec(tuple(columns), rules, _members(catalogue))


def _with_groups(catalogue: Catalogue) -> list[str]:
    return [*dict.fromkeys(one.group for one in catalogue.indications.values()), *catalogue.indications]


def _members(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """Each therapy, class and indication with all it belongs to; an indication belongs to its group, too."""
    therapies = {key: (key, *catalogue.lineage(key)) for key in catalogue.therapies}
    classes = {key: catalogue.lineage(key) for key in catalogue.classes}
    indications = {key: (*catalogue.indication_lineage(key), one.group) for key, one in catalogue.indications.items()}
    return {**therapies, **classes, **indications}


def _member_column(what: str, key: str) -> Column:
    """1 where the course's therapy (or indication) is this one or belongs to it, else 0."""
    return Column(f"{what}={key}", what, key, "", "1", what, 0)


def _rule(analyte: Analyte) -> Rule:
    sign = -1.0 if analyte.worse == "low" else 1.0
    return Rule(sign, analyte.per_upper_limit, analyte.reference_high, analyte.log_scale)


_ANALYTE_STATS = (Stat.LAST, Stat.FIRST, Stat.BASELINE, Stat.WORST, Stat.CHANGE, Stat.AGE)
_GRADE_STATS = (Stat.LAST, Stat.WORST, Stat.AGE, Stat.SINCE_FIRST)
_EVENT_STATS: dict[Event, tuple[Stat, ...]] = {
    Event.CRS_GRADE: _GRADE_STATS,
    Event.ICANS_GRADE: _GRADE_STATS,
    Event.TOCILIZUMAB: (Stat.AGE,),
    Event.CORTICOSTEROID: (Stat.AGE,),
    Event.SILTUXIMAB: (Stat.AGE,),
    Event.ANAKINRA: (Stat.AGE,),
    Event.VASOPRESSOR: (Stat.AGE,),
    Event.OXYGEN: (Stat.AGE,),
}
#: Comorbidities and course facts whose direction is settled by the evidence in the catalogue's sources.
_MONOTONE_COURSE = {"high_disease_burden": 1, "marrow_blasts_pct": 1}


def _time_columns() -> list[Column]:
    return [
        Column("hours_since_start", "time", "index_seconds", "", "h", "time", 0),
        Column("hours_since_dose", "time", "dose_seconds", "", "h", "time", 0),
        Column("dose_number", "time", "dose_number", "", "1", "time", 0),
        Column("step_up", "evidence", "schedule", "", "1", "therapy", 0),
        Column("crs_onset_fraction", "evidence", "onset", "", "1", "time", 0),
    ]


def _course_column(name: str) -> Column:
    return Column(name, "course", name, "", "1", name.replace("_", " "), _MONOTONE_COURSE.get(name, 0))


def _stat_column(analyte: Analyte, stat: Stat) -> Column:
    settled = stat in (Stat.LAST, Stat.WORST) and analyte.key in _MONOTONE_ANALYTES
    direction = (1 if analyte.worse == "high" else -1) if settled else 0
    name, unit = f"{analyte.key}.{stat}", _stat_unit(analyte, stat)
    return Column(name, "stat", analyte.key, stat, unit, analyte.concept, direction)


#: Analytes whose rise (or fall) is settled biology of CRS; see the glossary for the sources.
_MONOTONE_ANALYTES = frozenset({"crp", "ferritin", "ldh", "platelets", "il6", "ifn_gamma", "d_dimer", "temperature"})


def _stat_unit(analyte: Analyte, stat: Stat) -> str:
    if stat is Stat.AGE:
        return "h"
    if stat is Stat.CHANGE and analyte.log_scale:
        return "ln"
    return "x upper limit" if analyte.per_upper_limit else analyte.unit


def _event_column(event: Event, stat: Stat) -> Column:
    unit = "h" if stat in (Stat.AGE, Stat.SINCE_FIRST) else "1"
    return Column(f"{event}.{stat}", "stat", event.value, stat, unit, event.replace("_", " "), 0)


def _rules_json(rules: Mapping[str, Rule]) -> dict[str, dict[str, Any]]:
    """JSON has no NaN: an unknown upper limit is null."""
    return {
        code: {**asdict(rule), "upper_limit": None if math.isnan(rule.upper_limit) else rule.upper_limit}
        for code, rule in rules.items()
    }


def _number(value: float | None) -> float:
    return math.nan if value is None else value
