"""Events of an extract: peak grades with onset and peak day, daily grades, treatments.

Peak grades: a peak of 0, or none, is no event. Otherwise
- onset and peak day known: grade 1 at the onset, the peak grade on its day; on the same day the peak alone;
- only the onset known: grade 1 at the onset, and a higher peak without a time;
- only the peak day known: the peak grade on its day;
- neither known, or the peak before the onset: the peak without a time (and grade 1 at a known onset).
Daily grades: an event on each day whose highest grade differs from that of the charted day before (0 before the first).
"""

import numpy as np
import pandas as pd

from data.extract import Extract
from data.mapping_spec import DailyGrade, Mapping, PeakGrade, Treatment
from data.report import NOTED, Finding
from data.sieve import numbers
from features.course import Event

COLUMNS = ["course", "hours", "event", "value", "grading"]


def extract_events(extract: Extract, hours: pd.Series, mapping: Mapping) -> tuple[pd.DataFrame, list[Finding]]:
    """Events by course number, and what was noted. hours: (n,) time of each row of the extract."""
    findings: list[Finding] = []
    frames = [_peaks(extract, peak, mapping, findings) for peak in mapping.peak_grade]
    frames += [_daily(extract, hours, daily, findings) for daily in mapping.daily_grade]
    frames += [_treatments(extract, hours, one, mapping) for one in mapping.treatment]
    frames = [frame for frame in frames if len(frame)]
    return (pd.concat(frames, ignore_index=True) if frames else _events(pd.DataFrame(), "", "")), findings


def _events(rows: pd.DataFrame, event: str, grading: str) -> pd.DataFrame:
    given = rows.reindex(columns=["course", "hours", "value"]).astype({"hours": "float64", "value": "float64"})
    return given.assign(event=event, grading=grading)[COLUMNS]


def _first_number(extract: Extract, column: str) -> pd.Series:
    """course -> the first number of the column, NaN where there is none."""
    values = numbers(extract.rows[column])[0] if column else np.full(len(extract.rows), np.nan)
    return pd.Series(values).groupby(extract.course).first()


def _peaks(extract: Extract, peak: PeakGrade, mapping: Mapping, findings: list[Finding]) -> pd.DataFrame:
    days = mapping.time.hours_per_day
    table = (
        pd.DataFrame(
            {
                "value": _first_number(extract, peak.grade),
                "onset": _first_number(extract, peak.onset_day) * days,
                "hours": _first_number(extract, peak.peak_day) * days,
            }
        )
        .rename_axis("course")
        .reset_index()
    )
    ill = table[table["value"] >= 1].copy()
    backwards = ill["hours"] < ill["onset"]
    ill.loc[backwards, "hours"] = np.nan
    _note(findings, "peak-before-onset", peak.peak_day, int(backwards.sum()), "the peak's time counts as unknown")
    at_onset = ill["hours"].isna() & ill["onset"].notna() & ill["value"].eq(1)
    ill.loc[at_onset, "hours"] = ill.loc[at_onset, "onset"]
    _note(findings, "peak-at-onset", peak.grade, int(at_onset.sum()), "a peak of 1 without a day is at the onset")
    _note(findings, "peak-without-time", peak.grade, int(ill["hours"].isna().sum()), "serves the first index time only")
    onset = ill[ill["onset"].notna() & ill["onset"].ne(ill["hours"])].assign(value=1.0)
    onset = onset.drop(columns="hours").rename(columns={"onset": "hours"})
    return _events(pd.concat([onset, ill], ignore_index=True), peak.event, peak.grading)


def _daily(extract: Extract, hours: pd.Series, daily: DailyGrade, findings: list[Finding]) -> pd.DataFrame:
    grade = numbers(extract.rows[daily.column])[0]
    broken = np.isfinite(grade) & (grade != np.floor(grade))
    if daily.rounding != "none":
        grade = np.floor(grade) if daily.rounding == "floor" else np.ceil(grade)
        _note(findings, f"grade-{daily.rounding}", daily.column, int(broken.sum()), "a broken daily grade was rounded")
    table = pd.DataFrame({"course": extract.course, "hours": hours, "value": grade}).dropna()
    table = table.groupby(["course", "hours"])[["value"]].max().reset_index()
    # Days before the start are compared among themselves: a grade that goes on over the start is charted at the start.
    before = table.groupby(["course", table["hours"].ge(0)])["value"].shift().fillna(0.0)
    return _events(table[table["value"].ne(before)], daily.event, daily.grading)


def _treatments(extract: Extract, hours: pd.Series, one: Treatment, mapping: Mapping) -> pd.DataFrame:
    chosen = np.isin(extract.block, one.blocks) if one.blocks else np.ones(len(extract.rows), dtype=bool)
    at = hours if one.kind == "daily" else pd.Series(numbers(extract.rows[one.day])[0]) * mapping.time.hours_per_day
    table = pd.DataFrame({"course": extract.course, "hours": at, "value": numbers(extract.rows[one.column])[0]})
    return _events(table[chosen & table["value"].gt(0)], Event(one.event).value, "")


def _note(findings: list[Finding], rule: str, column: str, rows: int, remedy: str) -> None:
    if rows:
        findings.append(Finding(NOTED, rule, "extract", column, rows, remedy))
