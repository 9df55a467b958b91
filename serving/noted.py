"""The courses that a call has answered, for whoever works on once the answer has left."""

from contextvars import ContextVar

from features.single import CourseInput

Noted = tuple[str, CourseInput]

#: Prediction ids and courses of the call that is being answered; set by the front, filled as answers are recorded.
NOTED: ContextVar[list[Noted]] = ContextVar("noted")


def note(prediction_id: str, course: CourseInput) -> None:
    """Remember a course whose answer is on record."""
    if (noted := NOTED.get(None)) is not None:
        noted.append((prediction_id, course))
