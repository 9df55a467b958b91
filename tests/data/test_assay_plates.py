"""Simulated assays whose truth is known: what each plate must be read as, and what it must not be read as."""

from math import log

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from data.assay_response import CytokineResponse
from data.assay_statistics import censored_mean
from data.assay_suitability import over_negative
from data.assay_table import AGENT, Assay, assay_from_frame
from data.hazard import FormatHazard, assess
from features.catalogue import load
from tests.data.assay_plates import (
    AIR,
    BLOOD,
    BLOOD_CAMPATH,
    BLOOD_CD28SA,
    BLOOD_NEGATIVE,
    COATED_CD3,
    COATED_CD28SA,
    COATED_NEGATIVE,
    COATED_WEAK,
    LOWER,
    RESTORE,
    SOLUBLE,
    UPPER,
    WET,
    Arm,
    Design,
    blood,
    coated,
    cut,
    isotype,
    restore,
    scaled,
    simulate,
    soluble,
    uncut,
    under_test,
    wet,
)

FACTS = load().assay_facts
SEEDS = (11, 12, 13)
EXCLUDES_NOTHING = "does not exclude CD28SA-type risk"


def read(designs: Design | list[Design], seed: int) -> dict[str, FormatHazard]:
    assay = assay_from_frame(simulate(designs, seed), FACTS)
    return {one.format: one for one in assess(assay, FACTS)}


def reply(one: FormatHazard, cytokine: str) -> CytokineResponse:
    return next(item for item in one.responses.cytokines if item.cytokine == cytokine)


def rising(one: FormatHazard) -> set[str]:
    return {item.cytokine for item in one.responses.cytokines if item.rises}


def said(one: FormatHazard, part: str) -> bool:
    return any(part in sentence for sentence in one.limits)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cd28_superagonist_is_missed_in_soluble_formats_and_caught_on_coated_wells(seed: int) -> None:
    found = read(
        [
            coated(under_test(COATED_CD28SA)),
            restore(under_test(scaled(COATED_CD28SA, 0.5, COATED_NEGATIVE))),
            soluble(under_test(tuple(1.2 * value for value in COATED_NEGATIVE))),
            blood(under_test(BLOOD_CD28SA, 0.80, ec50=3.0)),
        ],
        seed,
    )
    assert found[AIR].hazard_class == found[RESTORE].hazard_class == "strong"
    assert found[AIR].responses.severity.low > 0.4
    assert found[SOLUBLE].hazard_class == "negative"
    assert found[BLOOD].hazard_class in ("weak", "negative")
    assert said(found[BLOOD], EXCLUDES_NOTHING)
    assert said(found[SOLUBLE], EXCLUDES_NOTHING)
    assert {one.concordant for one in found.values()} == {"no"}


@pytest.mark.parametrize("seed", SEEDS)
def test_five_donors_of_whole_blood_are_not_conclusive(seed: int) -> None:
    one = read(blood(under_test(BLOOD_CD28SA, 0.80, ec50=3.0), donors=5), seed)[BLOOD]
    assert one.hazard_class == "not-conclusive"
    assert one.key_events == ()
    assert said(one, "Not conclusive: 5 donors where this format needs 9")


@pytest.mark.parametrize("seed", SEEDS)
def test_anti_cd3_is_strong_in_ifn_gamma_and_lies_below_a_superagonist_in_il2(seed: int) -> None:
    one = read(coated(under_test(COATED_CD3, hook=True)), seed)[AIR]
    superagonist = read(coated(under_test(COATED_CD28SA)), seed)[AIR]
    assert one.hazard_class == "strong"
    assert reply(one, "ifn_gamma").position.value == pytest.approx(1, abs=0.15)
    assert reply(one, "tnf").position.value == pytest.approx(1, abs=0.2)
    # ln(127 / 5) / ln(4185 / 5) = 0.48 at the plateau, less where the hook cuts it.
    assert 0.38 < reply(one, "il2").position.value < 0.52
    assert one.responses.severity.high < superagonist.responses.severity.low


@pytest.mark.parametrize("seed", SEEDS)
def test_alemtuzumab_is_strong_in_whole_blood_and_raises_no_il2_on_coated_wells(seed: int) -> None:
    found = read([blood(under_test(BLOOD_CAMPATH, 1.15, ec50=3.0)), coated(under_test(COATED_WEAK))], seed)
    assert found[BLOOD].hazard_class == "strong"
    assert {"il8", "il6", "tnf"} <= rising(found[BLOOD])
    assert found[AIR].hazard_class == "weak"
    assert "tnf" in rising(found[AIR])
    assert "il2" not in rising(found[AIR])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rise_of_tnf_without_il2_is_weak_however_large(seed: int) -> None:
    one = read(coated(under_test(COATED_WEAK)), seed)[AIR]
    assert one.hazard_class == "weak"
    assert reply(one, "tnf").fold.value > 4
    assert said(one, "TNF and IL-8 alone overcall")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_silent_agent_is_negative_and_the_answer_says_how_many_responders_remain_possible(seed: int) -> None:
    found = read([blood(under_test(BLOOD_NEGATIVE, 0.0)), coated(under_test(COATED_NEGATIVE, 0.0))], seed)
    for one in found.values():
        assert one.hazard_class == "negative"
        assert one.responders.high == pytest.approx(0.3085, abs=5e-5)
        assert said(one, "With 10 silent donors up to 31% responders remain possible")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_third_of_the_donors_responding_is_seen_though_the_mean_is_low(seed: int) -> None:
    one = read(blood(under_test(BLOOD_CAMPATH, 0.3, ec50=3.0, responding=0.3)), seed)[BLOOD]
    assert one.responders.low < 0.30 < one.responders.high
    assert one.responses.responders == 3
    # By the mean alone this would pass: no cytokine's rise is repeatable over donors.
    assert all(item.fold.value < FACTS.numbers["responder_fold"] for item in one.responses.cytokines)
    assert all(item.p_value > FACTS.numbers["significance"] for item in one.responses.cytokines)
    assert one.hazard_class == "weak"
    assert said(one, "the mean over donors hides who does not")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_plate_with_a_silent_positive_control_is_refused_and_the_others_used(seed: int) -> None:
    one = read(coated(under_test(COATED_CD28SA), donors=12, plates=3, silent=(1,)), seed)[AIR]
    assert [(item.plate, "did not rise in IL-2 or IFN-gamma" in item.reason) for item in one.refused] == [
        ("p0-1", True)
    ]
    assert (one.donors, one.plates, one.hazard_class, one.quality) == (8, 2, "strong", "limited")
    assert said(one, "Plate p0-1 was refused")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_plate_with_a_high_negative_control_is_refused_and_the_others_used(seed: int) -> None:
    one = read(coated(under_test(COATED_CD28SA), donors=12, plates=3, high=(2,)), seed)[AIR]
    assert [item.plate for item in one.refused] == ["p0-2"]
    assert "the negative control is high" in one.refused[0].reason
    assert (one.donors, one.hazard_class) == (8, "strong")


def test_sound_plates_are_not_refused() -> None:
    for seed in range(15):
        for one in read(
            [coated(under_test(COATED_CD3, doses=(10.0,))), blood(under_test(BLOOD_CD28SA))], seed
        ).values():
            assert one.refused == ()


# Censored values


def test_a_censored_mean_keeps_the_ratio_that_half_the_limit_distorts() -> None:
    """Of the wells 40 % lie below the lower and 10 % above the upper limit; the ratio is known: 3.

    Donors spread widely (geometric SD 2.2) and are many, so that what is left of the distance is the method's own.
    """
    medians = (50.0,) * 7
    agent = Arm("candidate", "agent", tuple(3 * value for value in medians), 0.30)
    design = Design(AIR, medians, (agent, isotype(medians)), donors=400, plates=3, donor_sd=0.8)
    wells = _read(design, 65.0, 300.0)
    assert (wells["side"] < 0).mean() == pytest.approx(0.40, abs=0.03)
    assert (wells["side"] > 0).mean() == pytest.approx(0.10, abs=0.03)
    truth, censored = _ratios(_read(design, 0.0, 1e9)), _ratios(wells)
    halved = _ratios(wells.assign(log=wells["log"] - log(2) * (wells["side"] < 0), side=0))
    assert truth == pytest.approx(3, rel=0.05)
    assert np.abs(censored / truth - 1).max() < 0.15
    assert float(np.log(censored / truth).mean()) == pytest.approx(0, abs=0.05)
    assert float(np.log(halved / truth).mean()) < log(1 - 0.13)


def _read(design: Design, lower: float, upper: float) -> pd.DataFrame:
    """The wells of one draw, cut at these limits in every cytokine."""
    table = cut(uncut(design, 5), dict.fromkeys(LOWER, lower), dict.fromkeys(UPPER, upper))
    return assay_from_frame(table, FACTS).wells


def _ratios(wells: pd.DataFrame) -> NDArray[np.float64]:
    """Geometric mean of agent over negative, per cytokine."""
    found = []
    for _, here in wells.groupby("cytokine"):
        place = here["donor"].str.partition("-")[2].astype(int).to_numpy()
        means = [
            censored_mean(part["log"].to_numpy(), part["side"].to_numpy(), place[mask], 400, 3).value
            for mask in ((here["role"] == AGENT).to_numpy(), (here["role"] != AGENT).to_numpy())
            for part in [here[mask]]
        ]
        found.append(np.exp(means[0] - means[1]))
    return np.array(found)


# Formats


@pytest.mark.parametrize("seed", SEEDS)
def test_wet_and_air_dried_coating_are_two_results_and_neither_is_moved_by_the_other(seed: int) -> None:
    dry, damp = coated(under_test(COATED_CD3)), wet(under_test(COATED_CD3))
    table = simulate([dry, damp], seed)
    together = {one.format: one for one in assess(assay_from_frame(table, FACTS), FACTS)}
    assert set(together) == {AIR, WET}
    for name, one in together.items():
        alone = assess(assay_from_frame(table[table["format"] == name], FACTS), FACTS)[0]
        assert alone.responses.cytokines == one.responses.cytokines
        assert alone.hazard_class == one.hazard_class
    assert reply(together[WET], "il2").fold.value < reply(together[AIR], "il2").fold.value / 2


@pytest.mark.slow
def test_an_agent_that_is_the_negative_control_is_called_in_at_most_one_of_twenty_assays() -> None:
    design = blood(under_test(BLOOD_NEGATIVE, 0.0, doses=(10.0,)), plates=1)
    classes = [read(design, seed)[BLOOD].hazard_class for seed in range(500)]
    assert set(classes) <= {"negative", "weak", "moderate", "strong"}
    assert sum(name != "negative" for name in classes) <= 25


@pytest.mark.slow
def test_random_donor_responses_around_nothing_are_called_in_at_most_one_of_twenty_assays() -> None:
    """Harder than the agent being the control: each donor moves up or down at random, geometric SD 1.8."""
    design = coated(under_test(COATED_NEGATIVE, 0.6, doses=(10.0,)))
    classes = [read(design, seed)[AIR].hazard_class for seed in range(60)]
    assert sum(name != "negative" for name in classes) <= 3


def test_the_rise_of_a_limit_value_is_never_overstated() -> None:
    table = cut(uncut(coated(under_test(COATED_NEGATIVE, 0.0, doses=(10.0,))), 2), dict.fromkeys(LOWER, 40.0))
    assay: Assay = assay_from_frame(table, FACTS)
    rises = over_negative(assay.wells, assay.wells["role"] == AGENT)
    assert rises.loc[rises["cytokine"] == "il2", "rise"].abs().max() == 0.0
