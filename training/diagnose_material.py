"""What the data checks look at: a cohort's cells before any value is refused, its values at the start, its labels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.clock import UNKNOWN_START, row_seconds
from data.cohort import Layer, layers
from data.labels import Labels, label_layers
from data.sieve import Sieve, numbers, words
from data.tables import Cohort, Frames
from features.catalogue import Catalogue, fold_unit
from features.course import HOUR
from training.diagnose_policy import limits

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
#: A fixed seed: the same data get the same findings.
SEED = 20261121


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """m results sorted by course, column and time, in the canonical unit by the unit they state.

    Results that reading refuses as negative or implausible are here; those without a course, number, known code, known
    unit or time are not. course, column: (m,) positions. hours: (m,) from the start.
    """

    course: Ints
    column: Ints
    hours: Floats
    value: Floats

    def take(self, kept: Mask) -> "Cells":
        return Cells(self.course[kept], self.column[kept], self.hours[kept], self.value[kept])


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """A cohort of n courses as the checks see it.

    names, tables: (k,) columns and the table each stands in; the first ones are those of `cells`.
    start: (n, k) last value at or before the start, NaN where there is none. label: (n, 5) as asked at the start.
    single: (n,) the first course of each patient: tests count one course of a patient. drawn: (n,) those of them that
    are shuffled, evenly from the sites where there are very many. stratum: (n,) courses of one site, therapy and
    indication. onset: (n,) hours of the first charted CRS, or infinity. came: analyte -> rows of these courses in the
    table as it came.
    """

    cohort: Cohort
    catalogue: Catalogue
    cells: Cells
    names: tuple[str, ...]
    tables: tuple[str, ...]
    start: Floats
    layers: tuple[Layer, ...]
    labels: tuple[Labels, ...]
    single: Mask
    drawn: Mask
    stratum: Ints
    onset: Floats
    came: Mapping[str, int]

    @property
    def label(self) -> Floats:
        return self.labels[0].value

    def __len__(self) -> int:
        return len(self.cohort)

    def sites(self) -> Iterator[tuple[str, Mask]]:
        """Each named site with its courses, where there are at least two sites."""
        known = sorted(set(self.cohort.sites) - {""})
        for site in known if len(known) > 1 else ():
            yield site, self.cohort.sites == site


def material(cohort: Cohort, frames: Frames, catalogue: Catalogue) -> Material:
    """Gather what the checks need, once."""
    cells = cells_of(cohort, frames.observations, catalogue)
    asked = layers(cohort)
    analytes, fixed = tuple(catalogue.analytes), cohort.courses.columns
    single = _first_of_each(folded(cohort.patient_ids))
    start = np.column_stack([last_values(cells, len(cohort), len(analytes), -np.inf, 0.0), cohort.courses.numbers])
    return Material(
        cohort=cohort,
        catalogue=catalogue,
        cells=cells,
        names=(*analytes, *fixed),
        tables=("observations",) * len(analytes) + ("courses",) * len(fixed),
        start=start,
        layers=tuple(asked),
        labels=tuple(label_layers(cohort, asked)),
        single=single,
        drawn=_evenly(single, cohort.sites, int(limits()["shuffled_courses"])),
        stratum=_numbered(cohort.sites, cohort.courses.therapy, cohort.courses.indication),
        onset=first_hours(cohort, "crs_grade"),
        came=_came(cohort, frames.observations, catalogue),
    )


def _came(cohort: Cohort, raw: pd.DataFrame, catalogue: Catalogue) -> dict[str, int]:
    rows = words(raw["code"])[words(raw["course_id"]).isin(cohort.course_ids).to_numpy()].value_counts()
    found: dict[str, int] = {}
    for code, count in rows.items():
        analyte = catalogue.find_analyte(str(code))
        if analyte:
            found[analyte.key] = found.get(analyte.key, 0) + int(count)
    return found


def last_values(cells: Cells, courses: int, columns: int, after: float, until: float) -> Floats:
    """(courses, columns) last value in (after, until] hours, NaN where there is none."""
    found = np.full((courses, columns), np.nan)
    seen = cells.take((cells.hours > after) & (cells.hours <= until))
    found[seen.course, seen.column] = seen.value  # in order of time, so that the last one stays
    return found


def first_hours(cohort: Cohort, event: str) -> Floats:
    """(n,) hours of the first charted time of an event with a value above 0, infinity where there is none."""
    rows = cohort.events[cohort.events["event"].eq(event) & cohort.events["value"].gt(0)]
    rows = rows[rows["seconds"].notna()]
    first = np.full(len(cohort), np.inf)
    np.minimum.at(first, rows["course"].to_numpy(dtype=np.int64), rows["seconds"].to_numpy() / HOUR)
    return first


def peak_grades(cohort: Cohort, event: str) -> Floats:
    """(n,) worst grade of the event charted at any time, timed or not; 0 without one."""
    rows = cohort.events[cohort.events["event"].eq(event)]
    peak = np.zeros(len(cohort))
    np.maximum.at(peak, rows["course"].to_numpy(dtype=np.int64), rows["value"].to_numpy(dtype=np.float64))
    return peak


def folded(ids: NDArray[np.object_]) -> NDArray[np.object_]:
    """Ids without blanks and capitals."""
    return np.array(["".join(one.split()).casefold() for one in ids], dtype=object)


def _first_of_each(ids: NDArray[np.object_]) -> Mask:
    return ~pd.Series(ids).duplicated().to_numpy()


def _evenly(single: Mask, sites: NDArray[np.object_], most: int) -> Mask:
    """At most `most` of the courses, as many from each site as can be."""
    rows = np.flatnonzero(single)
    mixed = pd.Series(np.random.default_rng(SEED).permutation(rows))
    turn = mixed.groupby(sites[mixed]).cumcount().to_numpy()
    drawn = np.zeros(len(single), dtype=bool)
    drawn[mixed.to_numpy()[np.argsort(turn, kind="stable")[:most]]] = True
    return drawn


def _numbered(*columns: object) -> Ints:
    frame = pd.DataFrame({str(place): np.asarray(column, dtype=object) for place, column in enumerate(columns)})
    return np.asarray(frame.groupby(list(frame.columns), sort=False).ngroup(), dtype=np.int64)


def cells_of(cohort: Cohort, raw: pd.DataFrame, catalogue: Catalogue) -> Cells:
    """The cells of a cohort. raw: its observations as they came."""
    course = pd.Index(cohort.course_ids).get_indexer(pd.Index(words(raw["course_id"]).to_numpy(dtype=object)))
    starts = np.where(np.isnat(cohort.start_time), UNKNOWN_START, cohort.start_time.astype(np.int64))
    hours = row_seconds(raw, np.maximum(course, 0), starts, Sieve("observations", len(raw))) / HOUR
    column, value = _canonical(raw, catalogue)
    kept = (course >= 0) & (column >= 0) & np.isfinite(hours) & np.isfinite(value)
    order = np.flatnonzero(kept)[np.lexsort((value[kept], hours[kept], column[kept], course[kept]))]
    return Cells(course[order].astype(np.int64), column[order], hours[order], value[order])


def _canonical(raw: pd.DataFrame, catalogue: Catalogue) -> tuple[Ints, Floats]:
    """(rows,) position of the analyte, -1 where unknown, and the value by its stated unit, NaN where refused."""
    place = {key: number for number, key in enumerate(catalogue.analytes)}
    value, _ = numbers(raw["value"])
    pair = raw.groupby(["code", "unit"], dropna=False, sort=False).ngroup().to_numpy()
    _, first = np.unique(pair, return_index=True)
    codes, units = words(raw["code"].iloc[first]), words(raw["unit"].iloc[first])
    column, factor, offset = np.full(len(first), -1), np.full(len(first), np.nan), np.zeros(len(first))
    for number, (code, unit) in enumerate(zip(codes, units, strict=True)):
        analyte = catalogue.find_analyte(code)
        rule = analyte.units.get(fold_unit(unit)) if analyte else None
        if analyte and rule:
            column[number], factor[number], offset[number] = place[analyte.key], rule.factor, rule.offset
    if not len(first):
        return np.zeros(0, dtype=np.int64), value
    return column[pair].astype(np.int64), value * factor[pair] + offset[pair]
