"""From a source's entries to the three canonical tables: what belongs to which course, and by when it was known."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.contract import GRADES
from data.source_courses import Course, find_courses
from data.source_frames import NEVER, Source
from data.source_report import COURSES
from features.catalogue import Catalogue
from features.concepts import COURSE_EXTRA, COURSE_WORDS
from features.course import HOUR, LATEST_SECONDS, LOOKBACK_SECONDS, Event
from features.fhir_types import Tally
from features.given import DAY_MICROS, FIRST, age_at

SECOND = 1_000_000
OBSERVATIONS = ("course_id", "hours", "code", "value", "unit", "comparator", "upper_limit")
EVENTS = ("course_id", "hours", "event", "value", "grading", "detail")


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """Three canonical frames, not yet validated, and the tally of the source with what became of its therapies."""

    courses: pd.DataFrame
    observations: pd.DataFrame
    events: pd.DataFrame
    tally: Tally


def canonical(source: Source, catalogue: Catalogue) -> Tables:
    """The tables of all courses that the source holds; empty ones where it holds none.

    What is dated to the day counts as known at the day's end, a therapy dated to the day as given at its beginning, so
    that nothing is seen before it was charted. A diagnosis that is not there is not known, and never "no".
    """
    tally = source.tally.copy()
    found = find_courses(source.entries, catalogue, tally)
    spans = _spans(found)
    entries = _known_at(source.entries).assign(entry=range(len(source.entries)))
    joined = entries.merge(spans, on="person", how="inner")
    inside = joined[joined["at"] < joined["end"]]
    courses = _courses(found, inside, source, catalogue)
    names = courses["course_id"].to_numpy(dtype=object) if len(courses) else np.array([], dtype=object)
    inside = inside.assign(course_id=names[inside["place"].to_numpy()], hours=_hours(inside))
    inside = inside[inside["hours"].between(-LOOKBACK_SECONDS / HOUR, LATEST_SECONDS / HOUR)]
    _count_use(source.entries, inside, tally)
    return Tables(courses, _observations(inside), _events(inside, found, source, names), tally)


def _count_use(entries: pd.DataFrame, inside: pd.DataFrame, tally: Tally) -> None:
    """How many results and events lie within a course, and how many in none; grades before a start are in none."""
    used = inside[~_too_early(inside)].drop_duplicates("entry")["kind"].value_counts()
    for kind, total in entries["kind"].value_counts().items():
        if kind in ("analyte", "event"):
            tally[(COURSES, "in-a-course", str(kind), "")] += int(used.get(kind, 0))
            tally[(COURSES, "in-no-course", str(kind), "")] += int(total) - int(used.get(kind, 0))


def _too_early(inside: pd.DataFrame) -> pd.Series:
    """Grades before the start, which belong to something else."""
    return inside["kind"].eq("event") & inside["key"].isin(GRADES) & inside["hours"].lt(0)


def _spans(found: list[Course]) -> pd.DataFrame:
    never = np.iinfo(np.int64).max
    rows = [(one.person, place, one.start, never if one.end is None else one.end) for place, one in enumerate(found)]
    spans = pd.DataFrame(rows, columns=["person", "place", "start", "end"])
    return spans.astype({"person": "str", "place": "int64", "start": "int64", "end": "int64"})


def _known_at(entries: pd.DataFrame) -> pd.DataFrame:
    """The entries at the time by which they were known: those dated to the day at its end."""
    late = entries["by_day"] & entries["kind"].ne("therapy")
    return entries.assign(at=entries["at"] + np.where(late, DAY_MICROS, 0))


def _hours(inside: pd.DataFrame) -> NDArray[np.float64]:
    """Hours from the start, in whole seconds rounded up."""
    seconds = -(-(inside["at"] - inside["start"]).to_numpy(dtype=np.int64) // SECOND)
    return np.asarray(seconds / HOUR, dtype=np.float64)


def _observations(inside: pd.DataFrame) -> pd.DataFrame:
    return (
        inside[inside["kind"].eq("analyte")].rename(columns={"key": "code"})[list(OBSERVATIONS)].reset_index(drop=True)
    )


def _events(inside: pd.DataFrame, found: list[Course], source: Source, names: NDArray[np.object_]) -> pd.DataFrame:
    """Charted events from the start on or, for what is no grade, before it; later doses and death where not charted."""
    charted = inside[inside["kind"].eq("event") & ~_too_early(inside)]
    charted = charted.rename(columns={"key": "event", "text": "detail"})
    given = charted["value"].where(charted["value"].notna(), 1.0)
    charted = charted.assign(value=given)[list(EVENTS)]
    extra = [*_dose_rows(found, names, charted), *_death_rows(found, names, source, charted)]
    added = pd.DataFrame(extra, columns=list(EVENTS)).astype({"hours": "float64", "value": "float64"})
    return (pd.concat([charted, added]) if extra else charted).reset_index(drop=True)


def _dose_rows(found: list[Course], names: NDArray[np.object_], charted: pd.DataFrame) -> list[tuple[object, ...]]:
    stated = set(charted.loc[charted["event"].eq(Event.STEP_DOSE.value), "course_id"])
    return [
        (name, _apart(at, one.start), Event.STEP_DOSE.value, float(number), "", "")
        for one, name in zip(found, names, strict=True)
        for number, at in enumerate(one.doses, 2)
        if name not in stated and at - one.start <= LATEST_SECONDS * SECOND
    ]


def _death_rows(
    found: list[Course], names: NDArray[np.object_], source: Source, charted: pd.DataFrame
) -> list[tuple[object, ...]]:
    stated = set(charted.loc[charted["event"].eq(Event.DEATH.value), "course_id"])
    death = _deaths(source)
    return [
        (name, _apart(death[one.person], one.start), Event.DEATH.value, 1.0, "", "")
        for one, name in zip(found, names, strict=True)
        if name not in stated and one.start <= death.get(one.person, NEVER) < (one.end or np.iinfo(np.int64).max)
        if death[one.person] - one.start <= LATEST_SECONDS * SECOND
    ]


def _apart(at: int, start: int) -> float:
    return -(-(at - start) // SECOND) / HOUR


def _deaths(source: Source) -> dict[str, int]:
    known = source.people[source.people["death"].ne(NEVER)]
    at = known["death"] + np.where(known["death_by_day"], DAY_MICROS, 0)
    return dict(zip(known["person"], at.tolist(), strict=True))


def _courses(found: list[Course], inside: pd.DataFrame, source: Source, catalogue: Catalogue) -> pd.DataFrame:
    """One row per course. Of what was charted about it before its start, the latest counts."""
    people = source.people.set_index("person")
    last = _follow_up(found, source)
    known = _latest(inside)
    rows = [_course(one, people, known.get(place, {}), last[place], catalogue) for place, one in enumerate(found)]
    columns = ["course_id", "patient_id", "site", "therapy", "indication", "start_time", "sex", "follow_up_hours"]
    table = pd.DataFrame(rows, columns=[*columns, *_numbers(catalogue)])
    return _distinct_names(table)


def _numbers(catalogue: Catalogue) -> list[str]:
    return [name for name in catalogue.course_columns if name != "sex_male"]


def _latest(inside: pd.DataFrame) -> dict[int, dict[tuple[str, str], tuple[float, str]]]:
    """place -> (kind, key) -> (value, text), of the latest entry at or before the start.

    A stated name or follow-up belongs to the course within which it was charted.
    """
    kinds = inside["kind"].isin(("course", "comorbidity", "indication"))
    own = inside["key"].isin(("course_id", *COURSE_EXTRA))
    early = np.where(own, inside["at"] >= inside["start"], inside["at"] <= inside["start"])
    rows = inside[kinds & early].sort_values(["place", "at", "kind", "key", "value", "text"], kind="stable")
    found: dict[int, dict[tuple[str, str], tuple[float, str]]] = {}
    for place, kind, key, value, text, at in zip(
        *(rows[name].tolist() for name in ("place", "kind", "key", "value", "text", "at")), strict=True
    ):
        held = found.setdefault(place, {})
        held[(kind, key)] = (value, text)
        if kind == "indication":
            held[("latest", kind)] = (float(at), key)
    return found


def _course(
    one: Course,
    people: pd.DataFrame,
    known: dict[tuple[str, str], tuple[float, str]],
    follow_up: float,
    catalogue: Catalogue,
) -> dict[str, object]:
    person = people.loc[one.person] if one.person in people.index else None
    words = {key: known[("course", key)][1] for key in COURSE_WORDS if ("course", key) in known}
    stated = {key: value for (kind, key), (value, _) in known.items() if kind == "course" and not np.isnan(value)}
    ill = {key: 1.0 for kind, key in known if kind == "comorbidity"}
    sex = {1.0: "M", 0.0: "F"}.get(stated.pop("sex_male", np.nan), "" if person is None else str(person["sex"]))
    age = {} if person is None else {"age_years": age_at(str(person["birth"]), one.start)}
    start = FIRST + timedelta(microseconds=one.start)
    return {
        "course_id": words.get("course_id") or f"{one.person}-{one.number}",
        "patient_id": words.get("patient_id") or one.person,
        "site": words.get("site", ""),
        "therapy": one.therapy,
        "indication": known.get(("latest", "indication"), (0.0, ""))[1],
        "start_time": start.isoformat(),
        "sex": sex,
        **dict.fromkeys(_numbers(catalogue), np.nan),
        **age,
        **ill,
        "follow_up_hours": follow_up,
        **stated,
    }


def _follow_up(found: list[Course], source: Source) -> list[float]:
    """Hours from each start to the end of the period that holds it, or else the last record; death and the next
    course end it."""
    ends: dict[str, list[tuple[int, int]]] = {}
    for person, first, last in zip(
        *(source.periods[name].tolist() for name in ("person", "first", "last")), strict=True
    ):
        ends.setdefault(person, []).append((first, last))
    death = _deaths(source)
    return [_hours_followed(one, ends.get(one.person, []), source.last_seen, death) for one in found]


def _hours_followed(
    one: Course, periods: list[tuple[int, int]], last_seen: Mapping[str, int], death: Mapping[str, int]
) -> float:
    within = [last for first, last in periods if first <= one.start <= last + DAY_MICROS]
    seen = max(within) if within else last_seen.get(one.person, one.start)
    last = min(seen, death.get(one.person, seen), one.end if one.end is not None else seen)
    return max(last - one.start, 0) // SECOND / HOUR


def _distinct_names(table: pd.DataFrame) -> pd.DataFrame:
    """A stated course_id that stands twice names nothing: those courses are called by person and number instead."""
    twice = table["course_id"].duplicated(keep=False)
    if twice.any():
        table.loc[twice, "course_id"] = [
            f"{name}#{place}" for place, name in enumerate(table.loc[twice, "course_id"], 1)
        ]
    return table
