"""Grades derived from charted vitals and treatments, and the labels that follow from them."""

import numpy as np
import pandas as pd
import pytest

from data.attrition import attrition
from data.cohort import layers
from data.derived_grades import DERIVED
from data.labels import Reason, label_layers, one_sided
from data.tables import Cohort, cohort_from_frames
from features.course import HOUR
from features.outcomes import OUTCOME_KEYS
from tests.data.frames import courses, observations

#: Rows of a neighbour that say that the cohort charts oxygen and vasopressors at all.
CHARTS = (("z", 1, "oxygen", 0, ""), ("z", 1, "vasopressor", 0, ""))
Reading = tuple[object, ...]


def fever(name: str, hours: float, celsius: float = 39.0) -> Reading:
    return name, hours, "temperature", celsius, "Cel"


def pressure(name: str, hours: float, systolic: float = 120.0) -> Reading:
    return name, hours, "systolic_bp", systolic, "mm[Hg]"


def derived(seen: list[Reading], charted: list[Reading], *ids: str, age: float = 60.0) -> Cohort:
    """A cohort of courses a (or ids) and a well neighbour z, without a charted grade, with derived ones."""
    table = courses(*(ids or ("a",)), "z", age_years=age)
    well = [fever("z", 2, 36.8), pressure("z", 2)]
    events = pd.DataFrame([*charted, *CHARTS], columns=["course_id", "hours", "event", "value", "detail"])
    return cohort_from_frames(table, observations(*seen, *well), events, derive_grades=True)


def grades(cohort: Cohort) -> list[tuple[float, float]]:
    """(hour, grade) of course a."""
    rows = cohort.events[cohort.events["event"].eq("crs_grade") & cohort.events["course"].eq(0)]
    return [(seconds / HOUR, value) for seconds, value in zip(rows["seconds"], rows["value"], strict=True)]


def open_grades(cohort: Cohort) -> list[tuple[float, float, float]]:
    """(hour, least, most) of course a."""
    rows = cohort.open_grades[cohort.open_grades["course"].eq(0)]
    return [
        (at / HOUR, least, most) for at, least, most in zip(*(rows[n] for n in rows.columns[[1, 3, 4]]), strict=True)
    ]


def labels(cohort: Cohort) -> dict[str, list[float | str]]:
    """crs outcome -> label or reason of course a at each index time."""
    found = label_layers(cohort, layers(cohort))
    return {
        key: [
            Reason(int(one.reason[0, place])).name if np.isnan(one.value[0, place]) else float(one.value[0, place])
            for one in found
        ]
        for place, key in enumerate(OUTCOME_KEYS)
        if key.startswith("crs")
    }


GONE, OPEN = "ALREADY_HAPPENED", "GRADE_OPEN"


def test_fever_with_a_sound_pressure_and_no_support_is_grade_one() -> None:
    found = derived([fever("a", 30), pressure("a", 29)], [])
    assert grades(found) == [(30.0, 1.0)]
    assert open_grades(found) == []
    assert labels(found) == {"crs_1plus": [1.0, 1.0, GONE, GONE], "crs_2plus": [0.0] * 4, "crs_3plus": [0.0] * 4}


def test_a_course_without_fever_is_negative_throughout() -> None:
    found = derived([fever("a", 30, 37.9), pressure("a", 30)], [])
    assert grades(found) == []
    assert labels(found) == {key: [0.0] * 4 for key in ("crs_1plus", "crs_2plus", "crs_3plus")}


def test_one_vasopressor_by_name_is_three_and_two_are_four() -> None:
    charted = [("a", 40, "vasopressor", 1, "norepinephrine"), ("a", 44, "vasopressor", 1, "adrenaline")]
    found = derived([fever("a", 30), pressure("a", 30), fever("a", 39)], charted)
    assert grades(found) == [(30.0, 1.0), (40.0, 3.0), (44.0, 4.0)]
    assert labels(found)["crs_3plus"] == [1.0, 1.0, GONE, GONE]


def test_vasopressin_beside_another_is_still_three() -> None:
    charted = [("a", 30, "vasopressor", 1, "norepinephrine"), ("a", 31, "vasopressor", 1, "vasopressin")]
    assert grades(derived([fever("a", 30)], charted)) == [(30.0, 3.0)]


@pytest.mark.parametrize(
    ("device", "flow", "grade"),
    [("nasal cannula", 2.0, 2.0), ("nasal cannula", 7.0, 3.0), ("face mask", 5.0, 3.0), ("CPAP", None, 4.0)],
)
def test_oxygen_is_graded_by_its_device_and_flow(device: str, flow: float | None, grade: float) -> None:
    seen = [fever("a", 30), pressure("a", 30)]
    seen += [("a", 30, "oxygen_flow", flow, "L/min")] if flow else []
    found = derived(seen, [("a", 30, "oxygen", 1, device)])
    assert (grades(found), open_grades(found)) == ([(30.0, grade)], [])


def test_a_device_that_is_not_named_leaves_the_grade_open_from_two_on() -> None:
    found = derived([fever("a", 30), pressure("a", 30)], [("a", 30, "oxygen", 1, "")])
    assert (grades(found), open_grades(found)) == ([(30.0, 2.0)], [(30.0, 2.0, 4.0)])
    assert labels(found) == {
        "crs_1plus": [1.0, 1.0, GONE, GONE],
        "crs_2plus": [1.0, 1.0, GONE, GONE],
        "crs_3plus": [OPEN] * 4,
    }


def test_hypotension_that_nobody_measured_leaves_grade_two_open_and_three_excluded() -> None:
    found = derived([fever("a", 30)], [])
    assert (grades(found), open_grades(found)) == ([(30.0, 1.0)], [(30.0, 1.0, 2.0)])
    assert labels(found) == {"crs_1plus": [1.0, 1.0, GONE, GONE], "crs_2plus": [OPEN] * 4, "crs_3plus": [0.0] * 4}


@pytest.mark.parametrize(("systolic", "found"), [(90.0, [(30.0, 1.0)]), (89.0, [(30.0, 2.0)])])
def test_in_adults_a_systolic_pressure_below_ninety_is_hypotension(
    systolic: float, found: list[tuple[float, float]]
) -> None:
    seen = [fever("a", 30), pressure("a", 28, systolic)]
    assert grades(derived(seen, [])) == found
    assert grades(derived(seen, [], age=17.9)) == [(30.0, 1.0)]
    assert open_grades(derived(seen, [], age=17.9)) == [(30.0, 1.0, 2.0)]


def test_an_open_grade_that_was_certain_later_is_positive_only_from_before_it_opened() -> None:
    seen = [fever("a", 30), fever("a", 50), ("a", 50, "oxygen_flow", 2.0, "L/min")]
    found = derived(seen, [("a", 50, "oxygen", 1, "nasal cannula")])
    assert labels(found)["crs_2plus"] == [1.0, 1.0, OPEN, GONE]


def test_without_any_sign_a_pressure_that_was_not_measured_leaves_nothing_open() -> None:
    found = derived([fever("a", 30, 37.0)], [])
    assert (grades(found), open_grades(found)) == ([], [])


def test_a_pressure_before_the_first_temperature_leaves_nothing_open() -> None:
    found = derived([pressure("a", 3), fever("a", 30), pressure("a", 30)], [])
    assert (grades(found), open_grades(found)) == ([(30.0, 1.0)], [])


def test_without_fever_a_vasopressor_leaves_open_whether_there_was_crs() -> None:
    charted = [("a", 30, "vasopressor", 1, "norepinephrine")]
    found = derived([fever("a", 29, 37.0)], charted)
    assert (grades(found), open_grades(found)) == ([], [(30.0, 0.0, 3.0)])
    assert labels(found) == {key: [OPEN] * 4 for key in ("crs_1plus", "crs_2plus", "crs_3plus")}


def test_a_treatment_since_the_onset_waives_fever_and_one_before_it_does_not() -> None:
    seen = [fever("a", 30), pressure("a", 30), fever("a", 70, 36.9)]
    late = ("a", 72, "vasopressor", 1, "norepinephrine")
    assert grades(derived(seen, [("a", 31, "tocilizumab", 1, ""), late]))[-1] == (72.0, 3.0)
    before = derived(seen, [("a", -2, "corticosteroid", 1, ""), late])
    assert grades(before)[-1] == (70.0, 0.0)
    assert open_grades(before)[-1] == (72.0, 0.0, 3.0)


def test_fever_counts_for_a_day() -> None:
    late = ("a", 54, "vasopressor", 1, "norepinephrine")
    assert grades(derived([fever("a", 30.1), pressure("a", 30.1)], [late])) == [(30.1, 1.0), (54.0, 3.0)]
    assert grades(derived([fever("a", 30), pressure("a", 30)], [late])) == [(30.0, 1.0)]


def test_oxygen_from_home_is_no_finding_until_it_rises() -> None:
    home = [("a", -3, "oxygen_flow", 2.0, "L/min"), ("a", 30, "oxygen_flow", 2.0, "L/min"), fever("a", 30)]
    charted = [("a", -3, "oxygen", 1, "nasal cannula"), ("a", 30, "oxygen", 1, "nasal cannula")]
    seen = [*home, pressure("a", 30)]
    assert grades(derived(seen, charted)) == [(30.0, 1.0)]
    more = [*seen, ("a", 32, "oxygen_flow", 5.0, "L/min")]
    assert grades(derived(more, charted)) == [(30.0, 1.0), (32.0, 2.0)]


def test_a_ventilator_beside_severe_icans_may_protect_the_airway() -> None:
    seen, charted = [fever("a", 30), pressure("a", 30)], [("a", 30, "oxygen", 1, "intubated")]
    assert grades(derived(seen, charted)) == [(30.0, 4.0)]
    found = derived(seen, [*charted, ("a", 29, "icans_grade", 4, "")])
    assert (grades(found), open_grades(found)) == ([(30.0, 1.0)], [(30.0, 1.0, 4.0)])


def test_a_course_without_any_temperature_is_open_from_its_start() -> None:
    found = derived([pressure("a", 5)], [])
    assert open_grades(found)[0] == (0.0, 0.0, 2.0)
    assert labels(found) == {"crs_1plus": [OPEN] * 4, "crs_2plus": [OPEN] * 4, "crs_3plus": [0.0] * 4}
    assert found.report.count("temperature-missing") == 1


def test_what_a_cohort_never_charts_is_unknown_and_not_absent() -> None:
    table = courses("a", age_years=60.0)
    seen = observations(fever("a", 30), pressure("a", 30))
    none = pd.DataFrame({"course_id": [], "hours": [], "event": [], "value": []})
    found = cohort_from_frames(table, seen, none, derive_grades=True)
    assert (grades(found), open_grades(found)) == ([(30.0, 1.0)], [(30.0, 1.0, 4.0)])
    assert (found.report.count("oxygen-never-charted"), found.report.count("vasopressors-never-charted")) == (1, 1)


def test_a_cohort_that_charted_any_grade_keeps_its_own() -> None:
    found = derived([fever("a", 30), pressure("a", 30)], [("a", 40, "crs_grade", 2, "")])
    assert grades(found) == [(40.0, 2.0)]
    assert found.report.count("grades-charted") == 1
    assert len(found.open_grades) == 0


def test_nothing_is_derived_unless_it_is_asked_for() -> None:
    plain = cohort_from_frames(
        courses("a"), observations(fever("a", 30)), pd.DataFrame(columns=["course_id", "hours", "event", "value"])
    )
    assert (grades(plain), len(plain.open_grades)) == ([], 0)


def test_derived_grades_are_marked_and_carry_their_system() -> None:
    found = derived([fever("a", 30), pressure("a", 30)], [])
    rows = found.events[found.events["event"].eq("crs_grade")]
    assert set(zip(rows["grading"], rows["detail"], strict=True)) == {("ASTCT-2019", DERIVED)}
    assert found.report.count("grade-derived") == len(rows)


def test_the_order_of_rows_changes_nothing() -> None:
    seen = [fever("a", 30), pressure("a", 30), fever("a", 33), ("a", 33, "oxygen_flow", 3.0, "L/min")]
    charted = [("a", 33, "oxygen", 1, "nasal cannula"), ("a", 34, "tocilizumab", 1, "")]
    assert derived(seen, charted).fingerprint == derived(seen[::-1], charted[::-1]).fingerprint


def test_open_grades_and_details_are_part_of_the_fingerprint() -> None:
    seen = [fever("a", 30), pressure("a", 30)]
    prints = {
        derived(seen, [("a", 30, "oxygen", 1, device)]).fingerprint for device in ("", "face mask", "venturi", "CPAP")
    }
    assert len(prints) == 4


def test_a_name_that_is_not_listed_is_noted_and_counts_as_not_stated() -> None:
    found = derived([fever("a", 30), pressure("a", 30)], [("a", 30, "vasopressor", 1, "a drug of ours")])
    assert found.report.count("detail-unknown") == 1
    assert (grades(found), open_grades(found)) == ([(30.0, 3.0)], [(30.0, 3.0, 4.0)])


def test_open_grades_stand_in_the_attrition_table() -> None:
    found = derived([fever("a", 30)], [])
    asked = layers(found)
    rows = attrition(found, asked, label_layers(found, asked))
    count = {(row.outcome, row.index_time): row.courses for row in rows if row.step == "out: derived grade open"}
    assert count["crs_2plus", "0h"] == 1
    assert count["crs_3plus", "0h"] == 0


def test_an_outcome_whose_grade_is_open_too_often_is_not_learnt() -> None:
    ids = [f"c{number}" for number in range(9)]
    ill = [fever(name, 30) for name in ids[:6]] + [fever(name, 30, 36.5) for name in ids[6:]]
    measured = [pressure(name, 30) for name in ids[6:]] + [pressure(ids[0], 30, 80.0)]
    few = derived(ill + measured, [], *ids)
    assert "crs_2plus" in one_sided(label_layers(few, layers(few)))
    many = derived(ill + [pressure(name, 30) for name in ids[1:]] + measured[-1:], [], *ids)
    assert "crs_2plus" not in one_sided(label_layers(many, layers(many)))
