"""Data checks that run before every training: what they find, and which findings stop it.

Each check controls chance over all its columns, outcomes and groups together, so that a sound cohort is not refused;
the limits stand in data/tables/diagnose_policy.csv. See docs/diagnose.md.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from data.parts import drawn_frames, is_large
from data.tables import Cohort, Frames, read_frames
from features.catalogue import Catalogue, load
from features.errors import DataError, UsageError
from training import (
    diagnose_copies,
    diagnose_encoded,
    diagnose_identity,
    diagnose_lost,
    diagnose_missing,
    diagnose_shift,
    diagnose_size,
    diagnose_units,
    diagnose_values,
)
from training.diagnose_findings import CODES, SEVERITIES, Finding
from training.diagnose_material import Material, cells_of, material

#: About how many courses are looked at where a cohort is larger than memory.
DRAWN_COURSES = 20_000

Check = Callable[[Material], list[Finding]]
CHECKS: tuple[Check, ...] = (
    diagnose_copies.check,
    diagnose_encoded.check,
    diagnose_values.fills,
    diagnose_values.too_good,
    diagnose_missing.follows,
    diagnose_missing.timed_after,
    diagnose_missing.treated_before,
    diagnose_units.check,
    diagnose_lost.check,
    diagnose_identity.check,
    diagnose_identity.grading,
    diagnose_size.check,
    diagnose_shift.by_site,
    diagnose_shift.by_time,
    diagnose_identity.subgroups,
)


@dataclass(frozen=True, slots=True)
class Override:
    """Somebody answers for training although a check refuses. UsageError for an unknown code or no reason."""

    code: str
    reason: str

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise UsageError("--override", "not a code of crs diagnose", f"known: {', '.join(CODES)}")
        if not self.reason.strip():
            raise UsageError("--reason", "an override needs its reason", "say why training goes on all the same")

    def to_json(self) -> dict[str, str]:
        return {"code": self.code, "reason": self.reason.strip()}


def overrides(codes: Iterable[str], reasons: Iterable[str]) -> tuple[Override, ...]:
    """Codes with their reasons, in order. UsageError unless each code has one and stands once."""
    given, why = list(codes), list(reasons)
    if len(given) != len(why):
        raise UsageError(
            "--reason", f"{len(why)} reasons for {len(given)} overrides", "give each --override its --reason"
        )
    if len(set(given)) < len(given):
        raise UsageError("--override", "a code is given twice", "give each code once")
    return tuple(Override(code, reason) for code, reason in zip(given, why, strict=True))


def read(folder: Path, derive_grades: bool = False) -> tuple[Cohort, Frames]:
    """A cohort with the tables it was read from; errors as data.tables.read_cohort.

    Of a cohort that is larger than memory, about DRAWN_COURSES courses with all that the tables hold of them.
    """
    frames = drawn_frames(folder, 0.0, DRAWN_COURSES) if is_large(folder) else read_frames(folder)
    return frames.cohort(derive_grades=derive_grades), frames


def diagnose(cohort: Cohort, frames: Frames, catalogue: Catalogue) -> tuple[Finding, ...]:
    """All findings, the gravest first, one per code and column. frames: the tables that the cohort was read from."""
    with threadpool_limits(limits=1, user_api="blas"):
        held = material(cohort, frames, catalogue)
        found = [one for check in CHECKS for one in check(held)]
    once: dict[tuple[str, str, str], Finding] = {}
    for one in found:
        once.setdefault((one.code, one.table, one.column), one)
    return tuple(sorted(once.values(), key=lambda one: SEVERITIES.index(one.severity)))


def marks(cohort: Cohort, frames: Frames, catalogue: Catalogue) -> pd.DataFrame:
    """What `check_lock` needs of a cohort, or of a part of one: a row per course."""
    return diagnose_identity.marks(cohort, cells_of(cohort, frames.observations, catalogue))


def check_lock(courses: pd.DataFrame, given: Iterable[Override] = ()) -> None:
    """DataError if a patient or a course is there twice: one may be locked and the other learnt from.

    courses: the marks of the whole cohort, locked patients included; nothing but ids and results is compared.
    """
    check_findings(diagnose_identity.twice(courses), given)


def across_the_lock(given: Iterable[Override] = ()) -> Callable[[Cohort, Frames], None]:
    """A look at a whole cohort before a part of it is locked away; DataError as `check_lock`."""
    excused = tuple(given)
    return lambda cohort, frames: check_lock(marks(cohort, frames, load()), excused)


def refused(findings: Iterable[Finding], given: Iterable[Override] = ()) -> tuple[Finding, ...]:
    """The findings that stop training although these overrides are given."""
    excused = {one.code for one in given}
    return tuple(one for one in findings if one.severity == "refuse" and one.code not in excused)


def check_findings(findings: Iterable[Finding], given: Iterable[Override] = ()) -> None:
    """DataError if a finding stops training."""
    stopping = refused(findings, given)
    if stopping:
        codes = sorted({f"{one.code} ({one.table}.{one.column})" for one in stopping})
        remedy = "see crs diagnose; to train all the same, --override CODE --reason TEXT, which is recorded"
        many = f"{len(stopping)} findings refuse" if len(stopping) > 1 else "one finding refuses"
        raise DataError("diagnose", f"{many} these data: {', '.join(codes)}", remedy)


def to_json(findings: Iterable[Finding]) -> dict[str, Any]:
    """The findings as a document."""
    listed = [asdict(one) for one in findings]
    return {"findings": listed, "refused": sum(one["severity"] == "refuse" for one in listed)}
