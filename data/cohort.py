"""When the question is asked: index times of each course, and the snapshots seen from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.tables import Cohort
from features.course import HOUR, LATEST_SECONDS, Courses, Event, Observations, Snapshots, whole_seconds
from features.index_times import DOSE_HOURS, INFUSION_HOURS


@dataclass(frozen=True, slots=True)
class IndexSet:
    """k questions, sorted by course and index time.

    course: (k,) int32 position in the cohort. index_seconds, dose_seconds, dose_number: (k,) int64 as in Snapshots.
    layer: (k,) int32, 0 for a course's first index time. name: (k,) text such as "24h" or "dose2+12h".
    """

    course: NDArray[np.int32]
    index_seconds: NDArray[np.int64]
    dose_seconds: NDArray[np.int64]
    dose_number: NDArray[np.int64]
    layer: NDArray[np.int32]
    name: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.course)


@dataclass(frozen=True, slots=True)
class Layer:
    """The number-th index time of every course that has one.

    course: (n,) int32 position in the cohort, ascending. rows: (n,) position in the IndexSet.
    snapshots: exactly these courses in this order. name: (n,) names of the index times.
    """

    number: int
    course: NDArray[np.int32]
    rows: NDArray[np.int64]
    snapshots: Snapshots
    name: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.course)


def index_table(cohort: Cohort) -> IndexSet:
    """0, 24, 48 and 72 h after a single infusion; in a step-up schedule at each dose, and 12 and 24 h after it.

    The first dose is at hour 0 whether charted or not. A question that falls at or after the next dose is not asked:
    the next dose's own takes its place. Index times after the end of follow-up are kept; labels leave them out.
    """
    return _index_set(pd.concat([_single(cohort), _stepped(cohort)], ignore_index=True))


def index_at(cohort: Cohort, hours: Sequence[float]) -> IndexSet:
    """Every course at these different hours from its start, 0 or later, after the latest dose at or before them."""
    seconds = pd.DataFrame({"index": whole_seconds(np.array(hours)).astype(np.int64), "hours": hours})
    asked = pd.concat([_single(cohort).drop_duplicates("course"), _doses(cohort)])[["course", "dose", "number"]]
    table = asked.merge(seconds, how="cross").query("dose <= index")
    latest = table.sort_values(["course", "index", "dose"]).drop_duplicates(["course", "index"], keep="last")
    return _index_set(latest.assign(name=[f"{hour:g}h" for hour in latest["hours"]]))


def _index_set(table: pd.DataFrame) -> IndexSet:
    table = table.sort_values(["course", "index"], kind="stable").reset_index(drop=True)
    return IndexSet(
        course=table["course"].to_numpy(dtype=np.int32),
        index_seconds=table["index"].to_numpy(dtype=np.int64),
        dose_seconds=table["dose"].to_numpy(dtype=np.int64),
        dose_number=table["number"].to_numpy(dtype=np.int64),
        layer=table.groupby("course").cumcount().to_numpy().astype(np.int32),
        name=table["name"].to_numpy(dtype=object),
    )


def _single(cohort: Cohort) -> pd.DataFrame:
    courses = pd.DataFrame({"course": np.flatnonzero(~cohort.step_up), "dose": 0, "number": 1})
    times = pd.DataFrame({"after": INFUSION_HOURS, "name": [f"{hours}h" for hours in INFUSION_HOURS]})
    table = courses.merge(times, how="cross")
    return table.assign(index=table["after"] * HOUR)


def _stepped(cohort: Cohort) -> pd.DataFrame:
    doses = _doses(cohort)
    table = doses.merge(pd.DataFrame({"after": DOSE_HOURS}), how="cross")
    table["index"] = table["dose"] + table["after"] * HOUR
    table["name"] = "dose" + table["number"].astype("str") + "+" + table["after"].astype("str") + "h"
    return table[table["index"] < table["next"]]


def _doses(cohort: Cohort) -> pd.DataFrame:
    """course, dose (seconds), number (from 1), next (seconds of the next dose, or beyond every index time)."""
    given = cohort.events["event"].eq(Event.STEP_DOSE.value) & cohort.events["value"].gt(0)
    charted = cohort.events.loc[given & cohort.events["seconds"].gt(0), ["course", "seconds"]]
    stepped = np.flatnonzero(cohort.step_up)
    first = pd.DataFrame({"course": stepped, "dose": np.zeros(len(stepped), dtype=np.int64)})
    later = charted[charted["course"].isin(stepped)].rename(columns={"seconds": "dose"}).astype("int64")
    doses = pd.concat([first, later]).drop_duplicates().sort_values(["course", "dose"]).reset_index(drop=True)
    doses["number"] = doses.groupby("course").cumcount() + 1
    doses["next"] = doses.groupby("course")["dose"].shift(-1).fillna(LATEST_SECONDS + 1).astype("int64")
    return doses


def layers(cohort: Cohort, index: IndexSet | None = None) -> list[Layer]:
    """One Snapshots per layer. A layer that holds every course shares the cohort's arrays and copies nothing."""
    questions = index or index_table(cohort)
    deepest = int(questions.layer.max(initial=-1))
    return [_layer(cohort, questions, number) for number in range(deepest + 1)]


def _layer(cohort: Cohort, index: IndexSet, number: int) -> Layer:
    rows = np.flatnonzero(index.layer == number)
    course = index.course[rows]
    courses, observations = take_courses(cohort, course)
    snapshots = Snapshots(
        courses, observations, index.index_seconds[rows], index.dose_seconds[rows], index.dose_number[rows]
    )
    return Layer(number, course, rows, snapshots, index.name[rows])


def take_courses(cohort: Cohort, positions: NDArray[np.int32]) -> tuple[Courses, Observations]:
    """The courses at ascending positions, with their observations renumbered; the cohort's own arrays if it is all."""
    if len(positions) == len(cohort):
        return cohort.courses, cohort.observations
    whole, seen = cohort.courses, cohort.observations
    courses = Courses(
        therapy=tuple(whole.therapy[place] for place in positions),
        indication=tuple(whole.indication[place] for place in positions),
        numbers=whole.numbers[positions],
        columns=whole.columns,
    )
    place = np.full(len(cohort), -1, dtype=np.int32)
    place[positions] = np.arange(len(positions), dtype=np.int32)
    renumbered = place[seen.course]
    kept = renumbered >= 0
    return courses, Observations(
        renumbered[kept], seen.code[kept], seen.seconds[kept], seen.value[kept], seen.limit[kept]
    )
