"""What became of a course, as it is reported for one prediction: the form, its rules, and its place in the ledger.

One form for POST /outcomes and for files, flat, so that a field is a column. Hours are from the course's start.
A report that is sent again is the same event; a corrected one is a new record that names the one it supersedes. Nothing
is ever overwritten, and the latest report counts. No message repeats a value that was sent.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from audit.events import ConflictError, Kind, Receipt, Record
from audit.ledger import Ledger
from features.errors import LedgerError, RequestError
from features.grading_types import GRADINGS

HIGHEST_GRADE = 5
#: Hours from the start beyond which a time is taken for a mistake (ten years).
FURTHEST_HOURS = 87_600.0
#: By how much the clocks of two machines may differ.
_SKEW = timedelta(minutes=10)
_TRIES = 5
RECORDED, REPEATED, CORRECTED = "recorded", "already-recorded", "corrected"

#: Who reports: the caller of the service as predictions name it, or the system's user who imports a file.
CALLER, BY = "caller", "by"

#: rule -> what to do about it.
REMEDIES = {
    "prediction-missing": "send the prediction_id of the answer",
    "prediction-unknown": "send the prediction_id that an answer of this deployment gave",
    "nothing-reported": "send crs_grade or icans_grade; 0 says that it was looked for and not seen",
    "follow-up-missing": "send hours or known_at where complete is not true",
    "grade-not-accepted": "send the worst grade as a whole number from 0 to 5",
    "grading-unknown": f"send one of: {', '.join(GRADINGS)}",
    "hours-not-plausible": "send hours from the course's start, from 0 on",
    "hours-without-grade": "leave the hours out where the grade is 0 or not sent",
    "worst-before-onset": "onset_hours is the first grade of 1 or worse, worst_hours the first of the worst grade",
    "after-follow-up": "hours says until when the course was followed; nothing can be seen later",
    "treatment-not-given": "send the hours only where the treatment was given",
    "value-not-readable": "write a plain number, or yes or no; leave an unknown value empty",
    "time-not-readable": "write ISO 8601 with a UTC offset, such as 2026-01-31T08:00+01:00",
    "time-not-possible": "known_at lies between the prediction and now",
}


class OutcomeError(RequestError):
    """A report that cannot be taken. `code` is the rule it breaks; `place` the field."""

    http_status = 422

    def __init__(self, code: str, field: str, problem: str) -> None:
        super().__init__(field, problem, REMEDIES[code])
        self.code = code


@dataclass(frozen=True, slots=True)
class Report:
    """One prediction's outcome. None is not known; a grade of 0 says that there was none.

    complete: followed to the end of every horizon. hours: until when the course was followed. *_grade: the worst.
    *_onset_hours: first grade of 1 or worse; *_worst_hours: first time at the worst grade. Treatments after the start;
    hours of the first dose.
    """

    prediction_id: str
    complete: bool = False
    hours: float | None = None
    known_at: str | None = None
    crs_grade: int | None = None
    crs_grading: str | None = None
    crs_onset_hours: float | None = None
    crs_worst_hours: float | None = None
    icans_grade: int | None = None
    icans_grading: str | None = None
    icans_onset_hours: float | None = None
    icans_worst_hours: float | None = None
    tocilizumab: bool | None = None
    tocilizumab_hours: float | None = None
    corticosteroid: bool | None = None
    corticosteroid_hours: float | None = None


FIELDS: tuple[str, ...] = tuple(one.name for one in fields(Report))
_HOURS = tuple(name for name in FIELDS if name.endswith("hours"))
EVENTS = ("crs", "icans")
TREATMENTS = ("tocilizumab", "corticosteroid")


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a report. status: recorded | already-recorded | corrected."""

    status: str
    receipt: Receipt


def check(report: Report) -> None:
    """OutcomeError with the first rule that the report breaks by itself."""
    if not report.prediction_id:
        raise OutcomeError("prediction-missing", "prediction_id", "no prediction is named")
    if report.crs_grade is None and report.icans_grade is None:
        raise OutcomeError("nothing-reported", "crs_grade", "neither a CRS nor an ICANS grade is reported")
    if not report.complete and report.hours is None and report.known_at is None:
        raise OutcomeError("follow-up-missing", "hours", "it is not said until when the course was followed")
    for name in _HOURS:
        _check_hours(name, getattr(report, name))
    for event in EVENTS:
        _check_grade(report, event)
    for treatment in TREATMENTS:
        _check_treatment(report, treatment)


def _check_hours(name: str, value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and 0 <= value <= FURTHEST_HOURS):
        raise OutcomeError("hours-not-plausible", name, "not a possible number of hours from the start")


def _check_grade(report: Report, event: str) -> None:
    grade, grading = getattr(report, f"{event}_grade"), getattr(report, f"{event}_grading")
    onset, worst = getattr(report, f"{event}_onset_hours"), getattr(report, f"{event}_worst_hours")
    if grade is not None and (isinstance(grade, bool) or not 0 <= grade <= HIGHEST_GRADE):
        raise OutcomeError("grade-not-accepted", f"{event}_grade", "not a grade")
    if grade is not None and grading not in GRADINGS:
        raise OutcomeError("grading-unknown", f"{event}_grading", "the grading system is missing or not listed")
    if not grade and (onset, worst) != (None, None):
        raise OutcomeError("hours-without-grade", f"{event}_onset_hours", "hours of a grade that was not reached")
    if onset is not None and worst is not None and worst < onset:
        raise OutcomeError("worst-before-onset", f"{event}_worst_hours", "the worst grade comes before the onset")
    _check_seen(report, f"{event}_onset_hours", onset)
    _check_seen(report, f"{event}_worst_hours", worst)


def _check_treatment(report: Report, treatment: str) -> None:
    given, hours = getattr(report, treatment), getattr(report, f"{treatment}_hours")
    if hours is not None and not given:
        raise OutcomeError("treatment-not-given", f"{treatment}_hours", "hours of a treatment that was not given")
    _check_seen(report, f"{treatment}_hours", hours)


def _check_seen(report: Report, name: str, hours: float | None) -> None:
    if hours is not None and report.hours is not None and hours > report.hours:
        raise OutcomeError("after-follow-up", name, "later than the end of follow-up")


def record(ledger: Ledger, report: Report, reporter: Mapping[str, Any] | None = None) -> Taken:
    """Append a report to the ledger; on the disk when this returns.

    reporter: who reports, under the name CALLER or BY; it stands in the record beside what is reported. Two people
    who report the same outcome report one event: the first of them stands in it, and the second is told that it is
    recorded already. With another outcome it is a correction, whoever sends it, and the record names its own reporter.
    OutcomeError where a rule is broken or the prediction is not in the ledger; LedgerError where it cannot be written.
    """
    check(report)
    predicted = ledger.find(report.prediction_id, Kind.PREDICTION)
    if predicted is None:
        raise OutcomeError("prediction-unknown", "prediction_id", "the ledger has no such prediction")
    content = _content(report, predicted, ledger.clock())
    for _ in range(_TRIES):
        number, held = latest(ledger, report.prediction_id)
        if held is not None and _bare(held) == content:
            return Taken(REPEATED, Receipt(held.sequence, held.hash))
        body = {**content, **(reporter or {})} | ({} if held is None else {"supersedes": held.sequence})
        try:
            receipt = ledger.append(Kind.OUTCOME, body, f"{report.prediction_id}:{number}")
        except ConflictError:
            continue  # somebody else reported at the same moment
        return Taken(RECORDED if held is None else CORRECTED, receipt)
    raise LedgerError("outcome record", "the same outcome is being reported again and again", "send it once more")


def latest(ledger: Ledger, prediction_id: str) -> tuple[int, Record | None]:
    """How many reports of a prediction there are, and the one that counts."""
    number, held = 0, None
    while (found := ledger.find(f"{prediction_id}:{number}", Kind.OUTCOME)) is not None:
        number, held = number + 1, found
    return number, held


def _bare(held: Record) -> dict[str, Any]:
    """What was reported, without who did and what it corrects."""
    return {key: value for key, value in held.body.items() if key in FIELDS}


def _content(report: Report, predicted: Record, now: datetime) -> dict[str, Any]:
    """What is recorded: what is known, whole numbers as floats, and the hours that known_at stands for."""
    body = {name: getattr(report, name) for name in FIELDS}
    body |= {name: float(body[name]) for name in _HOURS if body[name] is not None}
    if report.known_at is not None:
        moment = _moment(report.known_at)
        if not predicted.time - _SKEW <= moment <= now + _SKEW:
            raise OutcomeError("time-not-possible", "known_at", "before the prediction, or in the future")
        body["known_at"] = moment.astimezone(UTC).isoformat(timespec="seconds")
        if report.hours is None:
            body["hours"] = _hours_at(moment, predicted)
    return {name: value for name, value in body.items() if value is not None}


def _hours_at(moment: datetime, predicted: Record) -> float:
    """Hours from the course's start, if the question was asked at its index time."""
    since: Mapping[str, Any] = predicted.body
    return round(float(since.get("hours_since_start", 0.0)) + (moment - predicted.time).total_seconds() / 3600, 2)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise OutcomeError("time-not-readable", "known_at", "not a time with an offset")
    return moment


def from_body(body: Mapping[str, Any]) -> Report:
    """The report of an outcome record's body."""
    return Report(**{name: body[name] for name in FIELDS if name in body})
