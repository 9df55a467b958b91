"""A slow, independent reckoning of the exact risk: one course at a time, every hidden path listed, dense covariance.

It shares with the product the parameters and the one-course laws (onset, grades, ramp), not the sums.
"""

import math

import numpy as np

from data.synthetic import Draw
from data.synthetic_laws import GradeLaw, each_grade, horizon_steps, icans_by_crs, onset_law, ramp, wait_chance
from data.synthetic_model import GRADES, GRID_HOURS
from data.synthetic_truth import Index
from features.outcomes import OUTCOMES

#: A finer and wider grid over the hidden inflammation than the product's.
Z = np.linspace(-7.0, 7.0, 141)
LONGEST_WAIT = 120


def reference_risk(drawn: Draw, law: GradeLaw, course: int, index: Index) -> dict[str, float]:
    """outcome -> risk of one course at one index time, NaN where it was reached by then."""
    arm = drawn.model.arms[drawn.hidden.arm[course]]
    charted = {"crs": drawn.hidden.crs[course], "icans": drawn.hidden.icans[course]}
    paths = {}
    for event, hours in charted.items():
        end = index.dose_hours + horizon_steps(event, arm.step_up) * GRID_HOURS
        paths[event] = _paths(onset_law(arm, event), wait_chance(arm), hours, index.hours, end)
    grades = _grades(drawn, law, course)
    labs = np.array([_lab_likelihood(drawn, course, index.hours, g, onset) for g, onset, *_ in paths["crs"]])
    labs = np.exp(labs - labs.max())
    total, come = 0.0, dict.fromkeys((one.key for one in OUTCOMES), 0.0)
    for (g, _, crs_weight, crs_come), likelihood in zip(paths["crs"], labs, strict=True):
        for i, _, icans_weight, icans_come in paths["icans"]:
            part = float((grades[:, g, i] * likelihood).sum())
            total += part * crs_weight * icans_weight
            for one in OUTCOMES:
                crs = one.key.startswith("crs")
                come[one.key] += part * (
                    crs_come[one.grade - 1] * icans_weight if crs else icans_come[one.grade - 1] * crs_weight
                )
    return {
        one.key: math.nan
        if (charted[one.key.split("_")[0]] <= index.hours).sum() >= one.grade
        else come[one.key] / total
        for one in OUTCOMES
    }


def _paths(
    law: np.ndarray, chance: float, charted: np.ndarray, now: float, end: float
) -> list[tuple[int, float, float, list[float]]]:
    """(worst grade, onset, weight, weight in which grade 1, 2, 3 comes in (now, end]) of what agrees with the chart.

    Both waits are listed one by one, up to LONGEST_WAIT steps each.
    """
    steps = np.arange(1, LONGEST_WAIT + 1)
    one = chance * (1 - chance) ** (steps - 1)
    found = []
    for grade in range(GRADES):
        for onset, weight in (
            [(math.inf, 1.0)] if grade == 0 else [(k * GRID_HOURS, p) for k, p in enumerate(law) if p > 0]
        ):
            second = (onset + steps * GRID_HOURS)[:, None] + np.zeros(LONGEST_WAIT)
            third = second + steps * GRID_HOURS
            hours = [
                np.full_like(third, onset),
                *(h if grade > k else h + math.inf for k, h in enumerate((second, third), 1)),
            ]
            agrees = np.all(
                [
                    np.where(h <= now, h, math.inf) == (c if c <= now else math.inf)
                    for h, c in zip(hours, charted, strict=True)
                ],
                axis=0,
            )
            mass = weight * np.outer(one, one) * agrees
            if mass.any():
                come = [float(mass[(now < h) & (h <= end)].sum()) for h in hours]
                found.append((grade, onset, float(mass.sum()), come))
    return found


def _grades(drawn: Draw, law: GradeLaw, course: int) -> np.ndarray:
    """(z, GRADES, GRADES) density of z times P(recorded flags, CRS grade, ICANS grade | z), flags one after another."""
    model, arm = drawn.model, drawn.hidden.arm[course]
    total = np.zeros((len(Z), GRADES, GRADES))
    ways = [(np.ones(len(Z)), 0.0, 0.0)]
    for flag, value in zip(model.flags, drawn.charted.flags[course], strict=True):
        applies = model.arms[arm].groups & set(flag.applies_to)
        slope = flag.on_inflammation
        centre = math.sqrt(2) * _inverse_erf(2 * flag.prevalence - 1) * math.sqrt(1 + slope**2)
        chance = np.array([0.5 * (1 + math.erf((centre + slope * z) / math.sqrt(2))) for z in Z]) * bool(applies)
        options = [1.0, 0.0] if np.isnan(value) else [value]
        ways = [
            (weight * (chance if yes else 1 - chance), crs + yes * flag.crs_log_odds, icans + yes * flag.icans_log_odds)
            for weight, crs, icans in ways
            for yes in options
        ]
    for weight, crs, icans in ways:
        first = each_grade(law.crs[arm], model.policy["crs_on_inflammation"] * Z + crs)
        shift = (model.policy["icans_on_inflammation"] * Z + icans)[:, None] + icans_by_crs(model)
        total += (weight * np.exp(-(Z**2) / 2))[:, None, None] * first[:, :, None] * each_grade(law.icans[arm], shift)
    return total


def _inverse_erf(value: float) -> float:
    low, high = -6.0, 6.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erf(middle) < value else (low, middle)
    return low


def _lab_likelihood(drawn: Draw, course: int, now: float, grade: int, onset: float) -> np.ndarray:
    """(z,) log density of every result by now, each lab as one Gaussian vector with its full covariance."""
    total = np.zeros(len(Z))
    held = (drawn.samples.course == course) & (drawn.samples.hours <= now)
    arm = drawn.hidden.arm[course]
    toci, steroid = drawn.charted.drugs.tocilizumab[course], drawn.charted.drugs.corticosteroid[course]
    for place, lab in enumerate(drawn.model.labs):
        mine = held & (drawn.samples.lab == place)
        hours, value = drawn.samples.hours[mine], drawn.samples.value[mine]
        if not len(hours):
            continue
        given = [
            1 - np.exp(-np.maximum(hours - when, 0) / drawn.model.policy["relief_hours"]) for when in (toci, steroid)
        ]
        rise = ramp(hours - onset, lab.lead_hours, lab.rise_hours, drawn.model.decay_hours[arm])
        rise = (
            rise
            * lab.by_grade[grade]
            * (1 - lab.tocilizumab_relief * given[0])
            * (1 - lab.corticosteroid_relief * given[1])
        )
        mean = lab.centre + rise + lab.tocilizumab_rise * given[0]
        covariance = lab.sd**2 * np.exp(-np.abs(hours[:, None] - hours) / lab.memory_hours)
        off = (np.log(value) if lab.logarithmic else value)[None] - mean[None] - lab.loading * Z[:, None]
        total += -0.5 * np.einsum("zi,ij,zj->z", off, np.linalg.inv(covariance), off)
    return total
