"""The change plan is a closed, reviewed file: what is misspelt, missing, sourceless or too lax is an error."""

import tomllib
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from features.errors import UsageError
from training import change_plan
from training.change_plan import PLAN, SOURCE, Change, Criterion, Numbers
from training.diagnose_findings import CODES

TEXT = PLAN.read_text(encoding="utf-8")
Written = Callable[[str], Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(text: str) -> Path:
        (tmp_path / "plan.toml").write_text(text, encoding="utf-8")
        return tmp_path / "plan.toml"

    return write


def test_the_shipped_plan_is_read_and_named_by_its_bytes() -> None:
    plan = change_plan.read()
    assert plan.digest == sha256(PLAN.read_bytes()).hexdigest()
    assert set(plan.items) == set(Change)


def test_every_number_says_why_and_that_it_is_policy() -> None:
    body = tomllib.loads(TEXT)
    own = [one for item in body["item"].values() for one in item.get("numbers", {}).values()]
    for one in [*body["numbers"].values(), *own]:
        assert set(one) == {"value", "note", "source"}
        assert (len(one["note"]) > 20, one["source"]) == (True, SOURCE)


def test_a_number_of_an_item_takes_the_place_of_the_shared_one_there_alone() -> None:
    items = change_plan.read().items
    tight, shared = items[Change.RECALIBRATION].numbers, items[Change.RETRAIN].numbers
    assert (tight.log_loss_overall, shared.log_loss_overall) == (0.01, 0.02)
    assert replace(tight, log_loss_overall=0.02, auroc_overall=shared.auroc_overall) == shared


def test_each_change_of_a_fitted_model_is_held_to_test_courses_and_to_its_data() -> None:
    items = change_plan.read().items
    for change in (Change.FIRST, Change.RETRAIN, Change.RECALIBRATION):
        assert {Criterion.TEST_SET, Criterion.DATA, Criterion.CEILING, Criterion.GOLDEN} <= items[change].required
        assert {Criterion.PUBLISHED_OVERALL, Criterion.BASE_RATE_OVERALL, Criterion.SLOPE} <= items[change].required
    against = {Criterion.LOG_LOSS_OVERALL, Criterion.LOG_LOSS, Criterion.AUROC_OVERALL, Criterion.AUROC}
    assert against <= items[Change.RETRAIN].required & items[Change.RECALIBRATION].required


def test_no_override_of_a_check_that_finds_a_leak_is_allowed() -> None:
    leaks = {"label-copied", "fill-per-class", "feature-too-good", "missing-follows-label", "timed-after-outcome"}
    assert not change_plan.read().overrides & (leaks | {"same-patient", "same-course", "treated-before-outcome"})
    assert leaks <= set(CODES)


def test_only_the_demonstration_has_approvers_who_are_nobody_and_it_is_for_synthetic_models() -> None:
    items = change_plan.read().items
    assert [change for change, item in items.items() if item.approvers] == [Change.DEMONSTRATION]
    assert items[Change.DEMONSTRATION].synthetic_only
    assert Criterion.SYNTHETIC in items[Change.DEMONSTRATION].required


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("[numbers.draws]", "[numbers.drawz]", r"numbers\.draws: is missing|numbers\.drawz: unknown key"),
        ("[numbers.ici]", "[number.ici]", "number: unknown key"),
        ('title = "', 'titel = "', "titel: unknown key|title: is missing"),
        ("[item.retrain]", "[item.retrian]", r"item\.retrain: is missing|item\.retrian: unknown key"),
        ("[overrides]\nallowed", "[overrides]\nallow", r"overrides\.allow: unknown key|overrides\.allowed: is missing"),
        ('allowed = ["mixed-grading"]', 'allowed = ["mixed-grade"]', r"overrides\.allowed: unknown: mixed-grade"),
        ('"golden-answers", "intended-use"', '"golden-answer", "intended-use"', "required: unknown: golden-answer"),
        ('"golden-answers", "intended-use"', '"intended-use", "intended-use"', "required: a text stands twice"),
        ('value = 0.95\nnote = "of each', 'value = 1.5\nnote = "of each', r"numbers\.confidence: expected 0\.5 to"),
        (
            'value = 100\nnote = "locked',
            'value = 100.5\nnote = "locked',
            r"numbers\.fewest_courses: expected a whole number",
        ),
        ("value = 0.08", 'value = "0.08"', r"numbers\.log_loss: expected a number"),
        ("value = 2\n", "value = 1\n", r"numbers\.approvals: expected 2 to 10"),
        (f'source = "{SOURCE}"', 'source = "a trial"', "source: the plan states policy"),
        ("synthetic_only = true", "synthetic_only = false", "approvers: names that are nobody's"),
        ("synthetic_only = true", 'synthetic_only = "yes"', "synthetic_only: expected true or false"),
    ],
)
def test_what_is_wrong_is_named(written: Written, old: str, new: str, place: str) -> None:
    assert old in TEXT
    with pytest.raises(UsageError, match=place):
        change_plan.read(written(TEXT.replace(old, new, 1)))


def test_a_note_left_out_is_an_error(written: Written) -> None:
    lines = TEXT.splitlines(keepends=True)
    lines.remove(next(line for line in lines if line.startswith("note")))
    with pytest.raises(UsageError, match=r"numbers\.seed\.note: is missing"):
        change_plan.read(written("".join(lines)))


def test_a_plan_that_is_no_toml_or_not_there_is_one_line(written: Written, tmp_path: Path) -> None:
    for path in (written("title ="), tmp_path / "nowhere.toml"):
        with pytest.raises(UsageError, match="the change plan cannot be read as TOML"):
            change_plan.read(path)


def test_any_change_of_the_file_changes_its_digest(written: Written) -> None:
    other = change_plan.read(written(TEXT + "# a remark\n"))
    assert other.digest != change_plan.read().digest
    assert other.items == change_plan.read().items


def test_every_range_is_of_a_number_that_there_is() -> None:
    assert set(change_plan.RANGES) <= set(Numbers.__slots__)


LIMIT = f"""
[numbers.most_looks]
value = 3
note = "other bundles judged on the same test courses before"
source = "{SOURCE}"
"""


def test_a_limit_of_looks_may_be_left_out_and_is_a_whole_number_where_it_stands(written: Written) -> None:
    for item in change_plan.read().items.values():
        assert item.numbers.most_looks is None
    assert {one.numbers.most_looks for one in change_plan.read(written(TEXT + LIMIT)).items.values()} == {3}
    with pytest.raises(UsageError, match=r"numbers\.most_looks: expected a whole number"):
        change_plan.read(written(TEXT + LIMIT.replace("3", "2.5")))
    with pytest.raises(UsageError, match=r"numbers\.most_looks: expected 0 to"):
        change_plan.read(written(TEXT + LIMIT.replace("3", "-1")))


def test_looks_are_not_required_to_stay_within_a_limit_that_nobody_stated(written: Written) -> None:
    text = TEXT.replace('"golden-answers", "intended-use"', '"test-looks", "golden-answers", "intended-use"', 1)
    assert text != TEXT
    with pytest.raises(UsageError, match=r"required: test-looks without a limit; state most_looks"):
        change_plan.read(written(text))
    first = next(iter(change_plan.read(written(text + LIMIT)).items.values()))
    assert (Criterion.LOOKS in first.required, first.numbers.most_looks) == (True, 3)


def test_the_text_of_a_plan_is_its_bytes_and_found_by_their_digest(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written("")
    path.write_bytes((TEXT + "# é\r\n").encode())
    plan = change_plan.read(path)
    assert sha256(plan.text.encode()).hexdigest() == plan.digest
    assert change_plan.shipped_text(plan.digest) is None
    monkeypatch.setattr(change_plan, "PLAN", path)
    assert change_plan.shipped_text(plan.digest) == plan.text
    path.unlink()
    assert change_plan.shipped_text(plan.digest) is None
