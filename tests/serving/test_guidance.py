"""Pointers are those of the grade that is charted at the index time, and of nothing else."""

import pytest

from features.course import HOUR, Event
from features.single import CourseInput, Observed
from serving.guidance import guidance
from serving.symptom_shape import Pointer

INDEX = 48 * HOUR


def pointers(
    *events: tuple[Event, float, float], therapy: str = "tisagenlecleucel", step_up: bool = False
) -> tuple[Pointer, ...]:
    seen = tuple(Observed(code, int(hours * HOUR), value) for code, value, hours in events)
    return guidance(CourseInput(therapy, "", INDEX, observations=seen), step_up)


def agents(found: tuple[Pointer, ...]) -> set[str]:
    return {word for one in found for word in one.agents}


def test_without_a_charted_grade_there_is_no_pointer() -> None:
    assert pointers() == ()
    assert pointers((Event.TOCILIZUMAB, 1.0, 10)) == ()
    assert pointers((Event.CRS_GRADE, 0.0, 10), (Event.ICANS_GRADE, 0.0, 10)) == ()


@pytest.mark.parametrize("grade", [1, 2, 3, 4])
@pytest.mark.parametrize(("event", "name"), [(Event.CRS_GRADE, "crs"), (Event.ICANS_GRADE, "icans")])
def test_the_pointers_are_those_of_the_event_and_its_grade(event: Event, name: str, grade: int) -> None:
    found = pointers((event, float(grade), 40))
    assert {(one.event, one.grade) for one in found} == {(name, grade)}
    assert {"supportive", "tocilizumab"} <= agents(found)
    assert all(one.link.startswith("https://") and one.source for one in found)


def test_refractory_agents_are_pointed_to_at_grade_four_only() -> None:
    assert {"anakinra", "siltuximab"} <= agents(pointers((Event.CRS_GRADE, 4.0, 40)))
    assert not {"anakinra", "siltuximab"} & agents(pointers((Event.CRS_GRADE, 3.0, 40)))


def test_corticosteroids_for_icans_begin_at_grade_two_in_asco() -> None:
    def asco(grade: float) -> set[str]:
        return agents(tuple(one for one in pointers((Event.ICANS_GRADE, grade, 40)) if "ASCO" in one.guideline))

    assert "corticosteroids" in asco(2.0)
    assert "corticosteroids" not in asco(1.0)


def test_the_latest_charted_grade_counts_and_the_higher_of_two_at_one_time() -> None:
    falling = pointers((Event.CRS_GRADE, 3.0, 20), (Event.CRS_GRADE, 1.0, 40))
    assert {one.grade for one in falling} == {1}
    assert pointers((Event.CRS_GRADE, 3.0, 20), (Event.CRS_GRADE, 0.0, 40)) == ()
    assert {one.grade for one in pointers((Event.CRS_GRADE, 1.0, 40), (Event.CRS_GRADE, 2.0, 40))} == {2}


def test_a_grade_at_the_index_time_is_seen_and_a_second_later_is_not() -> None:
    assert {one.grade for one in pointers((Event.CRS_GRADE, 2.0, 48))} == {2}
    assert pointers((Event.CRS_GRADE, 2.0, 48 + 1 / 3600)) == ()


def test_charted_hlh_points_to_its_own_paper_and_states_no_grade() -> None:
    (found,) = pointers((Event.HLH, 1.0, 40))
    assert (found.event, found.link) == ("iec-hs", "https://doi.org/10.1016/j.jtct.2023.03.006")
    assert not isinstance(found.grade, int)


def test_the_next_dose_is_spoken_of_only_for_a_therapy_given_in_steps() -> None:
    event = (Event.CRS_GRADE, 2.0, 40)
    in_steps = set(pointers(event, therapy="teclistamab", step_up=True))
    extra = in_steps - set(pointers(event, therapy="teclistamab"))
    assert len(extra) == 1
    assert "next step-up dose" in extra.pop().pointer


def test_a_label_is_pointed_to_for_its_own_therapy_and_the_grades_that_were_read() -> None:
    def label(therapy: str, grade: float) -> bool:
        return any(
            "label" in one.guideline for one in pointers((Event.CRS_GRADE, grade, 40), therapy=therapy, step_up=True)
        )

    assert label("tarlatamab", 2.0)
    assert not label("tarlatamab", 3.0)
    assert not label("teclistamab", 2.0)
