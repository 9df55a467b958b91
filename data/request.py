"""One course of a cohort as the question that the service answers, with nothing in it that was not known yet."""

from typing import Any

import numpy as np

from data.contract import FLAG, GRADES
from data.event_rows import took_place
from data.tables import Cohort
from features.catalogue import Catalogue, load
from features.catalogue_types import Analyte
from features.course import COURSE_NUMBERS, HOUR, LATEST_SECONDS, LOOKBACK_SECONDS, Event, Observations, whole_seconds
from features.errors import UsageError

#: A course column that the service asks for by another name.
SEX = {0.0: "F", 1.0: "M"}


def request_body(cohort: Cohort, course_id: str, hours: float, catalogue: Catalogue | None = None) -> dict[str, Any]:
    """The body of POST /predict for one course, asked `hours` after its start; later observations are left out.

    So is what was charted as not given. UsageError where the cohort has no such course, or where no course is looked
    at that many hours after its start.
    """
    facts = catalogue or load()
    if course_id not in cohort.course_ids:
        raise UsageError("COURSE_ID", "the cohort has no course of that name", "see courses.course_id")
    if not -LOOKBACK_SECONDS <= hours * HOUR <= LATEST_SECONDS:  # NaN is in no range
        remedy = f"give hours from {-LOOKBACK_SECONDS // HOUR} to {LATEST_SECONDS // HOUR}"
        raise UsageError("--hours", "no course is looked at then", remedy)
    place = list(cohort.course_ids).index(course_id)
    last = float(whole_seconds(hours))
    return {
        "course": _course(cohort, place, facts),
        "hours_since_start": hours,
        "observations": _observations(cohort, place, last, facts),
        "events": _events(cohort, place, last),
    }


def _course(cohort: Cohort, place: int, catalogue: Catalogue) -> dict[str, Any]:
    courses = cohort.courses
    numbers = dict(zip(courses.columns, courses.numbers[place].tolist(), strict=True))
    known = {name: value for name, value in numbers.items() if not np.isnan(value)}
    illnesses = {name: bool(known.pop(name)) for name in catalogue.comorbidities if name in known}
    sex = {"sex": SEX[known.pop("sex_male")]} if "sex_male" in known else {}
    named = {"id": "asked", "therapy": courses.therapy[place], "indication": courses.indication[place]}
    plain = {name: bool(value) if COURSE_NUMBERS[name] == FLAG else value for name, value in known.items()}
    return {**{key: text for key, text in named.items() if text}, **sex, **plain, "comorbidities": illnesses}


def _observations(cohort: Cohort, place: int, last: float, catalogue: Catalogue) -> list[dict[str, Any]]:
    """The results of one course from the look-back to the second `last`, both inclusive."""
    seen = cohort.observations
    mine = (seen.course == place) & (seen.seconds <= last) & (seen.seconds >= -LOOKBACK_SECONDS)
    return [
        _observation(catalogue.analytes[catalogue.codes[seen.code[position]]], *_figures(seen, position))
        for position in np.flatnonzero(mine).tolist()
        if catalogue.codes[seen.code[position]] in catalogue.analytes
    ]


def _figures(seen: Observations, position: int) -> tuple[float, float, float]:
    return float(seen.value[position]), float(seen.seconds[position]) / HOUR, float(seen.limit[position])


def _observation(analyte: Analyte, value: float, hours: float, limit: float) -> dict[str, Any]:
    stated = {} if np.isnan(limit) else {"upper_limit": limit}
    return {"code": analyte.key, "value": value, "unit": analyte.unit, "hours": hours, **stated}


def _events(cohort: Cohort, place: int, last: float) -> list[dict[str, Any]]:
    """The timed events of one course in the same period, each grade with the system it was graded by."""
    charted = cohort.events
    mine = charted["course"].eq(place) & charted["seconds"].between(-LOOKBACK_SECONDS, last) & took_place(charted)
    columns = ("event", "value", "seconds", "grading")
    return [
        {"event": event, "value": _told(event, value), "hours": float(seconds) / HOUR, **_graded_by(grading)}
        for event, value, seconds, grading in zip(*(charted.loc[mine, name] for name in columns), strict=True)
    ]


def _told(event: str, value: float) -> float:
    """A grade or the number of a dose as it is; anything else was given, however a site counts it."""
    return float(value) if event in (*GRADES, Event.STEP_DOSE.value) else 1.0


def _graded_by(grading: str) -> dict[str, str]:
    return {"grading": grading} if grading else {}
