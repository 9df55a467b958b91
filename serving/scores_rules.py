"""Rules with a verdict: Gust, Hay (unverified) and Severe4. A known item that fails settles what is missing."""

from collections.abc import Iterable

from features.course import HOUR
from features.point_scores import is_reached
from features.score_facts import ScoreFacts
from serving.findings import Known
from serving.notes import Note
from serving.score_inputs import Found, Seen, inputs
from serving.score_parts import UNVERIFIED, WINDOW_OPEN, computed, lacking
from serving.score_shape import Gap, Score

EARLY = {"gust": ("temperature", "il6", "mcp1"), "hay": ("temperature", "mcp1")}
_VERDICTS = {"gust": ("high-risk", "not-high-risk"), "hay": ("predicted", "not-predicted")}
CIRS_ITEMS = ("cirs_respiratory", "cirs_upper_gastrointestinal", "cirs_hepatic", "cirs_renal")


def early_rule(key: str, seen: Seen, prophylactic_tocilizumab: bool, other_therapy: bool) -> Score:
    """The Gust or Hay rule over the highest values of its window before any tocilizumab."""
    if other_therapy:
        return _void(key, "other-therapy")
    if prophylactic_tocilizumab:
        return _void(key, "after-tocilizumab")
    treated = seen.first_tocilizumab
    ends = int(seen.facts.times[key].to_hours * HOUR)
    found = seen.within(key, EARLY[key], min(ends + 1, treated if treated is not None else ends + 1))
    verdict = all_reached(seen.facts, key, found)
    if verdict is not True and treated is not None and treated <= ends:
        return _void(key, "after-tocilizumab")
    if verdict is None:
        return lacking(key, found.gaps, *_unverified(key))
    still_open = not verdict and seen.index < ends
    return computed(
        key,
        *_unverified(key),
        *((WINDOW_OPEN,) if still_open else ()),
        result=_VERDICTS[key][0 if verdict else 1],
        inputs=inputs(found),
        missing=found.gaps,
    )


def _void(key: str, why: str) -> Score:
    return lacking(key, tuple(Gap(code, why) for code in EARLY[key]), *_unverified(key))


def all_reached(facts: ScoreFacts, key: str, found: Found) -> bool | None:
    """True if every item reaches its cut, False if a known one does not, None where that cannot be told."""
    return _all(_is(facts, key, code, found.get(code)) for code in EARLY[key])


def severe4(facts: ScoreFacts, known: Known) -> Score:
    """positive if any of the four organ systems has CIRS 3 or more; negative only where all four are known."""
    grades = {item: known.get(item) for item in CIRS_ITEMS}
    any_severe = _any(_is(facts, "severe4", item, value) for item, value in grades.items())
    gaps = tuple(Gap(item, "missing") for item, value in grades.items() if value is None)
    if any_severe is None:
        return lacking("severe4", gaps)
    held = {item: value for item, value in grades.items() if value is not None}
    return computed("severe4", result="positive" if any_severe else "negative", points=held, missing=gaps)


def _is(facts: ScoreFacts, key: str, item: str, value: float | None) -> bool | None:
    return is_reached(facts.cuts[key, item], value)


def _all(parts: Iterable[bool | None]) -> bool | None:
    held = list(parts)
    return False if False in held else None if None in held else True


def _any(parts: Iterable[bool | None]) -> bool | None:
    held = list(parts)
    return True if True in held else None if None in held else False


def _unverified(key: str) -> tuple[Note, ...]:
    return (UNVERIFIED,) if key == "hay" else ()
