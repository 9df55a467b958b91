"""Published scores give the vectors of their papers' formulas; the vectors are exact in IEEE double arithmetic."""

import math

import numpy as np
import pytest

from features import scores
from features.single import CourseInput, Observed
from tests.builders import build, cell

TOLERANCE = 1e-12
UMOL_PER_MG_DL = 88.42


def one(value: float) -> scores.Array:
    return np.array([value])


@pytest.mark.parametrize(
    ("ldh", "creatinine", "platelets", "expected", "log2", "above_cut_off"),
    [
        (250, 0.9, 200, 1.125, 0.16992500144231237, False),
        (467, 1.0, 100, 4.67, 2.2234225499349374, False),
        (468, 1.0, 100, 4.68, 2.2265085298086795, True),
        (600, 1.2, 40, 18.0, 4.169925001442312, True),
        (1500, 2.0, 15, 200.0, 7.643856189774724, True),
        (180, 106.104 / UMOL_PER_MG_DL, 150, 1.44, 0.5260688116675876, False),
        (139, 0.5, 310, 0.22419354838709676, -2.1571833325507304, False),
    ],
)
def test_easix_gives_the_golden_vectors(
    ldh: float, creatinine: float, platelets: float, expected: float, log2: float, above_cut_off: bool
) -> None:
    score = scores.easix(one(ldh), one(creatinine), one(platelets))
    assert score[0] == pytest.approx(expected, rel=TOLERANCE)
    assert scores.log2(score)[0] == pytest.approx(log2, rel=TOLERANCE)
    # The published cut-off is strict: 4.67 itself is not above it.
    assert bool(score[0] > 4.67) is above_cut_off


@pytest.mark.parametrize(
    ("ldh", "platelets", "expected"),
    [
        (250, 200, 1.25),
        (236, 150, 1.5733333333333333),
        (600, 40, 15.0),
        (1500, 15, 100.0),
        (139, 310, 0.4483870967741935),
    ],
)
def test_simplified_easix_gives_the_golden_vectors(ldh: float, platelets: float, expected: float) -> None:
    assert scores.s_easix(one(ldh), one(platelets))[0] == pytest.approx(expected, rel=TOLERANCE)


M_EASIX = [
    (250, 0.5, 200, 0.625, -0.6780719051126377),
    (282, 4.2, 80, 14.805000000000001, 3.888012585402829),
    (236, 3.5, 150, 5.506666666666667, 2.4611792809235644),
    (600, 12.0, 40, 180.0, 7.491853096329675),
    (1500, 20.1, 15, 2010.0000000000002, 10.972979786066292),
    (139, 0.05, 310, 0.022419354838709677, -5.4791114274380925),
]


@pytest.mark.parametrize(("ldh", "crp_mg_per_dl", "platelets", "expected", "log2"), M_EASIX)
def test_modified_easix_takes_crp_in_mg_per_dl(
    ldh: float, crp_mg_per_dl: float, platelets: float, expected: float, log2: float
) -> None:
    score = scores.m_easix(one(ldh), one(crp_mg_per_dl), one(platelets))
    assert score[0] == pytest.approx(expected, rel=TOLERANCE)
    assert scores.log2(score)[0] == pytest.approx(log2, rel=TOLERANCE)


@pytest.mark.parametrize(("ldh", "crp_mg_per_dl", "platelets", "_", "log2"), M_EASIX)
def test_a_row_takes_crp_in_mg_per_litre_and_gives_the_same_score(
    ldh: float, crp_mg_per_dl: float, platelets: float, _: float, log2: float
) -> None:
    labs = {"ldh": ldh, "crp": crp_mg_per_dl * 10, "platelets": platelets}
    seen = tuple(Observed(code, 0, float(value)) for code, value in labs.items())
    rows = build(CourseInput("axicabtagene-ciloleucel", "lbcl", 0, observations=seen))
    assert cell(rows, "m_easix_log2") == pytest.approx(log2, rel=1e-6)  # rows are float32
    assert math.isnan(cell(rows, "easix_log2"))


def test_a_row_scores_the_value_itself_and_not_its_multiple_of_the_upper_limit() -> None:
    seen = (Observed("ldh", 0, 600.0, 225.0), Observed("creatinine", 0, 1.2), Observed("platelets", 0, 40.0))
    rows = build(CourseInput("axicabtagene-ciloleucel", "lbcl", 0, observations=seen))
    assert cell(rows, "easix_log2") == pytest.approx(4.169925001442312, rel=1e-6)
    assert cell(rows, "ldh.last") == pytest.approx(600 / 225, rel=1e-6)


@pytest.mark.parametrize("platelets", [0.0, -5.0, math.nan])
def test_without_platelets_no_score_is_computed(platelets: float) -> None:
    assert np.isnan(scores.easix(one(220), one(0.7), one(platelets)))
    assert np.isnan(scores.s_easix(one(500), one(platelets)))
    assert np.isnan(scores.m_easix(one(400), one(3.0), one(platelets)))


def test_a_missing_input_leaves_the_score_missing() -> None:
    missing = one(math.nan)
    assert np.isnan(scores.easix(missing, one(1), one(100)))
    assert np.isnan(scores.easix(one(200), missing, one(100)))
    assert np.isnan(scores.m_easix(one(200), missing, one(100)))


def test_a_score_of_zero_has_no_logarithm() -> None:
    zero = scores.m_easix(one(250), one(0.0), one(200))
    assert zero[0] == 0.0
    assert np.isnan(scores.log2(zero))
