"""What monitoring can see at 5, 10 and 20 courses a month: false alarms, power and delay, on SYNTHETIC numbers.

Calibration: one chart of one outcome at the shipped policy's rate of alarms, over two years. Drift: one of 100 columns
that go together moves by one or two standard deviations in the last 90 days, against up to 100 earlier courses.
"""

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from features.outcomes import OUTCOMES
from training.monitoring_chart import budget, limits, steps
from training.monitoring_drift import deals, value_drift
from training.monitoring_policy import monitoring_policy

Array = NDArray[np.float64]

#: Mean stated probability and how tightly the courses lie around it: common, frequent, uncommon, rare.
OUTCOME_KINDS = {"0.75": (6.0, 2.0), "0.30": (2.0, 4.7), "0.12": (1.0, 7.3), "0.05": (0.6, 11.4)}
MONTHS = 24
COLUMNS, REFERENCE = 100, 100


def alarms(probability: Array, years: Array, odds: float, draws: int, seed: int) -> Array:
    """(draws,) months until the alarm, infinite where there is none; true odds are `odds` times the stated ones."""
    policy = monitoring_policy()
    weight = steps(probability, policy.design_odds_ratio)
    rate = policy.false_alarms_per_year / len(OUTCOMES)
    limit = limits(weight, probability, budget(years, rate) / 2, policy.chart_draws, 1)
    random = np.random.default_rng(seed)
    true = probability * odds / (1 + probability * (odds - 1))
    held, when = np.zeros((2, draws)), np.full(draws, np.inf)
    for place, chance in enumerate(true.tolist()):
        event = (random.random(draws) < chance).astype(int)
        held = np.maximum(held + weight[place][:, event], 0.0)
        over = (held > limit[place][:, None]).any(axis=0)
        when[over & np.isinf(when)] = 12 * years[place]
    return when


def charts(draws: int) -> Iterator[str]:
    yield "per month  mean risk  false/year  x2 in 1 y  x3 in 1 y  x1/2 in 1 y  x2 in 2 y  x3: median months"
    for volume in (5, 10, 20):
        for name, shape in OUTCOME_KINDS.items():
            random = np.random.default_rng(7)
            probability = np.clip(random.beta(*shape, volume * MONTHS), 0.001, 0.999)
            years = np.sort(random.random(len(probability))) * MONTHS / 12
            right, double, triple, half = (alarms(probability, years, odds, draws, 3) for odds in (1.0, 2.0, 3.0, 0.5))
            cells = [f"{(one <= 12).mean():9.2f}" for one in (right, double, triple, half)]
            later = f"{(double <= 24).mean():9.2f}"
            yield f"{volume:9}  {name:>9}  {'  '.join(cells)}  {later}  {np.median(triple):9.1f}"


def drifted(recent: int, size: float, seed: int) -> bool:
    """Whether a check at the alarm's level, as one of four, sees a column that moved by `size` standard deviations."""
    random = np.random.default_rng(seed)
    values = 0.6 * random.normal(size=(REFERENCE + recent, 1)) + 0.8 * random.normal(size=(REFERENCE + recent, COLUMNS))
    now = np.arange(len(values)) >= REFERENCE
    values[now, 0] += size
    dealt = deals(now, np.full(len(values), "0h"), 1000, seed)
    found = value_drift([str(one) for one in range(COLUMNS)], values, now, dealt)
    return 4 * found.p <= monitoring_policy().drift_watch


def drift(repeats: int) -> Iterator[str]:
    yield "recent courses  no drift  1 sd  2 sd   (share called watch or alarm)"
    for recent in (15, 30, 60):
        seen = [np.mean([drifted(recent, size, seed) for seed in range(repeats)]) for size in (0.0, 1.0, 2.0)]
        yield f"{recent:14}  {seen[0]:8.2f}  {seen[1]:4.2f}  {seen[2]:4.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000, help="simulated charts per line")
    parser.add_argument("--repeats", type=int, default=40, help="simulated samples per size of drift")
    asked = parser.parse_args()
    for line in (*charts(asked.draws), "", *drift(asked.repeats)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
