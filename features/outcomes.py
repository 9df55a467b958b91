"""The five outcomes that are predicted, their grading scale and their horizons."""

from dataclasses import dataclass

from features.course import DAY, Event


@dataclass(frozen=True, slots=True)
class Outcome:
    """`event` reaching `grade` or worse after the index time and at or before the horizon's end."""

    key: str
    event: Event
    grade: int
    horizon_days: int
    horizon_days_step_up: int
    label: str

    def horizon_seconds(self, step_up: bool) -> int:
        """Length of the horizon, counted from the infusion, or from the latest dose of a step-up schedule."""
        return (self.horizon_days_step_up if step_up else self.horizon_days) * DAY


OUTCOMES: tuple[Outcome, ...] = (
    Outcome("crs_1plus", Event.CRS_GRADE, 1, 14, 10, "CRS of grade 1 or worse"),
    Outcome("crs_2plus", Event.CRS_GRADE, 2, 14, 10, "CRS of grade 2 or worse"),
    Outcome("crs_3plus", Event.CRS_GRADE, 3, 14, 10, "CRS of grade 3 or worse"),
    Outcome("icans_2plus", Event.ICANS_GRADE, 2, 30, 30, "ICANS of grade 2 or worse"),
    Outcome("icans_3plus", Event.ICANS_GRADE, 3, 30, 30, "ICANS of grade 3 or worse"),
)
OUTCOME_KEYS: tuple[str, ...] = tuple(outcome.key for outcome in OUTCOMES)
#: For each outcome the place of the next milder one of the same event, None where it is the mildest.
MILDER: tuple[int | None, ...] = tuple(
    place - 1 if place and OUTCOMES[place - 1].event == one.event else None for place, one in enumerate(OUTCOMES)
)


def outcome(key: str) -> Outcome:
    """The outcome of that key; KeyError if there is none."""
    return OUTCOMES[OUTCOME_KEYS.index(key)] if key in OUTCOME_KEYS else _unknown(key)


def _unknown(key: str) -> Outcome:
    raise KeyError(f"no outcome {key!r}; known: {', '.join(OUTCOME_KEYS)}")
