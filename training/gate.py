"""The gate: whether a challenger may be approved in place of the champion, by the change plan, with its reasons.

Both models are judged on the very same locked test courses and rows, each with its own preprocessing. The same
bundles, courses and plan give the same verdict.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from data.tables import Cohort
from features.errors import BundleError
from features.outcomes import OUTCOME_KEYS
from features.predict import Predictor, verify_golden
from features.spec import Spec, full
from training import gate_looks
from training.change_plan import Change, ChangePlan, Criterion, Item
from training.gate_criteria import Check, Judged, all_checks, not_compared
from training.gate_intervals import Draws
from training.gate_rows import Sample, samples
from training.train import is_synthetic


class Word(StrEnum):
    """What a verdict says. Only a pass may be approved."""

    PASS = "pass"
    REFUSE = "refuse"
    UNJUDGED = "cannot be judged"


@dataclass(frozen=True, slots=True)
class Verdict:
    """checks: all of them, required or not. required: those of the plan's item. courses, fingerprint: of the locked
    test courses; 0 and "" without any. share: of the patients that are locked. notes: what else to know. small: per
    outcome, the subgroups too small to be judged; they stand among the notes in JSON. looks: how many other bundles
    were judged on the test courses before.
    """

    word: Word
    change: Change
    challenger: str
    champion: str
    plan: str
    courses: int
    fingerprint: str
    share: float
    required: frozenset[Criterion]
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    small: tuple[str, ...] = ()
    looks: int = 0

    @property
    def reasons(self) -> tuple[Check, ...]:
        """What stands against a pass: the refusing checks, or else those that could not be judged."""
        wanted = False if self.word is Word.REFUSE else None
        return tuple(one for one in self.checks if one.code in self.required and one.met is wanted)

    @property
    def superior(self) -> bool:
        """Whether log loss is better than the champion's beyond chance; nothing requires it."""
        return any(one.code is Criterion.LOG_LOSS_OVERALL and one.high < 0 for one in self.checks)

    def to_json(self) -> dict[str, Any]:
        """As it stands in the ledger and in gate.json."""
        return {
            "verdict": str(self.word),
            "kind_of_change": str(self.change),
            "digest": self.challenger,
            "champion": self.champion,
            "plan_digest": self.plan,
            "test_courses": self.courses,
            "test_fingerprint": self.fingerprint,
            "test_share": self.share,
            "test_looks": self.looks,
            "reasons": [_json(one) for one in self.reasons],
            "figures": [_json(one) | {"required": one.code in self.required} for one in self.checks],
            "superior": self.superior,
            "notes": [*self.notes, *self.small],
        }


def _json(one: Check) -> dict[str, Any]:
    places = {"outcome": one.outcome, "group": one.group, "against": one.against}
    figures = {name: getattr(one, name) for name in ("value", "low", "high", "limit")}
    return {
        "code": str(one.code),
        "met": one.met,
        "text": one.text,
        **{name: text for name, text in places.items() if text},
        **{name: round(value, 6) for name, value in figures.items() if math.isfinite(value)},
    }


def judge(
    challenger: Predictor,
    champion: Predictor | None,
    test: Cohort | None,
    plan: ChangePlan,
    share: float = 0.0,
    demonstration: bool = False,
    notes: Sequence[str] = (),
    looks: int = 0,
) -> Verdict:
    """The verdict on a challenger. champion: None where nothing is live. test: locked courses, None where none are.

    demonstration: judge by the plan's item for crs demo. looks: as in the verdict.
    Linear algebra runs on one thread, for the same bits anywhere.
    """
    change = kind_of(challenger, champion, demonstration)
    item = plan.items[change]
    facts = [*_facts(challenger, champion, plan), _synthetic(challenger, champion, test, item)]
    sound = None if unsound(challenger, champion, test) else test
    with threadpool_limits(limits=1, user_api="blas"):
        figures, small = _figures(challenger, champion, sound, item)
    checks = [*facts, *gate_looks.checks(looks, item.numbers), *figures]
    return Verdict(
        word=word_of(checks, item.required),
        change=change,
        challenger=challenger.digest,
        champion=champion.digest if champion else "",
        plan=plan.digest,
        courses=len(test) if test is not None else 0,
        fingerprint=test.fingerprint if test is not None else "",
        share=share,
        required=item.required,
        checks=tuple(checks),
        notes=tuple(notes),
        small=tuple(small),
        looks=looks,
    )


def word_of(checks: Iterable[Check], required: frozenset[Criterion]) -> Word:
    """A required check that is not met refuses; one that could not be judged keeps from passing."""
    found = {one.met for one in checks if one.code in required}
    return Word.REFUSE if False in found else Word.UNJUDGED if None in found else Word.PASS


def kind_of(challenger: Predictor, champion: Predictor | None, demonstration: bool = False) -> Change:
    """By what the two bundles hold, not by what they say: a recalibration has the champion's trees, bit for bit."""
    if demonstration:
        return Change.DEMONSTRATION
    if not fitted(challenger):
        return Change.PUBLISHED
    if champion is None or (synthetic(champion) and not synthetic(challenger)):
        return Change.FIRST
    own, other = challenger.bundle, champion.bundle
    same_trees = own.boosters == other.boosters and own.spec.fingerprint == other.spec.fingerprint
    return Change.RECALIBRATION if fitted(champion) and same_trees else Change.RETRAIN


def fitted(model: Predictor) -> bool:
    """Whether data moved any of its answers."""
    return any(model.bundle.fitted(key) for key in model.bundle.calibration)


def synthetic(model: Predictor) -> bool:
    return bool(model.bundle.about.get("trained_on", {}).get("synthetic"))


def unsound(challenger: Predictor, champion: Predictor | None, test: Cohort | None) -> bool:
    """Whether the test courses are made up and either model is of real ones: they say nothing of it, good or bad."""
    of_real = any(fitted(one) and not synthetic(one) for one in (challenger, champion) if one)
    return of_real and test is not None and is_synthetic(test)


def _facts(challenger: Predictor, champion: Predictor | None, plan: ChangePlan) -> list[Check]:
    """What holds, or does not, without any test course."""
    return [
        _golden(challenger),
        _use(challenger, champion),
        _spec(challenger),
        _overrides(challenger, plan),
    ]


def _golden(model: Predictor) -> Check:
    try:
        count = verify_golden(model)
    except BundleError as error:
        return Check(Criterion.GOLDEN, False, f"{error.place}: {error.problem}")
    return Check(Criterion.GOLDEN, count > 0, f"{count} golden courses give their recorded answers")


def _use(challenger: Predictor, champion: Predictor | None) -> Check:
    """The intended use is the champion's; which therapies and ages it covers is a question of its own."""
    if champion is None:
        stated = bool(challenger.bundle.policy.intended_use.strip())
        return Check(Criterion.USE, stated, "an intended use is stated" if stated else "no intended use is stated")
    own, other = challenger.bundle.policy, champion.bundle.policy
    same = (own.intended_use, own.age_low, own.age_high) == (other.intended_use, other.age_low, other.age_high)
    return Check(Criterion.USE, same, "the champion's" if same else "differs from the champion's: another product")


def _spec(model: Predictor) -> Check:
    """Every column is one of this release, with its direction: without a constraint it would be another model."""
    known = _directions(full(model.catalogue))
    strange = sorted(name for name, way in _directions(model.bundle.spec).items() if known.get(name) != way)
    text = f"columns that this release does not have so: {', '.join(strange[:5])}" if strange else "as in this release"
    return Check(Criterion.SPEC, not strange, text)


def _directions(spec: Spec) -> dict[str, int]:
    return {column.name: column.monotone for column in spec.columns}


def _overrides(model: Predictor, plan: ChangePlan) -> Check:
    given = {str(one["code"]) for one in model.bundle.about.get("overrides", ())}
    refused = sorted(given - plan.overrides)
    text = f"trained although {', '.join(refused)} refused the data" if refused else "no override that the plan forbids"
    return Check(Criterion.DATA, not refused, text)


def _synthetic(challenger: Predictor, champion: Predictor | None, test: Cohort | None, item: Item) -> Check:
    """A model of synthetic courses never takes the place of one of real courses, nor is one judged by such courses.

    The demonstration does not take the place of published rates either.
    """
    made_up = synthetic(challenger)
    kept = champion is not None and not synthetic(champion) and (fitted(champion) or item.synthetic_only)
    if item.synthetic_only and not made_up:
        return Check(Criterion.SYNTHETIC, False, "this way is for models of synthetic courses only")
    if made_up and kept:
        return Check(Criterion.SYNTHETIC, False, "a model of SYNTHETIC courses in place of one that is not")
    if unsound(challenger, champion, test):
        return Check(Criterion.SYNTHETIC, None, "SYNTHETIC test courses say nothing of a model of real courses")
    return Check(Criterion.SYNTHETIC, True, "no mixture")


def _figures(
    challenger: Predictor, champion: Predictor | None, test: Cohort | None, item: Item
) -> tuple[list[Check], list[str]]:
    """All that needs test courses, and notes; one check says so where there are none, and whether that matters."""
    needed = [key for key in OUTCOME_KEYS if any(one.bundle.fitted(key) for one in (challenger, champion) if one)]
    if test is None:
        text = "no locked test courses to judge by" if needed else "none needed: no outcome was moved by data"
        return [Check(Criterion.TEST_SET, None if needed else True, text)], []
    held = samples(challenger, champion, test)
    scored, small = _scored(held, item)
    return [*enough(held, len(test), item), *unlabelled(held, needed, item), coverage(held), *scored], small


def unlabelled(held: Sequence[Sample], needed: Sequence[str], item: Item) -> list[Check]:
    """The outcomes that have to be judged and of which no test row has a label: none of these can be."""
    known = {one.outcome for one in held}
    fewest, text = item.numbers.fewest_events, "no row of the test courses has a label of it"
    lacking = [key for key in needed if key not in known]
    return [Check(Criterion.TEST_SET, None, text, outcome=key, limit=fewest, value=0) for key in lacking]


def enough(held: Sequence[Sample], courses: int, item: Item) -> list[Check]:
    """Whether the test set is large enough, as a whole and for each outcome that it has labels of.

    An outcome has to be judged that either model was fitted on; those without labels are told by `unlabelled`.
    """
    limit, fewest = item.numbers.fewest_courses, item.numbers.fewest_events
    text = f"{courses} locked test courses, {limit} are needed"
    found = [Check(Criterion.TEST_SET, courses >= limit or None, text, limit=limit, value=courses)]
    for one in held:
        count = one.patients()
        text = f"the rarer answer in {count} test patients, {fewest} are needed"
        met = (count >= fewest or None) if one.must_be_judged else True
        found.append(Check(Criterion.TEST_SET, met, text, outcome=one.outcome, limit=fewest, value=count))
    return found


def coverage(held: Iterable[Sample]) -> Check:
    """Whether the challenger answers every row that the champion answers."""
    lost = sum(one.lost for one in held)
    text = f"{lost} answers that the champion gives are missing" if lost else "answers all that the champion answers"
    return Check(Criterion.COVERAGE, lost == 0, text, value=lost, limit=0.0)


def _scored(held: Sequence[Sample], item: Item) -> tuple[list[Check], list[str]]:
    kept = [one for one in held if len(one.label)]
    if not kept:
        return [], []
    numbers = item.numbers
    patients = np.unique(np.concatenate([one.patient for one in kept]))
    judged = Judged(kept, Draws(patients, numbers.draws, numbers.confidence, numbers.seed), numbers)
    return all_checks(judged), not_compared(judged)
