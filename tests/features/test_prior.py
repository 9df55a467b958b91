"""The published rates as a starting point: pooling, what remains as time passes, and what a charted grade says."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from features import prior
from features.catalogue_types import CRS_GRADINGS
from features.course import Event
from features.evidence import HIGHEST, LOWEST, RATES, policy
from features.outcomes import OUTCOME_KEYS, OUTCOMES
from features.prior import History, Prior, Timing
from features.single import CourseInput
from tests.builders import CATALOGUE, NOT_KNOWN, build, cohort, evidence, pooled

FIRST, SECOND, THIRD = (RATES.index(f"crs_{grade}plus") for grade in (1, 2, 3))
PULLED = policy()["shrinkage_patients"]
SHIPPED = Prior(evidence())
NOTHING_CHARTED = History(np.zeros((1, 2)), np.full((1, 2), math.nan))

fractions_ = st.floats(0, 1)
rates_ = st.floats(LOWEST, HIGHEST)


def array(*values: float) -> prior.Array:
    return np.array(values)


def left(rate: float, any_rate: float, fraction: float) -> float:
    return float(prior.remaining(array(rate), array(any_rate), array(fraction))[0])


def asked(
    held: Prior, therapy: str, indication: str, hours: float = 0.0, dose: int = 1, history: History = NOTHING_CHARTED
) -> list[float]:
    """One course's probabilities in the order of OUTCOMES."""
    rows = held.rows((therapy,), (indication,))
    fractions = held.fractions(rows, Timing(array(hours), np.array([dose])))
    answer: list[float] = held.probabilities(rows, fractions, history)[0].tolist()
    return answer


def charted(crs: int, icans: int, crs_hours: float, icans_hours: float) -> History:
    hours = [crs_hours if crs else math.nan, icans_hours if icans else math.nan]
    return History(np.array([[float(crs), float(icans)]]), np.array([hours]))


# What remains


@given(rates_, rates_)
def test_before_any_onset_could_pass_all_of_the_rate_remains(rate: float, any_rate: float) -> None:
    assert left(rate, any_rate, 0.0) == rate


@given(rates_, rates_)
def test_when_all_onsets_have_passed_nothing_remains(rate: float, any_rate: float) -> None:
    assert left(rate, any_rate, 1.0) == 0.0


@given(rates_, st.lists(fractions_, min_size=2, max_size=6))
def test_what_remains_falls_as_onsets_pass(rate: float, passed: list[float]) -> None:
    remaining = [left(rate, rate, fraction) for fraction in sorted(passed)]
    assert all(later <= earlier + 1e-15 for earlier, later in pairwise(remaining))


@given(rates_, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_what_remains_is_the_conditional_probability_by_counting(rate: float, share: float, fraction: float) -> None:
    """Of 1 course, any_rate x fraction have begun; of the rest, rate x (1 - fraction) are still to begin."""
    worse = rate * share
    still_to_come, not_begun = worse * (1 - fraction), 1 - rate * fraction
    assert left(worse, rate, fraction) == pytest.approx(still_to_come / not_begun, rel=1e-12)


# Onset


@given(st.floats(1, 200), st.floats(0.5, 5), st.floats(200, 800))
def test_onset_runs_from_nothing_to_all_at_the_horizon(median: float, shape: float, horizon: float) -> None:
    hours = np.linspace(-24, horizon + 48, 60)
    each = np.ones_like(hours)
    passed = prior.onset_fraction(hours, median * each, shape * each, horizon * each)
    assert (passed[hours <= 0] == 0).all()
    assert (passed[hours >= horizon] == 1).all()
    assert (np.diff(passed) >= 0).all()


def test_at_the_median_half_of_all_onsets_have_passed() -> None:
    passed = prior.onset_fraction(array(72.0), array(72.0), array(2.1), array(1e9))
    assert passed[0] == pytest.approx(0.5, abs=1e-9)


# Escalation


def worse(rate: float, reached: float, hours: float, wait: float = 24.0, after: float | None = None) -> float:
    """The worse grade is the next one unless the rate of the next one, `after`, is given."""
    return float(prior.escalation(array(rate), array(after or rate), array(reached), array(hours), array(wait))[0])


def test_who_is_to_reach_grade_three_is_still_waiting_for_grade_two() -> None:
    third, second, first, waiting = 0.1, 0.4, 0.9, math.exp(-1)
    assert worse(third, first, 24.0, after=second) == pytest.approx(
        third * waiting / (first - second + second * waiting), rel=1e-12
    )


def test_right_after_a_grade_the_conditional_rate_holds() -> None:
    assert worse(0.09, 0.9, 0.0) == pytest.approx(0.1, rel=1e-12)


def test_one_mean_wait_later_escalation_has_faded_by_the_exponential_law() -> None:
    still_to_come = 0.1 * math.exp(-1)
    assert worse(0.09, 0.9, 24.0) == pytest.approx(still_to_come / (still_to_come + 0.9), rel=1e-12)


@given(rates_, rates_, st.lists(st.floats(0, 500), min_size=2, max_size=5))
def test_escalation_fades_to_nothing(rate: float, reached: float, hours: list[float]) -> None:
    rate, reached = sorted((rate, reached))  # a worse grade is never likelier than the one it follows
    assume(rate < 0.999 * reached)  # where everybody goes on, nothing fades
    fading = [worse(rate, reached, one) for one in sorted(hours)]
    assert all(later <= earlier + 1e-15 for earlier, later in pairwise(fading))
    assert worse(rate, reached, 24.0 * 40) < 1e-12


def test_grade_one_for_long_leaves_less_of_grade_three_than_grade_one_just_now() -> None:
    now, late = (asked(SHIPPED, "axicabtagene-ciloleucel", "lbcl", 72, 1, charted(1, 0, hours, 0)) for hours in (0, 96))
    place = OUTCOME_KEYS.index("crs_3plus")
    assert now[place] > 5 * late[place]


# Coherent order


@given(
    st.sampled_from([*evidence()]),
    st.sampled_from(["", *CATALOGUE.indications]),
    st.floats(0, 1500),
    st.integers(1, 7),
    st.integers(0, 5),
    st.integers(0, 5),
    st.floats(0, 500),
)
def test_a_worse_grade_is_never_likelier(
    therapy: str, indication: str, hours: float, dose: int, crs: int, icans: int, since: float
) -> None:
    found = asked(SHIPPED, therapy, indication, hours, dose, charted(crs, icans, since, since))
    for event in ("crs", "icans"):
        family = [value for value, one in zip(found, OUTCOMES, strict=True) if one.key.startswith(event)]
        assert family == sorted(family, reverse=True)
    assert all(0 < value < 1 for value in found)


@pytest.mark.parametrize("therapy", [*evidence()])
def test_published_rates_are_held_in_order_and_inside_the_bounds(therapy: str) -> None:
    for rates in evidence()[therapy].rates.values():
        for first, second, third in (rates[:3], rates[3:]):
            assert HIGHEST >= first >= second - 1e-12
            assert second >= third - 1e-12
            assert third >= LOWEST


# Pooling


def test_a_product_is_drawn_to_its_class_by_the_policy_patients() -> None:
    found = pooled(cohort("teclistamab", n=60, crs_1plus=0.7), cohort("elranatamab", n=40, crs_1plus=0.5))
    above = found["bcma-engager"].rates[""][FIRST]
    assert found["teclistamab"].rates[""][FIRST] == pytest.approx((60 * 0.7 + PULLED * above) / (60 + PULLED))
    assert found["elranatamab"].rates[""][FIRST] == pytest.approx((40 * 0.5 + PULLED * above) / (40 + PULLED))
    assert found["teclistamab"].patients[""][FIRST] == 60


def test_a_product_without_a_cohort_has_its_class_rates() -> None:
    found = pooled(cohort("teclistamab", "mm", crs_1plus=0.7, crs_2plus=0.2, crs_3plus=0.05, icans_1plus=0.1))
    assert found["elranatamab"].rates[""] == pytest.approx(found["bcma-engager"].rates[""], rel=1e-12)
    assert found["elranatamab"].patients[""] == (0,) * len(RATES)


def test_with_very_many_patients_a_product_keeps_its_own_rate() -> None:
    many = [cohort("teclistamab", n=300, trial=f"made up {place}", crs_1plus=0.3) for place in range(200)]
    found = pooled(*many, cohort("elranatamab", n=300, crs_1plus=0.9))
    assert found["teclistamab"].rates[""][FIRST] == pytest.approx(0.3, abs=1e-5)


def test_one_cohort_counts_for_no_more_than_the_policy_allows() -> None:
    most = policy()["largest_cohort"]
    small, huge = (pooled(cohort("teclistamab", n=n, crs_1plus=0.3)) for n in (most, 100 * most))
    assert small == huge


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.integers(5, 300), st.integers(5, 300))
def test_a_class_lies_between_its_products(one: float, other: float, n_one: int, n_other: int) -> None:
    cohorts = (
        cohort("afamitresgene-autoleucel", n=n_one, crs_1plus=one),
        cohort("letetresgene-autoleucel", n=n_other, crs_1plus=other),
    )
    found = pooled(*cohorts)
    mean = found["tcr-t"].rates[""][FIRST]
    # A root is drawn to one half by a single patient.
    assert mean == pytest.approx((n_one * one + n_other * other + 0.5) / (n_one + n_other + 1))
    products = [found[key].rates[""][FIRST] for key in ("afamitresgene-autoleucel", "letetresgene-autoleucel")]
    assert min(*products, 0.5) <= mean + 1e-12
    assert mean - 1e-12 <= max(*products, 0.5)


@pytest.mark.parametrize(
    "key", [key for key in CATALOGUE.classes if CATALOGUE.classes[key].parent and key in evidence()]
)
def test_a_shipped_class_lies_between_its_products_and_the_class_above(key: str) -> None:
    below = [name for name in evidence() if name != key and key in CATALOGUE.lineage(name)]
    rates = [evidence()[name].rates[""][FIRST] for name in (*below, CATALOGUE.classes[key].parent)]
    assert min(rates) - 1e-12 <= evidence()[key].rates[""][FIRST] <= max(rates) + 1e-12


def test_penn_grades_say_nothing_of_grade_two_or_three() -> None:
    base = cohort("teclistamab", n=100, crs_1plus=0.7, crs_2plus=0.2, crs_3plus=0.05)
    penn: dict[str, Any] = {"trial": "other", "n": 300, "crs_1plus": 0.7, "crs_grading": "Penn"}
    without = pooled(base, cohort("teclistamab", **penn))
    assert pooled(base, cohort("teclistamab", **penn, crs_2plus=0.6, crs_3plus=0.5)) == without
    astct: dict[str, Any] = {**penn, "crs_grading": "ASTCT-2019"}
    moved = pooled(base, cohort("teclistamab", **astct, crs_2plus=0.6, crs_3plus=0.5))
    assert moved["teclistamab"].rates[""][THIRD] > 3 * without["teclistamab"].rates[""][THIRD]


def test_any_grade_compares_between_grading_systems() -> None:
    found = [pooled(cohort("teclistamab", crs_1plus=0.7, crs_grading=system)) for system in CRS_GRADINGS]
    assert all(one == found[0] for one in found)


def test_the_policy_has_a_weight_for_every_grading_system() -> None:
    for system in CRS_GRADINGS:
        found = pooled(cohort("teclistamab", crs_1plus=0.7, crs_3plus=0.1, crs_grading=system))
        assert found["teclistamab"].rates[""][FIRST] > 0.5


@pytest.mark.parametrize("left_out", [{"superseded": True}, {"mitigation": "prophylactic-tocilizumab"}])
def test_a_cohort_that_is_repeated_or_was_mitigated_does_not_count(left_out: dict[str, Any]) -> None:
    base = cohort("teclistamab", "mm", crs_1plus=0.7, crs_3plus=0.05, crs_onset_median_hours=48.0)
    other: dict[str, Any] = {"crs_1plus": 0.1, "crs_3plus": 0.09, "crs_onset_median_hours": 5.0, "trial": "other"}
    counted = pooled(base, cohort("teclistamab", "mm", **other))
    without = pooled(base, cohort("teclistamab", "mm", **other, **left_out))
    assert without["teclistamab"].rates == pooled(base)["teclistamab"].rates != counted["teclistamab"].rates


def test_unchecked_figures_weigh_less() -> None:
    base = cohort("teclistamab", crs_1plus=0.9)
    checked, memory = (
        pooled(base, cohort("teclistamab", trial="other", crs_1plus=0.1, verified=one))["teclistamab"].rates[""][FIRST]
        for one in ("yes", "no")
    )
    assert checked < memory < 0.9


def test_second_grades_follow_the_share_that_sources_split() -> None:
    many = [
        cohort("teclistamab", n=300, trial=f"made up {place}", crs_1plus=0.7, crs_2plus=0.2, crs_3plus=0.1)
        for place in range(200)
    ]
    found = pooled(*many)["teclistamab"].rates[""]
    assert found[SECOND] == pytest.approx(0.2, abs=1e-3)


# Indications


LYMPHOMA = (
    cohort("axicabtagene-ciloleucel", "lbcl", n=300, crs_1plus=0.9, crs_3plus=0.1),
    cohort("axicabtagene-ciloleucel", "fl", n=300, trial="other", crs_1plus=0.5, crs_3plus=0.02),
)


def test_a_narrower_indication_has_the_rates_of_the_wider_one() -> None:
    held = Prior(pooled(*LYMPHOMA))
    assert asked(held, "axicabtagene-ciloleucel", "dlbcl") == pytest.approx(
        asked(held, "axicabtagene-ciloleucel", "lbcl"), rel=1e-12
    )
    assert asked(held, "axicabtagene-ciloleucel", "lbcl")[0] > asked(held, "axicabtagene-ciloleucel", "fl")[0] + 0.2


@pytest.mark.parametrize("indication", ["mm", "", "no-such-indication"])
def test_an_indication_without_a_cohort_has_the_rates_of_the_therapy(indication: str) -> None:
    found = pooled(*LYMPHOMA)
    assert asked(Prior(found), "axicabtagene-ciloleucel", indication)[0] == pytest.approx(
        found["axicabtagene-ciloleucel"].rates[""][FIRST]
    )
    assert found["axicabtagene-ciloleucel"].rates_for(indication) == found["axicabtagene-ciloleucel"].rates[""]


def test_a_cohort_of_a_narrower_indication_counts_for_the_wider_one() -> None:
    found = pooled(cohort("axicabtagene-ciloleucel", "dlbcl", n=100, crs_1plus=0.9))["axicabtagene-ciloleucel"]
    assert found.patients["lbcl"][FIRST] == found.patients["b-nhl"][FIRST] == 100
    assert "mm" not in found.rates


def test_an_indication_is_drawn_to_the_therapy() -> None:
    found = pooled(*LYMPHOMA)["axicabtagene-ciloleucel"]
    above = found.rates["b-nhl"][FIRST]
    assert found.rates["fl"][FIRST] == pytest.approx((300 * 0.5 + PULLED * above) / (300 + PULLED))


# Therapies and doses


@pytest.mark.parametrize("therapy", [NOT_KNOWN, ""])
def test_an_unknown_therapy_has_no_prior(therapy: str) -> None:
    assert all(math.isnan(value) for value in asked(SHIPPED, therapy, "lbcl", 24.0))
    rows = SHIPPED.rows((therapy,), ("lbcl",))
    assert np.isnan(SHIPPED.step_up(rows)).all()


def test_an_unknown_therapy_leaves_its_neighbours_alone() -> None:
    rows = SHIPPED.rows(("teclistamab", NOT_KNOWN, "teclistamab"), ("mm", "mm", "mm"))
    fractions = SHIPPED.fractions(rows, Timing(np.full(3, 12.0), np.ones(3, dtype=np.int64)))
    history = History(np.zeros((3, 2)), np.full((3, 2), math.nan))
    found = SHIPPED.probabilities(rows, fractions, history)
    assert np.isnan(found[1]).all()
    assert found[0].tolist() == found[2].tolist() == asked(SHIPPED, "teclistamab", "mm", 12.0)


def test_schedules_are_told_apart() -> None:
    rows = SHIPPED.rows(("teclistamab", "axicabtagene-ciloleucel"), ("", ""))
    assert SHIPPED.step_up(rows).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("dose", [1, 2, 3, 4, 9])
def test_earlier_doses_have_passed_when_the_next_is_given(dose: int) -> None:
    published = [step.crs_rate for step in CATALOGUE.steps if step.therapy == "talquetamab"]
    rows = SHIPPED.rows(("talquetamab",), ("mm",))
    passed = SHIPPED.fractions(rows, Timing(array(0.0), np.array([dose])))
    assert passed[0, 0] == pytest.approx(sum(published[: min(dose, 4) - 1]) / sum(published), abs=1e-12)


def test_after_the_last_dose_and_its_horizon_all_onsets_have_passed() -> None:
    rows = SHIPPED.rows(("talquetamab", "axicabtagene-ciloleucel"), ("mm", "lbcl"))
    passed = SHIPPED.fractions(rows, Timing(array(720.0, 720.0), np.array([4, 1])))
    assert passed == pytest.approx(np.ones((2, 2)), abs=1e-12)


def test_log_odds_are_those_of_the_probabilities() -> None:
    rows = SHIPPED.rows(("teclistamab",), ("mm",))
    fractions = SHIPPED.fractions(rows, Timing(array(12.0), np.array([2])))
    margins = SHIPPED.margins(rows, fractions, NOTHING_CHARTED)[0]
    assert 1 / (1 + np.exp(-margins)) == pytest.approx(asked(SHIPPED, "teclistamab", "mm", 12.0, 2), rel=1e-12)


# A new dose


@given(
    st.sampled_from(["teclistamab", "talquetamab", "tarlatamab", "epcoritamab", "t-cell-engager"]),
    st.integers(1, 4),
    st.floats(0, 240),
    st.integers(1, 2),
    st.floats(0, 240),
)
def test_a_charted_lower_grade_never_makes_a_worse_one_less_likely_under_a_step_up_schedule(
    therapy: str, dose: int, hours: float, grade: int, since: float
) -> None:
    clean = asked(SHIPPED, therapy, "", hours, dose)
    reacted = asked(SHIPPED, therapy, "", hours, dose, charted(grade, 0, min(since, hours), 0))
    for place, outcome in enumerate(OUTCOMES):
        if outcome.event == Event.CRS_GRADE and outcome.grade > grade:
            assert reacted[place] >= clean[place]


# Doses beyond the horizon


EVERY_THREE_DAYS, WEEKLY = ((0.0, apart, 2 * apart, 3 * apart) for apart in (72.0, 168.0))
SHARE = (0.4, 0.3, 0.2, 0.1)
#: Hours from a step-up dose to the end of the horizon of CRS.
CRS_HORIZON = 240.0


def on_schedule(dose_hours: tuple[float, ...]) -> Prior:
    return Prior({"teclistamab": replace(evidence()["teclistamab"], dose_hours=dose_hours, step_share=SHARE)})


def within(held: Prior, dose: int, therapy: str = "teclistamab") -> list[float]:
    """Share of CRS and of ICANS onsets by the horizon's end, asked after that dose."""
    rows = held.rows((therapy,), ("mm",))
    found: list[float] = held.within(rows, Timing(array(0.0), np.array([dose])))[0].tolist()
    return found


def onset_by(hours: float, horizon: float = CRS_HORIZON) -> float:
    """Share of a dose's onsets of CRS that come within these hours of it."""
    held = evidence()["teclistamab"]
    return float(
        prior.onset_fraction(array(hours), array(held.crs_onset_hours), array(held.onset_shape), array(horizon))[0]
    )


def test_ten_days_from_a_dose_hold_all_doses_three_days_apart_and_one_of_weekly_ones() -> None:
    # Three days apart, doses come 72, 144 and 216 h after the first; weekly, 168, 336 and 504 h after it.
    each = 0.4 + 0.3 * onset_by(240 - 72) + 0.2 * onset_by(240 - 144) + 0.1 * onset_by(240 - 216)
    assert within(on_schedule(EVERY_THREE_DAYS), 1)[0] == pytest.approx(each, rel=1e-12)
    assert within(on_schedule(WEEKLY), 1)[0] == pytest.approx(0.4 + 0.3 * onset_by(240 - 168), rel=1e-12)
    assert within(on_schedule(WEEKLY), 2)[0] == pytest.approx(0.7 + 0.2 * onset_by(240 - 168), rel=1e-12)


@pytest.mark.parametrize("dose", [1, 2, 3])
def test_weekly_doses_leave_more_beyond_the_horizon(dose: int) -> None:
    often, seldom = (within(on_schedule(hours), dose)[0] for hours in (EVERY_THREE_DAYS, WEEKLY))
    assert seldom < often < 1


def test_after_the_last_dose_nothing_lies_beyond_the_horizon() -> None:
    for dose in (4, 5, 9):
        assert within(on_schedule(WEEKLY), dose) == pytest.approx([1.0, 1.0], abs=1e-12)


@given(st.floats(CRS_HORIZON, 5000))
def test_a_dose_at_or_after_the_horizons_end_says_nothing_of_crs(later: float) -> None:
    base, moved = ((0.0, 100.0, CRS_HORIZON, 6000.0), (0.0, 100.0, later, 6000.0))
    assert within(on_schedule(moved), 1)[0] == within(on_schedule(base), 1)[0]


def test_a_longer_horizon_holds_more_of_the_doses() -> None:
    crs, icans = within(on_schedule(WEEKLY), 1)
    assert crs < icans < 1 + 1e-12


@pytest.mark.parametrize("therapy", [key for key, one in evidence().items() if not one.step_up])
def test_all_of_a_single_infusion_lies_within_its_horizon(therapy: str) -> None:
    assert within(SHIPPED, 1, therapy) == [1.0, 1.0]


@given(st.sampled_from([*evidence()]), st.integers(1, 6), st.floats(0, 720))
def test_no_more_onsets_have_passed_than_will_have_come(therapy: str, dose: int, hours: float) -> None:
    rows, timing = SHIPPED.rows((therapy,), ("",)), Timing(array(hours), np.array([dose]))
    passed, by_the_end = SHIPPED.fractions(rows, timing)[0], SHIPPED.within(rows, timing)[0]
    assert (passed >= 0).all()
    assert (passed <= by_the_end + 1e-12).all()
    assert (by_the_end <= 1 + 1e-12).all()


def test_what_remains_leaves_out_what_lies_beyond_the_horizon() -> None:
    held = on_schedule(WEEKLY)
    rows, timing = held.rows(("teclistamab",), ("mm",)), Timing(array(0.0), np.array([1]))
    by_the_end = held.within(rows, timing)
    found = held.probabilities(rows, held.fractions(rows, timing), NOTHING_CHARTED, by_the_end)[0]
    rates = evidence()["teclistamab"].rates["mm"]
    expected = [rates[RATES.index(one.key)] * by_the_end[0, int("icans" in one.key)] for one in OUTCOMES]
    assert found == pytest.approx(expected, rel=1e-12)
    assert within(held, 1)[0] < 0.75


@given(rates_, fractions_, fractions_)
def test_what_remains_by_an_earlier_end_is_the_conditional_probability(rate: float, one: float, other: float) -> None:
    passed, end = sorted((one, other))
    assume(rate * passed < 0.99)
    found = prior.remaining(array(rate), array(rate), array(passed), array(end))[0]
    assert found == pytest.approx(rate * (end - passed) / (1 - rate * passed), rel=1e-12, abs=1e-15)


# Prophylaxis


def given_prophylaxis(*flags: bool) -> np.ndarray:
    return np.array([flags])


def test_prophylaxis_counts_where_a_cohort_under_it_was_published() -> None:
    usual = SHIPPED.rows(("teclistamab",), ("mm",))
    under = SHIPPED.rows(("teclistamab",), ("mm",), given_prophylaxis(True, False))
    assert under != usual
    timing = Timing(array(0.0), np.array([1]))
    before, after = (
        SHIPPED.probabilities(rows, SHIPPED.fractions(rows, timing), NOTHING_CHARTED)[0] for rows in (usual, under)
    )
    crs = np.array(["crs" in key for key in OUTCOME_KEYS])
    held = evidence()["teclistamab"].mitigated["prophylactic_tocilizumab"]["mm"]
    assert after[crs].tolist() == [held[RATES.index(key)] for key in OUTCOME_KEYS if "crs" in key]
    assert (after[crs] < before[crs]).all()
    assert (after[~crs] == before[~crs]).all()
    assert (SHIPPED.spread(under) == SHIPPED.spread(usual)).all()
    assert (SHIPPED.within(under, timing) == SHIPPED.within(usual, timing)).all()


@pytest.mark.parametrize(
    ("therapy", "indication", "flags"),
    [
        ("teclistamab", "mm", (False, False)),
        ("teclistamab", "mm", (False, True)),  # no cohort under a corticosteroid is published
        ("teclistamab", "", (True, False)),
        ("teclistamab", "lbcl", (True, True)),
        ("ciltacabtagene-autoleucel", "mm", (True, False)),
        (NOT_KNOWN, "mm", (True, False)),
    ],
)
def test_elsewhere_prophylaxis_leaves_the_usual_rates(therapy: str, indication: str, flags: tuple[bool, bool]) -> None:
    found = SHIPPED.rows((therapy,), (indication,), given_prophylaxis(*flags))
    assert found.tolist() == SHIPPED.rows((therapy,), (indication,)).tolist()


def test_of_two_kinds_of_prophylaxis_the_first_counts_and_neighbours_are_left_alone() -> None:
    flags = np.array([[True, True], [False, False], [True, False]])
    found = SHIPPED.rows(("teclistamab",) * 3, ("mm",) * 3, flags)
    assert found[0] == found[2] != found[1]


@pytest.mark.parametrize(("flag", "counts"), [(1.0, True), (0.0, False), (math.nan, False)])
def test_the_row_builder_takes_prophylaxis_only_where_it_is_known_to_be_given(flag: float, counts: bool) -> None:
    numbers = {} if math.isnan(flag) else {"prophylactic_tocilizumab": flag}
    usual, asked_for = build(
        CourseInput("teclistamab", "mm", 0), CourseInput("teclistamab", "mm", 0, numbers=numbers)
    ).prior
    assert (asked_for[0] < usual[0]) == counts
    assert (asked_for == usual).all() == (not counts)
