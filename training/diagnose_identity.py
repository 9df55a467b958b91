"""The same patient or course twice, grades of several systems, and subgroups too small to be judged."""

from collections import Counter

import numpy as np
import pandas as pd

from data.contract import GRADES
from training.diagnose_findings import Finding, Severity, finding
from training.diagnose_material import Material, folded
from training.diagnose_policy import limits


def patients(held: Material) -> list[Finding]:
    """Ids that differ only in capitals or blanks, patients with several courses, patients at two sites."""
    ids = pd.DataFrame(
        {"id": held.cohort.patient_ids, "site": held.cohort.sites, "one": folded(held.cohort.patient_ids)}
    )
    by_patient = ids.groupby("one")
    kinds: tuple[tuple[str, Severity, pd.Series, str], ...] = (
        ("same-patient", "refuse", by_patient["id"].nunique() > 1, "patients under several spellings of one id"),
        ("patient-repeats", "note", by_patient["id"].size() > 1, "patients with several courses"),
        ("patient-at-two-sites", "warn", by_patient["site"].nunique() > 1, "patients at two sites or more"),
    )
    findings = []
    for code, severity, many, detail in kinds:
        if many.any():
            rows = int(ids["one"].isin(many.index[many]).sum())
            findings.append(finding(code, severity, "courses", "patient_id", rows, f"{detail}: {int(many.sum())}"))
    return findings


def courses(held: Material) -> list[Finding]:
    """Courses that hold exactly the same results, whatever their ids say."""
    cells = held.cells
    rows = pd.DataFrame({"column": cells.column, "hours": cells.hours, "value": cells.value})
    mark = pd.util.hash_pandas_object(rows, index=False).to_numpy(dtype=np.uint64)
    total = np.zeros(len(held), dtype=np.uint64)
    np.add.at(total, cells.course, mark)
    count = np.bincount(cells.course, minlength=len(held))
    table = pd.DataFrame({"total": total, "count": count, "patient": folded(held.cohort.patient_ids)})
    table = table[count >= limits()["same_cells"]]
    twice = table[table.duplicated(["total", "count"], keep=False)]
    if twice.empty:
        return []
    shared = twice.groupby(["total", "count"])["patient"].nunique().gt(1).any()
    detail = f"{len(twice)} courses share all their results with another"
    severity: Severity = "refuse" if shared else "warn"
    return [finding("same-course", severity, "observations", "course_id", len(twice), detail)]


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
