"""The published rates of a therapy as the log-odds from which a model starts, laid out for arrays.

With onset distribution F, a course that has had no event until t keeps p (F(end) - F(t)) / (1 - p1 F(t)), where p1 is
the rate of any grade and F(end), the share of onsets by the horizon's end, is less than 1 only where doses lie beyond
it. Once a lower grade is there, what remains is the conditional rate, which fades with the time since it came.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.course import HOUR
from features.evidence import HIGHEST, LOWEST, MITIGATIONS, RATES, STEPS, TherapyEvidence
from features.outcomes import OUTCOMES

Array = NDArray[np.float64]


def onset_fraction(hours: Array, median: Array, shape: Array, horizon_hours: Array) -> Array:
    """Share of events that have begun within `hours` of the dose, of those that begin within the horizon.

    Log-logistic, cut at the horizon: 0 at or before hour 0, 1 at and after the horizon. All (n,).
    """
    reached = _log_logistic(np.minimum(np.maximum(hours, 0.0), horizon_hours), median, shape)
    return reached / _log_logistic(horizon_hours, median, shape)


def _log_logistic(hours: Array, median: Array, shape: Array) -> Array:
    scaled = np.power(hours / median, shape)
    return scaled / (1.0 + scaled)


def remaining(rate: Array, any_rate: Array, fraction: Array, within: Array | float = 1.0) -> Array:
    """Probability still to come when no event of any grade has been seen and `fraction` of onsets have passed.

    within: share of onsets that will have come by the horizon's end; less than 1 where later doses lie beyond it.
    """
    return rate * np.maximum(within - fraction, 0.0) / (1.0 - any_rate * fraction)


def escalation(rate: Array, next_rate: Array, reached_rate: Array, hours_since: Array, mean_wait: Array) -> Array:
    """Probability of a worse grade once a lower one was reached `hours_since` ago, waits being exponential.

    rate, next_rate, reached_rate: of the worse grade, of the grade next to the one reached, and of the one reached.
    Who goes on to any worse grade is still waiting for the next one, with probability S = exp(-hours / mean_wait).
    """
    waiting = np.exp(-np.maximum(hours_since, 0.0) / mean_wait)
    still_possible = np.maximum((reached_rate - next_rate) + next_rate * waiting, rate * waiting)
    return np.where(waiting > 0, rate * waiting / np.where(waiting > 0, still_possible, 1.0), 0.0)


def log_odds(probability: Array) -> Array:
    """Natural log of p / (1 - p)."""
    return np.log(probability) - np.log1p(-probability)


def sigmoid(log_odds: Array) -> Array:
    """Probability of log-odds, without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * log_odds))


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
    """Evidence laid out for arrays: one row per therapy, indication and prophylaxis that has its own rates."""

    def __init__(self, evidence: Mapping[str, TherapyEvidence]) -> None:
        places = [(key, *one) for key, held in evidence.items() for one in _rates_of(held)]
        self.evidence = dict(evidence)
        self._row = {place[:3]: position for position, place in enumerate(places)}
        self._keys = list(self._row)
        self._rates = np.array([place[3] for place in places]).reshape(-1, len(RATES))
        held = [evidence[place[0]] for place in places]
        spread = [one.spread.get(place[1], one.spread[""]) for place, one in zip(places, held, strict=True)]
        self._spread = np.array(spread).reshape(-1, len(RATES))
        self._onset = np.array([[one.crs_onset_hours, one.icans_onset_hours] for one in held]).reshape(-1, 2)
        self._shape = np.array([one.onset_shape for one in held])
        self._wait = np.array([one.hours_to_next_grade for one in held])
        self._step_up = np.array([one.step_up for one in held], dtype=bool)
        self._share = np.array([one.step_share for one in held]).reshape(-1, STEPS)
        self._passed = np.cumsum(self._share, axis=1) - self._share
        self._horizon = self._horizons()
        self._within = self._by_the_end(np.array([one.dose_hours for one in held]).reshape(-1, STEPS))

    def rows(
        self, therapy: Sequence[str], indication: Sequence[str], given: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """(n,) position of each course's evidence, -1 where nothing is published for the therapy.

        given: (n, MITIGATIONS) what was given as prophylaxis; the first that a published cohort had counts.
        """
        known = self._row
        pairs = zip(therapy, indication, strict=True)
        found = np.array([known.get((key, where, ""), known.get((key, "", ""), -1)) for key, where in pairs], np.int64)
        if given is None:
            return found
        for place in np.flatnonzero(given.any(axis=1)).tolist():
            names = (MITIGATIONS[one] for one in np.flatnonzero(given[place]).tolist())
            rows = (known.get((therapy[place], indication[place], name), -1) for name in names)
            found[place] = next((row for row in rows if row >= 0), int(found[place]))
        return found

    def key_of(self, row: int) -> tuple[str, ...]:
        """Therapy, indication and prophylaxis of the evidence at a position; () for -1."""
        return self._keys[row] if row >= 0 else ()

    def row_of(self, key: Sequence[str]) -> int:
        """The position of key_of; -1 for (). KeyError where there is no such evidence."""
        return self._row[key[0], key[1], key[2]] if key else -1

    def spread(self, rows: NDArray[np.int64]) -> Array:
        """(n, outcomes) standard deviation of the published log-odds; NaN where nothing is published."""
        return np.where(rows[:, None] < 0, np.nan, self._spread[rows][:, _RATE_OF])

    def step_up(self, rows: NDArray[np.int64]) -> Array:
        """(n,) 1 for a step-up schedule, 0 for a single infusion, NaN where nothing is known."""
        return np.where(rows < 0, np.nan, self._step_up[rows])

    def _horizons(self) -> Array:
        """(evidence rows, 2) hours from the dose to the horizon's end, for CRS and ICANS."""
        single, step_up = ([_hours(0, kind), _hours(3, kind)] for kind in (False, True))
        return np.where(self._step_up[:, None], step_up, single)

    def _by_the_end(self, dose_hours: Array) -> Array:
        """(evidence rows, STEPS, 2) share of onsets that have come by the horizon's end, asked after each dose."""
        apart = dose_hours[:, None, :] - dose_hours[:, :, None]
        left = self._horizon[:, None, None, :] - apart[..., None]
        onset, shape = self._onset[:, None, None, :], self._shape[:, None, None, None]
        onsets = onset_fraction(left, onset, shape, np.broadcast_to(self._horizon[:, None, None, :], left.shape))
        later = np.triu(np.ones((STEPS, STEPS)), k=1)[None, :, :, None]
        to_come = (self._share[:, None, :, None] * later * onsets).sum(axis=2)
        found: Array = (self._passed + self._share)[:, :, None] + to_come
        return found

    def within(self, rows: NDArray[np.int64], timing: Timing) -> Array:
        """(n, 2) share of CRS and of ICANS onsets that will have come by the horizon's end; 1 for a single infusion."""
        found: Array = self._within[rows, np.minimum(timing.dose_number, STEPS) - 1]
        return found

    def fractions(self, rows: NDArray[np.int64], timing: Timing) -> Array:
        """(n, 2) share of CRS and of ICANS onsets that have passed by the index time; NaN where nothing is known."""
        hours = timing.hours_since_dose[:, None]
        within = onset_fraction(hours, self._onset[rows], self._shape[rows, None], self._horizon[rows])
        place = np.minimum(timing.dose_number, STEPS) - 1
        fraction: Array = self._passed[rows, place, None] + self._share[rows, place, None] * within
        fraction[rows < 0] = np.nan
        return fraction

    def probabilities(
        self, rows: NDArray[np.int64], fractions: Array, history: History, within: Array | float = 1.0
    ) -> Array:
        """(n, outcomes) probability still to come of each outcome; NaN where nothing is published for the therapy."""
        rates = self._rates[rows]
        by_the_end = np.broadcast_to(within, fractions.shape)[:, _FAMILY_OF]
        fresh = remaining(rates[:, _RATE_OF], rates[:, _ANY_OF], fractions[:, _FAMILY_OF], by_the_end)
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

    def margins(
        self, rows: NDArray[np.int64], fractions: Array, history: History, within: Array | float = 1.0
    ) -> Array:
        """(n, outcomes) log-odds of `probabilities`."""
        return log_odds(self.probabilities(rows, fractions, history, within))


def _rates_of(one: TherapyEvidence) -> Iterator[tuple[str, str, tuple[float, ...]]]:
    """Indication, prophylaxis ("" for none) and rates of everything that is published of a therapy."""
    yield from ((indication, "", rates) for indication, rates in one.rates.items())
    for name, by_indication in one.mitigated.items():
        yield from ((indication, name, rates) for indication, rates in by_indication.items())


def _hours(outcome: int, step_up: bool) -> float:
    return OUTCOMES[outcome].horizon_seconds(step_up) / HOUR


#: For each outcome: its place in RATES, the place of any grade of its event, and its family (0 CRS, 1 ICANS).
_RATE_OF = np.array([RATES.index(one.key) for one in OUTCOMES])
_FAMILY_OF = np.array([0 if one.key.startswith("crs") else 1 for one in OUTCOMES])
_ANY_OF = 3 * _FAMILY_OF
_FIRST_RATE = np.array([0, 3])
