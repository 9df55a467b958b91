"""The synthetic cohort keeps the published rates, the canonical contract, and its own exact risk."""

from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from data import synthetic, synthetic_truth
from data.cohort import layers
from data.labels import label_layers
from data.synthetic_draw import Samples
from data.synthetic_laws import NODE_WEIGHTS, NODES, onset_law, ramp, solve, within
from data.synthetic_model import read_model
from data.tables import cohort_from_frames, read_cohort
from features.catalogue import load
from features.outcomes import OUTCOME_KEYS
from features.prior import onset_fraction
from tests.data.synthetic_reference import reference_risk

MANY, SEED = 12_000, 11
CRS_3 = OUTCOME_KEYS.index("crs_3plus")


@pytest.fixture(scope="module")
def drawn() -> synthetic.Draw:
    return synthetic.draw(MANY, SEED, load())


@pytest.fixture(scope="module")
def risk(drawn: synthetic.Draw) -> np.ndarray:
    return synthetic.true_risk(drawn)


@pytest.fixture(scope="module")
def label(drawn: synthetic.Draw) -> np.ndarray:
    return synthetic.true_labels(drawn)


@pytest.fixture(scope="module")
def small() -> synthetic.SyntheticCohort:
    return synthetic.generate(400, 5)


def _held(risk: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = ~np.isnan(risk)
    return risk[known], label[known]


def test_risk_equals_a_slow_reckoning_over_every_hidden_path() -> None:
    drawn = synthetic.draw(60, 3, load())
    law, fast = solve(drawn.model), synthetic.true_risk(drawn)
    treated = np.flatnonzero(np.isfinite(drawn.charted.drugs.tocilizumab))[:4]
    step_up = np.flatnonzero(drawn.model.step_up[drawn.hidden.arm])[:4]
    for course in np.unique([*range(4), *treated, *step_up]):
        times = synthetic_truth.index_times(drawn.model.arms[drawn.hidden.arm[course]])
        for number in (0, len(times) - 1):
            slow = reference_risk(drawn, law, int(course), times[number])
            np.testing.assert_allclose(fast[course, number], [slow[key] for key in OUTCOME_KEYS], atol=1e-6)


@pytest.mark.parametrize("place", range(len(OUTCOME_KEYS)), ids=OUTCOME_KEYS)
def test_mean_risk_at_the_first_index_time_is_the_observed_frequency(
    risk: np.ndarray, label: np.ndarray, place: int
) -> None:
    p, y = _held(risk[:, 0, place], label[:, 0, place])
    assert abs(y.sum() - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum())


def test_every_product_and_index_time_is_calibrated(drawn: synthetic.Draw, risk: np.ndarray, label: np.ndarray) -> None:
    off = []
    for arm in range(len(drawn.model.arms)):
        mine = drawn.hidden.arm == arm
        for number in range(len(synthetic_truth.index_times(drawn.model.arms[arm]))):
            for place in range(len(OUTCOME_KEYS)):
                p, y = _held(risk[mine, number, place], label[mine, number, place])
                if (p * (1 - p)).sum() > 5:
                    off.append((y.sum() - p.sum()) / np.sqrt((p * (1 - p)).sum()))
    assert len(off) > 200
    assert np.max(np.abs(off)) < 4.5


@pytest.mark.parametrize("place", range(len(OUTCOME_KEYS)), ids=OUTCOME_KEYS)
def test_each_tenth_of_the_risk_is_calibrated(risk: np.ndarray, label: np.ndarray, place: int) -> None:
    p, y = _held(risk[:, 0, place], label[:, 0, place])
    for part in np.array_split(np.argsort(p), 10):
        assert abs(y[part].sum() - p[part].sum()) < 4.5 * np.sqrt((p[part] * (1 - p[part])).sum()) + 1


@pytest.mark.parametrize("number", range(4))
def test_calibration_slope_is_one(risk: np.ndarray, label: np.ndarray, number: int) -> None:
    p, y = _held(risk[:, number, 0], label[:, number, 0])
    odds = np.log(p) - np.log1p(-p)
    slope = LogisticRegression(C=1e9).fit(odds[:, None], y).coef_[0, 0]
    assert slope == pytest.approx(1.0, abs=0.08)


def test_baseline_labs_are_not_magic(drawn: synthetic.Draw, risk: np.ndarray, label: np.ndarray) -> None:
    single = ~drawn.model.step_up[drawn.hidden.arm]
    for mine in (slice(None), single):
        p, y = _held(risk[mine, 0, CRS_3], label[mine, 0, CRS_3])
        assert 0.72 <= roc_auc_score(y, p) <= 0.80


def test_what_is_seen_after_infusion_helps(drawn: synthetic.Draw, risk: np.ndarray, label: np.ndarray) -> None:
    single = ~drawn.model.step_up[drawn.hidden.arm]
    scores = [roc_auc_score(*_held(risk[single, n, CRS_3], label[single, n, CRS_3])[::-1]) for n in range(4)]
    assert scores == sorted(scores)
    assert scores[-1] < 0.90


def test_population_means_are_the_rates_of_the_catalogue(drawn: synthetic.Draw) -> None:
    worst = drawn.hidden.crs_grade
    neuro = np.isfinite(drawn.hidden.icans).sum(axis=1)
    for place, arm in enumerate(drawn.model.arms):
        mine = drawn.hidden.arm == place
        for rate, share in zip(
            arm.rates, [(grade[mine] >= g).mean() for grade in (worst, neuro) for g in (1, 2, 3)], strict=True
        ):
            assert abs(share - rate) < 4.5 * np.sqrt(rate * (1 - rate) / mine.sum()) + 1 / mine.sum()


def test_same_seed_gives_the_same_tables_bit_for_bit(small: synthetic.SyntheticCohort) -> None:
    again, other = synthetic.generate(400, 5), synthetic.generate(400, 6)
    for name in ("courses", "observations", "events", "truth"):
        pd.testing.assert_frame_equal(getattr(small, name), getattr(again, name), check_exact=True)
    assert not small.observations["value"].equals(other.observations["value"])


def test_tables_keep_the_canonical_contract_whole(small: synthetic.SyntheticCohort) -> None:
    cohort = cohort_from_frames(small.courses, small.observations, small.events)
    assert cohort.report.findings == ()
    assert len(cohort) == 400


def test_labels_are_those_of_the_pipeline(small: synthetic.SyntheticCohort) -> None:
    cohort = cohort_from_frames(small.courses, small.observations, small.events)
    truth = small.truth.pivot(index=["course_id", "index"], columns="outcome", values="label")[list(OUTCOME_KEYS)]
    asked = layers(cohort)
    for layer, labels in zip(asked, label_layers(cohort, asked), strict=True):
        keys = pd.MultiIndex.from_arrays([np.array(cohort.course_ids, dtype=object)[layer.course], layer.name])
        np.testing.assert_array_equal(labels.value, truth.reindex(keys).to_numpy())


def test_written_cohort_reads_back_with_the_truth_beside_it(tmp_path: Path, small: synthetic.SyntheticCohort) -> None:
    synthetic.write(tmp_path / "cohort", small, "csv")
    whole = cohort_from_frames(small.courses, small.observations, small.events)
    assert read_cohort(tmp_path / "cohort").fingerprint == whole.fingerprint
    assert (tmp_path / "cohort" / "truth.csv").is_file()


def test_everything_is_called_synthetic(small: synthetic.SyntheticCohort) -> None:
    for column in ("course_id", "patient_id", "site"):
        assert small.courses[column].str.startswith("synthetic-").all()


def test_ldh_assay_scale_stands_in_value_and_limit_alike(small: synthetic.SyntheticCohort) -> None:
    ldh = small.observations[small.observations["code"] == "ldh"].merge(small.courses[["course_id", "site"]])
    factors = {site.site: site.ldh_factor for site in read_model(load()).sites}
    assert ldh["upper_limit"].to_numpy() == pytest.approx(250 * ldh["site"].map(factors).to_numpy())
    spread = (ldh["value"] / ldh["upper_limit"]).groupby(ldh["site"]).median()
    assert spread.max() / spread.min() < 1.2


def test_fewer_than_one_value_in_a_thousand_stands_at_a_plausible_edge(drawn: synthetic.Draw) -> None:
    analytes = [load().analytes[lab.analyte] for lab in drawn.model.labs]
    low, high = (np.array([getattr(one, name) for one in analytes]) for name in ("plausible_low", "plausible_high"))
    at_edge = (drawn.samples.value <= low[drawn.samples.lab]) | (drawn.samples.value >= high[drawn.samples.lab])
    assert at_edge.mean() < 1e-3


def test_a_result_after_the_index_time_never_moves_the_risk(drawn: synthetic.Draw, risk: np.ndarray) -> None:
    samples = drawn.samples
    early = samples.hours <= 0
    cut = Samples(*(getattr(samples, name)[early] for name in ("course", "lab", "hours", "value")))
    only = synthetic_truth.exact_risk(drawn.model, solve(drawn.model), drawn.charted, cut)
    np.testing.assert_array_equal(only[:, 0], risk[:, 0])


def test_onset_law_is_the_evidence_prior_on_the_grid() -> None:
    for arm in read_model(load()).arms:
        law = onset_law(arm, "crs")
        assert law.sum() == pytest.approx(1.0)
        assert law[0] == 0.0
        if not arm.step_up:
            median, shape = np.array(arm.evidence.crs_onset_hours), np.array(arm.evidence.onset_shape)
            assert law[1:13].sum() == pytest.approx(
                float(onset_fraction(np.array(72.0), median, shape, np.array(336.0)))
            )


def test_two_waits_end_within_their_steps_as_often_as_a_listing_says() -> None:
    listed = sum(0.3 * 0.7 ** (a - 1) * 0.3 * 0.7 ** (b - 1) for a in range(1, 9) for b in range(1, 9) if a + b <= 8)
    assert within(2, np.array(8), np.array(0.3)) == pytest.approx(listed)
    assert within(1, np.array(0), np.array(0.3)) == 0.0
    assert within(0, np.array(-1), np.array(0.3)) == 0.0


def test_nodes_integrate_a_narrow_posterior() -> None:
    width = 0.35
    shape = np.exp(-0.5 * ((NODES - 0.77) / width) ** 2)
    exact = width / np.sqrt(1 + width**2) * np.exp(-0.5 * 0.77**2 / (1 + width**2))
    assert (NODE_WEIGHTS * shape).sum() == pytest.approx(exact, rel=1e-6)


def test_rise_starts_before_onset_and_is_whole_after_its_time() -> None:
    lead, rise, decay = np.float64(12), np.float64(48), np.float64(96)
    heights = ramp(np.array([-12.0, -6.0, 0.0, 48.0, 144.0]), lead, rise, decay)
    assert heights == pytest.approx([0.0, 0.1, 0.2, 1.0, np.exp(-1.0)])


def test_a_cohort_needs_a_course() -> None:
    with pytest.raises(ValueError, match="at least one course"):
        synthetic.generate(0, 1)


def test_version_changes_with_any_table_a_cohort_is_made_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = synthetic.version()
    assert (synthetic.version(), len(now)) == (now, synthetic.VERSION_DIGITS)
    assert synthetic.version(replace(load(), digest="0" * 64)) != now
    copied = tmp_path / "tables"
    copytree(synthetic.TABLES, copied)
    monkeypatch.setattr(synthetic, "TABLES", copied)
    assert synthetic.version() == now
    for table in sorted(copied.glob("*.csv")):
        before = synthetic.version()
        table.write_bytes(table.read_bytes() + b"\n")
        assert synthetic.version() != before
