"""The laws of the synthetic cohort: who gets which grade, when it begins, how it worsens, how labs rise.

Draws and the exact risk both use these functions, so the two cannot drift apart. Hours lie on GRID_HOURS.
"""

from dataclasses import dataclass
from itertools import product as every
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr

from data.synthetic_model import GRID_HOURS, Arm, Model
from features.course import HOUR
from features.outcomes import OUTCOMES
from features.prior import onset_fraction

Array = NDArray[np.float64]

#: Nodes over the hidden inflammation z. On an equally spaced grid the sum over a smooth function that dies out at
#: both ends is exact to about exp(-2 (pi sd / step)^2): below 1e-9 for a posterior deviation of 0.33 or more.
NODE_STEP = 0.3
NODES: Array = np.arange(-20.0, 21.0) * NODE_STEP
NODE_WEIGHTS: Array = np.exp(-0.5 * NODES**2) * NODE_STEP / np.sqrt(2 * np.pi)
_SOLVER_ROUNDS = 40


@dataclass(frozen=True, slots=True)
class GradeLaw:
    """Cut points by arm, solved so that the mean over z and flags is the catalogue's rate.

    crs, icans: (arms, 3) log-odds of grade >= 1, 2, 3 at z = 0 with no flag (and no CRS, for ICANS).
    """

    crs: Array
    icans: Array


def prevalence(model: Model) -> Array:
    """(arms, flags) share that has the flag, 0 where it does not apply."""
    applies = [[bool(arm.groups.intersection(flag.applies_to)) for flag in model.flags] for arm in model.arms]
    found: Array = np.array(applies) * np.array([flag.prevalence for flag in model.flags])
    return found


def flag_given_z(model: Model, z: Array) -> Array:
    """(n, flags) P(flag | z) where the flag applies; its mean over z is the prevalence."""
    slopes = np.array([flag.on_inflammation for flag in model.flags])
    centre = np.array([NormalDist().inv_cdf(flag.prevalence) for flag in model.flags])
    found: Array = ndtr(centre * np.sqrt(1 + slopes**2) + slopes * z[:, None])
    return found


def at_least(cuts: Array, shift: Array) -> Array:
    """P(grade >= 1, 2, 3): cuts (..., 3) in log-odds, moved by shift (...)."""
    found: Array = expit(cuts + shift[..., None])
    return found


def each_grade(cuts: Array, shift: Array) -> Array:
    """(..., GRADES) P(worst grade = 0, 1, 2, 3 or worse)."""
    reached = at_least(cuts, shift)
    edge = np.ones((*reached.shape[:-1], 1))
    found: Array = np.concatenate([edge, reached], axis=-1) - np.concatenate([reached, 0 * edge], axis=-1)
    return found


def crs_shift(model: Model, z: Array, flags: Array) -> Array:
    """Log-odds by which z (...,) and flags (..., flags) move CRS."""
    found: Array = model.policy["crs_on_inflammation"] * z + flags @ np.array(
        [flag.crs_log_odds for flag in model.flags]
    )
    return found


def icans_shift(model: Model, z: Array, flags: Array) -> Array:
    """Log-odds by which z and flags move ICANS, without the share of the CRS grade."""
    found: Array = model.policy["icans_on_inflammation"] * z + flags @ np.array(
        [flag.icans_log_odds for flag in model.flags]
    )
    return found


def icans_by_crs(model: Model) -> Array:
    """(GRADES,) log-odds that the worst CRS grade adds to ICANS."""
    return np.array([0.0, *(model.policy[f"icans_after_crs_{grade}"] for grade in (1, 2, 3))])


def combinations(model: Model) -> Array:
    """(2 ** flags, flags) every way the flags can be."""
    return np.array(list(every((0.0, 1.0), repeat=len(model.flags))))


def flag_weights(model: Model, arm: int) -> Array:
    """(combinations, nodes) P(flags | z) of an arm at every node."""
    chance = np.where(prevalence(model)[arm] > 0, flag_given_z(model, NODES), 0.0)
    ways = combinations(model)[:, None, :]
    found: Array = np.prod(np.where(ways > 0, chance, 1 - chance), axis=2)
    return found


def solve(model: Model) -> GradeLaw:
    """Cut points at which the mean over z, flags and CRS grade equals the arm's rates."""
    found = [_solve_arm(model, place) for place in range(len(model.arms))]
    return GradeLaw(np.array([crs for crs, _ in found]), np.array([icans for _, icans in found]))


def _solve_arm(model: Model, place: int) -> tuple[Array, Array]:
    rates = np.array(model.arms[place].rates)
    weights = flag_weights(model, place)
    held = weights.any(axis=1)
    weights = weights[held] * NODE_WEIGHTS
    ways = np.broadcast_to(combinations(model)[held][:, None, :], (*weights.shape, len(model.flags)))
    z = np.broadcast_to(NODES, weights.shape)
    crs = _cuts(rates[:3], crs_shift(model, z, ways), weights)
    with_grade = weights[..., None] * each_grade(crs, crs_shift(model, z, ways))
    icans = _cuts(rates[3:], icans_shift(model, z, ways)[..., None] + icans_by_crs(model), with_grade)
    return crs, icans


def _cuts(rates: Array, shift: Array, weights: Array) -> Array:
    """(3,) log-odds whose weighted mean over the shifts is the rate; equal shifts are taken together."""
    values, group = np.unique(np.round(shift.ravel(), 10), return_inverse=True)
    share = np.bincount(group, weights=weights.ravel())
    cuts = logit(rates)
    for _ in range(_SOLVER_ROUNDS):
        mean = share @ expit(values[:, None] + cuts) / share.sum()
        cuts += logit(rates) - logit(mean)
    found: Array = cuts
    return found


def horizon_steps(event: str, step_up: bool) -> int:
    """Grid steps from the infusion or dose to the horizon of `event` ("crs" or "icans")."""
    outcome = next(one for one in OUTCOMES if one.key.startswith(event))
    return round(outcome.horizon_seconds(step_up) / HOUR / GRID_HOURS)


def onset_law(arm: Arm, event: str) -> Array:
    """P(onset at grid step 0, 1, 2, ... after the first dose | it comes), summing to 1.

    Each dose has its share, with the onset law of features.prior after it, cut at that event's horizon.
    """
    steps = horizon_steps(event, arm.step_up)
    hours: Array = np.arange(steps + 1.0) * GRID_HOURS
    median = np.array(arm.evidence.crs_onset_hours if event == "crs" else arm.evidence.icans_onset_hours)
    passed = onset_fraction(hours, median, np.array(arm.evidence.onset_shape), np.array(hours[-1]))
    law = np.zeros(round(arm.dose_hours[-1] / GRID_HOURS) + steps + 1)
    for hour, share in zip(arm.dose_hours, arm.dose_share, strict=True):
        first = round(hour / GRID_HOURS)
        law[first + 1 : first + steps + 1] += share * np.diff(passed)
    return law


def wait_chance(arm: Arm) -> float:
    """Chance that the next grade comes in the next grid step; the mean wait is the evidence's."""
    return min(1.0, GRID_HOURS / arm.evidence.hours_to_next_grade)


def within(waits: int, steps: Array, chance: Array) -> Array:
    """P(that many independent geometric waits, 0 to 2, end within `steps` grid steps); 0 for negative steps."""
    left = np.maximum(steps, 0)
    none = (1 - chance) ** left
    one = left * chance * (1 - chance) ** np.maximum(left - 1, 0)
    reached = [np.ones_like(none), 1 - none, 1 - none - one][waits]
    return np.where(steps >= 0, reached, 0.0)


def ramp(since_onset: Array, lead: Array, rise: Array, decay: Array) -> Array:
    """Height of the rise, 0 to 1: straight from `lead` hours before onset to `rise` hours after it, then fading."""
    up = np.clip((since_onset + lead) / (lead + rise), 0.0, 1.0)
    return up * np.exp(-np.maximum(since_onset - rise, 0.0) / decay)


def faded(hours: Array, given: Array, constant: float) -> Array:
    """Share, 0 to 1, of a drug's full effect at `hours` when it was given at `given` (infinite: never)."""
    return -np.expm1(-np.maximum(hours - given, 0.0) / constant)
