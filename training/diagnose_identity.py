"""The same patient or course twice, grades of several systems, and subgroups too small to be judged."""

from collections import Counter

import numpy as np
import pandas as pd

from data.contract import GRADES
from data.tables import Cohort
from training.diagnose_findings import Finding, Severity, finding
from training.diagnose_material import Cells, Material, folded
from training.diagnose_policy import limits


def marks(cohort: Cohort, cells: Cells) -> pd.DataFrame:
    """What tells patients and courses apart, a row per course.

    id, site: as they stand. one: the id without capitals and blanks. total, count: a digest of all results, and how
    many there are.
    """
    rows = pd.DataFrame({"column": cells.column, "hours": cells.hours, "value": cells.value})
    total = np.zeros(len(cohort), dtype=np.uint64)
    np.add.at(total, cells.course, pd.util.hash_pandas_object(rows, index=False).to_numpy(dtype=np.uint64))
    count = np.bincount(cells.course, minlength=len(cohort))
    ids, one = cohort.patient_ids, folded(cohort.patient_ids)
    return pd.DataFrame({"id": ids, "site": cohort.sites, "one": one, "total": total, "count": count})


def check(held: Material) -> list[Finding]:
    return twice(marks(held.cohort, held.cells))


def twice(courses: pd.DataFrame) -> list[Finding]:
    """Patients and courses that are there more than once. courses: as `marks`."""
    return [*_patients(courses), *_courses(courses)]


def _patients(courses: pd.DataFrame) -> list[Finding]:
    """Ids that differ only in capitals or blanks, patients with several courses, patients at two sites."""
    by_patient = courses.groupby("one")
    kinds: tuple[tuple[str, Severity, pd.Series, str], ...] = (
        ("same-patient", "refuse", by_patient["id"].nunique() > 1, "patients under several spellings of one id"),
        ("patient-repeats", "note", by_patient["id"].size() > 1, "patients with several courses"),
        ("patient-at-two-sites", "warn", by_patient["site"].nunique() > 1, "patients at two sites or more"),
    )
    findings = []
    for code, severity, many, detail in kinds:
        if many.any():
            rows = int(courses["one"].isin(many.index[many]).sum())
            findings.append(finding(code, severity, "courses", "patient_id", rows, f"{detail}: {int(many.sum())}"))
    return findings


def _courses(courses: pd.DataFrame) -> list[Finding]:
    """Courses that hold exactly the same results, whatever their ids say."""
    full = courses[courses["count"] >= limits()["same_cells"]]
    alike = full[full.duplicated(["total", "count"], keep=False)]
    if alike.empty:
        return []
    shared = alike.groupby(["total", "count"])["one"].nunique().gt(1).any()
    detail = f"{len(alike)} courses share all their results with another"
    severity: Severity = "refuse" if shared else "warn"
    return [finding("same-course", severity, "observations", "course_id", len(alike), detail)]


def grading(held: Material) -> list[Finding]:
    """Events graded by several stated systems."""
    findings, events = [], held.cohort.events
    for event in sorted(GRADES):
        stated = events[events["event"].eq(event) & events["grading"].ne("")].drop_duplicates(["course", "grading"])
        systems = Counter(stated["grading"])
        if len(systems) < 2:
            continue
        rarer = len(stated) - max(systems.values())
        severity: Severity = "refuse" if rarer >= limits()["mixed_share"] * len(stated) else "warn"
        names = ", ".join(f"{system} in {count}" for system, count in sorted(systems.items()))
        findings.append(finding("mixed-grading", severity, "events", event, rarer, f"courses graded by {names}"))
    return findings


def subgroups(held: Material) -> list[Finding]:
    """Therapies, indications, sites and sexes with few courses, counted without being named."""
    fixed = held.cohort.courses
    sex = fixed.numbers[:, fixed.columns.index("sex_male")]
    findings = []
    for column, values in (
        ("therapy", fixed.therapy),
        ("indication", fixed.indication),
        ("site", held.cohort.sites),
        ("sex", np.where(np.isfinite(sex), np.nan_to_num(sex).astype(int).astype(str), "")),
    ):
        sizes = Counter(str(value) for value in values if value)
        small = [size for size in sizes.values() if size < limits()["small_subgroup"]]
        if small:
            detail = f"{len(small)} of {len(sizes)} have fewer than {limits()['small_subgroup']:.0f} courses"
            findings.append(finding("small-subgroup", "note", "courses", column, sum(small), detail))
    return findings
