"""`crs score`: a bundle's answers for every course of a cohort at its index times, from Parquet to Parquet.

The numbers are those of the service, bit for bit; what the service does not evaluate has none here either. Courses are
read, scored and written a part at a time.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as arrow_parquet
from numpy.typing import NDArray

from data.cohort import index_at, index_table, layers
from data.parts import PART_COURSES, cohort_parts, observation_rows
from data.tables import Cohort
from features import bundle
from features.catalogue import load
from features.course import HOUR, LATEST_SECONDS
from features.errors import UsageError
from features.home import Home, read_live
from features.outcomes import OUTCOMES
from features.predict import Predictor
from training.cluster import in_turn
from training.score_status import Asked, not_evaluated, statuses

Array = NDArray[np.float64]
Texts = NDArray[np.object_]
EVALUATED = "evaluated"
#: Observations of a cohort from which its parts are worth processes; below, their start costs more than it gains.
HEAVY_OBSERVATIONS = 2_500_000


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of `crs score`. version: a number or alias, "" for the one that is live. hours: () for the index
    times that training uses. courses: of one part. workers: parts side by side."""

    cohort: Path
    out: Path
    version: str = ""
    hours: tuple[float, ...] = ()
    courses: int = PART_COURSES
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Scorer:
    """A bundle that answers parts of a cohort."""

    predictor: Predictor
    version: str
    hours: tuple[float, ...] = ()

    @classmethod
    def of(cls, home: Home, request: Request, uri: str | None) -> "Scorer":
        """StoreError or UsageError where no version is live, or none is of that name; BundleError for a damaged one."""
        from training import tracking

        live = None if request.version else read_live(home)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "bundle"
            found = tracking.fetch(home, live.version if live else request.version, folder, uri)
            held = bundle.read(folder, live.digest if live else found.digest)
        return cls(Predictor(held, load()), found.version, request.hours)

    def rows(self, cohort: Cohort) -> pa.Table:
        """One row per course and index time, in that order."""
        index = index_at(cohort, self.hours) if self.hours else index_table(cohort)
        shape = (len(index), len(OUTCOMES))
        probability, low, high = (np.full(shape, np.nan) for _ in range(3))
        status, why = np.full(shape, "", dtype=object), np.full(len(index), "", dtype=object)
        for layer in layers(cohort, index):
            found = self.predictor.predict(layer.snapshots)
            asked = Asked.of(layer.snapshots, self.predictor)
            why[layer.rows] = not_evaluated(asked)
            status[layer.rows] = statuses(asked, why[layer.rows], found.rows.reached, found.probability)
            probability[layer.rows], low[layer.rows], high[layer.rows] = found.probability, found.low, found.high
        columns: dict[str, Any] = {
            "course_id": pa.array(np.asarray(cohort.course_ids, dtype=object)[index.course], pa.string()),
            "index": pa.array(index.name, pa.string()),
            "hours_since_start": pa.array(index.index_seconds / HOUR),
            "hours_since_dose": pa.array((index.index_seconds - index.dose_seconds) / HOUR),
            "dose_number": pa.array(index.dose_number),
            "not_evaluated": pa.array(why, pa.string(), mask=why == ""),
        }
        for place in range(len(OUTCOMES)):
            columns |= self._outcome(place, status[:, place], probability[:, place], low[:, place], high[:, place])
        columns["version"] = pa.array([self.version] * len(index), pa.string())
        columns["bundle"] = pa.array([self.predictor.digest] * len(index), pa.string())
        return pa.table(columns)

    def _outcome(self, place: int, status: Texts, probability: Array, low: Array, high: Array) -> dict[str, pa.Array]:
        """The columns of one outcome; a number or a band stands only where the status is evaluated."""
        key, none = OUTCOMES[place].key, status != EVALUATED
        bands = [self.predictor.bundle.policy.band(key, one) for one in probability.tolist()]
        numbers = {"probability": probability, "low": low, "high": high}
        return {
            f"{key}.status": pa.array(status, pa.string()),
            **{f"{key}.{name}": pa.array(held, pa.float64(), mask=none) for name, held in numbers.items()},
            f"{key}.band": pa.array(np.array(bands, dtype=object), pa.string(), mask=none),
        }


def check_hours(hours: Sequence[float]) -> tuple[float, ...]:
    """The hours in rising order, each once. UsageError for one before the start or later than any question."""
    latest = LATEST_SECONDS / HOUR
    if not all(0 <= one <= latest for one in hours):
        raise UsageError(
            "--index-hours", "not hours at which a course is looked at", f"give hours from 0 to {latest:g}"
        )
    return tuple(sorted(set(hours)))


def parse_hours(text: str) -> tuple[float, ...]:
    """Hours such as "0,24,48"; () for "". UsageError for anything else."""
    try:
        return check_hours([float(word) for word in text.split(",")] if text else [])
    except ValueError as error:
        raise UsageError("--index-hours", "not numbers", "write them as 0,24,48") from error


def score(home: Home, request: Request, uri: str | None) -> int:
    """Write the answers; returns how many rows. Nothing stands at `out` unless all of it does."""
    scorer = Scorer.of(home, request, uri)
    heavy = observation_rows(request.cohort) >= HEAVY_OBSERVATIONS
    with cohort_parts(request.cohort, request.courses) as parts:
        return write(request.out, in_turn(score_part, (scorer,), parts, request.workers, heavy))


def score_part(scorer: Scorer, part: Cohort) -> pa.Table:
    """One task: the rows of one part."""
    return scorer.rows(part)


def write(out: Path, tables: Iterator[pa.Table]) -> int:
    """Write tables of one form under one another, in one renaming; returns how many rows."""
    rows = 0
    first = next(tables)
    with _draft(out) as draft, arrow_parquet.ParquetWriter(draft, first.schema, compression="zstd") as file:
        for table in chain([first], tables):
            file.write_table(table)
            rows += len(table)
    return rows


@contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """A hidden file that takes the name of `out` once it is whole and on the disk."""
    descriptor, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}-")
    os.close(descriptor)
    draft = Path(name)
    try:
        yield draft
        draft.chmod(0o644)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
