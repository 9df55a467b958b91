"""Small synthetic canonical tables to build tests on."""

from pathlib import Path

import pandas as pd

from data.tables import Cohort, cohort_from_frames, write_cohort

AXI, TEC = "axicabtagene-ciloleucel", "teclistamab"


def courses(*ids: str, **columns: object) -> pd.DataFrame:
    """One course per id, each of its own patient, axi-cel for lbcl, 40 days of follow-up; columns replace or add."""
    table = pd.DataFrame({"course_id": list(ids), "patient_id": [f"p-{name}" for name in ids]})
    return table.assign(**{"therapy": AXI, "indication": "lbcl", "follow_up_hours": 960.0} | columns)


def observations(*rows: tuple[object, ...]) -> pd.DataFrame:
    """(course_id, hours, code, value, unit) rows."""
    return pd.DataFrame(list(rows), columns=["course_id", "hours", "code", "value", "unit"])


def events(*rows: tuple[object, ...]) -> pd.DataFrame:
    """(course_id, hours, event, value) rows."""
    return pd.DataFrame(list(rows), columns=["course_id", "hours", "event", "value"])


def cohort(
    table: pd.DataFrame, seen: pd.DataFrame | None = None, charted: pd.DataFrame | None = None, allowed: float = 1.0
) -> Cohort:
    """The cohort of these tables; all rows may be rejected."""
    return cohort_from_frames(
        table, observations() if seen is None else seen, events() if charted is None else charted, allowed
    )


def folder(path: Path, form: str = "csv", rows: int = 10) -> Path:
    """A sound cohort of `rows` courses in a new folder `cohort` below `path`."""
    ids = [f"c{number}" for number in range(rows)]
    seen = observations(*((name, 6.5 * number, "crp", 10.25 + number, "mg/L") for number, name in enumerate(ids)))
    charted = events(*((name, 30, "crs_grade", 2) for name in ids[1:]))
    write_cohort(path / "cohort", courses(*ids), seen, charted, form)  # type: ignore[arg-type]
    return path / "cohort"
