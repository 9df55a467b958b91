"""When the service does not answer, and what an answer must warn of. Codes are stable; texts may improve."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from features.bundle import Bundle
from features.catalogue import Catalogue
from features.course import COURSE_NUMBERS, HOUR, LATEST_SECONDS, Event
from features.evidence import MITIGATIONS
from features.index_times import DOSE_HOURS, INFUSION_HOURS
from features.outcomes import OUTCOMES
from features.predict import Predictor
from features.single import CourseInput, Observed
from features.spec import Range
from serving import provenance

#: Hours after an infusion, and after a step-up dose, up to which a fitted answer was ever checked. Both inclusive.
TRAINED_HOURS_AFTER_INFUSION = INFUSION_HOURS[-1]
TRAINED_HOURS_AFTER_DOSE = DOSE_HOURS[-1]


@dataclass(frozen=True, slots=True)
class Note:
    """A caution, or a reason why nothing was evaluated."""

    code: str
    text: str


THERAPY_UNKNOWN = Note(
    "therapy-unknown",
    "The therapy is not in the catalogue and no therapy_class was given; nothing is guessed from its name.",
)
THERAPY_NOT_IN_CATALOGUE = Note(
    "therapy-not-in-catalogue",
    "The therapy is not in the catalogue; the published rates of the given therapy class were used.",
)
THERAPY_IS_A_CLASS = Note(
    "therapy-is-a-class", "A class of therapies was named, not a product; its pooled rates were used."
)
INDICATION_UNKNOWN = Note(
    "indication-unknown", "The indication is not known; rates over all indications of the therapy were used."
)
STEP_DOSE_IGNORED = Note(
    "step-dose-ignored", "Step-up doses were sent for a therapy that is given once; times count from the infusion."
)
DOSE_NUMBER_DIFFERS = Note(
    "dose-number-differs",
    "A stated dose number differs from the count of doses sent; the count was used. Is a dose missing, or sent twice?",
)
GRADING_NOT_ASTCT = Note(
    "grading-not-astct",
    "A grade was charted by another system than ASTCT-2019 or by an unstated one; grades of different systems differ.",
)
CLASS_NOT_EVALUATED = Note(
    "therapy-class-not-evaluated", "This class of therapies is outside the intended use of the service."
)
NO_EVIDENCE = Note("no-published-evidence", "The model holds no published rates for this therapy or its class.")
BEFORE_START = Note("index-before-start", "The index time lies before the infusion or first dose.")
COURSE_ENDED = Note("course-ended", "A death, or a grade of 5, was charted at or before the index time.")
AFTER_HORIZON = Note("index-after-horizon", "The index time lies after the end of every horizon.")
AGE_NOT_EVALUATED = Note("age-not-evaluated", "The age is outside the range of the intended use.")
AGE_UNKNOWN = Note("age-unknown", "The age was not sent, so the intended use could not be checked for it.")
TREATED = Note(
    "treated-before-index",
    "Tocilizumab, siltuximab, anakinra or a corticosteroid was given since the start and alters what follows.",
)
PUBLISHED_ONLY = Note(
    "published-rates-only", "No patient data trained this version; every risk is a published rate over time."
)
NOT_IN_TRAINING = Note(
    "therapy-not-in-training-data", "This therapy was not in the training data; the answer leans on published rates."
)
OUTSIDE_TRAINING = Note(
    "index-time-outside-training",
    f"The model was trained on questions up to {TRAINED_HOURS_AFTER_INFUSION} hours after an infusion and "
    f"{TRAINED_HOURS_AFTER_DOSE} hours after a step-up dose; this index time is later.",
)
INDICATION_NOT_IN_TRAINING = Note(
    "indication-not-in-training-data", "This indication was not in the training data; the answer rests on others."
)
CRS_PRESENT = Note(
    "crs-present",
    "CRS is charted at the index time: what is answered is whether a worse grade follows, not whether it begins.",
)
ICANS_PRESENT = Note(
    "icans-present", "ICANS is charted at the index time: what is answered is whether a worse grade follows."
)
INPUT_STALE = Note("input-stale", "The latest value is older than it should be for this question:")
INPUT_OUTSIDE_RANGE = Note("input-outside-training-range", "Outside the middle 98 % of the training data:")
PROPHYLAXIS_NOT_ADJUSTED = Note(
    "prophylaxis-not-adjusted",
    "Something was given to prevent CRS, but no published cohort of this therapy and indication had it: the published "
    "rate is the one without it.",
)
SYNTHETIC = Note("synthetic-training-data", "The training data were synthetic: not for use with patients.")

_TREATMENTS = frozenset({Event.TOCILIZUMAB, Event.CORTICOSTEROID, Event.SILTUXIMAB, Event.ANAKINRA})
_GRADES = frozenset({Event.CRS_GRADE, Event.ICANS_GRADE})
_FATAL_GRADE = 5


def unseen(observations: int, events: int) -> Note:
    """The caution for what is stamped after the index time."""
    text = f"{observations} observations and {events} events are stamped after the index time and were not used."
    return Note("observations-after-index", text)


def too_old(count: int, days: int) -> Note:
    """The caution for what is older than the look-back."""
    text = f"{count} observations or events are more than {days} days before the start and were not used."
    return Note("observations-before-lookback", text)


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
    return (_naming(INPUT_STALE, names),) if names else ()


def _outside_ranges(
    predictor: Predictor, course: CourseInput, latest: Mapping[str, Observed], ranges: Mapping[str, Range]
) -> tuple[Note, ...]:
    """Inputs beyond the middle 98 % of the training rows, compared on the scale of the row."""
    known = {code: _on_row_scale(predictor, one) for code, one in latest.items()}
    known |= {key: float(np.float32(value)) for key, value in course.numbers.items()}
    beyond = [key for key, held in ranges.items() if key in known and not held.low <= known[key] <= held.high]
    analytes = predictor.catalogue.analytes
    names = [analytes[key].name if key in analytes else key.replace("_", " ") for key in beyond]
    return (_naming(INPUT_OUTSIDE_RANGE, names),) if names else ()


def _on_row_scale(predictor: Predictor, one: Observed) -> float:
    """The value in the unit of the row, rounded to its 32 bits."""
    rule = predictor.bundle.spec.rules.get(one.code)
    if rule is None or not rule.per_upper_limit:
        return float(np.float32(one.value))
    return float(np.float32(one.value / (rule.upper_limit if math.isnan(one.limit) else one.limit)))


def _naming(note: Note, names: Iterable[str]) -> Note:
    """The caution with the inputs that it is about; names of inputs only, never their values."""
    return Note(note.code, f"{note.text} {', '.join(sorted(names))}.")


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
