"""The parts of an answer add up, one outcome alone or five at once, and a worse grade hears its milder ones' trees."""

import json
import math
from dataclasses import asdict, fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.calibration import (
    AS_PUBLISHED,
    DOSING,
    PRIOR_ALONE,
    Calibration,
    Parts,
    Shares,
    Stack,
    Terms,
    dosing,
    elapsed,
    first_day,
    freshness,
)
from features.outcomes import MILDER, OUTCOME_KEYS

N, OUTCOMES = 40, len(OUTCOME_KEYS)
THERAPIES = ("teclistamab", "axicabtagene-ciloleucel", "elsewhere")
coefficients = st.floats(-3, 3, allow_subnormal=False)


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    return Terms(*(draw(coefficients) for _ in fields(Terms)))


@st.composite
def calibrations(draw: st.DrawFn) -> Calibration:
    """Terms of every kind of dosing, and a shift for some therapies at some of them."""
    shifts = draw(
        st.dictionaries(st.sampled_from(DOSING), st.dictionaries(st.sampled_from(THERAPIES[:2]), coefficients))
    )
    return Calibration(*(draw(terms()) for _ in DOSING), therapy_shift=shifts)


def drawn_parts(seed: int) -> tuple[Parts, np.ndarray]:
    """N rows of every kind, and the sums of their leaves."""
    random = np.random.default_rng(seed)
    begun = random.random((N, OUTCOMES)) < 0.4
    return Parts(
        prior=random.normal(-1, 2, (N, OUTCOMES)),
        hours=random.uniform(-1, 200, N),
        begun=begun,
        dosing=random.integers(0, len(DOSING), N),
        therapy=tuple(random.choice(THERAPIES, N).tolist()),
        milder=random.normal(0, 1, (N, OUTCOMES)),
        passed=begun & (random.random((N, OUTCOMES)) < 0.5),
    ), random.normal(0, 1.5, (N, OUTCOMES))


def of_outcome(parts: Parts, place: int, milder: np.ndarray) -> Parts:
    return Parts(
        parts.prior[:, place],
        parts.hours,
        parts.begun[:, place],
        parts.dosing,
        parts.therapy,
        milder,
        parts.passed[:, place],
    )


five = st.lists(calibrations(), min_size=OUTCOMES, max_size=OUTCOMES)


@given(five, st.integers(0, 10_000))
def test_the_shares_sum_to_the_log_odds_of_the_documented_sum(held: list[Calibration], seed: int) -> None:
    parts, trees = drawn_parts(seed)
    one = of_outcome(parts, 2, parts.milder[:, 2])
    found = held[0].shares(one, trees[:, 2])
    summed = found.prior + found.level + found.clock + found.trees + found.milder
    np.testing.assert_allclose(held[0].combine(one, trees[:, 2]), summed, rtol=0, atol=1e-12)
    expected = [_by_hand(held[0], one, row, trees[row, 2]) for row in range(N)]
    np.testing.assert_allclose(found.log_odds, expected, rtol=1e-12, atol=1e-9)


def _by_hand(held: Calibration, parts: Parts, row: int, trees: float) -> float:
    """The sum that Terms documents, of one row."""
    name, hours = DOSING[int(parts.dosing[row])], max(float(parts.hours[row]), 0.0)
    of = held.terms[DOSING.index(name)]
    weight = of.late_slope + (of.early_slope - of.late_slope) * math.exp(-hours / 24)
    waiting = of.time_slope * math.log(1 + hours / 12) + of.day_slope * min(hours / 24, 1.0)
    clock = of.begun_shift if parts.begun[row] else waiting
    milder = (of.passed_slope if parts.passed[row] else of.milder_slope) * parts.milder[row]
    shift = held.therapy_shift.get(name, {}).get(parts.therapy[row], 0.0)
    return float(of.intercept + shift + of.prior_slope * parts.prior[row] + clock + weight * trees + milder)


@given(five, st.integers(0, 10_000))
def test_five_outcomes_at_once_are_five_outcomes_one_by_one_down_the_chain(held: list[Calibration], seed: int) -> None:
    parts, trees = drawn_parts(seed)
    found = Stack(held, MILDER).shares(parts, trees)
    signals: list[np.ndarray] = []
    for place, below in enumerate(MILDER):
        said = parts.milder[:, place] if below is None else signals[below]
        alone = held[place].shares(of_outcome(parts, place, said), trees[:, place])
        signals.append(alone.signal)
        for part in fields(Shares):
            np.testing.assert_allclose(
                getattr(found, part.name)[:, place], getattr(alone, part.name), rtol=1e-12, atol=1e-12
            )
    np.testing.assert_allclose(found.signal, np.column_stack(signals), rtol=1e-12, atol=1e-12)


def test_the_milder_outcomes_are_those_of_the_same_event_one_grade_below() -> None:
    named = {
        key: None if below is None else OUTCOME_KEYS[below] for key, below in zip(OUTCOME_KEYS, MILDER, strict=True)
    }
    assert named == {
        "crs_1plus": None,
        "crs_2plus": "crs_1plus",
        "crs_3plus": "crs_2plus",
        "icans_2plus": None,
        "icans_3plus": "icans_2plus",
    }


def test_the_trees_of_the_mildest_grade_reach_the_worst_through_the_grade_between() -> None:
    def believing(milder: float) -> Calibration:
        return Calibration(*(Terms(early_slope=1.0, late_slope=1.0, milder_slope=milder) for _ in DOSING))

    parts, _ = drawn_parts(3)
    parts = Parts(
        **{
            **{one.name: getattr(parts, one.name) for one in fields(Parts)},
            "milder": np.zeros((N, OUTCOMES)),
            "passed": np.zeros((N, OUTCOMES), dtype=bool),
        }
    )
    trees = np.zeros((N, OUTCOMES))
    trees[:, OUTCOME_KEYS.index("crs_1plus")] = 2.0
    found = Stack([believing(0.5)] * OUTCOMES, MILDER).shares(parts, trees).milder
    assert found[0].tolist() == [0.0, 1.0, 0.5, 0.0, 0.0]


@given(five, st.integers(0, 10_000))
def test_once_the_milder_grade_is_reached_the_other_slope_speaks(held: list[Calibration], seed: int) -> None:
    parts, _ = drawn_parts(seed)
    _, said = Stack(held, MILDER).weights(parts)
    for place in range(OUTCOMES):
        of = np.array(
            [[held[place].terms[kind].milder_slope, held[place].terms[kind].passed_slope] for kind in parts.dosing]
        )
        assert said[:, place].tolist() == np.where(parts.passed[:, place], of[:, 1], of[:, 0]).tolist()


@pytest.mark.parametrize("place", range(len(DOSING)))
def test_a_therapys_own_level_counts_at_its_kind_of_dosing_alone(place: int) -> None:
    held = Calibration(therapy_shift={DOSING[place]: {"teclistamab": 0.75}})
    parts, trees = drawn_parts(5)
    level = held.shares(of_outcome(parts, 0, parts.milder[:, 0]), trees[:, 0]).level
    own = (parts.dosing == place) & (np.array(parts.therapy) == "teclistamab")
    assert level.tolist() == np.where(own, 0.75, 0.0).tolist()
    assert own.any()


@pytest.mark.parametrize("place", range(len(DOSING)))
def test_each_kind_of_dosing_has_terms_of_its_own(place: int) -> None:
    each = [Terms(intercept=1.0 if one == place else 0.0) for one in range(len(DOSING))]
    parts, trees = drawn_parts(6)
    level = Calibration(*each).shares(of_outcome(parts, 0, parts.milder[:, 0]), trees[:, 0]).level
    assert level.tolist() == (parts.dosing == place).astype(float).tolist()


@given(st.integers(0, 10_000))
def test_as_published_leaves_the_prior_to_the_last_bit(seed: int) -> None:
    parts, trees = drawn_parts(seed)
    found = Stack([PRIOR_ALONE] * OUTCOMES, MILDER).shares(parts, trees)
    assert PRIOR_ALONE.terms == (AS_PUBLISHED,) * len(DOSING)
    assert found.log_odds.tobytes() == parts.prior.tobytes()
    for part in (found.level, found.clock, found.trees, found.milder):
        assert not part.any()


@given(calibrations())
def test_a_calibration_reads_back_as_it_was_written(held: Calibration) -> None:
    assert Calibration.from_json(json.loads(json.dumps(asdict(held)))) == held


@pytest.mark.parametrize("left_out", [*DOSING, "therapy_shift"])
def test_a_calibration_with_a_part_missing_is_refused(left_out: str) -> None:
    body = asdict(PRIOR_ALONE)
    del body[left_out]
    with pytest.raises(KeyError, match=left_out):
        Calibration.from_json(body)


def test_a_term_that_is_not_known_is_refused() -> None:
    body = asdict(PRIOR_ALONE)
    body["single"]["slope"] = 1.0
    with pytest.raises(TypeError, match="slope"):
        Calibration.from_json(body)


@pytest.mark.parametrize(
    ("step_up", "number", "place"), [(False, 1, 0), (False, 3, 0), (True, 1, 1), (True, 2, 2), (True, 9, 2)]
)
def test_where_a_course_stands_by_its_latest_dose(step_up: bool, number: int, place: int) -> None:
    assert dosing(step_up, number) == place


def test_the_clock_starts_at_the_dose_and_the_trees_fade_by_half_in_seventeen_hours() -> None:
    assert elapsed(np.array([-5.0, 0.0, 12.0])).tolist() == pytest.approx([0.0, 0.0, math.log(2)])
    assert first_day(np.array([-5.0, 0.0, 6.0, 24.0, 300.0])).tolist() == [0.0, 0.0, 0.25, 1.0, 1.0]
    assert freshness(np.array([-5.0, 0.0, 24 * math.log(2)])).tolist() == pytest.approx([1.0, 1.0, 0.5])
    assert round(24 * math.log(2)) == 17


def test_a_term_that_is_left_out_is_missed_and_not_taken_for_nothing() -> None:
    body = asdict(Calibration())
    del body["first_dose"]["day_slope"]
    with pytest.raises(KeyError, match="day_slope"):
        Calibration.from_json(body)
