"""Pointers into guidelines for the grade that is charted at the index time: where to read, never what to do."""

from collections.abc import Iterator

from msgspec import UNSET

from features.course import Event
from features.single import CourseInput
from serving import symptom_tables
from serving.symptom_shape import Pointer
from serving.symptom_tables import Guideline

_GRADED = {Event.CRS_GRADE: "crs", Event.ICANS_GRADE: "icans"}
_HLH = "iec-hs"


def guidance(course: CourseInput, step_up: bool) -> tuple[Pointer, ...]:
    """Pointers for the latest charted grades of CRS and ICANS and for charted HLH; () where none is charted.

    step_up: whether the therapy is given in steps. Of two grades at one time the higher counts; grade 0 has none.
    """
    charted = dict(_charted(course))
    if not charted:
        return ()
    return tuple(
        _pointer(row, charted[row.event])
        for row in symptom_tables.load().guidelines
        if row.event in charted and _concerns(row, charted[row.event], course.therapy, step_up)
    )


def _charted(course: CourseInput) -> Iterator[tuple[str, int]]:
    """Each charted event with its latest grade above 0; an event without grades with 0."""
    seen = [one for one in course.observations if one.seconds <= course.index_seconds]
    for code, event in _GRADED.items():
        grades = [(one.seconds, one.value) for one in seen if one.code == code]
        if grades and max(grades)[1] > 0:
            yield event, int(max(grades)[1])
    if any(one.code == Event.HLH for one in seen):
        yield _HLH, 0


def _concerns(row: Guideline, grade: int, therapy: str, step_up: bool) -> bool:
    graded = not row.grades or str(grade) in row.grades
    return graded and row.therapy in ("", therapy) and (step_up or row.scope == "any")


def _pointer(row: Guideline, grade: int) -> Pointer:
    return Pointer(
        event=row.event,
        agents=row.agents,
        pointer=row.pointer,
        guideline=row.guideline,
        link=row.link,
        source=row.source,
        verified=row.verified,
        grade=grade or UNSET,
    )
