"""Draws the hidden courses of a synthetic cohort and what is charted and measured of them.

What is taken, and which drug is given, depends on chance and on the grades charted by then, never on anything hidden.
So, given what is charted, it says nothing about the future: missingness is ignorable, and the exact risk may leave the
chance of being measured out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.synthetic_laws import (
    GradeLaw,
    at_least,
    crs_shift,
    faded,
    flag_given_z,
    icans_by_crs,
    icans_shift,
    onset_law,
    prevalence,
    ramp,
    wait_chance,
)
from data.synthetic_model import GRID_HOURS, Array, Lab, Model
from features.catalogue import Analyte

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Generator = np.random.Generator

#: Days of morning draws from the infusion; for step-up schedules, before the first dose and from each dose.
SINGLE_DAYS = tuple(range(-5, 11))
STEP_UP_DAYS_BEFORE, STEP_UP_DAYS_AFTER = (-3, -1), (0, 1, 2)
LATE_DAY = 5
#: Vital signs stand at these hours of each day on which they are taken.
VITAL_DAYS_SINGLE, VITAL_DAYS_STEP_UP, VITAL_HOURS = tuple(range(-1, 5)), (0, 1), (-2.0, 10.0)
#: Results are known within less than a day, so results of one analyte keep the order of their draws.
LONGEST_DELAY_HOURS = 20.0


@dataclass(frozen=True, slots=True)
class Hidden:
    """n courses as they are. arm, site: positions in the model. z: hidden inflammation. flags: (n, flags), 0 or 1.

    crs, icans: (n, 3) hour at which grade 1, 2 and 3 is reached, infinite if never; crs_grade: worst grade, 0 to 3.
    """

    arm: Ints
    site: Ints
    z: Array
    flags: Array
    crs_grade: Ints
    crs: Array
    icans: Array


@dataclass(frozen=True, slots=True)
class Drugs:
    """(n,) hour of the first tocilizumab, corticosteroid, vasopressor and oxygen; infinite if never."""

    tocilizumab: Array
    corticosteroid: Array
    vasopressor: Array
    oxygen: Array


@dataclass(frozen=True, slots=True)
class Samples:
    """Results in order of course, lab and hours. lab: position in the model. value: in the canonical unit."""

    course: Ints
    lab: Ints
    hours: Array
    value: Array


def draw_hidden(model: Model, law: GradeLaw, n: int, rng: Generator) -> Hidden:
    """n independent courses."""
    site, arm = _site_and_arm(model, n, rng)
    z = rng.standard_normal(n)
    chance = np.where(prevalence(model)[arm] > 0, flag_given_z(model, z), 0.0)
    flags = (rng.random(chance.shape) < chance).astype(float)
    crs = (rng.random((n, 1)) < at_least(law.crs[arm], crs_shift(model, z, flags))).sum(axis=1)
    shift = icans_shift(model, z, flags) + icans_by_crs(model)[crs]
    icans = (rng.random((n, 1)) < at_least(law.icans[arm], shift)).sum(axis=1)
    return Hidden(
        arm,
        site,
        z,
        flags,
        crs,
        _grade_hours(model, "crs", arm, crs, rng),
        _grade_hours(model, "icans", arm, icans, rng),
    )


def _site_and_arm(model: Model, n: int, rng: Generator) -> tuple[Ints, Ints]:
    share = np.array([site.share for site in model.sites])
    mix = np.array([_mix(model, place) for place in range(len(model.sites))])
    site = rng.choice(len(share), n, p=share / share.sum())
    arm = (rng.random((n, 1)) > np.cumsum(mix, axis=1)[site]).sum(axis=1)
    return site, np.minimum(arm, len(model.arms) - 1)


def _mix(model: Model, place: int) -> Array:
    """(arms,) share of each product at one site."""
    site = model.sites[place]
    held = np.array([0.0 if arm.therapy in site.without else arm.share for arm in model.arms])
    single = np.where(model.step_up, 0.0, held)
    step_up = np.where(model.step_up, held, 0.0)
    found: Array = site.car_t_share * single / single.sum() + (1 - site.car_t_share) * step_up / step_up.sum()
    return found


def _grade_hours(model: Model, event: str, arm: Ints, grade: Ints, rng: Generator) -> Array:
    """(n, 3) hours of grade 1, 2 and 3: an onset, then geometric waits; later than the worst grade is never."""
    cumulative = [np.cumsum(onset_law(one, event)) for one in model.arms]
    chance = np.array([wait_chance(one) for one in model.arms])[arm]
    place = rng.random(len(arm))
    onset = np.empty(len(arm), dtype=np.int64)
    for which, law in enumerate(cumulative):
        mine = arm == which
        onset[mine] = np.minimum(np.searchsorted(law, place[mine] * law[-1], side="right"), len(law) - 1)
    waits = rng.geometric(chance[:, None], (len(arm), 2))
    steps = np.cumsum(np.column_stack([onset, waits]), axis=1)
    return np.where(np.arange(1, 4) <= grade[:, None], steps * GRID_HOURS, np.inf)


def draw_drugs(model: Model, hidden: Hidden, rng: Generator) -> Drugs:
    """Drugs within six hours of a charted grade, by chance."""
    policy = model.policy
    tocilizumab, severe, neuro, vasopressor, oxygen = (
        _after(hours, policy[f"{drug}_given"], rng)
        for hours, drug in (
            (hidden.crs[:, 1], "tocilizumab"),
            (hidden.crs[:, 2], "corticosteroid"),
            (hidden.icans[:, 1], "corticosteroid"),
            (hidden.crs[:, 2], "vasopressor"),
            (hidden.crs[:, 1], "oxygen"),
        )
    )
    return Drugs(tocilizumab, np.minimum(severe, neuro), vasopressor, oxygen)


def _after(hours: Array, share: float, rng: Generator) -> Array:
    when = np.round(hours + rng.uniform(0.25, 6.0, len(hours)), 2)
    return np.where(rng.random(len(hours)) < share, when, np.inf)


def draw_samples(model: Model, analytes: dict[str, Analyte], hidden: Hidden, drugs: Drugs, rng: Generator) -> Samples:
    """Every result of every course, as it would be known without an end of follow-up."""
    days = _days(model, SINGLE_DAYS, STEP_UP_DAYS_BEFORE, STEP_UP_DAYS_AFTER)
    draws = 24.0 * days[hidden.arm] + model.policy["draw_hour"]
    draws = draws + model.policy["draw_jitter_hours"] * np.clip(rng.standard_normal(draws.shape), -3, 3)
    vital_days = _days(model, VITAL_DAYS_SINGLE, (), VITAL_DAYS_STEP_UP)
    vitals = (24.0 * vital_days[:, :, None] + np.array(VITAL_HOURS)).reshape(len(model.arms), -1)[hidden.arm]
    parts = []
    for place, lab in enumerate(model.labs):
        times = vitals if analytes[lab.analyte].kind == "vital" else draws
        taken = rng.random(times.shape) < _chance_taken(model, lab, times, hidden)
        hours = np.round(times + _delay(model, lab, times.shape, rng), 2)
        parts.append(_measure(model, place, hours, taken, hidden, drugs, rng))
    return _in_order(parts, analytes, model)


def _days(model: Model, single: tuple[int, ...], before: tuple[int, ...], after: tuple[int, ...]) -> Array:
    """(arms, slots) days of draws in order, NaN beyond an arm's last."""
    days = [
        sorted({*before, *(round(hour // 24) + day for hour in arm.dose_hours for day in after)})
        if arm.step_up
        else single
        for arm in model.arms
    ]
    table = np.full((len(days), max(map(len, days))), np.nan)
    for place, one in enumerate(days):
        table[place, : len(one)] = one
    return table


def _chance_taken(model: Model, lab: Lab, times: Array, hidden: Hidden) -> Array:
    """(n, slots) chance of a result: by phase, by what is charted at that time, by site; 0 where there is no draw."""
    charted = np.minimum(hidden.crs[:, :1], hidden.icans[:, :1]) <= times
    late = ~model.step_up[hidden.arm][:, None] & (times > 24.0 * LATE_DAY - 12)
    chance = np.where(times < -12, lab.taken_before, lab.taken_after)
    chance = np.where(late, chance * model.policy["late_sampling"], chance)
    chance = np.where(charted & ~late, lab.taken_charted, chance)
    sampling = np.array([site.sampling for site in model.sites])[hidden.site]
    return np.where(np.isnan(times), 0.0, np.minimum(chance * sampling[:, None], 1.0))


def _delay(model: Model, lab: Lab, shape: tuple[int, ...], rng: Generator) -> Array:
    spread = model.policy["delay_spread"] * rng.standard_normal(shape)
    return np.minimum(lab.delay_hours * np.exp(spread), LONGEST_DELAY_HOURS)


def _measure(
    model: Model, place: int, hours: Array, taken: Bools, hidden: Hidden, drugs: Drugs, rng: Generator
) -> Samples:
    """Values of one lab where taken: the process at the hour at which the result is known."""
    lab = model.labs[place]
    course, slot = np.nonzero(taken)
    noise = _process(lab, hours, taken, rng.standard_normal(hours.shape))[course, slot]
    when = hours[course, slot]
    value = noise + lab.loading * hidden.z[course] + drug_rise(model, place, when, drugs.tocilizumab[course])
    value += (
        np.array(lab.by_grade)[hidden.crs_grade[course]]
        * ramp(
            when - hidden.crs[course, 0],
            np.array(lab.lead_hours),
            np.array(lab.rise_hours),
            model.decay_hours[hidden.arm[course]],
        )
        * drug_relief(model, place, when, drugs.tocilizumab[course], drugs.corticosteroid[course])
    )
    value += lab.centre
    return Samples(course, np.full(len(course), place), when, np.exp(value) if lab.logarithmic else value)


def drug_rise(model: Model, place: int | Ints, hours: Array, tocilizumab: Array) -> Array:
    """What tocilizumab adds to a lab at `hours`, known once the drug is charted."""
    return model.lab_array("tocilizumab_rise")[place] * faded(hours, tocilizumab, model.policy["relief_hours"])


def drug_relief(model: Model, place: int | Ints, hours: Array, tocilizumab: Array, corticosteroid: Array) -> Array:
    """Share of the rise that the drugs leave at `hours`."""
    constant = model.policy["relief_hours"]
    left = 1 - model.lab_array("tocilizumab_relief")[place] * faded(hours, tocilizumab, constant)
    return left * (1 - model.lab_array("corticosteroid_relief")[place] * faded(hours, corticosteroid, constant))


def _process(lab: Lab, hours: Array, taken: Bools, shocks: Array) -> Array:
    """(n, slots) stationary Ornstein-Uhlenbeck process at the taken times, 0 elsewhere."""
    noise = np.zeros(hours.shape)
    last, when = np.zeros(len(hours)), np.full(len(hours), -np.inf)
    for slot in range(hours.shape[1]):
        kept = np.exp(-(hours[:, slot] - when) / lab.memory_hours)
        now = kept * last + lab.sd * np.sqrt(1 - kept**2) * shocks[:, slot]
        mine = taken[:, slot]
        last, when = np.where(mine, now, last), np.where(mine, hours[:, slot], when)
        noise[:, slot] = np.where(mine, now, 0.0)
    return noise


def _in_order(parts: list[Samples], analytes: dict[str, Analyte], model: Model) -> Samples:
    """All labs together; a value beyond the analyte's plausible range stands at its edge."""
    course, lab, hours, value = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("course", "lab", "hours", "value")
    )
    low = np.array([analytes[one.analyte].plausible_low for one in model.labs])[lab]
    high = np.array([analytes[one.analyte].plausible_high for one in model.labs])[lab]
    order = np.lexsort((hours, lab, course))
    return Samples(course[order], lab[order], hours[order], np.clip(value, low, high)[order])
