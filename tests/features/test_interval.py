"""An interval is looked up exactly, spans its probability, and keeps the grades in order."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.interval import IntervalTable, around, cell
from features.outcomes import OUTCOME_KEYS
from features.predict import FAMILIES, Predictor
from features.single import CourseInput
from tests.builders import CATALOGUE, course_inputs, predict, trained_bundle, trained_predictor

TABLE = IntervalTable(-1.0, 0.5, (0.0, 0.1, 0.2, 0.3), (0.4, 0.5, 0.6, 1.0))


@pytest.mark.parametrize(
    ("log_odds", "ends"),
    [
        (-1.0, (0.0, 0.4)),
        (-0.76, (0.0, 0.4)),
        (-0.75, (0.1, 0.5)),
        (0.2, (0.2, 0.6)),
        (9.0, (0.3, 1.0)),
        (-9, (0, 0.4)),
    ],
)
def test_a_score_takes_the_entry_it_rounds_to_and_the_ends_beyond_the_grid(
    log_odds: float, ends: tuple[float, float]
) -> None:
    low, high = TABLE.at(np.array([log_odds]))
    assert (low.item(), high.item()) == ends


def test_no_score_has_no_interval() -> None:
    assert all(math.isnan(end.item()) for end in TABLE.at(np.array([np.nan])))


@given(st.floats(-12, 12), st.floats(-12, 12))
def test_rounding_moves_a_score_by_half_a_step_at_most(score: float, start: float) -> None:
    place = cell(np.array([score]), start, 0.05).item()
    assert abs(start + 0.05 * place - score) <= 0.025 + 1e-9


@pytest.mark.parametrize("broken", [{"low": (0.1,)}, {"low": (), "high": ()}, {"step": 0.0}])
def test_a_table_that_cannot_be_looked_up_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="as many low as high"):
        replace(TABLE, **broken)


def test_a_normal_interval_is_even_on_the_log_odds_scale() -> None:
    low, high = (end.item() for end in around(np.array([-1.0]), np.array([0.5])))
    middle = [math.log(one / (1 - one)) for one in (low, high)]
    assert middle == pytest.approx([-1 - 0.979982, -1 + 0.979982], rel=1e-6)


@given(st.lists(course_inputs(), min_size=1, max_size=3))
def test_an_interval_spans_its_probability_and_keeps_the_grades_in_order(courses: list[CourseInput]) -> None:
    found = predict(trained_predictor(), *courses)
    known = ~np.isnan(found.probability)
    np.testing.assert_array_equal(np.isnan(found.low), ~known)
    assert (found.low[known] <= found.probability[known]).all()
    assert (found.probability[known] <= found.high[known]).all()
    assert (found.low[known] >= 0).all()
    assert (found.high[known] <= 1).all()
    for ends in (found.low, found.high):
        for family in FAMILIES:
            held = np.nan_to_num(ends[:, family], nan=1.0)
            assert (np.diff(held, axis=1) <= 1e-12).all()


def test_a_therapy_the_data_did_not_hold_spans_the_published_spread_as_well() -> None:
    held = trained_bundle()
    learnt = replace(held, policy=replace(held.policy, therapies=("axicabtagene-ciloleucel",)))
    place = OUTCOME_KEYS.index("crs_1plus")
    course = CourseInput("axicabtagene-ciloleucel", "lbcl", 0)
    known, unknown = (predict(Predictor(one, CATALOGUE), course) for one in (learnt, held))
    assert known.probability[0, place] == unknown.probability[0, place]
    assert unknown.low[0, place] <= known.low[0, place]
    assert known.high[0, place] <= unknown.high[0, place]


def test_an_outcome_that_data_did_not_move_has_the_spread_of_its_published_rate() -> None:
    predictor, place = trained_predictor(), OUTCOME_KEYS.index("icans_3plus")
    found = predict(predictor, CourseInput("axicabtagene-ciloleucel", "lbcl", 0))
    spread = predictor.prior.spread(found.rows.evidence)[0, place]
    low, high = around(found.log_odds[:, place], np.array([spread]))
    assert found.low[0, place] == low.item()
    assert found.high[0, place] == high.item()
