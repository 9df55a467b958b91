"""A known change is found again within its sampling error, and few courses move the line part of the way only."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from features.errors import UsageError
from features.interval import IntervalTable
from features.policy import Thresholds
from features.prior import log_odds, sigmoid
from features.recalibration import UNCHANGED, Recalibration
from tests.training.builders import AXI, Array, drawn
from training.config import Settings
from training.recalibration_fit import (
    Asked,
    Method,
    Scored,
    by_dosing,
    fit_line,
    method_named,
    moved,
    out_of_fold,
    policy,
)
from training.recalibration_ranges import MOVED, NONE, carried

OTHER, THIRD, RARE = "tisagenlecleucel", "brexucabtagene-autoleucel", "obecabtagene-autoleucel"
WIDTHS = dict.fromkeys((AXI, OTHER, THIRD, RARE), 0.5)
FREE = Settings(intercept_sd=100.0, prior_slope_sd=100.0)


def asked(method: Method, settings: Settings | None = None) -> Asked:
    return Asked(method, settings or Settings(), WIDTHS)


def scored(log_odds: Array, label: Array, therapy: np.ndarray | None = None) -> Scored:
    """One row per course, all infused once."""
    n = len(label)
    keys = np.full(n, AXI) if therapy is None else therapy
    return Scored(log_odds, label, np.arange(n), np.zeros(n, dtype=np.int64), keys)


def world(n: int, shift: float, slope: float = 1.0, seed: int = 1) -> Scored:
    """A centre whose true log-odds are slope x score + shift."""
    score = np.random.default_rng(seed).normal(-1.5, 1.2, n)
    return scored(score, drawn(slope * score + shift, seed + 1))


def standard_error(design: Array, truth: Array) -> Array:
    """(k,) of coefficients whose true log-odds are these, by Fisher's information."""
    p = sigmoid(truth)
    return np.sqrt(np.diag(np.linalg.inv((design.T * (p * (1 - p))) @ design)))


@pytest.mark.parametrize("shift", [-1.0, -0.4, 0.0, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_a_shifted_rate_is_found_within_its_sampling_error(shift: float, seed: int) -> None:
    held = world(1500, shift, seed=10 * seed)
    found = fit_line(held, asked(Method.IN_THE_LARGE))
    error = standard_error(np.ones((1500, 1)), held.log_odds + shift)[0]
    assert abs(found.shift - shift) < 3 * error
    assert (found.slope, dict(found.therapy_shift)) == (1.0, {})


@pytest.mark.parametrize(("shift", "slope"), [(0.5, 0.6), (-0.3, 1.4), (0.0, 1.0)])
@pytest.mark.parametrize("seed", range(3))
def test_shift_and_slope_are_found_within_their_sampling_error(shift: float, slope: float, seed: int) -> None:
    held = world(2500, shift, slope, seed=7 * seed)
    found = fit_line(held, asked(Method.SLOPE))
    design = np.column_stack([np.ones(2500), held.log_odds])
    errors = standard_error(design, slope * held.log_odds + shift)
    assert abs(found.shift - shift) < 3 * errors[0]
    assert abs(found.slope - slope) < 3 * errors[1]


def test_each_therapy_is_found_and_a_rare_one_is_drawn_to_the_common_shift() -> None:
    random = np.random.default_rng(4)
    therapy = np.repeat([AXI, OTHER, THIRD, RARE], [1200, 1200, 1200, 16])
    own = {AXI: 0.9, OTHER: -0.6, THIRD: 0.1, RARE: 1.6}
    score = random.normal(-1.0, 1.0, len(therapy))
    held = scored(score, drawn(score + np.array([own[key] for key in therapy])), therapy)
    found = fit_line(held, asked(Method.PER_THERAPY))
    for key in (AXI, OTHER, THIRD):
        assert found.shift + found.therapy_shift[key] == pytest.approx(own[key], abs=0.25)
    alone = fit_line(held.take(therapy == RARE), asked(Method.IN_THE_LARGE, FREE)).shift
    assert abs(found.therapy_shift[RARE]) < abs(alone - found.shift)


def test_therapies_that_do_not_differ_are_given_one_shift() -> None:
    held = world(1600, 0.7)
    mixed = replace(held, therapy=np.tile([AXI, OTHER, THIRD, RARE], 400))
    found, common = fit_line(mixed, asked(Method.PER_THERAPY)), fit_line(held, asked(Method.IN_THE_LARGE))
    assert found.shift == pytest.approx(common.shift, abs=0.05)
    assert max(abs(one) for one in found.therapy_shift.values()) < 0.1


def test_a_therapy_that_the_courses_did_not_have_gets_the_common_shift() -> None:
    line = Recalibration(0.5, 1.0, {AXI: 0.2})
    held = scored(np.zeros(2), np.zeros(2), np.array([AXI, OTHER]))
    assert moved(held, {"single": line}) == pytest.approx([0.7, 0.5])


def test_few_events_move_the_line_part_of_the_way() -> None:
    held = world(40, 1.5)
    for method in (Method.IN_THE_LARGE, Method.SLOPE):
        drawn_in, free = fit_line(held, asked(method)), fit_line(held, asked(method, FREE))
        assert abs(drawn_in.slope - 1) <= abs(free.slope - 1)
        at_middle = [abs((one.at(held.log_odds) - held.log_odds).mean()) for one in (drawn_in, free)]
        assert 0 < at_middle[0] < at_middle[1]


@pytest.mark.parametrize("method", Method)
def test_all_rows_of_a_course_have_one_voice(method: Method) -> None:
    held = world(300, 0.6)
    often = Scored(*(np.repeat(getattr(held, name), 5) for name in Scored.__slots__))
    once, five = fit_line(held, asked(method)), fit_line(often, asked(method))
    assert (five.shift, five.slope) == pytest.approx((once.shift, once.slope), abs=1e-6)


@pytest.mark.parametrize("method", [Method.IN_THE_LARGE, Method.SLOPE])
def test_the_order_of_courses_stays_whatever_the_labels_say(method: Method) -> None:
    for held in (world(400, 0.8, 0.5), world(400, -3.0, -1.0)):
        line = fit_line(held, asked(method))
        after = moved(held, by_dosing(line, held))
        assert (np.argsort(after, kind="stable") == np.argsort(held.log_odds, kind="stable")).all()
        assert roc_auc_score(held.label, after) == roc_auc_score(held.label, held.log_odds)


def test_scores_that_say_the_opposite_keep_the_least_slope_and_the_rate() -> None:
    held = world(4000, -3.0, -1.0)
    line = fit_line(held, asked(Method.SLOPE))
    assert line.slope == policy()["least_slope"]
    assert sigmoid(line.at(held.log_odds)).mean() == pytest.approx(held.label.mean(), abs=0.005)


def test_without_rows_nothing_changes() -> None:
    assert fit_line(world(1, 0.0).take(np.array([False])), asked(Method.SLOPE)) == UNCHANGED


def test_only_the_kinds_of_dosing_that_the_courses_had_are_recalibrated() -> None:
    held = replace(world(3, 0.0), dosing=np.array([2, 0, 2]))
    assert sorted(by_dosing(UNCHANGED, held)) == ["later_doses", "single"]


def test_no_row_is_judged_by_a_line_that_saw_it() -> None:
    held, fold_of = world(300, 0.6), np.arange(300) % 3
    turned = replace(held, label=np.where(fold_of == 1, 1 - held.label, held.label))
    before, after = (out_of_fold(one, fold_of, asked(Method.SLOPE)) for one in (held, turned))
    assert (before[fold_of == 1] == after[fold_of == 1]).all()
    assert not (before[fold_of == 0] == after[fold_of == 0]).any()


def test_an_unknown_method_is_refused() -> None:
    assert method_named("per-therapy") is Method.PER_THERAPY
    with pytest.raises(UsageError, match="use one of in-the-large, slope, per-therapy"):
        method_named("isotonic")


# Ranges that move with the scores


def test_a_moved_table_says_of_a_moved_score_what_the_old_one_said_moved() -> None:
    table = IntervalTable(-4.0, 0.5, tuple(np.linspace(0, 0.6, 13)), tuple(np.linspace(0.2, 1, 13)))
    line = Recalibration(0.8, 0.7, {AXI: 5.0})
    found = carried(table, None, line).interval
    assert found is not None
    scores = np.linspace(-5, 3, 41)[::2] + 0.1
    with np.errstate(divide="ignore"):
        expected = [sigmoid(line.at(log_odds(ends))) for ends in table.at(scores)]
    np.testing.assert_allclose(found.at(line.at(scores)), expected, atol=1e-12)
    assert (found.low[0], found.high[-1]) == (0.0, 1.0)


def test_moved_bands_sort_the_same_courses_as_before() -> None:
    bands = Thresholds(0.2, 0.45, 0.9, 20.0, 0.5, 0.95, 30.0, 0.9, 0.2)
    line = Recalibration(-0.7, 1.3)
    found = carried(None, bands, line)
    assert found.thresholds is not None
    assert found.how == MOVED
    for p in np.linspace(0.01, 0.99, 50):
        after = float(sigmoid(line.at(log_odds(np.array([p]))))[0])
        assert found.thresholds.band(after) == bands.band(float(p))
    assert (found.thresholds.ppv, found.thresholds.sensitivity) == (0.5, 0.9)


def test_nothing_to_move_is_said() -> None:
    found = carried(None, None, UNCHANGED)
    assert (found.interval, found.thresholds, found.how) == (None, None, NONE)
