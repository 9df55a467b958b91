"""One course of a cohort as the question that the service answers, with nothing in it that was not known yet."""

from typing import Any

import numpy as np

from data.tables import Cohort
from features.catalogue import Catalogue, load
from features.course import COURSE_NUMBERS, HOUR, LOOKBACK_SECONDS
from features.errors import UsageError

#: The range of a course column that is a flag.
FLAG = (0.0, 1.0)
#: A course column that the service asks for by another name.
SEX = {0.0: "F", 1.0: "M"}


def request_body(cohort: Cohort, course_id: str, hours: float, catalogue: Catalogue | None = None) -> dict[str, Any]:
    """The body of POST /predict for one course, asked `hours` after its start; later observations are left out.

    UsageError where the cohort has no such course.
    """
    facts = catalogue or load()
    if course_id not in cohort.course_ids:
        raise UsageError("COURSE_ID", "the cohort has no course of that name", "see courses.course_id")
    place = list(cohort.course_ids).index(course_id)
    return {
        "course": _course(cohort, place, facts),
        "hours_since_start": hours,
        **_observed(cohort, place, hours, facts),
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


def _observed(cohort: Cohort, place: int, hours: float, catalogue: Catalogue) -> dict[str, list[dict[str, Any]]]:
    seen = cohort.observations
    mine = (seen.course == place) & (seen.seconds <= hours * HOUR) & (seen.seconds >= -LOOKBACK_SECONDS)
    observations, events = [], []
    for position in np.flatnonzero(mine):
        code, value = catalogue.codes[seen.code[position]], float(seen.value[position])
        when = float(seen.seconds[position]) / HOUR
        if code in catalogue.analytes:
            limit = {} if np.isnan(seen.limit[position]) else {"upper_limit": float(seen.limit[position])}
            unit = catalogue.analytes[code].unit
            observations.append({"code": code, "value": value, "unit": unit, "hours": when, **limit})
        else:
            events.append({"event": code, "value": value, "hours": when})
    return {"observations": observations, "events": events}
