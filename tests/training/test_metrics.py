"""Every metric against scikit-learn or a value worked out by hand, and intervals that resample whole patients."""

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from features.predict import log_odds_of
from features.prior import sigmoid
from tests.training.builders import Array, drawn
from training import metrics
from training.metrics import (
    METRICS,
    NEAR,
    Metric,
    auprc,
    auroc,
    brier,
    calibration_intercept,
    calibration_slope,
    drawn_once,
    estimate,
    ici,
    log_loss,
    resamples,
)

UNDEFINED_WITHOUT_BOTH = ("auroc", "auprc", "calibration_slope", "calibration_intercept", "ici")


@pytest.fixture(scope="module")
def truth() -> Array:
    return np.random.default_rng(1).normal(-1.0, 1.3, 40_000)


@pytest.fixture(scope="module")
def came(truth: Array) -> Array:
    return drawn(truth)


def one(n: int) -> Array:
    return np.ones(n)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("own", "theirs", "scale"),
    [
        (auroc, reference.roc_auc_score, lambda score: score),
        (auprc, reference.average_precision_score, lambda score: score),
        (log_loss, reference.log_loss, sigmoid),
        (brier, reference.brier_score_loss, sigmoid),
    ],
)
def test_it_is_scikit_learns_with_ties_and_weights(seed: int, own: Metric, theirs: Metric, scale: Metric) -> None:
    random = np.random.default_rng(seed)
    score = random.integers(-6, 6, 300) / 2.0
    label, weight = drawn(score, seed), random.integers(1, 5, 300).astype(float)
    assert own(label, score, weight) == pytest.approx(theirs(label, scale(score), sample_weight=weight), abs=1e-12)  # type: ignore[call-arg, call-overload]


@pytest.mark.parametrize(
    ("label", "score", "expected"),
    [
        ([0, 0, 1, 1], [1, 2, 3, 4], 1.0),
        ([1, 1, 0, 0], [1, 2, 3, 4], 0.0),
        ([0, 1, 0, 1], [5, 5, 5, 5], 0.5),
        ([0, 0, 1], [1, 3, 3], 0.75),
        ([0, 1, 0, 1], [1, 1, 2, 3], 0.625),
    ],
)
def test_auroc_counts_a_tie_half(label: list[int], score: list[float], expected: float) -> None:
    n = len(label)
    assert auroc(np.array(label, float), np.array(score, float), one(n)) == pytest.approx(expected)


def test_auroc_is_unmoved_by_any_rising_change_of_the_score(truth: Array, came: Array) -> None:
    assert auroc(came, np.exp(truth / 3) - 7, one(len(truth))) == auroc(came, truth, one(len(truth)))


def test_a_weight_is_how_often_a_row_is_there(truth: Array, came: Array) -> None:
    score, label = truth[:400], came[:400]
    often = np.random.default_rng(2).integers(1, 4, 400)
    # The spline's knots are those of the rows that are there at all, so that ici is left out here.
    for name in (name for name in METRICS if name != "ici"):
        repeated = METRICS[name](np.repeat(label, often), np.repeat(score, often), one(int(often.sum())))
        assert METRICS[name](label, score, often.astype(float)) == pytest.approx(repeated, abs=1e-7), name


def test_log_loss_by_hand() -> None:
    assert log_loss(np.array([1.0, 0.0]), np.zeros(2), one(2)) == pytest.approx(math.log(2))
    assert log_loss(np.array([1.0]), log_odds_of(np.array([0.25])), one(1)) == pytest.approx(math.log(4))
    assert log_loss(np.array([0.0, 1.0]), np.array([800.0, 800.0]), one(2)) == pytest.approx(400.0)


def test_log_loss_of_the_truth_beats_any_shift_or_stretch_of_it(truth: Array, came: Array) -> None:
    best = log_loss(came, truth, one(len(truth)))
    for other in (truth + 0.3, truth - 0.3, 1.3 * truth, 0.7 * truth, np.full(len(truth), truth.mean())):
        assert log_loss(came, other, one(len(truth))) > best


def test_log_loss_and_brier_do_not_care_which_of_two_is_called_the_event(truth: Array, came: Array) -> None:
    for metric in (log_loss, brier):
        assert metric(1 - came, -truth, one(len(truth))) == pytest.approx(metric(came, truth, one(len(truth))))


@pytest.mark.parametrize("stretch", [1.0, 2.0, 0.5])
def test_the_slope_undoes_a_stretch_of_a_calibrated_model(truth: Array, came: Array, stretch: float) -> None:
    assert calibration_slope(came, truth * stretch, one(len(truth))) == pytest.approx(1 / stretch, rel=0.04)


@pytest.mark.parametrize("shift", [0.0, 0.8, -1.1])
def test_the_intercept_undoes_a_shift_of_a_calibrated_model(truth: Array, came: Array, shift: float) -> None:
    assert calibration_intercept(came, truth + shift, one(len(truth))) == pytest.approx(-shift, abs=0.04)


def test_the_intercept_makes_the_mean_prediction_the_observed_rate(truth: Array, came: Array) -> None:
    shift = calibration_intercept(came, 0.3 * truth + 2, one(len(truth)))
    assert sigmoid(0.3 * truth + 2 + shift).mean() == pytest.approx(came.mean(), abs=1e-6)


def test_ici_is_nought_for_the_truth_and_the_shift_for_a_shifted_model() -> None:
    risk = np.random.default_rng(3).uniform(0.15, 0.6, 60_000)
    label = drawn(log_odds_of(risk))
    assert ici(label, log_odds_of(risk), one(60_000)) < 0.006
    for shift in (0.05, 0.1, 0.3):
        assert ici(label, log_odds_of(risk + shift), one(60_000)) == pytest.approx(shift, abs=0.008)


def test_ici_sees_a_bend_that_slope_and_intercept_cannot() -> None:
    score = np.random.default_rng(4).normal(0, 1.5, 60_000)
    label = drawn(np.abs(score) - 1.5)
    exact = np.mean(np.abs(sigmoid(np.abs(score) - 1.5) - sigmoid(score)))
    assert ici(label, score, one(60_000)) == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_that_needs_both_is_undefined_without_events(name: str) -> None:
    score = np.linspace(-1, 1, 20)
    for label in (np.zeros(20), np.ones(20)):
        assert math.isnan(METRICS[name](label, score, one(20))) == (name in UNDEFINED_WITHOUT_BOTH)


def test_a_model_that_says_one_thing_has_no_slope() -> None:
    label, score = np.array([0.0, 1.0, 1.0]), np.full(3, 0.4)
    assert math.isnan(calibration_slope(label, score, one(3)))
    assert math.isnan(ici(label, score, one(3)))


@pytest.mark.parametrize("shift", [0.0, -2.0])
@pytest.mark.parametrize("stretch", [1.0, 0.2, 3.0])
def test_a_search_begun_near_its_end_finds_the_same_figure(
    truth: Array, came: Array, stretch: float, shift: float
) -> None:
    weight = np.random.default_rng(6).integers(0, 3, 2000).astype(float)
    for name in METRICS:
        asked = (came[:2000], stretch * truth[:2000] + shift, weight)
        assert NEAR[name](*asked) == pytest.approx(METRICS[name](*asked), abs=1e-5), name
        assert math.isnan(NEAR[name](one(20), np.linspace(-1, 1, 20), one(20))) == (name in UNDEFINED_WITHOUT_BOTH)


# Intervals


def test_patients_are_drawn_once_for_the_same_rows_and_anew_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(patient: np.ndarray, draws: int, seed: int) -> list[Array]:
        asked.append(len(patient))
        return resamples(patient, draws, seed)

    monkeypatch.setattr(metrics, "resamples", counted)
    draw, some, others = drawn_once(), np.array([3, 3, 5, 8]), np.array([3, 5, 5])
    for patient, draws, seed in ((some, 9, 1), (some.copy(), 9, 1), (others, 9, 1), (some, 9, 1), (some, 9, 2)):
        found = draw(patient, draws, seed)
        assert [one.tolist() for one in found] == [one.tolist() for one in resamples(patient, draws, seed)]
    assert asked == [4, 3, 4, 4]


def test_rows_of_one_patient_are_always_drawn_together() -> None:
    patient = np.array([9, 4, 9, 4, 4, 7, 2])
    for weight in resamples(patient, 50, 1):
        assert all(len(set(weight[patient == name])) == 1 for name in set(patient.tolist()))


def test_as_many_patients_are_drawn_as_there_are() -> None:
    patient = np.repeat(np.arange(30), 3)
    for weight in resamples(patient, 50, 1):
        assert weight[::3].sum() == 30


def test_the_same_seed_gives_the_same_interval_and_another_seed_another(truth: Array, came: Array) -> None:
    patient = np.arange(300) // 3
    first, again, other = (estimate(came[:300], truth[None, :300], patient, 30, seed) for seed in (1, 1, 2))
    assert again == first
    assert other["auroc"].value == first["auroc"].value
    assert (other["auroc"].low, other["auroc"].high) != (first["auroc"].low, first["auroc"].high)


def test_patients_not_rows_decide_how_wide_an_interval_is(truth: Array, came: Array) -> None:
    score, label = np.repeat(truth[:200], 4)[None], np.repeat(came[:200], 4)
    patients, rows = (
        estimate(label, score, patient, 200, 1, ["auroc"])["auroc"] for patient in (np.arange(800) // 4, np.arange(800))
    )
    assert (patients.high - patients.low) / (rows.high - rows.low) == pytest.approx(2.0, rel=0.3)


def test_the_interval_covers_the_true_value(truth: Array, came: Array) -> None:
    found = estimate(came[:1000], truth[None, :1000], np.arange(1000), 100, 1, ["brier"])["brier"]
    assert found.low < found.value < found.high
    assert found.low < brier(came, truth, one(len(truth))) < found.high


def test_resamples_without_an_event_are_left_out_of_the_interval() -> None:
    label, score = np.zeros(12), np.linspace(-2, 2, 12)
    label[-1] = 1.0
    found = estimate(label, score[None], np.arange(12), 60, 1)
    assert found["auroc"].value == found["auroc"].low == found["auroc"].high == 1.0
    assert found["log_loss"].low < found["log_loss"].high


def test_a_group_without_any_event_has_no_interval() -> None:
    found = estimate(np.zeros(8), np.linspace(-1, 1, 8)[None], np.arange(8), 10, 1, ["auroc"])["auroc"]
    assert all(math.isnan(number) for number in (found.value, found.low, found.high))


def test_repeats_are_averaged_metric_by_metric() -> None:
    label = np.array([0.0, 1.0, 0.0, 1.0])
    scores = np.array([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]])
    each = [auroc(label, score, one(4)) for score in scores]
    assert estimate(label, scores, np.arange(4), 0, 1, ["auroc"])["auroc"].value == pytest.approx(np.mean(each))


@pytest.mark.parametrize("looked_at", [40_000, 10_000])
def test_the_interval_of_many_rows_comes_from_parts_of_the_patients_and_is_that_of_resamples(
    monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    random = np.random.default_rng(3)
    truth = random.normal(-1, 1, 40_000)
    came, patient = (random.random(40_000) < sigmoid(truth)).astype(float), np.arange(40_000) // 2
    drawn = estimate(came, truth[None], patient, 100, 1)
    monkeypatch.setattr(metrics, "MANY_ROWS", 39_999)
    monkeypatch.setattr(metrics, "PART_ROWS", looked_at)
    parts = estimate(came, truth[None], patient, 100, 1)
    for name, found in parts.items():
        assert found.value == drawn[name].value
        assert found.high - found.value == pytest.approx(found.value - found.low)
        if name != "ici":  # not negative, so that its resamples lie above it
            assert 0.6 < (found.high - found.low) / (drawn[name].high - drawn[name].low) < 1.6, name
    assert np.isnan(estimate(came, truth[None], patient, 0, 1, ["brier"])["brier"].low)
