"""Whether the published rates help where data are few, on SYNTHETIC courses whose published rates are right.

For cohorts of each size and several seeds: mean log loss, over fresh courses at all index times, of the model, of the
same boosters without the published rate, of logistic regression, and of the published rate alone.

    .venv/bin/python benchmarks/small_cohorts.py --sizes 100 200 500 --seeds 20 --fresh 20000
"""

import argparse
from dataclasses import replace

import numpy as np
from fresh import Array, World, cohort_of, model

from features.outcomes import OUTCOME_KEYS
from training.baselines import base_rate, logistic_regression
from training.config import Settings
from training.table import Table

NAMES = ("model", "no prior", "logistic", "prior alone")


def losses(world: World, size: int, seed: int) -> Array:
    """(outcomes, predictors) mean log loss on the fresh courses."""
    train, recipe, taught = world.training(cohort_of(size, seed))
    test = world.seen_by(recipe.spec)
    scores = {
        "model": model(train, test, recipe, taught),
        "no prior": _without_prior(train, test, recipe, taught),
        "logistic": np.column_stack([_logistic(train, test, place) for place in range(len(OUTCOME_KEYS))]),
        "prior alone": test.prior,
    }
    return np.array(
        [[_loss(test, place, scores[name][:, place]) for name in NAMES] for place in range(len(OUTCOME_KEYS))]
    )


def _without_prior(train: Table, test: Table, recipe: object, taught: tuple[int, ...]) -> Array:
    """The same recipe on rows whose prior says nothing; the base rate where an outcome is not taught."""
    blind = [replace(one, prior=np.where(np.isnan(one.prior), np.nan, 0.0)) for one in (train, test)]
    found = model(*blind, recipe, taught)
    for place in set(range(len(OUTCOME_KEYS))) - set(taught):
        found[:, place] = _or_level(train, test, place, base_rate)
    return found


def _logistic(train: Table, test: Table, place: int) -> Array:
    return _or_level(train, test, place, logistic_regression)


def _or_level(train: Table, test: Table, place: int, fit: object) -> Array:
    """A baseline's log-odds; the base rate where the training labels are all alike."""
    known = train.take(train.usable(place))
    alike = len(np.unique(known.label[:, place])) < 2
    return (base_rate if alike else fit)(known, test, place)


def _loss(test: Table, place: int, score: Array) -> float:
    rows = test.usable(place)
    label, held = test.label[rows, place], score[rows]
    return float(np.mean(np.logaddexp(0.0, held) - label * held))


def show(size: int, found: Array) -> None:
    """found: (seeds, outcomes, predictors)."""
    for place, key in enumerate(OUTCOME_KEYS):
        mean = found[:, place].mean(axis=0)
        apart = found[:, place, 1:] - found[:, place, :1]
        error = apart.std(axis=0, ddof=1) / np.sqrt(len(apart)) if len(apart) > 1 else np.zeros(len(NAMES) - 1)
        beaten = "; ".join(
            f"{name} {value:+.4f} ({1.96 * one:.4f})"
            for name, value, one in zip(NAMES[1:], apart.mean(axis=0), error, strict=True)
        )
        short = " short" if (apart.mean(axis=0) + 1.96 * error < 0).any() else ""
        print(f"n {size:5} {key:12} model {mean[0]:.4f}, others minus model: {beaten}{short}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=(100, 200, 500))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--fresh", type=int, default=20_000)
    given = parser.parse_args()
    world = World.of(given.fresh, 99_001, Settings(bootstrap=0))
    for size in given.sizes:
        show(size, np.array([losses(world, size, 1000 + seed) for seed in range(given.seeds)]))
