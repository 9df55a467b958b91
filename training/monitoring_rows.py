"""Predictions of the ledger joined with what became of them: one row per course and time of asking, the first answer.

A course is asked about again and again, and its answers go together. So each course and landmark (index time) counts
once, with the first answer given there; and whatever needs independent courses takes a course's very first answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.events import Record
from audit.outcome import Report, from_body
from audit.prediction import vector_bytes
from features.catalogue import Catalogue
from features.index_times import DOSE_HOURS, INFUSION_HOURS
from features.outcomes import OUTCOME_KEYS, OUTCOMES
from training.monitoring_labels import Span, followed, grading, label, treated_before, treated_first

Array = NDArray[np.float64]

EVALUATED = "evaluated"
#: The band that alerts.
ALERT = "high"


@dataclass(frozen=True, slots=True)
class Row:
    """One answer. landmark: such as "24h" or "dose2+12h". spans, probability: per outcome, NaN where not given."""

    prediction_id: str
    time: datetime
    course: str
    patient: str
    digest: str
    version: str
    landmark: str
    therapy: str
    indication: str
    spans: tuple[Span, ...]
    probability: tuple[float, ...]
    warned: bool
    treated: bool
    vector: bytes


@dataclass(frozen=True, slots=True)
class Joined:
    """n answers with their outcomes; arrays are (n, outcomes).

    label: 1, 0, NaN. known_on: seconds since 1970 at which the label became fit to be counted, NaN where it is not.
    over: whether the horizon had passed. because: treated because warned. first: (n,) the course's first answer.
    """

    rows: tuple[Row, ...]
    probability: Array
    label: Array
    known_on: Array
    over: NDArray[np.bool_]
    because: NDArray[np.bool_]
    treated: NDArray[np.bool_]
    reported: NDArray[np.bool_]
    first: NDArray[np.bool_]
    gradings: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def time(self) -> Array:
        """(n,) seconds since 1970."""
        return np.array([row.time.timestamp() for row in self.rows])

    @property
    def landmark(self) -> NDArray[np.str_]:
        return np.array([row.landmark for row in self.rows], dtype=str)

    def groups(self, patients: bool = False) -> NDArray[np.int64]:
        """(n,) whose row it is: the course, or the patient where it is known."""
        names = [(row.patient or row.course) if patients else row.course for row in self.rows]
        return np.unique(np.array(names, dtype=str), return_inverse=True)[1].astype(np.int64)


def rows_of(predictions: Iterable[Record], catalogue: Catalogue) -> tuple[Row, ...]:
    """Every evaluated answer, in the ledger's order."""
    return tuple(_row(one, catalogue) for one in predictions if one.body.get("status") == EVALUATED)


def first_rows(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The first answer of each course at each landmark."""
    held: dict[tuple[str, str], Row] = {}
    for row in rows:
        held.setdefault((row.course, row.landmark), row)
    return tuple(held.values())


def _row(record: Record, catalogue: Catalogue) -> Row:
    body = record.body
    therapy = str(body.get("therapy") or "")
    step_up = therapy in catalogue.therapies and catalogue.schedule(therapy) == "step-up"
    index, after = float(body["hours_since_start"]), float(body["hours_since_dose"])
    probabilities: Mapping[str, Any] = body.get("probabilities") or {}
    return Row(
        prediction_id=record.event_id,
        time=record.time,
        course=str(body.get("course") or record.event_id),
        patient=str(body.get("patient") or ""),
        digest=str(body.get("bundle") or ""),
        version=str(body.get("version") or ""),
        landmark=landmark(step_up, after, int(body.get("dose_number") or 1)),
        therapy=therapy,
        indication=str(body.get("indication") or ""),
        spans=tuple(Span(index, index - after + one.horizon_seconds(step_up) / 3600) for one in OUTCOMES),
        probability=tuple(_number(probabilities.get(key)) for key in OUTCOME_KEYS),
        warned=ALERT in (body.get("bands") or {}).values(),
        treated=bool(body.get("treated")),
        vector=vector_bytes(body),
    )


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def landmark(step_up: bool, hours_since_dose: float, dose_number: int) -> str:
    """The latest index time at or before that moment."""
    hours = DOSE_HOURS if step_up else INFUSION_HOURS
    at = max((one for one in hours if one <= hours_since_dose), default=hours[0])
    return f"dose{dose_number}+{at}h" if step_up else f"{at}h"


def joined(rows: Iterable[Row], outcomes: Iterable[Record], until: datetime) -> Joined:
    """The first rows of courses and landmarks with the report that counts: the latest of any answer of the course.

    An outcome counts once the course was followed to the horizon's end, or that end has passed by the calendar: else
    events, which are told at once, would be seen before the courses that had none.
    """
    every = tuple(rows)
    held, by_course = first_rows(every), latest_reports(every, outcomes)
    found = [by_course.get(row.course) for row in held]
    shape = (len(held), len(OUTCOMES))
    known = np.array([_cells(row, one, until) for row, one in zip(held, found, strict=True)]).reshape(*shape, 4)
    seen: set[str] = set()
    first = [row.course not in seen and not seen.add(row.course) for row in held]  # type: ignore[func-returns-value]
    return Joined(
        rows=held,
        probability=np.array([row.probability for row in held]).reshape(shape),
        label=known[:, :, 0],
        known_on=known[:, :, 1],
        over=known[:, :, 2] > 0,
        because=known[:, :, 3] > 0,
        treated=np.array(
            [
                row.treated or treated_before(one[1] if one else None, row.spans[0])
                for row, one in zip(held, found, strict=True)
            ],
            dtype=bool,
        ),
        reported=np.array([one is not None for one in found], dtype=bool),
        first=np.array(first, dtype=bool),
        gradings=tuple(tuple(grading(one[1], each.event) if one else "" for each in OUTCOMES) for one in found),
    )


def latest_reports(rows: Iterable[Row], outcomes: Iterable[Record]) -> dict[str, tuple[datetime, Report]]:
    """Course -> the report that counts and when it came. outcomes: in the ledger's order."""
    course = {row.prediction_id: row.course for row in rows}
    told = ((course.get(str(one.body["prediction_id"])), one) for one in outcomes)
    return {name: (one.time, from_body(one.body)) for name, one in told if name is not None}


def _cells(row: Row, found: tuple[datetime, Report] | None, until: datetime) -> list[tuple[float, float, bool, bool]]:
    """Per outcome: label, when it became known, whether its horizon is over, treated because warned."""
    return [_cell(row, place, found, until) for place in range(len(OUTCOMES))]


def _cell(
    row: Row, place: int, found: tuple[datetime, Report] | None, until: datetime
) -> tuple[float, float, bool, bool]:
    span, outcome = row.spans[place], OUTCOMES[place]
    ends = row.time + timedelta(hours=span.end_hours - span.index_hours)
    if found is None:
        return float("nan"), float("nan"), ends <= until, False
    told, report = found
    complete = followed(report, span)
    known_on = told if complete else max(told, ends)
    value = label(report, outcome, span) if known_on <= until else float("nan")
    because = row.warned and treated_first(report, outcome, span)
    return value, known_on.timestamp() if value == value else float("nan"), complete or ends <= until, because
