"""Labels: at risk, positive, negative or unknown, and why."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from data.cohort import layers
from data.labels import Labels, Reason, label_layers, mixed_grading, one_sided
from features.course import DAY, HOUR
from features.outcomes import OUTCOME_KEYS, OUTCOMES
from tests.data.frames import AXI, TEC, cohort, courses, events


def labels(*charted: tuple[object, ...], hours: float = 960.0, therapy: str = AXI) -> list[Labels]:
    found = cohort(courses("a", follow_up_hours=hours, therapy=therapy), None, events(*charted))
    return label_layers(found, layers(found))


def of(outcome: str, *charted: tuple[object, ...], **setting: object) -> list[float | str]:
    """1.0, 0.0 or the reason's name at each index time of the one course."""
    place = OUTCOME_KEYS.index(outcome)
    return [
        Reason(int(one.reason[0, place])).name if np.isnan(one.value[0, place]) else float(one.value[0, place])
        for one in labels(*charted, **setting)  # type: ignore[arg-type]
    ]


GONE, SHORT, DIED = "ALREADY_HAPPENED", "FOLLOW_UP_SHORT", "DIED"


def test_course_without_events_is_negative_throughout() -> None:
    assert [of(outcome) for outcome in OUTCOME_KEYS] == [[0.0] * 4] * 5


def test_outcome_leaves_the_risk_set_once_it_has_happened() -> None:
    assert of("crs_1plus", ("a", 30, "crs_grade", 1)) == [1.0, 1.0, GONE, GONE]
    assert of("crs_2plus", ("a", 30, "crs_grade", 1), ("a", 60, "crs_grade", 2)) == [1.0, 1.0, 1.0, GONE]


def test_outcome_at_the_index_time_has_happened() -> None:
    assert of("crs_1plus", ("a", 24, "crs_grade", 1)) == [1.0, GONE, GONE, GONE]
    assert of("crs_1plus", ("a", 0, "crs_grade", 1)) == [GONE] * 4


def test_higher_grade_reaches_the_lower_outcome_only_upwards() -> None:
    charted = ("a", 30, "crs_grade", 2)
    assert [of(outcome, charted)[0] for outcome in OUTCOME_KEYS] == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_horizon_includes_its_last_second_and_counts_from_the_infusion() -> None:
    assert of("crs_1plus", ("a", 14 * 24, "crs_grade", 1)) == [1.0] * 4
    assert of("crs_1plus", ("a", 14 * 24 + 0.01, "crs_grade", 1)) == [0.0] * 4
    assert of("icans_2plus", ("a", 30 * 24, "icans_grade", 2)) == [1.0] * 4


def test_horizon_of_a_step_up_course_counts_ten_days_from_the_latest_dose() -> None:
    charted = [("a", 72, "step_dose", 2), ("a", 72 + 240, "crs_grade", 1)]
    assert of("crs_1plus", *charted, therapy=TEC) == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    assert of("crs_1plus", charted[0], ("a", 72 + 240.01, "crs_grade", 1), therapy=TEC) == [0.0] * 6


def test_negative_needs_follow_up_to_the_horizons_end() -> None:
    assert of("crs_1plus", hours=14 * 24) == [0.0] * 4
    assert of("crs_1plus", hours=14 * 24 - 0.01) == [SHORT] * 4
    assert of("crs_1plus", ("a", 30, "crs_grade", 1), hours=40) == [1.0, 1.0, GONE, GONE]


def test_outcome_after_follow_up_was_not_looked_for() -> None:
    assert of("crs_1plus", ("a", 50, "crs_grade", 1), hours=40) == [SHORT, SHORT, "NOT_UNDER_FOLLOW_UP", GONE]


def test_course_is_not_at_risk_once_follow_up_has_ended() -> None:
    assert of("crs_1plus", hours=48) == [SHORT, SHORT, "NOT_UNDER_FOLLOW_UP", "NOT_UNDER_FOLLOW_UP"]


def test_death_ends_follow_up_and_leaves_the_label_unknown_unless_the_horizon_was_complete() -> None:
    out = "NOT_UNDER_FOLLOW_UP"
    assert of("crs_1plus", ("a", 50, "death", 1)) == [DIED, DIED, DIED, out]
    assert of("crs_1plus", ("a", 14 * 24, "death", 1)) == [0.0] * 4
    assert of("crs_3plus", ("a", 50, "death", 1), ("a", 40, "crs_grade", 4)) == [1.0, 1.0, GONE, GONE]
    assert of("crs_1plus", ("a", 50, "death", 0)) == [0.0] * 4
    assert of("crs_1plus", ("a", 200, "death", 1), hours=100) == [SHORT] * 4


def test_peak_without_time_serves_the_first_index_time_only() -> None:
    unknown = "TIME_UNKNOWN"
    peak = ("a", None, "crs_grade", 2)
    assert of("crs_2plus", peak) == [1.0, unknown, unknown, unknown]
    assert of("crs_3plus", peak) == [0.0, unknown, unknown, unknown]
    assert of("icans_2plus", peak) == [0.0] * 4


def test_peak_without_time_serves_up_to_a_charted_onset() -> None:
    charted = [("a", 30, "crs_grade", 1), ("a", None, "crs_grade", 3)]
    assert of("crs_1plus", *charted) == [1.0, 1.0, GONE, GONE]
    assert of("crs_2plus", *charted) == [1.0, 1.0, "TIME_UNKNOWN", "TIME_UNKNOWN"]


def test_peak_without_time_is_not_within_the_horizon_when_its_onset_is_later() -> None:
    charted = [("a", 20 * 24, "crs_grade", 1), ("a", None, "crs_grade", 3)]
    assert [of(outcome, *charted) for outcome in ("crs_1plus", "crs_2plus", "crs_3plus")] == [[0.0] * 4] * 3
    assert of("icans_2plus", ("a", 31 * 24, "icans_grade", 1), ("a", None, "icans_grade", 3)) == [0.0] * 4


def test_peak_without_time_is_within_the_horizon_when_its_onset_is_at_the_last_second() -> None:
    charted = [("a", 14 * 24, "crs_grade", 1), ("a", None, "crs_grade", 3)]
    assert of("crs_3plus", *charted) == [1.0] * 4


def test_peak_without_time_after_the_end_of_follow_up_was_not_looked_for() -> None:
    charted = [("a", 310, "crs_grade", 1), ("a", None, "crs_grade", 3)]
    assert of("crs_3plus", *charted, hours=300) == [SHORT] * 4
    assert of("crs_3plus", *charted, ("a", 305, "death", 1)) == [DIED] * 4


def test_peak_without_time_adds_nothing_to_a_timed_grade_as_high() -> None:
    assert of("crs_2plus", ("a", 30, "crs_grade", 2), ("a", None, "crs_grade", 2)) == [1.0, 1.0, GONE, GONE]
    assert of("crs_3plus", ("a", 30, "crs_grade", 2), ("a", None, "crs_grade", 2)) == [0.0] * 4
    assert of("crs_1plus", ("a", None, "crs_grade", 0)) == [0.0] * 4


def test_peak_without_time_still_needs_follow_up_for_a_negative() -> None:
    assert of("crs_3plus", ("a", None, "crs_grade", 2), hours=100)[0] == SHORT


def test_treatment_counts_from_the_start_to_the_index_time() -> None:
    def treated(hours: float, event: str = "tocilizumab", value: float = 1) -> list[bool]:
        return [bool(one.treated_before[0]) for one in labels(("a", hours, event, value))]

    assert treated(24) == [False, True, True, True]
    assert treated(24.01, "corticosteroid") == [False, False, True, True]
    assert treated(-1) == [False] * 4
    assert treated(10, value=0) == [False] * 4
    assert treated(10, "anakinra") == [False] * 4


def test_grading_system_is_carried_and_a_mixture_is_marked() -> None:
    charted = events(("a", 30, "crs_grade", 1), ("b", 30, "crs_grade", 1), ("b", 40, "crs_grade", 2)).assign(
        grading=["Penn", "Lee-2014", "ASTCT-2019"]
    )
    found = cohort(courses("a", "b", "c"), None, charted)
    first = label_layers(found, layers(found))[0]
    assert first.grading[:, 0].tolist() == ["Penn", "mixed", ""]
    assert first.grading[:, 3].tolist() == ["", "", ""]
    assert mixed_grading(found) == {"crs_grade": ("ASTCT-2019", "Lee-2014", "Penn")}


def test_one_system_beside_unstated_ones_is_not_a_mixture() -> None:
    charted = events(("a", 30, "crs_grade", 1), ("b", 30, "crs_grade", 1)).assign(grading=["Penn", ""])
    assert mixed_grading(cohort(courses("a", "b"), None, charted)) == {}


def test_outcome_whose_negatives_are_all_unknown_is_named() -> None:
    table = courses("a", "b", "c", follow_up_hours=336)
    found = cohort(table, None, events(("a", 30, "crs_grade", 3), ("a", 90, "icans_grade", 3)))
    assert one_sided(label_layers(found, layers(found))) == ("icans_2plus", "icans_3plus")


CHARTED = st.lists(
    st.tuples(st.integers(0, 40 * 24), st.sampled_from(["crs_grade", "icans_grade"]), st.integers(0, 5)), max_size=6
)


@given(CHARTED, st.integers(0, 1000), st.one_of(st.none(), st.integers(0, 1000)))
@settings(max_examples=150, deadline=None)
def test_labels_keep_their_definition(charted: list[tuple[int, str, int]], hours: int, death: int | None) -> None:
    rows = [("a", hour, event, grade) for hour, event, grade in charted]
    found = labels(*rows, *([("a", death, "death", 1)] if death is not None else []), hours=float(hours))
    last = min(hours, death if death is not None else hours) * HOUR
    for now, one in zip((0, DAY, 2 * DAY, 3 * DAY), found, strict=True):
        for place, outcome in enumerate(OUTCOMES):
            reached = [
                hour * HOUR for hour, event, grade in charted if event == outcome.event and grade >= outcome.grade
            ]
            end = outcome.horizon_days * DAY
            first = min(reached, default=np.inf)
            value = one.value[0, place]
            at_risk = first > now and last > now
            positive = at_risk and first <= min(end, last)
            assert (value == 1) == positive
            assert (value == 0) == (at_risk and not positive and last >= end)
            assert np.isnan(value) == (one.reason[0, place] != Reason.LABELLED)


@given(CHARTED, st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_labels_of_one_event_are_coherent(charted: list[tuple[int, str, int]], hours: int) -> None:
    for one in labels(*(("a", hour, event, grade) for hour, event, grade in charted), hours=float(hours)):
        values = one.value[0]
        for lower, higher in ((0, 1), (1, 2), (3, 4)):
            assert not (values[lower] == 0 and values[higher] == 1)
