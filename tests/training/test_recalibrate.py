"""A recalibrated version is its parent but for one line per outcome, and better on courses of the place it is for."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from data import synthetic
from data.tables import Cohort, cohort_from_frames
from features import bundle
from features.bundle import Bundle
from features.calibration import Calibration
from features.catalogue import Catalogue, load
from features.errors import BundleError, DataError, UsageError
from features.home import MODEL_NAME, Home
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor, parts_of, verify_golden
from tests.training.conftest import TINY
from training import recalibration_flow
from training.assemble import build_table
from training.evaluate import bundle_scores
from training.evaluation_flow import trained_here
from training.recalibrate import BEFORE, Request, recalibrate
from training.recalibration_fit import Method
from training.recalibration_ranges import MOVED, REMADE
from training.train import Trained, prior_only, with_golden

#: By how much the made-up parent understates every risk, in log-odds.
TOO_LOW = 0.9
SETTINGS = replace(TINY, interval_resamples=3, fewest_events=20)


def drawn_cohort(courses: int, seed: int) -> Cohort:
    made = synthetic.generate(courses, seed)
    return cohort_from_frames(made.courses, made.observations, made.events)


@pytest.fixture(scope="module")
def local() -> Cohort:
    """Courses of the same made-up world that no version here was trained on."""
    return drawn_cohort(240, 11)


@pytest.fixture(scope="module")
def parent(trained: Trained, tables: Catalogue) -> Bundle:
    """The trained version with every level TOO_LOW."""
    held = trained.bundle.calibration
    lower = {key: lowered(one) for key, one in held.items()}
    return with_golden(replace(trained.bundle, calibration=lower), tables)


def lowered(one: Calibration) -> Calibration:
    single, first, later = (replace(terms, intercept=terms.intercept - TOO_LOW) for terms in one.terms)
    return replace(one, single=single, first_dose=first, later_doses=later)


def ask(method: Method = Method.IN_THE_LARGE, **changed: Any) -> Request:
    return Request(**{"method": method, "name": "here", "settings": SETTINGS, **changed})


def made_of(parent: Bundle, cohort: Cohort, request: Request) -> Trained:
    return recalibrate(parent, cohort, request, load(), lambda _: None)


@pytest.fixture(scope="module")
def made(parent: Bundle, local: Cohort) -> Trained:
    return made_of(parent, local, ask())


@pytest.fixture(scope="module")
def sloped(made: Trained) -> Trained:
    """A recalibration of the recalibrated version, on other courses."""
    return made_of(made.bundle, drawn_cohort(200, 12), ask(Method.SLOPE))


def log_odds(held: Bundle, cohort: Cohort) -> np.ndarray:
    predictor = Predictor(held, load())
    table, _ = build_table(cohort, held.spec, predictor.prior, load(), 1)
    return predictor.log_odds(table.values, parts_of(table))


def last(held: Bundle) -> dict[str, Any]:
    return dict(held.about["recalibrations"][-1])


def loss(held: Bundle, cohort: Cohort) -> dict[int, float]:
    """Mean log loss of each outcome as it is served."""
    table, scores = bundle_scores(Predictor(held, load()), cohort, SETTINGS)
    found = {}
    for place, one in scores.items():
        rows = table.usable(place)
        score, label = one["model"][0][rows], table.label[rows, place]
        found[place] = float(np.mean(np.logaddexp(0.0, score) - label * score))
    return found


# What changes and what does not


def test_boosters_columns_and_evidence_are_the_parents_bytes(parent: Bundle, made: Trained) -> None:
    assert parent.boosters
    assert dict(made.bundle.boosters) == dict(parent.boosters)
    assert made.bundle.spec == parent.spec
    assert dict(made.bundle.evidence) == dict(parent.evidence)
    for key in OUTCOME_KEYS:
        assert made.bundle.calibration[key].terms == parent.calibration[key].terms


def test_a_level_that_is_too_low_is_found_again(trained: Trained, local: Cohort, made: Trained) -> None:
    as_trained = last(made_of(trained.bundle, local, ask()).bundle)["outcomes"]
    for key, found in last(made.bundle)["outcomes"].items():
        # The prior of the shift draws both towards 0, the larger one further.
        assert found["shift"] - as_trained[key]["shift"] == pytest.approx(TOO_LOW, abs=0.12)
        assert found["slope"] == 1.0


def test_risks_of_fresh_courses_are_better(parent: Bundle, made: Trained) -> None:
    fresh = drawn_cohort(200, 13)
    before, after = loss(parent, fresh), loss(made.bundle, fresh)
    assert all(after[place] < before[place] for place in map(OUTCOME_KEYS.index, last(made.bundle)["outcomes"]))


def test_the_order_of_courses_stays(parent: Bundle, made: Trained, sloped: Trained, local: Cohort) -> None:
    before = log_odds(parent, local)
    for one in (made, sloped):
        after = log_odds(one.bundle, local)
        for place in range(len(OUTCOME_KEYS)):
            known = ~np.isnan(before[:, place])
            order = np.argsort(before[known, place], kind="stable")
            assert (np.diff(after[known, place][order]) >= -1e-12).all()


def test_results_are_told_before_and_after(made: Trained) -> None:
    found = {(one.outcome, one.predictor): one for one in made.results if one.index_time == "all"}
    for key in last(made.bundle)["outcomes"]:
        before, after = found[key, BEFORE].metrics, found[key, "model"].metrics
        assert abs(after["calibration_intercept"].value) < abs(before["calibration_intercept"].value)
        assert after["log_loss"].value < before["log_loss"].value
        assert found[key, BEFORE].rows == found[key, "model"].rows
        # The line keeps the order; only that worse grades stay below milder ones can touch it.
        assert after["auroc"].value == pytest.approx(before["auroc"].value, abs=0.01)
    assert last(made.bundle)["metrics"]


def test_the_same_inputs_give_the_same_digest(parent: Bundle, local: Cohort, made: Trained) -> None:
    assert made_of(parent, local, ask()).bundle.digest == made.bundle.digest


def test_golden_answers_are_the_new_ones(parent: Bundle, made: Trained, tables: Catalogue) -> None:
    assert verify_golden(Predictor(made.bundle, tables)) == len(parent.golden["courses"])
    with pytest.raises(BundleError, match="golden course 0"):
        verify_golden(Predictor(replace(made.bundle, golden=parent.golden), tables))


def test_too_few_events_leave_an_outcome_as_it_was(parent: Bundle) -> None:
    said: list[str] = []
    found = recalibrate(parent, drawn_cohort(60, 14), ask(), load(), said.append).bundle
    left = last(found)["left_as_they_were"]
    assert left
    for key in left:
        assert found.calibration[key] == parent.calibration[key]
        assert found.intervals.get(key) == parent.intervals.get(key)
        assert found.policy.thresholds.get(key) == parent.policy.thresholds.get(key)
        assert any(line.startswith(f"{key}: ") and line.endswith("too few; left as it was") for line in said)


def test_without_any_outcome_that_can_be_judged_there_is_no_new_version(parent: Bundle) -> None:
    with pytest.raises(DataError, match="no outcome has enough courses"):
        made_of(parent, drawn_cohort(12, 15), ask())


def test_the_courses_that_trained_it_do_not_recalibrate_it(trained: Trained, cohort: Cohort) -> None:
    with pytest.raises(UsageError, match="learnt from this very cohort"):
        made_of(trained.bundle, cohort, ask())


def test_the_courses_that_recalibrated_it_do_not_do_so_again(
    made: Trained, sloped: Trained, local: Cohort, cohort: Cohort
) -> None:
    for version in (made, sloped):
        for seen_before in (local, cohort):
            with pytest.raises(UsageError, match="learnt from this very cohort; recalibrate on courses that it has"):
                made_of(version.bundle, seen_before, ask(Method.SLOPE))


def test_the_training_part_of_a_cohort_that_recalibrated_it_does_not_do_so_again(
    parent: Bundle, local: Cohort, cohort: Cohort
) -> None:
    first = made_of(parent, local, ask(source="of the whole")).bundle
    for again in (ask(source="of the whole"), ask(source=cohort.fingerprint)):
        with pytest.raises(UsageError, match="learnt from this very cohort"):
            made_of(first, drawn_cohort(60, 14), again)


# Intervals and bands


def test_ranges_are_made_of_the_local_courses_where_there_are_enough_and_else_moved(
    parent: Bundle, local: Cohort, made: Trained
) -> None:
    outcomes = last(made.bundle)["outcomes"]
    assert REMADE in {one["intervals_and_bands"] for one in outcomes.values()}
    many = made_of(parent, local, ask(settings=replace(SETTINGS, fewest_events=100_000))).bundle
    moved = last(many)["outcomes"]
    held = [key for key in moved if key in parent.intervals]
    assert held
    for key in held:
        assert moved[key]["intervals_and_bands"] == MOVED
        assert many.intervals[key].start == pytest.approx(parent.intervals[key].start + moved[key]["shift"])
        assert many.policy.thresholds[key].high_from > parent.policy.thresholds[key].high_from


def test_a_version_of_published_rates_alone_can_be_recalibrated(local: Cohort, tables: Catalogue) -> None:
    rates = prior_only(tables, "rates", SETTINGS)
    found = made_of(rates, local, ask(Method.PER_THERAPY)).bundle
    assert not found.boosters
    assert [key for key in OUTCOME_KEYS if found.fitted(key)] == list(last(found)["outcomes"])
    assert set(found.policy.therapies) == set(local.courses.therapy)
    assert found.about["trained_on"]["name"] == "published rates alone"
    assert found.about["trained_on"]["courses"] == 0
    assert found.about["trained_on"]["grading"] == last(found)["data"]["grading"]


# Lineage


def test_lineage_names_the_parent_the_change_and_the_courses(parent: Bundle, local: Cohort, made: Trained) -> None:
    assert made.bundle.about["lineage"] == {
        "parent": parent.digest,
        "change": "recalibration",
        "method": "in-the-large",
        "cohort": local.fingerprint,
        "courses": len(local),
    }
    assert made.bundle.about["settings"] == parent.about["settings"]
    assert made.bundle.card["recalibrations"][0]["data"]["name"] == "here"
    assert "SYNTHETIC" in made.bundle.card["warning"]
    filled = {one["item"]: one["filled"] for one in made.bundle.card["reporting"]["tripod"]["items"]}
    assert filled["12f"].startswith(f"Recalibrated (in-the-large) on {len(local)} courses of here: ")


def test_a_recalibration_of_a_recalibration_is_both_lines(made: Trained, sloped: Trained, local: Cohort) -> None:
    chain = sloped.bundle.about["recalibrations"]
    assert [one["method"] for one in chain] == ["in-the-large", "slope"]
    assert [one["parent"] for one in chain] == [made.bundle.about["lineage"]["parent"], made.bundle.digest]
    before, after = log_odds(made.bundle, local), log_odds(sloped.bundle, local)
    for key, line in chain[1]["outcomes"].items():
        place = OUTCOME_KEYS.index(key)
        np.testing.assert_allclose(after[:, place], line["slope"] * before[:, place] + line["shift"], atol=1e-12)


def test_a_version_says_of_which_cohorts_it_learnt(made: Trained, local: Cohort, cohort: Cohort) -> None:
    assert trained_here(made.bundle.about, local)
    assert trained_here(made.bundle.about, cohort)
    assert not trained_here(made.bundle.about, drawn_cohort(10, 16))


# The verb


@pytest.fixture(scope="module")
def local_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("local") / "here"
    synthetic.write(folder, synthetic.generate(240, 11))
    return folder


@pytest.mark.slow
def test_the_verb_registers_a_challenger_with_its_lineage_and_without_locked_patients(
    own_home: Callable[[], Home], local_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from training import tracking

    home = own_home()
    other_share = replace(SETTINGS, bootstrap=0, test_share=0.5)
    asked = recalibration_flow.Request(local_folder, "1", Method.IN_THE_LARGE, "here", other_share)
    number = recalibration_flow.recalibrate(home, asked, None)
    printed = capsys.readouterr().out
    assert "data checks:" in printed
    assert f"registered as version {number} (challenger)" in printed
    registered = tracking.fetch(home, number, tmp_path / "fetched")
    held = bundle.read(tmp_path / "fetched", registered.digest)
    one = last(held)
    assert 120 < one["data"]["courses"] < 240
    assert one["settings"]["test_share"] == held.about["settings"]["test_share"] == TINY.test_share
    assert one["data"]["source_fingerprint"] != one["data"]["fingerprint"]
    with tracking.store(home) as client:
        check_registered(client, number, held)


def check_registered(client: MlflowClient, number: str, held: Bundle) -> None:
    """The new version is the challenger; its tags, parameters and data are those of the recalibration."""
    one, version = last(held), client.get_model_version(MODEL_NAME, number)
    assert str(client.get_registered_model(MODEL_NAME).aliases["challenger"]) == number
    first = client.get_model_version(MODEL_NAME, "1")
    assert version.tags["parent"] == one["parent"] == first.tags["bundle_digest"]
    assert (version.tags["change"], version.tags["method"]) == ("recalibration", "in-the-large")
    run = client.get_run(str(version.run_id))
    assert run.data.params["data_fingerprint"] == one["data"]["fingerprint"]
    assert run.inputs is not None
    assert run.inputs.dataset_inputs[0].dataset.name == "here"
    names = {name.split(".")[2] for name in run.data.metrics}
    assert names == {"model", BEFORE}


def test_a_version_without_a_locked_test_set_has_none(trained: Trained) -> None:
    stated = {key: value for key, value in trained.bundle.about["settings"].items() if key != "test_share"}
    old = replace(trained.bundle, about={**trained.bundle.about, "settings": {**stated, "of_another_release": 1}})
    assert recalibration_flow.settings_of(old).test_share == 0.0
    assert recalibration_flow.settings_of(trained.bundle) == replace(TINY, workers=2)


def test_every_part_of_the_bundle_but_these_is_the_parents(parent: Bundle, made: Trained) -> None:
    same = {one.name for one in fields(Bundle) if getattr(parent, one.name) == getattr(made.bundle, one.name)}
    assert same == {"spec", "evidence", "boosters"}
