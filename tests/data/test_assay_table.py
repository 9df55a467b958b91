"""An assay file that breaks its contract is refused with one line; one that keeps it does not depend on its order."""

from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.assay_statistics import Estimate, censored_mean, exact_fraction, flip_p_values
from data.assay_table import assay_from_frame, read_assay
from data.hazard import FormatHazard, assess, classify
from features.catalogue import load
from features.errors import DataError
from tests.data.assay_plates import (
    AIR,
    BLOOD_CD28SA,
    BLOOD_NEGATIVE,
    COATED_CD3,
    Arm,
    blood,
    coated,
    simulate,
    under_test,
)

FACTS = load().assay_facts
PLANTED = "48151.62342"
#: Far above every lower and far below every upper limit of quantification when scaled by what is drawn below.
INSIDE = ("IFN-g", "TNF", "IL-6", "IL-10")
COATED = simulate(coated(under_test(COATED_CD3, doses=(1.0, 10.0))), 4)
BLOODS = simulate(blood(under_test(BLOOD_CD28SA, 0.8, doses=(10.0,), ec50=3.0), plates=3), 4)


def refused(frame: pd.DataFrame, path: Path) -> str:
    file = path / "assay.csv"
    frame.to_csv(file, index=False)
    with pytest.raises(DataError) as caught:
        read_assay(file, FACTS)
    line = str(caught.value)
    assert "\n" not in line
    assert PLANTED not in line
    return line


def judged(frame: pd.DataFrame) -> FormatHazard:
    return assess(assay_from_frame(frame, FACTS), FACTS)[0]


# What is refused


@pytest.mark.parametrize("column", ["plate", "donor", "role", "concentration", "hours", "cytokine", "value", "unit"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    assert f"assay.{column}: required column missing" in refused(COATED.drop(columns=column), tmp_path)


def test_an_unknown_column_is_named_with_the_nearest_known_one(tmp_path: Path) -> None:
    assert "assay.comparater: unknown column; did you mean comparator?" in refused(
        COATED.rename(columns={"comparator": "comparater"}), tmp_path
    )


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("format", "pbmc", "is not a known assay format in 1 of"),
        ("role", "control", "is not agent, negative or positive"),
        ("cytokine", "IL-99", "is not a known cytokine"),
        ("value", f"-{PLANTED}", "is not a number above 0 in 1 of 700 rows, first in line 9; write < and"),
        ("value", "0", "is not a number above 0"),
        ("value", f"high {PLANTED}", "is not a number above 0"),
        ("value", "", "is not a number above 0"),
        ("value", "inf", "is not a number above 0"),
        ("unit", "mg/dL", "is not one of pg/mL, ng/L, ng/mL"),
        ("unit", "ng/mL", "mixed units of one cytokine"),
        ("comparator", "<=", "is not <, > or empty"),
        ("concentration", "", "is not a number of 0 or more"),
        ("concentration_unit", "mg/mL", "mixed units in one format"),
        ("hours", "-24", "is not a number above 0"),
        ("donor", "", "is empty"),
        ("agent", "another", "more than one agent under test"),
        ("role", "positive", "an agent has two roles"),
        ("replicate", "2", "a well stands twice"),
    ],
)
def test_a_row_that_breaks_a_rule_is_refused_with_its_column(
    tmp_path: Path, column: str, value: str, said: str
) -> None:
    table = COATED.astype(str)
    # The eighth row is a first replicate of the agent.
    table.loc[7 if column != "replicate" else 6, column] = value
    assert said in refused(table, tmp_path)


def test_an_empty_file_and_a_file_of_a_header_alone_are_refused(tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_bytes(b"")
    with pytest.raises(DataError, match="the file is empty"):
        read_assay(tmp_path / "none.csv", FACTS)
    assert "the file has no rows" in refused(COATED[:0], tmp_path)
    with pytest.raises(DataError, match="no such file"):
        read_assay(tmp_path / "nowhere.csv", FACTS)


@pytest.mark.parametrize(("role", "said"), [("negative", "no negative control"), ("agent", "no agent under test")])
def test_an_assay_without_a_negative_control_or_an_agent_is_refused(tmp_path: Path, role: str, said: str) -> None:
    assert said in refused(COATED[COATED["role"] != role], tmp_path)


# Plates


def test_a_plate_without_a_control_is_refused_by_itself() -> None:
    plates = sorted(COATED["plate"].unique())
    for role, said in (("negative", "no negative control"), ("positive", "no positive control"), ("agent", "no agent")):
        one = judged(COATED[~((COATED["plate"] == plates[1]) & (COATED["role"] == role))])
        assert [(item.plate, said in item.reason) for item in one.refused] == [(plates[1], True)]
        assert one.hazard_class == "not-conclusive"
        assert one.donors == 5


def test_bevacizumab_is_no_negative_control_on_coated_wells() -> None:
    one = judged(COATED.replace({"agent": {"isotype": "Avastin"}}))
    assert {item.reason for item in one.refused} == {"bevacizumab is no negative control in this format"}
    assert (one.hazard_class, one.reason) == ("not-conclusive", "no plate could be used")


def test_two_negative_controls_of_a_plate_must_agree() -> None:
    second = COATED[COATED["agent"] == "isotype"].assign(agent="natalizumab")
    values = second["value"].astype(float)
    agreeing = pd.concat([COATED, second])
    apart = pd.concat([COATED, second.assign(value=(values * 9).map(repr), comparator="")])
    assert judged(agreeing).refused == ()
    assert judged(agreeing).responses.reference_negative == "isotype + natalizumab"
    assert {item.reason.split(" in ")[0] for item in judged(apart).refused} == {"the negative controls disagree"}


def test_one_plate_with_one_negative_control_is_used_and_the_doubt_is_stated() -> None:
    one = judged(COATED.assign(plate="only"))
    assert (one.hazard_class, one.quality) == ("strong", "limited")
    assert any("whether that control was high could not be checked" in sentence for sentence in one.limits)


def test_without_the_severity_cytokine_nothing_is_concluded() -> None:
    one = judged(COATED[COATED["cytokine"] != "IL-2"])
    assert one.hazard_class == "not-conclusive"
    assert "no scale in il2" in one.reason


@pytest.mark.parametrize(("donors", "conclusive"), [(8, False), (9, True)])
def test_whole_blood_needs_nine_donors(donors: int, conclusive: bool) -> None:
    design = blood(under_test(BLOOD_NEGATIVE, 0.0, doses=(10.0,)), donors=donors)
    assert (judged(simulate(design, 1)).hazard_class != "not-conclusive") is conclusive


def test_a_donor_without_a_negative_control_of_its_own_does_not_count() -> None:
    lost = ["d0-00", "d0-09"]
    one = judged(BLOODS[~(BLOODS["donor"].isin(lost) & (BLOODS["role"] == "negative"))])
    assert (one.donors, one.hazard_class) == (8, "not-conclusive")


def test_a_control_of_another_time_is_no_control() -> None:
    one = judged(BLOODS.assign(hours=BLOODS["hours"].where(BLOODS["role"] != "negative", 48)))
    assert {item.reason for item in one.refused} == {"no negative control of the same donors and times"}


def test_of_two_times_the_agent_is_judged_where_it_rises_most() -> None:
    late = BLOODS.assign(hours=48)
    silent = late[late["role"] == "negative"]
    agent = silent.assign(agent="candidate", role="agent", concentration=10.0)
    one = judged(pd.concat([BLOODS, agent, late[late["role"] != "agent"]]))
    assert {item.hours for item in one.responses.cytokines if item.rises} == {24.0}
    assert one.hazard_class == judged(BLOODS).hazard_class


# Laws


@settings(max_examples=8, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(random: object) -> None:
    order = list(range(len(BLOODS)))
    random.shuffle(order)  # type: ignore[attr-defined]
    before, after = judged(BLOODS), judged(BLOODS.iloc[order])
    assert after.responses.cytokines == before.responses.cytokines
    assert after.responses.severity == before.responses.severity
    assert (after.hazard_class, after.limits) == (before.hazard_class, before.limits)


@settings(max_examples=8, deadline=None)
@given(st.permutations(["a", "b", "c"]))
def test_the_order_of_plates_changes_nothing(names: list[str]) -> None:
    renamed = BLOODS.replace({"plate": dict(zip(sorted(BLOODS["plate"].unique()), names, strict=True))})
    before, after = judged(BLOODS), judged(renamed)
    assert after.hazard_class == before.hazard_class
    assert after.responses.severity.value == pytest.approx(before.responses.severity.value, abs=1e-12)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.5, 2.0), st.integers(0, 2))
def test_scaling_a_whole_plate_leaves_the_position_where_it_was(factor: float, which: int) -> None:
    table = BLOODS[BLOODS["cytokine"].isin(INSIDE)].assign(comparator="")
    plate = sorted(table["plate"].unique())[which]
    values = table["value"].astype(float)
    scaled = table.assign(value=values.where(table["plate"] != plate, values * factor))
    before, after = judged(table), judged(scaled)
    assert after.refused == before.refused == ()
    for one, other in zip(before.responses.cytokines, after.responses.cytokines, strict=True):
        assert other.position.value == pytest.approx(one.position.value, abs=1e-9)
        assert other.fold.value == pytest.approx(one.fold.value, rel=1e-9)
    assert after.hazard_class == before.hazard_class


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=12))
def test_an_uncensored_mean_is_the_plain_mean_over_donors(values: list[float]) -> None:
    log = np.array(values)
    mean = censored_mean(log, np.zeros(len(log), dtype=np.int64), np.arange(len(log)), len(log), 3)
    assert mean.value == pytest.approx(log.mean(), abs=1e-12)
    assert mean.influence == pytest.approx(log - log.mean(), abs=1e-9)
    assert not mean.bound


# Figures that are known


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        (0, 8, 0, 0.3694),
        (0, 10, 0, 0.3085),
        (1, 10, 0.0025, 0.4450),
        (3, 10, 0.0667, 0.6525),
        (8, 10, 0.4439, 0.9748),
        (9, 9, 0.6637, 1),
        (10, 10, 0.6915, 1),
        (5, 5, 0.4782, 1),
    ],
)
def test_responder_fractions_have_the_clopper_pearson_interval(count: int, of: int, low: float, high: float) -> None:
    found = exact_fraction(count, of, 0.95)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert found.value == count / of


def test_no_donor_gives_no_fraction() -> None:
    assert np.isnan(exact_fraction(0, 0, 0.95).value)


def test_a_sign_flip_p_is_the_share_of_patterns_as_extreme() -> None:
    rises = np.array([[1.0], [2.0], [3.0], [4.0]])
    assert flip_p_values(rises, np.array([0])) == pytest.approx([1 / 16])
    assert flip_p_values(-rises, np.array([0])) == pytest.approx([1.0])
    assert flip_p_values(np.zeros((4, 1)), np.array([0])) == pytest.approx([1.0])


def test_an_arm_below_the_limit_in_all_donors_is_taken_at_the_limit_and_said_to_be() -> None:
    limit = np.full(6, np.log(5.0))
    mean = censored_mean(limit, np.full(6, -1), np.arange(6), 6, 3)
    assert mean.value == pytest.approx(np.log(5.0))
    assert mean.bound


def test_half_of_a_normal_sample_below_the_limit_keeps_its_mean() -> None:
    # Quantiles of a normal with mean 0 and SD 1; what lies below 0 is known only to do so.
    from scipy.stats import norm

    quantiles = norm.ppf((np.arange(400) + 0.5) / 400)
    side = np.where(quantiles < 0, -1, 0)
    mean = censored_mean(np.maximum(quantiles, 0.0), side, np.arange(400), 400, 3)
    assert mean.value == pytest.approx(0.0, abs=0.01)


def test_a_control_is_known_by_its_other_names() -> None:
    assert judged(COATED.replace({"agent": {"CD28SA": "TGN1412"}})).responses.reference_positive == "tgn1412"
    assert judged(COATED).responses.reference_positive == "cd28-superagonist"
    assert judged(COATED).format == AIR


def test_a_plate_needs_a_positive_that_has_to_rise() -> None:
    positive = Arm("CD28SA", "positive", BLOOD_CD28SA, 0.0)
    design = blood(under_test(BLOOD_CD28SA, 0.8, doses=(10.0,)))
    one = judged(simulate(blood(design.arms[0], arms=(design.arms[0], design.arms[1], positive)), 2))
    assert {item.reason for item in one.refused} == {"no positive control on the plate that has to rise in this format"}


@pytest.mark.parametrize(
    ("at", "rises", "donors", "expected"),
    [
        (0.4, ("il2", "tnf"), 8, "strong"),
        (0.3999, ("il2", "tnf"), 8, "moderate"),
        (0.2, ("il2", "tnf"), 8, "moderate"),
        (0.1999, ("il2", "tnf"), 8, "weak"),
        (0.9, ("tnf",), 8, "weak"),
        (0.9, (), 8, "negative"),
        (0.9, ("il2", "tnf"), 7, "not-conclusive"),
        (nan, ("il2", "tnf"), 8, "not-conclusive"),
        (nan, (), 8, "not-conclusive"),
    ],
)
def test_the_cuts_of_a_class_are_inclusive(at: float, rises: tuple[str, ...], donors: int, expected: str) -> None:
    measured = judged(COATED).responses
    replies = tuple(replace(one, rises=one.cytokine in rises) for one in measured.cytokines)
    found = replace(measured, cytokines=replies, severity=Estimate(at))
    assert classify(found, donors, FACTS.formats[AIR])[0] == expected
