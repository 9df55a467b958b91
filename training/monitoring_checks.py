"""The checks of a deployed version: outcomes reported, drift, and calibration per outcome, each with a verdict."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.outcomes import OUTCOMES, Outcome
from features.prior import log_odds
from training.metrics import calibration_intercept, interval, resamples
from training.monitoring_chart import Chart, chart, power
from training.monitoring_exact import in_the_large
from training.monitoring_policy import MonitoringPolicy
from training.monitoring_rows import Joined

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

STEADY, WATCH, ALARM, TOO_FEW = "steady", "watch", "alarm", "too few to judge"
YEAR = 365.25 * 86_400
#: The seed of every simulation, so that the same ledger gives the same report.
SEED = 1
#: Probabilities are moved this far off 0 and 1 before their odds are taken.
_EDGE = 1e-6


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict, one sentence, and the numbers behind it as plain JSON."""

    name: str
    verdict: str
    text: str
    numbers: Mapping[str, Any]


def overall(checks: list[Check]) -> str:
    """The worst verdict; too few to judge where no outcome's calibration could be judged and nothing stands out."""
    verdicts = [one.verdict for one in checks]
    for one in (ALARM, WATCH):
        if one in verdicts:
            return one
    judged = [one.verdict for one in checks if one.name.startswith(CALIBRATION)]
    return STEADY if STEADY in judged else TOO_FEW


CALIBRATION = "calibration: "


def check_reported(joined: Joined, policy: MonitoringPolicy) -> Check:
    """Whether outcomes come in: those that are told must not be the bad ones alone."""
    due = joined.first & joined.over.all(axis=1)
    missing = int((due & ~joined.reported).sum())
    share = missing / due.sum() if due.any() else 0.0
    verdict = TOO_FEW if due.sum() < policy.fewest_recent else WATCH if share > policy.largest_unreported else STEADY
    text = f"{missing} of {int(due.sum())} courses whose horizons are over have no reported outcome"
    return Check("outcomes reported", verdict, text, {"due": int(due.sum()), "unreported": missing, "share": share})


def check_calibration(joined: Joined, place: int, began: float, policy: MonitoringPolicy) -> Check:
    """One outcome: the chart decides; the figures beside it say how far off, with and without the treated.

    began: seconds since 1970 at which the chart starts.
    """
    outcome = OUTCOMES[place]
    usable, left_out = _usable(joined, place)
    headline = usable & joined.first & ~joined.treated
    found, watched, chance = _charts(joined, place, headline, began, policy)
    numbers = {
        "courses": int(headline.sum()),
        "everyone": _large(joined, place, headline),
        "without_treated_because_warned": _large(joined, place, headline & ~joined.because[:, place]),
        "treated_because_warned": _large(joined, place, headline & joined.because[:, place]),
        "treated_before": _large(joined, place, usable & joined.first & joined.treated),
        "all_landmarks": _all_landmarks(joined, place, usable & ~joined.treated, policy),
        "alarm": found.alarm,
        "watch": watched.alarm,
        "chance_to_have_seen": chance,
        "left_out": left_out,
        "chart": _drawn(joined, place, headline, found),
    }
    verdict = ALARM if found.alarm else WATCH if watched.alarm else TOO_FEW if chance < policy.least_power else STEADY
    return Check(CALIBRATION + outcome.key, verdict, _text(outcome, verdict, numbers, policy), numbers)


def _usable(joined: Joined, place: int) -> tuple[Mask, dict[str, int]]:
    """Rows with an answer and a label by the commonest system, and the first rows that another system leaves out."""
    known = ~np.isnan(joined.label[:, place]) & ~np.isnan(joined.probability[:, place])
    systems = np.array([one[place] for one in joined.gradings], dtype=str)
    counted = Counter(systems[known].tolist()).most_common()
    if not counted:
        return known, {}
    of_system: Mask = known & (systems == counted[0][0])
    return of_system, {f"graded by {name}": number for name, number in counted[1:]}


def _charts(
    joined: Joined, place: int, which: Mask, began: float, policy: MonitoringPolicy
) -> tuple[Chart, Chart, float]:
    """The chart at the alarm's and at the watch's rate, and the chance to have seen what should be seen."""
    order = _order(joined, place, which)
    label, chance = joined.label[order, place], _probability(joined, place, order)
    years = (joined.known_on[order, place] - began) / YEAR
    each = [rate / len(OUTCOMES) for rate in (policy.false_alarms_per_year, policy.false_watches_per_year)]
    found, watched = (
        chart(label, chance, years, rate, policy.design_odds_ratio, policy.chart_draws, SEED) for rate in each
    )
    seen = power(chance, found, policy.design_odds_ratio, policy.power_odds_ratio, policy.chart_draws // 5, SEED + 1)
    return found, watched, seen


def _order(joined: Joined, place: int, which: Mask) -> NDArray[np.int64]:
    """Places of rows in the order in which their outcomes became known."""
    rows = np.flatnonzero(which)
    ordered: NDArray[np.int64] = rows[np.lexsort((joined.time[rows], joined.known_on[rows, place]))]
    return ordered


def _probability(joined: Joined, place: int, rows: NDArray[Any]) -> Array:
    clipped: Array = np.clip(joined.probability[rows, place], _EDGE, 1 - _EDGE)
    return clipped


def _large(joined: Joined, place: int, which: Mask) -> dict[str, Any] | None:
    if not which.any():
        return None
    return asdict(in_the_large(joined.label[which, place], _probability(joined, place, which)))


def _all_landmarks(joined: Joined, place: int, which: Mask, policy: MonitoringPolicy) -> dict[str, Any] | None:
    """The shift over all times of asking, whose rows go together: its interval is over resampled courses."""
    if not which.any():
        return None
    label, score = joined.label[which, place], log_odds(_probability(joined, place, which))
    weights = resamples(joined.groups()[which], policy.bootstrap, SEED)
    sample = np.array([calibration_intercept(label, score, weight) for weight in weights])
    found = interval(calibration_intercept(label, score, np.ones(len(label))), sample)
    return {"rows": len(label), "events": int(label.sum()), "shift": asdict(found)}


def _drawn(joined: Joined, place: int, which: Mask, found: Chart) -> dict[str, Any]:
    order = _order(joined, place, which)
    return {
        "known_on": joined.known_on[order, place].tolist(),
        "statistic": found.statistic.tolist(),
        "limit": np.where(np.isfinite(found.limit), found.limit, np.nan).tolist(),
        "excess": np.cumsum(joined.label[order, place] - joined.probability[order, place]).tolist(),
    }


def _text(outcome: Outcome, verdict: str, numbers: Mapping[str, Any], policy: MonitoringPolicy) -> str:
    everyone = numbers["everyone"]
    if everyone is None:
        return f"{outcome.label}: no course with a known outcome yet"
    seen = f"{everyone['observed']} of {everyone['courses']} courses had it, {everyone['expected']:.1f} were expected"
    if verdict in (ALARM, WATCH):
        way = numbers["alarm"] or numbers["watch"]
        because = numbers["treated_because_warned"]
        why = " Treatment after a warning may be why." if because and way == "fewer" else ""
        return f"{seen}: {way} events than stated, by more than chance allows at this rate of false alarms.{why}"
    chance = numbers["chance_to_have_seen"]
    return f"{seen}; {policy.power_odds_ratio:g} times the odds would have shown by now with a chance of {chance:.0%}"
