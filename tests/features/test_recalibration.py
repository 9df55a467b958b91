"""A recalibration is a straight line on the log-odds scale: it composes, keeps ranks, and is a part of the sum."""

import functools
import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import bundle, golden
from features.bundle import Bundle
from features.calibration import DOSING, Calibration
from features.course import HOUR
from features.outcomes import MILDER, OUTCOME_KEYS
from features.predict import Predictor, log_odds_of, verify_golden
from features.recalibration import UNCHANGED, Lines, Recalibration
from features.single import CourseInput
from tests.builders import CATALOGUE, both, course_inputs, many_courses, predict, trained_bundle, trained_predictor

CAR_T, OTHER, ENGAGER = "axicabtagene-ciloleucel", "tisagenlecleucel", "teclistamab"
numbers = st.floats(-3, 3, allow_subnormal=False)
slopes = st.floats(0.1, 3)
lines = st.builds(Recalibration, numbers, slopes, st.dictionaries(st.sampled_from((CAR_T, OTHER)), numbers))
LINE = Recalibration(0.4, 0.7, {CAR_T: -0.3})
DRAWN = tuple(
    Recalibration(shift, slope, {CAR_T: own})
    for shift, slope, own in np.random.default_rng(3).uniform((-3, 0.1, -2), (3, 3, 2), (6, 3)).tolist()
)


def recalibrated(line: Recalibration, kinds: tuple[str, ...] = DOSING, golden_courses: bool = True) -> Bundle:
    """The made-up trained bundle with this line for every outcome at these kinds of dosing."""
    held = trained_bundle()
    plain = {key: held.calibration.get(key, Calibration()) for key in OUTCOME_KEYS}
    moved = {key: replace(one, recalibration=dict.fromkeys(kinds, line)) for key, one in plain.items()}
    blank = replace(held, calibration=moved, golden={})
    return replace(blank, golden=golden.record(Predictor(blank, CATALOGUE))) if golden_courses else blank


EVERYWHERE = Predictor(recalibrated(LINE), CATALOGUE)


@functools.cache
def drawn_predictor(place: int) -> Predictor:
    """A predictor takes long to make, so that the lines are drawn once."""
    return Predictor(recalibrated(DRAWN[place], golden_courses=False), CATALOGUE)


def of(line: Recalibration, log_odds: np.ndarray, therapy: str) -> np.ndarray:
    found = log_odds[:, None]
    added = Lines([{"single": line}], DOSING).added(found, np.zeros(len(found), dtype=np.int64), [therapy] * len(found))
    return (found + added)[:, 0]


@given(lines, lines, st.sampled_from((CAR_T, OTHER, ENGAGER)))
def test_one_line_after_another_is_one_line(first: Recalibration, second: Recalibration, therapy: str) -> None:
    log_odds = np.linspace(-6, 3, 19)
    apart = of(second, of(first, log_odds, therapy), therapy)
    np.testing.assert_allclose(of(second.after(first), log_odds, therapy), apart, atol=1e-12)


@given(lines)
def test_no_change_before_or_after_leaves_the_line(line: Recalibration) -> None:
    for same in (line.after(UNCHANGED), UNCHANGED.after(line)):
        assert (same.shift, same.slope, dict(same.therapy_shift)) == (line.shift, line.slope, dict(line.therapy_shift))


@given(lines)
def test_what_is_written_is_read_again(line: Recalibration) -> None:
    held = Calibration(recalibration={"single": line})
    assert Calibration.from_json(json.loads(json.dumps(held.to_json()))) == held


def test_a_calibration_without_recalibration_is_written_as_it_always_was() -> None:
    held = both(intercept=0.2)
    assert "recalibration" not in held.to_json()
    assert Calibration.from_json(held.to_json()) == held
    assert {**held.to_json(), "recalibration": {}} == asdict(held)


@pytest.mark.parametrize("held", [(0.0, 0.0), (0.0, -1.0), (math.nan, 1.0), (math.inf, 1.0), (0.0, math.inf)])
def test_a_line_that_turns_ranks_round_or_is_not_finite_is_no_recalibration(held: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="slope above 0"):
        Recalibration(*held)


# In a bundle


def test_log_odds_are_moved_by_the_line_of_the_therapy() -> None:
    courses = [CourseInput(key, "", 24 * HOUR) for key in (CAR_T, OTHER)]
    before, after = predict(trained_predictor(), *courses).log_odds, predict(EVERYWHERE, *courses).log_odds
    np.testing.assert_allclose(after[0], 0.7 * before[0] + 0.4 - 0.3, atol=1e-12)
    np.testing.assert_allclose(after[1], 0.7 * before[1] + 0.4, atol=1e-12)


def test_a_kind_of_dosing_that_was_not_looked_at_keeps_its_answers() -> None:
    single = recalibrated(LINE, ("single",))
    engager = CourseInput(ENGAGER, "mm", 12 * HOUR)
    before, after = (predict(one, engager) for one in (trained_predictor(), Predictor(single, CATALOGUE)))
    for name in ("log_odds", "probability", "low", "high"):
        assert getattr(before, name).tobytes() == getattr(after, name).tobytes()
    assert all(single.moved(key)[0] for key in OUTCOME_KEYS)
    assert [single.moved(key) for key in OUTCOME_KEYS if key not in trained_bundle().calibration] == [
        (True, False, False)
    ] * 2


def test_what_a_worse_grade_hears_of_the_milder_ones_trees_is_not_recalibrated() -> None:
    place = OUTCOME_KEYS.index("crs_2plus")
    chained = {**trained_bundle().calibration, "crs_2plus": both(milder_slope=0.5, passed_slope=0.5)}
    moved = {**chained, "crs_1plus": replace(chained["crs_1plus"], recalibration={"single": LINE})}
    courses = many_courses(40, seed=3)
    plain, changed = (
        predict(Predictor(replace(trained_bundle(), calibration=one), CATALOGUE), *courses) for one in (chained, moved)
    )
    np.testing.assert_array_equal(plain.log_odds[:, place], changed.log_odds[:, place])
    assert not np.array_equal(plain.log_odds[:, 0], changed.log_odds[:, 0], equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(course_inputs(), min_size=1, max_size=4), st.integers(0, len(DRAWN) - 1))
def test_the_parts_add_up_for_any_course_and_line(courses: list[CourseInput], place: int) -> None:
    predictor = drawn_predictor(place)
    found = predict(predictor, *courses)
    why = predictor.explain(found, np.arange(len(courses)))
    total = why.prior + why.level + why.clock + why.columns.sum(axis=2) + why.recalibration + why.order
    evaluated = ~np.isnan(found.probability)
    assert np.abs(total - log_odds_of(found.probability))[evaluated].max(initial=0.0) < 1e-5


def test_grades_stay_in_order_and_the_interval_holds_the_probability() -> None:
    found = predict(EVERYWHERE, *many_courses(300, seed=12))
    for place, below in enumerate(MILDER):
        if below is not None:
            known = ~np.isnan(found.probability[:, place]) & ~np.isnan(found.probability[:, below])
            assert (found.probability[known, place] <= found.probability[known, below]).all()
    known = ~np.isnan(found.probability)
    assert (found.low[known] <= found.probability[known]).all()
    assert (found.probability[known] <= found.high[known]).all()


def test_a_recalibrated_bundle_is_written_read_and_gives_its_golden_answers(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("recalibrated") / "bundle"
    digest = bundle.write(recalibrated(LINE), folder)
    again = bundle.read(folder, digest)
    assert again.calibration["crs_1plus"].recalibration == dict.fromkeys(DOSING, LINE)
    assert verify_golden(Predictor(again, CATALOGUE)) > 0
    assert json.loads((folder / "manifest.json").read_text())["format"] == 2
