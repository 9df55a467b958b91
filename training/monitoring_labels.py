"""From a reported outcome to a prediction's label, by the rules of data.labels, and whether a warning changed it."""

from dataclasses import dataclass
from math import inf, nan

from audit.outcome import TREATMENTS, Report
from features.course import Event
from features.outcomes import Outcome

_PREFIX = {Event.CRS_GRADE: "crs", Event.ICANS_GRADE: "icans"}


@dataclass(frozen=True, slots=True)
class Span:
    """A prediction's own question: hours from the course's start; the horizon's end is inclusive."""

    index_hours: float
    end_hours: float


def grading(report: Report, event: Event) -> str:
    """The system of the reported grade, "" where none is reported."""
    return str(getattr(report, f"{_PREFIX[event]}_grading") or "")


def followed(report: Report, span: Span) -> bool:
    """Whether the course was followed to the horizon's end."""
    return report.complete or (report.hours is not None and report.hours >= span.end_hours)


def label(report: Report, outcome: Outcome, span: Span) -> float:
    """1 if the outcome was reached after the index time and within the horizon, 0 if surely not, else NaN.

    NaN also where it had been reached at or before the index time. A worst grade without its time counts from before
    the onset only, as data.labels has it.
    """
    prefix = _PREFIX[outcome.event]
    worst = getattr(report, f"{prefix}_grade")
    if worst is None:
        return nan
    if worst < outcome.grade:
        return 0.0 if followed(report, span) else nan
    first, last = _between(report, prefix, outcome.grade)
    if last is None:
        return _untimed(first, span)
    if last <= span.index_hours or (first or 0.0) <= span.end_hours < last:
        return nan
    return 1.0 if last <= span.end_hours else 0.0


def _untimed(first: float | None, span: Span) -> float:
    """The label of a grade whose time is not known, though its onset may be."""
    if first is None:
        return 1.0 if span.index_hours <= 0 else nan
    if first > span.end_hours:
        return 0.0
    return 1.0 if span.index_hours < first or span.index_hours <= 0 else nan


def _between(report: Report, prefix: str, grade: int) -> tuple[float | None, float | None]:
    """The earliest and the latest hours at which that grade, which was reached, may have been reached first."""
    onset, peak = getattr(report, f"{prefix}_onset_hours"), getattr(report, f"{prefix}_worst_hours")
    worst = getattr(report, f"{prefix}_grade")
    if worst == 1 and onset is None:
        onset = peak
    if grade == 1:
        return onset, onset
    return (peak, peak) if worst == grade and peak is not None else (onset, peak)


def treated_first(report: Report, outcome: Outcome, span: Span) -> bool:
    """Whether a treatment after the index time came before the outcome, or without it."""
    return any(_first(report, name, outcome, span) for name in TREATMENTS)


def _first(report: Report, treatment: str, outcome: Outcome, span: Span) -> bool:
    if not getattr(report, treatment):
        return False
    given = getattr(report, f"{treatment}_hours")
    if given is not None and not span.index_hours < given <= span.end_hours:
        return False
    if label(report, outcome, span) != 1:
        return True
    reached = _between(report, _PREFIX[outcome.event], outcome.grade)[1]
    return given is not None and given < (inf if reached is None else reached)


def treated_before(report: Report | None, span: Span) -> bool:
    """Whether the report has tocilizumab or a steroid at or before the index time."""
    hours = [getattr(report, f"{name}_hours") for name in TREATMENTS] if report else []
    return any(one is not None and one <= span.index_hours for one in hours)
