"""What the gate asks of the bundles themselves, what kind of change it sees, and what stands in a verdict."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.synthetic import SyntheticCohort
from data.tables import Cohort, cohort_from_frames
from features.bundle import Bundle
from features.catalogue import Catalogue
from features.errors import BundleError
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor
from features.recalibration import Recalibration
from tests.training.builders import plan_text
from tests.training.conftest import TINY
from training import change_plan
from training.change_plan import Change, Criterion
from training.gate import Verdict, Word, judge, kind_of
from training.gate_flow import Candidate, derived, share_of, test_share
from training.gate_rows import samples
from training.tracking import Registered
from training.train import Trained, prior_only, with_golden

# Its name is that of a question, not of a test.
test_share.__test__ = False  # type: ignore[attr-defined]

pytestmark = pytest.mark.slow

PLAN = change_plan.read()
Told = Callable[[Predictor, Predictor | None], dict[Criterion, bool | None]]


@pytest.fixture(scope="module")
def model(trained: Trained, tables: Catalogue) -> Predictor:
    """A model of SYNTHETIC courses."""
    return Predictor(trained.bundle, tables)


@pytest.fixture(scope="module")
def rates(tables: Catalogue) -> Predictor:
    return Predictor(prior_only(tables, "rates", TINY), tables)


def with_about(held: Predictor, **changed: Any) -> Predictor:
    return Predictor(replace(held.bundle, about={**held.bundle.about, **changed}), held.catalogue)


def real(held: Predictor) -> Predictor:
    """The same model, said to be of real courses."""
    return with_about(held, trained_on={**held.bundle.about["trained_on"], "synthetic": False})


def recalibrated(held: Predictor) -> Predictor:
    lines = {"single": Recalibration(shift=0.1)}
    moved = {key: replace(one, recalibration=lines) for key, one in held.bundle.calibration.items()}
    return Predictor(with_golden(replace(held.bundle, calibration=moved), held.catalogue), held.catalogue)


def of_a_centre(made: SyntheticCohort) -> Cohort:
    """The same courses under ids that are not those of synthetic ones."""
    tables = (made.courses, made.observations, made.events)
    return cohort_from_frames(*(one.assign(course_id="a-" + one["course_id"].astype(str)) for one in tables))


def told(challenger: Predictor, champion: Predictor | None = None, **asked: Any) -> dict[Criterion, bool | None]:
    """Criterion -> met, without any test course."""
    return {one.code: one.met for one in judge(challenger, champion, None, PLAN, **asked).checks}


# Kinds of change


def test_the_kind_of_change_follows_from_what_the_bundles_hold(model: Predictor, rates: Predictor) -> None:
    assert kind_of(model, None) is Change.FIRST
    assert kind_of(real(model), model) is Change.FIRST
    assert kind_of(model, rates) is Change.RETRAIN
    assert kind_of(rates, model) is kind_of(rates, None) is Change.PUBLISHED
    assert kind_of(recalibrated(model), model) is Change.RECALIBRATION
    assert kind_of(model, None, demonstration=True) is Change.DEMONSTRATION


def test_what_a_bundle_says_of_itself_makes_no_recalibration_of_it(model: Predictor) -> None:
    name, body = next(iter(model.bundle.boosters.items()))
    others = Predictor(replace(model.bundle, boosters={**model.bundle.boosters, name: body + b""}), model.catalogue)
    assert kind_of(others, model) is Change.RECALIBRATION
    fewer = {key: one for key, one in model.bundle.boosters.items() if key != name}
    claims = with_about(model, lineage={"parent": model.digest, "change": "recalibration"})
    claims = Predictor(replace(claims.bundle, boosters=fewer), model.catalogue)
    assert kind_of(claims, model) is Change.RETRAIN


# The bundles themselves


def test_a_sound_bundle_meets_all_that_needs_no_courses(model: Predictor, rates: Predictor) -> None:
    facts = (Criterion.GOLDEN, Criterion.USE, Criterion.SPEC, Criterion.DATA, Criterion.SYNTHETIC)
    for challenger in (model, rates):
        assert {told(challenger)[code] for code in facts} == {True}


def test_a_golden_answer_that_changed_is_refused(model: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    def differs(_: Predictor) -> int:
        raise BundleError("golden.json", "golden course 0 no longer gives its recorded answer on this machine")

    monkeypatch.setattr("training.gate.verify_golden", differs)
    assert told(model)[Criterion.GOLDEN] is False


def test_a_bundle_without_golden_courses_is_refused(model: Predictor) -> None:
    empty = Predictor(replace(model.bundle, golden={"courses": []}), model.catalogue)
    assert told(empty)[Criterion.GOLDEN] is False


@pytest.mark.parametrize(
    ("code", "met"), [("mixed-grading", True), ("feature-too-good", False), ("label-copied", False)]
)
def test_an_override_that_the_plan_does_not_allow_is_refused(model: Predictor, code: str, met: bool) -> None:
    overridden = with_about(model, overrides=[{"code": code, "reason": "we know"}])
    assert told(overridden)[Criterion.DATA] is met
    verdict = judge(overridden, None, None, PLAN)
    assert verdict.word is (Word.UNJUDGED if met else Word.REFUSE)


def test_another_intended_use_is_another_product(model: Predictor) -> None:
    for changed in ({"intended_use": "Directs treatment."}, {"age_low": 18.0}):
        policy = replace(model.bundle.policy, **changed)
        other = Predictor(replace(model.bundle, policy=policy), model.catalogue)
        assert told(other, model)[Criterion.USE] is False


def test_a_column_without_its_direction_is_refused(model: Predictor) -> None:
    columns = model.bundle.spec.columns
    free = tuple(replace(one, monotone=0) if one.monotone else one for one in columns)
    assert any(one.monotone for one in columns)
    other = Predictor(replace(model.bundle, spec=replace(model.bundle.spec, columns=free)), model.catalogue)
    assert told(other)[Criterion.SPEC] is False


def test_a_synthetic_model_never_replaces_one_of_real_courses(model: Predictor, rates: Predictor) -> None:
    assert told(model, real(model))[Criterion.SYNTHETIC] is False
    assert told(model, real(model), demonstration=True)[Criterion.SYNTHETIC] is False
    assert told(model, rates)[Criterion.SYNTHETIC] is True
    assert told(model, rates, demonstration=True)[Criterion.SYNTHETIC] is False


def test_the_demonstration_is_for_synthetic_models_alone(model: Predictor, rates: Predictor) -> None:
    assert judge(model, None, None, PLAN, demonstration=True).word is Word.PASS
    for held in (real(model), rates):
        assert judge(held, None, None, PLAN, demonstration=True).word is Word.REFUSE


# Test courses


def test_a_fitted_model_without_test_courses_cannot_be_judged(model: Predictor, rates: Predictor) -> None:
    assert judge(model, None, None, PLAN).word is Word.UNJUDGED
    assert judge(rates, model, None, PLAN).word is Word.UNJUDGED
    assert judge(rates, None, None, PLAN).word is Word.PASS


def test_synthetic_courses_say_nothing_of_a_model_of_real_ones(
    model: Predictor, rates: Predictor, cohort: Cohort, made_up: SyntheticCohort
) -> None:
    for challenger, champion in ((real(model), None), (real(model), model), (rates, real(model))):
        verdict = judge(challenger, champion, cohort, PLAN, 0.2)
        assert verdict.word is Word.UNJUDGED  # and no refusal, which would stand for good
        assert {one.code for one in verdict.reasons} == {Criterion.SYNTHETIC, Criterion.TEST_SET}
        assert "SYNTHETIC" in verdict.reasons[0].text
    theirs = judge(real(model), None, of_a_centre(made_up), PLAN, 0.2)
    for verdict in (theirs, judge(model, None, cohort, PLAN, 0.2), judge(rates, model, cohort, PLAN, 0.2)):
        assert [one.met for one in verdict.checks if one.code is Criterion.SYNTHETIC] == [True]
        assert Criterion.COVERAGE in {one.code for one in verdict.checks}


def test_an_outcome_that_either_was_fitted_on_and_no_test_course_has_a_label_of_cannot_be_judged(
    model: Predictor, rates: Predictor, cohort: Cohort, made_up: SyntheticCohort, tmp_path: Path
) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(plan_text(("test-set",), draws=10, calibration_draws=2, fewest_events=1))
    plan, graded = change_plan.read(path), made_up.events["event"].eq("crs_grade")
    bare = cohort_from_frames(made_up.courses, made_up.observations, made_up.events[~graded])
    lost = {key for key in OUTCOME_KEYS if key.startswith("crs") and model.bundle.fitted(key)}
    assert lost
    for challenger, champion in ((model, None), (model, rates), (rates, model)):
        assert judge(challenger, champion, cohort, plan).word is Word.PASS
        verdict = judge(challenger, champion, bare, plan)
        assert (verdict.word, {one.outcome for one in verdict.reasons}) == (Word.UNJUDGED, lost)
    assert judge(rates, None, bare, plan).word is Word.PASS


def test_subgroups_too_small_to_be_judged_are_named_in_a_note(model: Predictor, cohort: Cohort) -> None:
    verdict = judge(model, None, cohort, PLAN, 0.2, notes=["a note"])
    compared = {(one.outcome, one.group) for one in verdict.checks if one.code is Criterion.SUBGROUP}
    told = [note.split(": subgroups too small to be judged: ") for note in verdict.small]
    axes = [(outcome, *axis.split(": ")) for outcome, text in told for axis in text.split("; ")]
    named = {(outcome, f"{axis}: {name}") for outcome, axis, names in axes for name in names.split(", ")}
    assert ("crs_1plus", "sex: unknown") in named
    assert named.isdisjoint(compared)
    assert verdict.to_json()["notes"] == ["a note", *verdict.small]


def test_both_answer_the_same_rows_each_by_its_own_columns(model: Predictor, rates: Predictor, cohort: Cohort) -> None:
    assert len(model.bundle.spec.columns) < len(rates.bundle.spec.columns)
    own, other = samples(model, rates, cohort), samples(rates, model, cohort)
    for one, two in zip(own, other, strict=True):
        assert (one.label == two.label).all()
        assert (one.patient == two.patient).all()
        assert one.challenger == pytest.approx(two.rivals["champion"])
        assert two.challenger == pytest.approx(one.rivals["champion"])
        assert (one.fitted, one.lost, two.lost) == (one.must_be_judged, 0, 0)


def test_the_same_bundles_courses_and_plan_give_the_same_verdict(
    model: Predictor, rates: Predictor, cohort: Cohort
) -> None:
    first, again = (judge(model, rates, cohort, PLAN, 0.2) for _ in range(2))
    assert first.to_json() == again.to_json()
    assert (first.courses, first.fingerprint, first.share) == (len(cohort), cohort.fingerprint, 0.2)
    other = judge(rates, model, cohort, PLAN, 0.2)
    overall = {one.against: one.value for one in other.checks if one.code is Criterion.LOG_LOSS_OVERALL}
    assert overall["champion"] > 0


def test_a_verdict_is_plain_json_with_its_plan_and_every_figure(model: Predictor, cohort: Cohort) -> None:
    verdict = judge(model, None, cohort, PLAN, 0.2, notes=["a note"])
    body = json.loads(json.dumps(verdict.to_json(), allow_nan=False))
    assert (body["plan_digest"], body["digest"], body["champion"]) == (PLAN.digest, model.digest, "")
    assert (body["verdict"], body["notes"]) == (str(verdict.word), ["a note", *verdict.small])
    assert len(body["figures"]) == len(verdict.checks)
    assert {one["code"] for one in body["figures"]} >= {"ceiling", "slope", "published-overall", "base-rate"}


def test_beyond_the_most_looks_that_a_plan_allows_nothing_passes_and_nothing_is_refused(
    rates: Predictor, tmp_path: Path
) -> None:
    limit = '[numbers.most_looks]\nvalue = 2\nnote = "for tests"\nsource = "policy of this project"\n'
    path = tmp_path / "plan.toml"
    path.write_text(plan_text(("golden-answers", "test-looks")) + limit)
    plan = change_plan.read(path)
    words = [judge(rates, None, None, plan, looks=looks).word for looks in (0, 2, 3)]
    assert words == [Word.PASS, Word.PASS, Word.UNJUDGED]
    verdict = judge(rates, None, None, plan, looks=3)
    assert [one.code for one in verdict.reasons] == [Criterion.LOOKS]
    assert verdict.to_json()["test_looks"] == 3
    assert judge(rates, None, None, PLAN, looks=1000).word is Word.PASS


def test_superior_is_said_where_the_whole_interval_is_better(
    model: Predictor, rates: Predictor, cohort: Cohort
) -> None:
    """The model was trained on these very courses, so that it is better here without doubt."""
    verdict: Verdict = judge(model, rates, cohort, PLAN, 0.2)
    overall = next(one for one in verdict.checks if one.code is Criterion.LOG_LOSS_OVERALL)
    assert verdict.superior is (overall.high < 0)
    assert judge(rates, model, cohort, PLAN, 0.2).superior is False


# Which patients neither has seen


def of_share(held: Bundle, *shares: float | None) -> Bundle:
    """The bundle as trained with the first share, and recalibrated with the others; None states none."""
    settings = [{} if one is None else {"test_share": one} for one in shares]
    again = [{"settings": one} for one in settings[1:]]
    return replace(held, about={**held.about, "settings": settings[0], "recalibrations": again})


def test_the_share_is_what_neither_bundle_has_learnt_from(model: Predictor, rates: Predictor) -> None:
    held = model.bundle
    assert test_share(of_share(held, 0.3), of_share(held, 0.2)) == (0.2, [])
    assert test_share(of_share(held, 0.2), of_share(held, 0.3)) == (0.2, [])
    assert test_share(of_share(held, 0.3), rates.bundle) == test_share(of_share(held, 0.3), None) == (0.3, [])
    assert test_share(rates.bundle, of_share(held, 0.2)) == (0.2, [])
    assert share_of(of_share(held, 0.3, 0.1)) == 0.1
    assert share_of(of_share(held, None)) == 0.0


def test_a_champion_that_locked_nobody_away_is_named_and_a_challenger_has_no_test_courses(model: Predictor) -> None:
    share, notes = test_share(of_share(model.bundle, 0.2), of_share(model.bundle, 0.0))
    assert (share, len(notes)) == (0.2, 1)
    assert test_share(of_share(model.bundle, 0.0), of_share(model.bundle, 0.2))[0] == 0.0


def test_test_courses_are_graded_as_the_bundle_learnt(model: Predictor) -> None:
    assert derived(model.bundle) is False
    graded = with_about(model, trained_on={"grading": {"crs_grade": "ASTCT-2019, derived from charted signs"}})
    assert derived(graded.bundle) is True


def test_test_courses_are_graded_as_the_last_recalibration_was(model: Predictor) -> None:
    charted, signs = (
        {"grading": {"crs_grade": text}} for text in ("ASTCT-2019", "not stated, derived from charted signs")
    )
    for before, last, expected in ((charted, signs, True), (signs, charted, False)):
        again = with_about(model, trained_on=before, recalibrations=[{"data": before}, {"data": last}])
        assert derived(again.bundle) is expected


def test_a_version_without_data_is_judged_by_the_courses_and_grading_of_the_champion(
    model: Predictor, rates: Predictor
) -> None:
    version = Registered("run", "2", rates.digest)
    assert Candidate(version, rates, model, None).learner is model
    assert Candidate(version, model, rates, None).learner is model
    assert Candidate(version, rates, None, None).learner is rates
