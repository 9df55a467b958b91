"""The score before this one: the same course as it was known at the last time the question was due."""

from dataclasses import replace

from features.course import DAY, HOUR, Event
from features.index_times import DOSE_HOURS, INFUSION_HOURS
from features.single import CourseInput


def asked_before(course: CourseInput, step_up: bool, stated: int | None = None) -> CourseInput | None:
    """The course at the index time before its own; None where there is none.

    stated: seconds at which the client last asked, which must lie before the index time. Otherwise the last scheduled
    index time is taken: those of training, and every 24 h once they are over. Nothing stamped later than it is seen.
    """
    earlier = _due(course, step_up) if stated is None else stated
    if earlier is None:
        return None
    doses = [seconds for seconds in _doses(course) if seconds <= earlier] if step_up else [0]
    seen = tuple(one for one in course.observations if one.seconds <= earlier)
    latest, number = (doses[-1], len(doses)) if doses else (0, 1)
    return replace(course, index_seconds=earlier, dose_seconds=latest, dose_number=number, observations=seen)


def _due(course: CourseInput, step_up: bool) -> int | None:
    """Seconds of the last scheduled index time before the course's own."""
    index = course.index_seconds
    if step_up:
        due = [dose + hours * HOUR for dose in _doses(course) for hours in DOSE_HOURS]
        last = course.dose_seconds + DOSE_HOURS[-1] * HOUR
    else:
        due = [hours * HOUR for hours in INFUSION_HOURS]
        last = INFUSION_HOURS[-1] * HOUR
    if index - DAY > last:
        return index - DAY
    passed = [seconds for seconds in due if seconds < index]
    return max(passed) if passed else None


def _doses(course: CourseInput) -> list[int]:
    """Seconds of the doses so far; the start is one whether it was charted or not."""
    charted = {one.seconds for one in course.observations if one.code == Event.STEP_DOSE and one.seconds >= 0}
    return sorted({0, *charted})
