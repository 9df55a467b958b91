"""Made-up golden courses: a bundle stores their exact answers and gives them again before it serves.

None of them is a patient. Each stands for one way in which an answer could silently change.
"""

import math
from dataclasses import replace
from typing import Any

from features.catalogue import Analyte, Catalogue
from features.course import HOUR, Event
from features.predict import Predictor, answers
from features.single import CourseInput, Observed

_LABS = {
    "crp": 12.0,
    "ferritin": 480.0,
    "ldh": 310.0,
    "platelets": 140.0,
    "creatinine": 0.9,
    "ast": 28.0,
    "alt": 31.0,
    "bilirubin": 0.7,
    "fibrinogen": 3.4,
    "d_dimer": 0.6,
    "il6": 9.0,
    "hemoglobin": 10.4,
    "wbc": 3.1,
    "anc": 1.9,
    "alc": 0.4,
    "albumin": 37.0,
    "temperature": 36.8,
    "heart_rate": 82.0,
    "respiratory_rate": 16.0,
    "spo2": 97.0,
    "systolic_bp": 124.0,
    "diastolic_bp": 76.0,
}
_NUMBERS = {
    "age_years": 61.0,
    "sex_male": 1.0,
    "ecog": 1.0,
    "prior_lines": 3.0,
    "high_disease_burden": 1.0,
    "fludarabine_cyclophosphamide": 1.0,
    "renal_disease": 0.0,
}
_CD19, _BCMA = "axicabtagene-ciloleucel", "ciltacabtagene-autoleucel"


def courses(catalogue: Catalogue) -> tuple[CourseInput, ...]:
    """The golden courses; KeyError from `features.single.snapshots` if the catalogue lacks one of their codes."""
    febrile = _rising()
    return (
        _before_infusion(catalogue),
        febrile,
        CourseInput("tisagenlecleucel", "", 24 * HOUR),
        _second_dose(),
        CourseInput("cd19-car-t", "dlbcl", 24 * HOUR, numbers={"age_years": 48.0}, observations=_at(20, {"crp": 64.0})),
        _own_limits(),
        _treated(),
        _with_later_values(febrile),
        replace(febrile, observations=febrile.observations[::-1] + febrile.observations),
    )


def record(predictor: Predictor) -> dict[str, Any]:
    """The golden courses with this predictor's exact answers, as `features.predict.verify_golden` reads them."""
    inputs = list(courses(predictor.catalogue))
    pairs = zip(inputs, answers(predictor, inputs), strict=True)
    return {"courses": [{"input": one.to_json(), "answer": answer} for one, answer in pairs]}


def _at(hour: int, values: dict[str, float]) -> tuple[Observed, ...]:
    return tuple(Observed(code, hour * HOUR, value) for code, value in values.items())


def _before_infusion(catalogue: Catalogue) -> CourseInput:
    """CAR-T before infusion with every analyte measured and every comorbidity asked about."""
    labs = {key: _LABS.get(key, _ordinary(analyte)) for key, analyte in catalogue.analytes.items()}
    numbers = {**dict.fromkeys(catalogue.comorbidities, 0.0), **_NUMBERS}
    return CourseInput(_CD19, "lbcl", 0, numbers=numbers, observations=_at(-6, labs))


def _ordinary(analyte: Analyte) -> float:
    """The upper limit of normal; the middle of the plausible range where there is none."""
    if math.isnan(analyte.reference_high):
        return (analyte.plausible_low + analyte.plausible_high) / 2
    return analyte.reference_high


def _rising() -> CourseInput:
    """CAR-T at 48 h: fever and CRS of grade 1 charted, markers on the rise."""
    day_one = {**_LABS, "crp": 41.0, "temperature": 38.4, "heart_rate": 101.0}
    day_two = {"crp": 96.0, "ferritin": 1650.0, "ldh": 420.0, "platelets": 88.0, "il6": 310.0, "temperature": 39.1}
    seen = (*_at(-6, _LABS), *_at(24, day_one), *_at(44, day_two), Observed(Event.CRS_GRADE, 30 * HOUR, 1.0))
    return CourseInput(_CD19, "lbcl", 48 * HOUR, numbers=_NUMBERS, observations=seen)


def _second_dose() -> CourseInput:
    """A step-up engager, 12 h after dose 2."""
    dose = 72 * HOUR
    seen = (*_at(-2, {"crp": 6.0, "ferritin": 210.0}), *_at(80, {"crp": 18.0, "temperature": 37.6}))
    given = (Observed(Event.STEP_DOSE, 0, 1.0), Observed(Event.STEP_DOSE, dose, 2.0))
    return CourseInput("teclistamab", "mm", dose + 12 * HOUR, dose, 2, {"age_years": 70.0}, seen + given)


def _own_limits() -> CourseInput:
    """Two laboratories with upper limits of their own, and one that states none."""
    seen = (
        Observed("ldh", -24 * HOUR, 400.0, 480.0),
        Observed("ldh", 8 * HOUR, 390.0, 225.0),
        Observed("ldh", 16 * HOUR, 380.0),
        Observed("ast", 16 * HOUR, 52.0, 35.0),
    )
    return CourseInput(_BCMA, "mm", 24 * HOUR, observations=seen)


def _treated() -> CourseInput:
    """CRS of grade 2 and ICANS of grade 1, tocilizumab and steroid before the index time."""
    events = (
        Observed(Event.CRS_GRADE, 40 * HOUR, 1.0),
        Observed(Event.CRS_GRADE, 52 * HOUR, 2.0),
        Observed(Event.CRS_GRADE, 66 * HOUR, 1.0),
        Observed(Event.ICANS_GRADE, 64 * HOUR, 1.0),
        Observed(Event.TOCILIZUMAB, 53 * HOUR, 1.0),
        Observed(Event.CORTICOSTEROID, 65 * HOUR, 1.0),
        Observed(Event.OXYGEN, 52 * HOUR, 1.0),
    )
    labs = _at(70, {"crp": 22.0, "ferritin": 5200.0, "platelets": 46.0, "fibrinogen": 1.6})
    return CourseInput("brexucabtagene-autoleucel", "mcl", 72 * HOUR, numbers=_NUMBERS, observations=events + labs)


def _with_later_values(course: CourseInput) -> CourseInput:
    """The same course with values stamped after the index time, which must not count."""
    after = course.index_seconds + 1
    later = (Observed("crp", after, 399.0), Observed("ldh", after, 4000.0), Observed(Event.CRS_GRADE, after, 4.0))
    return replace(course, observations=(*later, *course.observations))
