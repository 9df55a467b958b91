"""`crs train` on a million rows against a bare xgboost.train of the very same boosters, and its peak memory.

The cohort is SYNTHETIC: 5,000 generated courses, repeated under new names with 1 % of noise on their laboratory values.
"train" is all that `crs train` does once a cohort is read: rows, folds, boosters, calibration, baselines, figures,
intervals, bundle. "bare" makes an xgboost.DMatrix of the same rows and calls xgboost.train with the same parameters,
folds and rounds, and does nothing else; its rows and starting points are made before the clock starts. Each runs in a
process of its own. Seconds are of the processor, because other work on the machine distorts a clock; both are printed.

    .venv/bin/python benchmarks/training_throughput.py --rows 1000000 --rounds 40
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import xgboost

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pandas as pd

from data import synthetic
from data.tables import Cohort, cohort_from_frames
from features.catalogue import load
from features.course import Courses, Observations
from features.pooling import pool
from features.prior import Prior
from training.assemble import assemble
from training.config import Settings
from training.evaluate import Recipe
from training.fit import Task, parameters
from training.table import fold_of_rows
from training.train import train

GENERATED = 5000


def repeated(rows: int, seed: int = 1) -> Cohort:
    """A cohort of about that many rows."""
    made = synthetic.generate(GENERATED, seed, with_truth=False)
    one = cohort_from_frames(made.courses, made.observations, made.events)
    copies = max(1, round(rows / 28_100))  # 5,000 courses are about 28,100 rows
    seen, courses, n = one.observations, one.courses, len(one)
    random = np.random.default_rng(seed)
    own = np.repeat(np.arange(copies, dtype=np.int32) * n, len(seen))
    measured = np.tile(seen.code, copies) < len(load().analytes)
    noise = 1 + 0.01 * random.standard_normal(len(own)) * measured
    names = np.array([f"{name}-{copy:05d}" for copy in range(copies) for name in one.course_ids], dtype=object)
    patients = np.array([f"{name}-{copy:05d}" for copy in range(copies) for name in one.patient_ids], dtype=object)
    parts = [one.events.assign(course=one.events["course"] + copy * n) for copy in range(copies)]
    return replace(
        one,
        courses=Courses(
            courses.therapy * copies,
            courses.indication * copies,
            np.tile(courses.numbers, (copies, 1)),
            courses.columns,
        ),
        observations=Observations(
            np.tile(seen.course, copies) + own,
            np.tile(seen.code, copies),
            np.tile(seen.seconds, copies),
            np.tile(seen.value, copies) * noise,
            np.tile(seen.limit, copies),
        ),
        events=pd.concat(parts, ignore_index=True),
        course_ids=names,
        patient_ids=patients,
        sites=np.tile(one.sites, copies),
        start_time=np.tile(one.start_time, copies),
        follow_up_seconds=np.tile(one.follow_up_seconds, copies),
        step_up=np.tile(one.step_up, copies),
    )


def peak() -> float:
    """Mebibytes, the most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_train(rows: int, settings: Settings) -> dict[str, object]:
    cohort = repeated(rows)
    before, begin, cpu = peak(), time.perf_counter(), time.process_time()
    trained = train(cohort, "repeated", settings, load(), lambda line: print(line, file=sys.stderr, flush=True))
    columns = len(trained.bundle.spec.columns)
    trees = dict.fromkeys(trained.bundle.calibration, 0)
    for key, body in trained.bundle.boosters.items():
        booster = xgboost.Booster()
        booster.load_model(bytearray(body))
        trees[key] = booster.num_boosted_rounds()
    return {
        "rows": trained.table_rows,
        "columns": columns,
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - begin,
        "baseline_mib": before,
        "peak_over_baseline_mib": peak() - before,
        "matrix_mib": trained.table_rows * columns * 4 / 2**20,
        "trees": trees,
    }


def run_bare(rows: int, settings: Settings, trees: dict[str, int]) -> dict[str, object]:
    cohort, catalogue = repeated(rows), load()
    evidence = pool(catalogue)
    table, spec, _ = assemble(cohort, Prior(evidence), catalogue, settings.workers)
    del cohort
    recipe = Recipe(spec, evidence, catalogue, settings)
    cpu = wall = 0.0
    for place, rounds in enumerate(trees.values()):
        task = Task.of(table, recipe.plan(table, place, settings.seed), None)
        fold_of = fold_of_rows(task.patient, task.label.astype(np.int64), settings.folds, settings.seed)
        fits = [(fold_of != fold, settings.rounds) for fold in range(settings.folds)]
        if rounds:
            fits.append((np.ones(len(task), dtype=bool), rounds))
        for which, most in fits:
            part = task.take(which)
            values, margin = part.cells.block(0, len(part)), part.margin(part.start())
            began, started = time.process_time(), time.perf_counter()
            matrix = xgboost.DMatrix(values, label=part.label, base_margin=margin, nthread=1)
            xgboost.train(parameters(spec, settings), matrix, most)
            cpu += time.process_time() - began
            wall += time.perf_counter() - started
    return {"cpu": cpu, "wall": wall}


def child(way: str, given: argparse.Namespace, trees: str = "") -> dict[str, object]:
    words = [sys.executable, __file__, "--way", way, "--rows", str(given.rows), "--rounds", str(given.rounds)]
    words += ["--folds", str(given.folds), "--workers", str(given.workers), "--trees", trees]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    print(way, json.dumps(found), flush=True)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--memory-only", action="store_true")
    parser.add_argument("--way", choices=("train", "bare"))
    parser.add_argument("--trees", default="")
    given = parser.parse_args()
    chosen = Settings(rounds=given.rounds, folds=given.folds, workers=given.workers, learning_rate=0.1, test_share=0.0)
    if given.way == "train":
        print(json.dumps(run_train(given.rows, chosen)))
    elif given.way == "bare":
        print(json.dumps(run_bare(given.rows, chosen, json.loads(given.trees))))
    else:
        ours = child("train", given)
        memory = float(str(ours["peak_over_baseline_mib"])) / float(str(ours["matrix_mib"]))
        print(f"peak memory over the read cohort / matrix = {memory:.2f} (limit 2.5)", flush=True)
        if not given.memory_only:
            bare = child("bare", given, json.dumps(ours["trees"]))
            for kind in ("cpu", "wall"):
                print(f"train / bare, {kind} = {float(str(ours[kind])) / float(str(bare[kind])):.2f} (limit 1.5)")
