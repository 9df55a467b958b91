"""Whether a therapy that no training course had is predicted at its level, on SYNTHETIC courses.

Trains on a cohort without one therapy and compares, over fresh courses of that therapy, the mean predicted with the
observed rate of each outcome at the infusion or first dose. In this world the catalogue's rates are right.

    .venv/bin/python benchmarks/left_out_therapy.py --train 5000 --fresh 40000
"""

import argparse

import numpy as np
from fresh import World, cohort_of, model

from features.outcomes import OUTCOME_KEYS
from features.prior import sigmoid
from training.config import Settings

FIRST = ("0h", "dose1+0h")
AIM = 0.05

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", type=int, default=5000)
    parser.add_argument("--fresh", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=77)
    given = parser.parse_args()
    world = World.of(given.fresh, 99_002, Settings(bootstrap=0))
    whole, recipe, taught = world.training(cohort_of(given.train, given.seed))
    fresh = world.seen_by(recipe.spec)
    worst = 0.0
    for therapy in np.unique(whole.therapy).tolist():
        test = fresh.take((fresh.therapy == therapy) & np.isin(fresh.index_name, FIRST))
        found = sigmoid(model(whole.take(whole.therapy != therapy), test, recipe, taught))
        apart = []
        for place in range(len(OUTCOME_KEYS)):
            rows = test.usable(place)
            apart.append(float(found[rows, place].mean() - test.label[rows, place].mean()))
        worst = max(worst, *map(abs, apart))
        told = ", ".join(f"{key} {value:+.3f}" for key, value in zip(OUTCOME_KEYS, apart, strict=True))
        short = " short" if max(map(abs, apart)) > AIM else ""
        print(f"{therapy:28} {len(test):5} courses: predicted minus observed {told}{short}", flush=True)
    print(f"largest {worst:.3f} (aim {AIM})")
