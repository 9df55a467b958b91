"""The exact risk of every synthetic course, given exactly what its tables hold at or before each index time.

Hidden are the inflammation z, the worst grades G and I, the onsets and the waits between grades. Given (z, G, CRS
onset) the labs are independent Gaussian processes, so their likelihood is the exponential of a quadratic in z whose
coefficients are sums over results; z is then summed over NODES, everything else over its grid. Unrecorded flags are
summed over all they could be. What was measured and which drugs were given depends on charted grades and chance alone,
so it cancels, as does the chance of a wait that has ended.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.synthetic_draw import Samples
from data.synthetic_laws import (
    NODES,
    GradeLaw,
    combinations,
    crs_shift,
    each_grade,
    flag_weights,
    horizon_steps,
    icans_by_crs,
    icans_shift,
    onset_law,
    wait_chance,
    within,
)
from data.synthetic_likelihood import Charted, Residuals, likelihood, residuals_of, take
from data.synthetic_model import GRADES, GRID_HOURS, Arm, Array, Model
from features.index_times import DOSE_HOURS, INFUSION_HOURS
from features.outcomes import OUTCOMES

Ints = NDArray[np.int64]

_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class Index:
    """One index time of an arm: its name as in data.cohort, its hour, and the hour of the latest dose by then."""

    name: str
    hours: float
    dose_hours: float


def index_times(arm: Arm) -> tuple[Index, ...]:
    """The index times of data.cohort for this arm."""
    if not arm.step_up:
        return tuple(Index(f"{hours}h", float(hours), 0.0) for hours in INFUSION_HOURS)
    return tuple(
        Index(f"dose{number}+{hours}h", dose + hours, dose)
        for number, dose in enumerate(arm.dose_hours, 1)
        for hours in DOSE_HOURS
    )


def exact_risk(model: Model, law: GradeLaw, charted: Charted, samples: Samples) -> Array:
    """(n, index times, outcomes) probability of each outcome after the index time and by its horizon.

    NaN where the outcome was reached at or before the index time, and beyond an arm's last index time.
    samples: in order of course, lab and hours, LDH already as multiples of the assay's own scale.
    """
    times = [index_times(arm) for arm in model.arms]
    risk = np.full((len(charted.arm), max(map(len, times)), len(OUTCOMES)), np.nan)
    residuals = residuals_of(model, charted, samples)
    edges = np.searchsorted(samples.course, np.arange(0, len(charted.arm) + _CHUNK, _CHUNK))
    tables = [_grade_table(model, law, arm) for arm in range(len(model.arms))]
    for number, start in enumerate(range(0, len(charted.arm), _CHUNK)):
        some = np.arange(start, min(start + _CHUNK, len(charted.arm)))
        mine = take(residuals, slice(edges[number], edges[number + 1]))
        grades = _grades_given_flags(model, charted, some, tables)
        for place in range(risk.shape[1]):
            asked = np.array([len(times[arm]) > place for arm in charted.arm[some]])
            if asked.any():
                risk[some[asked], place] = _at(model, charted, some[asked], mine, grades[asked], times, place)
    return risk


def _grade_table(model: Model, law: GradeLaw, arm: int) -> Array:
    """(combinations, nodes, GRADES, GRADES) P(flags that depend on z, CRS grade, ICANS grade | z, flags)."""
    ways = combinations(model)[:, None, :]
    crs = each_grade(law.crs[arm], crs_shift(model, NODES[None, :], ways))
    shift = icans_shift(model, NODES[None, :], ways)[..., None] + icans_by_crs(model)
    return crs[..., None] * each_grade(law.icans[arm], shift) * flag_weights(model, arm)[:, :, None, None]


def _grades_given_flags(model: Model, charted: Charted, some: Ints, tables: list[Array]) -> Array:
    """(n, nodes, GRADES, GRADES) P(recorded flags, CRS grade, ICANS grade | z)."""
    ways = combinations(model)
    result = np.empty((len(some), len(NODES), GRADES, GRADES))
    for arm in np.unique(charted.arm[some]):
        mine = charted.arm[some] == arm
        recorded = charted.flags[some[mine]]
        clash = np.nan_to_num(recorded) @ (1 - ways).T + np.nan_to_num(1 - recorded) @ ways.T
        table = tables[arm].reshape(len(ways), -1)
        result[mine] = ((clash == 0).astype(float) @ table).reshape(-1, *result.shape[1:])
    return result


def _at(
    model: Model,
    charted: Charted,
    some: Ints,
    residuals: Residuals,
    grades: Array,
    times: list[tuple[Index, ...]],
    place: int,
) -> Array:
    """(n, outcomes) risk of some courses at their place-th index time."""
    arm = charted.arm[some]
    now = np.array([times[one][place].hours for one in arm])
    arms = {one: _ArmAt(model, one, times[one][place]) for one in np.unique(arm)}
    crs, icans = _seen(charted.crs[some], now), _seen(charted.icans[some], now)
    onsets, chance, crs_reach = _crs_states([arms[one] for one in arm], crs, charted.crs[some], now)
    by_lab = likelihood(model, charted, some, residuals, onsets, now)
    weighted = np.einsum("nqtg,ntg->nqg", by_lab, chance)
    icans_chance, icans_reach = _icans_states([arms[one] for one in arm], icans, charted.icans[some], now)
    with_icans = np.einsum("nqgi,ni->nqg", grades, icans_chance)
    by_crs = np.einsum("nqtg,nqg->ntg", by_lab, with_icans)
    by_icans = np.einsum("nqgi,nqg->ni", grades, weighted)
    total = np.einsum("ntg,ntg->n", by_crs, chance)
    crs_risk = np.einsum("ntg,kntg->nk", by_crs, crs_reach) / total[:, None]
    icans_risk = np.einsum("ni,kni->nk", by_icans, icans_reach) / total[:, None]
    risk = np.column_stack([crs_risk, icans_risk[:, 1:]])
    worst = np.column_stack([crs, crs, crs, icans, icans])
    return np.where(worst >= [outcome.grade for outcome in OUTCOMES], np.nan, np.clip(risk, 0.0, 1.0))


def _seen(hours: Array, now: Array) -> Ints:
    """(n,) worst grade charted at or before the index time."""
    found: Ints = np.count_nonzero(hours <= now[:, None], axis=1)
    return found


class _ArmAt:
    """Chances of an arm at one index time, of courses without a charted grade and of those with one.

    onset, reach: event -> what is still to come: (steps,) onset law after the index time by grid step, and
    (GRADES, steps) the same times the chance that each grade is reached by the horizon.
    """

    def __init__(self, model: Model, arm: int, index: Index) -> None:
        one = model.arms[arm]
        self.wait = wait_chance(one)
        self.lead = int(np.ceil(model.lab_array("lead_hours").max() / GRID_HOURS)) - 1
        now, dose = round(index.hours / GRID_HOURS), round(index.dose_hours / GRID_HOURS)
        self.left = {event: dose + horizon_steps(event, one.step_up) - now for event in ("crs", "icans")}
        self.onset: dict[str, Array] = {}
        self.reach: dict[str, Array] = {}
        for event, left in self.left.items():
            later = np.zeros(max(len(onset_law(one, event)) - now - 1, self.lead))
            law = onset_law(one, event)[now + 1 :]
            later[: len(law)] = law
            steps = left - np.arange(1.0, len(later) + 1.0)
            self.onset[event] = later
            self.reach[event] = later * np.array(
                [0 * later] + [within(w, steps, np.array(self.wait)) for w in range(3)]
            )

    def further(self, event: str, waits: int) -> float:
        """Chance that so many further grades (1 or 2) come by the horizon, none having come by now: memoryless."""
        return float(within(waits, np.array(self.left[event]), np.array(self.wait)))


def _crs_states(arms: list[_ArmAt], seen: Ints, hours: Array, now: Array) -> tuple[Array, Array, Array]:
    """What CRS may be: onsets (n, t), chance (n, t + 1, GRADES), reach (3, n, t + 1, GRADES) that grade 1, 2, 3 comes.

    t: the grid steps from which a rise can already show; the last place of t + 1 is any later onset, or none.
    Without a charted grade the onset may be any of them; with one it is known and stands in the first place.
    """
    lead = arms[0].lead
    onsets = now[:, None] + GRID_HOURS * np.arange(1, lead + 1)
    onsets[:, 0] = np.where(seen > 0, hours[:, 0], onsets[:, 0])
    chance = np.zeros((len(seen), lead + 1, GRADES))
    reach = np.zeros((3, *chance.shape))
    for row, (arm, worst) in enumerate(zip(arms, seen, strict=True)):
        if worst == 0:
            chance[row], reach[:, row] = _fresh(arm, lead)
        else:
            held, come = _begun(arm, "crs", worst, hours[row, worst - 1], now[row])
            chance[row, 0], reach[:, row, 0] = held, come
    return onsets, chance, reach


def _fresh(arm: _ArmAt, lead: int) -> tuple[Array, Array]:
    """chance (lead + 1, GRADES) and reach (3, lead + 1, GRADES) with no grade charted."""
    onset, reach = arm.onset["crs"], arm.reach["crs"]
    parts = np.append(onset[:lead], onset[lead:].sum())
    chance = np.repeat(parts[:, None], GRADES, axis=1)
    chance[:, 0] = np.append(np.zeros(lead), 1.0)
    by_grade = np.column_stack([reach[1:, :lead], reach[1:, lead:].sum(axis=1)])
    possible = np.arange(GRADES) >= np.arange(1, GRADES)[:, None]
    return chance, by_grade[:, :, None] * possible[:, None, :]


def _begun(arm: _ArmAt, event: str, worst: int, since: float, now: float) -> tuple[Array, Array]:
    """chance (GRADES,) and reach (3, GRADES) with grade `worst` charted at `since` and no worse one by now."""
    waited = round((now - since) / GRID_HOURS)
    chance = np.where(np.arange(GRADES) > worst, (1 - arm.wait) ** waited, 1.0)
    chance[:worst] = 0.0
    reach = np.zeros((3, GRADES))
    for grade in range(worst + 1, GRADES):
        reach[grade - 1, grade:] = chance[grade:] * arm.further(event, grade - worst)
    return chance, reach


def _icans_states(arms: list[_ArmAt], seen: Ints, hours: Array, now: Array) -> tuple[Array, Array]:
    """chance (n, GRADES) of what is charted by worst ICANS grade, and (3, n, GRADES) that grade 1, 2, 3 comes too."""
    chance = np.zeros((len(seen), GRADES))
    reach = np.zeros((3, *chance.shape))
    for row, (arm, worst) in enumerate(zip(arms, seen, strict=True)):
        if worst == 0:
            later = arm.onset["icans"].sum()
            chance[row] = [1.0, later, later, later]
            come = arm.reach["icans"][1:].sum(axis=1)
            reach[:, row] = come[:, None] * (np.arange(GRADES) >= np.arange(1, GRADES)[:, None])
        else:
            chance[row], reach[:, row] = _begun(arm, "icans", worst, hours[row, worst - 1], now[row])
    return chance, reach
