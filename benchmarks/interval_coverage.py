"""Whether the stated intervals hold the observed frequency, on fresh SYNTHETIC courses, and how wide they are.

For training cohorts of each size, outcome by outcome: 20 bins of equally many fresh rows by predicted probability.
A bin counts as held where its observed frequency lies inside its mean interval, widened by its own 95 % sampling error
(rows of one course count as one).

    .venv/bin/python benchmarks/interval_coverage.py --sizes 200 2000 20000 --fresh 20000
"""

import argparse

import numpy as np
from fresh import Array, World, cohort_of

from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor
from features.rows import Rows
from training.config import Settings
from training.table import Table
from training.train import train

BINS = 20


def held(label: Array, probability: Array, low: Array, high: Array, course: Array) -> tuple[int, float]:
    """How many of the bins are held, and the mean width of the interval."""
    inside = 0
    for rows in np.array_split(np.argsort(probability, kind="stable"), BINS):
        frequency = label[rows].mean()
        error = 1.96 * np.sqrt(max(frequency * (1 - frequency), 1e-9) / len(np.unique(course[rows])))
        inside += low[rows].mean() - error <= frequency <= high[rows].mean() + error
    return inside, float((high - low).mean())


def rows_of(predictor: Predictor, table: Table) -> Rows:
    """The table as the predictor's own rows."""
    evidence = predictor.prior.rows(tuple(table.therapy), tuple(table.indication))
    parts = (table.values, table.prior, table.hours, table.dosing, evidence, table.begun, table.reached)
    return Rows(*parts, tuple(table.therapy))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=(200, 2000, 20_000))
    parser.add_argument("--fresh", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=55)
    given = parser.parse_args()
    world = World.of(given.fresh, 99_003, Settings(bootstrap=0))
    for size in given.sizes:
        trained = train(
            cohort_of(size, given.seed), "synthetic", Settings(bootstrap=0), world.catalogue, lambda _: None
        )
        predictor = Predictor(trained.bundle, world.catalogue)
        fresh = world.seen_by(trained.bundle.spec)
        found = predictor.predict_rows(rows_of(predictor, fresh))
        for place, key in enumerate(OUTCOME_KEYS):
            rows = np.flatnonzero(fresh.usable(place) & ~np.isnan(found.probability[:, place]))
            ends = (found.probability[rows, place], found.low[rows, place], found.high[rows, place])
            inside, width = held(fresh.label[rows, place], *ends, fresh.course[rows])
            basis = "model" if trained.bundle.fitted(key) else "published rate"
            print(f"n {size:6} {key:12} {basis:14} {inside} of {BINS} bins held, mean width {width:.4f}", flush=True)
