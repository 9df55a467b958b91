"""A two-sided CUSUM chart of outcomes against stated probabilities, with limits that hold however often one looks.

The chart adds up, course by course, how much better the outcome fits odds that are `ratio` times (or one `ratio`-th of)
the stated ones, and never falls below 0 (Steiner 2000, Biostatistics 1:441). Its limits come from simulation under
the very probabilities that were stated, so that no case mix has to be assumed: of many charts that are drawn as if the
model were right, no more than the allowed share have passed their limits at any time since the start (the idea of
dynamic limits: Zhang and Woodall 2015, Stat Med 34:3336). The allowed share grows with the calendar, not with the
courses, so a rate of false alarms per year is kept at any volume; half of it is spent on either direction.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DIRECTIONS = ("more", "fewer")


@dataclass(frozen=True, slots=True)
class Chart:
    """n courses in the order in which their outcomes became known; more events than stated, and fewer.

    statistic, limit: (n, 2); the limit is infinite as long as nothing of the allowed share may be spent.
    crossed: place of the first course that passed its limit, -1 where none did; (2,).
    """

    statistic: Array
    limit: Array
    crossed: tuple[int, int]

    @property
    def alarm(self) -> str:
        """Which direction passed its limit, "more" or "fewer", the earlier one; "" where none did."""
        found = [(place, name) for place, name in zip(self.crossed, DIRECTIONS, strict=True) if place >= 0]
        return min(found)[1] if found else ""


def steps(probability: Array, ratio: float) -> Array:
    """(n, 2, 2): what a non-event and an event add to the chart, per direction. Log-likelihood ratios, natural log."""
    parts = []
    for odds in (ratio, 1 / ratio):
        base = -np.log1p(probability * (odds - 1))
        parts.append(np.stack([base, base + np.log(odds)], axis=-1))
    return np.stack(parts, axis=1)


def budget(years: Array, per_year: float) -> Array:
    """(n,) share of right models that may have alarmed by then. years: (n,) since the chart's start, rising."""
    return 1 - (1 - per_year) ** np.maximum(years, 0.0)


def chart(
    label: Array, probability: Array, years: Array, per_year: float, ratio: float, draws: int, seed: int
) -> Chart:
    """The chart of n courses and its limits; the same seed and the same first courses give the same first limits.

    label (n,) in {0, 1}; probability (n,); years (n,) when each outcome became known, rising. per_year: chance of a
    false alarm per year, both directions together.
    """
    weight = steps(probability, ratio)
    limit = limits(weight, probability, budget(years, per_year) / 2, draws, seed)
    statistic = np.empty((len(label), 2))
    held = np.zeros(2)
    for place, event in enumerate(label.astype(int).tolist()):
        held = np.maximum(held + weight[place, :, event], 0.0)
        statistic[place] = held
    return Chart(statistic, limit, _crossed(statistic > limit))


def _crossed(over: NDArray[np.bool_]) -> tuple[int, int]:
    first = [int(np.argmax(over[:, side])) if over[:, side].any() else -1 for side in (0, 1)]
    return first[0], first[1]


def limits(weight: Array, probability: Array, allowed: Array, draws: int, seed: int) -> Array:
    """(n, 2) limits: of `draws` simulated charts no more than the allowed share, (n,), have passed by each course.

    What cannot be spent for ties is kept for later, so the rate is at most the stated one.
    """
    random = np.random.default_rng(seed)
    held, left = np.zeros((2, draws)), np.ones((2, draws), dtype=bool)
    found = np.full((len(probability), 2), np.inf)
    for place, chance in enumerate(probability.tolist()):
        event = (random.random(draws) < chance).astype(int)
        held = np.maximum(held + weight[place][:, event], 0.0)
        may = int(allowed[place] * draws)
        for side in (0, 1):
            spare = may - int(draws - left[side].sum())
            found[place, side] = _limit(held[side][left[side]], spare)
            left[side] &= held[side] <= found[place, side]
    return found


def _limit(held: Array, spare: int) -> float:
    """The least limit that at most `spare` of the values pass; infinite where none may."""
    if spare <= 0:
        return float("inf")
    if spare >= len(held):
        return 0.0
    return float(np.partition(held, len(held) - spare - 1)[len(held) - spare - 1])


def power(probability: Array, found: Chart, ratio: float, odds: float, draws: int, seed: int) -> float:
    """Chance that this chart would have alarmed by now if the true odds were `odds` times the stated ones."""
    random = np.random.default_rng(seed)
    weight = steps(probability, ratio)
    true = probability * odds / (1 + probability * (odds - 1))
    held, alarmed = np.zeros((2, draws)), np.zeros(draws, dtype=bool)
    for place, chance in enumerate(true.tolist()):
        event = (random.random(draws) < chance).astype(int)
        held = np.maximum(held + weight[place][:, event], 0.0)
        alarmed |= (held > found.limit[place][:, None]).any(axis=0)
    return float(alarmed.mean())
