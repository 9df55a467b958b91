"""A sound synthetic cohort with one fault planted at a time. No row describes a person."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.synthetic import SyntheticCohort
from data.tables import Frames, cohort_from_frames
from features.catalogue import load
from training.diagnose import diagnose
from training.diagnose_findings import Finding

#: Stands for a patient's value; no count or limit contains it.
CANARY = 31415.92653


@dataclass(frozen=True)
class Planted:
    """The three tables of a cohort, and per course_id what came of it."""

    courses: pd.DataFrame
    observations: pd.DataFrame
    events: pd.DataFrame

    @classmethod
    def of(cls, cohort: SyntheticCohort) -> "Planted":
        return cls(cohort.courses.copy(), cohort.observations.copy(), cohort.events.copy())

    @property
    def frames(self) -> Frames:
        return Frames(self.courses, self.observations, self.events)

    @property
    def peak(self) -> pd.Series:
        """course_id -> worst CRS grade, 0 without one."""
        crs = self.events[self.events["event"].eq("crs_grade")].groupby("course_id")["value"].max()
        return crs.reindex(self.courses["course_id"]).fillna(0.0)

    @property
    def onset(self) -> pd.Series:
        """course_id -> hours of the first CRS grade, infinity without one."""
        crs = self.events[self.events["event"].eq("crs_grade")].groupby("course_id")["hours"].min()
        return crs.reindex(self.courses["course_id"]).fillna(np.inf)

    def rows(self, code: str) -> pd.Series:
        return self.observations["code"].eq(code)

    def at_site(self, site: str) -> pd.Series:
        """Observations of courses at that site."""
        named = self.courses.loc[self.courses["site"].eq(site), "course_id"]
        return self.observations["course_id"].isin(named)

    def measured(self, code: str, hours: float, values: pd.Series, unit: str) -> "Planted":
        """One result per course of `values` (by course_id) at that hour, in place of all others of the code."""
        added = pd.DataFrame({"course_id": values.index, "hours": hours, "code": code, "value": values.to_numpy()})
        kept = self.observations[~self.rows(code)]
        return Planted(self.courses, pd.concat([kept, added.assign(unit=unit)], ignore_index=True), self.events)

    def found(self) -> tuple[Finding, ...]:
        cohort = cohort_from_frames(self.courses, self.observations, self.events, allowed_rejected=1.0)
        return diagnose(cohort, self.frames, load())

    def codes(self, severity: str) -> set[tuple[str, str]]:
        """(code, column) of the findings of that severity."""
        return {(one.code, one.column) for one in self.found() if one.severity == severity}
