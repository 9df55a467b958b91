"""What a whole answer costs beside the boosters alone, for one course, as a ratio within one run.

The answer holds guard, row, prior, five outcomes, intervals, reasons, what is missing, the change since the last score
and the published scores; symptoms, look-alikes and guideline pointers stand beside it and are timed apart, too. The
boosters alone: `inplace_predict` and exact `pred_contribs` of that row, for each outcome.

    .venv/bin/python benchmarks/answer_cost.py
    .venv/bin/python benchmarks/answer_cost.py --courses 5000 --profile
"""

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import xgboost

from data import synthetic
from data.tables import read_cohort
from features import catalogue, golden
from features.predict import Predictor
from features.single import snapshots
from serving.answerer import Answerer
from serving.guidance import guidance
from serving.intake import Intake
from serving.look_alikes import look_alikes
from serving.symptoms import shown
from training.config import Settings
from training.train import train

#: Of the golden courses: CAR-T cells at 48 h, three days of values, CRS of grade 1 charted.
FEBRILE = 1
ROUNDS = 15


def answerer(courses: int, seed: int) -> Answerer:
    """One that was trained on that many synthetic courses."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "cohort")
        synthetic.write(folder, synthetic.generate(courses, seed))
        trained = train(read_cohort(folder), "synthetic", Settings(bootstrap=0), catalogue.load(), print)
    return Answerer(Predictor(trained.bundle, catalogue.load()), "1")


def boosters_alone(held: Predictor, intake: Intake) -> Callable[[], None]:
    row = held.builder.build(snapshots(held.catalogue, [intake.course])).values

    def run() -> None:
        matrix = xgboost.DMatrix(row, nthread=1)
        for booster in held.boosters.values():
            booster.inplace_predict(row, predict_type="margin")
            booster.predict(matrix, pred_contribs=True, validate_features=False)

    return run


def beside(held: Answerer, intake: Intake) -> Callable[[], None]:
    """What the answer holds that is neither a risk, its reasons, what it lacks, nor a score."""

    def run() -> None:
        shown(intake.symptoms)
        look_alikes(held.catalogue, intake.course, intake.comparators)
        guidance(intake.course, False)

    return run


def milliseconds(work: Callable[[], object], times: int = 60) -> float:
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times * 1e3


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--courses", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    served = answerer(given.courses, given.seed)
    intake = Intake("golden", golden.courses(served.catalogue)[FEBRILE], ())
    alone, whole = boosters_alone(served.predictor, intake), lambda: served.answer([intake])
    trees = [booster.num_boosted_rounds() for booster in served.predictor.boosters.values()]
    more = beside(served, intake)
    pairs = np.array([(milliseconds(alone), milliseconds(whole), milliseconds(more)) for _ in range(ROUNDS)])
    ratio = np.median(pairs[:, 1] / pairs[:, 0])
    named = np.median((pairs[:, 1] - pairs[:, 2]) / pairs[:, 0])
    print(f"trees {trees}, {len(intake.course.observations)} observations and events")
    print(f"boosters alone {np.median(pairs[:, 0]):.2f} ms, whole answer {np.median(pairs[:, 1]):.2f} ms")
    print(
        f"whole / alone {ratio:.2f} (aim 3), over the rounds {np.round(np.sort(pairs[:, 1] / pairs[:, 0]), 2).tolist()}"
    )
    print(f"without symptoms, look-alikes and guidance ({np.median(pairs[:, 2]):.2f} ms): {named:.2f}")
    if given.profile:
        with cProfile.Profile() as profile:
            milliseconds(whole, 500)
        pstats.Stats(profile).sort_stats("cumtime").print_stats("(features|serving)/", 40)
