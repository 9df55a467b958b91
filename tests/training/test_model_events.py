"""Who may approve what: two different people, after a verdict that passes, until another verdict is made."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.events import Kind, Record
from audit.ledger import Ledger, open_ledger
from features.errors import GateError, UsageError
from features.home import Home
from training import change_plan, model_events
from training.change_plan import Change, Criterion
from training.gate import Verdict, Word
from training.gate_criteria import Check
from training.model_events import Question

PLAN = change_plan.read()
ITEM = PLAN.items[Change.RETRAIN]
PASSES = Verdict(
    word=Word.PASS,
    change=Change.RETRAIN,
    challenger="c" * 64,
    champion="d" * 64,
    plan=PLAN.digest,
    courses=200,
    fingerprint="f" * 64,
    share=0.2,
    required=ITEM.required,
    checks=(Check(Criterion.ICI, True, "within its bound", "crs_2plus", value=0.01, low=0.0, high=0.02, limit=0.1),),
)
REFUSES = replace(PASSES, word=Word.REFUSE, checks=(Check(Criterion.ICI, False, "off", "crs_2plus"),))
QUESTION = Question(PASSES.challenger, PASSES.champion, PLAN.digest, Change.RETRAIN)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(Home(tmp_path)) as held:
        yield held


def recorded(ledger: Ledger, verdict: Verdict = PASSES) -> Record:
    found = ledger.at(model_events.evaluated(ledger, "2", verdict))
    assert found is not None
    return found


def approve(ledger: Ledger, verdict: Record, by: str, role: str = "owner", meaning: str = "reviewed") -> None:
    model_events.approve(ledger, verdict, ITEM, by, role, meaning)


def names(ledger: Ledger, verdict: Record) -> list[str]:
    return [one.by for one in model_events.approvals(ledger, verdict)]


def test_two_people_approve_and_the_ledger_says_as_what(ledger: Ledger) -> None:
    verdict = recorded(ledger)
    approve(ledger, verdict, "Ada  Example", "model owner")
    approve(ledger, verdict, "Bo Example", "clinical lead", "fit for\nour ward")
    assert names(ledger, verdict) == ["Ada Example", "Bo Example"]
    last = ledger.last(Kind.MODEL_APPROVED)
    assert last is not None
    assert last.body == {
        "version": "2",
        "digest": PASSES.challenger,
        "by": "Bo Example",
        "role": "clinical lead",
        "meaning": "fit for our ward",
        "verdict_sequence": verdict.sequence,
    }


@pytest.mark.parametrize("again", ["ada example", "ADA EXAMPLE", " Ada Example ", "AdaExample", "A.da Example"])
def test_one_person_in_two_spellings_is_one_person(ledger: Ledger, again: str) -> None:
    verdict = recorded(ledger)
    approve(ledger, verdict, "Ada Example")
    with pytest.raises(UsageError, match="has approved this verdict already"):
        approve(ledger, verdict, again, "another role")
    assert names(ledger, verdict) == ["Ada Example"]


@pytest.mark.parametrize("verdict", [REFUSES, replace(REFUSES, word=Word.UNJUDGED)])
def test_nothing_but_a_pass_can_be_approved(ledger: Ledger, verdict: Verdict) -> None:
    with pytest.raises(GateError, match="only a verdict that passes can be approved") as caught:
        approve(ledger, recorded(ledger, verdict), "Ada Example")
    assert caught.value.exit_code == 9
    assert ledger.last(Kind.MODEL_APPROVED) is None


def test_an_approval_lapses_when_another_verdict_is_made(ledger: Ledger) -> None:
    first = recorded(ledger)
    approve(ledger, first, "Ada Example")
    second = recorded(ledger, replace(PASSES, fingerprint="e" * 64))
    assert (names(ledger, first), names(ledger, second)) == (["Ada Example"], [])
    approve(ledger, second, "Ada Example")


def test_the_very_same_verdict_again_is_the_same_event_and_lapses_nothing(ledger: Ledger) -> None:
    first = recorded(ledger)
    approve(ledger, first, "Ada Example")
    assert recorded(ledger).sequence == first.sequence
    assert names(ledger, first) == ["Ada Example"]


def test_the_same_verdict_with_another_note_or_counted_looks_is_the_same_event(ledger: Ledger) -> None:
    """A plan that is committed meanwhile changes a note; an earlier release counted no looks."""
    first = recorded(ledger, replace(PASSES, notes=("not committed",)))
    approve(ledger, first, "Ada Example")
    assert recorded(ledger, replace(PASSES, looks=3)).sequence == first.sequence
    assert recorded(ledger, replace(PASSES, courses=PASSES.courses + 1)).sequence != first.sequence


@pytest.mark.parametrize(
    ("by", "role", "meaning", "place"),
    [
        (" ", "owner", "yes", "--by"),
        ("...", "owner", "yes", "--by"),
        ("Ada", "", "yes", "--role"),
        ("Ada", "owner", " ", "--meaning"),
        ("A" * 201, "owner", "yes", "--by"),
        ("Demonstration (model owner)", "owner", "yes", "--by"),
        ("demonstration", "owner", "yes", "--by"),
    ],
)
def test_an_approval_says_who_as_what_and_what_it_means(
    ledger: Ledger, by: str, role: str, meaning: str, place: str
) -> None:
    with pytest.raises(UsageError) as caught:
        approve(ledger, recorded(ledger), by, role, meaning)
    assert caught.value.place == place


def test_the_names_of_the_demonstration_approve_by_its_own_item_only(ledger: Ledger) -> None:
    demonstration = PLAN.items[Change.DEMONSTRATION]
    verdict = recorded(ledger, replace(PASSES, change=Change.DEMONSTRATION))
    for name in demonstration.approvers:
        model_events.approve(ledger, verdict, demonstration, name, "demonstration", "to try it")
    assert len(names(ledger, verdict)) == 2


# Which verdict counts


def test_a_verdict_answers_one_bundle_one_champion_one_plan_and_one_kind_of_change(ledger: Ledger) -> None:
    verdict = recorded(ledger)
    assert model_events.standing_verdict(ledger, QUESTION) == verdict
    for other in (
        replace(QUESTION, digest="0" * 64),
        replace(QUESTION, champion=""),
        replace(QUESTION, plan="0" * 64),
        replace(QUESTION, change=Change.FIRST),
    ):
        assert model_events.standing_verdict(ledger, other) is None


def test_a_refusal_stands_whatever_other_test_courses_say_later(ledger: Ledger) -> None:
    refusal = recorded(ledger, REFUSES)
    recorded(ledger, replace(PASSES, fingerprint="e" * 64))
    assert model_events.standing_verdict(ledger, QUESTION) == refusal


def test_a_verdict_that_could_not_be_judged_is_overtaken(ledger: Ledger) -> None:
    recorded(ledger, replace(REFUSES, word=Word.UNJUDGED))
    verdict = recorded(ledger, replace(PASSES, fingerprint="e" * 64))
    assert model_events.standing_verdict(ledger, QUESTION) == verdict


def test_a_verdict_against_another_champion_in_between_does_not_count(ledger: Ledger) -> None:
    recorded(ledger)
    recorded(ledger, replace(PASSES, champion="b" * 64))
    assert model_events.standing_verdict(ledger, QUESTION) is None


def test_what_is_recorded_of_a_verdict_holds_its_figures_and_reasons(ledger: Ledger) -> None:
    body = recorded(ledger, REFUSES).body
    assert (body["verdict"], body["plan_digest"], body["champion"]) == ("refuse", PLAN.digest, "d" * 64)
    assert body["reasons"] == [{"code": "ici", "met": False, "outcome": "crs_2plus", "text": "off"}]
    figure = recorded(ledger).body["figures"][0]
    assert (figure["value"], figure["low"], figure["high"], figure["limit"]) == (0.01, 0.0, 0.02, 0.1)
    assert figure["required"] is True


# Looks at the test courses


def of_bundle(name: str, verdict: Verdict = PASSES, **changed: Any) -> Verdict:
    return replace(verdict, challenger=name * 64, **changed)


def looks(ledger: Ledger, question: Question = QUESTION, fingerprint: str = PASSES.fingerprint) -> int:
    return model_events.looks(ledger, question, fingerprint)


def test_each_other_bundle_judged_on_the_same_test_courses_counts_once_whatever_was_said(ledger: Ledger) -> None:
    assert looks(ledger) == 0
    recorded(ledger, of_bundle("1"))
    recorded(ledger, of_bundle("2", REFUSES))
    recorded(ledger, of_bundle("2", REFUSES, champion="b" * 64))
    recorded(ledger, of_bundle("3", word=Word.UNJUDGED))
    assert looks(ledger) == 3
    assert looks(ledger, replace(QUESTION, digest="3" * 64, champion="b" * 64)) == 2


def test_a_bundle_judged_on_other_test_courses_is_no_look_at_these(ledger: Ledger) -> None:
    recorded(ledger, of_bundle("1", fingerprint="e" * 64))
    recorded(ledger, of_bundle("2", fingerprint="", courses=0))
    assert looks(ledger) == 0
    assert looks(ledger, fingerprint="e" * 64) == 1


def test_the_same_question_again_is_the_same_look_and_lapses_no_approval(ledger: Ledger) -> None:
    recorded(ledger, of_bundle("1"))
    first = recorded(ledger, replace(PASSES, looks=looks(ledger)))
    approve(ledger, first, "Ada Example")
    recorded(ledger, of_bundle("2"))
    again = recorded(ledger, replace(PASSES, looks=looks(ledger)))
    assert (again.sequence, again.body["test_looks"], names(ledger, again)) == (first.sequence, 1, ["Ada Example"])


def test_the_same_question_is_the_same_look_after_a_trial_by_another_plan(ledger: Ledger) -> None:
    recorded(ledger)
    recorded(ledger, of_bundle("1"))
    recorded(ledger, replace(PASSES, plan="b" * 64))
    assert looks(ledger) == 0


def test_another_question_counts_all_that_came_before_it(ledger: Ledger) -> None:
    recorded(ledger)
    recorded(ledger, of_bundle("1"))
    recorded(ledger, of_bundle("2"))
    assert looks(ledger) == 0
    assert looks(ledger, replace(QUESTION, champion="b" * 64)) == 2
    assert looks(ledger, replace(QUESTION, plan="b" * 64)) == 2
