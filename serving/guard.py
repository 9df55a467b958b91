"""When the service does not answer, and what an answer must warn of. Codes are stable; texts may improve."""

import math
from collections.abc import Iterable, Mapping
from functools import cache

import numpy as np

from features.bundle import Bundle
from features.catalogue import Catalogue
from features.course import COURSE_NUMBERS, HOUR, LATEST_SECONDS, Event
from features.evidence import MITIGATIONS
from features.outcomes import OUTCOMES
from features.predict import Predictor
from features.single import CourseInput, Observed
from features.spec import Range
from serving import provenance
from serving.inputs import course_group
from serving.notes import (
    AFTER_HORIZON,
    AGE_NOT_EVALUATED,
    AGE_UNKNOWN,
    BEFORE_START,
    CLASS_NOT_EVALUATED,
    COURSE_ENDED,
    CRS_PRESENT,
    ICANS_PRESENT,
    INDICATION_NOT_IN_TRAINING,
    INPUT_OUTSIDE_RANGE,
    INPUT_STALE,
    NO_EVIDENCE,
    NOT_IN_TRAINING,
    OUTSIDE_TRAINING,
    PROPHYLAXIS_NOT_ADJUSTED,
    PUBLISHED_ONLY,
    SYNTHETIC,
    THERAPY_UNKNOWN,
    TRAINED_HOURS_AFTER_DOSE,
    TRAINED_HOURS_AFTER_INFUSION,
    TREATED,
    Note,
    naming,
)

_TREATMENTS = frozenset({Event.TOCILIZUMAB, Event.CORTICOSTEROID, Event.SILTUXIMAB, Event.ANAKINRA})
_GRADES = frozenset({Event.CRS_GRADE, Event.ICANS_GRADE})
_FATAL_GRADE = 5


def not_evaluated(bundle: Bundle, catalogue: Catalogue, course: CourseInput) -> tuple[Note, ...]:
    """Why this course is not evaluated at this time; () if it is."""
    step_up = is_step_up(catalogue, course.therapy)
    checks = (
        (not course.therapy, THERAPY_UNKNOWN),
        (_class_is_outside(catalogue, course.therapy), CLASS_NOT_EVALUATED),
        (bool(course.therapy) and course.therapy not in bundle.evidence, NO_EVIDENCE),
        (course.index_seconds < 0, BEFORE_START),
        (any(map(_ends_course, course.observations)), COURSE_ENDED),
        (_all_over(course, step_up), AFTER_HORIZON),
        (_age_is_outside(bundle, course), AGE_NOT_EVALUATED),
    )
    return _those(checks)


def cautions(
    predictor: Predictor, course: CourseInput, latest: Mapping[str, Observed], ranges: Mapping[str, Range]
) -> tuple[Note, ...]:
    """What an answer for this course must say about the model and the course.

    latest: code -> its latest observation. ranges: analyte or course column -> what training rows held of it.
    """
    bundle, catalogue = predictor.bundle, predictor.catalogue
    fitted, policy = provenance.is_fitted(bundle), bundle.policy
    checks = (
        (not fitted, PUBLISHED_ONLY),
        (fitted and course.therapy not in policy.therapies, NOT_IN_TRAINING),
        (
            fitted and bool(course.indication) and course.indication not in policy.indications,
            INDICATION_NOT_IN_TRAINING,
        ),
        (fitted and _outside_training(course, is_step_up(catalogue, course.therapy)), OUTSIDE_TRAINING),
        (provenance.is_synthetic(bundle), SYNTHETIC),
        (any(one.code in _TREATMENTS and one.seconds >= 0 for one in course.observations), TREATED),
        (_is_present(latest, Event.CRS_GRADE), CRS_PRESENT),
        (_is_present(latest, Event.ICANS_GRADE), ICANS_PRESENT),
        (_ages_are_limited(bundle) and "age_years" not in course.numbers, AGE_UNKNOWN),
        (_is_unadjusted(bundle, course), PROPHYLAXIS_NOT_ADJUSTED),
    )
    return (*_those(checks), *_stale(catalogue, course, latest), *_outside_ranges(predictor, course, latest, ranges))


def _is_present(latest: Mapping[str, Observed], event: Event) -> bool:
    """Whether the latest charted grade is above 0."""
    return event.value in latest and latest[event.value].value > 0


def _is_unadjusted(bundle: Bundle, course: CourseInput) -> bool:
    """Whether something was given to prevent CRS that no published cohort of this therapy and indication had."""
    given = [name for name in MITIGATIONS if course.numbers.get(name) == 1]
    held = bundle.evidence[course.therapy].mitigated
    return any(course.indication not in held.get(name, {}) for name in given)


def _stale(catalogue: Catalogue, course: CourseInput, latest: Mapping[str, Observed]) -> tuple[Note, ...]:
    names = [
        held.name
        for code, one in latest.items()
        if (held := catalogue.analytes.get(code)) and course.index_seconds - one.seconds > held.stale_hours * HOUR
    ]
    return (naming(INPUT_STALE, names),) if names else ()


def _outside_ranges(
    predictor: Predictor, course: CourseInput, latest: Mapping[str, Observed], ranges: Mapping[str, Range]
) -> tuple[Note, ...]:
    """Inputs beyond the middle 98 % of the training rows, compared on the scale of the row."""
    known = {code: _on_row_scale(predictor, one) for code, one in latest.items()}
    known |= {key: float(np.float32(value)) for key, value in course.numbers.items()}
    beyond = [key for key, held in ranges.items() if key in known and not held.low <= known[key] <= held.high]
    analytes = predictor.catalogue.analytes
    names = [analytes[key].name if key in analytes else course_group(key, predictor.catalogue).name for key in beyond]
    return (naming(INPUT_OUTSIDE_RANGE, names),) if names else ()


def _on_row_scale(predictor: Predictor, one: Observed) -> float:
    """The value in the unit of the row, rounded to its 32 bits."""
    rule = predictor.bundle.spec.rules.get(one.code)
    if rule is None or not rule.per_upper_limit:
        return float(np.float32(one.value))
    return float(np.float32(one.value / (rule.upper_limit if math.isnan(one.limit) else one.limit)))


@cache
def is_step_up(catalogue: Catalogue, therapy: str) -> bool:
    """Whether the therapy or class is given in step-up doses; False where it is not known."""
    return catalogue.schedule(therapy) == "step-up"


def horizon_over(course: CourseInput, place: int, step_up: bool) -> bool:
    """Whether the index time is at or after the end of the horizon of OUTCOMES[place]."""
    return course.index_seconds >= course.dose_seconds + OUTCOMES[place].horizon_seconds(step_up)


def hours(seconds: int) -> float:
    return seconds / HOUR


def _all_over(course: CourseInput, step_up: bool) -> bool:
    over = all(horizon_over(course, place, step_up) for place in range(len(OUTCOMES)))
    return over or course.index_seconds > LATEST_SECONDS


@cache
def _class_is_outside(catalogue: Catalogue, therapy: str) -> bool:
    return bool(therapy) and not catalogue.classes[catalogue.lineage(therapy)[0]].evaluated


def _ends_course(seen: Observed) -> bool:
    return seen.code == Event.DEATH or (seen.code in _GRADES and seen.value >= _FATAL_GRADE)


def _outside_training(course: CourseInput, step_up: bool) -> bool:
    latest = TRAINED_HOURS_AFTER_DOSE if step_up else TRAINED_HOURS_AFTER_INFUSION
    return course.index_seconds - course.dose_seconds > latest * HOUR


def _ages_are_limited(bundle: Bundle) -> bool:
    """Whether the intended use leaves out any age that a request may state; else there is nothing to check."""
    low, high = COURSE_NUMBERS["age_years"]
    return bundle.policy.age_low > low or bundle.policy.age_high < high


def _age_is_outside(bundle: Bundle, course: CourseInput) -> bool:
    age = course.numbers.get("age_years")
    return age is not None and not bundle.policy.age_low <= age <= bundle.policy.age_high


def _those(checks: Iterable[tuple[bool, Note]]) -> tuple[Note, ...]:
    return tuple(note for holds, note in checks if holds)
