"""Two local processes, and two threads, against one worker: the same bits, and the time.

SYNTHETIC courses. Each way does cross-validation of the whole recipe, the figures with bootstrap intervals, training
and the scores of the cohort in Parquet. "processes" includes their start; "again" uses them a second time.

    .venv/bin/python benchmarks/local_processes.py --courses 1000
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data import synthetic
from data.parts import cohort_parts
from data.tables import Cohort, cohort_from_frames
from features.catalogue import Catalogue, load
from features.predict import Predictor
from training import here
from training.cluster import in_turn
from training.config import Settings
from training.cross_validation import judge_outcomes, out_of_fold_scores
from training.designs import recipe_for
from training.score import Scorer, score_part, write
from training.train import train

#: Way -> workers, and from how many shared bytes on processes are used.
NEVER = 1 << 62
WAYS = {"one": (1, NEVER), "threads": (2, NEVER), "processes": (2, 0), "again": (2, 0)}


@dataclass(frozen=True, slots=True)
class Ground:
    """What every way works on."""

    folder: Path
    cohort: Cohort
    catalogue: Catalogue
    settings: Settings


def bits(one: Any) -> str:
    return sha256(repr(one).encode()).hexdigest()[:12]


def tasks(ground: Ground, workers: int) -> Iterator[tuple[str, Callable[[], str]]]:
    """Each kind of work, and what it gives, as a digest."""
    settings = replace(ground.settings, workers=workers)
    table, recipe, outcomes = recipe_for(ground.cohort, ground.catalogue, settings, lambda _: None)
    scores: dict[int, Any] = {}

    def folds() -> str:
        scores.update(out_of_fold_scores(table, recipe, outcomes[:2]))
        return bits([held[name].tobytes() for held in scores.values() for name in sorted(held)])

    yield "cross-validation", folds
    yield "bootstrap", lambda: bits(judge_outcomes(table, recipe, scores))
    trained: list[Any] = []

    def fitted() -> str:
        trained.append(train(ground.cohort, "made up", settings, ground.catalogue, lambda _: None).bundle)
        return str(trained[0].digest)

    yield "training", fitted

    def scored() -> str:
        scorer, out = Scorer(Predictor(trained[0], ground.catalogue), "1"), ground.folder / "scores.parquet"
        with cohort_parts(ground.folder, len(ground.cohort) // 8) as parts:
            write(out, in_turn(score_part, (scorer,), parts, workers))
        return sha256(out.read_bytes()).hexdigest()[:12]

    yield "scores", scored


def timed(work: Callable[[], str]) -> tuple[float, str]:
    begin = time.perf_counter()
    found = work()
    return time.perf_counter() - begin, found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--courses", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=100)
    given = parser.parse_args()
    made = synthetic.generate(given.courses, 1, with_truth=False)
    chosen = Settings(rounds=given.rounds, repeats=2, interval_resamples=20, test_share=0.0)
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("courses", "observations", "events"):
            getattr(made, name).to_parquet(Path(scratch, f"{name}.parquet"))
        cohort = cohort_from_frames(made.courses, made.observations, made.events)
        ground = Ground(Path(scratch), cohort, load(), chosen)
        first: dict[str, tuple[float, str]] = {}
        for way, (workers, least) in WAYS.items():
            here.START_BYTES = least
            if way != "again":
                here.end_processes()
            for what, work in tasks(ground, workers):
                seconds, found = timed(work)
                one, expected = first.setdefault(what, (seconds, found))
                print(f"{what}, {way}: {seconds:.1f} s, ratio {seconds / one:.2f}, same bits: {found == expected}")
        here.end_processes()
