"""Index times, layers and attrition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.attrition import STEPS, attrition
from data.cohort import index_table, layers
from data.labels import label_layers
from features.course import DAY, HOUR
from features.outcomes import OUTCOME_KEYS
from tests.data.frames import AXI, TEC, cohort, courses, events, observations


def questions(*charted: tuple[object, ...], therapy: str = TEC) -> list[tuple[str, int, int, int]]:
    """(name, index hours, dose hours, dose number) of the one course."""
    index = index_table(cohort(courses("a", therapy=therapy), None, events(*charted)))
    hours = (index.index_seconds // HOUR).tolist(), (index.dose_seconds // HOUR).tolist()
    return list(zip(index.name.tolist(), *hours, index.dose_number.tolist(), strict=True))


def test_single_infusion_is_asked_at_0_24_48_and_72_hours() -> None:
    assert questions(therapy=AXI) == [("0h", 0, 0, 1), ("24h", 24, 0, 1), ("48h", 48, 0, 1), ("72h", 72, 0, 1)]


def test_step_up_is_asked_at_each_dose_and_12_and_24_hours_after() -> None:
    assert questions(("a", 72, "step_dose", 2)) == [
        ("dose1+0h", 0, 0, 1),
        ("dose1+12h", 12, 0, 1),
        ("dose1+24h", 24, 0, 1),
        ("dose2+0h", 72, 72, 2),
        ("dose2+12h", 84, 72, 2),
        ("dose2+24h", 96, 72, 2),
    ]


def test_first_dose_counts_once_whether_charted_or_not() -> None:
    assert questions(("a", 0, "step_dose", 1)) == questions()
    assert len(questions()) == 3


def test_question_at_or_after_the_next_dose_gives_way_to_it() -> None:
    assert [name for name, *_ in questions(("a", 24, "step_dose", 2))][:3] == ["dose1+0h", "dose1+12h", "dose2+0h"]
    assert [name for name, *_ in questions(("a", 6, "step_dose", 2))][:2] == ["dose1+0h", "dose2+0h"]


def test_step_dose_of_a_single_infusion_asks_nothing_more() -> None:
    assert len(questions(("a", 30, "step_dose", 2), therapy=AXI)) == 4


def test_dose_charted_as_not_given_asks_nothing() -> None:
    assert questions(("a", 72, "step_dose", 0)) == questions()


def mixed() -> tuple[object, ...]:
    table = courses("a", "b", "c", therapy=[AXI, TEC, AXI])
    seen = observations(*((name, hour, "crp", hour + 1.0, "mg/L") for name in "abc" for hour in (0, 5)))
    return table, seen, events(("b", 30, "crs_grade", 1))


def test_layer_with_every_course_shares_the_cohorts_arrays() -> None:
    found = cohort(*mixed())  # type: ignore[arg-type]
    first, *_ = layers(found)
    assert first.snapshots.observations is found.observations
    assert first.snapshots.courses is found.courses


def test_smaller_layer_holds_exactly_its_courses_renumbered() -> None:
    found = cohort(*mixed())  # type: ignore[arg-type]
    last = layers(found)[3]
    assert last.course.tolist() == [0, 2]
    assert last.name.tolist() == ["72h", "72h"]
    assert last.snapshots.courses.therapy == (AXI, AXI)
    for place, whole in enumerate(last.course):
        mine = last.snapshots.observations.course == place
        theirs = found.observations.course == whole
        assert last.snapshots.observations.value[mine].tolist() == found.observations.value[theirs].tolist()
        assert last.snapshots.observations.seconds[mine].tolist() == found.observations.seconds[theirs].tolist()
    assert len(last.snapshots.observations) == 4


@given(st.lists(st.sets(st.integers(0, 700), max_size=5), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_layers_hold_every_question_once_with_its_latest_dose(doses: list[set[int]]) -> None:
    names = [f"c{place}" for place in range(len(doses))]
    charted = events(
        *((name, hour, "step_dose", 1) for name, given_at in zip(names, doses, strict=True) for hour in given_at)
    )
    found = cohort(courses(*names, therapy=TEC), None, charted)
    index = index_table(found)
    split = layers(found, index)
    assert sorted(np.concatenate([layer.rows for layer in split]).tolist()) == list(range(len(index)))
    for layer in split:
        assert layer.snapshots.index_seconds.tolist() == index.index_seconds[layer.rows].tolist()
        assert len(set(layer.course.tolist())) == len(layer)
    for course, when, dose, number in zip(
        index.course, index.index_seconds, index.dose_seconds, index.dose_number, strict=True
    ):
        given_at = sorted(doses[course] | {0})
        before = [hour * HOUR for hour in given_at if hour * HOUR <= when]
        assert (before[-1], len(before)) == (dose, number)


def test_attrition_adds_up_at_every_index_time_and_counts_the_rejected() -> None:
    table = courses("a", "b", "c", "d", "e", follow_up_hours=[960, 100, 960, 960, np.nan])
    charted = events(
        ("a", 30, "crs_grade", 1), ("c", None, "crs_grade", 2), ("d", 50, "death", 1), ("d", 10, "icans_grade", 4)
    )
    found = cohort(table, None, charted)
    split = layers(found)
    rows = attrition(found, split, label_layers(found, split))
    assert [(row.step, row.courses) for row in rows if not row.outcome] == [
        ("rows of courses", 5),
        ("out: follow-up-unusable (follow_up_hours)", 1),
        ("courses", 4),
    ]
    for outcome in OUTCOME_KEYS:
        for name in ("0h", "24h", "48h", "72h"):
            count = {row.step: row.courses for row in rows if (row.outcome, row.index_time) == (outcome, name)}
            assert set(count) == {*(step for step, _ in STEPS), "labelled, with the outcome"}
            assert count["asked"] == 4
            assert (
                count["asked"] == count["out: already happened"] + count["out: not under follow-up"] + count["at risk"]
            )
            outs = sum(number for step, number in count.items() if step.startswith("out: ") and step not in BEFORE_RISK)
            assert count["at risk"] == count["labelled"] + outs
    crs = {(row.step, row.index_time): row.courses for row in rows if row.outcome == "crs_1plus"}
    assert crs["labelled", "0h"] == crs["labelled, with the outcome", "0h"] == 2
    assert crs["out: time of the peak grade unknown", "24h"] == 1
    assert crs["out: died before the horizon's end", "24h"] == 1
    assert crs["out: follow-up shorter than the horizon", "24h"] == 1
    assert crs["out: not under follow-up", "72h"] == 1


BEFORE_RISK = ("out: already happened", "out: not under follow-up")


@pytest.mark.parametrize("hours", [0, 1])
def test_question_is_asked_even_when_follow_up_has_ended(hours: int) -> None:
    found = cohort(courses("a", follow_up_hours=hours))
    assert index_table(found).index_seconds.tolist() == [0, DAY, 2 * DAY, 3 * DAY]
