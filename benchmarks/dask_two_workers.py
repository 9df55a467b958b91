"""Cross-validation and training on two local Dask workers against one process: the same bits, and the time.

SYNTHETIC courses. The workers are processes of one thread each on 127.0.0.1; the one process has one thread, too.

    .venv/bin/python benchmarks/dask_two_workers.py --courses 1000
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import distributed
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data import synthetic
from data.tables import cohort_from_frames
from features.catalogue import load
from training.cluster import on_cluster
from training.config import Settings
from training.cross_validation import out_of_fold_scores
from training.designs import recipe_for
from training.train import train


def timed(work: Callable[[], object]) -> tuple[float, object]:
    begin = time.perf_counter()
    found = work()
    return time.perf_counter() - begin, found


def same(one: dict[int, dict[str, np.ndarray]], other: dict[int, dict[str, np.ndarray]]) -> bool:
    return all(score.tobytes() == other[place][name].tobytes() for place in one for name, score in one[place].items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--courses", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=100)
    given = parser.parse_args()
    made, catalogue = synthetic.generate(given.courses, 1, with_truth=False), load()
    cohort = cohort_from_frames(made.courses, made.observations, made.events)
    chosen = Settings(rounds=given.rounds, repeats=2, workers=1, bootstrap=8, interval_resamples=4, test_share=0.0)
    table, recipe, outcomes = recipe_for(cohort, catalogue, chosen, print)
    here, expected = timed(lambda: out_of_fold_scores(table, recipe, outcomes))
    bundle_here, bundle = timed(lambda: train(cohort, "here", chosen, catalogue, lambda _: None).bundle.digest)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, protocol="tcp", host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        begin = time.perf_counter()
        with on_cluster(cluster.scheduler_address):
            print(f"joined in {time.perf_counter() - begin:.1f} s")
            there, found = timed(lambda: out_of_fold_scores(table, recipe, outcomes))
            bundle_there, other = timed(lambda: train(cohort, "here", chosen, catalogue, lambda _: None).bundle.digest)
    for what, one, two in (("cross-validation", here, there), ("training", bundle_here, bundle_there)):
        print(f"{what}: one process {one:.1f} s, two workers {two:.1f} s, ratio {two / one:.2f}")
    print(f"cross-validation has the same bits: {same(expected, found)}; bundle has the same digest: {bundle == other}")
