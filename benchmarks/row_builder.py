"""What the row-builder costs, as ratios within one run.

1. One course against one `Booster.inplace_predict` of one row (300 trees, depth 4).
2. A million courses with 40 observations each against a Polars group-by of the same statistics, with peak memory.

    .venv/bin/python benchmarks/row_builder.py            # both
    .venv/bin/python benchmarks/row_builder.py --courses 100000
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xgboost
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from features import catalogue, pooling, prior, spec
from features.course import DAY, HOUR, Courses, Observations, Snapshots
from features.rows import RowBuilder

PER_COURSE = 40
ANALYTES = 10
INDEX_SECONDS = 2 * DAY


def make(courses: int, seed: int) -> Snapshots:
    """Courses with `PER_COURSE` observations of `ANALYTES` analytes each, in the order in which a table holds them."""
    table = catalogue.load()
    random = np.random.default_rng(seed)
    m = courses * PER_COURSE
    observations = Observations(
        course=np.repeat(np.arange(courses, dtype=np.int32), PER_COURSE),
        code=random.integers(0, ANALYTES, m).astype(np.int16),
        seconds=random.integers(-5 * DAY, 4 * DAY, m).astype(np.int32),
        value=random.lognormal(3, 1, m),
        limit=np.full(m, np.nan),
    )
    columns = table.course_columns
    numbers = random.normal(size=(courses, len(columns)))
    held = Courses(("axicabtagene-ciloleucel",) * courses, ("dlbcl",) * courses, numbers, columns)
    index = np.full(courses, INDEX_SECONDS, dtype=np.int64)
    return Snapshots(held, observations, index, np.zeros(courses, np.int64), np.ones(courses, np.int64))


def builder() -> RowBuilder:
    table = catalogue.load()
    return RowBuilder(spec.full(table), prior.Prior(pooling.pool(table)), table)


def polars_statistics(snapshots: Snapshots) -> object:
    """Last, first, baseline, worst, change, hours since last and first, per course and analyte, on all cores."""
    import polars as pl

    seen = snapshots.observations
    frame = pl.DataFrame({"course": seen.course, "code": seen.code, "seconds": seen.seconds, "value": seen.value})
    value = pl.col("value")
    return (
        frame.lazy()
        .filter((pl.col("seconds") <= INDEX_SECONDS) & (pl.col("seconds") >= -30 * DAY))
        .sort("course", "code", "seconds", "value")
        .group_by("course", "code", maintain_order=False)
        .agg(
            last=value.last(),
            first=value.first(),
            worst=value.max(),
            change=value.last() - value.first(),
            age=(INDEX_SECONDS - pl.col("seconds").last()) / HOUR,
            since_first=(INDEX_SECONDS - pl.col("seconds").first()) / HOUR,
            baseline=value.filter(pl.col("seconds") <= 0).last(),
        )
        .collect()
    )


def polars_unsorted(snapshots: Snapshots) -> object:
    """The same without a sort of the whole table: first and last by arg_min and arg_max of the time."""
    import polars as pl

    seen = snapshots.observations
    frame = pl.DataFrame({"course": seen.course, "code": seen.code, "seconds": seen.seconds, "value": seen.value})
    value, seconds = pl.col("value"), pl.col("seconds")
    last, first = value.get(seconds.arg_max()), value.get(seconds.arg_min())
    return (
        frame.lazy()
        .filter((seconds <= INDEX_SECONDS) & (seconds >= -30 * DAY))
        .group_by("course", "code")
        .agg(
            last=last,
            first=first,
            worst=value.max(),
            change=last - first,
            age=(INDEX_SECONDS - seconds.max()) / HOUR,
            since_first=(INDEX_SECONDS - seconds.min()) / HOUR,
            baseline=value.filter(seconds <= 0).get(seconds.filter(seconds <= 0).arg_max(), null_on_oob=True),
        )
        .collect()
    )


def microseconds(work: Callable[[], object], repeats: int) -> float:
    """Median time of one call."""
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken) * 1e6


def one_course() -> None:
    made = builder()
    one = make(1, 0)
    row = made.build(one).values
    booster = _booster(row.shape[1])
    build_us, predict_us = [], []
    for _ in range(20):  # interleaved, so that a noisy neighbour meets both
        build_us.append(microseconds(lambda: made.build(one), 200))
        predict_us.append(microseconds(lambda: booster.inplace_predict(row), 200))
    built, predicted = statistics.median(build_us), statistics.median(predict_us)
    print(
        f"one course: row {built:.0f} us, inplace_predict {predicted:.0f} us, ratio {built / predicted:.2f} (limit 1.5)"
    )


def _booster(columns: int) -> xgboost.Booster:
    random = np.random.default_rng(0)
    values: NDArray[np.float32] = random.normal(size=(5000, columns)).astype(np.float32)
    label = (values[:, 0] + random.normal(size=5000) > 0).astype(float)
    parameters = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1}
    return xgboost.train(parameters, xgboost.DMatrix(values, label), 300)


def many_courses(courses: int) -> None:
    """Each way runs in a process of its own, so that its peak memory is its own."""
    times = {}
    for way in ("rows", "polars", "polars-unsorted", "rows", "polars", "polars-unsorted"):
        out = subprocess.run(
            [sys.executable, __file__, "--way", way, "--courses", str(courses)],
            check=True,
            capture_output=True,
            text=True,
        )
        seconds, memory = (float(word) for word in out.stdout.split())
        times.setdefault(way, []).append(seconds)
        print(f"{way}: {seconds:.2f} s, peak {memory:.2f} GiB")
    best = {way: min(taken) for way, taken in times.items()}
    for other in ("polars", "polars-unsorted"):
        print(f"{courses} courses: rows / {other} = {best['rows'] / best[other]:.2f} (limit 2)")


def one_way(way: str, courses: int) -> None:
    snapshots = make(courses, 1)
    made = builder()
    begin = time.perf_counter()
    if way == "rows":
        made.build(snapshots, workers=os.cpu_count() or 1)
    elif way == "polars":
        polars_statistics(snapshots)
    else:
        polars_unsorted(snapshots)
    taken = time.perf_counter() - begin
    print(taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--courses", type=int, default=1_000_000)
    parser.add_argument("--way", choices=("rows", "polars", "polars-unsorted"))
    given = parser.parse_args()
    if given.way:
        one_way(given.way, given.courses)
    else:
        one_course()
        many_courses(given.courses)
