"""What pooling adds to the rates: prophylaxis as an odds ratio, how sure a rate is, the dose calendar, and assays."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.assay_evidence import AssayEvidence
from features.assay_facts import ReferenceAgent
from features.catalogue import Catalogue, Rate
from features.evidence import HIGHEST, LOWEST, MITIGATIONS, RATES, STEPS, TherapyEvidence, policy
from features.outcomes import OUTCOME_KEYS
from features.pooling import pool
from features.prior import Prior
from features.shrinkage import beta_variance, moved, spread_of
from tests.builders import ASSAY_ROW, CATALOGUE, cohort, evidence, pooled, with_rates

FIRST, SECOND, THIRD = (RATES.index(f"crs_{grade}plus") for grade in (1, 2, 3))
NUMBERS = policy()
PULLED, CENTRE = NUMBERS["shrinkage_patients"], NUMBERS["between_centre_sd"]
TOCILIZUMAB, CORTICOSTEROID = MITIGATIONS
USUAL: dict[str, Any] = {"crs_1plus": 0.7, "crs_2plus": 0.2, "crs_3plus": 0.05, "icans_1plus": 0.1, "icans_3plus": 0.02}


def logit(rate: float) -> float:
    return math.log(rate / (1 - rate))


def expit(value: float) -> float:
    return 1 / (1 + math.exp(-value))


# Prophylaxis


def under(therapy: str = "t-cell-engager", indication: str = "mm", n: float = 100.0, **changed: Any) -> Rate:
    """A made-up cohort under prophylactic tocilizumab, with 10 % CRS."""
    given_: dict[str, Any] = {"trial": "under", "mitigation": "prophylactic-tocilizumab", "crs_1plus": 0.1}
    return cohort(therapy, indication, n, **{**given_, **changed})


def with_prophylaxis(*rows: Rate) -> dict[str, TherapyEvidence]:
    return pooled(cohort("teclistamab", "mm", n=200, **USUAL), *rows)


def shift_of(held: TherapyEvidence, indication: str = "mm", name: str = TOCILIZUMAB) -> float:
    return logit(held.mitigated[name][indication][FIRST]) - logit(held.rates_for(indication)[FIRST])


def test_prophylaxis_is_the_odds_ratio_of_the_published_cohort_drawn_to_none_by_the_pseudo_patients() -> None:
    found = with_prophylaxis(under())
    usual = found["t-cell-engager"].rates["mm"][FIRST]
    shift = logit((100 * 0.1 + PULLED * usual) / (100 + PULLED)) - logit(usual)
    for key in ("teclistamab", "bcma-engager", "elranatamab", "t-cell-engager"):
        rates, shifted = found[key].rates["mm"], found[key].mitigated[TOCILIZUMAB]["mm"]
        expected = [max(expit(logit(rate) + shift), LOWEST) for rate in rates[:3]]
        assert shifted[:3] == pytest.approx(expected, rel=1e-12)
        assert shifted[3:] == rates[3:]


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_larger_cohort_is_drawn_less_and_none_goes_beyond_what_it_saw(one: int, other: int) -> None:
    small, large = sorted((one, other))
    found = [with_prophylaxis(under(n=n)) for n in (small, large)]
    seen = logit(0.1) - logit(found[0]["t-cell-engager"].rates["mm"][FIRST])
    near, far = (shift_of(held["t-cell-engager"]) for held in found)
    assert seen < far <= near < 0


def test_a_cohort_that_saw_the_usual_rate_changes_nothing() -> None:
    usual = with_prophylaxis()["t-cell-engager"].rates["mm"]
    held = with_prophylaxis(under(crs_1plus=usual[FIRST]))["t-cell-engager"]
    assert held.mitigated[TOCILIZUMAB]["mm"] == pytest.approx(usual, rel=1e-12)


def test_of_several_cohorts_the_odds_ratios_are_weighed_by_size() -> None:
    alone = [
        shift_of(with_prophylaxis(under(n=n, crs_1plus=rate))["teclistamab"]) for n, rate in ((90, 0.1), (30, 0.4))
    ]
    both = with_prophylaxis(under(n=90), under(n=30, crs_1plus=0.4, trial="other"))["teclistamab"]
    assert shift_of(both) == pytest.approx(0.75 * alone[0] + 0.25 * alone[1], rel=1e-12)


def test_prophylaxis_counts_only_where_therapy_and_indication_match() -> None:
    found = pooled(
        cohort("teclistamab", "mm", n=200, **USUAL),
        cohort("epcoritamab", "lbcl", n=200, **USUAL),
        cohort("axicabtagene-ciloleucel", "lbcl", n=200, **USUAL),
        under("cd20-engager", "lbcl"),
    )
    assert set(found["epcoritamab"].mitigated[TOCILIZUMAB]) == set(_at_or_below("lbcl"))
    assert all(not found[key].mitigated for key in ("teclistamab", "t-cell-engager", "axicabtagene-ciloleucel"))


def _at_or_below(indication: str) -> list[str]:
    return [key for key in CATALOGUE.indications if indication in CATALOGUE.indication_lineage(key)]


def test_a_cohort_over_all_indications_counts_for_each() -> None:
    held = with_prophylaxis(under(indication=""))["teclistamab"].mitigated[TOCILIZUMAB]
    assert set(held) == {"", *CATALOGUE.indications}


def test_each_prophylaxis_stands_alone() -> None:
    held = with_prophylaxis(under(), under(mitigation="prophylactic-corticosteroid", crs_1plus=0.5))["teclistamab"]
    assert set(held.mitigated) == {TOCILIZUMAB, CORTICOSTEROID}
    assert shift_of(held) < shift_of(held, name=CORTICOSTEROID) < 0


@pytest.mark.parametrize("unusable", [{"n": math.nan}, {"crs_1plus": math.nan}, {"superseded": True}])
def test_a_cohort_without_patients_or_a_rate_is_ignored(unusable: dict[str, Any]) -> None:
    assert with_prophylaxis(under(**unusable)) == with_prophylaxis()
    assert with_prophylaxis(under(), under(trial="other", **{"crs_1plus": 0.6, **unusable})) == with_prophylaxis(
        under()
    )


def test_a_cohort_under_prophylaxis_is_no_rate_of_the_product() -> None:
    found, without = with_prophylaxis(under()), with_prophylaxis()
    for key, held in found.items():
        assert replace(held, mitigated={}) == without[key]


def test_the_shipped_cohort_lowers_crs_of_engagers_in_myeloma_and_of_nothing_else() -> None:
    touched = {key: held.mitigated for key, held in evidence().items() if held.mitigated}
    assert {key for key in touched if CATALOGUE.ancestry(key)[-1] != "t-cell-engager"} == set()
    assert {name for held in touched.values() for name in held} == {TOCILIZUMAB}
    for key, held in touched.items():
        assert set(held[TOCILIZUMAB]) == {"mm"}
        usual = evidence()[key].rates_for("mm")
        assert all(lower < rate for lower, rate in zip(held[TOCILIZUMAB]["mm"][:2], usual[:2], strict=True))
        assert held[TOCILIZUMAB]["mm"][3:] == usual[3:]


@given(st.floats(LOWEST, HIGHEST), st.floats(-30, 30))
def test_a_moved_rate_stays_inside_the_bounds_and_moves_the_way_of_the_shift(rate: float, shift: float) -> None:
    assert LOWEST <= moved(rate, shift) <= HIGHEST
    assert (moved(rate, shift) - rate) * shift >= -1e-12


# How sure a rate is


@given(st.integers(5, 300), st.integers(5, 300))
def test_the_spread_falls_with_more_patients(one: int, other: int) -> None:
    small, large = sorted((one, other))
    few, many = (pooled(cohort("teclistamab", n=n, crs_1plus=0.5))["teclistamab"].spread[""] for n in (small, large))
    assert many[FIRST] <= few[FIRST]
    assert (many[FIRST] < few[FIRST]) == (small < large)


def test_the_spread_of_a_product_is_that_of_a_beta_of_its_patients_between_centres() -> None:
    held = pooled(cohort("teclistamab", n=80, crs_1plus=0.6), cohort("elranatamab", n=150, crs_1plus=0.8))[
        "teclistamab"
    ]
    rate = held.rates[""][FIRST]
    expected = math.sqrt(1 / (rate * (1 - rate) * (80 + PULLED + 1)) + CENTRE**2)
    assert held.spread[""][FIRST] == pytest.approx(expected, rel=1e-12)


def test_grade_two_is_as_sure_as_the_rates_and_the_share_it_stands_on() -> None:
    split = cohort("teclistamab", n=5, trial="split", crs_1plus=0.6, crs_2plus=0.3, crs_3plus=0.1)
    large = cohort("teclistamab", n=300, crs_1plus=0.6, crs_3plus=0.1)
    alike = cohort("teclistamab", n=300, trial="split", crs_1plus=0.6, crs_2plus=0.3, crs_3plus=0.1)
    few, many = (pooled(large, one)["teclistamab"] for one in (split, alike))
    assert few.patients[""][SECOND] < many.patients[""][SECOND]
    assert few.spread[""][SECOND] > many.spread[""][SECOND]


def test_the_spread_between_centres_is_a_floor() -> None:
    for held in evidence().values():
        assert min(min(row) for row in held.spread.values()) > CENTRE
        assert held.spread.keys() == held.rates.keys()


def test_a_product_without_a_cohort_is_as_sure_as_the_pseudo_patients_alone() -> None:
    found = pooled(cohort("teclistamab", n=300, **USUAL))["elranatamab"]
    for rate, spread in zip(found.rates[""], found.spread[""], strict=True):
        assert spread == pytest.approx(spread_of(rate, beta_variance(rate, PULLED)), rel=1e-12)


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_a_class_spans_its_products(one: float, other: float) -> None:
    found = pooled(
        cohort("afamitresgene-autoleucel", n=250, crs_1plus=one),
        cohort("letetresgene-autoleucel", n=250, crs_1plus=other),
    )
    keys = ("afamitresgene-autoleucel", "letetresgene-autoleucel")
    apart = [logit(found[key].rates[""][FIRST]) for key in keys]
    held = found["tcr-t"]
    assert held.between[FIRST] == pytest.approx(abs(apart[0] - apart[1]) / 2, abs=1e-9)
    assert held.spread[""][FIRST] >= math.hypot(CENTRE, held.between[FIRST]) - 1e-12
    assert all(found[key].between == (0.0,) * len(RATES) for key in keys)


def test_a_class_is_never_surer_than_a_product_of_it_that_nobody_has_published() -> None:
    found = evidence()
    for key in CATALOGUE.therapies:
        held = found.get(key)
        if held is None or any(held.patients[""]):
            continue
        above = found[CATALOGUE.therapies[key].therapy_class]
        assert all(wide >= own for wide, own in zip(above.spread[""], held.spread[""], strict=True))


def test_the_prior_hands_out_the_spread_of_the_rate_it_uses() -> None:
    held = Prior(evidence())
    rows = held.rows(("teclistamab", "teclistamab", "nobody's"), ("mm", "lbcl", ""))
    spread = held.spread(rows)
    for place, indication in enumerate(("mm", "")):
        own = evidence()["teclistamab"].spread[indication]
        assert spread[place].tolist() == [own[RATES.index(key)] for key in OUTCOME_KEYS]
    assert np.isnan(spread[2]).all()


# The dose calendar


def test_a_known_schedule_is_the_calendar_in_hours() -> None:
    assert evidence()["teclistamab"].dose_hours == (0.0, 72.0, 144.0, 312.0)
    assert evidence()["glofitamab"].dose_hours == (0.0, 168.0, 336.0, 840.0)


def test_a_dose_the_schedule_does_not_name_follows_by_the_interval_of_the_policy() -> None:
    assert len([row for row in CATALOGUE.dose_days if row.therapy == "odronextamab"]) == STEPS - 1
    assert evidence()["odronextamab"].dose_hours == (0.0, 168.0, 336.0, 336.0 + NUMBERS["dose_interval_hours"])
    gap = replace(
        CATALOGUE, dose_days=tuple(row for row in CATALOGUE.dose_days if (row.therapy, row.dose) != ("teclistamab", 2))
    )
    assert pool(gap)["teclistamab"].dose_hours == (0.0, NUMBERS["dose_interval_hours"], 144.0, 312.0)


def test_a_class_and_a_product_without_a_schedule_have_the_mean_of_the_known_ones() -> None:
    known = {row.therapy for row in CATALOGUE.dose_days}
    mean = np.mean([evidence()[key].dose_hours for key in sorted(known)], axis=0)
    unknown = [key for key, held in evidence().items() if held.step_up and key not in known]
    assert "t-cell-engager" in unknown
    for key in unknown:
        assert evidence()[key].dose_hours == pytest.approx(mean.tolist(), rel=1e-12)


def test_without_any_schedule_doses_follow_by_the_interval_of_the_policy() -> None:
    held = pool(replace(CATALOGUE, dose_days=()))
    assert held["teclistamab"].dose_hours == tuple(NUMBERS["dose_interval_hours"] * place for place in range(STEPS))


def test_a_single_infusion_has_no_later_dose() -> None:
    for held in evidence().values():
        if not held.step_up:
            assert (held.dose_hours, held.step_share) == ((0.0,) * STEPS, (1.0, 0.0, 0.0, 0.0))


# Whose figures count for more


def effective(place: int, **changed: Any) -> float:
    body: dict[str, Any] = {**USUAL, "n": 200, **changed}
    return pooled(cohort("teclistamab", **body))["teclistamab"].patients[""][place]


def test_a_large_astct_cohort_weighs_more_than_one_graded_by_lee() -> None:
    assert effective(THIRD) == 200
    assert effective(THIRD, crs_grading="Lee-2014") == pytest.approx(200 * NUMBERS["weight_lee"])
    base = cohort("teclistamab", n=100, crs_1plus=0.7, crs_3plus=0.02)
    third = [
        pooled(base, cohort("teclistamab", n=n, trial="other", crs_1plus=0.7, crs_3plus=0.3, crs_grading=system))[
            "teclistamab"
        ].rates[""][THIRD]
        for n, system in ((200, "ASTCT-2019"), (200, "Lee-2014"), (40, "Lee-2014"), (300, "Penn"))
    ]
    assert third == sorted(third, reverse=True)
    assert len(set(third)) == 4


@given(st.floats(0, 0.35), st.floats(0.35, 0.7))
def test_no_figure_graded_by_penn_is_used_for_grade_two_or_three(third: float, second: float) -> None:
    base = cohort("teclistamab", n=100, **USUAL)
    penn: dict[str, Any] = {"n": 300, "trial": "penn", "crs_1plus": 0.7, "crs_grading": "Penn"}
    without, stated = (
        pooled(base, cohort("teclistamab", **penn, **figures))["teclistamab"]
        for figures in ({}, {"crs_2plus": second, "crs_3plus": third})
    )
    assert stated == without
    assert effective(THIRD, crs_grading="Penn") == effective(SECOND, crs_grading="Penn") == 0
    assert effective(FIRST, crs_grading="Penn") == 200


# Assays


ASSAY = replace(
    ASSAY_ROW,
    therapy="teclistamab",
    therapy_class="bcma-engager",
    position=1.0,
    position_low=1.0,
    position_high=1.0,
    positions=("il2 1 1 1",),
    key_events=("cytokine-release",),
    limits=("made up",),
    reviewed_by="made up",
    reviewed_on="2026-01-01",
    source="made up",
    verified="yes",
)


def with_assay(rates: Sequence[Rate], *assays: AssayEvidence) -> Catalogue:
    """The shipped tables with these cohorts and assays, and made-up clinical rates of both references."""
    known = {"natalizumab": (0.01, 0.0), "alemtuzumab": (0.9, 0.5)}
    facts = CATALOGUE.assay_facts
    references = tuple(_rated(one, *known.get(one.agent, (math.nan, math.nan))) for one in facts.references)
    return replace(with_rates(rates), assays=assays, assay_facts=replace(facts, references=references))


def _rated(one: ReferenceAgent, first: float, third: float) -> ReferenceAgent:
    return replace(one, n=100.0, crs_1plus=first, crs_3plus=third, verified="yes")


#: Of the positive reference, with half an event and half a non-event added.
SAID = (90.5 / 101, 50.5 / 101)


@pytest.mark.parametrize(("n", "worth"), [(5, 9.0), (25, 5.0), (45, 1.0)])
def test_an_assay_draws_the_rate_by_the_patients_it_is_still_worth(n: int, worth: float) -> None:
    rates = [cohort("teclistamab", n=n, crs_1plus=0.3, crs_3plus=0.02)]
    plain, drawn = (pool(with_assay(rates, *rows))["teclistamab"] for rows in ((), (ASSAY,)))
    for place, said in ((FIRST, SAID[0]), (THIRD, SAID[1])):
        behind = plain.patients[""][place] + PULLED
        expected = (worth * said + behind * plain.rates[""][place]) / (worth + behind)
        assert drawn.rates[""][place] == pytest.approx(expected, rel=1e-12)
    share = [
        (one.rates[""][SECOND] - one.rates[""][THIRD]) / (one.rates[""][FIRST] - one.rates[""][THIRD])
        for one in (plain, drawn)
    ]
    assert share[0] == pytest.approx(share[1], rel=1e-9)
    assert drawn.rates[""][3:] == plain.rates[""][3:]
    assert drawn.patients == plain.patients


def test_an_assay_fades_as_patients_are_treated() -> None:
    moved_by = []
    for n in (5, 20, 40, 60, 200):
        rates = [cohort("teclistamab", n=n, crs_1plus=0.3, crs_3plus=0.02)]
        plain, drawn = (pool(with_assay(rates, *rows))["teclistamab"] for rows in ((), (ASSAY,)))
        moved_by.append(drawn.rates[""][FIRST] - plain.rates[""][FIRST])
    assert moved_by == sorted(moved_by, reverse=True)
    assert moved_by[2] > 0
    assert moved_by[3:] == [0.0, 0.0]


@pytest.mark.parametrize(
    "silent", [{"hazard_class": "negative"}, {"hazard_class": "not-conclusive"}, {"reference_positive": "tgn1412"}]
)
def test_an_assay_without_a_rise_or_a_reference_with_a_rate_moves_nothing(silent: dict[str, str]) -> None:
    rates = [cohort("teclistamab", n=5, crs_1plus=0.3, crs_3plus=0.02)]
    assert pool(with_assay(rates, replace(ASSAY, **silent))) == pool(with_assay(rates))  # type: ignore[arg-type]


def test_an_assay_of_a_product_moves_no_other_therapy() -> None:
    rates = [cohort("teclistamab", n=5, crs_1plus=0.3, crs_3plus=0.02)]
    plain, drawn = pool(with_assay(rates)), pool(with_assay(rates, ASSAY))
    assert {key for key in plain if plain[key] != drawn[key]} == {"teclistamab"}
