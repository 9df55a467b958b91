"""What the data checks can find: a closed list of codes, each with what it means and what to do."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["refuse", "warn", "note"]
SEVERITIES: tuple[Severity, ...] = ("refuse", "warn", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of a data set. Counts only: no text of it holds a patient's value or name.

    severity: "refuse" stops training, "warn" wants an answer, "note" is to be known. rows: courses or rows concerned.
    """

    code: str
    severity: Severity
    table: str
    column: str
    rows: int
    why: str
    what_to_do: str


#: code -> (why it matters, what to do).
CODES: dict[str, tuple[str, str]] = {
    "label-copied": (
        "the column holds the outcome itself: a model would read the answer off it",
        "drop the column there, or correct the extract that wrote the outcome into it",
    ),
    "fill-per-class": (
        "one exact value occurs in one outcome class only: gaps were filled with the outcome in hand",
        "leave gaps empty; ask for the data as they were before filling",
    ),
    "feature-too-good": (
        "no known value before treatment ranks the outcome so well: it was most likely made or charted afterwards",
        "find out when and how the column is written; drop it if it is written with the outcome in hand",
    ),
    "missing-follows-label": (
        "whether it was measured before or at the start follows an outcome that nobody knew then",
        "drop the column there, or find out by what rule its rows were chosen for the extract",
    ),
    "timed-after-outcome": (
        "the column is measured only once the outcome is there: it says that the outcome happened",
        "check the times; leave the column out if it is ordered because of the outcome",
    ),
    "treated-before-outcome": (
        "treatment of CRS is charted before any CRS: onset is charted late, so predictors are timed after the outcome",
        "check the times of grades and treatments; mark prophylaxis as prophylaxis",
    ),
    "unit-differs": (
        "values differ between groups as two units differ: the model would learn the group, not the patient",
        "state the unit per block in the mapping file, or repair the factor there",
    ),
    "analyte-lost": (
        "every value of the analyte was rejected: the model would hold it for never measured",
        "see crs cohort check for the rule; state the unit, or correct the factor in the mapping file",
    ),
    "same-patient": (
        "ids that differ only in capitals or blanks: one patient could train and test the same model",
        "give one id to one patient",
    ),
    "same-course": (
        "courses of different patients hold the very same results: one course could train and test the same model",
        "keep one of them",
    ),
    "patient-repeats": (
        "some patients have several courses: folds are by patient, and a split by course would leak",
        "nothing for training here; group by patient wherever else the data are split",
    ),
    "patient-at-two-sites": (
        "the same patient stands at two sites or in two blocks: a split by site is not a split by patient",
        "check that the id means one person; such courses are left out of leave-site-out folds",
    ),
    "mixed-grading": (
        "grades of different systems do not compare: grade 2 of one is grade 3 of another",
        "grade all courses by one system (crs grade), or train on one system only",
    ),
    "too-few-events": (
        "fewer courses than a regression with this many predictors needs; expect wide intervals and little gain",
        "bring more courses; believe the cross-validated figures beside the published rate, not the model alone",
    ),
    "site-shift": (
        "values at the start differ between sites more than between patients of the same therapy",
        "look for assay, unit and case mix; judge by leave-site-out folds",
    ),
    "time-shift": (
        "values at the start differ between the earlier and the later half of the courses",
        "look for a change of assay, unit or practice; judge by a split in time",
    ),
    "small-subgroup": (
        "subgroups too small to be judged apart",
        "none: their figures will say too few events",
    ),
}


def finding(code: str, severity: Severity, table: str, column: str, rows: int, detail: str) -> Finding:
    """A finding of a listed code. detail: what was seen, in counts; it stands before the reason."""
    why, what_to_do = CODES[code]
    return Finding(code, severity, table, column, int(rows), f"{detail}: {why}", what_to_do)
