"""A cohort's own rates per product and grading system, beside what the catalogue holds of that product.

A course counts as an event if its peak grade, timed or not, reaches the outcome's. Nothing is added for what was not
seen: a course that was followed for less than the horizon and has no event counts as none, and `short` says how many.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isnan

import numpy as np
from numpy.typing import NDArray

from data.assay_statistics import exact_fraction
from data.tables import Cohort
from features.catalogue import Catalogue, Rate
from features.course import DAY, Event
from features.outcomes import OUTCOMES

#: Fewer courses than this show no events and no rate. Policy of this project: an interval over so few says nothing, and
#: single patients could be told apart.
MINIMUM_COURSES = 10
CONFIDENCE = 0.95
NOT_STATED, NONE_CHARTED, MIXED = "not stated", "none charted", "mixed"
#: Outcome -> event, grade and horizon in days; any ICANS is here because it is what cohorts publish.
ASKED = {
    **{one.key: (one.event, one.grade, one.horizon_days) for one in OUTCOMES if one.event is Event.CRS_GRADE},
    "icans_1plus": (Event.ICANS_GRADE, 1, 30),
    **{one.key: (one.event, one.grade, one.horizon_days) for one in OUTCOMES if one.event is Event.ICANS_GRADE},
}
Words = NDArray[np.object_]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Fraction:
    """events of n with the exact (Clopper-Pearson) 95 % interval; NaN where n is not known."""

    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class OwnRate:
    """One product, outcome and grading system of a cohort. short: without the event and followed less than its horizon.

    grading: NONE_CHARTED where a site charted no grade of that event, or several systems: no rate can be told from it.
    therapy: a product's key, a class's key where no product was named, or the text as sent. indications: those seen.
    """

    therapy: str
    outcome: str
    grading: str
    indications: tuple[str, ...]
    courses: int
    events: int
    short: int

    @property
    def fraction(self) -> Fraction | None:
        """The rate with its interval, None where nothing was charted."""
        return None if self.grading == NONE_CHARTED else _fraction(self.events, self.courses)


@dataclass(frozen=True, slots=True)
class Compared:
    """An own rate beside one published cohort, None where there is none. same_disease: by the tree of indications."""

    own: OwnRate
    published: Rate | None
    same_disease: bool

    @property
    def published_fraction(self) -> Fraction | None:
        """The published rate with an interval from its n; no interval where n was not read."""
        if self.published is None:
            return None
        rate, n = float(getattr(self.published, self.own.outcome)), self.published.n
        return Fraction(rate, np.nan, np.nan) if isnan(n) else _fraction(round(rate * n), int(n), rate)

    @property
    def overlap(self) -> bool | None:
        """Whether the two intervals share a point; None where one is not known."""
        own, other = self.own.fraction, self.published_fraction
        if own is None or other is None or isnan(other.low):
            return None
        return max(own.low, other.low) <= min(own.high, other.high)


def product_rates(cohort: Cohort) -> list[OwnRate]:
    """Per product, outcome and grading system, in that order."""
    therapy = np.array(cohort.courses.therapy, dtype=object)
    systems = {event: grading_of_courses(cohort, event) for event in (Event.CRS_GRADE, Event.ICANS_GRADE)}
    peaks = {event: _peaks(cohort, event) for event in systems}
    return [
        _own(cohort, name, outcome, system, (therapy == name) & (systems[event] == system), peaks[event])
        for name in sorted(set(therapy.tolist()))
        for outcome, (event, _, _) in ASKED.items()
        for system in sorted(set(systems[event][therapy == name].tolist()))
    ]


def compare(cohort: Cohort, catalogue: Catalogue) -> list[Compared]:
    """Each own rate beside every published cohort of the product that reports the outcome."""
    return [row for own in product_rates(cohort) for row in _beside(own, catalogue)]


def grading_of_courses(cohort: Cohort, event: Event) -> Words:
    """(n,) system of each course's grades; a course without a grade goes with its site's only system, if it has one."""
    charted = cohort.events[cohort.events["event"].eq(event.value)]
    named = charted["grading"].where(charted["grading"].ne(""), NOT_STATED)
    per_course = named.groupby(charted["course"]).agg(lambda found: found.iloc[0] if found.nunique() == 1 else MIXED)
    systems = np.full(len(cohort), NONE_CHARTED, dtype=object)
    systems[per_course.index.to_numpy(dtype=np.int64)] = per_course.to_numpy(dtype=object)
    sites = np.array(cohort.sites, dtype=object)
    for site in set(sites.tolist()):
        used = set(systems[sites == site].tolist()) - {NONE_CHARTED}
        if len(used) == 1:
            systems[sites == site] = used.pop()
    return systems


def _peaks(cohort: Cohort, event: Event) -> NDArray[np.float64]:
    """(n,) the highest charted grade, 0 where none is."""
    charted = cohort.events[cohort.events["event"].eq(event.value)]
    peaks = np.zeros(len(cohort))
    np.maximum.at(peaks, charted["course"].to_numpy(), charted["value"].to_numpy(dtype=float))
    return peaks


def _own(cohort: Cohort, therapy: str, outcome: str, grading: str, group: Flags, peaks: NDArray[np.float64]) -> OwnRate:
    _, grade, days = ASKED[outcome]
    reached = group & (peaks >= grade)
    short = group & ~reached & (cohort.follow_up_seconds < days * DAY)
    seen = {one for one, here in zip(cohort.courses.indication, group, strict=True) if here and one}
    counts = (int(group.sum()), int(reached.sum()), int(short.sum()))
    return OwnRate(therapy, outcome, grading, tuple(sorted(seen)), *counts)


def _beside(own: OwnRate, catalogue: Catalogue) -> Iterator[Compared]:
    """The cohorts of the same disease, or all of the product where there is none."""
    rates = [rate for rate in catalogue.rates if rate.therapy == own.therapy and _usable(rate, own.outcome)]
    same = [rate for rate in rates if _same_disease(rate, own.indications, catalogue)]
    for rate in same or rates:
        yield Compared(own, rate, bool(same))
    if not rates:
        yield Compared(own, None, False)


def _usable(rate: Rate, outcome: str) -> bool:
    return not (rate.superseded or rate.mitigation or isnan(getattr(rate, outcome)))


def _same_disease(rate: Rate, indications: Iterable[str], catalogue: Catalogue) -> bool:
    """Whether the published cohort is of one of the indications, of a wider or of a narrower one."""
    if not rate.indication:
        return False
    above = set(catalogue.indication_lineage(rate.indication))
    known = (one for one in indications if one in catalogue.indications)
    return any(one in above or rate.indication in catalogue.indication_lineage(one) for one in known)


def _fraction(events: int, of: int, rate: float | None = None) -> Fraction:
    """The rate as printed where one is given; its interval always from whole numbers of courses."""
    exact = exact_fraction(events, of, CONFIDENCE)
    return Fraction(exact.value if rate is None else rate, exact.low, exact.high)
