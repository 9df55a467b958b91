"""How much of what can be known the model finds, on SYNTHETIC courses whose true risk is known.

Trains on one cohort and judges on a fresh one, per outcome and index time: (AUROC - 0.5) of the model over that of the
true risk, calibration slope and ICI. What is short of the aims is marked.

    .venv/bin/python benchmarks/synthetic_recovery.py --train 20000 --test 20000
    .venv/bin/python benchmarks/synthetic_recovery.py --train 2000 --test 20000 --share 0.85
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data import synthetic
from data.tables import read_cohort
from features import bundle
from features.catalogue import load
from training.config import Settings
from training.evaluate import Result, judge_bundle
from training.train import train

SLOPES, LARGEST_ICI = (0.9, 1.1), 0.02


def results_of(train_courses: int, test_courses: int, seeds: tuple[int, int], bootstrap: int) -> list[Result]:
    """Train on the first seed's cohort, judge on the second's."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = Path(scratch, "train"), Path(scratch, "test")
        for folder, courses, seed in zip(folders, (train_courses, test_courses), seeds, strict=True):
            synthetic.write(folder, synthetic.generate(courses, seed))
        trained = train(read_cohort(folders[0]), "synthetic", Settings(bootstrap=0), load(), print)
        bundle.write(trained.bundle, Path(scratch, "bundle"))
        settings = Settings(bootstrap=bootstrap)
        truth = folders[1] / "truth.parquet"
        return judge_bundle(Path(scratch, "bundle"), read_cohort(folders[1]), load(), settings, truth)


def show(results: list[Result], aim: float) -> None:
    """One line per outcome and index time."""
    by_place: dict[tuple[str, str], dict[str, Result]] = defaultdict(dict)
    for one in results:
        by_place[one.outcome, one.index_time][one.predictor] = one
    for (outcome, index_time), group in by_place.items():
        model, truth = group["model"], group["true_risk"]
        if not (model.metrics and truth.metrics):
            print(f"{outcome:12} {index_time:9} {model.events} events: too few")
            continue
        found, known = model.metrics["auroc"], truth.metrics["auroc"]
        slope, ici = model.metrics["calibration_slope"], model.metrics["ici"]
        share = (found.value - 0.5) / (known.value - 0.5)
        short = [
            name
            for name, bad in (
                ("share", share < aim),
                ("slope", not SLOPES[0] <= slope.value <= SLOPES[1]),
                ("ICI", ici.value > LARGEST_ICI),
            )
            if bad
        ]
        print(
            f"{outcome:12} {index_time:9} rows {model.rows:6} events {model.events:5} AUROC {found.value:.3f} "
            f"of {known.value:.3f}, share {share:.3f}, slope {slope.value:.3f} ({slope.low:.2f} to {slope.high:.2f}), "
            f"ICI {ici.value:.4f} {'short: ' + ', '.join(short) if short else ''}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", type=int, default=20_000)
    parser.add_argument("--test", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, nargs=2, default=(101, 202))
    parser.add_argument("--share", type=float, default=0.95, help="the aim for (AUROC - 0.5) over the true risk's")
    parser.add_argument("--bootstrap", type=int, default=80)
    given = parser.parse_args()
    show(results_of(given.train, given.test, tuple(given.seeds), given.bootstrap), given.share)
