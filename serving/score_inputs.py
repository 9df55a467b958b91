"""Which values a score reads: its own time window, how old and how far apart they may be, and why one is missing."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from math import inf, isnan
from operator import attrgetter

from features import score_facts
from features.catalogue import Catalogue
from features.course import HOUR, Event
from features.score_facts import ScoreFacts, ScoreUnit
from features.single import Observed
from serving.score_shape import Gap, Input

#: (code, seconds, value) of each observation whose value is the analyser's limit.
AtLimit = frozenset[tuple[str, int, float]]
#: Why a score lacks an input.
WHYS = (
    *("missing", "too-old", "too-far-apart", "at-limit", "not-above-zero"),
    *("outside-window", "after-tocilizumab", "other-therapy"),
)


@dataclass(slots=True)
class Held:
    """A value in the score's own unit. shown: the same as the answer shows it."""

    code: str
    seconds: int
    value: float
    shown: Input


@dataclass(slots=True)
class Found:
    """The values that a score can use, what it lacks, and whether all values lie in the window it was made for."""

    values: dict[str, Held]
    gaps: tuple[Gap, ...]
    in_window: bool

    def get(self, code: str) -> float | None:
        held = self.values.get(code)
        return None if held is None else held.value


@dataclass(frozen=True, slots=True)
class _Limits:
    """A score's times in seconds, infinite where it states none."""

    age: float
    gap: float
    window_from: float
    window_to: float
    window_first: bool


class Seen:
    """The observations at or before one index time, by code. Scores share what they look up."""

    def __init__(
        self, catalogue: Catalogue, facts: ScoreFacts, observations: Iterable[Observed], index: int, at_limit: AtLimit
    ) -> None:
        self.catalogue, self.facts, self.index, self._at_limit = catalogue, facts, index, at_limit
        self._all = tuple(observations)
        self._codes = frozenset([one.code for one in self._all])
        self._chosen: dict[tuple[float, float, bool], dict[str, Observed]] = {}
        self._held: dict[tuple[str, int, float, str], Held] = {}
        doses = [one.seconds for one in self._all if one.code == _TOCILIZUMAB]
        #: Seconds of the first tocilizumab, None where none was given.
        self.first_tocilizumab = min(doses, default=None)

    def find(self, score: str, codes: tuple[str, ...], highest: str = "") -> Found:
        """The values of `codes` for a score: of its own window first where it says so, else the latest.

        Where both lack something, the one that lacks less. highest: a code of which the highest value counts.
        """
        limits = _limits(score)
        if not limits.window_first:
            return self._between(score, codes, self.index - limits.age, self.index, highest)
        own = self._between(score, codes, limits.window_from, limits.window_to, highest)
        if not own.gaps:
            return own
        latest = self._between(score, codes, self.index - limits.age, self.index, highest)
        return own if len(own.gaps) < len(latest.gaps) else latest

    def within(self, score: str, codes: tuple[str, ...], before: float) -> Found:
        """The highest values of `codes` in the score's window and before a time (seconds, exclusive)."""
        limits = _limits(score)
        chosen = self._choose(limits.window_from, min(limits.window_to, self.index, before - 1), True)
        return self._checked(score, [(code, chosen.get(code)) for code in codes], "outside-window")

    def _between(self, score: str, codes: tuple[str, ...], low: float, high: float, highest: str) -> Found:
        high = min(high, self.index)
        latest = self._choose(low, high, False)
        picked = [(code, (self._choose(low, high, True) if code == highest else latest).get(code)) for code in codes]
        return self._checked(score, picked, "too-old")

    def _choose(self, low: float, high: float, highest: bool) -> dict[str, Observed]:
        """Per code the latest between two times, both inclusive (of several at one time the larger), or the highest."""
        key = (low, high, highest)
        found = self._chosen.get(key)
        if found is None:
            found = self._chosen[key] = {}
            for one in self._all:
                if low <= one.seconds <= high:
                    held = found.get(one.code)
                    if held is None or _comes_before(held, one, highest):
                        found[one.code] = one
        return found

    def _checked(self, score: str, picked: Iterable[tuple[str, Observed | None]], why_outside: str) -> Found:
        """picked: code and its chosen observation; why_outside: where there are others that were not chosen."""
        gaps: list[Gap] = []
        values: dict[str, Held] = {}
        for code, one in picked:
            if one is None:
                gaps.append(Gap(code, why_outside if code in self._codes else "missing"))
            elif self._at_limit and (one.code, one.seconds, one.value) in self._at_limit:
                gaps.append(Gap(code, "at-limit"))
            else:
                values[code] = self._in_unit(score, one)
        return _timed(_limits(score), values, gaps)

    def _in_unit(self, score: str, one: Observed) -> Held:
        rule = self.facts.units.get((score, one.code))
        key = (one.code, one.seconds, one.value, rule.unit if rule else "")
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = _held(one, rule, self.catalogue.analytes[one.code].unit)
        return held


def inputs(found: Found) -> tuple[Input, ...]:
    """The values as the answer shows them."""
    return tuple([one.shown for one in found.values.values()])


def _held(one: Observed, rule: ScoreUnit | None, canonical: str) -> Held:
    value = one.value * rule.multiply / rule.divide if rule else one.value
    shown = Input(one.code, six(value), rule.unit if rule else canonical, six(one.seconds / HOUR))
    return Held(one.code, one.seconds, value, shown)


def _timed(limits: _Limits, values: dict[str, Held], gaps: list[Gap]) -> Found:
    """Names the oldest value where it lies further from the newest than is allowed, and looks at the window."""
    if not values:
        return Found(values, tuple(gaps), True)
    oldest = min(values.values(), key=_seconds)
    newest = max(values.values(), key=_seconds)
    if newest.seconds - oldest.seconds > limits.gap:
        gaps.append(Gap(oldest.code, "too-far-apart"))
    inside = limits.window_from <= oldest.seconds and newest.seconds <= limits.window_to
    return Found(values, tuple(gaps), inside)


@cache
def _limits(score: str) -> _Limits:
    times = score_facts.load().times[score]
    return _Limits(
        age=_seconds_or(times.max_age_hours, inf),
        gap=_seconds_or(times.max_gap_hours, inf),
        window_from=_seconds_or(times.from_hours, -inf),
        window_to=_seconds_or(times.to_hours, inf),
        window_first=times.window_first,
    )


def _seconds_or(hours: float, otherwise: float) -> float:
    return otherwise if isnan(hours) else hours * HOUR


_seconds = attrgetter("seconds")
_TOCILIZUMAB = Event.TOCILIZUMAB.value


def _comes_before(held: Observed, one: Observed, highest: bool) -> bool:
    """Whether `one` is to be taken instead: it is later, or higher; the other decides between equals."""
    if highest:
        return (one.value, one.seconds) > (held.value, held.seconds)
    return (one.seconds, one.value) > (held.seconds, held.value)


def six(value: float) -> float:
    """The number with six significant digits, as everywhere in an answer; a short whole number has no more."""
    return value if value.is_integer() and -1e6 < value < 1e6 else float(f"{value:.6g}")
