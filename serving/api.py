"""What a request looks like. Fields that are not named here are refused, so that a misspelt one is never ignored.

All times are hours from the course's start: the infusion, or the first dose of a T-cell engager.
"""

from typing import Annotated

from msgspec import Meta, Struct

MOST_OBSERVATIONS = 2_000
MOST_EVENTS = 500
MOST_SYMPTOMS = 200
MOST_COURSES = 1_000
#: Largest body in bytes, per route.
BODY_LIMITS = {"/predict": 1 << 20, "/predict_batch": 16 << 20, "/grade": 64 << 10, "/outcomes": 1 << 20}

Text = Annotated[str, Meta(min_length=1, max_length=200)]


class Observation(Struct, frozen=True, forbid_unknown_fields=True):
    """A laboratory value, cytokine or vital sign.

    code: an analyte key of the catalogue, or a bare LOINC code. comparator: "<" or ">" where the analyser reports its
    limit, which is then the value.
    upper_limit: the laboratory's own upper limit of normal, in `unit`.
    """

    code: Text
    value: float
    unit: Text
    hours: float
    comparator: str | None = None
    upper_limit: float | None = None


class CourseEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """A charted event. value: the grade of crs_grade and icans_grade; otherwise 1, or 0 where it was not given.

    The value of step_dose may state the dose's number, which is compared with the count of doses and not used.
    """

    event: Text
    hours: float
    value: float | None = None
    grading: str | None = None


class Symptom(Struct, frozen=True, forbid_unknown_fields=True):
    """A symptom by key, name or alias. hours: left out means at the index time. present: false says it was not there.

    Symptoms are shown with what they may point to; they are not inputs of the model.
    """

    symptom: Text
    hours: float | None = None
    present: bool = True


class Course(Struct, frozen=True, forbid_unknown_fields=True):
    """What does not change over the course. null or absent means unknown; false means known to be absent.

    therapy: key, generic name, brand or alias. therapy_class: used where the therapy is not in the catalogue.
    """

    id: Text
    therapy: Text
    therapy_class: str | None = None
    indication: str | None = None
    sex: str | None = None
    age_years: float | None = None
    ecog: float | None = None
    prior_lines: float | None = None
    marrow_blasts_pct: float | None = None
    dose_fraction: float | None = None
    high_disease_burden: bool | None = None
    fludarabine_cyclophosphamide: bool | None = None
    bridging_therapy: bool | None = None
    prophylactic_tocilizumab: bool | None = None
    prophylactic_corticosteroid: bool | None = None
    comorbidities: dict[str, bool | None] = {}


class Cirs(Struct, frozen=True, forbid_unknown_fields=True):
    """Charted grades of the Cumulative Illness Rating Scale, 0 to 4, of the four organ systems that Severe4 reads."""

    respiratory: float | None = None
    upper_gastrointestinal: float | None = None
    hepatic: float | None = None
    renal: float | None = None


class Findings(Struct, frozen=True, forbid_unknown_fields=True):
    """What HScore, HLH-2004 and Severe4 need beside laboratory values, as known at the index time.

    No features of the model. organomegaly: none | one | both, of liver and spleen. haemophagocytosis: on a marrow.
    known_immunosuppression: HIV or long-term immunosuppressive therapy.
    """

    organomegaly: str | None = None
    splenomegaly: bool | None = None
    haemophagocytosis: bool | None = None
    known_immunosuppression: bool | None = None
    nk_activity_low_or_absent: bool | None = None
    molecular_hlh: bool | None = None
    cirs: Cirs | None = None


class PredictRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """One course at one index time. What is stamped after `hours_since_start` is not seen."""

    course: Course
    hours_since_start: float
    observations: Annotated[tuple[Observation, ...], Meta(max_length=MOST_OBSERVATIONS)] = ()
    events: Annotated[tuple[CourseEvent, ...], Meta(max_length=MOST_EVENTS)] = ()
    previous_hours: float | None = None
    symptoms: Annotated[tuple[Symptom, ...], Meta(max_length=MOST_SYMPTOMS)] = ()
    findings: Findings | None = None


class BatchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Many courses at once, each named once."""

    requests: Annotated[tuple[PredictRequest, ...], Meta(min_length=1, max_length=MOST_COURSES)]


#: Every field name of a request: only these are ever repeated in an error's path.
FIELD_NAMES = frozenset(
    name
    for kind in (Observation, CourseEvent, Symptom, Course, Cirs, Findings, PredictRequest, BatchRequest)
    for name in kind.__struct_fields__
)
