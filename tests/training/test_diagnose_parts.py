"""Chance, sample size, overrides, and what `crs train` does with a finding."""

from dataclasses import replace
from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.synthetic import SyntheticCohort
from data.tables import write_cohort
from features.errors import DataError, UsageError
from features.home import Home
from features.outcomes import OUTCOME_KEYS
from tests.training.conftest import TINY
from tests.training.faults import Planted
from training import flows
from training.diagnose import Override, check_findings, overrides, refused
from training.diagnose_findings import CODES, SEVERITIES, finding
from training.diagnose_null import association, auroc_above, one_class_chance
from training.diagnose_policy import TABLE, limits
from training.diagnose_size import largest_r2, sample_size

#: One outcome with more events than any cohort has: nothing is fitted, the published rates answer.
NOTHING_FITTED = replace(TINY, fewest_events=100_000)


# Chance


def test_a_link_inside_strata_is_found_and_one_between_strata_is_not() -> None:
    random = np.random.default_rng(3)
    stratum = np.repeat(np.arange(4), 50)
    target = (random.random(200) < 0.2 + 0.2 * stratum).astype(float)
    between, inside = (stratum > 1).astype(float), (target + random.normal(0, 0.5, 200)).astype(float)
    found = association(np.column_stack([between, inside]), target[:, None], stratum, 0.01, 499)
    assert np.isnan(found.slope[0, 0])
    assert found.chance[0, 0] == 1.0
    assert found.chance[1, 0] == 1 / 500
    assert found.slope[1, 0] == pytest.approx(1.0, abs=0.2)


def test_the_largest_of_many_unrelated_columns_is_seldom_below_the_chance_asked_for() -> None:
    stratum, hits = np.repeat(np.arange(3), 30), 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        columns, targets = random.normal(size=(90, 20)), (random.random((90, 3)) < 0.4).astype(float)
        hits += int(association(columns, targets, stratum, 0.05, 199).chance.min() <= 0.05)
    # 60 sound cohorts at a chance of 1 in 20: three are expected, more than ten come once in ten thousand times.
    assert hits <= 10


def test_the_slope_is_the_difference_in_share_where_the_column_is_known() -> None:
    target = np.array([1.0, 1.0, 0.0, 0.0] * 10)
    measured = np.array([1.0, 1.0, 1.0, 0.0] * 10)
    elsewhere = np.where(np.arange(40) < 20, measured, np.nan)
    found = association(np.column_stack([measured, elsewhere]), target[:, None], np.arange(40) // 20, 0.05, 99)
    assert found.slope[:, 0] == pytest.approx([0.5, 0.5])


@given(st.integers(1, 8), st.integers(1, 12), st.integers(1, 12))
def test_the_chance_of_one_class_is_the_hypergeometric_one(held: int, of_class: int, others: int) -> None:
    total = of_class + others
    expected = comb(of_class, held) / comb(total, held) if held <= of_class else 0.0
    counts = [np.array([number]) for number in (held, of_class, total)]
    assert one_class_chance(*counts) == pytest.approx(expected)
    twice = [np.array([number, number]) for number in (held, of_class, total)]
    assert one_class_chance(*twice) == pytest.approx(expected**2)


def test_an_area_above_the_limit_counts_only_beyond_its_interval() -> None:
    assert not auroc_above(0.90, 20, 20, 0.85, tests=1, chance=0.001)
    assert auroc_above(0.90, 2000, 2000, 0.85, tests=1, chance=0.001)
    assert not auroc_above(0.85, 10**6, 10**6, 0.85, tests=1, chance=0.001)
    assert auroc_above(1.0, 40, 40, 0.85, tests=500, chance=0.001)


# Sample size


def test_the_sample_size_is_that_of_the_published_formulas() -> None:
    # 24 parameters, prevalence 0.174, R2 0.288: the three criteria by hand from the formulas of Riley et al.
    size = sample_size(24, 0.174, 0.288)
    assert (size.shrinkage, size.optimism, size.intercept, size.needed) == (623, 662, 221, 662)


@given(st.integers(1, 100), st.floats(0.05, 0.95))
def test_more_predictors_need_more_courses(parameters: int, prevalence: float) -> None:
    expected = limits()["riley_nagelkerke"] * largest_r2(prevalence)
    few, many = (sample_size(number, prevalence, expected).needed for number in (parameters, parameters + 50))
    assert few < many


@pytest.mark.parametrize("impossible", [0.0, 0.7, 1.0])
def test_an_impossible_r2_is_refused(impossible: float) -> None:
    with pytest.raises(ValueError, match="not possible"):
        sample_size(10, 0.174, impossible)


# The reviewed table


def test_every_limit_is_used_and_has_a_source() -> None:
    from features.catalogue_tables import Figure, read

    used = "".join(path.read_text(encoding="utf-8") for path in Path(flows.__file__).parent.glob("diagnose*.py"))
    rows = read(TABLE, Figure)
    assert [row.key for row in rows if f'"{row.key}"' not in used] == []
    assert all(row.verified == "no" for row in rows if row.source == "policy of this project")
    assert limits()["refuse_chance"] < limits()["warn_chance"]


# Overrides


def test_only_a_refusal_without_an_override_stops() -> None:
    found = [finding("label-copied", "refuse", "observations", "wbc", 9, "seen"), *_milder()]
    assert refused(found) == (found[0],)
    with pytest.raises(DataError, match=r"label-copied \(observations\.wbc\).*--override"):
        check_findings(found)
    with pytest.raises(DataError, match="one finding refuses these data"):
        check_findings(found, [Override("unit-differs", "repaired by hand")])
    check_findings(found, [Override("label-copied", "a known pilot")])
    check_findings(_milder())


def _milder() -> list:  # type: ignore[type-arg]
    return [finding("site-shift", severity, "observations", "crp", 9, "seen") for severity in SEVERITIES[1:]]


@pytest.mark.parametrize(
    ("codes", "reasons", "named"),
    [
        (["label-copied"], [], "--reason"),
        (["label-copied"], ["  "], "--reason"),
        ([], ["because"], "--reason"),
        (["lable-copied"], ["because"], "--override"),
        (["label-copied", "label-copied"], ["one", "two"], "--override"),
    ],
)
def test_an_override_needs_a_known_code_and_a_reason(codes: list[str], reasons: list[str], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        overrides(codes, reasons)


def test_every_code_says_why_and_what_to_do() -> None:
    page = (Path(flows.__file__).parents[1] / "docs" / "diagnose.md").read_text(encoding="utf-8")
    for code, (why, what_to_do) in CODES.items():
        assert why
        assert what_to_do
        assert f"`{code}`" in page


# What training does with it


@pytest.fixture
def leaking(made_up: SyntheticCohort, tmp_path: Path) -> Path:
    """A cohort on disk whose procalcitonin is the grade."""
    planted = Planted.of(made_up)
    planted = planted.measured("procalcitonin", 0.0, planted.peak, "ng/mL")
    write_cohort(tmp_path / "leaking", planted.courses, planted.observations, planted.events)
    return tmp_path / "leaking"


def test_training_stops_at_a_refused_cohort(leaking: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="label-copied"):
        flows.train(Home(tmp_path / "home"), leaking, "leaking", NOTHING_FITTED, None)
    assert not (tmp_path / "home").exists()


def test_an_override_is_recorded_in_manifest_card_and_mlflow(leaking: Path, tmp_path: Path) -> None:
    from features import bundle
    from training import tracking

    home, given_ = Home(tmp_path / "home"), []
    for code in ("label-copied", "feature-too-good", "fill-per-class"):
        given_.append(Override(code, f"a test of {code}"))
    number = flows.train(home, leaking, "leaking", NOTHING_FITTED, None, overrides=given_)
    registered = tracking.fetch(home, number, tmp_path / "bundle")
    held = bundle.read(tmp_path / "bundle")
    expected = [{"code": one.code, "reason": one.reason} for one in given_]
    assert held.about["overrides"] == held.card["data_checks_overridden"] == expected
    with tracking.store(home) as client:
        tags = client.get_run(registered.run_id).data.tags
    assert tags["overrides"].startswith("label-copied: a test of label-copied; ")


@pytest.mark.parametrize("design", ["internal", "temporal", "leave-site-out"])
def test_a_design_that_makes_models_of_a_cohort_looks_at_it_first(
    leaking: Path, tmp_path: Path, design: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from training import evaluation_flow
    from training.designs import Design, Split

    class ReachedError(Exception):
        pass

    def reached(*_: object) -> None:
        raise ReachedError

    monkeypatch.setattr(evaluation_flow, "_recipe", reached)
    asked = evaluation_flow.Request(leaking, Design(design), Split(1))
    with pytest.raises(DataError, match="label-copied"):
        evaluation_flow.evaluate(Home(tmp_path / "home"), asked, NOTHING_FITTED, None)
    assert "data checks: " in capsys.readouterr().out
    codes = ("label-copied", "feature-too-good", "fill-per-class")
    answered = replace(asked, overrides=tuple(Override(code, f"a test of {code}") for code in codes))
    with pytest.raises(ReachedError):
        evaluation_flow.evaluate(Home(tmp_path / "home"), answered, NOTHING_FITTED, None)


def test_the_verb_prints_and_writes_and_ends_by_what_is_refused(
    leaking: Path, cohort_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flows.diagnose(cohort_folder, None, None, False, tmp_path / "sound.json", False)
    printed = capsys.readouterr().out
    assert "300 courses: 0 refuse" in printed
    assert "too-few-events" in printed
    with pytest.raises(DataError, match="label-copied") as error:
        flows.diagnose(leaking, None, None, True, None, False)
    assert error.value.exit_code == 3
    assert '"code": "label-copied"' in capsys.readouterr().out
    assert '"refused": 0' in (tmp_path / "sound.json").read_text()


def test_the_verb_needs_a_cohort_or_a_mapping_with_its_extract(cohort_folder: Path) -> None:
    with pytest.raises(UsageError, match="COHORT"):
        flows.diagnose(None, None, None, False, None, False)
    with pytest.raises(UsageError, match="COHORT"):
        flows.diagnose(cohort_folder, cohort_folder / "m.toml", cohort_folder / "x.csv", False, None, False)
    with pytest.raises(UsageError, match="--data"):
        flows.diagnose(None, cohort_folder / "m.toml", None, False, None, False)


def test_what_nobody_overrode_says_so(trained) -> None:  # type: ignore[no-untyped-def]
    assert trained.bundle.about["overrides"] == []
    assert trained.bundle.card["data_checks_overridden"] == []
    assert set(trained.bundle.card["outcomes"]) == set(OUTCOME_KEYS)
