"""The cautions of an answer, and the reasons why nothing was evaluated. Codes are stable; texts may improve."""

from collections.abc import Iterable
from dataclasses import dataclass

from features.index_times import DOSE_HOURS, INFUSION_HOURS

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
START_BY_DAY = Note(
    "start-by-day",
    "The infusion or the latest dose is charted by its day alone: hours count from the beginning of that day in UTC, "
    "and may be off by a day.",
)
OTHER_THERAPY = Note(
    "other-therapy",
    "Another T-cell-engaging therapy is ordered, was given lately or is charted without a clear time: this answer is "
    "not about that one.",
)
NEXT_DOSE_ORDERED = Note(
    "next-dose-ordered",
    "A further dose is being ordered: hours and risks count from the latest dose that was given, and not from the one "
    "that is being ordered.",
)
GRADE_NOT_COUNTED = Note(
    "grade-not-counted",
    "CRS or ICANS is charted without a grade, without a clear time, for today without a time of day or as one of "
    "several possible diagnoses, and was not counted: the answer is as if it were not there.",
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
DEVELOPMENT_MODE = Note(
    "development-mode", "The service runs without sign-in, for this machine alone: not for use with patients."
)
SYNTHETIC = Note("synthetic-training-data", "The training data were synthetic: not for use with patients.")


def unseen(observations: int, events: int) -> Note:
    """The caution for what is stamped after the index time."""
    text = f"{observations} observations and {events} events are stamped after the index time and were not used."
    return Note("observations-after-index", text)


def too_old(count: int, days: int) -> Note:
    """The caution for what is older than the look-back."""
    text = f"{count} observations or events are more than {days} days before the start and were not used."
    return Note("observations-before-lookback", text)


def naming(note: Note, names: Iterable[str]) -> Note:
    """The caution with the inputs that it is about; names of inputs only, never their values."""
    return Note(note.code, f"{note.text} {', '.join(sorted(names))}.")
