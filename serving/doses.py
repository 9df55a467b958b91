"""Which dose an index time follows, counted as in training: by the times of the doses, never by a stated number."""

from collections.abc import Iterable
from dataclasses import dataclass

from features.catalogue import Catalogue
from features.course import Event
from features.single import Observed
from serving import guard, notes
from serving.notes import Note


@dataclass(frozen=True, slots=True)
class Dose:
    """A dose at `seconds` from the start. number: its rank among the distinct times of doses, from 1."""

    seconds: int
    number: int


@dataclass(frozen=True, slots=True)
class Charted:
    """An event that happened. stated: the value that was sent, None where none was."""

    event: Observed
    stated: float | None


def latest_dose(
    catalogue: Catalogue, therapy: str, events: Iterable[Charted], index: int
) -> tuple[Dose, tuple[Note, ...]]:
    """The latest dose at or before the index time; the start is dose 1 whether it was charted or not."""
    given = [one for one in events if one.event.code == Event.STEP_DOSE and 0 <= one.event.seconds <= index]
    if not given:
        return Dose(0, 1), ()
    if therapy and not guard.is_step_up(catalogue, therapy):
        return Dose(0, 1), (notes.STEP_DOSE_IGNORED,)
    times = sorted({0, *(one.event.seconds for one in given)})
    number = {seconds: rank for rank, seconds in enumerate(times, start=1)}
    differs = any(one.stated not in (None, number[one.event.seconds]) for one in given)
    return Dose(times[-1], len(times)), (notes.DOSE_NUMBER_DIFFERS,) if differs else ()
