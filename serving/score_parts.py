"""The parts that every score of an answer is put together from: what it was made for, its source, its remarks."""

from functools import cache
from math import isnan
from typing import Any

from features import score_facts
from features.score_facts import ScoreTimes
from serving.notes import Note
from serving.score_shape import About, Gap, MadeFor, Score

COMPUTED, NOT_COMPUTED = "computed", "not-computed"

OTHER_THERAPY = Note("score-other-therapy", "This score was made for CAR-T cells; this course is of another therapy.")
WINDOW_OPEN = Note("score-window-open", "The time window of this rule is not over: so far only.")
UNVERIFIED = Note(
    "score-unverified", "The cut-offs of this rule could not be confirmed in its paper: shown as unverified."
)
NOT_ALL_KNOWN = Note("score-lower-limit", "Items are missing: only a lower limit is known.")


def computed(key: str, *notes: Note, **parts: Any) -> Score:
    """A score that could be computed, with all that is said of it."""
    fact = score_facts.load().scores[key]
    return Score(key, COMPUTED, fact.source, fact.verified, notes=notes, made_for=made_for(key), **parts)


def lacking(key: str, gaps: tuple[Gap, ...], *notes: Note, **parts: Any) -> Score:
    """A score that could not be computed, and what it lacks."""
    fact = score_facts.load().scores[key]
    return Score(key, NOT_COMPUTED, fact.source, fact.verified, missing=gaps, notes=notes, **parts)


@cache
def about(key: str) -> About:
    tables = score_facts.load()
    fact = tables.scores[key]
    return About(
        formula=fact.formula,
        population=fact.population,
        outcome=fact.outcome,
        time_point=fact.time_point,
        threshold=fact.threshold,
        validation=fact.validation,
        against=fact.against,
        input_age=_input_age(tables.times[key]),
    )


@cache
def made_for(key: str) -> MadeFor:
    fact = score_facts.load().scores[key]
    return MadeFor(fact.population, fact.outcome, fact.time_point, fact.threshold)


@cache
def elsewhere(key: str) -> Note:
    """The remark on inputs outside the score's own time point."""
    point = score_facts.load().scores[key].time_point
    text = f"The inputs lie outside the time this score was made for ({point}): no published threshold is applied."
    return Note("score-inputs-elsewhere", text)


def timing(key: str, in_window: bool, other_therapy: bool) -> tuple[Note, ...]:
    """What is to be said of the time of the inputs, and of the therapy."""
    other = other_therapy and score_facts.load().scores[key].car_t_only
    return (*(() if in_window else (elsewhere(key),)), *((OTHER_THERAPY,) if other else ()))


def _input_age(times: ScoreTimes) -> str:
    """The age rule in words, with whose rule it is."""
    if isnan(times.max_age_hours):
        return times.note or "no limit: nothing is measured"
    apart = "" if isnan(times.max_gap_hours) else f", {times.max_gap_hours:g} hours apart"
    return f"at most {times.max_age_hours:g} hours before the index time{apart}: {times.source}, not verified"
