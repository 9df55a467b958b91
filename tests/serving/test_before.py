"""The score before this one: at the index time that was last due, or when the client says it last asked."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue import Catalogue
from features.course import DAY, HOUR, Event
from features.index_times import DOSE_HOURS, INFUSION_HOURS
from features.single import CourseInput, Observed
from serving.before import asked_before
from serving.decode import predict_request
from serving.intake import take
from serving.refusal import RefusalError
from tests.serving.builders import EXAMPLE, example, with_course
from tests.serving.conftest import Ask, asking
from tests.serving.learned import banded, learned_bundle

CAR_T = "axicabtagene-ciloleucel"


def dose(hours: float) -> Observed:
    return Observed(Event.STEP_DOSE, int(hours * HOUR), 1.0)


def course(hours: float, *seen: Observed, dose_hours: float = 0.0) -> CourseInput:
    return CourseInput(CAR_T, "lbcl", int(hours * HOUR), int(dose_hours * HOUR), observations=seen)


def hours_before(hours: float, *doses: float) -> float | None:
    """Hours of the score before, after an infusion, or after step-up doses at those hours."""
    given_ = [one for one in doses if one <= hours]
    asked = course(hours, *map(dose, given_), dose_hours=max(given_, default=0.0))
    found = asked_before(asked, bool(doses))
    return None if found is None else found.index_seconds / HOUR


# When the question was last due


@pytest.mark.parametrize(
    ("hours", "before"),
    [(0, None), (1, 0), (24, 0), (25, 24), (48, 24), (72, 48), (73, 72), (96, 72), (97, 73), (120, 96), (144, 120)],
)
def test_after_an_infusion_it_is_the_index_times_of_training_then_each_day(hours: float, before: float | None) -> None:
    assert INFUSION_HOURS == (0, 24, 48, 72)
    assert hours_before(hours) == before


@pytest.mark.parametrize(
    ("hours", "doses", "before"),
    [
        (0, [0], None),
        (6, [0], 0),
        (12, [0], 0),
        (13, [0], 12),
        (24, [0], 12),
        (40, [0], 24),
        (49, [0], 25),
        (72, [0, 72], 24),  # at the second dose: the last score of the first
        (73, [0, 72], 72),
        (84, [0, 72], 72),
        (85, [0, 72], 84),
        (96.5, [0, 72], 96),
        (121, [0, 72], 97),
        (20, [0, 18], 18),
        (30, [0, 10], 24),  # 24 h after the first dose come after 12 h after the second
    ],
)
def test_after_step_up_doses_it_is_those_of_each_dose_then_each_day(
    hours: float, doses: list[float], before: float | None
) -> None:
    assert DOSE_HOURS == (0, 12, 24)
    assert hours_before(hours, *doses) == before


def test_the_first_dose_counts_whether_it_was_charted_or_not() -> None:
    uncharted = asked_before(course(13), True)
    assert uncharted is not None
    assert uncharted.index_seconds == 12 * HOUR


@given(st.integers(1, 59 * 24), st.lists(st.integers(0, 800), max_size=4), st.booleans())
def test_the_score_before_lies_before_and_never_more_than_a_day_once_training_times_are_over(
    hours: int, doses: list[int], step_up: bool
) -> None:
    given_ = [one for one in doses if one <= hours] if step_up else []
    asked = course(hours, *map(dose, given_), dose_hours=max(given_, default=0))
    found = asked_before(asked, step_up)
    assert found is not None
    assert 0 <= found.index_seconds < asked.index_seconds
    if hours - asked.dose_seconds / HOUR > 96:
        assert asked.index_seconds - found.index_seconds == DAY
    assert found.dose_seconds <= found.index_seconds
    assert all(one.seconds <= found.index_seconds for one in found.observations)


# What was known then


def test_nothing_stamped_later_is_seen_and_the_dose_is_that_of_then() -> None:
    seen = (Observed("crp", -5 * HOUR, 3.0), dose(0), dose(72), Observed("crp", 90 * HOUR, 80.0), dose(144))
    asked = CourseInput("teclistamab", "mm", 150 * HOUR, 144 * HOUR, 3, {"ecog": 1.0}, seen)
    then = asked_before(asked, True, 80 * HOUR)
    assert then == CourseInput("teclistamab", "mm", 80 * HOUR, 72 * HOUR, 2, {"ecog": 1.0}, seen[:3])
    at_the_start = asked_before(asked, True, 0)
    assert at_the_start is not None
    assert (at_the_start.dose_seconds, at_the_start.dose_number) == (0, 1)
    infused = asked_before(asked, False, 80 * HOUR)
    assert infused is not None
    assert (infused.dose_seconds, infused.dose_number) == (0, 1)


# In the request


def stepped(hours: float, **changes: Any) -> dict[str, Any]:
    doses = [{"event": "step_dose", "hours": one} for one in (0, 72, 500)]
    body = with_course(therapy="teclistamab", indication="mm", prophylactic_tocilizumab=False)
    return {**body, "hours_since_start": hours, "events": doses, **changes}


@pytest.fixture(scope="module")
def ask_banded() -> Ask:
    return asking(banded(learned_bundle(), "crs_1plus", 0.3, 0.6))


@pytest.mark.parametrize(
    ("body", "earlier"),
    [
        (EXAMPLE, 0.0),
        (example(events=[]), 0.0),
        (example(events=[], hours_since_start=60), 48.0),
        (example(hours_since_start=25, previous_hours=22.5), 22.5),
        (example(hours_since_start=100), 76.0),
        (stepped(80), 72.0),
        (stepped(74, previous_hours=30), 30.0),
        (stepped(73, previous_hours=72), 72.0),
    ],
)
def test_changes_are_the_difference_of_two_separate_answers(
    ask_banded: Ask, body: dict[str, Any], earlier: float
) -> None:
    now, then = (
        {one["outcome"]: one for one in ask_banded(one)["risks"]}
        for one in (body, {**body, "hours_since_start": earlier, "previous_hours": None})
    )
    changes = {one["outcome"]: one for one in ask_banded(body)["changes"]}
    both = [key for key in now if "probability" in now[key] and "probability" in then[key]]
    assert list(changes) == both
    assert both
    for key in both:
        assert changes[key]["hours_since_start"] == earlier
        assert changes[key]["probability"] == then[key]["probability"]
        assert changes[key]["band"] == then[key]["band"]
        risen = [math.log(one[key]["probability"] / (1 - one[key]["probability"])) for one in (now, then)]
        assert changes[key]["log_odds"] == pytest.approx(risen[0] - risen[1], abs=1e-9)


def test_at_the_start_nothing_came_before(ask_banded: Ask) -> None:
    assert ask_banded(example(hours_since_start=0, events=[]))["changes"] == []


def test_an_outcome_reached_by_then_has_no_change(ask_banded: Ask) -> None:
    charted = [{"event": "crs_grade", "value": 2, "hours": 20, "grading": "ASTCT-2019"}]
    changes = ask_banded(example(events=charted, hours_since_start=30))["changes"]
    assert [one["outcome"] for one in changes] == ["crs_3plus", "icans_2plus", "icans_3plus"]


def test_a_horizon_that_was_over_by_then_has_no_change(ask_banded: Ask) -> None:
    # 310 h is more than ten days after the second dose; the third, at 500 h, opened a new horizon of CRS.
    changes = ask_banded(stepped(501, previous_hours=320))["changes"]
    assert [one["outcome"] for one in changes] == ["icans_2plus", "icans_3plus"]


@pytest.mark.parametrize("previous", [24, 24.5, 1000, -0.001, -5])
def test_a_previous_time_outside_the_course_so_far_is_refused(tables: Catalogue, previous: float) -> None:
    body = msgspec.json.encode(example(previous_hours=previous))
    with pytest.raises(RefusalError) as caught:
        take(tables, predict_request(body))
    told = str(caught.value)
    assert "$.previous_hours: not between the start and the index time" in told
    assert str(previous) not in told


@pytest.mark.parametrize(("previous", "seconds"), [(0, 0), (23.999, 86_397), (None, None)])
def test_a_previous_time_within_the_course_so_far_is_taken(
    tables: Catalogue, previous: float | None, seconds: int | None
) -> None:
    intake = take(tables, predict_request(msgspec.json.encode(example(previous_hours=previous))))
    assert intake.previous_seconds == seconds
