"""The published rates of a therapy as the log-odds from which a model starts.

Rates are pooled from the catalogue by beta-binomial shrinkage: class, then product, then product and indication,
each level drawn to the one above. With onset distribution F, a course that has had no event until t keeps
p (1 - F(t)) / (1 - p1 F(t)), where p1 is the rate of any grade; once a lower grade is there, what remains is the
conditional rate, which fades with the time since it came.
"""

import csv
import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue, Rate
from features.course import HOUR
from features.outcomes import OUTCOMES

Array = NDArray[np.float64]

POLICY_TABLE = Path(__file__).parent / "tables" / "prior_policy.csv"
#: Rates held per therapy and indication, in this order.
RATES = ("crs_1plus", "crs_2plus", "crs_3plus", "icans_1plus", "icans_2plus", "icans_3plus")
#: Doses whose share of first events is held apart; later doses share the last place.
STEPS = 4
#: No published rate is taken as certain: a rate is held inside these bounds (exclusive of 0 and 1).
LOWEST, HIGHEST = 0.002, 0.99


@dataclass(frozen=True, slots=True)
class TherapyEvidence:
    """What is published of one therapy or class.

    rates, patients: indication key ("" for all) -> one figure per RATES (fraction; effective number of patients).
    crs_onset_hours, icans_onset_hours: medians after the infusion or dose. step_share: share of first events by dose.
    """

    key: str
    step_up: bool
    rates: Mapping[str, tuple[float, ...]]
    patients: Mapping[str, tuple[float, ...]]
    crs_onset_hours: float
    icans_onset_hours: float
    onset_shape: float
    hours_to_next_grade: float
    step_share: tuple[float, ...]

    def rates_for(self, indication: str) -> tuple[float, ...]:
        """Rates of that indication, or of the therapy over all indications when none is published for it."""
        return self.rates.get(indication, self.rates[""])


@functools.cache
def policy() -> Mapping[str, float]:
    """The reviewed numbers that govern pooling."""
    with POLICY_TABLE.open(encoding="utf-8", newline="") as table:
        return {row["key"]: float(row["value"]) for row in csv.DictReader(table)}


def onset_fraction(hours: Array, median: Array, shape: Array, horizon_hours: Array) -> Array:
    """Share of events that have begun within `hours` of the dose, of those that begin within the horizon.

    Log-logistic, cut at the horizon: 0 at or before hour 0, 1 at and after the horizon. All (n,).
    """
    reached = _log_logistic(np.minimum(np.maximum(hours, 0.0), horizon_hours), median, shape)
    return reached / _log_logistic(horizon_hours, median, shape)


def _log_logistic(hours: Array, median: Array, shape: Array) -> Array:
    scaled = np.power(hours / median, shape)
    return scaled / (1.0 + scaled)


def remaining(rate: Array, any_rate: Array, fraction: Array) -> Array:
    """Probability still to come when no event of any grade has been seen and `fraction` of onsets have passed."""
    return rate * (1.0 - fraction) / (1.0 - any_rate * fraction)


def escalation(rate: Array, next_rate: Array, reached_rate: Array, hours_since: Array, mean_wait: Array) -> Array:
    """Probability of a worse grade once a lower one was reached `hours_since` ago, waits being exponential.

    rate, next_rate, reached_rate: of the worse grade, of the grade next to the one reached, and of the one reached.
    Who goes on to any worse grade is still waiting for the next one, with probability S = exp(-hours / mean_wait).
    """
    waiting = np.exp(-np.maximum(hours_since, 0.0) / mean_wait)
    still_possible = np.maximum(reached_rate - next_rate * (1.0 - waiting), rate * waiting)
    return np.where(waiting > 0, rate * waiting / np.where(waiting > 0, still_possible, 1.0), 0.0)


def log_odds(probability: Array) -> Array:
    """Natural log of p / (1 - p)."""
    return np.log(probability) - np.log1p(-probability)


def pool(catalogue: Catalogue) -> dict[str, TherapyEvidence]:
    """Evidence of every therapy and class that has any published rate, keyed by therapy or class key."""
    usable = [rate for rate in catalogue.rates if _says_something(rate)]
    shares = _pooled_step_share(catalogue)
    found: dict[str, TherapyEvidence] = {}
    for key in [*_classes_from_the_root(catalogue), *catalogue.therapies]:
        parent = found.get(_parent(catalogue, key))
        own = [rate for rate in usable if key in _lineage(catalogue, rate.therapy)]
        if own or parent:
            found[key] = _pool_one(catalogue, key, own, parent, shares)
    return found


def _says_something(rate: Rate) -> bool:
    """Whether a cohort counts: the rate of any CRS is known, no mitigation changed it, no newer row repeats it."""
    return not (rate.superseded or rate.mitigation or math.isnan(rate.crs_1plus))


def _pool_one(
    catalogue: Catalogue,
    key: str,
    own: list[Rate],
    parent: TherapyEvidence | None,
    shares: Mapping[str, tuple[float, ...]],
) -> TherapyEvidence:
    numbers = policy()
    step_up = _schedule(catalogue, key) == "step-up"
    suffix = "step_up" if step_up else "single"
    rates, patients = _by_indication(catalogue, own, parent)
    onset = _median_onset(own, parent.crs_onset_hours if parent else numbers[f"onset_median_hours_{suffix}"])
    return TherapyEvidence(
        key=key,
        step_up=step_up,
        rates=rates,
        patients=patients,
        crs_onset_hours=onset,
        icans_onset_hours=onset + numbers[f"icans_lag_hours_{suffix}"],
        onset_shape=numbers["onset_shape"],
        hours_to_next_grade=numbers[f"hours_to_next_grade_{suffix}"],
        step_share=shares.get(key, shares[""]) if step_up else _single(),
    )


def _by_indication(
    catalogue: Catalogue, own: list[Rate], parent: TherapyEvidence | None
) -> tuple[dict[str, tuple[float, ...]], dict[str, tuple[float, ...]]]:
    """Rates and patients behind them, by indication; a product without a cohort of its own has all its class's."""
    if parent and not own:
        return dict(parent.rates), dict.fromkeys(parent.rates, (0.0,) * len(RATES))
    overall, weights = _shrunk(own, parent.rates[""] if parent else None)
    rates, patients = {"": overall}, {"": weights}
    for indication in _indications(catalogue, own):
        rows = [rate for rate in own if indication in catalogue.indication_lineage(rate.indication)]
        above = next((rates[one] for one in catalogue.indication_lineage(indication)[1:] if one in rates), overall)
        rates[indication], patients[indication] = _shrunk(rows, above)
    return rates, patients


def _indications(catalogue: Catalogue, rows: Iterable[Rate]) -> list[str]:
    """Indications with a published rate and those below them, the wider before the narrower."""
    published = {above for rate in rows if rate.indication for above in catalogue.indication_lineage(rate.indication)}
    lineages = {key: catalogue.indication_lineage(key) for key in catalogue.indications}
    below = (key for key, line in lineages.items() if published & set(line))
    return sorted(below, key=lambda key: (len(lineages[key]), key))


def _shrunk(rows: list[Rate], above: tuple[float, ...] | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Pooled RATES and the patients behind each, drawn to the level above; grade 2 stands between grades 1 and 3."""
    pulled = policy()["shrinkage_patients"]
    rates, patients = [], []
    for family, position in (("crs", 0), ("icans", 3)):
        weigh = functools.partial(_weight, family)
        on_first, on_share, on_third = _centres(above, position)
        first, n_first = _beta_mean(_cells(rows, f"{family}_1plus", weigh), on_first, pulled)
        third, n_third = _beta_mean(_cells(rows, f"{family}_3plus", weigh), on_third, pulled)
        third = min(third, first)
        share, n_share = _beta_mean(_second_share(rows, family, weigh), on_share, pulled)
        rates += [first, third + share * (first - third), third]
        patients += [n_first, n_share, n_third]
    return tuple(rates), tuple(patients)


def _cells(rows: Iterable[Rate], column: str, weigh: "functools.partial[float]") -> list[tuple[float, float]]:
    cells = ((getattr(row, column), weigh(row, column)) for row in rows)
    return [(rate, patients) for rate, patients in cells if not math.isnan(rate) and patients > 0]


def _second_share(rows: Iterable[Rate], family: str, weigh: "functools.partial[float]") -> list[tuple[float, float]]:
    """Share of grade 2 among grades 1 and 2, where a source splits them."""
    cells = []
    for row in rows:
        first, second, third = (getattr(row, f"{family}_{grade}plus") for grade in (1, 2, 3))
        mild = first - third
        if not math.isnan(mild + second) and mild > 0:
            cells.append(((second - third) / mild, weigh(row, f"{family}_2plus") * mild))
    return [(min(max(share, 0.0), 1.0), patients) for share, patients in cells if patients > 0]


def _centres(above: tuple[float, ...] | None, position: int) -> tuple[float | None, float | None, float | None]:
    """Grade 1, the share of grade 2, and grade 3 of the level above; None where there is none."""
    if above is None:
        return None, None, None
    first, second, third = above[position : position + 3]
    return first, (second - third) / (first - third) if first > third else 0.5, third


def _beta_mean(cells: list[tuple[float, float]], above: float | None, pulled: float) -> tuple[float, float]:
    """Mean of the beta posterior with prior mean `above` worth `pulled` patients, or one half worth one patient.

    Also returns the effective number of patients behind the cells.
    """
    patients = sum(weight for _, weight in cells)
    events = sum(rate * weight for rate, weight in cells)
    centre, strength = (0.5, 1.0) if above is None else (above, pulled)
    mean = (events + centre * strength) / (patients + strength)
    return min(max(mean, LOWEST), HIGHEST), patients


def _weight(family: str, row: Rate, column: str) -> float:
    """Effective patients behind one published figure: size, capped, times how far its grading is comparable."""
    numbers = policy()
    size = numbers["patients_when_unread"] if math.isnan(row.n) else min(row.n, numbers["largest_cohort"])
    trust = numbers["weight_unverified"] if row.verified == "no" else 1.0
    return size * trust * _grading_weight(family, row, column)


def _grading_weight(family: str, row: Rate, column: str) -> float:
    numbers = policy()
    if family == "icans":
        return numbers["weight_astct"] if row.icans_grading == "ASTCT-2019" else numbers["weight_neurologic_ctcae"]
    if column == "crs_1plus":
        return 1.0  # fever begins CRS in every system, so the rate of any grade compares
    system = row.crs_grading.split("-")[0].lower() or "unstated"
    return numbers[f"weight_{system}"]


def _median_onset(rows: Iterable[Rate], otherwise: float) -> float:
    """Median onset in hours, averaged on the log scale over cohorts by size."""
    numbers = policy()
    stated = [(math.log(row.crs_onset_median_hours), row.n) for row in rows if row.crs_onset_median_hours > 0]
    weights = [numbers["patients_when_unread"] if math.isnan(n) else n for _, n in stated]
    if not stated:
        return otherwise
    return math.exp(sum(value * weight for (value, _), weight in zip(stated, weights, strict=True)) / sum(weights))


def _pooled_step_share(catalogue: Catalogue) -> dict[str, tuple[float, ...]]:
    """Share of first events by dose for each therapy that publishes it; "" holds the mean over those."""
    shares: dict[str, tuple[float, ...]] = {}
    for key in dict.fromkeys(step.therapy for step in catalogue.steps):
        counts = np.zeros(STEPS)
        for step in catalogue.steps:
            if step.therapy == key and not math.isnan(step.crs_rate):
                counts[min(step.step, STEPS) - 1] += step.crs_rate
        if counts.sum() > 0:
            shares[key] = tuple((counts / counts.sum()).tolist())
    mean = np.mean([*shares.values()], axis=0) if shares else np.full(STEPS, 1 / STEPS)
    return {**shares, "": tuple(mean.tolist())}


def _single() -> tuple[float, ...]:
    return (1.0,) + (0.0,) * (STEPS - 1)


def _lineage(catalogue: Catalogue, key: str) -> tuple[str, ...]:
    above = catalogue.lineage(key)
    return above if key in above else (key, *above)


def _parent(catalogue: Catalogue, key: str) -> str:
    above = [name for name in _lineage(catalogue, key) if name != key]
    return above[0] if above else ""


def _schedule(catalogue: Catalogue, key: str) -> str:
    return catalogue.classes[_lineage(catalogue, key)[-1]].schedule


def _classes_from_the_root(catalogue: Catalogue) -> list[str]:
    return sorted(catalogue.classes, key=lambda key: (len(_lineage(catalogue, key)), key))


@dataclass(frozen=True, slots=True)
class History:
    """What was charted of CRS (column 0) and ICANS (column 1) at or before the index time; both (n, 2).

    worst: worst grade seen, 0 if none. hours: since that grade was first reached or since the latest dose, whichever is
    less, because a new dose starts the wait anew; NaN if none.
    """

    worst: Array
    hours: Array


@dataclass(frozen=True, slots=True)
class Timing:
    """When the question is asked; all (n,). hours_since_dose is counted from the infusion or the latest dose."""

    hours_since_dose: Array
    dose_number: NDArray[np.int64]


class Prior:
    """Evidence laid out for arrays: one row per (therapy, indication) pair that has its own rates."""

    def __init__(self, evidence: Mapping[str, TherapyEvidence]) -> None:
        pairs = [(key, indication) for key, one in evidence.items() for indication in one.rates]
        self.evidence = dict(evidence)
        self._row = {pair: position for position, pair in enumerate(pairs)}
        self._rates = np.array([evidence[key].rates[indication] for key, indication in pairs]).reshape(-1, len(RATES))
        held = [evidence[key] for key, _ in pairs]
        self._onset = np.array([[one.crs_onset_hours, one.icans_onset_hours] for one in held]).reshape(-1, 2)
        self._shape = np.array([one.onset_shape for one in held])
        self._wait = np.array([one.hours_to_next_grade for one in held])
        self._step_up = np.array([one.step_up for one in held], dtype=bool)
        self._share = np.array([one.step_share for one in held]).reshape(-1, STEPS)
        self._passed = np.cumsum(self._share, axis=1) - self._share
        self._horizon = self._horizons()

    def rows(self, therapy: Iterable[str], indication: Iterable[str]) -> NDArray[np.int64]:
        """(n,) position of each course's evidence, -1 where nothing is published for the therapy."""
        known = self._row
        return np.array(
            [known.get((key, where), known.get((key, ""), -1)) for key, where in zip(therapy, indication, strict=True)],
            dtype=np.int64,
        )

    def step_up(self, rows: NDArray[np.int64]) -> Array:
        """(n,) 1 for a step-up schedule, 0 for a single infusion, NaN where nothing is known."""
        return np.where(rows < 0, np.nan, self._step_up[rows])

    def _horizons(self) -> Array:
        """(evidence rows, 2) hours from the dose to the horizon's end, for CRS and ICANS."""
        single, step_up = ([_hours(0, kind), _hours(3, kind)] for kind in (False, True))
        return np.where(self._step_up[:, None], step_up, single)

    def fractions(self, rows: NDArray[np.int64], timing: Timing) -> Array:
        """(n, 2) share of CRS and of ICANS onsets that have passed by the index time; NaN where nothing is known."""
        hours = timing.hours_since_dose[:, None]
        within = onset_fraction(hours, self._onset[rows], self._shape[rows, None], self._horizon[rows])
        place = np.minimum(timing.dose_number, STEPS) - 1
        fraction: Array = self._passed[rows, place, None] + self._share[rows, place, None] * within
        fraction[rows < 0] = np.nan
        return fraction

    def probabilities(self, rows: NDArray[np.int64], fractions: Array, history: History) -> Array:
        """(n, outcomes) probability still to come of each outcome; NaN where nothing is published for the therapy."""
        rates = self._rates[rows]
        fresh = remaining(rates[:, _RATE_OF], rates[:, _ANY_OF], fractions[:, _FAMILY_OF])
        result = fresh
        if history.worst.any():
            worse = self._escalated(rows, rates, history)
            # Each further dose can bring on a new event, whatever the earlier ones did.
            worse = np.where(self._step_up[rows, None], np.maximum(worse, fresh), worse)
            result = np.where(history.worst[:, _FAMILY_OF] > 0, worse, fresh)
        held: Array = np.minimum(np.maximum(result, LOWEST / 10), HIGHEST)
        held[rows < 0] = np.nan
        return held

    def _escalated(self, rows: NDArray[np.int64], rates: Array, history: History) -> Array:
        """(n, outcomes) what remains once a lower grade was charted; meaningless where none was."""
        grade = np.minimum(np.maximum(history.worst, 1), 3).astype(np.int64)
        reached = np.take_along_axis(rates, grade - 1 + _FIRST_RATE, axis=1)[:, _FAMILY_OF]
        after = np.take_along_axis(rates, np.minimum(grade, 2) + _FIRST_RATE, axis=1)[:, _FAMILY_OF]
        since = np.where(np.isnan(history.hours), 0.0, history.hours)[:, _FAMILY_OF]
        return escalation(rates[:, _RATE_OF], after, reached, since, self._wait[rows, None])

    def margins(self, rows: NDArray[np.int64], fractions: Array, history: History) -> Array:
        """(n, outcomes) log-odds of `probabilities`."""
        return log_odds(self.probabilities(rows, fractions, history))


def _hours(outcome: int, step_up: bool) -> float:
    return OUTCOMES[outcome].horizon_seconds(step_up) / HOUR


#: For each outcome: its place in RATES, the place of any grade of its event, and its family (0 CRS, 1 ICANS).
_RATE_OF = np.array([RATES.index(one.key) for one in OUTCOMES])
_FAMILY_OF = np.array([0 if one.key.startswith("crs") else 1 for one in OUTCOMES])
_ANY_OF = 3 * _FAMILY_OF
_FIRST_RATE = np.array([0, 3])
